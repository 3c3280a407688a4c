"""Error maps: how far a theory is from runs over two knobs, refined along the line where its error
is its tolerance, with the line where its conditions end."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from learnmech.comparison.decided import decided
from learnmech.comparison.orders import quantity_of
from learnmech.comparison.readers import watching
from learnmech.comparison.verdicts import laid
from learnmech.engines import opened, performed
from learnmech.errors import Refused, nearest, refused
from learnmech.experiment.recipe import Experiment, Start, given, prepare
from learnmech.figures.map import map_plot
from learnmech.language import catalog, text
from learnmech.language.display import maps
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.runs import bars
from learnmech.runs.parcels import InHand, Parcel
from learnmech.studies.maps.lattice import Lattice, Node, refined
from learnmech.sweeps.asked import seeds_of
from learnmech.sweeps.elsewhere import landing_in, shaped
from learnmech.sweeps.jobs import Landing, seen
from learnmech.theories.base import Theory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 33
# ln of error over tolerance at a run that diverged.
DIVERGED = 8.0
RULE = (
    "g = ln(error/tolerance), the median over seeds; the measured line is g = 0, the conditions'"
    " line where they stop holding"
)


class Found(NamedTuple):
    """At one node: g at each seed, and whether all conditions hold there; NaN where the theory has
    nothing to say."""

    g: np.ndarray
    inside: bool

    @property
    def middle(self) -> float:
        """The median over seeds."""
        return float(np.median(self.g)) if np.isfinite(self.g).all() else float("nan")

    @property
    def error(self) -> float:
        """Its standard error, that of a mean times 1.25; 0 with one seed, which knows of none."""
        count = len(self.g)
        return float(1.25 * self.g.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0


@dataclasses.dataclass(frozen=True)
class Map:
    """Where over two knobs a theory holds: g = ln(error/tolerance) on a lattice, NaN where it was
    not run, with the line g = 0 and the line at which the theory's conditions end.

    `values` are the knobs' values by row and by column, `lattice` what was run, `inside` (1 in the
    domain, 0 outside, NaN where it was not asked) the conditions.
    """

    theory: str
    quantity: str
    tolerance: float
    knobs: tuple[str, str]
    values: tuple[np.ndarray, np.ndarray]
    seeds: tuple[int, ...]
    lattice: Lattice
    conditions: Lattice
    inside: np.ndarray
    errors: np.ndarray

    @property
    def g(self) -> np.ndarray:
        """ln(error/tolerance), NaN where it was not run."""
        return self.lattice.values

    @property
    def line(self) -> np.ndarray:
        """(c, 2) the measured line, g = 0, in values of the knobs."""
        return self._in_knobs(self.lattice.crossings())

    @property
    def boundary(self) -> np.ndarray:
        """(c, 2) the line at which the conditions end, in values of the knobs."""
        return self._in_knobs(self.conditions.crossings())

    def _in_knobs(self, places):
        logs = [np.log(one) if (one > 0).all() else one for one in self.values]
        found = [
            np.interp(places[:, side], np.arange(len(log)), log) for side, log in enumerate(logs)
        ]
        found = [
            np.exp(one) if (values > 0).all() else one
            for one, values in zip(found, self.values, strict=True)
        ]
        return np.stack(found, axis=1)

    @property
    def agreement(self) -> dict[str, int]:
        """How many nodes that were run are within the tolerance, or beyond it, in the domain and
        outside."""
        run, inside = np.isfinite(self.g), self.inside
        within = self.g <= 0
        return {
            "in the domain, within": int((run & (inside == 1) & within).sum()),
            "in the domain, beyond": int((run & (inside == 1) & ~within).sum()),
            "outside, within": int((run & (inside == 0) & within).sum()),
            "outside, beyond": int((run & (inside == 0) & ~within).sum()),
        }

    def plain(self) -> dict:
        """As plain data."""
        return {
            "theory": self.theory,
            "quantity": self.quantity,
            "tolerance": self.tolerance,
            "knobs": list(self.knobs),
            "values": [one.tolist() for one in self.values],
            "seeds": list(self.seeds),
            "g": self.g.tolist(),
            "filled": self.lattice.filled().tolist(),
            "standard_errors": self.errors.tolist(),
            "inside": self.inside.tolist(),
            "line": self.line.tolist(),
            "boundary": self.boundary.tolist(),
            "run": int(self.lattice.asked.sum()),
            "of": self.lattice.asked.size,
            "agreement": self.agreement,
            "rule": RULE,
        }

    def tables(self) -> tuple[Table, ...]:
        """Where the line runs, and how far the conditions agree with it."""
        return maps.tables(self.plain())

    def show(self) -> "Figure":
        """The error over the knobs, its line and that of the conditions."""
        return map_plot(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def map_error(
    theory: Theory | str,
    experiment: Experiment | str | Path,
    knobs: Mapping[str, Sequence[float] | np.ndarray],
    quantity: str | None = None,
    size: int = SIZE,
    seeds: int | Sequence[int] = 1,
    tolerance: float | None = None,
    islands: bool = False,
    on: str | Executor | None = None,
    folder: str | Path | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Map:
    """The error of a theory over two knobs, refined along the line where it is the tolerance.

    `knobs` {path: (lowest, highest)} gives `size` values between, evenly in the logarithm where
    both are above 0, rounded for a knob of whole numbers; or all values are given, 4k + 1 of them
    for the coarsest beginning. Every fourth node of the lattice is run, and cells are divided where
    the error crosses the tolerance (`lattice.refined`; `islands` looks for small ones too). At each
    node g = ln(error/tolerance), the error that of `compare`, median over `seeds`: 8 where a run
    diverged, and nothing where the theory refuses to speak. `tolerance` None is the theory's own.
    The line at which the conditions stop holding is found in the same way, without runs. `on` is
    where nodes are run (`engines.opened`: "processes:4", "dask:ADDRESS", "slurm:PARTITION", an
    Executor); in a `folder` runs land under all that decides their numbers, and none is made twice.
    """
    chosen = _theory(theory)
    meant: Any
    meant, _ = given(experiment, None)
    meant = meant.experiment if isinstance(meant, Start) else meant
    paths, values = _lattice_of(meant, knobs, size)
    used = seeds_of("map_error", seeds)
    quantity = quantity or quantity_of(chosen)
    bound = chosen.tolerance if tolerance is None else float(tolerance)
    if not bound > 0:
        raise refused("map_error", "a tolerance above 0", tolerance, "Give for example 0.05")
    shape = (len(values[0]), len(values[1]))
    with (
        opened(on, "map_error", folder) as engine,
        landing_in(folder, "map_error") as landing,
        bars.told(progress, "map", lambda i, n: (i, n, f"{i} of at most {n} nodes")) as tell,
    ):
        nodes = _Nodes(chosen, meant, (paths, values), quantity, used, bound, (engine, landing))
        nodes.tell = None if tell is None else lambda done: tell(done, shape[0] * shape[1])
        lattice = refined(nodes.ask, shape, islands, nodes.blurred)
    if not np.isfinite(lattice.values).any():
        raise refused(
            "map_error",
            f"a place at which {type(chosen).__name__} speaks of {quantity}",
            f"none: {nodes.why}",
            "Choose other knobs, or another theory",
        )
    conditions = refined(nodes.conditions, shape)
    errors = np.full(shape, np.nan)
    inside = np.where(conditions.asked, conditions.values < 0, np.nan)
    for node, found in nodes.found.items():
        errors[node], inside[node] = found.error, found.inside
    kind = catalog.kebab(type(chosen).__name__)
    return Map(kind, quantity, bound, paths, values, used, lattice, conditions, inside, errors)


class _Nodes:
    """The nodes of a map: what is run at each, once."""

    def __init__(self, theory, experiment, grid, quantity, seeds, tolerance, where):
        self.theory, self.experiment = theory, experiment
        (self.paths, self.values), self.quantity = grid, quantity
        self.seeds, self.tolerance = seeds, tolerance
        self.engine, self.landing = where
        self.found: dict[Node, Found] = {}
        self.why, self.tell = "it refused every one", None
        self._by_values: dict[tuple, Found] = {}
        self._inside: dict[tuple, bool] = {}

    def at(self, node: Node, seed: int) -> Experiment:
        made = dataclasses.replace(self.experiment, seed=seed)
        for path, value in zip(self.paths, self._values(node), strict=True):
            made = made.with_value(path, value)
        return made

    def _values(self, node: Node) -> tuple:
        found = (values[place] for values, place in zip(self.values, node, strict=True))
        return tuple(one.item() for one in found)

    def ask(self, nodes: list[Node]) -> list[float]:
        """g at these nodes, run side by side."""
        # two widths that round to one are one node
        new = {self._values(node): node for node in nodes}
        new = {key: node for key, node in new.items() if key not in self._by_values}
        tasks = {(key, s): self.at(node, s) for key, node in new.items() for s in self.seeds}
        seen = self._measured(tasks)
        for key in new:
            each = [seen[key, seed] for seed in self.seeds]
            self.why = next((why for _, _, why in each if why), self.why)
            g = np.array([one for one, _, _ in each])
            self._by_values[key] = Found(g, all(inside for _, inside, _ in each))
        for node in nodes:
            self.found[node] = self._by_values[self._values(node)]
        if self.tell is not None:
            self.tell(len(self.found))
        return [self.found[node].middle for node in nodes]

    def _measured(self, tasks: dict[Any, Experiment]) -> dict[Any, tuple[float, bool, str]]:
        arguments = (self.quantity, self.tolerance, self.landing)
        if self.engine is None:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                parcels = [InHand((one, self.theory)) for one in tasks.values()]
                work = functools.partial(_at, arguments)
                return dict(zip(tasks, pool.map(work, parcels), strict=True))
        found: dict[Any, tuple[float, bool, str]] = {}

        def given(key):
            return Parcel.of(tasks[key], self.theory, who="map_error on an engine"), *arguments

        performed(self.engine, measured, shaped(tasks), given, found.__setitem__, None, "map_error")
        return found

    def blurred(self, node: Node) -> float:
        """The standard error of g at a node that was run."""
        return self.found[node].error

    def conditions(self, nodes: list[Node]) -> list[float]:
        """-1 where all conditions hold, 1 where one does not; from the runs where there are."""
        return [-1.0 if self._holds(node) else 1.0 for node in nodes]

    def _holds(self, node: Node) -> bool:
        if node in self.found:
            return self.found[node].inside
        key = self._values(node)
        if key not in self._inside:
            try:
                start = prepare(self.at(node, self.seeds[0]))
                self._inside[key] = all(one.holds for one in self.theory.conditions(start))
            except Refused:
                self._inside[key] = False
        return self._inside[key]


def _at(arguments, parcel):
    return measured(parcel, *arguments)


def measured(
    parcel: Parcel | InHand, quantity: str, tolerance: float, landing: Landing | None = None
) -> tuple[float, bool, str]:
    """(g = ln(error/tolerance) of one run, whether all conditions hold, why there is no g) of an
    experiment and a theory, in whatever process this is."""
    parcel.check_place()
    with parcel.opened() as (experiment, theory):
        return _measured(experiment, theory, quantity, tolerance, landing)


def _measured(experiment, theory, quantity, tolerance, landing):
    try:
        start = prepare(experiment)
        said = theory.predict(start)
        conditions = theory.conditions(start)
        if quantity not in said:
            why = f"it predicts {', '.join(map(str, said))}"
            return float("nan"), all(one.holds for one in conditions), why
        watch = watching((theory,), start)
        if all(one.seen is None for one in conditions):
            # nothing else that it says is looked at
            watch = tuple(one for one in watch if quantity in _read(one, start))
        record = seen(start, watch, landing)
        error = laid(record, theory, said, quantity, tolerance)[1].error
    except Refused as refusal:
        return float("nan"), False, str(refusal)
    inside = all(decided(one, record).holds for one in conditions)
    if len(record["time"]) < len(start.marks.times) or np.isinf(error):
        return DIVERGED, inside, ""
    if np.isnan(error):
        return float("nan"), inside, "nothing of it could be compared"
    # what is exact to the last bit has an error of none, and a finite place on the map
    return float(np.clip(np.log(max(error, 1e-300) / tolerance), -40, DIVERGED)), inside, ""


def _read(instrument, start) -> list[str]:
    return [one.name for one in instrument.quantities(start.system, start.state.params)]


def _theory(theory) -> Theory:
    if isinstance(theory, Theory):
        return theory
    known = catalog.members("theories")
    if theory not in known:
        raise refused("map_error", "a theory", repr(theory), nearest(str(theory), known))
    return text.part_of(Theory, theory)


def _lattice_of(experiment, knobs, size) -> tuple[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    if not isinstance(knobs, Mapping) or len(knobs) != 2:
        raise refused(
            "map_error",
            "two knobs, {path: (lowest, highest)}",
            repr(knobs),
            "Give for example {'rule.rate': (0.01, 1.0), 'seed': (0, 8)}",
        )
    found = []
    for path, ends in knobs.items():
        values = np.asarray(ends, float)
        if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
            raise refused("map_error", f"rising values of {path}", ends, "Give (lowest, highest)")
        own = text.value_at(experiment, path)
        if len(values) == 2:
            if size < 2:
                raise refused("map_error", "two values or more to a knob", size, "Give size=33")
            positive = values[0] > 0
            spaced: Any = np.geomspace if positive else np.linspace
            values = spaced(float(values[0]), float(values[1]), size)
        whole = isinstance(own, (int, np.integer)) and not isinstance(own, bool)
        found.append(np.rint(values).astype(int) if whole else values)
    first, second = knobs
    return (first, second), (found[0], found[1])
