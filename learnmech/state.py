"""State: what moves. Everything else stands still."""

import equinox as eqx
from jaxtyping import Float, Int, PyTree

from learnmech.trees import Array, Params


class State(eqx.Module):
    """Parameters, the rule's memory, the step count, the time (sum of base rates, float64 always) and the random key of the run."""

    params: Params
    memory: PyTree
    step: Int[Array, ""]
    time: Float[Array, ""]
    key: PyTree
