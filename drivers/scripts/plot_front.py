#!/usr/bin/python3
"""Draws the fronts of run files: two objectives in the plane, three in space, more in parallel coordinates.

usage: plot_front.py RUN.h5... -o OUT.png [--parallel] [--reference FRONT.csv]

Every run file gives one set of points. --parallel asks for parallel coordinates (every objective scaled to [0, 1]) at
any number of objectives; --reference adds a known front, one point per line. Exit codes: 2 bad command line, 6 a file
without a front.
"""

import argparse
import re
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def holds_front(path):
    try:
        with h5py.File(path, "r") as file:
            return "solution/front_objectives" in file
    except OSError:
        return False


def read_front(path):
    try:
        with h5py.File(path, "r") as file:
            solution = file["solution"]
            columns = int(np.ravel(solution["front_objective_count"][()])[0])
            return np.reshape(solution["front_objectives"][()], (-1, columns))
    except (OSError, KeyError, ValueError) as error:
        print(f"plot_front.py: {path}: holds no front ({error})", file=sys.stderr)
        raise SystemExit(6) from error


def read_reference(path):
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    return np.array([[float(word) for word in re.split(r"[\s,;]+", line.strip())] for line in lines])


def draw_plane(axes, sets):
    for (name, front), colour in zip(sets, COLOURS * 9):
        reference = name == "reference"
        axes.plot(front[:, 0], front[:, 1], "o", markersize=1 if reference else 3,
                  color="#aaaaaa" if reference else colour, label=name)
    axes.set_xlabel("$f_1$")
    axes.set_ylabel("$f_2$")


def draw_space(axes, sets):
    for (name, front), colour in zip(sets, COLOURS * 9):
        axes.scatter(front[:, 0], front[:, 1], front[:, 2], s=6, color=colour, label=name, depthshade=True)
    axes.set_xlabel("$f_1$")
    axes.set_ylabel("$f_2$")
    axes.set_zlabel("$f_3$")
    axes.view_init(elev=22, azim=40)


def draw_parallel(axes, sets):
    everything = np.vstack([front for _, front in sets])
    low, high = everything.min(axis=0), everything.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    ticks = np.arange(everything.shape[1])
    for (name, front), colour in zip(sets, COLOURS * 9):
        lines = axes.plot(ticks, ((front - low) / width).T, color=colour, linewidth=0.6, alpha=0.5)
        lines[0].set_label(name)
    axes.set_xticks(ticks, [f"$f_{{{j + 1}}}$\n{low[j]:.3g} .. {high[j]:.3g}" for j in ticks])
    axes.set_ylabel("scaled to [0, 1]")


def draw(sets, out, parallel=False):
    """Draws named fronts of one number of objectives into the file `out`."""
    objectives = sets[0][1].shape[1]
    figure = plt.figure(figsize=(6.4, 4.8), dpi=150)
    if parallel or objectives > 3:
        draw_parallel(figure.add_subplot(), sets)
    elif objectives == 3:
        draw_space(figure.add_subplot(projection="3d"), sets)
    else:
        draw_plane(figure.add_subplot(), sets)
    figure.gca().legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(out)
    plt.close(figure)


def draw_files(paths, out, parallel=False, reference=None):
    sets = [(path, read_front(path)) for path in paths]
    if reference:
        sets.insert(0, ("reference", read_reference(reference)))
    if len({front.shape[1] for _, front in sets}) != 1:
        print("plot_front.py: the fronts have different numbers of objectives: "
              + ", ".join(f"{name} {front.shape[1]}" for name, front in sets), file=sys.stderr)
        raise SystemExit(2)
    draw(sets, out, parallel)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--parallel", action="store_true")
    parser.add_argument("--reference")
    arguments = parser.parse_args()
    draw_files(arguments.runs, arguments.output, arguments.parallel, arguments.reference)


if __name__ == "__main__":
    main()
