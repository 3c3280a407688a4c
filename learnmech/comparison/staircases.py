"""Staircases: when each mode of the data is learned, in which order, and whether the loss rests
between; of any run, whatever its network, data and start."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

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

LEVELS = (0.1, 0.5, 0.9)
# Marks that are replayed where fractions or the loss were not watched, and marks among which
# plateaus are looked for.
MARKS, LOOKED_AT = 200, 4000
BAND, FALL, LEAST, SPAN = 0.01, 0.05, 0.01, 4
RULE = (
    "A step ends at a mark where all its modes, and those before, have come to 90 % of their"
    " strength and no other to 10 %. A staircase has two or more, and every mode after the first"
    " step waits: it takes as long to come to 10 % as from there to half, or longer."
)
PLATEAUS = (
    "A plateau: 4 marks or more within 1 % of what the loss has yet to fall (that being 1 % of its "
    "whole fall or more), no shorter than the next 5 % of that take."
)


class Rise(NamedTuple):
    """How a mode was learned: its number and strength s, its fraction at the first mark, and the
    times at which it came to 10 %, half and 90 % of s.

    Times are first passages, interpolated between marks; NaN where it did not come there, that of
    the first mark where it was there from the start. `rise` is the time from 10 % to 90 %, `gap`
    that between the two marks where it came to half: what is shorter is not resolved. `step` is
    that in which it was learned, counted from 1, and 0 where it has not come to 90 %.
    """

    mode: int
    strength: float
    start: float
    tenth: float
    half: float
    ninetieth: float
    gap: float
    step: int = 0

    @property
    def rise(self) -> float:
        """The time from 10 % to 90 %."""
        return self.ninetieth - self.tenth


class Plateau(NamedTuple):
    """A stretch of time over which the loss rests: from, to, the loss there, and the time it then
    took to fall by 5 % of what it had yet to fall."""

    start: float
    end: float
    loss: float
    fall: float


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
        modes = [one._asdict() | {"rise": one.rise} for one in self.rises]
        said = {
            "title": self.title,
            "verdict": self.verdict,
            "modes": modes,
            "plateaus": [one._asdict() for one in self.plateaus],
        }
        steps, words = (
            [list(step) for step in self.steps],
            {"decided": list(self.decided), "notes": list(self.notes)},
        )
        return (
            said
            | {"order": list(self.order), "steps": steps}
            | words
            | {"rule": RULE, "plateau_rule": PLATEAUS}
        )

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
    system: Any = record.course.start.system
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
    notes = (
        *_notes(record, system),
        *((f"left out, without strength in the data: {', '.join(left)}",) if left else ()),
    )
    return dataclasses.replace(
        found, title=f"Modes of {catalog.kebab(type(record.experiment.data).__name__)}", notes=notes
    )


def _read(record, name, instrument):
    """What was watched of a quantity, or what is replayed of it at up to MARKS marks."""
    if name in record:
        return record[name]
    marks = record.course.marks.times if record.course.flows else record.course.places
    chosen = np.unique(
        np.linspace(record.first, record.reached - 1, min(record.reached - record.first, MARKS))
        .round()
        .astype(int)
    )
    return record.read(instrument, marks[chosen])[name]


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
    passed = np.array([[_first(fractions[:, m], level) for level in LEVELS] for m in range(modes)])
    rises = []
    for m in range(modes):
        tenth, half, ninetieth = (
            _time(times, fractions[:, m], place, level)
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
    steps = _steps(passed, order, len(times))
    placed = {m: place for place, step in enumerate(steps, 1) for m in step}
    rises = [one._replace(step=placed.get(m, 0)) for m, one in enumerate(rises)]
    verdict, decided = _judged(times, rises, steps, passed, order)
    named = tuple(tuple(names[m] for m in step) for step in steps)
    found = plateaus(loss_times, loss)
    return Staircase(
        tuple(rises),
        found,
        tuple(names[m] for m in order),
        named,
        verdict,
        decided,
        (),
        "",
        times,
        fractions,
        np.asarray(loss_times),
        np.asarray(loss),
    )


def _first(fraction, level) -> int:
    """The first mark at which a fraction has come to a level; the count of marks where none has."""
    there = fraction >= level
    return int(np.argmax(there)) if there.any() else len(fraction)


def _time(times, fraction, place, level) -> float:
    if place == len(times):
        return float("nan")
    if place == 0 or not np.isfinite(fraction[place - 1]):
        return float(times[place])
    before, after = fraction[place - 1], fraction[place]
    return float(
        times[place - 1] + (times[place] - times[place - 1]) * (level - before) / (after - before)
    )


def _steps(passed, order, marks) -> list[list[int]]:
    """The modes that came to 90 %, those between two cuts together; a cut is a mark at which all
    before it are there and none behind it has come to 10 %."""
    steps: list[list[int]] = [[]]
    learned = [m for m in order if passed[m][2] < marks]
    for place, m in enumerate(learned):
        steps[-1].append(m)
        rest = [n for n in range(len(passed)) if n not in learned[: place + 1]]
        if place + 1 < len(learned) and max(passed[n][2] for n in learned[: place + 1]) < min(
            passed[n][0] for n in rest
        ):
            steps.append([])
    return [step for step in steps if step]


def _judged(times, rises, steps, passed, order) -> tuple[str, tuple[str, ...]]:
    """The verdict, and what decided it."""
    missing = [one for one in rises if not one.step]
    between = [_between(rises, one, two) for one, two in zip(steps[:-1], steps[1:], strict=True)]
    waits = [rises[m] for step in steps[1:] for m in step]
    waited = [_waited(one, times[0]) for one in waits]
    if missing:
        ended = tuple(
            f"mode {one.mode} has come to {_highest(one)} by the last mark, at {times[-1]:.6g}"
            for one in missing[:6]
        )
        verdict = f"not reached within the clock: {_modes([one.mode for one in missing])}"
        return verdict, (*ended, *between)
    if len(rises) == 1:
        return "not a staircase: one mode alone", (f"mode {rises[0].mode} is the only one",)
    if len(steps) > 1:
        rising = [one for one in waits if not _has_waited(one, times[0])]
        if rising:
            return "not a staircase: modes rise from the start", (
                *between,
                *(_waited(one, times[0]) for one in rising),
            )
        return "a staircase", (*between, *waited)
    touching = next(
        (
            (a, b)
            for a, b in zip(order[:-1], order[1:], strict=True)
            if passed[a][2] == passed[b][0]
        ),
        None,
    )
    closest = max(
        zip(order[:-1], order[1:], strict=True),
        key=lambda pair: rises[pair[1]].tenth - rises[pair[0]].ninetieth,
    )
    said = _between(rises, [closest[0]], [closest[1]])
    if touching is not None:
        a, b = (rises[m].mode for m in touching)
        return f"undecided: marks too far apart to tell modes {a} and {b}", (
            said,
            f"marks there are {rises[touching[0]].gap:.3g} apart",
        )
    return "not a staircase: modes rise together", (said,)


def _between(rises, one, two) -> str:
    last, first = (
        max((rises[m] for m in one), key=lambda r: r.ninetieth),
        min((rises[m] for m in two), key=lambda r: r.tenth),
    )
    return (
        f"mode {last.mode} at 90 % by {last.ninetieth:.6g}, mode {first.mode} at 10 % by"
        f" {first.tenth:.6g}"
    )


def _has_waited(one, begun) -> bool:
    return one.tenth - begun >= one.half - one.tenth


def _waited(one, begun) -> str:
    return (
        f"mode {one.mode} took {one.tenth - begun:.4g} to 10 %, and {one.half - one.tenth:.4g} from"
        " there to half"
    )


def _highest(one) -> str:
    return (
        "half and not to 90 %"
        if one.half == one.half
        else "10 % and not to half"
        if one.tenth == one.tenth
        else "less than 10 %"
    )


def _modes(names) -> str:
    return f"mode{'s' if len(names) > 1 else ''} {', '.join(map(str, names))}"


def plateaus(
    times: Float[np.ndarray, " marks"], loss: Float[np.ndarray, " marks"]
) -> tuple[Plateau, ...]:
    """The plateaus of a loss over time, by PLATEAUS; of more than 4000 marks, 4000 of them are
    looked at."""
    times, loss = np.asarray(times, float), np.asarray(loss, float)
    whole = np.isfinite(loss)
    times, loss = times[whole], loss[whole]
    if len(loss) > LOOKED_AT:
        few = np.linspace(0, len(loss) - 1, LOOKED_AT).round().astype(int)
        times, loss = times[few], loss[few]
    if len(loss) < SPAN or not loss[0] > loss.min():
        return ()
    floor, found, at = loss.min(), [], 0
    while at < len(loss):
        left = loss[at] - floor
        if left < LEAST * (loss[0] - floor) or left <= 0:
            at += 1
            continue
        away = np.abs(loss[at:] - loss[at]) > BAND * left
        end = at + int(np.argmax(away)) - 1 if away.any() else len(loss) - 1
        below = loss[end:] <= loss[at] - (BAND + FALL) * left
        fallen = end + int(np.argmax(below)) if below.any() else len(loss)
        lasts = times[end] - times[at]
        if end - at + 1 >= SPAN and fallen < len(loss) and lasts >= times[fallen] - times[end]:
            found.append(
                Plateau(
                    float(times[at]),
                    float(times[end]),
                    float(loss[at]),
                    float(times[fallen] - times[end]),
                )
            )
            at = fallen
        else:
            at += 1
    return tuple(found)
