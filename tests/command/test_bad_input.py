#!/usr/bin/python3
"""Bad input: one clear message on stderr, the documented exit code, no hang, nothing overwritten."""

import os
import subprocess
import unittest

from support import GAME, CommandTest

ROBUST = ["solve", "problem.family=vi", "problem.name=robust-regression", "run.agents=2"]
TRAFFIC = ["solve", "problem.family=vi", "problem.name=traffic"]

# Two zones joined by a road of one link in each direction.
NET = """<NUMBER OF ZONES> 2
<NUMBER OF NODES> 2
<FIRST THRU NODE> 1
<NUMBER OF LINKS> 2
<END OF METADATA>
~ init term capacity length fft b power speed toll type ;
1 2 {capacity} 1 1 0.15 4 0 0 1 ;
{second} 1 100 1 1 0.15 4 0 0 1 ;
"""
TRIPS = """<NUMBER OF ZONES> 2
<TOTAL OD FLOW> 30
<END OF METADATA>
Origin 1
2 : 10; 
Origin 2
1 : 20;
"""


class Configuration(CommandTest):
    def test_unknown_key_names_the_nearest(self):
        self.refuse(2, ["methd.name", "method.name"], "solve", *GAME, "methd.name=masha1")

    def test_unknown_problem_family_method_codec(self):
        self.refuse(2, ["gaem", "game"], "solve", "problem.family=vi", "problem.name=gaem")
        self.refuse(2, ["vj"], "solve", "problem.family=vj", "problem.name=game")
        self.refuse(2, ["mashal", "masha1"], "solve", *GAME, "method.name=mashal")
        self.refuse(2, ["topj"], "solve", *GAME, "method.name=masha1", "method.codec=topj:3")

    def test_numbers_out_of_range(self):
        for codec in ("topk:0", "topk:1.5", "randk:-1"):
            with self.subTest(codec=codec):
                self.refuse(2, [codec], "solve", *GAME, "method.name=masha1", f"method.codec={codec}")
        self.refuse(2, ["method.step", "-1"], "solve", *GAME, "method.name=masha1", "method.step=-1")
        for tolerance in ("0", "nan", "-1e-3"):
            with self.subTest(tolerance=tolerance):
                self.refuse(2, ["stop.tolerance"], "solve", *GAME, f"stop.tolerance={tolerance}")

    def test_case_files(self):
        self.refuse(3, ["nowhere.toml"], "solve", "nowhere.toml")
        self.write("broken.toml", "[problem\nname = 'game'\n")
        self.refuse(2, ["broken.toml:1"], "solve", "broken.toml")

    def test_command_lines(self):
        self.refuse(2, ["slove"], "slove")
        self.refuse(2, ["--outt"], "solve", *GAME, "--outt", "run.h5")

    def test_more_ranks_than_agents_is_allowed(self):
        facts = self.solve("problem.family=vi", "problem.name=game", "run.agents=2", "problem.dimension=20", ranks=4)
        self.assertEqual(facts["stop"], "converged")


class Data(CommandTest):
    def test_missing_and_empty(self):
        self.refuse(3, ["nowhere"], *ROBUST, "problem.data=nowhere")
        self.write("empty", "")
        self.refuse(3, ["empty"], *ROBUST, "problem.data=empty")

    def test_libsvm(self):
        bad = {
            "index": "1 1:2 0:3",
            "index-text": "1 1:2 x:3",
            "unsorted": "1 5:1 2:3",
            "nan": "1 1:nan",
            "label": "yes 1:2",
        }
        for name, line in bad.items():
            with self.subTest(name=name):
                self.write(name, f"-1 1:0.5 2:1\n1 2:0.25\n{line}\n1 1:3\n")
                self.refuse(3, [f"{name}:3"], *ROBUST, f"problem.data={name}")

    def network(self, capacity="100", second="2"):
        self.write("a_net.tntp", NET.format(capacity=capacity, second=second))
        self.write("a_trips.tntp", TRIPS)
        return [*TRAFFIC, "problem.net=a_net.tntp", "problem.trips=a_trips.tntp"]

    def test_tntp_is_read(self):
        ended = self.command(*self.network())
        self.assertEqual(ended.code, 0, ended.err)

    def test_tntp(self):
        self.refuse(3, ["a_net.tntp:8", "7"], *self.network(second="7"))
        self.refuse(3, ["a_net.tntp:7", "-5"], *self.network(capacity="-5"))

    def test_tntp_trips(self):
        self.refuse(3, ["nowhere.tntp"], *self.network(), "problem.trips=nowhere.tntp")
        self.refuse(2, ["problem.trips"], *self.network()[:-1])

    def test_tntp_unreachable_demand(self):
        # Both links leave node 1, so nobody gets from zone 2 to zone 1.
        arguments = self.network()
        self.write("a_net.tntp", NET.format(capacity="100", second="1").replace("1 1 100", "1 2 100"))
        self.refuse(3, ["from zone 2 to zone 1"], *arguments)


class Output(CommandTest):
    def test_missing_directory(self):
        self.refuse(6, ["nowhere"], "solve", *GAME, "--out", "nowhere/run.h5")

    def test_read_only_directory(self):
        # Even root writes nothing into /proc.
        self.refuse(6, ["/proc"], "solve", *GAME, "--quiet", "--out", "/proc/run.h5")

    def test_existing_file_is_kept(self):
        path = self.write("run.h5", "precious")
        self.refuse(2, ["run.h5", "--overwrite"], "solve", *GAME, "--out", "run.h5")
        self.assertEqual(path.read_text(), "precious")
        ended = self.command("solve", *GAME, "--out", "run.h5", "--overwrite", "--quiet")
        self.assertEqual(ended.code, 0, ended.err)
        self.assertNotEqual(path.read_bytes(), b"precious")

    def test_no_run_file(self):
        self.write("text.h5", "no run file")
        for verb in (["inspect"], ["verify"], ["export", "--csv", "csv"], ["plot", "-o", "out.png"]):
            with self.subTest(verb=verb[0]):
                self.refuse(6, ["text.h5"], verb[0], "text.h5", *verb[1:], ranks=1)
                self.refuse(6, ["nowhere.h5"], verb[0], "nowhere.h5", *verb[1:], ranks=1)
        self.assertFalse((self.folder / "out.png").exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root can mount a small file system")
    def test_full_disk_while_checkpointing(self):
        small = self.folder / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no file system can be mounted here")
        try:
            (small / "others").write_bytes(bytes(120_000))
            self.refuse(6, ["small"], "solve", *GAME, "stop.measure=residual", "problem.dimension=2000",
                        "problem.structure=low-rank", "method.name=masha1", "run.checkpoint_iterations=5", "--checkpoint", "small/checkpoints",
                        "--out", "run.h5")
            self.assertEqual((small / "others").read_bytes(), bytes(120_000))
            self.assertEqual(list(small.glob("checkpoints/checkpoint-*.h5")), [])
        finally:
            subprocess.run(["umount", small], check=True)


if __name__ == "__main__":
    unittest.main()
