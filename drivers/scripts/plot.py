#!/usr/bin/python3
"""Draws run files: their fronts where every file holds one, else the residual against bytes, iterations and seconds.

usage: plot.py RUN.h5... -o OUT.png [--history]      (also .pdf and .svg; --history: the residual in any case)

Every run file gives one line, named after its method and codecs, and, where these are equal, after the keys of the
configuration in which the runs differ. Exit codes: 2 bad command line, 6 a file that is no run file.
"""

import argparse
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import plot_front  # noqa: E402

# Okabe and Ito's colours: told apart by colour-blind readers, and in print.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
DASHES = ["-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5))]
STYLE = {
    "figure.dpi": 150, "savefig.dpi": 150, "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "legend.fontsize": 8.5, "legend.frameon": False, "lines.linewidth": 1.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.7,
    "axes.axisbelow": True, "xtick.direction": "out", "ytick.direction": "out",
}
MEASURES = {
    "residual": "natural residual / its start",
    "distance": "squared relative distance",
    "relative_gap": "relative gap",
    "average_excess_cost": "average excess cost",
}
# In the legend for themselves, or of no influence on what is drawn.
NOT_TOLD = ("method.name", "method.codec", "method.server_codec", "run.checkpoint_every",
            "run.checkpoint_iterations")


class NoRunFile(Exception):
    """A file that cannot be drawn; the message says why."""


@dataclass
class Run:
    path: str
    config: dict  # dotted key -> value
    trace: dict   # column -> numbers, rows with a residual only
    label: str = ""


def flatten(table, prefix=""):
    """Nested tables as dotted keys."""
    flat = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def text(dataset):
    value = dataset[()]
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def read_run(path):
    if not Path(path).is_file():
        raise NoRunFile(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            if "config" not in file or "trace" not in file:
                raise NoRunFile(f"{path}: no run file of equipoise (it lacks /config or /trace)")
            config = flatten(tomllib.loads(text(file["config"])))
            trace = {name: np.asarray(data, dtype=float) for name, data in file["trace"].items()}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise NoRunFile(f"{path}: no run file of equipoise ({error})") from None
    for column in ("iteration", "residual"):
        if column not in trace:
            raise NoRunFile(f"{path}: the trace has no column '{column}'")
    if {"sent_bytes_max", "received_bytes_max"} <= trace.keys():
        trace["peer_bytes"] = np.maximum(trace["sent_bytes_max"], trace["received_bytes_max"])
    drawn = np.isfinite(trace["residual"]) & (trace["residual"] > 0)
    if not drawn.any():
        raise NoRunFile(f"{path}: the trace holds no positive residual to draw")
    return Run(path, config, {name: column[drawn] for name, column in trace.items()})


def name_runs(runs):
    """Labels: method and codecs, then the keys in which equally named runs differ."""
    for run in runs:
        codec = str(run.config.get("method.codec", "identity"))
        server = str(run.config.get("method.server_codec", "identity"))
        codecs = [codec] if codec != "identity" else []
        if server != "identity":
            codecs = [f"{codec} up, {server} down"] if codec != server else [f"{codec} both ways"]
        run.label = " ".join([str(run.config.get("method.name", Path(run.path).stem)), *codecs])
    for label in {run.label for run in runs}:
        alike = [run for run in runs if run.label == label]
        if len(alike) == 1:
            continue
        keys = sorted(set().union(*(run.config for run in alike)) - set(NOT_TOLD))
        differing = [key for key in keys if len({repr(run.config.get(key)) for run in alike}) > 1]
        for run in alike:
            told = [f"{key.removeprefix('method.')}={run.config.get(key)}" for key in differing[:3]]
            run.label += f" ({', '.join(told) or Path(run.path).name})"


def common(runs, key):
    """The value of a key that all runs share, else None."""
    values = {repr(run.config.get(key)) for run in runs}
    return runs[0].config.get(key) if len(values) == 1 else None


def draw_panel(axes, runs, column, title, unit, tolerance):
    for number, run in enumerate(runs):
        if column not in run.trace:
            continue
        x, y = run.trace[column], run.trace["residual"]
        positive = x > 0
        if not positive.any():
            continue
        axes.plot(x[positive], y[positive], color=COLOURS[number % len(COLOURS)],
                  linestyle=DASHES[number // len(COLOURS) % len(DASHES)])
        axes.plot(x[positive][-1], y[positive][-1], marker="o", markersize=3.5,
                  color=COLOURS[number % len(COLOURS)])
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, right * 1e-5), right)
    reached = min((run.trace["residual"].min() for run in runs), default=0.0)
    if tolerance is not None and tolerance > 1e-6 * reached:  # a goal out of reach would flatten the histories
        axes.axhline(tolerance, color="#777777", linewidth=0.8, linestyle=(0, (2, 2)))


def draw(runs, out):
    name_runs(runs)
    panels = [
        ("uplink_bytes_per_agent", "What an agent sends", "bytes sent per agent (payload)"),
        ("peer_bytes", "What the busiest rank moves", "max(sent, received) bytes per rank"),
        ("iteration", "Iterations", "iterations"),
        ("seconds", "Time", "seconds"),
    ]
    panels = [panel for panel in panels if any(np.any(run.trace.get(panel[0], 0) > 0) for run in runs)]
    tolerance = common(runs, "stop.tolerance")
    measure = common(runs, "stop.measure")
    with plt.rc_context(STYLE):
        rows = (len(panels) + 1) // 2
        legend_rows = (len(runs) + 1) // 2
        height = 2.75 * rows + 0.5 + 0.19 * legend_rows
        figure, grid = plt.subplots(rows, 2, figsize=(8.2, height), sharey=True, squeeze=False)
        for axes, (column, title, unit) in zip(grid.flat, panels):
            draw_panel(axes, runs, column, title, unit, tolerance)
        for axes in list(grid.flat)[len(panels):]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(MEASURES.get(measure, "measure of the stop rule"))
        handles = [
            plt.Line2D([], [], color=COLOURS[number % len(COLOURS)],
                       linestyle=DASHES[number // len(COLOURS) % len(DASHES)], label=run.label)
            for number, run in enumerate(runs)
        ]
        figure.legend(handles=handles, loc="lower center", ncol=2 if len(runs) > 1 else 1)
        problem = common(runs, "problem.name")
        if problem:
            data = common(runs, "problem.data") or common(runs, "problem.net")
            figure.suptitle(f"{problem}{f', {Path(str(data)).name}' if data else ''}",
                            x=0.01, ha="left", fontsize=11)
        figure.tight_layout(rect=(0, (0.15 + 0.19 * legend_rows) / height, 1, 1))
        figure.savefig(out)
        plt.close(figure)


def main():
    parser = argparse.ArgumentParser(prog="plot.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", metavar="RUN.h5", help="run files")
    parser.add_argument("--history", action="store_true", help="the residual, also where the files hold fronts")
    parser.add_argument("-o", "--out", required=True, metavar="OUT.png", help="picture: .png, .pdf or .svg")
    arguments = parser.parse_args()
    suffix = Path(arguments.out).suffix
    if suffix not in (".png", ".pdf", ".svg"):
        parser.error(f"{arguments.out}: the picture's name must end in .png, .pdf or .svg")
    try:
        if not arguments.history and all(plot_front.holds_front(path) for path in arguments.runs):
            plot_front.draw_files(arguments.runs, arguments.out)
            return 0
        draw([read_run(path) for path in arguments.runs], arguments.out)
    except NoRunFile as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 6
    except OSError as error:
        print(f"plot.py: {arguments.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
