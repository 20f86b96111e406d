#!/usr/bin/python3
"""same_solution.py A.h5 B.h5: status 0 if every dataset of /solution has the same bits in both run files."""

import sys

import h5py


def solution(path):
    """Name -> (type, shape, bytes) of every dataset below /solution."""
    found = {}
    with h5py.File(path, "r") as file:
        def keep(name, item):
            if isinstance(item, h5py.Dataset):
                found[name] = (str(item.dtype), item.shape, item[()].tobytes())
        file["solution"].visititems(keep)
    return found


def differences(first, second):
    """Names of datasets that are missing in one file or differ in a bit."""
    a, b = solution(first), solution(second)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


if __name__ == "__main__":
    different = differences(sys.argv[1], sys.argv[2])
    for name in different:
        print(f"/solution/{name} differs between {sys.argv[1]} and {sys.argv[2]}")
    sys.exit(1 if different or not solution(sys.argv[1]) else 0)
