#!/usr/bin/python3
"""Counted bytes against what the network interfaces of two emulated nodes counted.

usage: counters.py EQUIPOISE       status 0 passed, 1 failed, 77 skipped (no root, no emulator)

The emulator (setup.sh, run.sh, teardown.sh) is looked for in $EQUIPOISE_NETWORK, default: tools/network of the
shared material beside the project.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("EQUIPOISE_NETWORK", ROOT.parent / "shared" / "tools" / "network"))
# A frame of 1514 bytes carries 1448 bytes of data; acknowledgements and the launcher's own messages add a little.
LARGEST_OVERHEAD = 0.10


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def interface_bytes():
    """Bytes that node 0 sent and received, seen from the switch's side of its link."""
    base = Path("/sys/class/net/eqpv0/statistics")
    return int((base / "rx_bytes").read_text()), int((base / "tx_bytes").read_text())


def run(equipoise, environment, codec, iterations):
    """Bytes on the wire and bytes counted, of one run."""
    before = interface_bytes()
    words = ["problem.name=game", "problem.structure=low-rank", "problem.dimension=40000", "run.agents=2",
             "method.name=masha1", "method.step=0.001", f"method.codec={codec}", f"method.server_codec={codec}",
             "method.p=0.01", f"stop.max_iterations={iterations}", "stop.tolerance=1e-12"]
    ended = subprocess.run([str(TOOLS / "run.sh"), equipoise, "solve", *words, "--json", "-"], env=environment,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150)
    after = interface_bytes()
    start = ended.stdout.find("{")
    if ended.returncode not in (0, 4) or start < 0:
        print(ended.stdout, ended.stderr)
        sys.exit(1)
    traffic = json.loads(ended.stdout[start:ended.stdout.rfind("}") + 1])["traffic"]
    wire = max(after[0] - before[0], after[1] - before[1])
    counted = max(traffic["sent_max"], traffic["received_max"]) + traffic["header_bytes"]
    return wire, counted


def measure(equipoise, environment, codec):
    """The difference of a long and a short run: what the launcher moves at the start cancels."""
    short = run(equipoise, environment, codec, 20)
    long = run(equipoise, environment, codec, 220)
    return long[0] - short[0], long[1] - short[1]


def main():
    if os.geteuid() != 0:
        skip("network namespaces need root")
    if not (TOOLS / "setup.sh").exists():
        skip(f"no network emulator in {TOOLS}")
    started = subprocess.run([str(TOOLS / "setup.sh"), "2", "1gbit"], capture_output=True, text=True)
    if started.returncode != 0:
        skip("the emulated network cannot be set up here: " + started.stderr.strip().splitlines()[-1])
    environment = dict(os.environ)
    environment["EQUIPOISE_NET_STATE"] = started.stdout.strip().split("=", 1)[1]
    good = True
    try:
        for codec in ("identity", "natural"):
            wire, counted = measure(sys.argv[1], environment, codec)
            overhead = wire / counted - 1
            passed = 0 <= overhead <= LARGEST_OVERHEAD
            good = good and passed
            print(f"{codec}: interface {wire} bytes, counted {counted}, overhead {100 * overhead:.1f} % "
                  f"{'ok' if passed else 'FAILED'}")
    finally:
        subprocess.run([str(TOOLS / "teardown.sh")], env=environment, capture_output=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
