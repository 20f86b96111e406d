#!/usr/bin/python3
"""Runs that are killed, interrupted or resumed: the same bits as the run that nobody disturbed."""

import os
import signal
import time
import unittest
from pathlib import Path

import h5py
from same_solution import differences
from support import GAME, CommandTest, finish, launch

# Long enough to be hit in the middle, ended by its number of iterations: status 4.
LONG = [*GAME, "stop.tolerance=1e-200", "stop.max_iterations=4000", "run.checkpoint_iterations=250"]
METHODS = {
    "extragradient": ["method.name=extragradient"],
    "masha1": ["method.name=masha1", "method.codec=randk:5"],
    "masha2": ["method.name=masha2", "method.codec=topk:5"],
}


def ranks_of(mpirun):
    return [int(pid) for pid in Path(f"/proc/{mpirun}/task/{mpirun}/children").read_text().split()]


class Resume(CommandTest):
    def checkpoints(self):
        return sorted((self.folder / "store").glob("checkpoint-*.h5"))

    def manifests(self):
        """A checkpoint counts from the moment its manifest stands beside it."""
        return sorted((self.folder / "store").glob("checkpoint-*.json"))

    def start(self, *keys, ranks=2):
        """Starts a run and waits for its first checkpoint."""
        process = launch(["solve", *keys, "--checkpoint", "store", "--out", "run.h5", "--quiet"], ranks, self.folder)
        while process.poll() is None and not self.manifests():
            time.sleep(0.001)
        return process

    def resume(self, *keys, ranks, code=4):
        ended = self.command("solve", *keys, "--resume", "store", "--out", "run.h5", "--overwrite", "--quiet",
                             ranks=ranks)
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def same_as_undisturbed(self, *keys):
        self.solve(*keys, out="undisturbed.h5", ranks=1, code=4)
        self.assertEqual(differences(self.folder / "run.h5", self.folder / "undisturbed.h5"), [])

    def same_history(self):
        """The trace goes on where the checkpoint left it."""
        with h5py.File(self.folder / "run.h5", "r") as a, h5py.File(self.folder / "undisturbed.h5", "r") as b:
            for column in ("iteration", "residual"):
                self.assertEqual(a["trace"][column][()].tobytes(), b["trace"][column][()].tobytes(), column)

    def test_a_measured_codec_is_measured_once(self):
        keys = [*GAME, "method.codec=auto", "stop.tolerance=1e-200", "run.checkpoint_iterations=10"]
        began = self.command("solve", *keys, "stop.max_iterations=20", "--checkpoint", "store", "--out", "first.h5",
                             "--quiet", ranks=2)
        self.assertEqual(began.code, 4, began.err)
        self.resume(*keys, "stop.max_iterations=30", ranks=3)
        codecs = []
        for name in ("first.h5", "run.h5"):
            with h5py.File(self.folder / name, "r") as file:
                text = file["config"][()]
                text = text.decode() if isinstance(text, bytes) else str(text)
                codecs.append([line for line in text.splitlines() if "codec" in line])
        self.assertEqual(codecs[0], codecs[1])
        self.assertNotIn("auto", "".join(codecs[0]))

    def test_killed_and_resumed_on_another_number_of_ranks(self):
        for name, keys in METHODS.items():
            with self.subTest(method=name):
                for path in [*(self.folder / "store").glob("*"), *self.folder.glob("*.h5*")]:
                    path.unlink()
                process = self.start(*LONG, *keys, ranks=2)
                if process.poll() is None:
                    os.kill(ranks_of(process.pid)[-1], signal.SIGKILL)
                ended = finish(process, 180)
                self.assertEqual(ended.code, 137, "the run ended before it could be killed")
                self.resume(*LONG, *keys, ranks=3)
                self.same_as_undisturbed(*LONG, *keys)
                self.same_history()

    def test_usr1_saves_and_ends_with_75(self):
        keys = [*LONG, *METHODS["masha1"]]
        process = self.start(*keys, ranks=2)
        process.send_signal(signal.SIGUSR1)
        ended = finish(process, 180)
        self.assertEqual(ended.code, 75, ended.err)
        self.resume(*keys, ranks=4)
        self.same_as_undisturbed(*keys)

    def test_time_limit(self):
        # On a fast machine the residual would reach its floor, and the run would stall, within the limit.
        keys = [*LONG, "stop.max_iterations=100000000", "stop.stall_checks=0", *METHODS["masha1"]]
        self.assertEqual(self.command("solve", *keys, "--max-time", "1", "--quiet").code, 4)
        self.assertEqual(self.command("solve", *keys, "--max-time", "1", "--checkpoint", "store", "--quiet").code, 75)
        first = self.iteration()
        # The limit is one of this part of the run: what was spent before does not count.
        ended = self.command("solve", *keys, "--max-time", "1", "--resume", "store", "--quiet")
        self.assertEqual(ended.code, 75, ended.err)
        self.assertGreater(self.iteration(), first + 10)

    def iteration(self):
        """The iteration at which the newest checkpoint stands."""
        with h5py.File(self.checkpoints()[-1], "r") as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: item}) if name.endswith("run/iteration") else None)
            return int(next(iter(found.values()))[()])

    def test_another_problem_or_method_is_refused(self):
        keys = [*GAME, "stop.max_iterations=20", "run.checkpoint_iterations=10", "--checkpoint", "store"]
        self.assertEqual(self.command("solve", *keys, "method.name=masha1", "--quiet").code, 4)
        self.refuse(6, ["98", "100"], "solve", *GAME, "problem.dimension=98", "method.name=masha1", "--resume", "store")
        self.refuse(6, ["masha1", "extragradient"], "solve", *GAME, "method.name=extragradient", "--resume", "store")

    def test_nothing_to_resume_from(self):
        self.refuse(6, ["nowhere"], "solve", *GAME, "--resume", "nowhere")

    def test_a_flipped_byte_is_found_and_the_previous_one_used(self):
        keys = [*LONG, "stop.max_iterations=600", *METHODS["masha1"]]
        ended = self.command("solve", *keys, "--checkpoint", "store", "--quiet")
        self.assertEqual(ended.code, 4, ended.err)
        newest = self.checkpoints()[-1]
        self.flip(newest)
        ended = self.command("solve", *keys, "--resume", "store", "--out", "run.h5", ranks=2)
        self.assertEqual(ended.code, 4, ended.err)
        self.assertIn(newest.name, ended.err + ended.out)
        self.same_as_undisturbed(*keys)
        for path in self.checkpoints():
            path.write_bytes(path.read_bytes()[:-1])
        self.refuse(6, [path.name for path in self.checkpoints()], "solve", *keys, "--resume", "store")

    def flip(self, path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


if __name__ == "__main__":
    unittest.main()
