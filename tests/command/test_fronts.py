#!/usr/bin/python3
"""A front of a PDE problem that is killed goes on with other groups of ranks and ends with the same points."""

import os
import signal
import time
import unittest
from pathlib import Path

import h5py
import numpy
from support import CommandTest, finish, launch

FRONT = ["problem.name=pde-front", "problem.objectives=corner", "problem.cells=16", "method.spacing=0.05",
         "run.checkpoint_iterations=1"]


class Fronts(CommandTest):
    def objectives(self, name):
        with h5py.File(self.folder / name, "r") as file:
            points = file["solution/front_objectives"][()]
        points = points.reshape(-1, 2)
        return points[numpy.argsort(points[:, 0])]

    def test_killed_and_resumed_on_another_layout(self):
        self.solve(*FRONT, "problem.group_ranks=1", out="undisturbed.h5", ranks=1)
        process = launch(["solve", *FRONT, "problem.group_ranks=1", "--checkpoint", "store", "--quiet"], 2, self.folder)
        # About half of the front: some checkpoints lie behind.
        while process.poll() is None and len(list((self.folder / "store").glob("checkpoint-*.json"))) < 3:
            time.sleep(0.001)
        for rank in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(rank), signal.SIGKILL)
        self.assertNotEqual(finish(process, 180).code, 0, "the run ended before it could be killed")
        ended = self.command("solve", *FRONT, "problem.group_ranks=2", "--resume", "store", "--out", "run.h5", "--quiet",
                             ranks=2)
        self.assertEqual(ended.code, 0, ended.err)
        expected = self.objectives("undisturbed.h5")
        found = self.objectives("run.h5")
        self.assertEqual(found.shape, expected.shape)
        self.assertGreater(len(found), 10)
        numpy.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)

    def test_one_point_is_chosen(self):
        self.solve("problem.name=distances", "method.spacing=0.05", "stop.tolerance=1e-6", out="front.h5", ranks=1)

        def choose(*words):
            ended = self.command("choose", "front.h5", *words)
            self.assertEqual(ended.code, 0, ended.err)
            return [float(line.split()[1]) for line in ended.out.splitlines() if line.startswith("  f")]

        # Front: sqrt(f_1) + sqrt(f_2) = 1: the knee and equal weights lie in the middle.
        for values in (choose(), choose("--weights", "1,1")):
            self.assertLess(abs(values[0] - 0.25), 0.05)
            self.assertLess(abs(values[1] - 0.25), 0.05)
        self.assertLess(choose("--weights", "10,1")[0], 0.1)
        self.assertLess(abs(choose("--goal", "0.5,0.05")[0] - 0.5), 0.1)
        wrong = self.command("choose", "front.h5", "--weights", "1,2,3")
        self.assertEqual(wrong.code, 2)
        self.assertIn("2 aspirations and 3 weights for 2 objectives", wrong.err)


if __name__ == "__main__":
    unittest.main()
