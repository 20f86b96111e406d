#!/usr/bin/python3
"""Writes one page about a run: what was solved, how it ended, what is proved, figures, and the whole configuration.

usage: report.py RUN.h5 -o REPORT.html

The page holds its figures and style inside, needs no network and no script. Exit codes as plot.py.
"""

import argparse
import html
import json
import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

import plot
import plot_front

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } td { border-bottom: 1px solid #e4e4e4; padding: .2rem .8rem .2rem 0; vertical-align: top; }
td:first-child { color: #555; width: 18rem; } td:last-child { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.good { color: #006b4a; } .bad { color: #a63c00; } .lead { font-size: 1.1rem; margin-top: .3rem; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; } figure { margin: 0; } svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; } pre { white-space: pre-wrap; } }
"""


def say(value):
    """A figure as a person reads it."""
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return str(value)


def table(rows):
    body = "".join(f"<tr><td>{html.escape(str(key))}</td><td>{html.escape(say(value))}</td></tr>\n" for key, value in rows)
    return f"<table>\n{body}</table>\n"


def section(title, content):
    return f"<h2>{html.escape(title)}</h2>\n{content}" if content else ""


def svg(draw):
    """What `draw(path)` paints, as text for inside the page; nothing where there is nothing to draw."""
    handle, path = tempfile.mkstemp(suffix=".svg")
    os.close(handle)
    try:
        draw(path)
        text = Path(path).read_text(encoding="utf-8")
    except (plot.NoRunFile, ValueError):
        return ""
    finally:
        os.unlink(path)
    return f"<figure>{text[text.index('<svg'):]}</figure>\n"


def attributes(group):
    found = []
    for key, value in group.attrs.items():
        value = value.decode() if isinstance(value, bytes) else value
        if isinstance(value, np.ndarray):
            value = value.reshape(-1)[0] if value.size == 1 else value.tolist()
        found.append((key, value.item() if isinstance(value, np.generic) else value))
    return found


def solution_rows(group):
    rows = []
    group.visititems(lambda name, item: rows.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    told = []
    for name, item in rows:
        values = np.asarray(item[()])
        shape = " x ".join(map(str, values.shape)) or "one number"
        if values.size and np.issubdtype(values.dtype, np.number):
            told.append((name, f"{shape}; from {say(float(values.min()))} to {say(float(values.max()))}"))
        else:
            told.append((name, shape))
    return told


def page(path):
    try:
        with h5py.File(path, "r") as file:
            if not {"config", "summary", "trace"} <= set(file):
                raise plot.NoRunFile(f"{path}: no run file of equipoise (it lacks /config, /summary or /trace)")
            config, summary = plot.text(file["config"]), json.loads(plot.text(file["summary"]))
            problem, versions = attributes(file["problem"]), attributes(file["versions"])
            certificate = attributes(file["certificate"])
            solution = solution_rows(file["solution"]) if "solution" in file else []
            is_front = "solution/front_objectives" in file
    except OSError as error:
        raise plot.NoRunFile(f"{path}: no run file of equipoise ({error})") from None
    facts = summary["problem"]
    title = f"{facts['family']} / {facts['name']}"
    reached = summary["stop"] == "converged"
    verdict = "reached its tolerance" if reached else f"ended before its tolerance: {summary['stop']}"
    ending = [("stop", summary["stop"]), ("iterations", summary["iterations"]), ("measure", summary["residual"]),
              ("objective", summary["objective"]), ("seconds", summary["seconds"]["total"])]
    if summary.get("message"):
        ending.append(("message", summary["message"]))
    moved = [(key.replace("_", " "), value) for key, value in summary["traffic"].items()] if summary["traffic"]["rounds"] else []
    calls = [(key.replace("_", " "), value) for key, value in summary["oracle_calls"].items()]
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}: {html.escape(summary['method']['name'])}</title>
<style>{STYLE}</style></head>
<body>
<h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(summary['method']['name'])} <span class="{'good' if reached else 'bad'}">{html.escape(verdict)}</span></p>
{section("How it ended", table(ending))}
{section("What is proved about the solution", table(certificate) if certificate else "")}
{section("History", svg(lambda out: plot.draw([plot.read_run(path)], out)))}
{section("Front", svg(lambda out: plot_front.draw([("points", plot_front.read_front(path))], out)) if is_front else "")}
{section("Problem", table(problem))}
{section("Bytes moved", table(moved) if moved else "")}
{section("Calls of the problem's functions", table(calls) if calls else "")}
{section("Solution in the run file", table(solution) if solution else "")}
{section("Configuration", f"<pre>{html.escape(config)}</pre>")}
{section("Made with", table(versions))}
</body>
</html>
"""


def main():
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", metavar="RUN.h5", help="run file")
    parser.add_argument("-o", "--out", required=True, metavar="REPORT.html", help="the page")
    arguments = parser.parse_args()
    try:
        text = page(arguments.run)
        partial = Path(arguments.out + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(arguments.out)
    except plot.NoRunFile as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 6
    except OSError as error:
        print(f"report.py: {arguments.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
