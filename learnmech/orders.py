"""Orders: how fast a limit is approached, measured."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from learnmech.comparison import compare, watching
from learnmech.errors import refused
from learnmech.experiment import Experiment, prepare
from learnmech.runs import run
from learnmech.theories.base import Theory


class Order(NamedTuple):
    """error ~ value^slope: the slope with its standard error, and what was measured."""

    slope: float
    standard_error: float
    values: np.ndarray
    errors: np.ndarray


def fitted_order(values: Sequence[float], errors: Sequence[float]) -> Order:
    """The slope of ln(error) over ln(value) by least squares, and its standard error (0 for two points, which say nothing of it)."""
    x, y = np.log(np.asarray(values, float)), np.log(np.asarray(errors, float))
    slope, offset = np.polyfit(x, y, 1)
    rest = y - slope * x - offset
    spread = np.sqrt(np.sum(rest**2) / (len(x) - 2) / np.sum((x - x.mean()) ** 2)) if len(x) > 2 else 0.0
    return Order(float(slope), float(spread), np.asarray(values, float), np.asarray(errors, float))


def measured_order(experiment: Experiment, theory: Theory, along: str, values: Sequence[float], quantity: str = "loss") -> Order:
    """Run at each value of the knob `along`, lay the theory over it, and fit the order of the error of `quantity`.

    Fix the clock in time where the knob is a rate, so that all runs are compared at the same times.
    """
    if len(values) < 2:
        raise refused("measured_order", "two or more values", len(values), "Give for example 0.1, 0.05 and 0.025")
    errors = []
    for value in values:
        start = prepare(experiment.with_value(along, value))
        errors.append(compare(run(start, watching((theory,), start)), theory, np.inf).row(quantity).error)
    return fitted_order(values, errors)
