"""Frames: a message and its numbers as one binary frame, for a browser that reads the numbers where
they lie."""

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNED = 8
"""Bytes: every buffer begins at a multiple of it, so that typed arrays of a browser can look at the
frame itself."""

Message = dict[str, Any]
Buffers = Sequence[np.ndarray]


def spoken(value: Any) -> Any:
    """The value as JSON knows it: NaN and infinity, which it does not, are null; NumPy's numbers
    are Python's."""
    if isinstance(value, dict):
        return {str(name): spoken(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [spoken(one) for one in value]
    if isinstance(value, np.ndarray):
        return spoken(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def text_of(content: Message) -> str:
    """A message without numbers, as a text frame."""
    return json.dumps(spoken(content), separators=(",", ":"), allow_nan=False)


def bytes_of(values: np.ndarray) -> bytes:
    """The bytes of a buffer, little-endian: float64 and int32 as they are, anything else as
    float32."""
    values = np.ascontiguousarray(values)
    kind = "<f8" if values.dtype == np.float64 else "<i4" if values.dtype == np.int32 else "<f4"
    with np.errstate(over="ignore"):  # what float32 does not reach is infinite there
        return values.astype(kind).tobytes()


def packed(content: Message, buffers: Buffers) -> bytes:
    """One binary frame: the length of the JSON (uint32), the JSON with `buffers` (bytes of each),
    padded with spaces so that the numbers begin at a multiple of 8, and each buffer padded to
    it."""
    held = [bytes_of(one) for one in buffers]
    said = text_of(content | {"buffers": [len(one) for one in held]}).encode()
    said += b" " * (-(4 + len(said)) % ALIGNED)
    parts = [struct.pack("<I", len(said)), said]
    for one in held:
        parts += [one, b"\0" * (-len(one) % ALIGNED)]
    return b"".join(parts)


def unpacked(frame: bytes) -> tuple[Message, list[bytes]]:
    """(message, its buffers) of a binary frame, as a browser reads it."""
    (length,) = struct.unpack_from("<I", frame)
    content = json.loads(frame[4 : 4 + length])
    at, held = 4 + length, []
    for size in content["buffers"]:
        held.append(frame[at : at + size])
        at += size + (-size % ALIGNED)
    return content, held


def thinned(values: np.ndarray, marks: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(values, marks) of at most about `most` rows: of each stretch, the rows at which some column
    is lowest or highest, for a curve that looks the same.

    values (n, width), marks (n,). Of many columns the extremes of the first 8 decide.
    """
    count = len(values)
    if count <= most:
        return values, marks
    columns = values[:, : min(values.shape[1], 8)]
    stretches = max(most // (2 * columns.shape[1]), 1)
    size = -(-count // stretches)
    kept = {0, count - 1}
    whole = count // size * size
    folded = columns[:whole].reshape(-1, size, columns.shape[1])
    begins = np.arange(0, whole, size)[:, None]
    with np.errstate(invalid="ignore"):
        low = np.argmin(np.where(np.isnan(folded), np.inf, folded), axis=1) + begins
        high = np.argmax(np.where(np.isnan(folded), -np.inf, folded), axis=1) + begins
    kept.update(low.ravel().tolist(), high.ravel().tolist(), range(whole, count, max(size // 2, 1)))
    rows = np.array(sorted(kept))
    return values[rows], marks[rows]
