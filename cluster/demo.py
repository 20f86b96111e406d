#!/usr/bin/python3
"""The demonstration: what compressed communication costs and saves on real problems.

usage: demo.py EQUIPOISE       (called by `cluster/local.sh demo`, which builds the command and sets MPI up)

Run files go to build/demo, the picture to demo.png in the project's folder. Status 0 if every claim held.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "demo"
DATA = Path(os.environ.get("EQUIPOISE_DATA", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT / "tests" / "command"))
from same_solution import differences  # noqa: E402

RANKS = 4


@dataclass
class Case:
    name: str    # of the run file
    title: str   # in the table
    keys: list   # key=value
    fails: bool = False  # a baseline that is expected not to converge


def fail(message):
    print(f"demo: {message}", file=sys.stderr)
    sys.exit(1)


def launch(equipoise, ranks, arguments):
    """mpirun as an own process; what it prints is kept for the case of an error."""
    return subprocess.Popen(["mpirun", "-q", "-n", str(ranks), "--bind-to", "none", equipoise, *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(equipoise, arguments, ranks=RANKS, accept=(0,)):
    process = launch(equipoise, ranks, arguments)
    output, _ = process.communicate()
    if process.returncode not in accept:
        fail(f"status {process.returncode} of: equipoise {' '.join(arguments)}\n{output}")
    return output


def solve(equipoise, case, problem, ranks=RANKS):
    """Runs one case; returns the facts of its JSON summary and the run file."""
    run_file, facts = OUT / f"{case.name}.h5", OUT / f"{case.name}.json"
    run(equipoise, ["solve", *problem, *case.keys, "--out", str(run_file), "--json", str(facts), "--overwrite",
                    "--quiet"], ranks, accept=(0, 4, 5) if case.fails else (0,))
    return json.loads(facts.read_text()), run_file


def amount(count):
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


METRICS = {
    "iterations": lambda facts: facts["iterations"],
    "seconds": lambda facts: facts["seconds"]["total"],
    "bytes sent per agent": lambda facts: facts["traffic"]["uplink_per_agent"],
    "max(sent, received) per rank": lambda facts: max(facts["traffic"]["sent_max"], facts["traffic"]["received_max"]),
}


def print_table(rows):
    """rows: (case, facts); printed one by one as they come."""
    print(f"  {'method':34}{'iterations':>11}{'seconds':>9}{'uplink/agent':>14}{'max(sent,recv)':>16}"
          f"{'residual':>11}", flush=True)
    results = []
    for case, facts in rows:
        iterations, seconds, uplink, peer = (metric(facts) for metric in METRICS.values())
        print(f"  {case.title:34}{iterations:11d}{seconds:9.2f}{amount(uplink):>14}{amount(peer):>16}"
              f"{facts['residual']:11.2e}", flush=True)
        results.append((case, facts))
    return results


def print_verdict(results):
    """Says of every metric who wins and who loses against the first row, the uncompressed method."""
    base_case, base = results[0]
    for case, facts in results:
        if facts["stop"] != "converged":
            print(f"  {case.title} finds no solution: {facts['stop']} at {facts['residual']:.1e}.")
    print(f"  Against {base_case.title} (1.00):")
    for name, metric in METRICS.items():
        ratios = sorted((metric(facts) / max(metric(base), 1e-300), case.title) for case, facts in results[1:]
                        if facts["stop"] == "converged")
        wins = [f"{title} {ratio:.2f}" for ratio, title in ratios if ratio < 1]
        losses = [f"{title} {ratio:.2f}" for ratio, title in ratios if ratio >= 1]
        print(f"    {name:29} wins: {', '.join(wins) or '-'}")
        print(f"    {'':29} loses: {', '.join(losses) or '-'}")


def compare(equipoise, heading, problem, cases, ranks=RANKS):
    print(f"\n{heading}")
    results = print_table((case, solve(equipoise, case, problem, ranks)[0]) for case in cases)
    for case, facts in results:
        if case.fails and facts["stop"] == "converged":
            fail(f"{case.title} converged, which it must not")
    print_verdict(results)
    return [OUT / f"{case.name}.h5" for case in cases]


# As many chunks as agents, so that no rank owns more of the vector than another.
GAME = ["problem.family=vi", "problem.name=game", "run.agents=20", "run.chunks=20", "stop.measure=distance"]
EG = Case("eg", "EG", ["method.name=extragradient"])
PERMK = Case("masha1-permk", "MASHA1 PermK", ["method.name=masha1", "method.codec=permk"])
RANDK = Case("masha1-randk", "MASHA1 RandK", ["method.name=masha1", "method.codec=randk:5"])
NATURAL = Case("masha1-natural", "MASHA1 natural both ways",
               ["method.name=masha1", "method.codec=natural", "method.server_codec=natural"])
CEG = Case("ceg", "CEG RandK", ["method.name=ceg", "method.codec=randk:5", "method.step=0.003", "stop.stall_checks=0",
                                "stop.max_iterations=10000"], fails=True)
MASHA2 = Case("masha2-topk", "MASHA2 TopK", ["method.name=masha2", "method.codec=topk:5"])


def game(equipoise):
    cases = [EG, CEG, RANDK, PERMK, NATURAL, MASHA2]
    files = compare(equipoise, f"1. Reference game: 20 agents, dimension 100, {RANKS} ranks; stop at a squared relative "
                    "distance of 1e-8", [*GAME, "stop.tolerance=1e-8"], cases)
    picture = ROOT / "demo.png"
    run(equipoise, ["plot", *map(str, files), "-o", str(picture)], ranks=1)
    print(f"  Picture: {picture}")


def one_agent_per_rank(equipoise):
    cases = [Case(f"{case.name}-20", case.title, case.keys) for case in (EG, PERMK, NATURAL)]
    compare(equipoise, "2. The same game with one agent on each of 20 ranks, to 1e-4 (bytes count here; more ranks than "
            "cores say nothing of seconds)", [*GAME, "stop.tolerance=1e-4"], cases, ranks=20)


def robust_regression(equipoise):
    problem = ["problem.family=vi", "problem.name=robust-regression", f"problem.data={DATA / 'libsvm' / 'a9a'}",
               "stop.tolerance=1e-6"]
    compare(equipoise, "3. Robust regression on a9a: 32561 rows, 20 agents, relative natural residual 1e-6", problem, [
        Case("a9a-eg", "EG", ["method.name=extragradient"]),
        Case("a9a-masha1", "MASHA1", ["method.name=masha1"]),
    ])


def traffic(equipoise):
    files = DATA / "traffic" / "SiouxFalls" / "SiouxFalls"
    case = Case("siouxfalls", "SiouxFalls", ["problem.family=vi", "problem.name=traffic", f"problem.net={files}_net.tntp",
                                             f"problem.trips={files}_trips.tntp", "stop.tolerance=5e-7"])
    facts, run_file = solve(equipoise, case, [])
    print(f"\n4. Traffic equilibrium of SiouxFalls: relative gap {facts['residual']:.1e} in {facts['iterations']} "
          f"iterations, {facts['seconds']['total']:.2f} s")
    print("  Certificate, computed anew from the stored flows:")
    for line in run(equipoise, ["verify", str(run_file)], ranks=1).splitlines():
        print(f"    {line}")


def ranks_of(mpirun):
    """Process ids of the ranks that an mpirun has started."""
    children = Path(f"/proc/{mpirun}/task/{mpirun}/children").read_text().split()
    return [int(child) for child in children]


def kill_and_resume(equipoise):
    problem = [*GAME, "stop.tolerance=1e-8"]
    case = Case("undisturbed", "MASHA1 RandK", RANDK.keys)
    facts, undisturbed = solve(equipoise, case, problem)
    store, resumed = OUT / "checkpoints", OUT / "resumed.h5"
    for old in [*store.glob("*"), resumed]:
        old.unlink(missing_ok=True)
    arguments = ["solve", *problem, *case.keys, f"run.checkpoint_iterations={max(1, facts['iterations'] // 10)}",
                 "--checkpoint", str(store), "--out", str(resumed), "--quiet"]
    process = launch(equipoise, RANKS, arguments)
    while process.poll() is None and not list(store.glob("checkpoint-*.json")):
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(ranks_of(process.pid)[0], signal.SIGKILL)
    output, _ = process.communicate()
    if process.returncode == 0 or not list(store.glob("checkpoint-*.json")):
        fail(f"the run ended before it could be killed (status {process.returncode})\n{output}")
    newest = sorted(store.glob("checkpoint-*.json"))[-1].stem
    print(f"\n5. Killed and resumed: MASHA1 RandK on {RANKS} ranks got SIGKILL after {newest}; resumed on "
          f"{RANKS - 1} ranks,")
    run(equipoise, [*arguments, "--resume", str(store), "--overwrite"], ranks=RANKS - 1)
    different = differences(resumed, undisturbed)
    if different:
        fail(f"the resumed solution differs from the undisturbed one in {', '.join(different)}")
    print("  it gives the same bits as the run that nobody disturbed.")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    equipoise = str(Path(sys.argv[1]).resolve())
    OUT.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    game(equipoise)
    one_agent_per_rank(equipoise)
    if (DATA / "libsvm" / "a9a").exists():
        robust_regression(equipoise)
    else:
        print(f"\n3. Robust regression: left out, no {DATA / 'libsvm' / 'a9a'}")
    if (DATA / "traffic" / "SiouxFalls").is_dir():
        traffic(equipoise)
    else:
        print(f"\n4. Traffic equilibrium: left out, no {DATA / 'traffic' / 'SiouxFalls'}")
    kill_and_resume(equipoise)
    print(f"\nDone in {time.monotonic() - begin:.0f} s. Run files: {OUT}; try `build/release/equipoise inspect "
          f"{(OUT / 'eg.h5').relative_to(ROOT)}`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
