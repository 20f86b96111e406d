#!/usr/bin/python3
"""Virtual ranks count what real ones would move; `equipoise plan` takes its bytes from them, its words are understood or
refused."""

import json
import re
import unittest

import h5py
import numpy as np
from support import CommandTest

LOW_RANK = ["problem.family=vi", "problem.name=game", "problem.structure=low-rank", "problem.dimension=4096", "run.agents=12",
            "stop.tolerance=1e-200", "stop.max_iterations=30"]


class Plan(CommandTest):
    def rows(self, text):
        return {int(line.split()[0]): line for line in text.splitlines() if re.match(r" +\d+ ", line)}

    def test_bytes_are_those_that_runs_count(self):
        for method, bound in ((["method.name=extragradient"], 0.03), (["method.name=masha1", "method.codec=permk"], 0.2)):
            told = self.command("plan", *LOW_RANK, *method, "--ranks", "2,4", "--seconds", "60", ranks=2)
            self.assertEqual(told.code, 0, told.err)
            for ranks, line in self.rows(told.out).items():
                self.assertNotIn("~", line)  # counted, not estimated
                self.solve(*LOW_RANK, *method, "--overwrite", ranks=ranks, code=4)
                with h5py.File(self.folder / "run.h5") as file:  # without the start, which is no iteration
                    counted = max(np.ptp(file["trace"][f"{way}_bytes_max"][()]) for way in ("sent", "received")) / 30
                number, unit = re.search(r"([\d.]+) (B|kB|MB)", line).groups()
                planned = float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]
                self.assertLess(abs(planned / counted - 1.0), bound, f"{method}: {counted:.0f} bytes counted, {line}")

    def test_virtual_ranks_are_the_real_ones_where_there_are_as_many(self):
        quadratic = ["problem.family=bilevel", "problem.name=quadratic", "problem.blocks=12", "method.name=implicit",
                     "stop.tolerance=1e-200", "stop.max_iterations=10"]
        cases = [[*LOW_RANK, "method.name=masha1", "method.codec=natural", "method.server_codec=natural"],
                 [*LOW_RANK, "method.name=masha1", "method.participants=5", "method.codec=natural"],
                 [*LOW_RANK, "method.name=masha1", "method.participants=5", "method.codec=natural", "method.server_codec=natural"],
                 [*LOW_RANK, "method.name=masha2", "method.codec=topk:0.01"],
                 quadratic, [*quadratic, "method.name=maid", "stop.max_iterations=3"]]
        for words in cases:
            for ranks in (1, 3):
                found = self.solve(*words, f"run.virtual_ranks={ranks}", "--overwrite", ranks=ranks, code=4)
                told = f"{' '.join(words)} on {ranks} ranks: {found['traffic']} {found['virtual']}"
                self.assertEqual(len(found["virtual"]["sent"]), ranks)
                for key in ("sent_max", "received_max", "header_bytes"):
                    self.assertEqual(found["virtual"][key], found["traffic"][key], told)

    def test_two_thousand_ranks_on_two(self):
        words = [word for word in LOW_RANK if not word.startswith(("run.agents", "problem.dimension", "stop.max"))]
        found = self.solve(*words, "problem.dimension=640", "run.agents=2000", "stop.max_iterations=3", "method.name=masha1",
                           "method.codec=permk", "run.virtual_ranks=2000", code=4)["virtual"]
        self.assertEqual(found["ranks"], 2000)
        self.assertEqual(sum(found["sent"]), sum(found["received"]))
        self.assertGreater(min(found["received"]), 0)

    def test_virtual_ranks_need_agents(self):
        self.refuse(2, ["run.virtual_ranks", "control"], "solve", "problem.family=control", "problem.name=poisson-control",
                    "problem.cells=8", "run.virtual_ranks=4", ranks=2)
        obstacle = ["solve", "problem.name=obstacle", "problem.n=17", "run.virtual_ranks=4"]
        self.refuse(2, ["run.virtual_ranks", "has none"], *obstacle, ranks=2)
        self.refuse(2, ["run.virtual_ranks", "partitioned"], *obstacle, "method.name=extragradient", ranks=2)
        (self.folder / "saves").mkdir()
        self.refuse(6, ["saves"], "solve", "problem.name=game", "run.virtual_ranks=4", "--resume", "saves", ranks=2)

    def test_table_and_advice(self):
        self.write("model.json", json.dumps({"message_seconds": 1e-5, "measured_ranks": 4, "relative_error": 0.1}))
        told = self.command("plan", "problem.name=game", "method.name=extragradient", "stop.tolerance=1e-4", "--ranks", "2..64",
                            "--network", "10Gbit,5us", "--model", "model.json", "--seconds", "20", ranks=2)
        self.assertEqual(told.code, 0, told.err)
        rows = self.rows(told.out)
        self.assertEqual(list(rows), [2, 4, 8, 16, 32, 64])
        self.assertNotIn("extrapolated", rows[4])
        self.assertIn("extrapolated", rows[8])
        self.assertRegex(told.out, r"advice: \d+ ranks")

    def test_bad_words(self):
        game = ["plan", "problem.name=game"]
        self.refuse(2, ["--ranks 64..x"], *game, "--ranks", "64..x", ranks=2)
        self.refuse(2, ["25Gbit,2us"], *game, "--network", "25Gbit", ranks=2)
        self.refuse(2, ["furlong"], *game, "--network", "25furlong,2us", ranks=2)
        self.refuse(3, ["none.json"], *game, "--model", "none.json", ranks=2)


if __name__ == "__main__":
    unittest.main()
