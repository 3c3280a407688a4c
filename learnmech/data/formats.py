"""Formats of files of data, told by their first bytes and not by their names: text, gzip, .npy,
.npz and IDX."""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from learnmech.data.columns import Table
from learnmech.errors import refused

IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
FOREIGN = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\x89HDF": "HDF5",
    b"SQLite format 3": "SQLite",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"MATLAB 5.0": "MATLAB",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "PDF",
}
LARGEST = 2**33
"""Bytes that a compressed file may hold."""


def unpacked(who: str, name: str, raw: bytes) -> bytes:
    """The bytes within gzip; as they are otherwise."""
    held: list[bytes] = []
    size, rest = 0, raw
    # zlib alone, member by member: gzip's own reader goes through it in small pieces
    while rest.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            held.append(member.decompress(rest, LARGEST + 1 - size))
        except zlib.error as error:
            raise _not_whole(who, name, str(error)) from None
        size += len(held[-1])
        if size > LARGEST:
            raise refused(
                who,
                f"a file of at most {LARGEST} bytes",
                f"more within {name}",
                "Give a smaller one",
            )
        if not member.eof:
            raise _not_whole(who, name, "it ends within")
        rest = member.unused_data.lstrip(b"\0")
    if held and rest:
        raise _not_whole(who, name, f"{len(rest)} bytes that are none behind it")
    return raw if not held else held[0] if len(held) == 1 else b"".join(held)


def _not_whole(who, name, said):
    return refused(who, "a gzip file that is whole", f"{name}: {said}", "Download or pack it again")


def alone(who: str, name: str, raw: bytes) -> bytes:
    """The bytes of the one file within a zip archive, or gzip; as they are otherwise."""
    if not raw.startswith(b"PK"):
        return unpacked(who, name, raw)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as opened:
            members = [one for one in opened.infolist() if not one.is_dir()]
            if len(members) != 1 or members[0].file_size > LARGEST:
                got = f"{len(members)} files in {name}"
                raise refused(who, "a zip archive of one file", got, "Unpack it first")
            return opened.read(members[0])
    except RuntimeError as error:  # encrypted, or packed in a way that Python does not know
        needs = "a zip archive that opens without more"
        got = "an encrypted one" if "encrypted" in str(error) else str(error).rstrip(".")
        raise refused(who, needs, f"{name}: {got}", "Unpack it first") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise refused(
            who, "a zip archive that is whole", f"{name}: {error}", "Download it again"
        ) from None


def is_text(who: str, name: str, raw: bytes) -> bool:
    """Whether these bytes are to be read as text; formats that are known and not read are
    refused by name."""
    foreign = next((what for start, what in FOREIGN.items() if raw.startswith(start)), None)
    if raw.startswith(b"PK") and not any(word in raw for word in (b".npy", b"\x93NUMPY")):
        foreign = "an Excel workbook" if b"xl/" in raw else "a zip archive"
    if foreign:
        remedy = "Save it as csv, or read it with a library of its own and give data.Arrays"
        raise refused(who, "a table as text, .npy, .npz or IDX", f"{foreign} in {name}", remedy)
    return not (raw.startswith((b"\x93NUMPY", b"PK")) or is_idx(raw))


def is_idx(raw: bytes) -> bool:
    """Whether these bytes are IDX: two zeros, a type and a number of axes."""
    return len(raw) >= 4 and raw[:2] == b"\x00\x00" and raw[2] in IDX_TYPES and 1 <= raw[3] <= 8


def arrays(who: str, name: str, raw: bytes) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy or IDX, or those of an .npz by name."""
    if is_idx(raw):
        return _idx(who, name, raw)
    opened = io.BytesIO(raw)
    try:
        held = np.load(opened, allow_pickle=False)
        if isinstance(held, Mapping):
            return {key: held[key] for key in held}
    except Exception as error:  # NumPy's reader meets foreign bytes with errors of many kinds
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = ".npy file" if raw.startswith(b"\x93NUMPY") else ".npz archive"
        raise refused(
            who,
            f"an {kind} of plain arrays",
            f"{name}: {said}",
            "Write it by numpy.savez(path, X=X, Y=Y)",
        ) from None
    if opened.tell() < len(
        raw
    ):  # what numpy.save wrote behind the first array, numpy.load leaves out
        got = f"{len(raw) - opened.tell()} bytes behind it in {name}"
        raise refused(
            who,
            "one array in an .npy file",
            got,
            "Write arrays by numpy.savez(path, X=X, Y=Y), or one to a file",
        )
    return held


def _idx(who, name, raw):
    kind, axes = IDX_TYPES[raw[2]], raw[3]
    if len(raw) < 4 + 4 * axes:
        raise refused(
            who, "an IDX file that is whole", f"{len(raw)} bytes in {name}", "Download it again"
        )
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    needed = math.prod(shape) * np.dtype(kind).itemsize
    if len(raw) - 4 - 4 * axes != needed:
        got = f"{len(raw) - 4 - 4 * axes} of them in {name}"
        raise refused(
            who, f"{needed} bytes of numbers for an IDX array {shape}", got, "Download it again"
        )
    return np.frombuffer(raw, kind, offset=4 + 4 * axes).reshape(shape)


def flat(who: str, name: str, values: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Samples of several axes as rows; refuses axes that are not those of the grid, where one is
    given. A channel that is alone may be left out."""
    bare = grid[:-1] if grid and grid[-1] == 1 else grid
    if grid and values.shape[1:] not in (grid, bare):
        raise refused(
            who,
            f"samples of shape {grid}, as grid says",
            f"{values.shape[1:]} in {name}",
            "Change grid, or move the channels to the last axis",
        )
    return values.reshape(len(values), -1)


def matrix(
    who: str,
    name: str,
    values: np.ndarray,
    said: tuple[str, ...] = (),
    flatten: bool = False,
    grid: tuple[int, ...] = (),
) -> Table:
    """An array as a table: rows are samples; a vector is one column, and fields of a structured
    array are columns by name. Samples of more axes are flattened where that is asked for, or where
    they are said to lie on this grid."""
    if values.dtype.names:
        if values.ndim != 1 or any(values.dtype[field].shape for field in values.dtype.names):
            raise refused(
                who,
                "fields of single cells in a structured array",
                f"{values.dtype} in {name}",
                "Give one field a column",
            )
        columns = [_plain(values[field]) for field in values.dtype.names]
        return Table(name, values.dtype.names, range(1, len(values) + 1), None, columns, said=said)
    shape = values.shape
    if (flatten or grid) and values.ndim > 2:
        values = flat(who, name, values, grid)
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        got = f"{values.dtype} of shape {shape} in {name}"
        raise refused(
            who,
            "numbers in a matrix, a sample in each row",
            got,
            "Write float arrays of two axes, X.reshape(len(X), -1)",
        )
    if not len(values):
        raise refused(who, "at least one sample", f"none in {name}", "Give some samples")
    said = (*said, f"{' x '.join(map(str, shape[1:]))} flattened") if len(shape) > 2 else said
    return Table(name, None, range(1, len(values) + 1), values.reshape(len(values), -1), said=said)


def _plain(values):
    return (
        values
        if values.dtype.kind in "fiub"
        else [
            one.decode(errors="replace") if isinstance(one, bytes) else one
            for one in values.tolist()
        ]
    )
