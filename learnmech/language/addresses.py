"""Addresses: one path for every array of a run, and the part of it that is meant:
`layer3.weight[2,5]`, `layer2.post[unit=7]`."""

import re
from typing import NamedTuple

from learnmech.errors import nearest, refused

FORM = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(?:\[([^\[\]]*)\])?\s*")
ITEM = re.compile(
    r"(?:([A-Za-z_]\w*)\s*=\s*)?(-?\d+|(?:-?\d+)?\s*:\s*(?:-?\d+)?(?:\s*:\s*(?:-?\d+)?)?)"
)


class Address(NamedTuple):
    """The path of an array, and as written what is meant of it ("" for all of it)."""

    array: str
    index: str = ""  # type: ignore[assignment]  # it takes the place of tuple.index, which nothing asks of an address

    @classmethod
    def parse(cls, written: str) -> "Address":
        """`layer3.weight`, `layer3.weight[2,5]`, `layer3.weight[:,0]`, `layer2.post[unit=7]`,
        `layer1` (every array below it)."""
        found = FORM.fullmatch(written) if isinstance(written, str) else None
        if found is None or (
            found[2] is not None
            and not all(ITEM.fullmatch(item.strip()) for item in found[2].split(","))
        ):
            raise refused(
                "An address",
                "a path and perhaps an index",
                repr(written),
                "Write for example layer3.weight[2,5] or layer2.post[unit=7]",
            )
        return cls(
            found[1], ",".join(re.sub(r"\s", "", item) for item in (found[2] or "").split(","))
        )

    def __str__(self):
        return f"{self.array}[{self.index}]" if self.index else self.array

    def among(self, names) -> list[str]:
        """The arrays meant, of those there are: the one of this name, or all below it (`layer1`:
        its weight and its bias)."""
        names = list(names)
        if self.array in names:
            return [self.array]
        below = [name for name in names if name.startswith(self.array + ".")]
        if not below:
            raise refused(
                "The address", "an array of the run", repr(self.array), nearest(self.array, names)
            )
        if self.index:
            raise refused(
                f"The address {self}",
                "one array to take an index of",
                ", ".join(below),
                "Name the array, or drop the index",
            )
        return below

    def selection(self, shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[int | slice, ...]:
        """What to index an array of this shape with. A named axis may be meant by the last word
        of its name (`unit` of `layer2.unit`)."""
        chosen: list[int | slice] = [slice(None)] * len(shape)
        taken = set()
        for place, item in enumerate(self.index.split(",") if self.index else ()):
            found = ITEM.fullmatch(item)
            assert found is not None  # as `parse` saw to
            name, written = found.groups()
            axis = self._axis(name, place, shape, axes)
            if axis in taken:
                raise refused(
                    f"The address {self}",
                    "every axis once",
                    f"{axes[axis]} twice",
                    "Drop one of the two",
                )
            taken.add(axis)
            chosen[axis] = self._chosen(written, axes[axis], shape[axis])
        return tuple(chosen)

    def _axis(self, name, place, shape, axes):
        if name is None:
            if place >= len(shape):
                raise refused(
                    f"The address {self}",
                    f"at most {len(shape)} axes ({', '.join(axes)})",
                    place + 1,
                    "Drop the last index",
                )
            return place
        short = [axis.rsplit(".", 1)[-1] for axis in axes]
        if name not in short:
            raise refused(
                f"The address {self}", "an axis of the array", repr(name), nearest(name, short)
            )
        return short.index(name)

    def _chosen(self, written, axis, size):
        if ":" not in written:
            if not -size <= int(written) < size:
                raise refused(
                    f"The address {self}",
                    f"an entry of {axis} from 0 to {size - 1}",
                    written,
                    "Choose one that exists",
                )
            return int(written) % size
        ends = [int(end) if end else None for end in written.split(":")]
        if len(ends) == 3 and ends[2] == 0:
            raise refused(
                f"The address {self}", "a stride that is not 0", written, "Write for example ::2"
            )
        if not len(range(*slice(*ends).indices(size))):
            raise refused(
                f"The address {self}",
                f"some entries of {axis}, 0 to {size - 1}",
                written,
                "Choose a range that holds one",
            )
        return slice(*ends)
