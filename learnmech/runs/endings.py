"""Endings: why a run ended where it did, and what of the way there a reader must know."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float

from learnmech.curvature.eigenpairs import sharpness, sharpness_at_least
from learnmech.experiment.recipe import Start
from learnmech.language.trees import Params, leaves_by_path
from learnmech.march.timeline import Checkpoint, Timeline
from learnmech.system.state import State

# What a loss may rise by from mark to mark without that being told, in round-offs of sqrt(L L_max):
# sums of squares that are nearly 0 are known to the round-off of the errors they are made of.
ROUND_OFFS = 1000
SHARE, RISES = 0.1, 5
LOOKED_AT = (0.5, 0.625, 0.75, 0.875)


def ending(start: Start, params: Params, where: str, until: str | None) -> str:
    """Why a run that did not reach its last mark ended: what was looked for was met, the solver
    gave up, or it diverged, of which the rule's edge at the start is told."""
    spoiled = [path for path, leaf in leaves_by_path(params).items() if not np.isfinite(leaf).all()]
    finite = bool(np.isfinite(float(start.system.loss(params))))
    if not spoiled and finite:
        return f"stopped at {where} because {until} was met"
    if start.rule.flows:
        return (
            f"the solver did not reach its tolerance before {where}: raise rule.rtol or"
            " rule.max_steps, or shorten the clock"
        )
    # a rectifier makes a number of a weight that is none
    what = (
        f"{', '.join(spoiled[:3])}{', ...' if len(spoiled) > 3 else ''}"
        f" {'is' if len(spoiled) == 1 else 'are'}"
        if finite
        else "the loss is"
    )
    said = f"diverged at {where}: {what} no longer finite. rate {float(start.rule.rate):.4g}"
    top = sharpness(start.system, start.state.params)
    edge = (
        start.rule.edge(top)
        if top > 0 and _bare(start.rule, start.system, start.state.params)
        else None
    )
    return (
        f"{said}; sharpness at the start {top:.4g}"
        if edge is None
        else f"{said} against {edge[0]} = {edge[1]:.4g} at the start"
    )


def _bare(rule, system, params) -> bool:
    """Whether the rule's edge is that of its rate alone: it is constant, nothing decays or is
    clipped, and the scaling has no factors."""
    factors = jax.tree.leaves(system.architecture.rate_factors(params, rule.family))
    return rule.plain and all(float(factor) == 1 for factor in factors)


def climbing(
    timeline: Timeline,
    last: Checkpoint,
    losses: Float[np.ndarray, " marks"],
    states: Callable[[list[int]], Iterator[State]],
) -> list[str]:
    """A note where the loss climbs on the way and the sharpness is above the rule's edge.

    The loss climbs where it rises from one mark to the next by more than 1000 round-offs of sqrt(L
    L_max), at a tenth of its marks or more and five times or more. The sharpness is then looked
    for, by twenty products from below, at the end and, should it be low there, at four marks of the
    second half, whose `states` (positions) gives: each burst of the loss lets the sharpness fall
    for some steps. What is not known to lie above the edge is not told: a loss that climbs for
    another reason is none of its business, and where batches are drawn, whose noise is the usual
    one, only the end is looked at.
    """
    rule = timeline.experiment_after(last.done).rule
    if rule.flows or len(losses) < RISES + 1 or not np.isfinite(losses).all():
        return []
    precision = np.finfo(timeline.start.experiment.precision).eps
    rises = np.diff(losses) > ROUND_OFFS * precision * np.sqrt(
        np.abs(losses[:-1]) * np.abs(losses).max()
    )
    share = float(rises.mean())
    system = timeline.systems[last.done]
    unit = rule.edge(1.0)
    if (
        rises.sum() < RISES
        or share < SHARE
        or unit is None
        or not _bare(rule, system, last.state.params)
    ):
        return []
    bound, top = unit[1] / float(rule.rate), sharpness_at_least(system, last.state.params)
    if not top > bound and not getattr(rule, "batch", 0):
        # a fork has no states before the mark at which it leaves its parent
        first = max(int(np.searchsorted(timeline.positions, last.position)) + 1 - len(losses), 0)
        begun = max(
            timeline.positions[first], timeline.event_positions[last.done - 1] if last.done else 0
        )
        positions = [int(begun + part * (last.position - begun)) for part in LOOKED_AT]
        top = max(top, *(sharpness_at_least(system, state.params) for state in states(positions)))
    if not top > bound:
        return []
    words = unit[0].replace("sharpness", "rate")
    said = f"climbs: the loss rises at {share:.0%} of its marks, and the sharpness"
    return [
        f"{said}, up to {top:.4g}, is above the rule's edge {words} = {bound:.4g}. Standardize the"
        " inputs, or lower the rate"
    ]
