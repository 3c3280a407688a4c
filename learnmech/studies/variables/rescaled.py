"""Rescaled: the powers of a knob by which time and size must be multiplied so that curves fall on
one another, with intervals that cover, or which combination of them alone is determined."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.figures.collapse import collapse_plot
from learnmech.language.display import collapses
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late
from learnmech.studies.variables.curves import Curves, curves_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from scipy import optimize, special
else:
    optimize, special = late("scipy.optimize"), late("scipy.special")

POINTS, OVERLAP, BOUND = 64, 0.3, 3.0
FLAT = 0.005
FEWEST, DRAWS = 4, 200
RULE = (
    "collapses: what is left is at most twice the variance of the mean over seeds, and no exponent"
    " is at its bound; intervals of 95 % from seeds drawn anew, the same for every value of it"
)


class Fit(NamedTuple):
    """The powers a of t and b of q, and the mean square of ln q left about the pooled mean."""

    a: float
    b: float
    left: float


@dataclasses.dataclass(frozen=True)
class Collapse:
    """Curves laid on one another by t -> t x^a, q -> q x^b, x the knob.

    `time` and `size` are a and b with their half-widths of 95% (NaN with fewer than four seeds),
    `left` the mean square that is left and `floor` the variance of the mean over seeds, both of ln
    q (of q over its variance, where it is not above 0). `degenerate` is the combination that alone
    is determined, where one is: then neither exponent is given. `predicted` are exponents to hold
    it against.
    """

    curves: Curves
    time: tuple[float, float]
    size: tuple[float, float]
    left: float
    floor: float
    degenerate: str = ""
    predicted: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """collapses, or why that cannot be said."""
        if self.degenerate:
            return f"one combination alone is determined: {self.degenerate}"
        if max(abs(self.time[0]), abs(self.size[0])) > 0.99 * BOUND:
            return "an exponent is at its bound"
        if not np.isfinite(self.floor):
            return "one seed has no floor"
        return "collapses" if self.left <= 2 * self.floor else "does not collapse"

    def plain(self) -> dict:
        """As plain data."""
        return {
            "knob": self.curves.knob,
            "at": list(self.curves.at),
            "quantity": self.curves.quantity,
            "units": self.curves.units,
            "time": list(self.time),
            "size": list(self.size),
            "left": self.left,
            "floor": self.floor,
            "degenerate": self.degenerate,
            "predicted": dict(self.predicted),
            "verdict": self.verdict,
            "rule": RULE,
            "times": self.curves.times.tolist(),
            "means": self.curves.values.mean(1).tolist(),
        }

    def tables(self) -> tuple[Table, ...]:
        """The exponents with their intervals, beside what is predicted."""
        return collapses.collapse(self.plain())

    def show(self) -> "Figure":
        """The curves as they are, and as they fall on one another."""
        return collapse_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def collapse(
    grid: "xr.Dataset",
    over: str,
    quantity: str = "loss",
    free: tuple[str, ...] = ("time", "size"),
    predicted: Mapping[str, float] | None = None,
) -> Collapse:
    """The powers of the knob `over` by which curves of a sweep fall on one another: t -> t x^a, q
    -> q x^b.

    Least mean square of ln q, of the mean over seeds, about its mean over the values of the knob,
    on the part of ln t that all of them have, which is to be 30% of the whole or more; ln x is
    centered. A quantity that is not above 0 is taken over its pooled variance. `free` are the
    exponents that are sought, the others 0. Intervals draw the seeds anew, the same for every value
    of the knob, since they share them: half-width = t_{0.975, S-1} sd sqrt(S/(S-1)), S >= 4.

    Where q is a power of t, t x^a and q x^b do the same: where the smaller curvature of the
    objective is less than 0.5% of the larger, the combination that is determined is said, and no
    exponent.
    """
    found = curves_of(grid, over, quantity, "collapse")
    x = np.asarray(found.at, float) if _numbers(found.at) else None
    if x is None or (x <= 0).any() or len(set(x)) < 2:
        raise refused("collapse", "two or more values above 0 of a knob", found.at, "Sweep it")
    if not free or set(free) - {"time", "size"}:
        raise refused("collapse", "free exponents of time and size", free, "Give ('time', 'size')")
    knobs = np.log(x) - np.log(x).mean()
    problem = _Problem(found, knobs, free)
    best = problem.fit(found.values.mean(1))
    count = found.values.shape[1]
    widths = (np.nan, np.nan)
    degenerate = problem.degenerate(found.values.mean(1), best) if len(free) == 2 else ""
    if count >= FEWEST and not degenerate:
        widths = problem.half_widths(found.values, best)
    return Collapse(
        found,
        (best.a if "time" in free else 0.0, widths[0] if "time" in free else 0.0),
        (best.b if "size" in free else 0.0, widths[1] if "size" in free else 0.0),
        best.left,
        problem.floor(best),
        degenerate,
        predicted or {},
    )


def _numbers(values) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


class _Problem:
    """The curves in ln t and ln q, and what is left of them at given exponents."""

    def __init__(self, curves: Curves, knobs: Float[np.ndarray, " v"], free):
        self.curves, self.knobs, self.free = curves, knobs, free
        started = curves.times.max(1)
        if (started <= 0).any():
            raise refused("collapse", "runs that take time", "marks at t = 0 alone", "Run longer")
        # ln t begins at the first mark behind t = 0
        self.kept = (curves.times > 0).all(0)
        if self.kept.sum() < 4:
            raise refused("collapse", "four marks or more behind t = 0", int(self.kept.sum()), "")
        self.logs = np.log(curves.times[:, self.kept])
        self.positive = bool((curves.values[..., self.kept] > 0).all())
        self.unit = 1.0 if self.positive else float(curves.values[..., self.kept].var()) or 1.0

    def _seen(self, means):
        y = means[:, self.kept]
        return np.log(y) if self.positive else y

    def _laid(self, y, a):
        """(v, p) the curves at common places of ln t, t multiplied by x^a; None where they share
        too little."""
        shifted = self.logs + a * self.knobs[:, None]
        low, high = shifted[:, 0].max(), shifted[:, -1].min()
        span = self.logs[:, -1].max() - self.logs[:, 0].min()
        if high - low < OVERLAP * span:
            return None
        at = np.linspace(low, high, POINTS)
        return np.stack([np.interp(at, s, one) for s, one in zip(shifted, y, strict=True)])

    def left(self, y, a, b) -> float:
        """The mean square about the pooled mean."""
        laid = self._laid(y, a)
        if laid is None:
            return np.inf
        factor = b * self.knobs[:, None]
        laid = laid + factor if self.positive else laid * np.exp(factor)
        return float(((laid - laid.mean(0)) ** 2).mean() / self.unit)

    def size_at(self, y, a) -> float:
        """The best b at this a: of ln q in closed form, for it enters it linearly."""
        if "size" not in self.free:
            return 0.0
        laid = self._laid(y, a)
        if laid is None:
            return 0.0
        if self.positive:
            part = laid - laid.mean(0)
            return float(-np.sum(part * self.knobs[:, None]) / (POINTS * np.sum(self.knobs**2)))
        found = optimize.minimize_scalar(
            lambda b: self.left(y, a, b), bounds=(-BOUND, BOUND), method="bounded"
        )
        return float(found.x)

    def fit(self, means, near: float | None = None) -> Fit:
        """The best exponents of these means; near a known one only there."""
        y = self._seen(means)

        def objective(a):
            return self.left(y, a, self.size_at(y, a))

        if "time" not in self.free:
            b = self.size_at(y, 0.0)
            return Fit(0.0, b, self.left(y, 0.0, b))
        if near is not None:
            # of seeds drawn anew the minimum is hardly elsewhere, and there are hundreds of them
            found = optimize.minimize_scalar(
                objective,
                bounds=(max(near - 0.3, -BOUND), min(near + 0.3, BOUND)),
                method="bounded",
                options={"xatol": 1e-4},
            )
            a = float(found.x)
            b = self.size_at(y, a)
            return Fit(a, b, self.left(y, a, b))
        grid = np.linspace(-BOUND, BOUND, 121)
        values = np.array([objective(a) for a in grid])
        if not np.isfinite(values).any():
            remedy = "Sweep a smaller range, or run longer"
            raise refused("collapse", "curves that share 30 % of ln t", "less", remedy)
        place = int(np.argmin(values))
        step = grid[1] - grid[0]
        found = optimize.minimize_scalar(
            objective,
            bounds=(max(grid[place] - step, -BOUND), min(grid[place] + step, BOUND)),
            method="bounded",
            options={"xatol": 1e-6},
        )
        a = float(found.x) if found.fun <= values[place] else float(grid[place])
        b = self.size_at(y, a)
        return Fit(a, b, self.left(y, a, b))

    def degenerate(self, means, best: Fit) -> str:
        """The combination that alone is determined, in words; empty where both are."""
        y, h = self._seen(means), 0.02
        steps = [(0, 0), (h, 0), (-h, 0), (0, h), (0, -h), (h, h), (-h, -h)]
        inside = Fit(0.0, self.size_at(y, 0.0), 0.0)
        # along a valley every place is as good, and the best may be where curves hardly overlap
        for at in (best, inside):
            values = [self.left(y, at.a + i, at.b + j) for i, j in steps]
            if np.isfinite(values).all():
                break
        else:
            return ""
        middle, *values = values
        aa = (values[0] + values[1] - 2 * middle) / h**2
        bb = (values[2] + values[3] - 2 * middle) / h**2
        both = (values[4] + values[5] - 2 * middle) / h**2
        ab = (both - aa - bb) / 2
        curvatures, directions = np.linalg.eigh([[aa, ab], [ab, bb]])
        if curvatures[1] > 0 and curvatures[0] >= FLAT * curvatures[1]:
            return ""
        stiff = directions[:, 1] / directions[np.argmax(np.abs(directions[:, 1])), 1]
        value = stiff @ [at.a, at.b]
        return f"{stiff[0]:.2g} time {stiff[1]:+.2g} size = {value:.3g}"

    def half_widths(self, values, best: Fit) -> tuple[float, float]:
        """Of both exponents, 95%: seeds drawn anew jointly over the values of the knob."""
        count, rng = values.shape[1], np.random.default_rng(0)
        drawn = []
        for _ in range(DRAWS):
            seeds = rng.integers(count, size=count)
            fit = self.fit(values[:, seeds].mean(1), best.a)
            drawn.append((fit.a, fit.b))
        spread = np.std(drawn, axis=0, ddof=1)
        factor = special.stdtrit(count - 1, 0.975) * np.sqrt(count / (count - 1))
        return float(factor * spread[0]), float(factor * spread[1])

    def floor(self, best: Fit) -> float:
        """The variance of the mean over seeds, as `left` measures it; NaN with one seed."""
        values = self.curves.values
        count = values.shape[1]
        if count < 2:
            return float("nan")
        y = np.stack([self._seen(values[:, seed]) for seed in range(count)], axis=1)
        return float((y.var(1, ddof=1) / count).mean() / self.unit)
