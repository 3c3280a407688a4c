"""What an exhibit is: a claim with its source, the experiment and theory that bear it out, the
tolerance and its reason."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import Comparison, compare_each, told_of
from learnmech.errors import Refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.figures.curves import curves
from learnmech.figures.overlay import overlay
from learnmech.instruments.base import Instrument
from learnmech.language import text
from learnmech.record.base import Record
from learnmech.rules.flow import GradientFlow
from learnmech.runs.blocks import Progress
from learnmech.runs.running import run
from learnmech.sweeps import compare_means, sweep
from learnmech.theories.base import Condition, Theory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT = (
    "closed forms against flow at relative tolerance 1e-10 per step, over some hundred steps, with"
    " a margin of 100 for curvature"
)
STEPS = (
    "exact at every step: what is left is round-off, 1e-16 a step over some thousand steps,"
    " amplified by growth out of the saddle"
)


def fine_flow() -> GradientFlow:
    """The flow which exhibits hold closed forms against."""
    return GradientFlow(rtol=1e-10, atol=1e-13, solver="dopri8")


# The runs that a twin's theory of the mean is laid over, at most.
TWIN_SEEDS = 300


@dataclasses.dataclass(frozen=True)
class Shown:
    """An exhibit as performed: its record, the theories laid over it, the further checks, and
    what it takes for those to speak of this experiment."""

    exhibit: "Exhibit"
    experiment: Experiment
    record: Record
    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...] = ()
    extra: dict = dataclasses.field(default_factory=dict)
    premises: tuple[Condition, ...] = ()
    made: bool = True

    @property
    def holds(self) -> bool:
        """Whether every comparison and every check holds."""
        return all(c.verdict == "holds" for c in self.comparisons) and all(
            check.holds for check in self.checks
        )

    @property
    def verdict(self) -> str:
        """The gravest of the verdicts: `fails`, `outside domain`, `undecided`, `not reached`,
        else `holds`."""
        found = {one.verdict for one in self.comparisons} | {one.verdict for one in self.checks}
        return next(
            (
                verdict
                for verdict in ("fails", "outside domain", "undecided", "not reached")
                if verdict in found
            ),
            "holds",
        )

    def figure(self) -> "Figure":
        """The exhibit's figure; outside its theories' domain, which its own figure does not
        speak of, seen over said."""
        if self.outside:
            return draw_overlay(self)
        try:
            return self.exhibit.draw(self)
        except Exception:
            if all(one.holds for one in self.premises):
                raise
            return draw_overlay(self)  # knobs were turned away from what it draws

    @property
    def outside(self) -> bool:
        """Whether knobs were turned so far that an exhibit's theories do not speak of it, or its
        checks could not be made: its own figure does not either."""
        return not self.made or any(
            comparison.verdict == "outside domain" for comparison in self.comparisons
        )


def foremost(comparisons: tuple[Comparison, ...]) -> Comparison | None:
    """The comparison that says most, the first of those: one of round-off alone, as of what is
    conserved, is not put before all others."""
    said = max(comparisons, key=lambda one: len(one.rows), default=None)
    return None if said is None or not said.rows else said


def draw_overlay(shown: Shown) -> "Figure":
    """The comparison that says most, quantity by quantity; the record by itself where none says
    anything."""
    said = foremost(shown.comparisons)
    return (
        curves(shown.record, shown.exhibit.claim)
        if said is None
        else overlay(said, title=shown.exhibit.claim)
    )


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A claim that can be run.

    `experiment()` is the full form; `twin` are the dotted knobs that make it seconds long. Each
    theory is laid over the record with `tolerance` by quantity (the theory's own where none is
    given) for the `reason` given; a theory of the mean is laid over `seeds` runs. `verify(shown)`
    returns further checks and extra data for the figure; it may run more experiments. `draw(shown)`
    is the figure. `premises(start)` are the conditions under which the checks are claims at all,
    whatever knobs are turned; with those the knobs in `free` (dotted, each with all below it) may
    be turned at will. Checks are made for the exhibit's own values of all others, where their
    tolerances come from: turned away from those, they are outside their domain, and where the clock
    is shorter, not reached.
    """

    claim: str
    source: str
    experiment: Callable[[], Experiment]
    watch: tuple[Instrument, ...]
    twin: dict[str, object] = dataclasses.field(default_factory=dict)
    theories: tuple[Theory, ...] = ()
    tolerance: dict[str, float] = dataclasses.field(default_factory=dict)
    reason: str = ""
    seeds: int = 1
    verify: Callable[[Shown], tuple[tuple[Check, ...], dict]] | None = None
    premises: Callable[[Start], Iterable[Condition]] | None = None
    free: tuple[str, ...] = ()
    draw: "Callable[[Shown], Figure]" = draw_overlay

    def changed(self, changes: dict[str, object]) -> Experiment:
        """The full form's experiment with knobs changed."""
        experiment = self.experiment()
        for path, value in changes.items():
            experiment = experiment.with_value(path, value)
        return experiment


def perform(
    exhibit: Exhibit,
    small: bool = False,
    changes: dict[str, object] | None = None,
    until: str | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
    start: Start | None = None,
    folder: Path | None = None,
    keep_data: bool | None = None,
) -> Shown:
    """Run an exhibit, in full or as its twin, with knobs changed, and lay its theories over the
    record. `start` is the changed experiment, made ready; the run is written to `folder` where
    one is given, with its data files as `keep_data` says (None: small ones)."""
    exhibit = (
        dataclasses.replace(exhibit, seeds=min(exhibit.seeds, TWIN_SEEDS)) if small else exhibit
    )
    start = (
        prepare(exhibit.changed({**(exhibit.twin if small else {}), **(changes or {})}))
        if start is None
        else start
    )
    experiment = start.experiment
    watch = exhibit.watch if not changes else fitting(exhibit.watch, start)
    record = run(start, watch, until, progress, folder, keep_data=keep_data)
    comparisons = _laid(exhibit, experiment, record)
    shown = Shown(exhibit, experiment, record, comparisons)
    return shown if exhibit.verify is None else _checked(shown, start, changes or {})


def _checked(shown: Shown, start: Start, changes: dict) -> Shown:
    """With the exhibit's checks, or where a premise of all of them is missing with one that says
    which."""
    needed = (*_of_theories(shown.comparisons), *_of_exhibit(shown.exhibit, start))
    turned = _turned(shown.exhibit, changes)
    if turned:
        ended = next((note for note in shown.record.notes if note.startswith("diverged")), None)
        needed += () if ended is None else (Condition("the run stays finite", ended, "so", False),)
    tuned, late = _made_for(shown, turned)
    shown = dataclasses.replace(shown, premises=(*needed, *tuned))
    if not all(one.holds for one in needed):
        return dataclasses.replace(shown, checks=(_unmade(shown),), made=False)
    verify = shown.exhibit.verify or (lambda shown: ((), {}))
    try:
        checks, extra = verify(shown)
    except Exception as surprise:
        if not turned:
            raise
        if late and all(
            one.holds for one in shown.premises
        ):  # what they look at lies behind the end of the clock
            return dataclasses.replace(
                shown, checks=(dataclasses.replace(_unmade(shown), reached=False),), made=False
            )
        said = Condition(
            "its checks can be made here",
            f"{type(surprise).__name__}: {' '.join(str(surprise).split())}",
            "so",
            False,
            decided=False,
        )
        shown = dataclasses.replace(shown, premises=(*shown.premises, said))
        return dataclasses.replace(shown, checks=(_unmade(shown),), made=False)
    checks = tuple(
        dataclasses.replace(
            one, premises=(*one.premises, *shown.premises), reached=one.reached and not late
        )
        for one in checks
    )
    return dataclasses.replace(shown, checks=checks, extra=extra)


def _unmade(shown) -> Check:
    nothing = float("nan")
    return Check(
        "all that this exhibit checks",
        nothing,
        nothing,
        nothing,
        "what it takes for its checks to be claims here",
        premises=shown.premises,
    )


def _of_theories(comparisons) -> tuple[Condition, ...]:
    """What the theories laid over the record lack, which the exhibit's checks are about."""
    return tuple(
        condition._replace(claim=f"{one.theory}: {condition.claim}")
        for one in comparisons
        for condition in one.conditions
        if not condition.holds
    )


def _of_exhibit(exhibit, start) -> tuple[Condition, ...]:
    found: list[Condition] = []
    try:
        for one in () if exhibit.premises is None else exhibit.premises(start):
            found.append(one.settled())
    except Exception as surprise:  # the next of its premises cannot be had here
        said = (
            f"could not be decided here: {type(surprise).__name__}:"
            f" {' '.join(str(surprise).split())}"
        )
        found.append(
            Condition("its premises can be decided here", said, "so", False, decided=False)
        )
    return tuple(found)


ALWAYS_FREE = ("seed",)


def _turned(exhibit: Exhibit, changes: dict) -> dict[str, object]:
    """The knobs that stand neither at the exhibit's own values nor at its twin's."""
    own, found = exhibit.experiment(), {}
    for path, value in changes.items():
        try:
            now = own.with_value(path, value).fingerprint
            if now != own.fingerprint and not (
                path in exhibit.twin and own.with_value(path, exhibit.twin[path]).fingerprint == now
            ):
                found[path] = value
        except Refused:  # a knob of a part that another change puts there
            found[path] = value
    return found


def _made_for(shown, turned) -> tuple[tuple[Condition, ...], bool]:
    """(the conditions that say which knobs were turned away from what the checks are made for,
    whether the run ended before they look)."""
    free, found, late = (
        (*ALWAYS_FREE, *shown.exhibit.free),
        [],
        any(note.startswith(("stopped", "interrupted")) for note in shown.record.notes),
    )
    own = shown.exhibit.experiment()
    for path, value in turned.items():
        if any(path == one or path.startswith(f"{one}.") for one in free):
            continue
        if path.split(".")[0] == "clock" and _shorter(shown.experiment.clock, own.clock):
            late = True
        else:
            found.append(
                Condition(
                    f"its checks are made for its own {path}",
                    _in_words(value),
                    _own(own, path),
                    False,
                )
            )
    return tuple(found), late


def _shorter(clock, than) -> bool:
    ends = [(getattr(clock, name, None), getattr(than, name, None)) for name in ("time", "steps")]
    return any(
        one is not None and other is not None and float(one) < float(other) for one, other in ends
    )


def _own(experiment, path) -> str:
    try:
        return _in_words(text.value_at(experiment, path))
    except Refused:
        return "another part"


def _in_words(value) -> str:
    said = " ".join(str(value).split())
    return said if len(said) <= 60 else said[:57] + "..."


def _laid(exhibit, experiment, record) -> tuple[Comparison, ...]:
    single = tuple(theory for theory in exhibit.theories if not theory.over_seeds)
    laid = dict(zip(single, compare_each(record, single, exhibit.tolerance or None), strict=True))

    def means(theory):
        return compare_means(
            experiment,
            sweep(experiment, {}, exhibit.seeds, exhibit.watch),
            theory,
            exhibit.tolerance or None,
        )

    return tuple(
        told_of(theory, lambda theory=theory: means(theory)) if theory.over_seeds else laid[theory]
        for theory in exhibit.theories
    )


def fitting(watch, start):
    """The instruments that can look at a changed experiment."""
    fitting = []
    for instrument in watch:
        try:
            instrument.check(start.system)
        except Refused:
            continue
        fitting.append(instrument)
    return tuple(fitting)
