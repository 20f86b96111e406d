#!/usr/bin/python3
"""Faults under running jobs: after each the job is started again as a batch script would, and its answer must be the
one of an undisturbed run, to the last bit (to 1e-9 relative where PETSc's sums span ranks).

    cluster/studies/faults.py [--out DIR] [--work DIR] [--command build/dev/equipoise] [--seed 0] [--kills 200]
                              [--flips 1000] [--others 10] [--only KIND[,KIND...]]

    kill       kill -9 of a random rank (one time in eight of mpirun, and the next start follows at once) at a random
               instant, every other time inside the writing of a checkpoint
    flip       one random bit of a checkpoint or of its manifest
    truncate   a checkpoint or its manifest cut at a random byte
    usr1 term  the signals that Slurm and people send, at a random instant
    disk       the file system runs full at a random instant (a tmpfs; root)
    readonly   the checkpoint directory becomes read-only at a random instant
    clock      the wall clock jumps by up to ten years either way, and the job is killed after it
    straggler  a rank that is stopped most of the time
    stop       a rank that is stopped for good, until the watchdog names it

Every run must end within 30 s of the fault, or of its start. An mpirun that outlives its ranks (it can lock itself up
when a rank dies while it connects) is ended after 5 s, as the batch script does, and counted. DIR/cases.jsonl holds a
line a case: a study that was interrupted continues. At the end: DIR/table.md, DIR/faults.h5 and DIR/picture.png. Status
1 if any case failed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
LIMIT = 30.0  # seconds that any run may take

ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_mpi_yield_when_idle": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Family:
    """A run of a second or so with some eight checkpoints."""
    keys: list
    every: int  # iterations between checkpoints
    tolerance: float = 0.0  # of the answer, relative; 0 for equal bits
    ranks: tuple = (2, 3)

    @property
    def end(self):
        """The last iteration, where the answer's tolerance does not come first."""
        return next((word.split("=")[1] for word in self.keys if word.startswith("stop.max_iterations=")), "1000000")

    @property
    def words(self):
        return [*self.keys, f"run.checkpoint_iterations={self.every}"]


ENDLESS = ["stop.tolerance=1e-200", "stop.stall_checks=0"]  # ends at its number of iterations, status 4
FAMILIES = {
    "vi": Family(["problem.family=vi", "problem.name=game", "problem.structure=low-rank", "problem.dimension=2000",
                  "method.name=masha1", "method.codec=permk", *ENDLESS, "stop.max_iterations=64"], 8),
    "bilevel": Family(["problem.family=bilevel", "problem.name=quadratic", "method.name=saba", "method.blocks=20", *ENDLESS,
                       "stop.max_iterations=64"], 8),
    "control": Family(["problem.family=control", "problem.name=coefficient", "problem.cells=8", "method.name=newton-cg"],
                      1, 1e-9),
    "population": Family(["problem.family=pareto", "problem.name=zdt", "method.name=nsga2", "stop.max_iterations=32"], 4),
    "front": Family(["problem.family=pareto", "problem.name=pde-front", "problem.objectives=sine", "problem.cells=8"],
                    1, 1e-9),
}


class Failed(Exception):
    """What a case should not have done."""


def solution(path):
    found = {}
    with h5py.File(path, "r") as file:
        file["solution"].visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def ranks_of(pid):
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def send(pid, what):
    try:
        os.kill(pid, what)
        return True
    except ProcessLookupError:
        return False


def stacks(pids):
    """Where processes that hang are: the stacks of all their threads by gdb where there is one."""
    told = []
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            told.append(f"--- {pid}: {words}\n" + Path(f"/proc/{pid}/status").read_text())
        except OSError:
            continue
        if shutil.which("gdb"):
            told.append(subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all backtrace 40"],
                                       capture_output=True, text=True, errors="replace", timeout=60, check=False).stdout)
    return "\n".join(told)


@dataclass
class Job:
    """A family's job in a folder of its own, started again and again as a batch script does."""
    study: object
    family: str
    folder: Path
    environment: dict = field(default_factory=dict)
    codes: list = field(default_factory=list)
    started: float = 0.0
    errors: str = ""

    def __post_init__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    @property
    def store(self):
        return self.folder / "store"

    def manifests(self):
        return sorted(self.store.glob("checkpoint-*.json"))

    def start(self, ranks, *more, environment=None):
        """Fresh where there is no checkpoint, else from the newest."""
        words = ["solve", *FAMILIES[self.family].words, *more, "--out", str(self.folder / "run.h5"), "--overwrite", "--quiet",
                 "--checkpoint", str(self.store), *(["--resume", str(self.store)] if self.manifests() else [])]
        launcher = ["mpirun", "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
        for key in environment or {}:
            launcher += ["-x", key]
        if ranks == 1:
            launcher = []
        self.started = time.monotonic()
        with open(self.folder / "stderr", "wb") as errors:
            return subprocess.Popen([*launcher, self.study.command, *words], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=errors,
                                    env={**ENVIRONMENT, **(environment or {})}, start_new_session=True)

    def wait(self, process):
        """The launcher's end. One that outlives all its ranks by 5 s is ended, as the batch script does."""
        deadline, all_ended = time.monotonic() + LIMIT, None
        while True:
            try:
                return process.wait(timeout=0.05 if all_ended is None else 0.5)
            except subprocess.TimeoutExpired:
                now, pids = time.monotonic(), ranks_of(process.pid)
                if now >= deadline:
                    raise
                if not pids or any(state_of(pid) != "Z" for pid in pids):
                    all_ended = None
                elif all_ended is None:
                    all_ended = now
                elif now - all_ended >= 5.0:
                    self.study.launchers_ended += 1
                    send(process.pid, signal.SIGKILL)

    def finish(self, process):
        """Its exit code; a job that does not end is a failure, and is ended."""
        try:
            code = self.wait(process)
        except subprocess.TimeoutExpired:
            (self.folder / "stacks").write_text(stacks([process.pid, *ranks_of(process.pid)]))
            for pid in [*ranks_of(process.pid), process.pid]:
                send(pid, signal.SIGKILL)
            process.wait()
            raise Failed(f"no end after {LIMIT:g} s") from None
        self.study.longest = max(self.study.longest, time.monotonic() - self.started)
        self.codes.append(code)
        self.errors = (self.folder / "stderr").read_text(errors="replace")
        return code

    def compare(self):
        """The answer against the undisturbed one."""
        mine, theirs = solution(self.folder / "run.h5"), self.study.answers[self.family]
        tolerance = FAMILIES[self.family].tolerance
        for name in mine.keys() | theirs.keys():
            if name not in mine or name not in theirs or mine[name].shape != theirs[name].shape:
                raise Failed(f"/solution/{name} has another shape")
            if tolerance == 0.0 and mine[name].tobytes() != theirs[name].tobytes():
                raise Failed(f"/solution/{name} has other bits")
            if tolerance > 0.0 and mine[name].dtype.kind == "f":
                size = np.max(np.abs(theirs[name]), initial=1e-300)
                apart = np.max(np.abs(mine[name] - theirs[name]), initial=0.0) / size
                if not apart <= tolerance:
                    raise Failed(f"/solution/{name} is {apart:.1e} apart")

    def resume(self, ranks, *more, environment=None):
        """Starts again, to the end; the answer must be the undisturbed one."""
        code = self.finish(self.start(ranks, *more, environment=environment))
        if code != self.study.code[self.family]:
            raise Failed(f"the resumed run ended with {code}: {self.errors.strip()[-300:]}")
        self.compare()


class Study:
    def __init__(self, given):
        self.command = str(Path(given.command).resolve())
        self.folder = Path(given.out).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = Path(given.work or given.out).resolve()
        self.work = self.root / "work"
        self.seed = given.seed
        self.answers, self.code, self.seconds = {}, {}, {}
        self.longest = 0.0  # run of the present case
        self.launchers_ended = 0  # in the present case
        kinds = {"kill": given.kills, "flip": given.flips, "truncate": 3 * given.others}
        for kind in ("usr1", "term", "disk", "readonly", "clock", "straggler", "stop"):
            kinds[kind] = given.others
        self.kinds = {kind: count for kind, count in kinds.items() if not given.only or kind in given.only}
        self.log = self.folder / "cases.jsonl"

    # ---- what the faults are measured against

    def undisturbed(self):
        """The answer, exit code and time of every family, and a directory of checkpoints in mid-course."""
        for name, family in FAMILIES.items():
            job = Job(self, name, self.root / f"{name}-undisturbed")
            start = time.monotonic()
            self.code[name] = job.finish(job.start(family.ranks[0]))
            self.seconds[name] = time.monotonic() - start
            if self.code[name] not in (0, 4):
                sys.exit(f"{name}: the undisturbed run ended with {self.code[name]}: {job.errors}")
            self.answers[name] = solution(job.folder / "run.h5")
            with h5py.File(job.folder / "run.h5", "r") as file:
                iterations = int(file["trace/iteration"][-1])
            half = Job(self, name, self.root / f"{name}-half")
            half.finish(half.start(1, f"stop.max_iterations={int(0.8 * iterations)}"))
            if len(half.manifests()) != 2:
                sys.exit(f"{name}: {len(half.manifests())} checkpoints after {int(0.8 * iterations)} iterations, not 2")
            print(f"{name}: {iterations} iterations, {self.seconds[name]:.2f} s, status {self.code[name]}", flush=True)

    def damaged(self, name, rng, work, damage):
        """A job with mid-course checkpoints, one of which `damage` changes; only one of them, one time in three."""
        job = Job(self, name, work)
        shutil.copytree(self.root / f"{name}-half" / "store", job.store)
        if rng.random() < 0.33:
            oldest = job.manifests()[0]
            oldest.unlink()
            oldest.with_suffix(".h5").unlink()
        victim = rng.choice(sorted([*job.store.glob("checkpoint-*.json"), *job.store.glob("checkpoint-*.h5")]))
        damage(victim)
        alone = len(job.manifests()) == 1
        ranks = rng.choice((1, 1, 1, 2))
        # The stored configuration ends in mid-course.
        code = job.finish(job.start(ranks, f"stop.max_iterations={FAMILIES[name].end}"))
        if code == 6:
            if not alone or victim.stem not in job.errors:
                raise Failed(f"refused although another checkpoint is whole: {job.errors.strip()[-300:]}")
            return "refused"
        if code != self.code[name]:
            raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
        job.compare()
        return "previous one used" if victim.stem in job.errors else "no effect"

    # ---- the faults, each returns what it found

    def flip(self, name, rng, work):
        def damage(victim):
            data = bytearray(victim.read_bytes())
            bit = rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << (bit % 8)
            victim.write_bytes(data)
        return self.damaged(name, rng, work, damage)

    def truncate(self, name, rng, work):
        return self.damaged(name, rng, work, lambda victim: os.truncate(victim, rng.randrange(victim.stat().st_size)))

    def at_random(self, job, process, rng):
        """Waits for a random instant of the run, every other time one inside the writing of a checkpoint."""
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0.0, 1.05 * self.seconds[job.family]))
            return
        for _ in range(rng.randrange(1, 8)):
            while process.poll() is None and any(job.store.glob("*.partial")):
                time.sleep(2e-4)
            while process.poll() is None and not any(job.store.glob("*.partial")):
                time.sleep(2e-4)
        time.sleep(rng.uniform(0.0, 2e-3))

    def kill(self, name, rng, work):
        job = Job(self, name, work)
        ranks, again = (rng.choice(FAMILIES[name].ranks) for _ in range(2))
        process = job.start(ranks)
        self.at_random(job, process, rng)
        of_launcher = rng.random() < 0.125
        inside = any(job.store.glob("*.partial"))
        pids = ranks_of(process.pid)
        send(process.pid if of_launcher or not pids else rng.choice(pids), signal.SIGKILL)
        over = job.finish(process) == self.code[name]
        job.resume(again)
        return ("after the end" if over else "inside a write" if inside else "between writes") + \
            (", of mpirun" if of_launcher else "")

    def signalled(self, name, rng, work, what, saved):
        job = Job(self, name, work)
        process = job.start(FAMILIES[name].ranks[0])
        while process.poll() is None and not (job.store / "progress.csv").exists():
            time.sleep(1e-3)  # before that nothing is lost
        self.at_random(job, process, rng)
        send(process.pid, what)
        code = job.finish(process)
        if saved and code not in (75, self.code[name]):
            raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
        job.resume(rng.choice(FAMILIES[name].ranks))
        return f"status {code}"

    def usr1(self, name, rng, work):
        return self.signalled(name, rng, work, signal.SIGUSR1, True)

    def term(self, name, rng, work):
        return self.signalled(name, rng, work, signal.SIGTERM, False)

    def disk(self, name, rng, work):
        job = Job(self, name, work)
        job.store.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", job.store],
                                               capture_output=True, check=False).returncode != 0:
            return "skipped: no file system can be mounted"
        try:
            process = job.start(FAMILIES[name].ranks[0])
            self.at_random(job, process, rng)
            filler = job.store / "filler"
            with open(filler, "wb", buffering=0) as file:
                try:
                    while file.write(b"\0" * 65536) == 65536:
                        pass
                except OSError:
                    pass
            code = job.finish(process)
            if code not in (6, self.code[name]) or (code == 6 and "free" not in job.errors and "space" not in job.errors):
                raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
            filler.unlink()
            job.resume(rng.choice(FAMILIES[name].ranks))
        finally:
            subprocess.run(["umount", "-l", job.store], check=False)
        return f"status {code}"

    def readonly(self, name, rng, work):
        job = Job(self, name, work)
        job.store.mkdir()
        lock, unlock = (("chattr", "+i"), ("chattr", "-i")) if os.geteuid() == 0 else (("chmod", "a-w"), ("chmod", "u+w"))
        process = job.start(FAMILIES[name].ranks[0])
        self.at_random(job, process, rng)
        if subprocess.run([*lock, job.store], capture_output=True, check=False).returncode != 0:
            job.finish(process)
            return "skipped: a directory cannot be locked here"
        try:
            code = job.finish(process)
            if code not in (6, self.code[name]):
                raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
            if job.finish(job.start(2)) != 6:
                raise Failed(f"a start on a read-only directory ended with {job.codes[-1]}")
        finally:
            subprocess.run([*unlock, job.store], check=False)
        job.resume(rng.choice(FAMILIES[name].ranks))
        return f"status {code}"

    def clock(self, name, rng, work):
        shim = self.folder / "clock.so"
        if not shim.exists():
            (self.folder / "clock.c").write_text(CLOCK)
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, self.folder / "clock.c"], check=True)
        job = Job(self, name, work)

        def jump():
            return {"LD_PRELOAD": str(shim), "CLOCK_AFTER": f"{rng.uniform(0.0, self.seconds[name]):.3f}",
                    "CLOCK_JUMP": str(rng.choice((-1, 1)) * round(10 ** rng.uniform(0.0, 8.5)))}
        first = jump()
        process = job.start(2, "run.checkpoint_every=0.1", "run.hang_seconds=5", environment=first)
        time.sleep(float(first["CLOCK_AFTER"]) + rng.uniform(0.0, 0.5 * self.seconds[name]))
        pids = ranks_of(process.pid)
        send(rng.choice(pids) if pids else process.pid, signal.SIGKILL)
        job.finish(process)
        job.resume(rng.choice(FAMILIES[name].ranks), "run.hang_seconds=5", environment=jump())
        return f"by {first['CLOCK_JUMP']} s"

    def straggler(self, name, rng, work):
        job = Job(self, name, work)
        process = job.start(2, "run.hang_seconds=4")
        while process.poll() is None and not (job.store / "progress.csv").exists():
            time.sleep(1e-3)
        pids = ranks_of(process.pid)
        victim = rng.choice(pids) if pids else None
        over = time.monotonic() + 3.0

        def slow_down():
            while victim and process.poll() is None and time.monotonic() < over:
                for what, pause in ((signal.SIGSTOP, 0.05), (signal.SIGCONT, 0.005)):
                    if not send(victim, what):
                        return
                    time.sleep(pause)
        thread = threading.Thread(target=slow_down)
        thread.start()
        code = job.finish(process)
        thread.join()
        if code != self.code[name]:
            raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
        job.compare()
        return "same answer"

    def stop(self, name, rng, work):
        job = Job(self, name, work)
        process = job.start(2, "run.hang_seconds=2")
        deadline = time.monotonic() + LIMIT
        for _ in range(rng.randrange(1, 6)):
            seen = len(list(job.store.glob("checkpoint-*")))
            while process.poll() is None and len(list(job.store.glob("checkpoint-*"))) == seen and time.monotonic() < deadline:
                time.sleep(2e-4)
        pids = ranks_of(process.pid)
        victim = rng.randrange(2)
        if len(pids) == 2:
            send(sorted(pids)[victim], signal.SIGSTOP)
        code = job.finish(process)
        if code == self.code[name]:
            found = "after the end"
        elif code != 75 or f"rank {victim} (process" not in job.errors or "is stopped" not in job.errors:
            raise Failed(f"ended with {code}: {job.errors.strip()[-300:]}")
        else:
            found = "named"
        job.resume(rng.choice(FAMILIES[name].ranks))
        return found

    # ---- the study

    def rows(self):
        if not self.log.exists():
            return []
        lines = self.log.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]  # a line that was cut is done again

    def case(self, kind, index):
        names = list(FAMILIES)
        name = names[index % len(names)]
        rng = random.Random(f"{self.seed}/{kind}/{index}")
        work = self.work
        row = {"id": f"{kind}/{index}", "kind": kind, "family": name}
        self.longest, self.launchers_ended = 0.0, 0
        try:
            row["found"] = getattr(self, kind)(name, rng, work)
            row["failed"] = ""
        except Failed as problem:
            row["found"], row["failed"] = "FAILED", str(problem)
        row["seconds"] = round(self.longest, 3)
        row["launchers_ended"] = self.launchers_ended
        if row["failed"]:
            print(f"FAILED {row['id']} {name}: {row['failed']}", flush=True)
            shutil.rmtree(self.folder / f"failed-{kind}-{index}", ignore_errors=True)
            shutil.move(work, self.folder / f"failed-{kind}-{index}")
        return row

    def clear(self):
        """A study that was interrupted may have left a locked or mounted directory."""
        store = self.work / "store"
        for words in (["umount", "-l", store], ["chattr", "-i", store], ["chmod", "u+w", store]):
            subprocess.run(words, capture_output=True, check=False)

    def run(self):
        if self.work.exists():
            self.clear()
        self.undisturbed()
        done = {row["id"]: row for row in self.rows()}
        self.log.write_text("".join(json.dumps(row) + "\n" for row in done.values()))
        for kind, count in self.kinds.items():
            for index in range(count):
                if f"{kind}/{index}" in done:
                    continue
                row = self.case(kind, index)
                with open(self.log, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            print(f"{kind}: {count} cases", flush=True)
        return self.tell()

    def tell(self):
        rows = [row for row in self.rows() if row["kind"] in self.kinds]
        lines = ["| fault | cases | failed | longest run [s] | launchers ended | what was found |", "|---|---|---|---|---|---|"]
        for kind in self.kinds:
            mine = [row for row in rows if row["kind"] == kind]
            found = {}
            for row in mine:
                text = "jump" if kind == "clock" and not row["failed"] else row["found"]
                found[text] = found.get(text, 0) + 1
            failed = sum(bool(row["failed"]) for row in mine)
            longest = max((row["seconds"] for row in mine), default=0.0)
            lines.append(f"| {kind} | {len(mine)} | {failed} | {longest:.1f} | "
                         + f"{sum(row.get('launchers_ended', 0) for row in mine)} | "
                         + ", ".join(f"{count} {text}" for text, count in sorted(found.items())) + " |")
        (self.folder / "table.md").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))
        with h5py.File(self.folder / "faults.h5", "w") as file:
            for key in ("id", "kind", "family", "found", "failed"):
                file[key] = [row[key] for row in rows]
            file["seconds"] = [row["seconds"] for row in rows]
        self.picture(rows)
        return any(row["failed"] for row in rows)

    def picture(self, rows):
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
        figure, axes = plot.subplots(figsize=(8, 4))
        for name in FAMILIES:
            mine = [row for row in rows if row["family"] == name]
            axes.scatter([list(self.kinds).index(row["kind"]) + random.Random(row["id"]).uniform(-0.3, 0.3) for row in mine],
                         [row["seconds"] for row in mine], s=8, label=name)
        axes.axhline(LIMIT, color="black", linewidth=0.8)
        axes.set(ylabel="seconds of the longest run of a case", yscale="log", xticks=range(len(self.kinds)))
        axes.set_xticklabels(self.kinds)
        axes.legend(fontsize=8)
        figure.savefig(self.folder / "picture.png", dpi=120)


# The wall clock of a process jumps by CLOCK_JUMP seconds, CLOCK_AFTER seconds after the process began.
CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static double began = -1.0, after = 0.0;
static long jump = 0;
static long shift(void) {
  struct timespec t;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
  const double now = t.tv_sec + 1e-9 * t.tv_nsec;
  if (began < 0.0) {
    const char *a = getenv("CLOCK_AFTER"), *j = getenv("CLOCK_JUMP");
    after = a ? atof(a) : 0.0;
    jump = j ? atol(j) : 0;
    began = now;
  }
  return now - began >= after ? jump : 0;
}
int clock_gettime(clockid_t id, struct timespec *t) {
  const int code = syscall(SYS_clock_gettime, id, t);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += shift();
  return code;
}
int gettimeofday(struct timeval *t, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="study-faults")
    parser.add_argument("--work", help="where the disturbed runs write (default: OUT); a file system in memory saves time")
    parser.add_argument("--command", default=str(HERE.parent.parent / "build" / "dev" / "equipoise"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--others", type=int, default=10)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a run may take (default 30)")
    given = parser.parse_args()
    globals()["LIMIT"] = given.limit
    return 1 if Study(given).run() else 0


if __name__ == "__main__":
    sys.exit(main())
