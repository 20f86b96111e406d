#!/usr/bin/python3
"""Studies: many bilevel trials in one run, scaling, the fit of the model; continued after an interruption."""

import json
import subprocess
import sys
import unittest

import h5py
import numpy as np
from support import EQUIPOISE, SOURCE, CommandTest

STUDIES = SOURCE / "cluster" / "studies"
sys.path.insert(0, str(STUDIES))
import model  # noqa: E402

QUADRATIC = ["problem.family=bilevel", "problem.name=quadratic", "problem.blocks=4", "problem.outer=3",
             "problem.inner=2"]


class Studies(CommandTest):
    BENCH = ("bench", "bilevel-trials", "bench.trials=trials", "bench.out=results")

    def bench(self, trials, ranks=1):
        self.write("trials", "".join(json.dumps(trial) + "\n" for trial in trials))
        ended = self.command(*self.BENCH, ranks=ranks)
        self.assertEqual(ended.code, 0, ended.err)
        return (self.folder / "results").read_text().splitlines()

    def test_trials_continue_and_tell_failures(self):
        good = {"id": "a", "words": [*QUADRATIC, "method.name=soba", "method.decay=0", "method.lower_step=0.5",
                                     "method.outer_step=0.2", "method.evaluate_every=50"],
                "iterations": 5000, "residual": 1e-6}
        wild = {"id": "b", "words": [*QUADRATIC, "method.name=soba", "method.decay=0", "method.outer_step=50",
                                     "method.evaluate_every=5"], "iterations": 5000}
        first = json.loads(self.bench([good])[0])
        self.assertEqual(first["stop"], "target")
        self.assertLessEqual(first["curve"]["residual"][-1], 1e-6)
        self.assertGreater(first["calls"], 0)
        with open(self.folder / "results", "a") as file:
            file.write('{"id": "b", "cut')
        refused = {"id": "c", "words": [*QUADRATIC, "method.name=soba", "method.blocks=9"], "iterations": 5}
        lines = self.bench([good, wild, refused], ranks=2)
        self.assertEqual(json.loads(lines[0]), first)
        self.assertEqual([json.loads(line)["stop"] for line in lines[2:]], ["failed", "failed"])
        self.assertIn("method.blocks = 9", json.loads(lines[3])["message"])

    def test_bad_input(self):
        self.write("trials", "no json\n")
        self.refuse(3, ["trials:1"], *self.BENCH, ranks=2)
        self.write("trials", '{"id": "a"}\n')
        self.refuse(3, ["words"], *self.BENCH, ranks=2)
        self.refuse(2, ["bench.trials=FILE"], "bench", "bilevel-trials", ranks=2)

    def scaling(self, *words):
        ended = subprocess.run([str(STUDIES / "scaling.py"), "--command", EQUIPOISE, "--out", "out", "--ranks", "1,2", "--repeats",
                                "1", "--scale", "0.02", *words], cwd=self.folder, check=False, capture_output=True, text=True)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    def test_scaling_continues(self):
        log = self.folder / "out" / "runs.jsonl"
        self.assertIn("time is up", self.scaling("--families", "vi,pareto", "--limit", "1e-9"))
        first = self.scaling("--families", "vi,pareto")
        with open(log) as file:
            rows = file.read()
        self.assertEqual(len(rows.splitlines()), 8)
        log.write_text(rows[:-20])  # the last row was cut off
        table = (self.folder / "out" / "table.md").read_text()
        self.assertIn(table.strip(), first)
        again = self.scaling("--families", "vi,pareto")
        self.assertEqual(again.count(" ms\n"), 1)  # that row alone was run again
        self.assertEqual(log.read_text().splitlines()[:7], rows.splitlines()[:7])
        with h5py.File(self.folder / "out" / "scaling.h5") as file:
            self.assertEqual(list(file["ranks"]), [1, 2] * 4)
            self.assertTrue(np.all(file["efficiency"][()][::2] == 1.0))
        self.assertGreater((self.folder / "out" / "picture.png").stat().st_size, 1000)

    def test_the_fit_finds_constants(self):
        theta = np.array([3e-6, 4e-10, 0.8, 6e-5, 2e-8, 2.0])
        table = {}
        for number, name in enumerate(model.PROBLEMS):
            agents = model.PROBLEMS[name][0]
            shared, kept = 4e-3 * (1 + number), 1e-3
            for ranks in (1, 2, 4):
                for rate in model.RATES if ranks > 1 else ("",):
                    facts = {"rounds": 2.0, "bytes": 2e5 * (1 + number % 3) * (ranks - 1)}
                    facts["seconds"] = (max(1.0, ranks / 2) * (shared * -(-agents // ranks) / agents + kept)
                                        + 2 * 2 * (ranks - 1) * theta[0] + facts["bytes"] * theta[1])
                    if rate:
                        facts["seconds"] += 4 * theta[3] + facts["bytes"] * theta[4] * (max(1.0, ranks / 2) - 1)
                        facts["seconds"] += 8 * facts["bytes"] / (model.RATES[rate] * theta[2])
                    table[name, ranks, rate] = facts
        keys = [key for key in table if key[2] or key[1] == 4]
        known = model.facts(table, keys, 2)
        found = model.fit(known)
        self.assertLess(np.max(np.abs(model.log_errors(known, found))), 0.02)
        self.assertLess(abs(found[2] / theta[2] - 1.0), 0.02)
        self.assertLess(np.max(np.abs(model.log_errors(known, theta))), 1e-12)


if __name__ == "__main__":
    unittest.main()
