#!/usr/bin/python3
"""Counted bytes against what the network interfaces of two emulated nodes counted.

usage: counters.py EQUIPOISE       status 0 passed, 1 failed, 77 skipped (no network namespaces here)
"""

import json
import subprocess
import sys
from pathlib import Path

EMULATE = str(Path(__file__).resolve().parents[2] / "cluster" / "network" / "emulate.sh")
# A frame of 1514 bytes carries 1448 bytes of data; acknowledgements and the launcher's own messages add a little.
LARGEST_OVERHEAD = 0.10


def interface_bytes():
    """Bytes that node 0 sent and received, seen from the switch's side of its link."""
    base = Path("/sys/class/net/eqlink0/statistics")
    return int((base / "rx_bytes").read_text()), int((base / "tx_bytes").read_text())


def run(equipoise, codec, iterations):
    """Bytes on the wire and bytes counted, of one run."""
    before = interface_bytes()
    words = ["problem.name=game", "problem.structure=low-rank", "problem.dimension=40000", "run.agents=2",
             "method.name=masha1", "method.step=0.001", f"method.codec={codec}", f"method.server_codec={codec}",
             "method.p=0.01", f"stop.max_iterations={iterations}", "stop.tolerance=1e-12"]
    ended = subprocess.run([EMULATE, "run", equipoise, "solve", *words, "--json", "-"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=150, check=False)
    after = interface_bytes()
    start = ended.stdout.find("{")
    if ended.returncode not in (0, 4) or start < 0:
        print(ended.stdout, ended.stderr)
        sys.exit(1)
    traffic = json.loads(ended.stdout[start:ended.stdout.rfind("}") + 1])["traffic"]
    wire = max(after[0] - before[0], after[1] - before[1])
    counted = max(traffic["sent_max"], traffic["received_max"]) + traffic["header_bytes"]
    return wire, counted


def measure(equipoise, codec):
    """The difference of a long and a short run: what the launcher moves at the start cancels."""
    short = run(equipoise, codec, 20)
    long = run(equipoise, codec, 220)
    return long[0] - short[0], long[1] - short[1]


def main():
    started = subprocess.run([EMULATE, "up", "2", "1gbit"], capture_output=True, text=True, check=False)
    if started.returncode == 77:
        print(started.stderr.strip())
        sys.exit(77)
    if started.returncode != 0:
        sys.exit(started.stderr)
    good = True
    try:
        for codec in ("identity", "natural"):
            wire, counted = measure(sys.argv[1], codec)
            overhead = wire / counted - 1
            passed = 0 <= overhead <= LARGEST_OVERHEAD
            good = good and passed
            print(f"{codec}: interface {wire} bytes, counted {counted}, overhead {100 * overhead:.1f} % "
                  f"{'ok' if passed else 'FAILED'}")
    finally:
        subprocess.run([EMULATE, "down"], check=False)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
