"""Answers: what a network says of samples that have one class each, beside the class they have."""

import jax.numpy as jnp

from learnmech.data.base import is_ids
from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.instruments.losses import Accuracy


class OfClasses(Instrument):
    """An instrument of answers to samples that have one class each, on the test view where there is
    one; of one output the classes are its signs, + and -."""

    def check(self, system):
        Accuracy().check(system)
        who = type(self).__name__
        if is_ids(self.view(system).Y) and self.view(system).Y.ndim > 1:
            raise refused(
                who, "one class to a sample", "one to each position", "Watch accuracy instead"
            )
        if self.view(system).mask is not None:
            raise refused(who, "samples that are all asked for", "a mask", "Drop the mask")

    def view(self, system):
        """The view that it looks at."""
        return system.train if system.test is None else system.test

    def classes(self, system, params) -> tuple:
        """What the classes are called."""
        width = system.architecture.signal_shapes(params, system.train.X)["output"].shape[-1]
        return ("+", "-") if width == 1 else tuple(range(width))

    def answers(self, moment):
        """(the outputs, the class that each sample is given, its own)."""
        view = self.view(moment.system)
        outputs = moment.system.outputs(moment.state.params, view.X)
        given = _class_of(outputs)
        return outputs, given, view.Y if is_ids(view.Y) else _class_of(view.Y)


def _class_of(rows):
    if rows.shape[-1] == 1:
        return jnp.where(rows[:, 0] > 0, 0, 1)
    return jnp.argmax(rows, axis=-1)
