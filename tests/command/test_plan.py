#!/usr/bin/python3
"""`equipoise plan`: its bytes are those that runs count, its words are understood or refused."""

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
                self.solve(*LOW_RANK, *method, "--overwrite", ranks=ranks, code=4)
                with h5py.File(self.folder / "run.h5") as file:  # without the start, which is no iteration
                    counted = max(np.ptp(file["trace"][f"{way}_bytes_max"][()]) for way in ("sent", "received")) / 30
                number, unit = re.search(r"([\d.]+) (B|kB|MB)", line).groups()
                planned = float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]
                self.assertLess(abs(planned / counted - 1.0), bound, f"{method}: {counted:.0f} bytes counted, {line}")

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
