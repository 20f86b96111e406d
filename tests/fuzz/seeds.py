#!/usr/bin/python3
"""Writes the seed corpus of the fuzz targets: seeds.py DIR makes DIR/TARGET/* with small well-formed inputs."""

import bz2
import gzip
import struct
import sys
from pathlib import Path

NETWORK = b"""<NUMBER OF ZONES> 2
<NUMBER OF NODES> 3
<FIRST THRU NODE> 1
<NUMBER OF LINKS> 3
<END OF METADATA>
~ init term capacity length time b power speed toll type ;
1 3 10 1 2.5 0.15 4 0 0 1 ;
3 2 20 1 1e0 0.15 4 0 0 1 ;
1 2 5 1 3 0.15 4 0 0 1;
"""
TRIPS = b"<NUMBER OF ZONES> 2\n<TOTAL OD FLOW> 7.0\n<END OF METADATA>\n\nOrigin 1\n  2 : 7.0;\n"
MPS = b"""NAME test
ROWS
 N cost
 L lim1
 G lim2
 E myeqn
COLUMNS
 x cost 1 lim1 1
 x lim2 1
 y cost 2 lim1 1
 y myeqn -1
RHS
 rhs lim1 4 lim2 1
 rhs myeqn 7
RANGES
 rng lim1 2.5
BOUNDS
 UP bnd x 4
 MI bnd y
ENDATA
"""
QPS = MPS.replace(b"ENDATA", b"QUADOBJ\n x x 2\n y x -1\n y y 3\nENDATA")
TOML = b"""[problem]
family = "vi"
name = "game"
lower = [0, 1.5e-3, -2]
words = ["a", 'b']
[stop]
tolerance = 1e-6
"""
IDX_IMAGES = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 2) + bytes(range(8))
IDX_LABELS = struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes(3)

SEEDS = {
    "fuzz_libsvm": [b"+1 1:0.5 3:-2e-3 # note\n-1 2:1\n\n3\n", b"1\r\n2 1:1\r\n"],
    "fuzz_tntp": [b"\0" + NETWORK, b"\1" + TRIPS, b"\2node x y ;\n1 0.5 2 ;\n", b"\3from to volume cost\n1 2 3.5 4\n"],
    "fuzz_mps": [MPS, QPS, MPS.replace(b" ", b"    "), b"NAME\nOBJSENSE\n    MAX\nROWS\n N z\nCOLUMNS\nRHS\nENDATA\n"],
    "fuzz_packed": [b"\0" + IDX_IMAGES, b"\0" + IDX_LABELS, b"\0" + gzip.compress(IDX_IMAGES),
                    b"\1" + gzip.compress(MPS), b"\1" + bz2.compress(TRIPS), b"\1plain text\n"],
    "fuzz_config": [b"\0" + TOML, b"\1method.step=0.5", b"\1problem.lower=[0,1]", b"\1method.codec=topk:0.1"],
    "fuzz_codec": [bytes([codec, 16, 0, 1]) + bytes(range(1, 1 + 8 * 17)) for codec in range(25)],
    "fuzz_codec_name": [b"identity", b"topk:0.01", b"natural+randk:0.1", b"qsgd:8", b"induced(topk:5,randk:5)", b"zfp-rate:16"],
}


def main():
    root = Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        folder = root / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main()
