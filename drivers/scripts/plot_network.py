#!/usr/bin/python3
"""Draws the link flows of a traffic equilibrium on the map.

usage: plot_network.py DIRECTORY -o map.png

DIRECTORY holds flow.csv (from,to,volume,cost) and nodes.csv (node,x,y), as `equipoise export RUN.h5
--csv DIRECTORY` writes them for a run with problem.nodes. Width and colour show the volume.
"""
import argparse
import csv
import sys
from pathlib import Path


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("-o", "--output", required=True)
    given = arguments.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.collections import LineCollection

    if not (given.directory / "nodes.csv").exists():
        sys.exit(f"{given.directory}/nodes.csv is missing; solve with problem.nodes and export again")
    with open(given.directory / "nodes.csv") as stream:
        place = {int(r["node"]): (float(r["x"]), float(r["y"])) for r in csv.DictReader(stream)}
    lines, volumes = [], []
    with open(given.directory / "flow.csv") as stream:
        for row in csv.DictReader(stream):
            ends = [place.get(int(row[key])) for key in ("from", "to")]
            if None not in ends:
                lines.append(ends)
                volumes.append(float(row["volume"]))
    largest = max(volumes, default=0.0) or 1.0
    figure, axes = pyplot.subplots(figsize=(8, 8))
    links = LineCollection(lines, linewidths=[0.3 + 5.0 * v / largest for v in volumes], cmap="viridis")
    links.set_array(volumes)
    axes.add_collection(links)
    axes.autoscale()
    axes.set_aspect("equal")
    axes.set_axis_off()
    figure.colorbar(links, label="volume", shrink=0.6)
    figure.savefig(given.output, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
