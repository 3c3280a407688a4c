"""Orders: which simplifications can stand together, and in which order they are applied."""

from collections.abc import Iterable

from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.simplifications.base import Simplification, Turned

ORDER = (
    "round-off", "labels", "input spectrum", "data", "dropout", "norm", "bias", "residual branch",
    "width", "depth", "nonlinearity", "loss", "schedule", "batches", "rule", "gains", "scaling",
    "infinite width", "balance", "alignment", "features", "late features", "step size",
)  # fmt: skip
"""Axes in the order in which they are turned off, whatever order they are named in: what is
measured at a start (a gain, a rate) comes after all that changes it."""


def ordered(chosen: Iterable[Simplification]) -> tuple[Simplification, ...]:
    """The simplifications in the one order in which they are applied; a user's own come last, as
    they are given. Refuses two of one axis."""
    chosen = tuple(chosen)
    wrong = next((one for one in chosen if not isinstance(one, Simplification)), None)
    if wrong is not None:
        raise refused(
            "simplified",
            "simplifications",
            repr(wrong),
            "Give for example simplifications.LinearUnits()",
        )
    axes = [one.axis for one in chosen]
    twice = next((axis for axis in axes if axes.count(axis) > 1), None)
    if twice is not None:
        raise refused(
            "simplified",
            "each axis once",
            f"{axes.count(twice)} simplifications of {twice}",
            "Choose one of them",
        )
    found = sorted(
        chosen, key=lambda one: ORDER.index(one.axis) if one.axis in ORDER else len(ORDER)
    )
    held: dict[str, tuple[str, str]] = {}
    for one in found:
        for fact, value in one.turns.items():
            before, who = held.get(fact, (value, ""))
            if before != value and before not in one.needs.get(fact, ()):
                raise refused(
                    "simplified",
                    "axes that can stand together",
                    f"{who}, which makes {fact} {before}, and {one.axis}, which makes it {value}",
                    "Choose one of them",
                )
            held[fact] = value, one.axis
    return tuple(found)


def simplified(experiment: Experiment | Start, *chosen: Simplification) -> Turned:
    """The experiment with these axes turned off, in their own order, and all that was set for it.

    What is off already is left as it is; refuses a set in which one stands in the way of another.
    """
    tuned: dict[str, float] = {}
    for one in ordered(chosen):
        step = one.simplify(prepare(experiment))
        experiment, tuned = step.experiment, tuned | dict(step.tuned)
    return Turned(experiment.experiment if isinstance(experiment, Start) else experiment, tuned)


def admissible(experiment: Experiment | Start, chosen: Iterable[Simplification]) -> str:
    """Empty where these can all be turned off together, else why not."""
    try:
        simplified(experiment, *chosen)
    except Refused as refusal:
        return str(refusal)
    return ""
