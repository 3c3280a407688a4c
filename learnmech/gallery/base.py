"""What an exhibit is: a claim with its source, the experiment and theory that bear it out, the tolerance and its reason."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from learnmech.comparison import Check, Comparison, compare, compare_means
from learnmech.errors import Refused
from learnmech.experiment import Experiment, Start, prepare
from learnmech.figures.curves import curves
from learnmech.figures.overlay import overlay
from learnmech.instruments.base import Instrument
from learnmech.record.base import Record
from learnmech.rules.flow import GradientFlow
from learnmech.runs import Progress, run
from learnmech.sweeps import sweep
from learnmech.theories.base import Theory

EXACT = "closed forms against flow at relative tolerance 1e-10 per step, over some hundred steps, with a margin of 100 for curvature"
STEPS = "exact at every step: what is left is round-off, 1e-16 a step over some thousand steps, amplified by growth out of the saddle"


def fine_flow() -> GradientFlow:
    """The flow which exhibits hold closed forms against."""
    return GradientFlow(rtol=1e-10, atol=1e-13, solver="dopri8")


# The runs that a twin's theory of the mean is laid over, at most.
TWIN_SEEDS = 300


@dataclasses.dataclass(frozen=True)
class Shown:
    """An exhibit as performed: its record, the theories laid over it, and the further checks."""

    exhibit: "Exhibit"
    experiment: Experiment
    record: Record
    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...] = ()
    extra: dict = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every comparison and every check holds."""
        return all(c.verdict == "holds" for c in self.comparisons) and all(check.holds for check in self.checks)

    def figure(self) -> "Figure":
        """The exhibit's figure; outside its theories' domain, which its own figure does not speak of, seen over said."""
        return draw_overlay(self) if self.outside else self.exhibit.draw(self)

    @property
    def outside(self) -> bool:
        """Whether knobs were turned so far that an exhibit's theories do not speak of it: then its own checks and figure do not either."""
        return any(comparison.verdict == "outside domain" for comparison in self.comparisons)


def draw_overlay(shown: Shown) -> "Figure":
    """The first comparison that says anything, quantity by quantity; the record by itself where none does."""
    said = next((c for c in shown.comparisons if c.rows), None)
    return curves(shown.record, shown.exhibit.claim) if said is None else overlay(said, title=shown.exhibit.claim)


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A claim that can be run.

    `experiment()` is the full form; `twin` are the dotted knobs that make it seconds long. Each theory is laid over the record with
    `tolerance` by quantity (the theory's own where none is given) for the `reason` given; a theory of the mean is laid over `seeds` runs.
    `verify(shown)` returns further checks and extra data for the figure; it may run more experiments. `draw(shown)` is the figure.
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
    progress: Callable[[Progress], None] | None = None,
    start: Start | None = None,
    folder: Path | None = None,
) -> Shown:
    """Run an exhibit, in full or as its twin, with knobs changed, and lay its theories over the record. `start` is the changed experiment, made ready;
    the run is written to `folder` where one is given."""
    exhibit = dataclasses.replace(exhibit, seeds=min(exhibit.seeds, TWIN_SEEDS)) if small else exhibit
    start = prepare(exhibit.changed({**(exhibit.twin if small else {}), **(changes or {})})) if start is None else start
    experiment = start.experiment
    watch = exhibit.watch if not changes else fitting(exhibit.watch, start)
    record = run(start, watch, until, progress, folder)
    comparisons = tuple(_laid(exhibit, theory, experiment, record) for theory in exhibit.theories)
    shown = Shown(exhibit, experiment, record, comparisons)
    if exhibit.verify is None or shown.outside:
        return shown
    checks, extra = exhibit.verify(shown)
    return dataclasses.replace(shown, checks=tuple(checks), extra=extra)


def _laid(exhibit, theory, experiment, record):
    if theory.over_seeds:
        return compare_means(experiment, sweep(experiment, {}, exhibit.seeds, exhibit.watch), theory)
    return compare(record, theory, exhibit.tolerance or None)


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
