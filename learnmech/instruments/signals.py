"""Signals: any array of a run by its address, whole, in part or reduced."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import nearest, refused
from learnmech.instruments.base import Instrument, where_finite
from learnmech.language import trees
from learnmech.language.addresses import Address
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity
from learnmech.system import state as states

REDUCTIONS = ("none", "norm", "mean", "histogram", "covariance", "singular-values")
SIGNALS = ("pre", "normed", "post", "output")
PER = {"param": "loss/param", "1": "loss"}
"""{units of an array: those of the gradient by it}."""
SQUARED = {"1": "1", "param": "param^2", "loss/param": "loss^2/param^2", "loss": "loss^2"}


class Watch(Instrument):
    """The array at an address, as it is or reduced inside the compiled loop.

    Weights and biases `layer1.weight`; signals `layer1.pre`, `layer1.post`, `output` on the
    training samples (or the test view's); `gradient.` before either, of the training loss (for
    weights that of the step itself, a batch's under SGD); `update.layer1.weight`, what the step
    adds; `memory.` before what the rule remembers, `memory.mu.layer1.weight`. `layer1` means every
    weight of it. Slices keep what is wanted: `layer2.post[sample=0:64,unit=7]`.

    `norm` is the Euclidean norm over all entries, `mean` their mean, `histogram` the fraction in
    each of `count` equal bins from `low` to `high` (the outermost hold what lies beyond),
    `covariance` that of the last axis over the first, C = (A - mean)'(A - mean)/n,
    `singular-values` the top `count`.
    """

    path: str = structure(
        default="output",
        meaning=(
            "address of what is watched: a signal, a parameter, a gradient, an update, a memory"
        ),
    )
    view: str = structure(
        default="train", choices=("train", "test"), meaning="inputs on which signals are watched"
    )
    reduce: str = structure(
        default="none",
        choices=REDUCTIONS,
        meaning="what is kept of it: all, its norm, its mean or a histogram",
    )
    count: int = structure(default=10, at_least=1, meaning="bins of a histogram")
    low: float = structure(
        default=-1.0, meaning="lower end of a histogram, in units of what is watched"
    )
    high: float = structure(
        default=1.0, meaning="upper end of a histogram, in units of what is watched"
    )

    def coherent(self):
        Address.parse(self.path)
        if self.reduce == "histogram" and not self.low < self.high:
            raise refused(
                "Watch",
                "low < high",
                f"{self.low:g} and {self.high:g}",
                "Give the range of the histogram",
            )

    def check(self, system):
        if self.view == "test" and system.test is None:
            raise refused(
                "Watch", "a test view", "none", "Draw test samples, or watch the training view"
            )

    def quantities(self, system, params):
        found = []
        own = self._own(params)
        for name, shape in self._arrays(system, params).items():
            index, axes = self._index(system, name, shape, own)
            kept = np.empty(shape, bool)[index].shape
            where = Address(name, self.index)
            label = str(where) if self.view == "train" else f"{where} on test"
            if self.reduce == "none":
                found.append(
                    Quantity(label, axes, self._units(system, name, own), str(where), str(where))
                )
                continue
            size = (
                min(self.count, *kept)
                if self.reduce == "singular-values" and len(kept) > 1
                else self.count
            )
            short: dict[str, tuple[str, ...]] = {"norm": (), "mean": ()}
            short |= {
                "histogram": (f"bin{self.count}",),
                "covariance": (f"{where}.i", f"{where}.j"),
                "singular-values": (f"mode{size}",),
            }
            if self.reduce in ("covariance", "singular-values") and len(kept) != 2:
                raise refused(
                    "Watch",
                    f"an array of two axes for its {self.reduce}",
                    f"{where} of shape {kept}",
                    "Choose another array or reduction",
                )
            units = {"histogram": "1", "covariance": SQUARED[self._units(system, name, own)]}.get(
                self.reduce, self._units(system, name, own)
            )
            found.append(
                Quantity(
                    f"{self.reduce}({label})",
                    short[self.reduce],
                    units,
                    f"{self.reduce} {where}",
                    f"{self.reduce} of {where}",
                )
            )
        return tuple(found)

    def rests_on(self, quantity):
        array = Address.parse(self.path).array
        if array.startswith(("gradient.", "update.")):
            return "outputs"
        held = array.startswith("memory.") or array.rsplit(".", 1)[-1] not in SIGNALS
        return "nothing" if self.reduce == "none" and held else "params"

    def read(self, moment):
        system, params = moment.system, moment.state.params
        shapes = self._arrays(system, params)
        arrays = self._values(moment, shapes)
        quantities, own = self.quantities(system, params), self._own(params)
        return {
            q.name: self._reduced(arrays[name][self._index(system, name, shape, own)[0]])
            for q, (name, shape) in zip(quantities, shapes.items(), strict=True)
        }

    @property
    def index(self) -> str:
        """What is meant of the array, as written."""
        return Address.parse(self.path).index

    def _inputs(self, system):
        return system.train.X if self.view == "train" else system.test.X

    def _arrays(self, system, params):
        """{array meant: its shape}."""
        leaves = {name: np.shape(leaf) for name, leaf in trees.leaves_by_path(params).items()}
        signals = trees.shapes_of(_signals, system, params, self._inputs(system))
        signals = {name: signal.shape for name, signal in signals.items()}
        known = (
            leaves
            | signals
            | {f"gradient.{name}": shape for name, shape in (leaves | signals).items()}
        )
        known |= {f"update.{name}": shape for name, shape in leaves.items()}
        address = Address.parse(self.path)
        if address.array.startswith("memory."):
            return {
                address.array: next(
                    (shape for name, shape in leaves.items() if address.array.endswith("." + name)),
                    (),
                )
            }
        if address.array in trees.layers_of(params):
            return {name: leaves[name] for name in address.among(leaves)}
        return {name: known[name] for name in address.among(known)}

    def _own(self, params):
        """{path: the names of the axes of every parameter array}."""
        return trees.axes_among(
            {name: np.shape(leaf) for name, leaf in trees.leaves_by_path(params).items()}
        )

    def _axes(self, system, name, shape, own):
        bare = name.removeprefix("gradient.").removeprefix("update.")
        if bare not in own and not bare.startswith("memory."):
            return signal_axes(
                system.architecture,
                bare,
                len(shape),
                "sample" if self.view == "train" else "test_sample",
            )
        held = next((path for path in own if bare.endswith(f".{path}")), bare)
        axes = own.get(held, ())
        if len(axes) != len(shape):
            return trees.axes_of(bare.removeprefix("memory."), len(shape))
        before = bare[: len(bare) - len(held)].removeprefix("memory.")
        return tuple(before + axis for axis in axes)

    def _index(self, system, name, shape, own):
        address = Address(name, self.index)
        axes = self._axes(system, name, shape, own)
        index = address.selection(shape, axes)
        kept = []
        for axis, one in zip(axes, index, strict=True):
            if isinstance(one, slice):
                part = (
                    ":".join(
                        "" if end is None else str(end) for end in (one.start, one.stop, one.step)
                    )
                    if one != slice(None)
                    else ""
                )
                kept.append(f"{axis}[{part}]" if part else axis)
        return index, tuple(kept)

    def _units(self, system, name, own):
        bare = name.removeprefix("gradient.").removeprefix("update.")
        # what a rule remembers is of its own making, and told in no units
        held = system.architecture.role(bare).units if bare in own else "1"
        return PER[held] if name.startswith("gradient.") else held

    def _values(self, moment, shapes):
        system, params = moment.system, moment.state.params
        held = states.arrays_of(moment.state)
        held |= {
            f"gradient.{name}": leaf for name, leaf in trees.leaves_by_path(moment.gradient).items()
        }
        held |= {
            f"update.{name}": leaf for name, leaf in trees.leaves_by_path(moment.update).items()
        }
        wanted = [name for name in shapes if name not in held]
        if any(name.startswith("memory.") for name in wanted):
            remembered = [name for name in held if name.startswith("memory.")]
            remedy = nearest(wanted[0], remembered) if remembered else "This rule remembers nothing"
            raise refused("Watch", "an array of the rule's memory", repr(wanted[0]), remedy)
        if any(not name.startswith("gradient.") for name in wanted):
            held |= system.signals(params, self._inputs(system))
        slopes = [name.removeprefix("gradient.") for name in wanted if name.startswith("gradient.")]
        return held | {
            f"gradient.{name}": slope
            for name, slope in signal_gradients(system, params, slopes, self.view).items()
        }

    def _reduced(self, x):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            x = x.astype(float)
        if self.reduce == "none":
            return x
        if self.reduce == "norm":
            return jnp.sqrt(jnp.sum(x * x))
        if self.reduce == "mean":
            return jnp.mean(x)
        if self.reduce == "histogram":
            place = jnp.clip(
                jnp.floor((x - self.low) / (self.high - self.low) * self.count), 0, self.count - 1
            )
            return where_finite(
                jnp.stack([jnp.mean(place == b, dtype=x.dtype) for b in range(self.count)]), x
            )
        if self.reduce == "covariance":
            centered = x - jnp.mean(x, axis=0)
            return centered.T @ centered / x.shape[0]
        return where_finite(jnp.linalg.svd(x, compute_uv=False)[: self.count], x)


def _signals(system, params, X):
    return system.signals(params, X)


def signal_axes(architecture, name: str, rank: int, sample: str = "sample") -> tuple[str, ...]:
    """(sample, layer2.unit) of the signal layer2.post."""
    layer = name.rsplit(".", 1)[0]
    return tuple(
        sample if axis == "sample" else f"{layer}.{axis}"
        for axis in architecture.signal_axes(name, rank)
    )


def signal_gradients(system, params, names: list[str], view: str = "train") -> dict:
    """The gradient of the loss on a view with respect to signals, by name: what the loss would
    change by if each entry were moved alone."""
    if not names:
        return {}
    chosen = system.train if view == "train" else system.test
    shapes = system.architecture.signal_shapes(params, chosen.X)

    def moved(shifts):
        def tap(name, value):
            return value + shifts[name] if name in shifts else value

        outputs = (
            system.architecture.forward(params, chosen.X, tap)
            if view == "train"
            else system.architecture.elsewhere(params, chosen.X, system.train.X, tap)
        )
        return system.price(outputs, chosen)

    return jax.grad(moved)(
        {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in names}
    )
