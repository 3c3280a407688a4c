"""Starts of a scale for each layer: a standard deviation, or a gain on that of the scaling, by
name or in order."""

import numpy as np

from learnmech.errors import nearest, refused
from learnmech.initial.base import InitialCondition, template
from learnmech.language import trees
from learnmech.language.parts import Shorthand, structure


class GaussianPerLayer(InitialCondition):
    """Independent normal entries, of each weight matrix at a standard deviation of its own; biases,
    gains and all else start as the scaling says.

    `std` are standard deviations of the parameters themselves, whatever the width; `gain`
    multiplies those which the scaling prescribes, with the draws of `Gaussian`. One of the two: a
    number for each layer with a weight, inputs first, or for each that is named in `layers`, and
    the others as the scaling says. `initial.layer2` turns that of one layer.
    """

    std: tuple[float, ...] | None = structure(
        default=None,
        at_least=0,
        meaning=(
            "standard deviation of each layer's weights, inputs first, in units of the parameters"
        ),
    )
    gain: tuple[float, ...] | None = structure(
        default=None,
        at_least=0,
        meaning=(
            "factor of each layer on the standard deviation which the scaling prescribes, inputs"
            " first"
        ),
    )
    layers: tuple[str, ...] = structure(
        default=(), meaning="the layers that they belong to, by name; none: all that have a weight"
    )

    def coherent(self):
        who = type(self).__name__
        if bool(self.std) == bool(self.gain):
            remedy = 'Write std = [0.1, 0.2], or gain = [2.0] and layers = ["layer2"]'
            raise refused(who, "one of std and gain", "both" if self.std else "neither", remedy)
        if not np.isfinite(self._values).all():
            raise refused(
                who,
                f"finite numbers in {self._word}",
                self._values,
                "Remove or replace the bad entries",
            )
        twice = next((name for name in self.layers if self.layers.count(name) > 1), None)
        if twice is not None:
            raise refused(who, "every layer once", f"{twice} twice", "Drop one of them")
        if self.layers and len(self.layers) != len(self._values):
            got = f"{len(self._values)} for {', '.join(self.layers)}"
            raise refused(
                who,
                f"as many numbers in {self._word} as there are layers",
                got,
                "Give one for each name",
            )

    @property
    def _word(self):
        return "std" if self.std else "gain"

    @property
    def _values(self):
        return self.std or self.gain or ()

    def shorthands(self):
        """`layer2` for the number of that layer, of those named, else of as many as there are
        numbers."""

        def turned(index):
            return lambda value: (*self._values[:index], value, *self._values[index + 1 :])

        names = self.layers or tuple(f"layer{index}" for index in range(1, len(self._values) + 1))
        return {
            name: Shorthand(self._word, self._values[index], turned(index))
            for index, name in enumerate(names)
        }

    def of_layers(self, params: dict) -> dict[str, float]:
        """{layer: its number} of those that have one among these parameters; refuses names and
        counts that do not fit, by name."""
        who, known = (
            type(self).__name__,
            [name for name, layer in trees.layers_of(params).items() if "weight" in layer],
        )
        for name in self.layers:
            if name not in known:
                raise refused(
                    who,
                    f"layers with a weight, as {', '.join(known) or 'none here'}",
                    repr(name),
                    nearest(name, known),
                )
        if not self.layers and len(known) != len(self._values):
            got = f"{len(self._values)} numbers in {self._word}"
            remedy = "Give one for each, or name some in layers"
            raise refused(
                who,
                f"{len(known)} numbers, for {', '.join(known) or 'no layer with a weight'}",
                got,
                remedy,
            )
        return dict(zip(self.layers or known, self._values, strict=True))

    def draw(self, architecture, data, rng):
        params = template(architecture, data, rng)
        for name, value in self.of_layers(params).items():
            w = params[name]["weight"]
            params[name] = params[name] | {
                "weight": value * (rng.standard_normal(w.shape) if self.std else w)
            }
        return params

    @classmethod
    def example(cls):
        return cls(gain=(2.0,), layers=("layer1",))
