#!/usr/bin/python3
"""Strong and weak scaling of every family: seconds of an iteration against ranks, with parallel efficiency.

    cluster/studies/scaling.py [--out DIR] [--command build/dev/equipoise] [--ranks 1,2,4] [--repeats 3]
                               [--families vi,bilevel,control,pareto] [--launcher "srun --mpi=pmix"]

In the weak study the work grows with the ranks: agents, blocks, cells and population. Runs are interleaved and the
median counts; every run appends to DIR/runs.jsonl, so a study that was interrupted continues. Writes DIR/table.md,
DIR/scaling.h5 and DIR/picture.png.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
ENDLESS = ["stop.tolerance=1e-200", "stop.stall_checks=0"]


def words(family, size):
    """A case of `size` times the work of one rank in the weak study."""
    if family == "vi":
        return ["problem.name=game", "problem.structure=low-rank", "problem.dimension=200000", f"run.agents={8 * size}",
                "method.name=extragradient", *ENDLESS, "stop.max_iterations=20"]
    if family == "bilevel":
        return ["problem.family=bilevel", "problem.name=quadratic", f"problem.blocks={2000 * size}", "method.name=implicit",
                *ENDLESS, "stop.max_iterations=20"]
    if family == "control":
        cells = {1: 256, 2: 362, 4: 512, 8: 724, 16: 1024}.get(size, int(256 * size ** 0.5))
        return ["problem.family=control", "problem.name=poisson-control", f"problem.cells={cells}", "method.name=reduced-cg"]
    return ["problem.family=pareto", "problem.name=dtlz", "problem.number=2", "method.name=nsga2",
            f"method.population={400 * size}", "stop.max_iterations=50"]


class Study:
    def __init__(self, given):
        self.command = str(Path(given.command).resolve())
        self.folder = Path(given.out).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launcher = given.launcher.split() if given.launcher else ["mpirun", "-q", "--oversubscribe", "--bind-to", "none"]
        self.ranks = [int(word) for word in given.ranks.split(",")]
        self.families, self.repeats = given.families.split(","), given.repeats
        self.log = self.folder / "runs.jsonl"

    def rows(self):
        lines = self.log.read_text().split("\n") if self.log.exists() else []
        return [json.loads(line) for line in lines[:-1]]

    def measure(self):
        done = {(row["family"], row["kind"], row["ranks"], row["repeat"]) for row in self.rows()}
        for repeat in range(self.repeats):
            for family in self.families:
                for kind in ("strong", "weak"):
                    for ranks in self.ranks:
                        if (family, kind, ranks, repeat) in done:
                            continue
                        size = max(self.ranks) if kind == "strong" else ranks
                        row = {"family": family, "kind": kind, "ranks": ranks, "repeat": repeat, **self.one(family, size, ranks)}
                        with open(self.log, "a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
                        print(f"{family} {kind} {ranks} ranks: {row['seconds']:.3f} s", flush=True)

    def one(self, family, size, ranks):
        facts = self.folder / "run.json"
        done = subprocess.run(
            [*self.launcher, "-n", str(ranks), self.command, "solve", *words(family, size), "--json", str(facts), "--overwrite",
             "--quiet"], check=False, capture_output=True, text=True,
            env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                 "OMPI_MCA_mpi_yield_when_idle": "1", "OPENBLAS_NUM_THREADS": "1"})
        if done.returncode not in (0, 4):
            sys.exit(f"{family} on {ranks} ranks ended with {done.returncode}\n{done.stderr}")
        found = json.loads(facts.read_text())
        return {"seconds": found["seconds"]["total"], "iterations": found["iterations"],
                "bytes": max(found["traffic"]["sent_max"], found["traffic"]["received_max"])}

    def tell(self):
        runs = self.rows()
        table = []
        for family in self.families:
            for kind in ("strong", "weak"):
                for ranks in self.ranks:
                    mine = [row for row in runs if (row["family"], row["kind"], row["ranks"]) == (family, kind, ranks)]
                    table.append({"family": family, "kind": kind, "ranks": ranks,
                                  "seconds": float(np.median([row["seconds"] / row["iterations"] for row in mine])),
                                  "bytes": float(np.median([row["bytes"] / row["iterations"] for row in mine]))})
                first = table[-len(self.ranks)]
                for row in table[-len(self.ranks):]:
                    speed = first["seconds"] / row["seconds"]
                    row["efficiency"] = speed * (first["ranks"] / row["ranks"] if kind == "strong" else 1.0)
        lines = ["| family | study | ranks | ms an iteration | efficiency | kB moved an iteration |", "|---|---|---|---|---|---|"]
        lines += [f"| {row['family']} | {row['kind']} | {row['ranks']} | {1e3 * row['seconds']:.2f} | {row['efficiency']:.2f} | "
                  f"{1e-3 * row['bytes']:.1f} |" for row in table]
        (self.folder / "table.md").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))
        with h5py.File(self.folder / "scaling.h5", "w") as file:
            for key in table[0]:
                file[key] = [row[key] for row in table]
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
        figure, both = plot.subplots(1, 2, figsize=(9, 4), sharey=True)
        for axes, kind in zip(both, ("strong", "weak")):
            for family in self.families:
                mine = [row for row in table if (row["family"], row["kind"]) == (family, kind)]
                axes.semilogx([row["ranks"] for row in mine], [row["efficiency"] for row in mine], marker="o", base=2, label=family)
            axes.axhline(1.0, color="black", linewidth=0.8)
            axes.set(xlabel="ranks", title=f"{kind} scaling", ylim=(0, None))
        both[0].set_ylabel("parallel efficiency")
        both[0].legend()
        figure.savefig(self.folder / "picture.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="study-scaling")
    parser.add_argument("--command", default=str(HERE.parent.parent / "build" / "dev" / "equipoise"))
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--families", default="vi,bilevel,control,pareto")
    parser.add_argument("--launcher", help="starts ranks, takes -n (default: mpirun)")
    study = Study(parser.parse_args())
    study.measure()
    study.tell()


if __name__ == "__main__":
    main()
