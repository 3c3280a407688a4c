"""What every initial condition promises."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.data.base import Drawn
from learnmech.errors import unwritten
from learnmech.language import trees
from learnmech.language.faults import unfit
from learnmech.language.parts import Part


class InitialCondition(Part):
    """Parameters at t = 0, drawn from (architecture, data, random numbers). Subclasses give
    `draw`."""

    def draw(self, architecture: Architecture, data: Drawn, rng: np.random.Generator) -> dict:
        """{layer: {name: float64 array}}."""
        raise unwritten(self, "draw")


def drawn_anew(architecture: Architecture, params: dict, draw: Callable) -> dict:
    """`draw` of every array that gradients move; running statistics start where they are."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, w: draw(w) if architecture.role(trees.path_of(keys)).learned else w, params
    )


def template(architecture: Architecture, data: Drawn, rng: np.random.Generator) -> dict:
    """Parameters as the architecture's scaling draws them for this data."""
    inputs, targets = data.spaces
    method = "init" if inputs.is_vector and targets.scores.is_vector else "begun"
    return named_arrays(architecture, method, architecture.begun(rng, inputs, targets.scores))


def named_arrays(part: object, method: str, given: Any) -> dict:
    """What a part gave as parameters, where it is {layer: {name: array of numbers}}; the part is
    told of anything else."""
    leaves = trees.leaves_by_path(given) if isinstance(given, Mapping) else {}
    bad = [path for path, leaf in leaves.items() if not trees.is_array_like(leaf)]
    if not leaves or bad:
        got = trees.kind_of(leaves[bad[0]]) + f" at {bad[0]}" if bad else trees.kind_of(given)
        raise unfit(part, method, "{layer: {name: array of numbers}}", got)
    return given
