#!/usr/bin/python3
"""What a run leaves behind: JSON summary, run file, same bits on any number of ranks, the other subcommands."""

import csv
import json
import tomllib
import unittest

import h5py
import numpy as np
from same_solution import differences
from support import GAME, CommandTest

REASONS = ("converged", "budget_spent", "iteration_limit", "time_limit", "byte_limit", "stalled", "diverged",
           "not_finite", "interrupted")


def text(dataset):
    value = dataset[()]
    return value.decode() if isinstance(value, bytes) else str(value)


class Summary(CommandTest):
    def test_schema(self):
        facts = self.solve(*GAME, "method.name=masha1")
        self.assertEqual(facts["schema"], 1)
        self.assertEqual(facts["stop"], "converged")
        self.assertLessEqual(facts["residual"], 1e-2)
        self.assertGreater(facts["iterations"], 0)
        for table in ("problem", "method", "certificate", "traffic", "oracle_calls", "seconds"):
            self.assertIsInstance(facts[table], dict)
        for count in ("uplink_per_agent", "downlink_per_agent", "sent_max", "received_max", "header_bytes", "rounds"):
            self.assertIsInstance(facts["traffic"][count], int, count)
        self.assertGreater(facts["traffic"]["uplink_per_agent"], 0)
        self.assertGreater(facts["seconds"]["total"], 0)
        self.assertTrue(all(isinstance(calls, int) for calls in facts["oracle_calls"].values()))

    def test_on_standard_output(self):
        ended = self.command("solve", *GAME, "--json", "-", "--quiet")
        self.assertEqual(json.loads(ended.out)["stop"], "converged")

    def test_limits_end_with_4(self):
        facts = self.solve(*GAME, "stop.max_iterations=7", code=4)
        self.assertEqual((facts["stop"], facts["iterations"]), ("iteration_limit", 7))

    def test_too_large_a_step_ends_with_5(self):
        facts = self.solve(*GAME, "method.name=extragradient", "method.step=100", code=5)
        self.assertIn(facts["stop"], ("diverged", "not_finite"))


class RunFile(CommandTest):
    def test_h5py_reads_everything(self):
        facts = self.solve(*GAME, "method.name=masha1", "run.seed=3")
        with h5py.File(self.folder / "run.h5", "r") as file:
            config = tomllib.loads(text(file["config"]))
            self.assertEqual(config["method"]["name"], "masha1")
            self.assertEqual(config["run"]["seed"], 3)
            self.assertEqual(json.loads(text(file["summary"])), facts)
            trace = {name: column[()] for name, column in file["trace"].items()}
            self.assertEqual(len({len(column) for column in trace.values()}), 1)
            for column in ("iteration", "seconds", "residual", "objective", "uplink_bytes_per_agent",
                           "downlink_bytes_per_agent", "sent_bytes_max", "received_bytes_max", "header_bytes_max",
                           "rounds"):
                self.assertIn(column, trace)
            self.assertEqual(trace["iteration"][-1], facts["iterations"])
            self.assertEqual(trace["residual"][-1], facts["residual"])
            self.assertEqual(trace["uplink_bytes_per_agent"][-1], facts["traffic"]["uplink_per_agent"])
            self.assertTrue(np.all(np.diff(trace["iteration"]) > 0))
            for group in ("versions", "problem", "certificate", "traffic"):
                self.assertTrue(len(file[group].attrs) > 0, group)
            self.assertEqual(file["solution/z"].shape, (100,))
            self.assertTrue(np.all(np.isfinite(file["solution/z"][()])))

    def test_stored_configuration_repeats_the_run(self):
        self.solve(*GAME, "method.name=masha1", "method.codec=randk:5", out="first.h5")
        with h5py.File(self.folder / "first.h5", "r") as file:
            self.write("again.toml", text(file["config"]))
        self.solve("again.toml", out="second.h5", ranks=3)
        self.assertEqual(differences(self.folder / "first.h5", self.folder / "second.h5"), [])


class SameBits(CommandTest):
    def check(self, *keys):
        for ranks in (1, 2, 3, 4):
            self.solve(*GAME, *keys, "stop.max_iterations=150", "stop.tolerance=1e-200", out=f"{ranks}.h5",
                       ranks=ranks, code=4)
        for ranks in (2, 3, 4):
            self.assertEqual(differences(self.folder / "1.h5", self.folder / f"{ranks}.h5"), [], f"{ranks} ranks")

    def test_extragradient(self):
        self.check("method.name=extragradient")

    def test_masha1(self):
        self.check("method.name=masha1", "method.codec=natural", "method.server_codec=natural")

    def test_masha2(self):
        self.check("method.name=masha2", "method.codec=topk:5")

    def test_agents_that_no_rank_count_divides(self):
        self.check("method.name=masha1", "run.agents=7")


class OtherCommands(CommandTest):
    def test_inspect_verify_export_plot(self):
        self.solve(*GAME, "method.name=extragradient", out="a.h5")
        self.solve(*GAME, "method.name=masha1", out="b.h5")
        inspected = self.command("inspect", "a.h5", ranks=1)
        self.assertEqual(inspected.code, 0, inspected.err)
        self.assertIn("extragradient", inspected.out)
        verified = self.command("verify", "a.h5", ranks=1)
        self.assertEqual(verified.code, 0, verified.err)
        exported = self.command("export", "a.h5", "--csv", "csv", ranks=1)
        self.assertEqual(exported.code, 0, exported.err)
        tables = list((self.folder / "csv").glob("*.csv"))
        self.assertTrue(tables)
        with tables[0].open() as file:
            self.assertGreaterEqual(len(list(csv.reader(file))), 100)
        plotted = self.command("plot", "a.h5", "b.h5", "-o", "out.png", ranks=1)
        self.assertEqual(plotted.code, 0, plotted.err)
        self.assertEqual((self.folder / "out.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_verify_finds_a_changed_solution(self):
        self.solve(*GAME, "method.name=extragradient")
        with h5py.File(self.folder / "run.h5", "r+") as file:
            file["solution/z"][0] += 1.0
        self.assertNotEqual(self.command("verify", "run.h5", ranks=1).code, 0)

    def test_compare(self):
        self.write("case.toml", '[problem]\nfamily = "vi"\nname = "game"\n[stop]\nmeasure = "distance"\n'
                                'tolerance = 1e-2\n')
        ended = self.command("compare", "case.toml", "method.name=extragradient,masha1")
        self.assertEqual(ended.code, 0, ended.err)
        self.assertIn("extragradient", ended.out)
        self.assertIn("masha1", ended.out)

    def test_compare_says_what_is_wrong_before_it_runs(self):
        ended = self.command("compare", *GAME, "method.name=extragradient,mahsa1")
        self.assertEqual(ended.code, 2)
        self.assertIn("mahsa1", ended.err)
        self.assertEqual(ended.out, "")

    def test_list(self):
        for topic, word in ((), "game"), (("vi",), "masha1"), (("compressors",), "permk"), (("masha1",), "method.step"):
            with self.subTest(topic=topic):
                ended = self.command("list", *topic, ranks=1)
                self.assertEqual(ended.code, 0, ended.err)
                self.assertIn(word, ended.out)


if __name__ == "__main__":
    unittest.main()
