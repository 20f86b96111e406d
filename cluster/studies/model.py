#!/usr/bin/python3
"""The model of `equipoise plan`, fitted from run files of this machine, with its error on what was held out.

    cluster/studies/model.py [--out DIR] [--repeats 3] [--seconds 1] [--limit 280] [--problems NAME,...]

Problems that move much and problems that compute much run on 1, 2 and 4 ranks in shared memory and on emulated networks
of three bandwidths (cluster/network/emulate.sh, root), interleaved and repeated; the median counts. Every run appends to
DIR/runs.jsonl: a study that was interrupted, or that reached --limit, continues. Fitted are, over all problems together,

    seconds of an iteration = overload (shared ceil(M/P)/M + replicated) + rounds 2 (P - 1) message_seconds + bytes byte_seconds
                              + rounds 2 latency + bytes 8 / (bandwidth bandwidth_share) + bytes wait_seconds (overload - 1)

where `shared` and `replicated` of a problem follow from its runs on 1 and 2 ranks in shared memory, as `plan` does it,
overload = max(1, ranks / cores), and the last three terms are those of a network: what its packets take, as the emulated one
is told no latency, and how long bytes wait for a core that other ranks keep busy (nothing where every rank has a core). So is `cores`, from 1 to those of this machine: what other work leaves of them. Held out from the fit: one bandwidth, and two problems altogether. Writes
DIR/model.json (for `equipoise plan --model`), DIR/model.h5, DIR/table.md and DIR/picture.png.
"""

import argparse
import itertools
import json
import math
import os
from pathlib import Path

import h5py
import numpy as np

import study

RATES = {"": 0.0, "100mbit": 1e8, "300mbit": 3e8, "1gbit": 1e9}
HELD_RATE = "300mbit"
GAME = ["problem.name=game", "stop.tolerance=1e-200", "stop.stall_checks=0", "stop.max_iterations=100000000",
        "run.trace_rows=1000000"]
LOW_RANK = [*GAME, "problem.structure=low-rank"]
EG, PERMK = "method.name=extragradient", ["method.name=masha1", "method.codec=permk", "method.step=0.001"]
NATURAL = ["method.name=masha1", "method.codec=natural", "method.server_codec=natural", "method.step=0.001"]
PROBLEMS = {  # name: (agents, held out, words)
    "low-rank 1e5, dense": (4, False, [*LOW_RANK, EG, "problem.dimension=100000"]),
    "low-rank 1e5, permk": (4, False, [*LOW_RANK, *PERMK, "problem.dimension=100000"]),
    "low-rank 2e4, 32 agents, dense": (32, False, [*LOW_RANK, EG, "problem.dimension=20000"]),
    "low-rank 6400, 1000 agents, permk": (1000, False, [*LOW_RANK, *PERMK, "problem.dimension=6400"]),
    "low-rank 5e4, 8 agents, natural": (8, True, [*LOW_RANK, *NATURAL, "problem.dimension=50000"]),
    "low-rank 4000, 1500 agents, permk": (1500, True, [*LOW_RANK, *PERMK, "problem.dimension=4000"]),
}
CONSTANTS = {"message_seconds": 2e-6, "byte_seconds": 5e-10, "bandwidth_share": 0.9, "latency_seconds": 5e-5,
             "wait_seconds": 1e-8, "cores": float(os.cpu_count())}


def measure(given, row):
    """Seconds, bytes and exchanges of an iteration, from the history in a run file without its first tenth. Seconds are the
    median over windows, of one iteration where every one has a row and of four rows else, as other processes may have taken
    part of the machine."""
    agents, _, words = PROBLEMS[row["problem"]]
    path = Path(given.out) / "run"
    study.solve(given, row["ranks"], [*words, f"run.agents={agents}", f"stop.max_seconds={given.seconds}"], path, row["rate"])
    with h5py.File(f"{path}.h5") as file:
        trace = {key: file["trace"][key][()] for key in
                 ("iteration", "seconds", "sent_bytes_max", "received_bytes_max", "rounds")}
    rows = len(trace["seconds"])
    first = min(rows - 2, 1 + rows // 10)
    step = 1 if trace["iteration"][-1] - trace["iteration"][first] == rows - 1 - first else min(4, rows - 1 - first)
    windows = np.diff(trace["seconds"][first::step]) / np.diff(trace["iteration"][first::step])
    each = {key: float(column[-1] - column[first]) / (trace["iteration"][-1] - trace["iteration"][first])
            for key, column in trace.items()}
    return {"seconds": float(np.median(windows)), "rounds": each["rounds"],
            "bytes": max(each["sent_bytes_max"], each["received_bytes_max"])}


def is_known(ranks, rate):
    """True for what `plan` measures itself."""
    return not rate and ranks < 3


def medians(rows):
    table = {}
    for row in rows:
        table.setdefault((row["problem"], row["ranks"], row["rate"]), []).append(row)
    return {key: {column: float(np.median([row[column] for row in mine])) for column in ("seconds", "bytes", "rounds")}
            for key, mine in table.items()}


def facts(table, keys, cores):
    """What the model knows of configurations, as arrays over `keys`."""
    agents = np.array([PROBLEMS[name][0] for name, _, _ in keys])
    ranks = np.array([ranks for _, ranks, _ in keys])

    def column(what, of):
        return np.array([table[of(key)][what] for key in keys])
    return {"agents": agents, "ranks": ranks, "rate": np.array([RATES[rate] or math.inf for _, _, rate in keys]),
            "cores": cores, "bytes": column("bytes", lambda key: key), "rounds": column("rounds", lambda key: key),
            "measured": column("seconds", lambda key: key), "alone": column("seconds", lambda key: (key[0], 1, "")),
            "two": column("seconds", lambda key: (key[0], 2, "")), "bytes_of_two": column("bytes", lambda key: (key[0], 2, "")),
            "rounds_of_two": column("rounds", lambda key: (key[0], 2, ""))}


def predict(known, theta):
    """Seconds of an iteration, and the part of them that moving bytes takes; constants may be arrays with a last axis of 1."""
    message, byte, share, latency, wait, cores = theta
    overload = np.maximum(1.0, known["ranks"] / cores)

    def handling(ranks, rounds, moved):
        return rounds * 2 * (ranks - 1) * message + moved * byte
    half = np.ceil(known["agents"] / 2) / known["agents"]
    computing_of_two = known["two"] - handling(2, known["rounds_of_two"], known["bytes_of_two"])
    saved = known["alone"] - computing_of_two / np.maximum(1.0, 2 / cores)
    shared = np.clip(saved / (1 - half), 0.0, known["alone"])
    part = np.ceil(known["agents"] / known["ranks"]) / known["agents"]
    on_network = np.isfinite(known["rate"])
    moving = handling(known["ranks"], known["rounds"], known["bytes"]) \
        + on_network * (known["rounds"] * 2 * latency + known["bytes"] * wait * (overload - 1)) + 8 * known["bytes"] / (known["rate"] * share)
    return overload * (shared * part + known["alone"] - shared) + moving, moving


def log_errors(known, theta):
    return np.log(predict(known, theta)[0] / known["measured"])


def fit(known):
    """Least absolute logarithmic errors: for some numbers of cores, a search over factors on all other constants at once that
    halves its steps."""
    def loss(thetas):
        return np.mean(np.abs(log_errors(known, thetas.T[..., None])), axis=-1)

    def search(theta):
        step = 8.0
        while step > 1.003:
            trials = theta * np.array([[*move, 1.0] for move in itertools.product((1.0, 1 / step, step), repeat=len(theta) - 1)])
            trials[:, 2] = np.minimum(trials[:, 2], 1.0)
            losses = loss(trials)
            best = np.argmin(losses)
            if losses[best] < losses[0] * (1 - 1e-9):  # the first one stays where it is
                theta = trials[best]
            else:
                step = math.sqrt(step)
        return theta
    start = list(CONSTANTS.values())[:-1]
    found = np.array([search(np.array([*start, cores])) for cores in np.linspace(1.0, known["cores"], 5)])
    return found[np.argmin(loss(found))]


def median_error(errors):
    return float(np.expm1(np.median(np.abs(errors)))) if len(errors) else math.nan


def tell(folder, rows, cores):
    table = medians(rows)
    names = [name for name in PROBLEMS if (name, 1, "") in table and (name, 2, "") in table]
    rest = [key for key in table if key[0] in names and not is_known(*key[1:])]
    held = [key for key in rest if PROBLEMS[key[0]][1] or key[2] == HELD_RATE]
    train = [key for key in rest if key not in held]
    theta = fit(facts(table, train, cores))
    keys = [*train, *held]
    known = facts(table, keys, cores)
    seconds, moving = predict(known, theta)
    errors = dict(zip(keys, log_errors(known, theta)))
    bound = {key: "bytes" if part > 0.5 else "computing" for key, part in zip(keys, moving / seconds)}
    lines = ["| problem | ranks | network | bound by | measured [ms] | model [ms] | error | |", "|---|---|---|---|---|---|---|---|"]
    for key, predicted in zip(keys, seconds):
        name, ranks, rate = key
        lines.append(f"| {name} | {ranks} | {rate or 'shared memory'} | {bound[key]} | {1e3 * table[key]['seconds']:.3g} | "
                     f"{1e3 * predicted:.3g} | {100 * math.expm1(errors[key]):+.0f} % | "
                     f"{'held out' if key in held else ''} |")
    lines.append("")
    for what in ("bytes", "computing"):
        mine = np.array([errors[key] for key in held if bound[key] == what])
        if len(mine):
            lines.append(f"Held out, bound by {what}: median error {100 * median_error(mine):.0f} %, "
                         f"largest {100 * np.expm1(np.max(np.abs(mine))):.0f} %, of {len(mine)}.")
    held_errors = np.array([errors[key] for key in held])
    lines.append(f"All held out: median error {100 * median_error(held_errors):.0f} % of {len(held)}; "
                 f"of what was fitted: {100 * median_error([errors[key] for key in train]):.0f} % of {len(train)}.")
    # What a doubling of the ranks beyond those of a fit adds: how far a fit of two ranks is off on four as a whole. The rest of
    # its errors differs from configuration to configuration and does not grow.
    two, four = ([key for key in rest if key[1] == ranks] for ranks in (2, 4))
    doubling = math.nan
    if two and four:
        off = log_errors(facts(table, four, cores), fit(facts(table, two, cores)))
        doubling = float(np.expm1(abs(np.median(off))))
        lines.append(f"A fit of the runs on 2 ranks tells those on 4 with a median error of {100 * median_error(off):.0f} % of "
                     f"{len(four)}, and is {100 * math.expm1(np.median(off)):+.0f} % off as a whole.")
    model = {**dict(zip(CONSTANTS, map(float, theta))), "median_error": median_error(held_errors),
             "relative_error": float(np.expm1(np.quantile(np.abs(held_errors), 0.9))) if len(held) else math.nan,
             "doubling_error": doubling, "measured_ranks": max(key[1] for key in table)}
    lines.append("Constants: " + ", ".join(f"{key} {value:.3g}" for key, value in model.items()) + ".")
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    model = {key: value for key, value in model.items() if not math.isnan(value)}
    (folder / "model.json").write_text(json.dumps(model, indent=2) + "\n")
    draw_and_keep(folder, keys, len(train), known["measured"], seconds, model)


def draw_and_keep(folder, keys, fitted, measured, modelled, model):
    with h5py.File(folder / "model.h5", "w") as file:
        file["problem"], file["rate"] = [key[0] for key in keys], [key[2] for key in keys]
        file["ranks"], file["held_out"] = [key[1] for key in keys], np.arange(len(keys)) >= fitted
        file["measured_seconds"], file["model_seconds"] = measured, modelled
        file.attrs.update(model)
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plot
    figure, axes = plot.subplots(figsize=(5, 5), layout="constrained")
    for label, marker, part in (("fitted", "o", slice(fitted)), ("held out", "s", slice(fitted, None))):
        axes.loglog(measured[part], modelled[part], marker, label=label)
    span = np.array([min(*measured, *modelled), max(*measured, *modelled)])
    axes.loglog(span, span, color="black", linewidth=0.8)
    for factor in (0.8, 1.2):
        axes.loglog(span, factor * span, color="black", linewidth=0.5, linestyle=":")
    axes.set(xlabel="measured, seconds of an iteration", ylabel="model (dotted: 20 % off)")
    axes.legend()
    figure.savefig(folder / "picture.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    study.options(parser, "study-model")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a run")
    parser.add_argument("--problems", help="some of the names, separated by semicolons")
    given = parser.parse_args()
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    names = given.problems.split(";") if given.problems else list(PROBLEMS)
    # What every prediction rests on, the runs that `plan` makes itself, is measured twice as often.
    wanted = [{"repeat": repeat, "problem": name, "ranks": ranks, "rate": rate}
              for repeat in range(2 * given.repeats) for rate in RATES for ranks in (1, 2, 4) for name in names
              if (ranks > 1 or not rate) and (repeat < given.repeats or is_known(ranks, rate))]
    log = study.Log(folder, ("repeat", "problem", "ranks", "rate"))
    if log.fill(wanted, lambda row: measure(given, row), given.limit):
        tell(folder, log.rows(), os.cpu_count())
    else:
        print("time is up; the same command continues")


if __name__ == "__main__":
    main()
