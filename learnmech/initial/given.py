"""Given starts: the parameters themselves."""

from typing import Any

import numpy as np

from learnmech.errors import refused
from learnmech.initial.base import InitialCondition, template
from learnmech.language import trees
from learnmech.language.parts import Numbers, array


class Given(InitialCondition):
    """The parameters as one flat array: every leaf raveled, in the natural order of paths
    (layer1.weight, layer2.weight, ...)."""

    flat: Numbers = array(meaning="every array raveled, in the natural order of paths")

    @classmethod
    def of(cls, params: dict) -> "Given":
        """From a tree of parameters, such as another run's."""
        return cls(
            np.concatenate([np.ravel(leaf) for leaf in trees.leaves_by_path(params).values()])
        )

    def draw(self, architecture, data, rng):
        params = template(architecture, data, rng)
        leaves = trees.leaves_by_path(params)
        size = sum(leaf.size for leaf in leaves.values())
        if self.flat.shape != (size,):
            shapes = ", ".join(f"{path} {leaf.shape}" for path, leaf in leaves.items())
            raise refused(
                "Given",
                f"{size} numbers for {shapes}",
                f"shape {self.flat.shape}",
                "Ravel each array in this order",
            )
        drawn: dict[str, dict[str, Any]] = {}
        offset = 0
        for path, leaf in leaves.items():
            layer, name = path.rsplit(".", 1)
            drawn.setdefault(layer, {})[name] = self.flat[offset : offset + leaf.size].reshape(
                leaf.shape
            )
            offset += leaf.size
        return drawn

    @classmethod
    def example(cls):
        return cls(np.linspace(-0.5, 0.5, 20))
