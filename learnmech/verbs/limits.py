"""The limit command: how fast a theory that is a limit becomes exact, measured and held against
the order it declares."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from learnmech.comparison.orders import (
    ON_AVERAGE,
    RULE,
    Judged,
    Order,
    approach,
    judged,
    measured_order,
    quantity_of,
)
from learnmech.engines import opened
from learnmech.errors import nearest, refused
from learnmech.experiment.recipe import Experiment
from learnmech.figures.order import order_plot
from learnmech.language import catalog, text
from learnmech.machine.late import late
from learnmech.record import sealed
from learnmech.sweeps.elsewhere import landing_in
from learnmech.sweeps.jobs import seen
from learnmech.theories.base import Limit, Theory
from learnmech.verbs import folders
from learnmech.verbs.folders import dataset_out
from learnmech.verbs.forks import DRAWN, drawn_out
from learnmech.verbs.grids import axis_values
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.subjects import assignment, changed_experiment
from learnmech.verbs.works import ready

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

FEW = 4


def limit(
    kind, words, along, seeds, quantity, out, small, on=None, store=None, phases: Phasing = silent
) -> dict:
    """The order of a theory's error along a knob, with seeds, error bars, the x10 check and a
    verdict, printed and plotted."""
    ready()
    theory = text.part_of(Theory, kind)
    if not theory.limits or theory.over_seeds:
        raise refused(
            "limit",
            "a theory of single runs that declares a limit",
            kind,
            f"Name one of {', '.join(_limits_there_are())}",
        )
    name, experiment = _experiment(theory, kind, words, small)
    knob, found, written = (along or theory.limits[0].knob).partition("=")
    claim = _claimed(theory, knob, quantity)
    quantity = quantity or claim.quantity or quantity_of(theory)
    values = _values(
        experiment, knob, axis_values(written) if found else approach(experiment, knob, claim.order)
    )
    if seeds is not None and seeds < 1:
        raise refused("limit", "one seed or more", seeds, "Give for example --seeds 8")
    seeds = (FEW if claim.order > 0 else ON_AVERAGE) if seeds is None else seeds
    file = (
        folders.free(folders.RUNS / f"limit-{catalog.kebab(type(theory).__name__)}", ".png")
        if out is None
        else Path(out)
    )
    _writable(file)
    with phases(f"{kind} limit", points=True) as told:
        told.settle()
        told.enter("running")
        with opened(on, "limit", store) as engine, landing_in(store, "limit") as landing:
            look = functools.partial(seen, landing=landing)
            order = measured_order(
                experiment, theory, knob, values, quantity, seeds, told.counted, engine, look
            )
    verdict = judged(order, claim)
    table = table_of(order, claim, knob, quantity)
    _write(
        table,
        file,
        f"{type(theory).__name__}: the error of {quantity} along {knob}, {verdict.verdict}",
        made=out is None,
    )
    facts = {
        "theory": type(theory).__name__,
        "source": theory.source,
        "name": name,
        "along": knob,
        "quantity": quantity,
        "seeds": seeds,
    }
    return facts | _plain(order, claim, verdict) | {"file": str(file)}


def _limits_there_are() -> list[str]:
    theories = {kind: catalog.find("theories", kind) for kind in catalog.members("theories")}
    return [kind for kind, theory in theories.items() if theory.limits and not theory.over_seeds]


def _experiment(theory: Theory, kind: str, words: list[str], small: bool) -> tuple[str, Experiment]:
    """(name, experiment) of `[NAME|FILE.toml] path=value ...`; without a name the theory's own
    example."""
    named = [word for word in words if "=" not in word]
    changes = {
        path: text.value_of(value)
        for path, value in (assignment(word) for word in words if word not in named)
    }
    if len(named) > 1:
        raise refused(
            "limit", "one experiment", " and ".join(named), "Name one exhibit or one TOML file"
        )
    if named:
        name, _, found = changed_experiment(named[0], changes, small)
        return name, found
    experiment: Experiment = type(theory).example()
    for path, value in changes.items():
        experiment = experiment.with_value(path, value)
    return f"the example of {kind}", experiment


def _claimed(theory: Theory, knob: str, quantity: str | None) -> Limit:
    """The limit declared along a knob: of that path, or of its last name where another
    architecture stands around (`architecture.of.width`)."""
    last = knob.rpartition(".")[2]
    along = [one for one in theory.limits if one.knob == knob] or [
        one for one in theory.limits if one.knob.rpartition(".")[2] == last
    ]
    if not along:
        raise refused(
            "limit",
            f"a knob along which {type(theory).__name__} declares its order",
            repr(knob),
            nearest(knob, {one.knob for one in theory.limits}),
        )
    if quantity is None:
        return along[0]
    whose = [one for one in along if one.quantity == quantity] or [
        one for one in along if one.quantity is None
    ]
    if not whose:
        remedy = f"Name one of {', '.join(str(one.quantity) for one in along)}"
        raise refused(
            "limit",
            f"a quantity for which {type(theory).__name__} declares its order along {knob}",
            repr(quantity),
            remedy,
        )
    return whose[0]


def _values(experiment: Experiment, knob: str, values: list) -> list:
    """The values, checked before anything is run."""
    numbers = [
        value
        for value in values
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 < value < float("inf")
    ]
    if len(numbers) < len(values):
        bad = next(value for value in values if value not in numbers)
        raise refused(
            "limit",
            f"values of {knob} above 0",
            repr(bad),
            "A limit is approached through positive numbers",
        )
    if len(set(values)) < max(2, len(values)):
        raise refused(
            "limit",
            f"two or more values of {knob}, each once",
            values,
            f"Write for example --along {knob}=1,2,5,10 times what it is",
        )
    for value in values:
        experiment.with_value(knob, value)
    if knob == "rule.rate" and experiment.clock.time is None:
        remedy = (
            "Add clock={time = 2.0, marks = 21}, so that all rates are compared at the same times"
        )
        raise refused("limit", "a clock in time along rule.rate", repr(experiment.clock), remedy)
    return values


def _writable(file: Path) -> None:
    if file.suffix not in (*DRAWN, ".nc", ".csv"):
        raise refused(
            "--out",
            "a file ending in .png, .svg, .pdf, .nc or .csv",
            str(file),
            "Choose one of them",
        )
    sealed.check_absent("--out", file)


def table_of(order: Order, claim: Limit, knob: str, quantity: str) -> "xr.Dataset":
    """What was measured as a Dataset over `value` and `seed`, the slopes among its attributes."""
    samples = order.errors[:, None] if order.samples is None else order.samples
    attributes = {
        "along": knob,
        "quantity": quantity,
        "slope": order.slope,
        "slope_standard_error": order.standard_error,
    }
    attributes |= {"declared_order": claim.order, "bound": int(claim.bound)}
    said = {"units": "1", "long_name": f"largest error of {quantity} relative to its scale"}
    columns = {
        "error": ("value", order.errors, said),
        "standard_error": (
            "value",
            order.bars,
            {"units": "1", "long_name": "standard error of the mean"},
        ),
    }
    return xr.Dataset(
        columns | {"error_by_seed": (("value", "seed"), samples, said)},
        {"value": order.values},
        attributes,
    )


def _write(table, file: Path, title: str, made: bool) -> None:
    if made:
        file.parent.mkdir(exist_ok=True)
    if file.suffix in DRAWN:
        drawn_out(order_plot(table, title), file)
    elif file.suffix == ".csv":
        means = table[["error", "standard_error"]].to_dataframe()
        each = (
            table["error_by_seed"]
            .to_pandas()
            .add_prefix("error[seed=")
            .rename(columns=lambda name: f"{name}]")
        )
        _as_csv(means.join(each), file)
    else:
        dataset_out(table, file)


def _as_csv(frame, file: Path) -> None:
    with sealed.written("--out", file):
        frame.to_csv(file)


def _plain(order: Order, claim: Limit, verdict: Judged) -> dict:
    """The measured order and its verdict as plain data, the values rising."""
    tenfold = None
    if verdict.tenfold is not None:
        factor, error = verdict.tenfold.factor
        tenfold = {
            "factor": factor,
            "standard_error": error,
            "declared": 10.0**claim.order,
            "slope": verdict.tenfold.slope,
            "allowed": verdict.tenfold_allowed,
        }
    measured = order.plain()
    declared = {"order": claim.order, "bound": claim.bound}
    result = measured | {
        "fitted": measured["fitted"] | {"allowed": verdict.allowed},
        "declared": declared,
        "tenfold": tenfold,
    }
    return result | {"verdict": verdict.verdict, "holds": verdict.verdict == "holds", "rule": RULE}
