#!/usr/bin/python3
"""A short version of the study of faults: kills, flipped bits, signals, a full disk, in all families."""

import subprocess
import unittest

import h5py
from support import EQUIPOISE, SOURCE, CommandTest

STUDY = SOURCE / "cluster" / "studies" / "faults.py"
# The time limit finds a run that hangs; on a loaded machine it must not find one that is slow.
COUNTS = ["--kills", "3", "--flips", "10", "--others", "1", "--limit", "150"]
CASES = 3 + 10 + 3 + 7


class Faults(CommandTest):
    def study(self):
        return subprocess.run(["/usr/bin/python3", "-B", STUDY, "--command", EQUIPOISE, "--out", "study", *COUNTS],
                              cwd=self.folder, capture_output=True, text=True, check=False)

    def test_nothing_is_lost_and_the_study_continues(self):
        told = self.study()
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        log = self.folder / "study" / "cases.jsonl"
        lines = log.read_text().splitlines()
        self.assertEqual(len(lines), CASES)
        # Interrupted in a line: what is missing is done again, the rest stays.
        log.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
        again = self.study()
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        self.assertEqual(log.read_text().splitlines()[:-1], lines[:-1])
        with h5py.File(self.folder / "study" / "faults.h5") as file:
            self.assertEqual(len(file["seconds"]), CASES)
            self.assertFalse(any(file["failed"][()]))
        self.assertEqual((self.folder / "study" / "picture.png").read_bytes()[:4], b"\x89PNG")


if __name__ == "__main__":
    unittest.main()
