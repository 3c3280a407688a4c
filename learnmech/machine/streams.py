"""Streams of random numbers: one for each named use of a seed."""

import zlib

import numpy as np


def stream_of(seed: int, use: str) -> np.random.Generator:
    """The random numbers for one named use: split by crc32 of the name, the same on every
    machine."""
    return np.random.default_rng([int(seed), zlib.crc32(use.encode())])
