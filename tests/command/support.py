"""What every test of the command needs: running it on some ranks in a folder of its own."""

import json
import os
import subprocess
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path

EQUIPOISE = os.environ["EQUIPOISE_COMMAND"]
SOURCE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EQUIPOISE_DATA", SOURCE.parent / "shared" / "data"))

# A small game that every method solves within a second.
GAME = ["problem.family=vi", "problem.name=game", "stop.measure=distance", "stop.tolerance=1e-2"]


@dataclass
class Ended:
    """A run that has ended."""
    code: int
    out: str
    err: str


def launch(arguments, ranks, cwd):
    return subprocess.Popen(
        ["mpirun", "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), EQUIPOISE, *map(str, arguments)],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, seconds):
    """Waits; a run that goes on after `seconds` is ended and is a failure with a name."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, err = process.communicate()
        raise AssertionError(f"no end after {seconds} s; output so far:\n{out}\n{err}") from None
    return Ended(process.returncode, out, err)


class CommandTest(unittest.TestCase):
    """Runs the command inside a folder that is removed afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="equipoise-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def command(self, *arguments, ranks=2, seconds=240):
        return finish(launch(arguments, ranks, self.folder), seconds)

    def solve(self, *keys, out="run.h5", ranks=2, code=0):
        """Solves; returns the JSON summary. The run file is `out`."""
        facts = self.folder / f"{out}.json"
        ended = self.command("solve", *keys, "--out", out, "--json", facts, "--quiet", ranks=ranks)
        self.assertEqual(ended.code, code, ended.err)
        return json.loads(facts.read_text())

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def refuse(self, code, words, *arguments, ranks=3, seconds=180):
        """The command must end with `code` and one message on stderr, from one rank, that holds all `words`."""
        ended = self.command(*arguments, ranks=ranks, seconds=seconds)
        lines = [line for line in ended.err.splitlines() if line.strip()]
        told = f"equipoise {' '.join(map(str, arguments))}\nstatus {ended.code}\nstderr: {ended.err}"
        self.assertEqual(ended.code, code, told)
        self.assertTrue(1 <= len(lines) <= 6, told)
        self.assertEqual(len(lines), len(set(lines)), told)  # no rank repeats another one
        for word in words:
            self.assertIn(word, ended.err, told)
        return ended
