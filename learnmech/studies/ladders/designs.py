"""Designs: every subset of the axes turned off, or a fraction of them, and what that says of each
axis, of each pair, and of what rests on the others."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from learnmech.errors import refused
from learnmech.figures.design import design_plot
from learnmech.language.display import ladders
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.studies.ladders.effects import (
    LEVEL,
    NOTHING,
    RULE,
    Contrast,
    aliases,
    contrasts,
    pairs,
    per_seed,
    resting_on,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE, MOST = 6, 10
# Fractions of 64 cells: the last axes are off where an odd number of these is (their words in the
# tables of Box, Hunter & Hunter 1978). Seven are of resolution VII, eight of V, nine and ten of IV.
GENERATORS: Mapping[int, tuple[tuple[int, ...], ...]] = {
    7: ((0, 1, 2, 3, 4, 5),),
    8: ((0, 1, 2, 3), (0, 1, 4, 5)),
    9: ((0, 1, 2, 3), (0, 2, 4, 5), (2, 3, 4, 5)),
    10: ((1, 2, 3, 5), (0, 2, 3, 5), (0, 1, 3, 4), (0, 1, 2, 4)),
}


class Effect(NamedTuple):
    """What one axis, or two together, are worth in one quantity's last value.

    `size` is the contrast, in the quantity's units, and `ln` that of its logarithm, where it is
    above 0. `alone` is what the axis costs off by itself, `last` what it costs where all others are
    off already; of one axis only. `aliases` cannot be told from it in this fraction, and without
    `cell` it has no star.
    """

    axes: tuple[str, ...]
    size: Contrast
    ln: Contrast | None
    alone: Contrast
    last: Contrast
    aliases: tuple[tuple[str, ...], ...]
    cells: tuple[tuple[str, ...], ...]

    @property
    def real(self) -> bool:
        """Whether it is more than the noise of seeds: an axis by itself, a pair in ln as well."""
        in_ln = len(self.axes) == 1 or self.ln is None or self.ln.p < LEVEL
        return self.size.p < LEVEL and in_ln

    @property
    def verdict(self) -> str:
        """What is to be said of it in a word."""
        if np.isnan(self.size.size):
            return "a cell diverged"
        if np.isnan(self.size.p):
            return "too few seeds"
        one, other = self.alone, self.last
        turns = one.size * other.size < 0 and all(
            abs(each.size) > 2 * each.error for each in (one, other)
        )
        if turns:
            return "depends on the others"
        if self.real:
            return "an interaction" if len(self.axes) > 1 else "an effect"
        both = len(self.axes) > 1 and self.ln is not None and LEVEL > self.size.p
        return "not in ln" if both else "none seen"


@dataclasses.dataclass(frozen=True)
class Design:
    """The last values of every quantity over a design of two levels, {quantity: (cells, seeds)}.

    `cells` are the axes that are off in each, `axes` those that were crossed, `left` those that
    were not, with the reason.
    """

    axes: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[tuple[str, ...], ...]
    last: dict[str, np.ndarray]
    left: dict[str, str] = dataclasses.field(default_factory=dict)
    units: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fraction(self) -> int:
        """Which part of all cells was run: one in so many."""
        return 2 ** len(self.axes) // len(self.cells)

    @property
    def off(self) -> np.ndarray:
        """(cells, axes) 1 where an axis is off."""
        return np.array([[int(axis in cell) for axis in self.axes] for cell in self.cells])

    def diverged(self, quantity: str) -> tuple[tuple[str, ...], ...]:
        """The cells that have no last value, at one seed or more."""
        whole = np.isfinite(self.last[quantity]).all(1)
        return tuple(cell for cell, there in zip(self.cells, whole, strict=True) if not there)

    def effects(self, quantity: str) -> tuple[Effect, ...]:
        """Every axis and every two of them, in this quantity."""
        if quantity not in self.last:
            raise refused("Design.effects", f"one of {', '.join(self.last)}", repr(quantity), "")
        values, off = self.last[quantity], self.off
        names = [tuple(self.axes[i] for i in one) for one in pairs(len(self.axes))]
        same = aliases(off)
        whole = np.isfinite(values).all()
        found = contrasts(per_seed(off, values)) if whole else [NOTHING] * len(names)
        positive = whole and (values > 0).all()
        logs = contrasts(per_seed(off, np.log(values))) if positive else [None] * len(names)
        starred = [i for i, one in enumerate(found) if one.p < LEVEL]
        rest = resting_on(off, values, starred) if starred else {}
        return tuple(
            Effect(
                axes,
                found[i],
                logs[i],
                self._step(quantity, (), axes),
                self._step(quantity, tuple(set(self.axes) - set(axes)), axes),
                tuple(names[j] for j in same[i]),
                tuple(self.cells[j] for j in rest.get(i, ())),
            )
            for i, axes in enumerate(names)
        )

    def _step(self, quantity, before, axes) -> Contrast:
        """What it costs to turn an axis off where those of `before` are off."""
        kept = {frozenset(cell): values for cell, values in zip(self.cells, self.last[quantity])}
        ends = (frozenset((*before, *axes)), frozenset(before))
        if len(axes) > 1 or not all(one in kept and np.isfinite(kept[one]).all() for one in ends):
            return NOTHING
        apart = kept[ends[0]] - kept[ends[1]]
        error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.nan
        return Contrast(float(apart.mean()), float(error), float("nan"))

    def tables(self) -> tuple[Table, ...]:
        """For every quantity what each axis and each pair is worth."""
        return ladders.design_tables(self.plain())

    def show(self) -> "Figure":
        """What each axis is worth alone, in the mean and after all others, and what pairs add."""
        return design_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))

    def plain(self) -> dict:
        """The design and its effects as plain data."""

        def said(effect):
            return {
                "axes": list(effect.axes),
                "size": list(effect.size),
                "ln": None if effect.ln is None else list(effect.ln),
                "alone": list(effect.alone),
                "last": list(effect.last),
                "aliases": [list(one) for one in effect.aliases],
                "cells": [list(one) for one in effect.cells],
                "verdict": effect.verdict,
            }

        return {
            "axes": list(self.axes),
            "cells": [list(cell) for cell in self.cells],
            "seeds": list(self.seeds),
            "fraction": self.fraction,
            "rule": RULE,
            "left": self.left,
            "quantities": {
                name: {
                    "units": self.units.get(name, "1"),
                    "values": values.tolist(),
                    "diverged": [list(cell) for cell in self.diverged(name)],
                    "effects": [said(one) for one in self.effects(name)],
                }
                for name, values in self.last.items()
            },
        }


def crossed(axes: Sequence[str]) -> list[tuple[str, ...]]:
    """The cells of a design of these axes, the full experiment first: all 2^k subsets, or of more
    than six axes 64 of them."""
    axes, free = tuple(axes), min(len(axes), WHOLE)
    if len(axes) > MOST:
        raise refused(
            "ladder",
            f"at most {MOST} axes to turn off in all combinations",
            len(axes),
            "Name those that matter",
        )
    cells = []
    for bits in itertools.product((0, 1), repeat=free):
        rest = [sum(bits[i] for i in word) % 2 for word in GENERATORS.get(len(axes), ())]
        cells.append(tuple(axis for axis, bit in zip(axes, (*bits, *rest), strict=True) if bit))
    return sorted(cells, key=len)
