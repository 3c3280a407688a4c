"""Fresh batches: what a step sees of a population, as samples or as their gradient alone."""

import zlib
from typing import TYPE_CHECKING

import jax

from learnmech.data.population import LinearGaussian
from learnmech.errors import refused
from learnmech.system.landscape import System
from learnmech.system.state import State

if TYPE_CHECKING:
    from learnmech.rules.base import BatchedRule


def check(rule: "BatchedRule", system: System) -> None:
    """Refuse a system that has no population to draw from, or for `fresh-gradient` not the one
    whose gradients have a law that is known."""
    who, what = type(rule).__name__, f"for sampling={rule.sampling}"
    if system.population is None:
        got = "a source that has none, or is whitened by its own samples"
        remedy = "Use data.Gaussian or a teacher, not whitened, or another sampling"
        raise refused(who, f"data with a population to draw from {what}", got, remedy)
    if not rule.batch:
        raise refused(who, f"a batch {what}", "batch=0", "Give rule.batch")
    linear = isinstance(system.population, LinearGaussian) and system.knows_its_population
    if rule.sampling == "fresh-gradient" and not linear:
        raise refused(
            who,
            f"the mean squared loss of a linear network on a linear Gaussian population {what}",
            f"{system.loss_function!r} of {system.architecture!r}",
            "Use sampling=fresh",
        )


def view(rule: "BatchedRule", system: System, state: State) -> System:
    """The landscape of this step's own samples, by the run's key and the step count alone; for
    `fresh-gradient` by the weights too."""
    key = jax.random.fold_in(state.key, zlib.crc32(b"fresh") & 0x7FFFFFFF)
    key = jax.random.fold_in(key, state.step)
    if rule.sampling == "fresh-gradient":
        return system.fresh_gradient(state.params, key, rule.batch)
    return system.fresh(key, rule.batch)
