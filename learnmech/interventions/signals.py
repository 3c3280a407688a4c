"""Interventions on the network itself: signals held at a value, and the network replaced by its
tangent."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture, keep
from learnmech.architectures.linearized import Linearized
from learnmech.architectures.wrapper import Seen, Wrapper
from learnmech.errors import refused
from learnmech.interventions.base import Intervention
from learnmech.language.addresses import Address
from learnmech.language.parts import Knob, Numbers, array, knob, structure
from learnmech.system.landscape import System


class _Patched(Seen):
    """An architecture in which what is at an address of a signal is replaced before it goes on."""

    name: str = eqx.field(static=True)
    index: str = eqx.field(static=True)
    values: np.ndarray

    def forward(self, params, X, tap=keep):
        def patched(name, signal):
            if name == self.name:
                where = Address(self.name, self.index).selection(
                    signal.shape, self.of.signal_axes(name, signal.ndim)
                )
                signal = signal.at[where].set(jnp.asarray(self.values, signal.dtype))
            return tap(name, signal)

        return self.of.forward(params, X, patched)


def _is_tangent(architecture: Architecture) -> bool:
    return isinstance(architecture, Linearized) or (
        isinstance(architecture, Wrapper) and _is_tangent(architecture.of)
    )


def _on(system: System, architecture: Architecture) -> System:
    return dataclasses.replace(system, architecture=architecture, reduced=None)


class Patch(Intervention):
    """Hold what is at an address of a signal, `layer2.post[unit=7]`, at a value or at `values`
    for its units: 0 ablates, a mean mean-ablates."""

    path: str = structure(
        default="layer1.post[unit=0]",
        meaning="address of the signal that is held, or of units of it",
    )
    value: Knob | None = knob(
        default=None, meaning="what it is held at, in units of the signal; 0 unless given"
    )
    values: Numbers | None = array(default=None, meaning="what each of its units is held at")

    def coherent(self):
        if self.value is not None and self.values is not None:
            raise refused("Patch", "one of value and values", "both", "Drop one")

    def check(self, system, rule, state):
        if _is_tangent(system.architecture):
            raise refused(
                "Patch",
                "a network whose outputs go through its signals",
                "its tangent",
                "Patch before it is linearized",
            )
        shapes = system.architecture.signal_shapes(state.params, system.train.X)
        address = Address.parse(self.path)
        name = address.among(shapes)
        if len(name) != 1:
            raise refused("Patch", "one signal", ", ".join(name), "Name layer1.pre or layer1.post")
        whole = shapes[name[0]].shape
        index = address.selection(whole, system.architecture.signal_axes(name[0], len(whole)))
        shape = np.asarray(np.empty(whole, bool)[index]).shape
        units = shape[1:]
        if self.values is not None and self.values.shape not in (units, ()):
            raise refused(
                "Patch",
                f"values of shape {units} for {self.path}",
                f"shape {self.values.shape}",
                "Give one value, or one for each unit",
            )
        if any(
            item.startswith("sample") or (place == 0 and "=" not in item and item != ":")
            for place, item in enumerate(address.index.split(","))
            if item
        ):
            raise refused(
                "Patch",
                "units of every sample",
                self.path,
                "Index the unit alone, as in layer1.post[unit=0]",
            )

    def system(self, system, anchor):
        address = Address.parse(self.path)
        values = (
            self.values
            if self.values is not None
            else np.asarray(0.0 if self.value is None else self.value)
        )
        return _on(system, _Patched(system.architecture, address.array, address.index, values))

    @classmethod
    def example(cls):
        return cls(at=8)


class Linearize(Intervention):
    """Go on with the tangent of the network here, `architectures.Linearized` at the parameters
    of the event."""

    anchored: ClassVar[bool] = True

    def system(self, system, anchor):
        return _on(system, Linearized(system.architecture).anchored(anchor))

    @classmethod
    def example(cls):
        return cls(at=8)
