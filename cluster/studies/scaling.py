#!/usr/bin/python3
"""Strong and weak scaling of every family: seconds of an iteration against ranks, with parallel efficiency.

    cluster/studies/scaling.py [--out DIR] [--ranks 1,2,4] [--repeats 3] [--families vi,bilevel,control,pareto] [--scale 1]
                               [--limit SECONDS] [--launcher "srun --mpi=pmix"]

In the weak study the work grows with the ranks: agents, blocks, cells and population; in the strong study it is that of
the most ranks. Runs are interleaved and the median counts; every run appends to DIR/runs.jsonl: a study that was
interrupted, or that reached --limit, continues. Writes DIR/table.md, DIR/scaling.h5 and DIR/picture.png.
"""

import argparse
import os
from pathlib import Path

import h5py
import numpy as np

import study

KINDS = ("strong", "weak")
ENDLESS = ["stop.tolerance=1e-200", "stop.stall_checks=0"]


def words(family, size, scale):
    """A case of `size` times the work of one rank in the weak study."""
    if family == "vi":
        return ["problem.name=game", "problem.structure=low-rank", f"problem.dimension={2 * int(100000 * scale)}",
                f"run.agents={8 * size}", "method.name=extragradient", *ENDLESS, "stop.max_iterations=20"]
    if family == "bilevel":
        return ["problem.family=bilevel", "problem.name=quadratic", f"problem.blocks={int(20000 * scale) * size}",
                "method.name=implicit", *ENDLESS, "stop.max_iterations=20"]
    if family == "control":
        return ["problem.family=control", "problem.name=poisson-control",
                f"problem.cells={2 * round(128 * (scale * size) ** 0.5)}", "method.name=reduced-cg"]
    return ["problem.family=pareto", "problem.name=dtlz", "problem.number=2", "method.name=nsga2",
            f"method.population={4 * int(100 * scale) * size}", "stop.max_iterations=50"]


def measure(given, row, largest):
    size = largest if row["kind"] == "strong" else row["ranks"]
    found = study.solve(given, row["ranks"], words(row["family"], size, given.scale), Path(given.out) / "run")
    steps = found["iterations"]
    return {"seconds": found["seconds"]["total"] / steps, "iterations": steps,
            "bytes": max(found["traffic"]["sent_max"], found["traffic"]["received_max"]) / steps}


def tabulate(rows, families, ranks):
    """Medians, with the efficiency against the fewest ranks."""
    table = []
    for family in families:
        for kind in KINDS:
            for p in ranks:
                mine = [row for row in rows if (row["family"], row["kind"], row["ranks"]) == (family, kind, p)]
                table.append({"family": family, "kind": kind, "ranks": p,
                              **{key: float(np.median([row[key] for row in mine])) for key in ("seconds", "bytes", "iterations")}})
            first = table[-len(ranks)]
            for row in table[-len(ranks):]:
                row["efficiency"] = first["seconds"] / row["seconds"] * (first["ranks"] / row["ranks"] if kind == "strong" else 1.0)
    return table


def tell(folder, table, cores):
    lines = ["| family | study | ranks | ms an iteration | efficiency | kB moved an iteration |", "|---|---|---|---|---|---|"]
    lines += [f"| {row['family']} | {row['kind']} | {row['ranks']} | {1e3 * row['seconds']:.2f} | {row['efficiency']:.2f} | "
              f"{1e-3 * row['bytes']:.1f} |" for row in table]
    if max(row["ranks"] for row in table) > cores:
        lines.append(f"\nThis machine has {cores} cores: with more ranks than that no efficiency above cores / ranks is possible in "
                     "either study.")
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    with h5py.File(folder / "scaling.h5", "w") as file:
        for key in table[0]:
            file[key] = [row[key] for row in table]
        file.attrs["cores"] = cores
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plot
    figure, both = plot.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    ranks = sorted({row["ranks"] for row in table})
    for axes, kind in zip(both, KINDS):
        for family in dict.fromkeys(row["family"] for row in table):
            mine = [row for row in table if (row["family"], row["kind"]) == (family, kind)]
            axes.plot([row["ranks"] for row in mine], [row["efficiency"] for row in mine], marker="o", label=family)
        axes.plot(ranks, [min(1.0, cores / p * max(1.0, ranks[0] / cores)) for p in ranks], color="black", linewidth=0.8,
                  label=f"best on {cores} cores")
        axes.set_xscale("log", base=2)
        axes.set_xticks(ranks, [str(p) for p in ranks])
        axes.set(xlabel="ranks", title=f"{kind} scaling", ylim=(0, None))
    both[0].set_ylabel("parallel efficiency")
    both[0].legend()
    figure.savefig(folder / "picture.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    study.options(parser, "study-scaling")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--families", default="vi,bilevel,control,pareto")
    parser.add_argument("--scale", type=float, default=1.0, help="of the work of one rank")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="that all ranks together can use")
    given = parser.parse_args()
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    families, ranks = given.families.split(","), [int(word) for word in given.ranks.split(",")]
    wanted = [{"repeat": repeat, "family": family, "kind": kind, "ranks": p, "scale": given.scale}
              for repeat in range(given.repeats) for family in families for kind in KINDS for p in ranks]
    log = study.Log(folder, ("repeat", "family", "kind", "ranks", "scale"))
    if log.fill(wanted, lambda row: measure(given, row, max(ranks)), given.limit):
        tell(folder, tabulate([row for row in log.rows() if row["scale"] == given.scale], families, ranks), given.cores)
    else:
        print("time is up; the same command continues")


if __name__ == "__main__":
    main()
