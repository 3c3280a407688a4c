"""What every initial condition promises."""

from collections.abc import Callable

import jax
import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.data.base import Drawn
from learnmech.errors import unwritten
from learnmech.language import trees
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
    return architecture.begun(rng, inputs, targets.scores)
