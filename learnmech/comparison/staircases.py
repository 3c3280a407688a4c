"""Staircases: when each mode of the data is learned, in which order, and whether the loss rests
between; of any run, whatever its network, data and start."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from learnmech.comparison.plateaus import PLATEAUS, Plateau
from learnmech.comparison.plateaus import plateaus as plateaus
from learnmech.comparison.rises import (
    LEVELS,
    RULE,
    Rise,
    first_mark,
    judged,
    passage,
    steps_of,
)
from learnmech.errors import refused
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import ModeFractions
from learnmech.language import catalog, doors
from learnmech.language.display import results
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.losses.squared import Squared
from learnmech.record.base import Record
from learnmech.record.given import recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Marks that are replayed where fractions or the loss were not watched.
MARKS = 200


@dataclasses.dataclass(frozen=True)
class Staircase:
    """When each mode of the data was learned, the plateaus of the loss, and the verdict with the
    numbers that decided it.

    `rises` by mode, the strongest first; `order` the modes as they came to half; `steps` the modes
    that were learned by 90 %, those of one step together; `decided` what the verdict rests on, and
    `notes` what a reader must know. `times` and `fractions` (marks, modes), `loss_times` and `loss`
    are what was read.
    """

    rises: tuple[Rise, ...]
    plateaus: tuple[Plateau, ...]
    order: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    verdict: str
    decided: tuple[str, ...]
    notes: tuple[str, ...] = ()
    title: str = ""
    times: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0), repr=False)
    fractions: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    loss_times: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0), repr=False)
    loss: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0), repr=False)

    def plain(self) -> dict:
        """All but the curves as plain data."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "modes": [one._asdict() | {"rise": one.rise} for one in self.rises],
            "plateaus": [one._asdict() for one in self.plateaus],
            "order": list(self.order),
            "steps": [list(step) for step in self.steps],
            "decided": list(self.decided),
            "notes": list(self.notes),
            "rule": RULE,
            "plateau_rule": PLATEAUS,
        }

    def tables_shown(self) -> tuple[Table, ...]:
        """The table of modes and that of plateaus, as `learnmech staircase` prints them."""
        return results.staircase(self.plain())

    def __str__(self):
        return as_text(*self.tables_shown())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables_shown()))

    def figure(self) -> "Figure":
        """Fractions over time with the times at which they came to half, and the loss with its
        plateaus; `lm.show` gives it too."""
        return doors.through("staircase", self)


def staircase(record: Record | str | Path, count: int = 0) -> Staircase:
    """When each of the strongest `count` modes of the data (0: all there are) was learned in a run,
    of any network, data, rule and start.

    Read off `mode_fraction` (`instruments.ModeFractions`) and `loss` where they were watched, as
    finely as they were; else both are replayed at up to 200 marks. The verdict is by RULE: `a
    staircase`; `not a staircase`, and why: `modes rise together`, `modes rise from the start` (one
    after another, but like exponentials, which come to 10 % six times as fast as from there to
    half), `one mode alone`; `not reached within the clock: modes 3, 4`, those that have not come to
    90 %; or `undecided`, where a mode came to 90 % and the next to 10 % between the same two marks.
    A loss that is convex in time has no plateau. Times are in the units of the clock,
    param²/loss.  Source: Saxe et al. 2014; Jacot et al. 2021.
    """
    record = recorded("staircase", record)
    fractions, loss = (
        _read(record, name, instrument)
        for name, instrument in (("mode_fraction", ModeFractions()), ("loss", Loss()))
    )
    values, most = np.asarray(fractions.values, float), fractions.shape[1]
    if count < 0 or count > most:
        raise refused(
            "staircase",
            f"a count from 0 to {most}, the modes that were read",
            count,
            "Lower count, or watch instruments.ModeFractions()",
        )
    there = np.isfinite(values[0]) if len(values) else np.zeros(most, bool)
    kept = [m for m in range(most) if there[m]][: count or None]
    if not kept:
        raise refused(
            "staircase",
            "modes of the data, singular vectors of Y'X/n",
            "none that is not 0",
            "Give targets that vary with the inputs",
        )
    system: Any = record.start.system
    strengths = np.asarray(system.modes.s, float)[kept]
    found = stairs(
        fractions["time"].values,
        values[:, kept],
        loss["time"].values,
        loss.values,
        strengths,
        [m + 1 for m in kept],
    )
    left = [str(m + 1) for m in range(most) if not there[m]]
    notes = list(_notes(record, system))
    if left:
        notes.append(f"left out, without strength in the data: {', '.join(left)}")
    title = f"Modes of {catalog.kebab(type(record.experiment.data).__name__)}"
    return dataclasses.replace(found, title=title, notes=tuple(notes))


def _read(record, name, instrument):
    """What was watched of a quantity, or what is replayed of it at up to MARKS marks."""
    if name in record:
        return record[name]
    marks = record.timeline.marks.times if record.timeline.flows else record.timeline.positions
    count = min(record.reached - record.first, MARKS)
    chosen = np.linspace(record.first, record.reached - 1, count).round().astype(int)
    return record.read(instrument, marks[np.unique(chosen)])[name]


def _notes(record, system):
    loss = system.loss_function
    if not isinstance(loss, Squared):
        yield (
            f"the loss is {type(loss).__name__}: where it comes to rest, outputs need not be the"
            " targets, and a fraction can pass 1 or stay below it"
        )
    elif loss.ridge is not None and float(loss.ridge) > 0:
        yield f"under the ridge {float(loss.ridge):g} modes come to rest below their strength"
    if system.train.weight is not None:
        yield "samples are weighted; modes are those of all samples alike"
    yield from (
        note for note in record.notes if note.startswith(("diverged", "stopped", "interrupted"))
    )


def stairs(
    times: Float[np.ndarray, " marks"],
    fractions: Float[np.ndarray, "marks modes"],
    loss_times: Float[np.ndarray, " more"],
    loss: Float[np.ndarray, " more"],
    strengths: Float[np.ndarray, " modes"] | None = None,
    names: list[int] | None = None,
) -> Staircase:
    """The staircase of fractions and of a loss over time, by RULE and PLATEAUS; `names` are the
    numbers of the modes (from 1 on)."""
    modes = fractions.shape[1]
    names = list(range(1, modes + 1)) if names is None else names
    strengths = np.full(modes, np.nan) if strengths is None else strengths
    passed = np.array(
        [[first_mark(fractions[:, m], level) for level in LEVELS] for m in range(modes)]
    )
    rises = []
    for m in range(modes):
        tenth, half, ninetieth = (
            passage(times, fractions[:, m], place, level)
            for place, level in zip(passed[m], LEVELS, strict=True)
        )
        at = passed[m][1]
        gap = float(times[at] - times[at - 1]) if 0 < at < len(times) else float("nan")
        rises.append(
            Rise(names[m], float(strengths[m]), float(fractions[0, m]), tenth, half, ninetieth, gap)
        )
    order = sorted(
        (m for m in range(modes) if passed[m][1] < len(times)), key=lambda m: rises[m].half
    )
    steps = steps_of(passed, order, len(times))
    placed = {m: place for place, step in enumerate(steps, 1) for m in step}
    rises = [one._replace(step=placed.get(m, 0)) for m, one in enumerate(rises)]
    verdict, decided = judged(times, rises, steps, passed, order)
    return Staircase(
        rises=tuple(rises),
        plateaus=plateaus(loss_times, loss),
        order=tuple(names[m] for m in order),
        steps=tuple(tuple(names[m] for m in step) for step in steps),
        verdict=verdict,
        decided=decided,
        times=times,
        fractions=fractions,
        loss_times=np.asarray(loss_times),
        loss=np.asarray(loss),
    )
