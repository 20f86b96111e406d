#!/usr/bin/python3
"""Watching runs: the side trace and `top`, the report page, a rank that hangs, and the batch script of a case."""

import html.parser
import os
import signal
import subprocess
import time
import unittest
from pathlib import Path

from support import EQUIPOISE, GAME, SOURCE, CommandTest, finish, launch

LONG = [*GAME, "method.name=extragradient", "stop.tolerance=1e-200", "stop.max_iterations=2000"]


class Page(html.parser.HTMLParser):
    """Open elements must be closed in order, and nothing may be loaded from elsewhere."""
    ALONE = {"meta", "br", "img", "link", "path", "use", "rect", "image"}

    def __init__(self):
        super().__init__()
        self.open, self.text, self.foreign = [], "", []

    def handle_starttag(self, tag, attributes):
        if tag not in self.ALONE:
            self.open.append(tag)
        self.foreign += [value for key, value in attributes
                         if key in ("src", "href", "xlink:href") and value and value.startswith(("http", "//", "file"))]

    def handle_endtag(self, tag):
        if tag not in self.ALONE and self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")

    def handle_data(self, data):
        self.text += data


class Watch(CommandTest):
    def test_side_trace_and_top(self):
        ended = self.command("solve", *LONG, "--checkpoint", "saves", "--quiet")
        self.assertEqual(ended.code, 4, ended.err)
        path = self.folder / "saves" / "progress.csv"
        lines = path.read_text().splitlines()
        self.assertEqual(lines[0].split(",")[:4], ["unix_time", "event", "ranks", "iteration"])
        events = [line.split(",")[1] for line in lines[1:]]
        self.assertEqual((events[0], events[-2:]), ("start", ["checkpoint", "iteration_limit"]))
        self.assertEqual(lines[-1].split(",")[3], "2000")
        # A line that is being written is passed over.
        with path.open("a") as file:
            file.write("1e9,start,7")
        shown = subprocess.run([EQUIPOISE, "top", "saves", "--once"], cwd=self.folder, capture_output=True, text=True, check=True)
        self.assertIn("iteration_limit", shown.stdout)
        self.assertIn("2000", shown.stdout)
        self.refuse(6, ["nowhere"], "top", "nowhere", ranks=1)

    def test_report(self):
        self.solve(*GAME, "method.name=masha1")
        ended = self.command("report", "run.h5", "-o", "page.html", ranks=1)
        self.assertEqual(ended.code, 0, ended.err)
        page = Page()
        page.feed((self.folder / "page.html").read_text())
        self.assertEqual((page.open, page.foreign), ([], []))
        for words in ("vi / game", "masha1", "reached its tolerance", "squared_relative_distance", "History"):
            self.assertIn(words, page.text)
        self.refuse(2, ["page.html"], "report", "run.h5", "-o", "page.html", ranks=1)
        self.write("text.h5", "no run file")
        self.assertEqual(self.command("report", "text.h5", "-o", "other.html", ranks=1).code, 6)
        self.assertFalse((self.folder / "other.html").exists())

    def test_a_stopped_rank_is_named(self):
        process = launch(["solve", *LONG, "stop.max_iterations=100000000", "stop.stall_checks=0", "run.hang_seconds=2",
                          "run.checkpoint_iterations=500", "--checkpoint", "saves", "--quiet"], 2, self.folder)
        while process.poll() is None and not list(self.folder.glob("saves/checkpoint-*.json")):
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGSTOP)
        ended = finish(process, 30)
        self.assertEqual(ended.code, 75, ended.err)
        self.assertIn("rank 1", ended.err)
        self.assertIn("is stopped", ended.err)

    def test_batch_script(self):
        submit = SOURCE / "cluster" / "slurm" / "submit"
        self.write("a case.toml", '[problem]\nname = "game"\n')

        def run(*words):
            return subprocess.run([submit, *words], cwd=self.folder, capture_output=True, text=True, check=False)

        made = run("a case.toml", "--ntasks", "8", "--time", "01:00:00", "--dry-run", "run.seed=3", "--partition", "short")
        self.assertEqual(made.returncode, 0, made.stderr)
        for line in ("#SBATCH --ntasks=8", "#SBATCH --partition=short", "#SBATCH --signal=B:USR1@120", "#SBATCH --requeue"):
            self.assertIn(line + "\n", made.stdout)
        self.assertIn("run.seed=3", made.stdout)
        self.assertEqual(subprocess.run(["bash", "-n"], input=made.stdout, text=True, check=False).returncode, 0)
        swept = run("a case.toml", "--ntasks", "2", "--time", "5", "--dry-run", "--sweep", "run.seed=0..2", "--sweep", "method.name=ogs,masha1")
        self.assertIn("#SBATCH --array=0-5\n", swept.stdout)
        self.assertIn("'run.seed=2 method.name=masha1'", swept.stdout)
        self.assertFalse(list(self.folder.glob("*.sbatch")))
        for code, words in ((2, ["a case.toml", "--ntasks", "0", "--time", "5"]), (2, ["a case.toml", "--ntasks", "2", "--time", "soon"]),
                            (2, ["a case.toml", "--ntasks", "2", "--time", "5", "--sweep", "seed"]), (3, ["none.toml", "--ntasks", "2", "--time", "5"])):
            self.assertEqual(run(*words).returncode, code, words)


if __name__ == "__main__":
    unittest.main()
