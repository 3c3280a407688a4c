"""Tables on disk: Zarr arrays over the marks, a checksum in every chunk, read through xarray as
far as they are committed."""

import contextlib
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.experiment.clock import Marks
from learnmech.experiment.tables import table
from learnmech.language.quantity import Quantity
from learnmech.machine.late import late

if TYPE_CHECKING:
    import xarray as xr
    import zarr
    import zarr.codecs
else:
    xr = late("xarray")
    zarr = late("zarr")

CHUNK_BYTES = 4 * 2**20
# Tables up to this size are read whole when a record is loaded.
EAGER_BYTES = 2**24


Sums = dict[str, list[int]]
"""{name: crc32 of the committed rows of each chunk, in order}."""


# What some system does not take in the name of a file, and the names that Windows keeps for
# devices.
UNTAKEN = re.compile(r'[<>:"/\\|?*%\x00-\x1f]|[. ]$|^(?=(con|prn|aux|nul|com\d|lpt\d)(\.|$))', re.I)


def stored_as(name: str) -> str:
    """The name of a quantity as that of a folder on every system: `layer1.weight[0,:]` is stored
    as `layer1.weight[0,%3A]`."""
    return UNTAKEN.sub(lambda found: f"%{ord(found[0]):02X}" if found[0] else "%", name)


def _there(name, arrays):
    """What it is stored as here: earlier versions took names as they are."""
    stored = stored_as(name)
    return stored if stored == name or stored in arrays else name


class Damaged(ValueError):
    """What stands on the disk is not what was written there."""


@contextlib.contextmanager
def reading(what: str):
    """Whatever is made of bytes that are not what was written is damage of `what`; what the
    system does not let be read is not."""
    try:
        yield
    except FileNotFoundError as error:
        raise Damaged(f"{what}: {Path(error.filename or what).name} is not there") from error
    except (OSError, MemoryError, Damaged):
        raise
    except Exception as error:
        raise Damaged(f"{what}: {(str(error) or type(error).__name__).splitlines()[0]}") from error


class Table:
    """The table of one cadence, being written; `sums` are kept up with what is written (None: a
    record of 0.4 has none)."""

    def __init__(self, path: Path, sums: Sums | None):
        self.path = path
        self.group: Any = zarr.open_group(
            path, mode="r+", zarr_format=3, use_consolidated=False
        )  # of arrays, and no groups within
        self.sums: Sums | None = sums
        self.written: list[Path] = []
        self._arrays: dict = {}

    @classmethod
    def create(
        cls,
        path: Path,
        quantities: tuple[Quantity, ...],
        readings: dict,
        marks: Marks,
        due: np.ndarray,
        block: int,
    ) -> None:
        """An empty table with a row for each of the marks `due`; `readings` {name: shape and
        type of one}, `block` how many rows come at once."""
        labelled = table(
            (), {}, Marks(marks.times[due], None if marks.steps is None else marks.steps[due])
        )
        labels = {
            axis: (axis, np.array(list(named), object if isinstance(named[0], str) else None))
            for q in quantities
            for axis, named in q.labels
        }
        labelled.assign_coords(labels).to_zarr(path, consolidated=False, zarr_format=3)
        group = zarr.open_group(path, mode="r+", zarr_format=3)
        for quantity in quantities:
            shape, dtype = readings[quantity.name].shape, np.dtype(readings[quantity.name].dtype)
            rows = _chunk_rows(
                dtype.itemsize * int(np.prod(shape, dtype=np.int64)), len(due), block
            )
            group.create_array(
                stored_as(quantity.name),
                shape=(len(due), *shape),
                chunks=(rows, *(max(size, 1) for size in shape)),
                dtype=dtype,
                fill_value=np.nan,
                compressors=(zarr.codecs.Crc32cCodec(),),
                chunk_key_encoding={"name": "default", "separator": "."},
                dimension_names=("time", *quantity.axes),
                attributes=dict(quantity.attributes),
                config={"write_empty_chunks": True},
            )

    def write(self, offset: int, values: dict[str, np.ndarray]) -> None:
        """Rows from `offset` on, where those that were written before end; `written` gathers the
        files, and the folders that hold their names, until they are brought to the disk."""
        for name, rows in values.items():
            if len(rows):
                if name not in self._arrays:
                    # a chunk of nothing but NaN is written too, or it would be missed when it is
                    # read
                    self._arrays[name] = self.group[_there(name, self.group)].with_config(
                        {"write_empty_chunks": True}
                    )
                self._arrays[name][offset : offset + len(rows)] = rows
                if self.sums is not None:
                    _add(self.sums.setdefault(name, []), self._arrays[name], offset, rows)
                folder, length = (
                    self.path / self._arrays[name].basename,
                    self._arrays[name].chunks[0],
                )
                chunks = range(offset // length * length, offset + len(rows), length)
                self.written += [
                    folder,
                    *(folder / _key(self._arrays[name], row) for row in chunks),
                ]

    def cut(self, rows: int) -> None:
        """Only the first `rows` rows stay summed; what comes after is written again."""
        for name, sums in (self.sums or {}).items():
            array = self.group[_there(name, self.group)]
            whole, rest = divmod(rows, array.chunks[0])
            del sums[whole:]
            if rest:
                try:
                    sums.append(_crc(array, array[whole * array.chunks[0] : rows]))
                except Exception:  # half a chunk: it has no sum, and is named as damaged
                    continue


def _crc(array, rows, before=0):
    return zlib.crc32(np.ascontiguousarray(rows, array.dtype).tobytes(), before)


def _add(sums, array, offset, rows):
    """The sums with these rows added. A sum is over the rows that are committed and not over a
    chunk's bytes, so that a chunk into which more was written before the process was killed is
    as good as one into which nothing was."""
    length = array.chunks[0]
    for begin in range(offset // length * length, offset + len(rows), length):
        piece = rows[max(begin - offset, 0) : begin + length - offset]
        before = sums[begin // length] if offset > begin else 0
        del sums[begin // length :]
        sums.append(_crc(array, piece, before))


def _chunk_rows(weight, count, block):
    """Rows of a chunk: as many as fit into one; heavy ones in even parts of a block, so that
    none is written twice."""
    most = max(CHUNK_BYTES // max(weight, 1), 1)
    if block * weight < CHUNK_BYTES // 16:
        return int(np.clip(most, 1, max(count, 1)))
    return int(-(-block // -(-block // most)))


def broken_chunks(
    path: Path, names: list[str], rows: int, sums: Sums | None
) -> list[tuple[int, Path]]:
    """(first row, file) of every chunk that is there and cannot be read, and of every one of the
    first `rows` rows that is missing, or holds other rows than were committed."""
    group: Any = zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False)
    broken: list[tuple[int, Path]] = []
    for name in names:
        array = group[_there(name, group)]
        legible = array.nbytes <= EAGER_BYTES and _legible(array, array.shape[0])
        for row in range(0, array.shape[0], array.chunks[0]):
            file = path / array.basename / _key(array, row)
            there = file.is_file()
            bad = there and not legible and not _legible(array, row + 1, row)
            if bad or (row < rows and not (there and _as_committed(array, name, row, rows, sums))):
                broken.append((row, file))
    return broken


def _as_committed(array, name, row, rows, sums, values=None):
    """Whether the chunk that begins at a row holds what was committed of it: not an older one,
    nor that of another run."""
    if sums is None:  # a record of 0.4 keeps no sums
        return True
    end, index = min(row + array.chunks[0], rows), row // array.chunks[0]
    held = sums.get(name, [])
    try:
        return (
            index < len(held)
            and _crc(array, array[row:end] if values is None else values) == held[index]
        )
    except Exception:  # whatever zarr makes of bytes that are not what was written
        return False


def read_table(
    path: Path, names: list[str], rows: int, sound: bool = False, sums: Sums | None = None
) -> "tuple[xr.Dataset, list[str]]":
    """(the first `rows` rows, what of them is damaged); a chunk that is not what was committed, or
    is missing, is NaN.

    Every chunk is checked unless all are known to be `sound`. Large tables that are whole stay on
    disk, and what is asked of them is read when it is asked for.
    """
    with reading(path.name):
        arrays: dict[str, Any] = dict(
            zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False).arrays()
        )
        held = {name: _there(name, arrays) for name in names}
        coords = {
            name: _coordinate(array, rows)
            for name, array in arrays.items()
            if name not in held.values()
        }
    variables, damaged, stored = {}, [], None
    if any(name not in arrays or arrays[name].shape[0] < rows for name in held.values()):
        raise Damaged(f"{path.name} has fewer rows than are committed")
    if any((arrays[name].metadata.dimension_names or ("",))[0] != "time" for name in held.values()):
        raise Damaged(f"{path.name} has rows that are no marks")
    for name in names:
        array, folder = arrays[held[name]], path / held[name]
        if array.dtype.itemsize * int(np.prod((rows, *array.shape[1:]))) > EAGER_BYTES and (
            sound or _all_whole(array, folder, rows, sums, name)
        ):
            stored = stored or xr.open_zarr(path, consolidated=False, chunks=None).isel(
                time=slice(0, rows)
            )
            variables[name] = stored[held[name]].variable
            continue
        values, bad = _rows(array, folder, rows, None if sound else sums, name)
        if bad:
            damaged.append(f"{name} in rows {', '.join(bad)}")
        variables[name] = (array.metadata.dimension_names, values, dict(array.attrs))
    return xr.Dataset(variables, coords), damaged


def _coordinate(array, rows):
    """What xarray makes of a coordinate that it has written, without the price of opening a
    store of some arrays."""
    dims, values = (
        array.metadata.dimension_names,
        np.asarray(array[:rows] if array.metadata.dimension_names[0] == "time" else array[:]),
    )
    if values.dtype.kind in "UOT":
        return np.array(values.tolist(), str)
    return dims, values, {name: said for name, said in array.attrs.items() if name != "_FillValue"}


def _all_whole(array, folder, rows, sums, name):
    def whole(row):
        return (
            _legible(array, row + 1, row)
            if sums is None
            else _as_committed(array, name, row, rows, sums)
        )

    return all(
        (folder / _key(array, row)).is_file() and whole(row)
        for row in range(0, rows, array.chunks[0])
    )


def _legible(array, end, first=0):
    try:
        return array[first:end] is not None
    except Exception:  # whatever zarr makes of bytes that are not what was written
        return False


def _key(array, row):
    return array.metadata.encode_chunk_key((row // array.chunks[0],) + (0,) * (array.ndim - 1))


def _rows(array, folder, rows, sums, name):
    """(the first rows, the ranges of them that are damaged)."""
    length, bad = array.chunks[0], []
    values: Any = None
    starts = range(0, rows, length)
    there = {begin: (folder / _key(array, begin)).is_file() for begin in starts}
    if all(there.values()):
        try:
            values = np.asarray(array[:rows])
        except PermissionError:
            raise
        except Exception:  # which of them are not what was written, is looked for below
            pass
    whole = values is not None
    if not whole:
        values = np.full((rows, *array.shape[1:]), np.nan, array.dtype)
    for begin in starts:
        end = min(begin + length, rows)
        try:
            if not there[begin]:
                raise FileNotFoundError
            read = values[begin:end] if whole else np.asarray(array[begin:end])
            if not _as_committed(array, name, begin, rows, sums, read):
                raise ValueError
            values[begin:end] = read
        except Exception:
            values[begin:end] = np.nan
            bad.append(f"{begin}-{end - 1}")
    return values, bad
