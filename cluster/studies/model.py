#!/usr/bin/python3
"""The model of `equipoise plan`, fitted from run files of this machine, with its error on what was held out.

    cluster/studies/model.py [--out DIR] [--command build/dev/equipoise] [--repeats 3] [--seconds 3]

Problems that move much and problems that compute much run on 1, 2 and 4 ranks in shared memory and on emulated networks
of three bandwidths (cluster/network/emulate.sh, root), interleaved and repeated; the median counts. Every run appends to
DIR/runs.jsonl, so a study that was interrupted continues. Fitted are, over all problems together,

    seconds of an iteration = overload (shared ceil(M/P)/M + replicated)
        + messages message_seconds + bytes (8 / (bandwidth bandwidth_share) + byte_seconds)

where `shared` and `replicated` of a problem follow from its runs on 1 and 2 ranks in shared memory, as `plan` does it,
and overload = max(1, ranks / cores). Held out from the fit: one bandwidth, and two problems altogether. Writes
DIR/model.json (for `equipoise plan --model`), DIR/model.h5, DIR/table.md and DIR/picture.png.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
EMULATE = HERE.parent / "network" / "emulate.sh"
RATES = {"": 0.0, "100mbit": 1e8, "300mbit": 3e8, "1gbit": 1e9}
HELD_RATE = "300mbit"
GAME = ["problem.name=game", "problem.structure=low-rank", "stop.tolerance=1e-200", "stop.stall_checks=0",
        "stop.max_iterations=100000"]
EG, MASHA = "method.name=extragradient", "method.name=masha1"
PROBLEMS = {  # name: (agents, held out, bound by, words)
    "dense 1e5": (4, False, "communication", [*GAME, EG, "problem.dimension=100000"]),
    "permk 1e5": (4, False, "communication", [*GAME, MASHA, "method.codec=permk", "problem.dimension=100000"]),
    "dense 2e4": (64, False, "computing", [*GAME, EG, "problem.dimension=20000"]),
    "dense 5e4": (4, True, "communication", [*GAME, EG, "problem.dimension=50000"]),
    "permk 4e4": (48, True, "computing", [*GAME, MASHA, "method.codec=permk", "problem.dimension=40000"]),
}


def configurations():
    for rate in RATES:
        for ranks in (1, 2, 4):
            if ranks > 1 or not rate:
                for name in PROBLEMS:
                    yield name, ranks, rate


class Study:
    def __init__(self, given):
        self.command = str(Path(given.command).resolve())
        self.folder = Path(given.out).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.repeats, self.seconds = given.repeats, given.seconds
        self.log = self.folder / "runs.jsonl"

    def rows(self):
        lines = self.log.read_text().split("\n") if self.log.exists() else []
        return [json.loads(line) for line in lines[:-1]]

    def measure(self):
        done = {(row["problem"], row["ranks"], row["rate"], row["repeat"]) for row in self.rows()}
        for repeat in range(self.repeats):
            for name, ranks, rate in configurations():
                if (name, ranks, rate, repeat) in done:
                    continue
                row = {"problem": name, "ranks": ranks, "rate": rate, "repeat": repeat, **self.one(name, ranks, rate)}
                with open(self.log, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name}, {ranks} ranks, {rate or 'shared memory'}: {1e3 * row['seconds']:.2f} ms", flush=True)

    def one(self, name, ranks, rate):
        """Medians of one run, per iteration, from the history in its run file."""
        agents, _, _, words = PROBLEMS[name]
        path = self.folder / "run.h5"
        launcher = [str(EMULATE), "with", str(ranks), rate, "--"] if rate else \
            ["mpirun", "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
        done = subprocess.run(
            [*launcher, self.command, "solve", *words, f"run.agents={agents}", f"stop.max_seconds={self.seconds}",
             "run.trace_rows=100000", "--out", str(path), "--overwrite", "--quiet"], check=False, capture_output=True, text=True,
            env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                 "OMPI_MCA_mpi_yield_when_idle": "1", "OPENBLAS_NUM_THREADS": "1"})
        if done.returncode == 77:
            sys.exit(77)
        if done.returncode != 4:
            sys.exit(f"{name}, {ranks} ranks, {rate}: status {done.returncode}\n{done.stderr}")
        with h5py.File(path, "r") as file:
            trace = {key: file["trace"][key][()] for key in
                     ("iteration", "seconds", "sent_bytes_max", "received_bytes_max", "rounds")}
        steps = np.diff(trace["iteration"])
        each = {key: np.diff(column) / steps for key, column in trace.items()}
        return {"seconds": float(np.median(each["seconds"])), "rounds": float(np.mean(each["rounds"])),
                "bytes": float(max(np.mean(each["sent_bytes_max"]), np.mean(each["received_bytes_max"])))}

    # ---- the fit

    def medians(self):
        table = {}
        for row in self.rows():
            table.setdefault((row["problem"], row["ranks"], row["rate"]), []).append(row)
        return {key: {column: float(np.median([row[column] for row in rows])) for column in ("seconds", "bytes", "rounds")}
                for key, rows in table.items()}

    @staticmethod
    def predict(table, key, theta):
        message, byte, share = theta
        name, ranks, rate = key
        agents = PROBLEMS[name][0]
        cores = os.cpu_count()

        def moving(ranks, facts):
            return facts["rounds"] * 2 * (ranks - 1) * message + facts["bytes"] * byte
        alone, two = table[name, 1, ""], table[name, 2, ""]
        part = math.ceil(agents / 2) / agents
        shared = min(max((alone["seconds"] - two["seconds"] + moving(2, two)) / (1 - part), 0.0), alone["seconds"])
        facts = table[key]
        seconds = max(1.0, ranks / cores) * (shared * math.ceil(agents / ranks) / agents + alone["seconds"] - shared)
        return seconds + moving(ranks, facts) + (8 * facts["bytes"] / (RATES[rate] * share) if rate else 0.0)

    def fit(self, table):
        """Least absolute logarithmic errors, by a search that halves its steps."""
        def is_held(key):
            return PROBLEMS[key[0]][1] or key[2] == HELD_RATE
        known = {key for key in table if key[2] == "" and key[1] < 3}  # what `plan` measures itself
        train = [key for key in table if key not in known and not is_held(key)]
        held = [key for key in table if key not in known and is_held(key)]

        def errors(keys, theta):
            return np.array([math.log(self.predict(table, key, theta) / table[key]["seconds"]) for key in keys])

        def loss(theta):
            return np.mean(np.abs(errors(train, theta)))
        theta, step = np.array([2e-6, 5e-10, 0.9]), 2.0
        while step > 1.001:
            trials = []
            for i in range(3):
                for factor in (step, 1 / step):
                    trial = theta.copy()
                    trial[i] *= factor
                    trial[2] = min(trial[2], 1.0)
                    trials.append(trial)
            best = min(trials, key=loss)
            if loss(best) < loss(theta):
                theta = best
            else:
                step = math.sqrt(step)
        return theta, train, held, {key: float(np.expm1(abs(error))) for keys in (train, held)
                                    for key, error in zip(keys, errors(keys, theta))}

    def tell(self):
        table = self.medians()
        theta, train, held, errors = self.fit(table)
        lines = ["| problem | bound by | ranks | network | measured [ms] | model [ms] | error | |", "|---|---|---|---|---|---|---|---|"]
        for key in [*train, *held]:
            name, ranks, rate = key
            lines.append(f"| {name} | {PROBLEMS[name][2]} | {ranks} | {rate or 'shared memory'} | {1e3 * table[key]['seconds']:.2f} | "
                         f"{1e3 * self.predict(table, key, theta):.2f} | {100 * errors[key]:.0f} % | {'held out' if key in held else ''} |")
        for what in ("communication", "computing"):
            mine = [errors[key] for key in held if PROBLEMS[key[0]][2] == what]
            if mine:
                lines.append(f"\nHeld out, bound by {what}: median error {100 * np.median(mine):.0f} %, "
                             f"largest {100 * max(mine):.0f} % of {len(mine)}.")
        median = float(np.median([errors[key] for key in held]))
        lines.append(f"\nAll held out: median error {100 * median:.0f} %.")
        (self.folder / "table.md").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))
        model = {"message_seconds": theta[0], "byte_seconds": theta[1], "bandwidth_share": theta[2],
                 "relative_error": float(np.quantile([errors[key] for key in held], 0.9)), "median_error": median,
                 "measured_ranks": max(key[1] for key in table)}
        (self.folder / "model.json").write_text(json.dumps(model, indent=2) + "\n")
        keys = list(errors)
        measured = [table[key]["seconds"] for key in keys]
        modelled = [self.predict(table, key, theta) for key in keys]
        with h5py.File(self.folder / "model.h5", "w") as file:
            file["problem"], file["rate"] = [key[0] for key in keys], [key[2] for key in keys]
            file["ranks"], file["held_out"] = [key[1] for key in keys], [key in held for key in keys]
            file["measured_seconds"], file["model_seconds"] = measured, modelled
            file.attrs.update(model)
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
        figure, axes = plot.subplots(figsize=(5, 5))
        for label, chosen in (("fitted", train), ("held out", held)):
            axes.loglog([table[key]["seconds"] for key in chosen], [self.predict(table, key, theta) for key in chosen], "o",
                        label=label)
        span = [min(measured + modelled), max(measured + modelled)]
        axes.loglog(span, span, color="black", linewidth=0.8)
        axes.set(xlabel="measured, seconds of an iteration", ylabel="model")
        axes.legend()
        figure.savefig(self.folder / "picture.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="study-model")
    parser.add_argument("--command", default=str(HERE.parent.parent / "build" / "dev" / "equipoise"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    study = Study(parser.parse_args())
    study.measure()
    study.tell()


if __name__ == "__main__":
    main()
