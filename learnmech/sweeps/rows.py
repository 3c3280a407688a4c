"""Rows: the points of a folder as the rows of arrays that are read when an index is asked of
them."""

import functools
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

from learnmech.errors import refused
from learnmech.sweeps.gathered import diverged_at
from learnmech.sweeps.kept import Kept

# Points held in memory at a time: what is asked of several quantities reads each file once.
HELD = 256


def lazy(rows: "Rows", name: object, shape: tuple[int, ...], leading: int, dtype: np.dtype):
    """A quantity over the grid, whose first `leading` axes are the grid's."""
    return LazilyIndexedArray(_Lazy(rows, name, shape, leading, dtype))


class Rows:
    """The points of a folder, each read when it is asked for and held for a while."""

    def __init__(self, kept: Kept, there: set[int]):
        self.kept, self.there = kept, there
        self.table = functools.lru_cache(HELD)(self._table)

    def _table(self, index: int) -> "xr.Dataset | None":
        found = self.kept.find(index) if index in self.there else None
        return None if found is None else found[1]

    def row(self, index: int, name: str, shape: tuple[int, ...]) -> Any:
        """What a point says of a quantity, NaN behind its last mark."""
        table = self.table(index)
        if name == "reached":
            return 0 if table is None else table.sizes["time"]
        if name == "diverged_at":
            return np.nan if table is None else diverged_at(table)
        row = np.full(shape, np.nan)
        if table is None:
            return row
        values = table[name].values if name in table.variables else None
        if values is None or values.shape[1:] != shape[1:] or len(values) > shape[0]:
            raise refused(
                "gather",
                f"{name} of one shape at every point",
                f"{None if values is None else values.shape} at point {index}, {shape} elsewhere",
                "Read the grid whole by lm.load, which leaves out what differs",
            )
        row[: len(values)] = values
        return row


class _Lazy(BackendArray):
    """A quantity over the grid, which `numpy` makes when an index is asked of it."""

    def __init__(self, rows: Rows, name, shape, leading: int, dtype):
        self.rows, self.name, self.shape, self.leading = rows, str(name), tuple(shape), leading
        # where a point is missing or shorter there are NaN
        whole = name == "reached" or dtype.kind == "f"
        self.dtype = dtype if whole else np.dtype(float)

    def __getitem__(self, key):
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._of)

    def _of(self, key) -> np.ndarray:
        lead, rest = key[: self.leading], key[self.leading :]
        asked = [np.arange(n)[one] for n, one in zip(self.shape, lead, strict=False)]
        at = np.ix_(*map(np.atleast_1d, asked))
        flat = np.ravel_multi_index(at, self.shape[: self.leading])
        inner = self.shape[self.leading :]
        made = []
        for index in flat.ravel():
            row = np.asarray(self.rows.row(int(index), self.name, inner))
            for place in range(len(rest) - 1, -1, -1):  # outer: each axis by itself
                row = row[(slice(None),) * place + (rest[place],)]
            made.append(row)
        kept = tuple(len(one) for one in asked if np.ndim(one))
        return np.array(made, self.dtype).reshape(*kept, *made[0].shape)
