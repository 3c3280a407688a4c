"""What every architecture promises."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from learnmech.errors import refused, unwritten
from learnmech.language import doors, trees
from learnmech.language.parts import Part
from learnmech.language.spaces import Space
from learnmech.language.trees import Array, Params

Tap = Callable[[str, Array], Array]
# Signals in which samples are mixed: away from the training inputs they are replaced by those of
# the training inputs.
STATISTICS = (".mean", ".variance")
RUNNING = {"running_mean": "mean", "running_variance": "variance"}
"""{leaf: the statistic of a batch norm of which it is the running average}."""


class Role(NamedTuple):
    """What an array among the parameters is: the units of its entries, and whether gradients move
    it."""

    units: str = "param"
    learned: bool = True


LEARNED, STATISTIC = Role(), Role("1", False)

if not TYPE_CHECKING:  # own code that was written for 0.4 has dense layers from here
    __getattr__ = doors.offered("learnmech.architectures.dense")


def keep(name: str, value: Array) -> Array:
    """The tap that lets every signal pass unchanged."""
    return value


class Architecture(Part):
    """A map f(params, X). Subclasses give `init` and `forward`; every named signal passes through
    `tap`.

    Most take vectors and give vectors; one that takes other inputs (ids, grids), or gives other
    outputs, has `begun` in place of `init`, and says by `signal_axes` what the axes of its signals
    are.
    """

    mixes_samples: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    """Whether a step sees another network than the next, as with dropout."""

    @property
    def separable(self) -> bool:
        """Whether the outputs of a sample are its own, whatever others it is passed with, so that
        samples may be passed in parts."""
        return not self.mixes_samples

    # of those that keep running statistics a knob, the share of a step's batch in them; without a
    # type, or the knob would come first among the fields of those
    running_momentum = None

    def __init_subclass__(cls, **named):
        super().__init_subclass__(**named)
        for old, new in (("draws", "stochastic"), ("drawn", "sample")):
            if old in cls.__dict__:  # else its steps would all see one network, and nothing say so
                raise refused(cls.__name__, f"`{new}`", f"`{old}`, its name up to 0.4", "Rename it")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Which knobs one has is for its kind to say: of what may be any kind a checker lets
            every name pass."""

    def init(self, rng: np.random.Generator, d: int, k: int) -> dict:
        """Parameters for d inputs and k outputs drawn in float64 as the scaling prescribes:
        {layer: {name: array}}."""
        raise unwritten(self, "init")

    def begun(self, rng: np.random.Generator, inputs: Space, outputs: Space) -> dict:
        """Parameters for samples of these spaces, drawn in float64. Refuses spaces that it does
        not map."""
        who, what = type(self).__name__, "of one axis, vectors of real numbers"
        if not inputs.is_vector:
            remedy = (
                "Choose architectures.Conv for grids, or drop data.grid"
                if inputs.vocabulary is None
                else "Choose architectures.Embedding for ids"
            )
            raise refused(who, f"inputs {what}", str(inputs), remedy)
        if not outputs.is_vector:
            raise refused(
                who,
                f"outputs {what}",
                str(outputs),
                "Choose an architecture that gives such outputs",
            )
        return self.init(rng, inputs.size, outputs.size)

    def signal_axes(self, name: str, rank: int) -> tuple[str, ...]:
        """What the axes of a signal are called: of (n, h) `sample` and `unit`, which is shown as
        `layer2.unit`; statistics over samples have no `sample`."""
        if name.endswith(STATISTICS):
            return ("unit",) if rank == 1 else tuple(f"axis{place}" for place in range(rank))
        return (
            ("sample", "unit")
            if rank == 2
            else ("sample", *(f"axis{place}" for place in range(1, rank)))
        )

    def forward(
        self, params: Params, X: Shaped[Array, "n ..."], tap: Tap = keep
    ) -> Float[Array, "n ..."]:
        """Outputs on a batch."""
        raise unwritten(self, "forward")

    def elsewhere(
        self,
        params: Params,
        X: Shaped[Array, "n ..."],
        among: Shaped[Array, "m ..."],
        tap: Tap = keep,
    ) -> Float[Array, "n ..."]:
        """Outputs where what mixes samples, the mean and variance of a batch norm, is that of the
        inputs `among`, or the running one where such is kept.

        `forward` where nothing mixes them.
        """
        if not self.mixes_samples:
            return self.forward(params, X, tap)
        seen = self.signals(params, among) if self.running_momentum is None else statistics(params)
        return self.forward(
            params,
            X,
            lambda name, value: tap(name, seen[name] if name.endswith(STATISTICS) else value),
        )

    def sample(self, key: Array) -> "Architecture":
        """The architecture as one step sees it, what is `stochastic` of it drawn by this key;
        itself where nothing is."""
        return self

    def role(self, path: str) -> Role:
        """What the parameter array under this path, `layer1.weight`, is: a running statistic is
        in the units of a signal, and steps move it, not gradients."""
        kept = self.running_momentum is not None and path.rpartition(".")[-1] in RUNNING
        return STATISTIC if kept else LEARNED

    def learned(self, params: Params) -> Params:
        """The parameters that gradients move: all but running statistics."""
        if self.running_momentum is None:
            return params
        return {
            name: {leaf: w for leaf, w in layer.items() if self.role(f"{name}.{leaf}").learned}
            for name, layer in params.items()
        }

    def observed(self, params: Params, X: Shaped[Array, "n ..."], update: Params) -> Params:
        """The update of a step on the inputs X, with that of what the network keeps of them in
        place of the rule's own.

        Running statistics r go to (1 - m) r + m s, m the `running_momentum`, s the mean over the
        batch and the variance about it over n - 1, of the weights before the step: what PyTorch's
        BatchNorm does in training.
        """
        momentum = self.running_momentum
        if momentum is None:
            return update
        seen = self.signals(params, X)

        def moved(keys, update, held):
            layer, _, leaf = trees.path_of(keys).rpartition(".")
            if self.role(trees.path_of(keys)).learned:
                return update
            value = seen[f"{layer}.{RUNNING[leaf]}"]
            if leaf == "running_variance":
                count = seen[f"{layer}.pre"].size // value.size
                value = value * (count / (count - 1))
            return jnp.asarray(momentum, held.dtype) * (value - held)

        return jax.tree_util.tree_map_with_path(moved, update, params)

    def check(self, X: Shaped[Array, "n ..."]) -> None:
        """Refuse training inputs, or a batch of them, that it cannot take."""

    def matrix(self, params: Params) -> Float[Array, "k d"]:
        """The end-to-end map W of a network that is linear in its inputs, f = W x."""
        raise unwritten(self, "matrix")

    def gap_known(self, teacher: "Architecture") -> bool:
        """Whether the mean squared distance from this teacher over x ~ N(0, I) is known in closed
        form."""
        return False

    def mean_gap(
        self, params: Params, teacher: "Architecture", theirs: Params, scale: Float[Array, ""]
    ) -> Float[Array, ""]:
        """E |f(x) - scale f*(x)|^2 over x ~ N(0, I), f* the teacher with its parameters `theirs`;
        of a teacher for which `gap_known`."""
        raise unwritten(self, "mean_gap")

    def rate_factors(self, params: Params, family: str = "sgd") -> dict:
        """Factors on the base rate, a tree like params, for `sgd`-like, `adam`-like or
        `spectral` rules."""
        return jax.tree.map(lambda _: 1.0, params)

    def limit(self, d: int, tangent: bool = True) -> tuple:
        """The steps which kernels go through at infinite width, from d inputs to one output
        (`architectures.limits`); with `tangent`, of both kernels."""
        raise refused(
            f"The infinite-width limit of {type(self).__name__}",
            "widths that can grow",
            "none that is known",
            "Use Mlp, DeepLinear or Residual",
        )

    def dense_layers(self, params: Params) -> "dict[str, Sublayer] | None":
        """{layer: what its tangent kernel is made of} where every parameter is a weight or bias
        of a dense layer whose `.pre` is tapped; else None."""
        return None

    def tangent_at(self, params: Params) -> "tuple[Architecture, Params]":
        """The architecture and the parameters whose tangent kernel is this one's here; of a
        tangent those it was taken at."""
        return self, params

    def signals(self, params: Params, X: Shaped[Array, "n ..."]) -> dict[str, Array]:
        """Every named signal of one forward pass."""
        seen = {}

        def note(name, value):
            seen[name] = value
            return value

        self.forward(params, X, note)
        return seen

    def signal_shapes(
        self, params: Params, X: Shaped[Array, "n ..."]
    ) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of every named signal, computing none."""
        return trees.shapes_of(_signals, self, params, X)

    def anchored(self, params: Params) -> "Architecture":
        """The architecture with what it holds of the start's parameters; most hold nothing."""
        return self


def _signals(architecture, params, X):
    return architecture.signals(params, X)


def statistics(params: Params) -> dict[str, Array]:
    """{signal: value} of the running statistics, in place of the batch's own."""
    held = (
        (name, leaf, w)
        for name, layer in params.items()
        for leaf, w in layer.items()
        if leaf in RUNNING
    )
    return {f"{name}.{RUNNING[leaf]}": w for name, leaf, w in held}


def refuse_running(who: str, of: Architecture) -> None:
    """Refuse an architecture that keeps running statistics, where nothing would move them."""
    if of.running_momentum is not None:
        raise refused(
            who,
            "a network in which gradients move everything",
            "running statistics, which steps move",
            "Drop running_momentum",
        )


class Sublayer(NamedTuple):
    """A dense layer z = p W h + q b as its tangent kernel sees it: the signal it reads (None:
    the inputs), p and q, and the factors on the rates of W and b."""

    reads: str | None
    weight: Array | float
    bias: Array | float
    weight_rate: Array | float
    bias_rate: Array | float
