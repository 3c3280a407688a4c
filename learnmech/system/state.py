"""State: what moves. Everything else stands still."""

import equinox as eqx
import jax
from jaxtyping import Float, Int, PyTree

from learnmech.language import trees
from learnmech.language.trees import Array, Params


class State(eqx.Module):
    """Parameters, the rule's memory, the step count, the time (sum of base rates, float64
    always) and the random key of the run."""

    params: Params
    memory: PyTree
    step: Int[Array, ""]
    time: Float[Array, ""]
    key: PyTree


def memory_path(keys) -> str:
    """`memory.mu.layer1.weight`: the names on the way to an array of a rule's memory, without
    the places of tuples."""
    return ".".join(
        [
            "memory",
            *(
                trees.path_of([key])
                for key in keys
                if not isinstance(key, jax.tree_util.SequenceKey)
            ),
        ]
    )


def arrays_of(state: State) -> dict[str, Array]:
    """{address: array} of all that a state holds: the parameters under their paths, the rule's
    memory below `memory.`."""
    held = {
        memory_path(keys): leaf
        for keys, leaf in jax.tree_util.tree_flatten_with_path(state.memory)[0]
    }
    return trees.leaves_by_path(state.params) | held


def replaced(state: State, arrays: dict[str, Array]) -> State:
    """The state with these arrays in place of its own, by address."""
    params = jax.tree_util.tree_map_with_path(
        lambda keys, leaf: arrays.get(trees.path_of(keys), leaf), state.params
    )
    memory = jax.tree_util.tree_map_with_path(
        lambda keys, leaf: arrays.get(memory_path(keys), leaf), state.memory
    )
    return State(params, memory, state.step, state.time, state.key)
