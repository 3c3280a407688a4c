"""What every instrument promises, and the moment it looks at."""

import zlib
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from learnmech.curvature.operators import KINDS, check_operator, flattened, product_of
from learnmech.errors import refused, unwritten
from learnmech.language import trees
from learnmech.language.faults import unfit
from learnmech.language.parts import Part, structure
from learnmech.language.quantity import Quantity
from learnmech.language.trees import Array, Params
from learnmech.rules.base import Rule
from learnmech.system.landscape import System
from learnmech.system.state import State


class Moment(eqx.Module):
    """One instant: where the learner stands, and the loss, gradient and update which the step from
    here itself computes.

    `loss` and `gradient` are those of the landscape the step sees (a batch for SGD); `update` is
    what the step adds to the parameters (for flows the velocity); `origin` the parameters at t = 0.
    """

    system: System
    state: State
    rule: Rule
    origin: Params
    loss: Float[Array, ""]
    gradient: Params
    update: Params


class Sound(NamedTuple):
    """Whether a state is made of numbers: every parameter, and beside them the loss of what the
    network makes of them."""

    params: Bool[Array, ""]
    outputs: Bool[Array, ""]

    @classmethod
    def of(cls, params: Params, loss: Float[Array, ""]) -> "Sound":
        """Of parameters and the training loss there; an infinite loss may be that of outputs
        which are numbers, an infinite parameter is none."""
        whole = finite(params)
        return cls(whole, whole & ~jnp.isnan(loss))


def finite(tree) -> Bool[Array, ""]:
    """Whether every entry of a tree's arrays of floats is a finite number."""
    floats = [
        leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    ]
    return (
        jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in floats]))
        if floats
        else jnp.array(True)
    )


def where_finite(reading, *seen):
    """A reading that is made by comparing: NaN where what it is made of is not all numbers,
    since a comparison with NaN is as good an answer as any."""
    return jnp.where(finite(seen), reading, jnp.nan)


class Instrument(Part):
    """Moment -> named quantities, without memory. Subclasses give `quantities` and `read`; `every`
    k reads at each k-th mark of the clock.

    What a record keeps is `seen`: what was read, and NaN where the state it was read of is no
    number.
    """

    every: int = structure(
        default=1, at_least=1, kw_only=True, meaning="reads at each k-th mark of the clock"
    )

    def quantities(self, system: System, params: Params) -> tuple[Quantity, ...]:
        """What is read on this system; params serve for their shapes alone."""
        raise unwritten(self, "quantities")

    def read(self, moment: Moment) -> dict[str, Array]:
        """{quantity name: array of its axes' shape}."""
        raise unwritten(self, "read")

    def rests_on(self, quantity: str) -> str:
        """What must be made of numbers for this reading to be one.

        `outputs`: the parameters and what the network makes of them; `params`: the parameters
        alone; `itself`: the parameters, but a value that is no number is shown as it is, infinite
        or NaN; `nothing`: an array is shown as it is, whatever is in it.
        """
        return "outputs"

    def seen(
        self,
        moment: Moment,
        sound: Sound | None = None,
        shapes: dict[str, jax.ShapeDtypeStruct] | None = None,
    ) -> dict[str, Array]:
        """What is read, in floats, with NaN over all that rests on what is no number: the one place
        where this is decided.

        A network can turn a NaN into a number (a rectifier, a largest entry, a comparison, a rank),
        so that no instrument would notice by itself. `shapes` are its `shapes`, where they are
        known.
        """
        sound = Sound.of(moment.state.params, moment.loss) if sound is None else sound
        shapes = self.shapes(moment) if shapes is None else shapes

        def look():
            return self._looked(moment, sound)

        rests = {self.rests_on(name) for name in shapes}
        if not rests or rests & {"itself", "nothing"}:
            return look()
        # not looked at in vain: LAPACK's singular vectors of a matrix with an infinite entry never
        # come to an end
        blank = {name: jnp.full(one.shape, jnp.nan, one.dtype) for name, one in shapes.items()}
        return jax.lax.cond(
            sound.outputs if rests == {"outputs"} else sound.params, look, lambda: blank
        )

    def shapes(self, moment: Moment) -> dict[str, jax.ShapeDtypeStruct]:
        """{quantity name: shape and type of a reading}, computing none."""
        return jax.eval_shape(lambda: self._looked(moment, Sound(jnp.array(True), jnp.array(True))))

    def _looked(self, moment, sound):
        read = self.read(moment)
        said = list(read.values()) if isinstance(read, dict) else [read]
        wrong = [one for one in said if read is one or not trees.is_array_like(one)]
        if wrong:
            raise unfit(self, "read", "{name of a quantity: array}", trees.kind_of(wrong[0]))
        return {
            name: _laid(jnp.asarray(value), self.rests_on(name), sound)
            for name, value in read.items()
        }

    def check(self, system: System) -> None:
        """Refuse a system this instrument cannot look at."""


def _laid(value, rests, sound):
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        value = value.astype(jnp.float64)  # whole numbers and truth values know no NaN
    if rests == "nothing":
        return value
    whole = sound.outputs if rests == "outputs" else sound.params
    return jnp.where(whole if rests != "itself" else whole | ~jnp.isfinite(value), value, jnp.nan)


def relative_size(moved, size):
    """moved/size by Frobenius norms; 0 where nothing moved, infinite where something came from
    nothing."""
    above, below = trees.length(moved), trees.length(size)
    return jnp.where(above == 0, 0, above / jnp.where((above == 0) & (below == 0), 1, below))


def refuse_without_modes(who: str, system: System) -> None:
    """Refuse a system whose inputs or targets are no vectors of real numbers: ids, or arrays of
    several axes."""
    if system.modes is None:
        raise refused(
            who,
            "inputs and targets that are vectors of real numbers",
            "ids, or samples of several axes",
            "Watch another instrument",
        )


class Counted(Instrument):
    """An instrument of the strongest `count` of the min(k, d) modes (0: all)."""

    count: int = structure(
        default=0, at_least=0, meaning="modes that are read, the strongest first; 0: all"
    )

    def kept(self, system: System) -> int:
        """How many are read on this system."""
        return self.count or min(system.train.Y.shape[1], system.train.X.shape[1])

    def check(self, system):
        refuse_without_modes(type(self).__name__, system)
        most = min(system.train.Y.shape[1], system.train.X.shape[1])
        if self.count > most:
            raise refused(
                type(self).__name__,
                f"count <= {most}, the modes of this data",
                self.count,
                "Lower count, or set it to 0 for all",
            )


class OfKernel(Instrument):
    """An instrument of the tangent kernel on the first `samples` training inputs (0: all)."""

    samples: int = structure(
        default=0,
        at_least=0,
        meaning="training inputs that it is taken on, the first so many; 0: all",
    )

    def check(self, system):
        most = system.train.X.shape[0]
        if self.samples > most:
            raise refused(
                type(self).__name__,
                f"samples <= {most}, those there are",
                self.samples,
                "Lower samples, or set it to 0 for all",
            )

    def axis(self, system) -> str:
        """The name of the axis over the samples it looks at: `sample` where they are all of
        them."""
        return (
            "sample" if self.samples in (0, system.train.X.shape[0]) else f"sample[:{self.samples}]"
        )

    def inputs(self, system):
        """The inputs it looks at."""
        return system.train.X[: self.samples or None]

    def now(self, moment, params=None):
        """The kernel at the moment's parameters, or at others."""
        return moment.system.tangent_kernel(
            moment.state.params if params is None else params, self.inputs(moment.system)
        )


class OfCurvature(Instrument):
    """An instrument of a curvature of the training loss (`curvature.operators`), by products
    from vectors drawn by the state's key and step alone."""

    of: str = structure(
        default="hessian",
        choices=KINDS,
        kw_only=True,
        meaning="the curvature: of the loss, its Gauss-Newton part, or Fisher's",
    )

    def check(self, system):
        check_operator(system, self.of)

    @property
    def name(self) -> str:
        """The curvature as a word of names."""
        return self.of.replace("-", "_")

    @property
    def unit(self) -> str:
        """Its units."""
        return "loss^2/param^2" if self.of == "empirical-fisher" else "loss/param^2"

    def product(self, moment: Moment):
        """v -> Cv on flat vectors."""
        params = moment.state.params
        return flattened(product_of(moment.system, params, self.of), params)

    def key(self, moment: Moment):
        """What the vectors are drawn by."""
        return jax.random.fold_in(
            jax.random.fold_in(moment.state.key, zlib.crc32(b"curvature") & 0x7FFFFFFF),
            moment.state.step,
        )
