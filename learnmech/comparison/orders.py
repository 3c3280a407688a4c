"""Orders: how fast a limit is approached, measured, with error bars and a verdict by a stated
rule."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from learnmech.comparison.readers import watching
from learnmech.comparison.verdicts import compare
from learnmech.engines import Engine, performed
from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.instruments.base import Instrument
from learnmech.language import text
from learnmech.language.display import results
from learnmech.language.display.table import as_html, as_text, boxed
from learnmech.record.base import Record
from learnmech.runs.parcels import InHand, Parcel
from learnmech.runs.running import run
from learnmech.theories.base import Limit, Theory

LEAST = 0.1
NEARER = {1: (1, 2, 5, 10), -1: (1, 2, 4, 8, 16)}
# seeds for a limit on average, as in a width: sizes of Gaussian errors scatter by 0.76 of their
# mean; these tell h^-1/2 over a factor of 16
ON_AVERAGE = 32
RULE = (
    "holds: the fitted slope, the slope between the two values nearest the limit and, where the"
    " values span a factor of 10, the order by which ten times the knob changes the error each lie"
    " within max(0.1, 3 standard errors) of the declared order (of a bound: fall short of it by no"
    " more than that); fails: one does not; undecided: all do, but 3 standard errors of the fitted"
    " slope are more than half the declared order; outside domain: a condition of the theory does"
    " not hold at some value. Standard errors here are those over the seeds, so that a bend of the"
    " line excuses nothing; with one seed only the fitted slope has one, from the scatter about the"
    " line."
)


class Order(NamedTuple):
    """error ~ value^slope: the slope with its standard error, and what was measured.

    `errors` are means over seeds, `samples` (values, seeds) what they are means of. The slope is
    that of the plain line through ln(mean error) over ln(value). Its standard error is the larger
    of that from the scatter about the line and that from the seeds (jackknife: the slope without
    each of them in turn, so that a seed which moves all errors together counts once); the scatter
    contains the seeds' own, so the two are not added.
    """

    slope: float
    standard_error: float
    values: np.ndarray
    errors: np.ndarray
    from_fit: float = float("nan")
    from_seeds: float = float("nan")
    samples: np.ndarray | None = None
    outside: tuple[str, ...] = ()

    def plain(self) -> dict:
        """What was measured as plain data, the values rising."""
        rising, local = np.argsort(self.values), [None, *self.local()]
        slopes: list[dict[str, Any]] = [
            {
                "slope": None if one is None else one.slope,
                "slope_standard_error": None if one is None else one.standard_error,
            }
            for one in local
        ]
        rows: list[dict[str, Any]] = [
            {
                "value": float(self.values[place]),
                "error": float(self.errors[place]),
                "standard_error": float(self.bars[place]),
            }
            | slope
            for place, slope in zip(rising, slopes, strict=True)
        ]
        fitted = {
            "slope": self.slope,
            "standard_error": self.standard_error,
            "from_fit": self.from_fit,
            "from_seeds": self.from_seeds,
        }
        return {"rows": rows, "fitted": fitted, "outside": list(self.outside)}

    def __str__(self):
        return as_text(results.order(self.plain()))

    def __repr__(self):
        return str(self)

    def _repr_html_(self) -> str:
        return boxed(as_html(results.order(self.plain())))

    @property
    def bars(self) -> np.ndarray:
        """The standard error of each mean error, NaN with one seed."""
        if self.samples is None or self.samples.shape[1] < 2:
            return np.full(len(self.values), np.nan)
        return self.samples.std(1, ddof=1) / np.sqrt(self.samples.shape[1])

    def between(self, low: int, high: int) -> "Local":
        """The order between two of the values, by their places, with its standard error over the
        seeds (NaN with one)."""
        factor = np.log(self.values[high] / self.values[low])

        def slope(errors):
            return np.log(errors[high] / errors[low]) / factor

        return Local(
            float(slope(self.errors)),
            float("nan") if self.samples is None else _jackknifed(slope, self.samples),
        )

    def local(self) -> "list[Local]":
        """The orders between neighboring values, from the smallest on."""
        rising = np.argsort(self.values)
        return [self.between(low, high) for low, high in zip(rising[:-1], rising[1:], strict=True)]

    def tenfold(self) -> "Local | None":
        """The x10 check: the order between the smallest and the largest value, which 10^order
        changes the error by; None where they span less than 10."""
        low, high = int(np.argmin(self.values)), int(np.argmax(self.values))
        spans = self.values[high] / self.values[low] >= 10 * (1 - 1e-9)
        return self.between(low, high) if spans else None


class Local(NamedTuple):
    """An order between two values: the slope and its standard error over seeds. Ten times the
    knob changes the error by the factor 10^slope."""

    slope: float
    standard_error: float

    @property
    def factor(self) -> tuple[float, float]:
        """(10^slope, its standard error): by what ten times the knob multiplies the error."""
        factor = 10.0**self.slope
        return factor, float(factor * np.log(10) * self.standard_error)


def _slope(values, errors) -> tuple[float, float]:
    """(slope of ln(error) over ln(value), its standard error from the scatter about the line)."""
    x, y = np.log(values), np.log(errors)
    slope, offset = np.polyfit(x, y, 1)
    rest = y - slope * x - offset
    return float(slope), (
        float(np.sqrt(np.sum(rest**2) / (len(x) - 2) / np.sum((x - x.mean()) ** 2)))
        if len(x) > 2
        else 0.0
    )


def _jackknifed(statistic: Callable, samples: np.ndarray) -> float:
    """The standard error of a statistic of the mean errors, from leaving out each seed in turn:
    sqrt((S-1)/S sum_s (T_s - mean T)^2)."""
    count = samples.shape[1]
    if count < 2:
        return float("nan")
    left = np.array([statistic(np.delete(samples, seed, 1).mean(1)) for seed in range(count)])
    return float(np.sqrt((count - 1) * np.mean((left - left.mean()) ** 2)))


def fitted_order(
    values: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray
) -> Order:
    """The slope of ln(error) over ln(value) by least squares, and its standard error (0 for two
    points, which say nothing of it).

    `errors` are one per value, or (values, seeds): then their means are fitted.
    """
    at, samples = np.asarray(values, float), np.asarray(errors, float)
    if len(at) < 2 or not (np.isfinite(at).all() and (at > 0).all()) or len(set(at)) < len(at):
        raise refused(
            "fitted_order",
            "two or more positive values, each once",
            at.tolist(),
            "Give for example 0.1, 0.05 and 0.025",
        )
    means = samples if samples.ndim == 1 else samples.mean(1)
    if not (np.isfinite(means).all() and (means > 0).all()):
        bad = int(np.argmin(np.isfinite(means) & (means > 0)))
        remedy = "Leave that value out: the run diverges there, or is exact to the last bit"
        raise refused(
            "fitted_order", "finite errors above 0", f"{means[bad]:g} at {at[bad]:g}", remedy
        )
    slope, from_fit = _slope(at, means)
    if samples.ndim == 1:
        return Order(slope, from_fit, at, means, from_fit=from_fit)
    from_seeds = _jackknifed(lambda errors: _slope(at, errors)[0], samples)
    return Order(
        slope, float(np.nanmax([from_fit, from_seeds])), at, means, from_fit, from_seeds, samples
    )


def quantity_of(theory: Theory) -> str:
    """The quantity whose error is measured where none is named: the loss where it is predicted,
    else the first."""
    return "loss" if "loss" in theory.predicts else theory.predicts[0]


def approach(experiment: Experiment, knob: str, order: float) -> list:
    """Values to measure an order at: the experiment's own, and whole factors nearer the limit, down
    to a tenth or up to 16 times.

    Whole factors, so that clocks in time share their marks; more of them toward infinity, where
    errors are those of chance.
    """
    own = text.value_at(experiment, knob)
    own = own.item() if isinstance(own, np.ndarray) and own.ndim == 0 else own
    if isinstance(own, bool) or not isinstance(own, (int, float)) or not own > 0:
        raise refused("approach", f"a number above 0 at {knob}", own, "Name the values")
    return (
        [own * factor for factor in NEARER[-1]]
        if order < 0
        else [own / factor for factor in NEARER[1]]
    )


def measured_order(
    experiment: Experiment,
    theory: Theory,
    along: str,
    values: Sequence[float],
    quantity: str = "loss",
    seeds: int | Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine | None = None,
    look: Callable[..., Record] = run,
) -> Order:
    """Run at each value of the knob `along` and each seed, lay the theory over it, and fit the
    order of the error of `quantity`.

    `seeds` are how many or which (None: the experiment's own). Each run is held against what the
    theory says of its own start; the error is that of `comparison.RULE`. Fix the clock in time
    where the knob is a rate, so that all runs are compared at the same times. An `engine` performs
    the runs elsewhere; `look(start, watch)` gives the record of one.
    """
    if theory.over_seeds:
        remedy = "Lay it over a sweep by lm.compare_means"
        raise refused(
            "measured_order",
            "a theory of single runs",
            f"{type(theory).__name__}, which speaks of their mean",
            remedy,
        )
    if len(values) < 2:
        raise refused(
            "measured_order",
            "two or more values",
            len(values),
            "Give for example 0.1, 0.05 and 0.025",
        )
    chosen = (
        [int(experiment.seed)]
        if seeds is None
        else list(range(seeds))
        if isinstance(seeds, (int, np.integer))
        else [int(s) for s in seeds]
    )
    if not chosen:
        raise refused("measured_order", "at least one seed", seeds, "Give for example seeds=8")
    points = [experiment.with_value(along, value) for value in values]
    errors = np.full((len(values), len(chosen)), np.nan)
    outside: dict[tuple[int, int], list[str]] = {}

    def done(at, found):
        errors[at], broken = found
        outside[at] = [f"{along} = {values[at[0]]:g}: {words}" for words in broken]
        if np.isnan(errors[at]):
            remedy = "Choose values within its domain"
            got = next(iter(outside[at]), "none")
            raise refused(type(theory).__name__, "a start it can speak of", got, remedy)
        if progress is not None:
            progress(len(outside), errors.size)

    if engine is None:
        for i, point in enumerate(points):
            # seeds share their landscape and what is read
            first, read = None, None
            for j, seed in enumerate(chosen):
                start = prepare(point.with_value("seed", seed), like=first)
                first, read = first or start, read or _reading(theory, quantity, start)
                done((i, j), _laid(theory, quantity, start, read, look))
    else:
        groups = [[(i, j) for j in range(len(chosen))] for i in range(len(points))]

        def given(at):
            one = points[at[0]].with_value("seed", chosen[at[1]])
            parcel = Parcel.of(one, theory, who="measured_order on an engine")
            return parcel, quantity, look

        performed(engine, error_of, groups, given, done, None, "measured_order")
    found = fitted_order(values, errors if len(chosen) > 1 else errors[:, 0])
    every = itertools.chain(*(outside[at] for at in sorted(outside)))
    return found._replace(outside=tuple(dict.fromkeys(every)))


def error_of(
    parcel: Parcel | InHand, quantity: str, look: Callable[..., Record] = run
) -> tuple[float, list[str]]:
    """(error of a quantity of a run of an experiment beside a theory, the conditions that do not
    hold) in whatever process this is; NaN where the theory does not speak. `look` runs."""
    parcel.check_place()
    with parcel.opened() as (experiment, theory):
        start = prepare(experiment)
        return _laid(theory, quantity, start, _reading(theory, quantity, start), look)


def _laid(theory, quantity, start, read, look) -> tuple[float, list[str]]:
    laid = compare(look(start, read), theory, np.inf)
    broken = [
        f"{one.claim} ({one.value}, bound {one.bound})" for one in laid.conditions if not one.holds
    ]
    return (laid.row(quantity).error if laid.rows else float("nan")), broken


def _reading(theory, quantity, start) -> tuple[Instrument, ...]:
    """The instruments that read the quantity."""
    told = watching((theory,), start)
    chosen = tuple(
        one
        for one in told
        if quantity in {q.name for q in one.quantities(start.system, start.state.params)}
    )
    if not chosen:
        there = sorted(
            q.name for one in told for q in one.quantities(start.system, start.state.params)
        )
        raise refused(
            "measured_order",
            f"a quantity {type(theory).__name__} predicts here ({', '.join(there)})",
            repr(quantity),
            "Name one of them",
        )
    return chosen


class Judged(NamedTuple):
    """A measured order held against a declared one by RULE: the verdict, how far each slope may
    lie off, and the x10 check (None: not made)."""

    verdict: str
    allowed: float
    last: Local
    last_allowed: float
    tenfold: Local | None
    tenfold_allowed: float


def _allowed(standard_error: float) -> float:
    return max(LEAST, 3 * float(np.nan_to_num(standard_error)))


def judged(order: Order, limit: Limit) -> Judged:
    """The verdict on a declared order, by RULE."""
    sign = np.sign(limit.order)
    last = order.local()[0 if limit.order > 0 else -1]
    tenfold = order.tenfold()
    chance = order.from_fit if np.isnan(order.from_seeds) else order.from_seeds
    slopes = [one for one in (Local(order.slope, chance), last, tenfold) if one is not None]
    allowed = [_allowed(one.standard_error) for one in slopes]
    surplus = [sign * (one.slope - limit.order) for one in slopes]
    met = all(
        far >= -most if limit.bound else abs(far) <= most
        for far, most in zip(surplus, allowed, strict=True)
    )
    clear = abs(limit.order) / 2 if not limit.bound else max(abs(limit.order) / 2, surplus[0])
    verdict = (
        "outside domain"
        if order.outside
        else "fails"
        if not met
        else "undecided"
        if 3 * chance > clear
        else "holds"
    )
    return Judged(
        verdict,
        allowed[0],
        last,
        allowed[1],
        tenfold,
        allowed[2] if tenfold is not None else float("nan"),
    )
