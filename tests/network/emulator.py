#!/usr/bin/python3
"""cluster/network/emulate.sh: nodes of their own, a rate that holds, and nothing left behind.

usage: emulator.py       status 0 passed, 1 failed, 77 skipped (no network namespaces here)
"""

import subprocess
import sys
import time
import unittest
from pathlib import Path

EMULATE = str(Path(__file__).resolve().parents[2] / "cluster" / "network" / "emulate.sh")
RECEIVE = """
import socket
server = socket.create_server(("", 5001))
print("ready", flush=True)
link = server.accept()[0]
total = 0
while piece := link.recv(1 << 16):
    total += len(piece)
print(total)
"""
SEND = """
import socket
link = socket.create_connection(("10.83.0.11", 5001))
link.sendall(bytes({bytes}))
"""


def emulate(*words):
    return subprocess.run([EMULATE, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                          check=False)


def left_behind():
    """Names of namespaces and links that belong to the emulator."""
    listed = subprocess.run("ip netns list; ip -o link show", shell=True, capture_output=True, text=True, check=False)
    return [word for word in listed.stdout.replace(":", " ").replace("@", " ").split()
            if word.startswith(("eqnode", "eqlink", "eqnet"))]


class Emulator(unittest.TestCase):
    def tearDown(self):
        emulate("down")
        self.assertEqual(left_behind(), [])

    def test_every_rank_has_a_node_of_its_own(self):
        ended = emulate("with", "3", "100mbit", "--", "hostname")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(sorted(ended.stdout.split()), ["eqnode0", "eqnode1", "eqnode2"])

    def test_a_failure_is_passed_on_and_leaves_nothing(self):
        self.assertNotEqual(emulate("with", "2", "1gbit", "--", "false").returncode, 0)
        self.assertEqual(left_behind(), [])

    def test_networks_may_follow_each_other_at_once(self):
        for _ in range(5):
            started = emulate("up", "4", "1gbit")
            self.assertEqual(started.returncode, 0, started.stderr)
            self.assertEqual(emulate("down").returncode, 0)

    def test_one_network_at_a_time(self):
        self.assertEqual(emulate("up", "2", "1gbit").returncode, 0)
        second = emulate("up", "2", "1gbit")
        self.assertEqual(second.returncode, 1)
        self.assertIn("already", second.stderr)

    def test_nothing_is_faster_than_the_rate(self):
        self.assertEqual(emulate("up", "2", "20mbit").returncode, 0)
        size = 2_000_000
        receiver = subprocess.Popen(["ip", "netns", "exec", "eqnode1", sys.executable, "-c", RECEIVE],
                                    stdout=subprocess.PIPE, text=True)
        self.assertEqual(receiver.stdout.readline(), "ready\n")
        start = time.monotonic()
        subprocess.run(["ip", "netns", "exec", "eqnode0", sys.executable, "-c", SEND.format(bytes=size)], check=True)
        received = int(receiver.communicate(timeout=60)[0])
        seconds = time.monotonic() - start
        self.assertEqual(received, size)
        self.assertGreaterEqual(seconds, 0.9 * 8 * size / 20e6)

    def test_words_that_make_no_sense(self):
        for words, message in ((("up", "1", "1gbit"), "NODES"), (("up", "2", "quick"), "RATE"),
                               (("run", "true"), "no network"), (("with", "2", "1gbit", "true"), "COMMAND")):
            ended = emulate(*words)
            self.assertEqual(ended.returncode, 1, words)
            self.assertIn(message, ended.stderr)
        self.assertEqual(emulate().returncode, 2)


if __name__ == "__main__":
    tried = emulate("with", "2", "1gbit", "--", "true")
    if tried.returncode == 77:
        print(tried.stderr.strip())
        sys.exit(77)
    unittest.main()
