"""The budget: how far a theory is from a run, and which axes that is made of, at every mark."""

import dataclasses
import fnmatch
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.engines import opened
from learnmech.errors import Refused, nearest, refused
from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.figures.budget import budget_plot
from learnmech.instruments.base import Instrument
from learnmech.language import catalog
from learnmech.language.display import budgets
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.language.text import part_of
from learnmech.simplifications.base import Simplification
from learnmech.studies.ladders.cells import Cell, Cells, cell
from learnmech.studies.ladders.paths import Path, Rungs, both, rung_of
from learnmech.studies.ladders.paths import nearest as nearest_paths
from learnmech.sweeps.asked import seeds_of
from learnmech.sweeps.elsewhere import landing_in
from learnmech.theories.base import Theory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of more axes not every subset is run, and legs are those of the one order.
CROSSED = 5
# Times the run's own size: a rung that is beyond it is above its edge.
RUNAWAY = 1000.0
RULE = (
    "parts add up to the difference at every mark; a part is the mean over the orders in which axes"
    " can be turned off, and its range that of the orders"
)


@dataclasses.dataclass(frozen=True)
class Part:
    """What one axis, or the theory's own error behind them all, adds to the difference: (seeds,
    marks), and the least and the most over orders (marks)."""

    name: str
    values: np.ndarray
    least: np.ndarray
    most: np.ndarray


@dataclasses.dataclass(frozen=True)
class Budget:
    """Why a theory is as far from a run as it is: prediction - run, split into what each axis of
    the path adds and the theory's own error on the last rung.

    `full`, `last` and `said` are the run, the last rung and the prediction made there, (seeds,
    marks); `parts` add up to said - full at each mark and seed. `orders` is how many orders were
    averaged over, `drawn` whether they are some of more.
    """

    experiment: Experiment
    path: Path
    quantity: str
    units: str
    seeds: tuple[int, ...]
    times: np.ndarray
    full: np.ndarray
    last: np.ndarray
    said: np.ndarray
    parts: tuple[Part, ...]
    orders: int
    drawn: bool
    others: tuple[Path, ...] = ()
    words: str = ""

    @property
    def difference(self) -> np.ndarray:
        """(seeds, marks) prediction - run."""
        return self.said - self.full

    def plain(self) -> dict:
        """What was found as plain data."""
        return {
            "fingerprint": self.experiment.fingerprint,
            "theory": self.path.theory,
            "path": self.path.words,
            "axes": list(self.path.axes),
            "at_limit": self.path.limit,
            "others": [{"theory": one.theory, "words": one.words} for one in self.others],
            "set": self.words,
            "quantity": self.quantity,
            "units": self.units,
            "seeds": list(self.seeds),
            "times": self.times.tolist(),
            "full": self.full.tolist(),
            "last": self.last.tolist(),
            "said": self.said.tolist(),
            "parts": [
                {
                    "name": one.name,
                    "values": one.values.tolist(),
                    "least": one.least.tolist(),
                    "most": one.most.tolist(),
                }
                for one in self.parts
            ],
            "orders": self.orders,
            "drawn": self.drawn,
            "rule": RULE,
        }

    def tables(self) -> tuple[Table, ...]:
        """The path, and the parts at a few marks."""
        return budgets.tables(self.plain())

    def show(self) -> "Figure":
        """The run, the prediction and the last rung, and what the difference is made of."""
        return budget_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def explain(
    experiment: Experiment | str | File,
    theory: Theory | str | None = None,
    quantity: str | None = None,
    seeds: int | Sequence[int] = 3,
    watch: tuple[Instrument | str, ...] | None = None,
    limit: bool = True,
    on: str | Executor | None = None,
    folder: str | File | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Budget:
    """Say how far a theory is from an experiment and why: the axes that must be turned off until it
    speaks are turned off, the rungs are run, and prediction - run splits into what each adds.

    `theory` by name or as a value (None: the one that is the fewest axes away, of those that
    predict the quantity). `quantity` is one number at a time (None: the loss, else the first such
    the theory predicts). With `limit` the path of a theory that is a limit goes on to where the
    limit has been taken. At each mark and seed

        said - full = sum_a part_a + (said - last),

    part_a the mean over the orders in which the axes can be turned off, of what
    turning a off adds (a Shapley value over admissible orders); the theory over the last rung is
    the last part and never permuted. Of more than five axes the parts are those of the one order.
    Differences of absolute values would not add up, and are not split. `on` and `folder` as of
    `ladder`.
    """
    meant: Any
    meant, watch = given(experiment, watch)
    meant = meant.experiment if isinstance(meant, Start) else meant
    used = seeds_of("explain", seeds)
    rungs = Rungs(dataclasses.replace(meant, seed=used[0]))
    way, others = _way(rungs, theory, quantity, limit)
    chosen = _theory(way.theory) if not isinstance(theory, Theory) else theory
    quantity = _quantity(chosen, quantity)
    watch = watch or (quantity.replace("_", "-"),)
    subsets = _subsets(rungs, way.steps)
    with opened(on, "explain", folder) as engine, landing_in(folder, "explain") as landing:
        runs = Cells(meant, used, watch, (), progress, engine, landing)
        runs.perform(map(cell, subsets))
    if quantity not in runs.curves[Cell()]:
        known = ", ".join(runs.curves[Cell()])
        raise refused("explain", f"a quantity of {known}", repr(quantity), "Watch it")
    curves = {frozenset(one): runs.curves[cell(one)][quantity] for one in subsets}
    count = len(runs.times)
    if any(curve.shape[1] != count or not np.isfinite(curve).all() for curve in curves.values()):
        gone = next(k for k, c in curves.items() if not np.isfinite(c).all() or c.shape[1] != count)
        axes = ", ".join(sorted(one.axis for one in gone)) or "nothing"
        raise refused(
            "explain", "runs that end", f"one that diverged with {axes} off", "Lower the rate"
        )
    full, last = curves[frozenset()], curves[frozenset(way.steps)]
    for chosen_axes, curve in curves.items():
        # above its edge a rung runs away before it diverges, and parts of 1e19 explain nothing
        if np.abs(curve).max() > RUNAWAY * np.abs(full).max():
            off = ", ".join(one.axis for one in way.steps if one in chosen_axes)
            got = f"{quantity} of {np.abs(curve).max():.2g} with {off} off"
            remedy = "Lower the rate, or stop in the domain (limit=False, --near)"
            raise refused("explain", "rungs that do not run away", got, remedy)
    said = np.stack([_said(meant, way, chosen, seed, quantity) for seed in used])
    orders, drawn = _orders(way.steps, curves)
    return Budget(
        meant,
        way,
        quantity,
        runs.units[Cell()][quantity],
        used,
        runs.times,
        full,
        last,
        said,
        (
            *_parts(way.steps, orders, curves),
            Part(way.theory, said - last, *[(said - last).mean(0)] * 2),
        ),
        len(orders),
        drawn,
        others,
        runs.turned[cell(way.steps)].words,
    )


def _theory(theory: str) -> Theory:
    return part_of(Theory, theory)


def _quantity(theory: Theory, quantity: str | None) -> str:
    """The quantity that is split, of those the theory predicts."""
    if any(fnmatch.fnmatch(quantity or "loss", one) for one in theory.predicts):
        return quantity or "loss"
    if quantity is not None:
        name, known = type(theory).__name__, theory.predicts
        raise refused("explain", f"what {name} predicts", repr(quantity), nearest(quantity, known))
    raise refused(
        "explain",
        "a quantity that the theory predicts",
        f"{type(theory).__name__}, which says nothing of the loss",
        f"Name one of {', '.join(theory.predicts)}",
    )


def _way(rungs: Rungs, theory, quantity, limit) -> tuple[Path, tuple[Path, ...]]:
    """(the path, others that were found)."""
    if theory is None:
        kinds = [catalog.load(one)() for one in catalog.members("theories").values()]
        kinds = [
            one for one in kinds if (quantity or "loss") in one.predicts and not one.over_seeds
        ]
        found = nearest_paths(rungs, kinds)
        if not found:
            raise refused(
                "explain",
                "an experiment from which a path leads to a theory",
                f"none to any of {len(kinds)}",
                "Ask `learnmech theories` which conditions fail",
            )
        best = next(one for one in found if one.limit == (limit and _has_limit(found, one)))
        return best, tuple(one for one in found if one != best)
    if isinstance(theory, str):
        known = catalog.members("theories")
        if theory not in known:
            raise refused("explain", "a theory", repr(theory), nearest(theory, known))
        theory = _theory(theory)
    found = both(rungs, theory)
    way = found[-1] if limit and found[-1].found else found[0]
    if not way.found:
        raise refused(
            "explain", f"a path to {way.theory}", f"none: {way.why}", "Choose another theory"
        )
    return way, tuple(one for one in found if one != way and one.found)


def _has_limit(found, one) -> bool:
    return any(other.theory == one.theory and other.limit for other in found)


def _subsets(rungs: Rungs, steps) -> list[tuple[Simplification, ...]]:
    """The sets that orders pass through: of five axes or fewer all that can be off together, else
    those of the one order."""
    if len(steps) > CROSSED:
        return [steps[:size] for size in range(len(steps) + 1)]
    sizes = range(len(steps) + 1)
    sets = [one for size in sizes for one in itertools.combinations(steps, size)]
    return [one for one in sets if rungs.at(frozenset(one)) is not None]


def _orders(steps, curves) -> tuple[list[tuple[Simplification, ...]], bool]:
    """(the orders in which every stage was run, whether they are some of more)."""
    if len(steps) > CROSSED:
        return [steps], True
    found = [
        one
        for one in itertools.permutations(steps)
        if all(frozenset(one[:size]) in curves for size in range(len(one)))
    ]
    return found, False


def _parts(steps, orders, curves) -> list[Part]:
    found = []
    for step in steps:
        legs = []
        for order in orders:
            at = order.index(step)
            legs.append(curves[frozenset(order[: at + 1])] - curves[frozenset(order[:at])])
        each = np.stack(legs)
        means = each.mean(1)
        found.append(Part(step.axis, each.mean(0), means.min(0), means.max(0)))
    return found


def _said(experiment, way: Path, theory: Theory, seed: int, quantity: str) -> np.ndarray:
    """What the theory says of the last rung at a seed."""
    start = prepare(rung_of(experiment, way, seed))
    try:
        found = theory.predict(start)
    except Refused as refusal:
        raise refused(
            "explain", "every seed in the domain", f"seed {seed}: {refusal}", ""
        ) from None
    if quantity not in found:
        known = ", ".join(map(str, found))
        raise refused(
            "explain", f"a quantity that {way.theory} predicts: {known}", quantity, "Name one"
        )
    return np.asarray(found[quantity].values, float)
