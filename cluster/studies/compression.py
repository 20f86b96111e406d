#!/usr/bin/python3
"""Studies of compressed communication: run files, a table and a picture for each.

    cluster/studies/compression.py STUDY [--out DIR] [--command build/dev/equipoise] [key=value ...]

    bytes        residual against bytes: methods on the reference game, 4 ranks
    seconds      residual against seconds on 4 nodes of 100 Mbit/s each, against the ring allreduce
    seconds-2    the same on 2 nodes of 1 Gbit/s
    shared       auto against extragradient on 2 ranks of one machine: medians of interleaved whole solves
    density      TopK and RandK from 1 % to 30 %
    steps        steps around the theory's
    collectives  every way to form a mean against MPI_Allreduce, by size and density
    collectives-network   TopK both ways and PermK, d = 1e7, 4 nodes of 1 Gbit/s
    scaling      30 iterations of a dense and a compressed method, 1 to 8 ranks: strong (8 agents), weak (2 a rank)

Further key=value words go to every run. LIBSVM files are looked for in $EQUIPOISE_DATA/libsvm. The network is emulated by cluster/network/emulate.sh (root);
EQUIPOISE_NETWORK_RUN may name another program that starts ranks on a network that is already up.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EMULATE = HERE.parent / "network" / "emulate.sh"
LARGE = ["problem.name=game", "problem.structure=low-rank", "problem.dimension=100000",
         "run.agents=4", "stop.tolerance=1e-6"]
A9A = str(Path(os.environ.get("EQUIPOISE_DATA", "data")) / "libsvm" / "a9a")
RING = {"OMPI_MCA_coll_tuned_use_dynamic_rules": "1", "OMPI_MCA_coll_tuned_allreduce_algorithm": "4"}
DENSE = ["method.name=extragradient", "run.reduction=fast", "stop.max_iterations=5000"]


class Study:
    def __init__(self, arguments, extra):
        self.command = str(Path(arguments.command).resolve())
        self.folder = Path(arguments.out or f"study-{arguments.study}").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.extra = extra
        self.rows = []

    def start(self, ranks, words, rate=None, environment=None):
        """Standard output of `equipoise WORDS` on ranks, of one machine or of an emulated network."""
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                       "OMPI_MCA_mpi_yield_when_idle": "1", **(environment or {})}
        if rate and "EQUIPOISE_NETWORK_RUN" in os.environ:
            launcher = os.environ["EQUIPOISE_NETWORK_RUN"].split()
        elif rate:
            launcher = [str(EMULATE), "with", str(ranks), rate, "--"]
        else:
            launcher = ["mpirun", "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
        done = subprocess.run([*launcher, self.command, *words], env=environment, text=True,
                              stdout=subprocess.PIPE, check=False)
        if done.returncode == 77:
            sys.exit(77)
        if done.returncode not in (0, 4, 5):  # 4: stopped at a limit, 5: diverged
            sys.exit(f"status {done.returncode}: {' '.join([*launcher, self.command, *words])}")
        return done.stdout

    def run(self, label, ranks, keys, rate=None, environment=None):
        """One run and its file; what it reports. A run that an interrupted study has finished is not done again."""
        stem = self.folder / label.replace("/", "_").replace(" ", "-").replace(":", "-")
        words = json.dumps([ranks, *keys, *self.extra, rate])
        if Path(f"{stem}.words").exists() and Path(f"{stem}.words").read_text() == words:
            return json.loads(Path(f"{stem}.json").read_text())
        self.start(ranks, ["solve", *keys, *self.extra, "--out", f"{stem}.h5", "--json", f"{stem}.json", "--overwrite",
                           "--quiet"], rate, environment)
        Path(f"{stem}.words").write_text(words)
        return json.loads(Path(f"{stem}.json").read_text())

    def solve(self, label, ranks, keys, rate=None, environment=None):
        """One run: its file, and a row of the table."""
        return self.add(label, ranks, self.run(label, ranks, keys, rate, environment))

    def add(self, label, ranks, done):
        traffic = done["traffic"]
        row = {"run": label, "ranks": ranks, "stop": done["stop"], "iterations": done["iterations"],
               "residual": f"{done['residual'] or float('nan'):.2e}", "seconds": f"{done['seconds']['total']:.3g}",
               "uplink per agent [MB]": f"{1e-6 * traffic['uplink_per_agent']:.4g}",
               "max(sent, received) [MB]": f"{1e-6 * max(traffic['sent_max'], traffic['received_max']):.4g}"}
        self.rows.append(row)
        self.table()
        print("  ".join(f"{value}" for value in row.values()), flush=True)
        return done

    def table(self):
        header = list(self.rows[0])
        lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(str(row[key]) for key in header) + " |" for row in self.rows]
        (self.folder / "table.md").write_text("\n".join(lines) + "\n")
        return "\n".join(lines)

    def picture(self):
        files = sorted(str(path) for path in self.folder.glob("*.h5"))
        subprocess.run([self.command, "plot", *files, "-o", str(self.folder / "picture.png")], check=True,
                       env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})

    # ---- the studies

    def bytes(self):
        for name in ("extragradient", "auto", "optimistic", "ogs", "three-pillars", "masha1"):
            self.solve(name, 4, ["problem.name=game", "stop.measure=distance", "stop.tolerance=1e-8",
                                 f"method.name={name}"])

    def on_network(self, ranks, rate):
        for h in ("0.08", "1"):
            game = [*LARGE, f"run.agents={ranks}", f"problem.heterogeneity={h}"]
            self.solve(f"h={h} extragradient, ring allreduce", ranks, [*game, *DENSE], rate, RING)
            self.solve(f"h={h} auto", ranks, game, rate)
            self.solve(f"h={h} auto, codec=auto", ranks, [*game, "method.codec=auto"], rate)

    def seconds(self):
        self.on_network(4, "100mbit")

    def seconds_2(self):
        self.on_network(2, "1gbit")

    def shared(self):
        low_rank = ["problem.name=game", "problem.structure=low-rank", "run.agents=2", "stop.tolerance=1e-6"]
        cases = {"game d=100": ["problem.name=game", "stop.tolerance=1e-8"],
                 "a9a": ["problem.name=robust-regression", f"problem.data={A9A}", "stop.tolerance=1e-8"]}
        for d, h in ((20000, "0.08"), (20000, "1"), (100000, "0.08"), (100000, "1"), (1000000, "0.08")):
            cases[f"low-rank d={d} h={h}"] = [*low_rank, f"problem.dimension={d}", f"problem.heterogeneity={h}"]
        for case, keys in cases.items():
            done = {"extragradient": [], "auto": []}
            for _ in range(3):
                for name, runs in done.items():
                    runs.append(self.run(f"{case} {name} {len(runs)}", 2, [*keys, f"method.name={name}", "stop.max_iterations=20000"]))
            for name, runs in done.items():
                self.add(f"{case} {name}", 2, sorted(runs, key=lambda one: one["seconds"]["total"])[1])

    def density(self):
        for k in ("0.01", "0.03", "0.1", "0.3"):
            for name, codec in (("masha2", "topk"), ("masha1", "randk")):
                self.solve(f"{name} {codec}:{k}", 4, ["problem.name=game", "problem.dimension=1000",
                                                     "problem.structure=low-rank", f"method.name={name}",
                                                     f"method.codec={codec}:{k}", "stop.tolerance=1e-4",
                                                     "stop.max_iterations=100000"])

    def steps(self):
        for name in ("extragradient", "masha1"):
            for step in ("0.0125", "0.025", "0.05", "0.1", "0.2"):
                value = float(step) if name == "extragradient" else 0.2 * float(step)
                self.solve(f"{name} step={value:g}", 4, ["problem.name=game", f"method.name={name}",
                                                         f"method.step={value:g}", "stop.tolerance=1e-4",
                                                         "stop.max_iterations=40000"])

    def measured(self, rows, title):
        """A table of measurements as an HDF5 file, a Markdown table and a picture."""
        import h5py
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
        with h5py.File(self.folder / "measured.h5", "w") as file:
            for key in rows[0]:
                column = [row[key] for row in rows]
                file[key] = [value.encode() for value in column] if isinstance(column[0], str) else column
        figure, axes = plot.subplots(figsize=(8, 5))
        for setup in dict.fromkeys(row["setup"] for row in rows):
            mine = [row for row in rows if row["setup"] == setup]
            axes.loglog([row["d"] for row in mine], [row["ratio"] for row in mine], marker="o", label=setup)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set(xlabel="d", ylabel="time / time of MPI_Allreduce", title=title)
        axes.legend(fontsize=7)
        figure.savefig(self.folder / "picture.png", dpi=120)
        self.rows = rows

    def bench(self, ranks, setups, words, title, rate=None):
        """Every setup by a process of its own, so that an interrupted study continues."""
        rows = []
        for setup in setups:
            path = self.folder / f"{setup.replace('/', '_').replace(':', '-')}.txt"
            words_now = ["bench", "collectives", f"setups={json.dumps([setup])}", *words, *self.extra]
            told = path.read_text() if path.exists() else ""
            if not told.startswith(f"{words_now}\n"):
                told = f"{words_now}\n{self.start(ranks, words_now, rate, RING if rate else None)}"
                path.write_text(told)
            for line in told.splitlines():
                parts = line.split()
                if len(parts) == 7 and parts[0].isdigit():
                    rows.append({"d": int(parts[0]), "setup": parts[1], "collective": parts[2],
                                 "milliseconds": float(parts[3]), "allreduce": float(parts[4]),
                                 "ratio": float(parts[5]), "bytes": int(parts[6])})
        self.measured(rows, title)

    def collectives(self):
        setups = ["identity", "bf16/bf16", "natural/natural", "permk", "powersgd:4"]
        for k in ("0.001", "0.01", "0.1"):
            setups += [f"topk:{k}", f"topk:{k}/topk:{k}", f"topk:{k}/identity/split",
                       f"topk:{k}/identity/recursive-doubling", f"topk:{k}/identity/balanced"]
        self.bench(4, setups, [], "4 ranks, shared memory")

    def collectives_network(self):
        self.bench(4, ["topk:0.01/topk:0.01", "permk"], ["dimensions=[1e7]", "repeats=3"],
                   "4 nodes, 1 Gbit/s, ring allreduce", "1gbit")

    def scaling(self):
        for kind in ("strong", "weak"):
            for ranks in (1, 2, 4, 8):
                d = 400000  # in the weak study the agents grow with the ranks, two each
                for name, keys in (("extragradient", ["method.name=extragradient"]),
                                   ("optimistic", ["method.name=optimistic", "method.memory=0"])):
                    self.solve(f"{kind} {name} P={ranks}", ranks,
                               ["problem.name=game", "problem.structure=low-rank", f"problem.dimension={d}",
                                f"run.agents={8 if kind == 'strong' else 2 * ranks}", "stop.tolerance=1e-200",
                                "stop.max_iterations=30", *keys])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--out")
    parser.add_argument("--command", default=str(HERE.parent.parent / "build" / "dev" / "equipoise"))
    arguments, extra = parser.parse_known_args()
    study = Study(arguments, extra)
    work = getattr(study, arguments.study.replace("-", "_"), None)
    if work is None or arguments.study in ("start", "run", "solve", "add", "table", "picture", "measured", "bench", "on-network"):
        parser.error(f"there is no study {arguments.study}")
    work()
    print(study.table())
    if not (study.folder / "measured.h5").exists():
        study.picture()


if __name__ == "__main__":
    main()
