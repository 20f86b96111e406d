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


if __name__ == "__main__":
    unittest.main()
