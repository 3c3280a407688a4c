"""Gaussian starts: independent entries, at a scale."""

import jax

from learnmech.errors import refused
from learnmech.initial.base import InitialCondition, drawn_anew, template
from learnmech.language.parts import Knob, knob


class Gaussian(InitialCondition):
    """Independent normal entries, `scale` times the standard deviation which the architecture's
    scaling prescribes."""

    scale: Knob = knob(
        default=1.0,
        at_least=0,
        meaning=(
            "what multiplies the standard deviations which the architecture's scaling prescribes"
        ),
    )

    def draw(self, architecture, data, rng):
        scale = float(self.scale)
        return drawn_anew(architecture, template(architecture, data, rng), lambda w: scale * w)

    @classmethod
    def example(cls):
        return cls(scale=0.5)


class SmallGaussian(InitialCondition):
    """Independent normal entries of one standard deviation `std` in every layer, whatever its
    width."""

    std: Knob = knob(
        default=1e-3,
        above=0,
        meaning="standard deviation of every entry, in units of the parameters",
    )

    def draw(self, architecture, data, rng):
        return drawn_anew(
            architecture,
            template(architecture, data, rng),
            lambda w: float(self.std) * rng.standard_normal(w.shape),
        )

    @classmethod
    def example(cls):
        return cls(std=0.1)


class ZeroReadout(InitialCondition):
    """Gaussian at a scale with the last layer's weights zero, so that f = 0 (up to biases) at t
    = 0."""

    scale: Knob = knob(
        default=1.0,
        at_least=0,
        meaning=(
            "what multiplies the standard deviations which the architecture's scaling prescribes"
        ),
    )

    def draw(self, architecture, data, rng):
        params = Gaussian(scale=self.scale).draw(architecture, data, rng)
        last = f"layer{len(params)}"
        if last not in params:
            raise refused(
                "ZeroReadout",
                f"a last layer of the name {last}",
                ", ".join(params),
                "Use another initial condition",
            )
        return params | {last: jax.tree.map(lambda w: 0.0 * w, params[last])}
