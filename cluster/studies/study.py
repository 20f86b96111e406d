"""What studies share: runs whose figures are kept line by line, so that an interrupted study continues."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
EMULATE = HERE.parent / "network" / "emulate.sh"
COMMAND = HERE.parent.parent / "build" / "dev" / "equipoise"
MPIRUN = ["mpirun", "-q", "--oversubscribe", "--bind-to", "none"]
ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
               "OPENBLAS_NUM_THREADS": "1"}


def options(parser, out):
    parser.add_argument("--out", default=out, help="folder of the results; a study found there continues")
    parser.add_argument("--command", default=str(COMMAND))
    parser.add_argument("--repeats", type=int, default=3, help="runs of each configuration, interleaved; medians count")
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no run after this many seconds")
    parser.add_argument("--launcher", help="starts ranks, takes -n (default: mpirun)")


class Log:
    """Rows of measurements in DIR/runs.jsonl, known by the values of `keys`."""

    def __init__(self, folder, keys):
        self.path, self.keys = Path(folder) / "runs.jsonl", keys

    def rows(self):
        """Without a last line that was cut off."""
        lines = self.path.read_text().split("\n") if self.path.exists() else []
        return [json.loads(line) for line in lines[:-1]]

    def fill(self, wanted, measure, limit=float("inf")):
        """Appends {**row, **measure(row)} for every wanted row that is missing; False if time ran out before the end."""
        start = time.monotonic()
        if self.path.exists() and not self.path.read_text().endswith("\n"):
            kept = self.path.read_text().rpartition("\n")
            self.path.write_text(kept[0] + kept[1])
        done = {tuple(row[key] for key in self.keys) for row in self.rows()}
        for row in wanted:
            if tuple(row[key] for key in self.keys) in done:
                continue
            if time.monotonic() - start > limit:
                return False
            found = measure(row)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({**row, **found}) + "\n")
            told = ", ".join(str(row[key]) for key in self.keys)
            print(f"{told}: {1e3 * found['seconds']:.3f} ms", flush=True)
        return True


def solve(given, ranks, words, path, rate=""):
    """One run on `ranks` ranks of this machine or of a network of `rate`; its summary. Ends the study where it fails."""
    if rate:
        launcher = [str(EMULATE), "with", str(ranks), rate, "--"]
    else:
        launcher = [*(given.launcher.split() if given.launcher else MPIRUN), "-n", str(ranks)]
    line = [*launcher, str(Path(given.command).resolve()), "solve", *words, "--out", f"{path}.h5", "--json", f"{path}.json",
            "--overwrite", "--quiet"]
    for _ in range(60):
        done = subprocess.run(line, check=False, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
        if "a network is up already" not in done.stderr:
            break
        time.sleep(1)
    if done.returncode == 77:
        print(done.stderr, file=sys.stderr)
        sys.exit(77)
    if done.returncode not in (0, 4):  # 4: stopped at a limit
        sys.exit(f"status {done.returncode}: {' '.join(line)}\n{done.stderr}")
    return json.loads(Path(f"{path}.json").read_text())
