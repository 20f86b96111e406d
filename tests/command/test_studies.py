#!/usr/bin/python3
"""Many bilevel trials in one run: results by lines, continued after an interruption, failures told."""

import json
import unittest

from support import CommandTest

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


if __name__ == "__main__":
    unittest.main()
