"""Premises: what an exhibit's checks take for granted, as conditions that a turned knob may
break."""

import math

import numpy as np

from learnmech.experiment.recipe import Start
from learnmech.theories.base import Condition, time_factor
from learnmech.theories.deep_linear import correlations, product, weights
from learnmech.theories.regression import directions, hessian_top

FINE = 1e-9


def layers(start: Start, count: int) -> Condition:
    """So many layers of weights."""
    words = {1: "one layer", 2: "two layers"}.get(count, f"{count} layers")
    return Condition(words, len(start.params), count, len(start.params) == count)


def exact(start: Start) -> tuple[Condition, ...]:
    """Double precision, and a flow integrated finely: what tolerances of round-off and of closed
    forms are for."""
    precision = start.experiment.precision
    found = (Condition("double precision", precision, "float64", precision == "float64"),)
    if not start.rule.flows:
        return found
    rtol = float(start.rule.rtol)
    return *found, Condition(
        "the flow is integrated to a relative tolerance per step of", rtol, FINE, rtol <= FINE
    )


def small_steps(start: Start, bound: float = 0.1) -> Condition:
    """That a step is small beside what the strongest mode takes: rate * L s^(2 - 2/L), the
    largest curvature of balanced modes over which it is learned."""
    depth = len(start.params)
    s = float(np.linalg.norm(correlations(start.data.train)[1], 2))
    part = (
        0.0
        if start.rule.flows
        else float(start.rule.rate) * time_factor(start) * depth / 2 * s ** (2 - 2 / depth)
    )
    return Condition(
        "steps are small beside the time of the strongest mode, rate L s^(2-2/L)/2",
        part,
        bound,
        part <= bound,
    )


def begins_small(start: Start, share: float = 0.1) -> Condition:
    """That the map at the start is small beside the target's strongest mode, so that there is a
    saddle to leave."""
    s = float(np.linalg.norm(correlations(start.data.train)[1], 2))
    part = float(np.linalg.norm(product(weights(start)), 2)) / s if s > 0 else math.inf
    return Condition(
        "it begins near the saddle at 0: the map's size over the target's",
        part,
        share,
        part <= share,
    )


def full_column_rank(start: Start) -> Condition:
    """That the inputs span all directions, so that there is one least-squares solution."""
    X = np.asarray(start.data.train.X)
    rank = len(directions(X, 1.0).sigma)
    return Condition(
        "the inputs span all directions: rank of X", rank, X.shape[1], rank == X.shape[1]
    )


def below_critical(start: Start) -> Condition:
    """A rate below that at which one linear layer diverges, where the rule steps."""
    known = None if start.rule.flows else start.rule.edge(hessian_top(start))
    rate, edge = (0.0, math.inf) if known is None else (float(start.rule.rate), known[1])
    return Condition("rate below the critical one", rate, edge, rate < edge)


def reading(times: np.ndarray, rate: float, when: float) -> float:
    """By how much of `when` a time is off that is read between marks on a curve of this rate,
    drawn as a line: h^2 a''/(8 a'), a''/a' at most the rate."""
    gap = float(np.diff(times).max(initial=0.0))
    return gap**2 * rate / 8 / when if when > 0 else math.inf
