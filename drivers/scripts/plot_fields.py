#!/usr/bin/python3
"""Draws the functions of a solution, one picture with a panel for each.

usage: plot_fields.py DIRECTORY -o OUT.png      (DIRECTORY holds solution.h5 and solution.xdmf)

Functions on a box or on triangles are drawn as colours; in three dimensions a slice through the middle (box) or the
nodes near the middle plane (tetrahedra). Exit codes: 2 bad command line, 6 files that are no solution.
"""

import argparse
import sys
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

GEOMETRY = ("points", "cells", "axis")


def corners(cells):
    """The corners of triangles, whatever the degree of the elements."""
    return cells[:, :3]


def panel(figure, axes, file, name):
    values = file[name][:]
    if "axis" in file:
        x = file["axis"][:]
        shape = [len(x)] * round(np.log(len(values)) / np.log(len(x)))
        grid = values.reshape(shape)  # the last direction runs fastest
        if grid.ndim == 1:
            axes.plot(x, grid, color="#0072B2")
            axes.set_title(name, loc="left")
            return
        if grid.ndim == 3:
            grid = grid[len(x) // 2]
        drawn = axes.pcolormesh(x, x, grid, cmap="viridis", shading="gouraud")
    else:
        points, cells = file["points"][:], file["cells"][:]
        if cells.shape[1] in (3, 6):
            drawn = axes.tripcolor(points[:, 0], points[:, 1], corners(cells), values, cmap="viridis",
                                   shading="gouraud")
        else:
            middle = 0.5 * (points[:, 2].min() + points[:, 2].max())
            near = np.argsort(np.abs(points[:, 2] - middle))[: max(16, len(points) // 8)]
            drawn = axes.scatter(points[near, 0], points[near, 1], c=values[near], cmap="viridis", s=12)
    axes.set_aspect("equal")
    axes.set_title(name, loc="left")
    figure.colorbar(drawn, ax=axes, shrink=0.8)


def main():
    parser = argparse.ArgumentParser(prog="plot_fields.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("directory")
    parser.add_argument("-o", "--out", required=True, metavar="OUT.png")
    arguments = parser.parse_args()
    if Path(arguments.out).suffix not in (".png", ".pdf", ".svg"):
        parser.error(f"{arguments.out}: the picture's name must end in .png, .pdf or .svg")
    try:
        with h5py.File(Path(arguments.directory) / "solution.h5", "r") as file:
            names = [name for name in file if name not in GEOMETRY]
            order = ["state", "control", "adjoint"]
            names.sort(key=lambda name: order.index(name) if name in order else len(order))
            figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.6), squeeze=False)
            for one, name in zip(axes[0], names):
                panel(figure, one, file, name)
            figure.tight_layout()
            figure.savefig(arguments.out, dpi=150)
    except (OSError, KeyError) as error:
        print(f"plot_fields.py: {error}", file=sys.stderr)
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
