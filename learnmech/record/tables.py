"""Tables on disk: Zarr arrays over the marks, a checksum in every chunk, read through xarray as far as they are committed."""

from pathlib import Path

import numpy as np

from learnmech.clock import Marks
from learnmech.late import late
from learnmech.quantity import Quantity
from learnmech.tables import table

xr = late("xarray")
zarr = late("zarr")

CHUNK_BYTES = 4 * 2**20
# Tables up to this size are read whole when a record is loaded.
EAGER_BYTES = 2**24


class Table:
    """The table of one cadence, being written."""

    def __init__(self, path: Path):
        self.path, self.group = path, zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)
        self._arrays: dict = {}

    @classmethod
    def create(cls, path: Path, quantities: tuple[Quantity, ...], readings: dict, marks: Marks, due: np.ndarray, block: int) -> None:
        """An empty table with a row for each of the marks `due`; `readings` {name: shape and type of one}, `block` how many rows come at once."""
        labelled = table((), {}, Marks(marks.times[due], None if marks.steps is None else marks.steps[due]))
        labels = {axis: (axis, np.array(list(named), object if isinstance(named[0], str) else None)) for q in quantities for axis, named in q.labels}
        labelled.assign_coords(labels).to_zarr(path, consolidated=False, zarr_format=3)
        group = zarr.open_group(path, mode="r+", zarr_format=3)
        for quantity in quantities:
            shape, dtype = readings[quantity.name].shape, np.dtype(readings[quantity.name].dtype)
            rows = _chunk_rows(dtype.itemsize * int(np.prod(shape, dtype=np.int64)), len(due), block)
            group.create_array(
                quantity.name,
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

    def write(self, offset: int, values: dict[str, np.ndarray]) -> list[Path]:
        """Rows from `offset` on; gives the files that were written and the folders that hold their names."""
        written: list[Path] = []
        for name, rows in values.items():
            if len(rows):
                if name not in self._arrays:
                    # a chunk of nothing but NaN is written too, or it would be missed when it is read
                    self._arrays[name] = self.group[name].with_config({"write_empty_chunks": True})
                self._arrays[name][offset : offset + len(rows)] = rows
                folder, length = self.path / name, self._arrays[name].chunks[0]
                chunks = range(offset // length * length, offset + len(rows), length)
                written += [folder, *(folder / _key(self._arrays[name], row) for row in chunks)]
        return written


def _chunk_rows(weight, count, block):
    """Rows of a chunk: as many as fit into one; heavy ones in even parts of a block, so that none is written twice."""
    most = max(CHUNK_BYTES // max(weight, 1), 1)
    if block * weight < CHUNK_BYTES // 16:
        return int(np.clip(most, 1, max(count, 1)))
    return int(-(-block // -(-block // most)))


def broken_chunks(path: Path, names: list[str], rows: int) -> list[tuple[int, Path]]:
    """(first row, file) of every chunk that is there and cannot be read, and of every one of the first `rows` rows that is missing."""
    group, broken = zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False), []
    for name in names:
        array = group[name]
        legible = array.nbytes <= EAGER_BYTES and _legible(array, array.shape[0])
        for row in range(0, array.shape[0], array.chunks[0]):
            file = path / name / _key(array, row)
            there = file.is_file()
            if (row < rows and not there) or (there and not legible and not _legible(array, row + 1, row)):
                broken.append((row, file))
    return broken


def read_table(path: Path, names: list[str], rows: int, sound: bool = False) -> "tuple[xr.Dataset, list[str]]":
    """(the first `rows` rows, what of them is damaged); a chunk whose checksum does not agree, or which is missing, is NaN.

    Every chunk is checked unless all are known to be `sound`. Large tables that are whole stay on disk, and what is asked of them is read when it is asked for.
    """
    arrays = dict(zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False).arrays())
    coords = {name: _coordinate(array, rows) for name, array in arrays.items() if name not in names}
    variables, damaged, stored = {}, [], None
    if any(name not in arrays or arrays[name].shape[0] < rows for name in names):
        raise ValueError(f"{path.name} has fewer rows than are committed")
    for name in names:
        array = arrays[name]
        if array.dtype.itemsize * int(np.prod((rows, *array.shape[1:]))) > EAGER_BYTES and (sound or _all_whole(array, path / name, rows)):
            stored = stored or xr.open_zarr(path, consolidated=False, chunks=None).isel(time=slice(0, rows))
            variables[name] = stored[name].variable
            continue
        values, bad = _rows(array, path / name, rows)
        if bad:
            damaged.append(f"{name} in rows {', '.join(bad)}")
        variables[name] = (array.metadata.dimension_names, values, dict(array.attrs))
    return xr.Dataset(variables, coords), damaged


def _coordinate(array, rows):
    """What xarray makes of a coordinate that it has written, without the price of opening a store of some arrays."""
    dims, values = array.metadata.dimension_names, np.asarray(array[:rows] if array.metadata.dimension_names[0] == "time" else array[:])
    if values.dtype.kind in "UOT":
        return np.array(values.tolist(), str)
    return dims, values, {name: said for name, said in array.attrs.items() if name != "_FillValue"}


def _all_whole(array, folder, rows):
    return all((folder / _key(array, row)).is_file() and _legible(array, row + 1, row) for row in range(0, rows, array.chunks[0]))


def _legible(array, end, first=0):
    try:
        return array[first:end] is not None
    except Exception:  # whatever zarr makes of bytes that are not what was written
        return False


def _key(array, row):
    return array.metadata.encode_chunk_key((row // array.chunks[0],) + (0,) * (array.ndim - 1))


def _rows(array, folder, rows):
    length, bad = array.chunks[0], []
    if all((folder / _key(array, begin)).is_file() for begin in range(0, rows, length)):
        try:
            return np.asarray(array[:rows]), bad
        except Exception:  # which of them are not what was written, is looked for below
            pass
    values = np.full((rows, *array.shape[1:]), np.nan, array.dtype)
    for begin in range(0, rows, length):
        end = min(begin + length, rows)
        try:
            if not (folder / _key(array, begin)).is_file():
                raise FileNotFoundError
            values[begin:end] = array[begin:end]
        except Exception:
            bad.append(f"{begin}-{end - 1}")
    return values, bad
