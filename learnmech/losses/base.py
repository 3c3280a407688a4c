"""What every loss promises: a price on outputs, a price on parameters, and the targets it has a
price for."""

from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from learnmech.errors import refused, unwritten
from learnmech.language import trees
from learnmech.language.parts import Knob, Part, knob, structure
from learnmech.language.trees import Array

CONSTANTS = {
    "half-mean": lambda n: 0.5 / n,
    "mean": lambda n: 1.0 / n,
    "half-sum": lambda n: 0.5,
    "sum": lambda n: 1.0,
}


class Loss(Part):
    """A price on outputs, averaged or summed over samples, plus a price on parameters.

    Outputs are (n, ..., k), their last axis that of one answer; targets are alike, or (n, ...) ids
    where the loss `takes_ids`.
    """

    takes_ids: ClassVar[bool] = False

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Which knobs one has is for its kind to say: of what may be any kind a checker lets
            every name pass."""

    @property
    def is_mean(self) -> bool:
        """Whether it is averaged over samples, and so over the entries of a target where it has
        several."""
        return False

    @property
    def additive(self) -> bool:
        """Whether that of many samples is the sum (where it `is_mean`, the mean) of that of each,
        so that they may be priced in parts."""
        return False

    def value(
        self, outputs: Float[Array, "n ..."], Y: Shaped[Array, "n ..."], weight: Array | None = None
    ) -> Float[Array, ""]:
        """The price of these outputs; a weight is (n,) for whole samples, (n, ...) for the
        entries of a target, or of the shape of the prices."""
        raise unwritten(self, "value")

    def penalty(self, params: trees.Params) -> Float[Array, ""] | float:
        """The price of these parameters."""
        return 0.0

    def check(self, Y: Shaped[Array, "n ..."], side: str = "train") -> None:
        """Refuse targets of the train or test side that this loss has no price for."""

    def formula(self, n: int) -> str:
        """The price of n samples in a line, with the value of its constant."""
        return repr(self)


class Scaled(Loss):
    """c sum over samples and outputs of weight times price, + (ridge/2)|params|^2; subclasses give
    `prices`, and the price in `words`.

    c = 1/(2n) for `half-mean`, 1/n for `mean`, 1/2 for `half-sum`, 1 for `sum`; n counts the
    samples of the batch in a batch. A ridge of None costs nothing, not even the sum.
    """

    words: ClassVar[str]
    scaling: str = structure(
        default="mean", choices=("mean", "sum"), meaning="constant c: of `mean` 1/n, of `sum` 1"
    )
    ridge: Knob | None = knob(
        default=None,
        at_least=0,
        meaning="rho in (rho/2)|params|^2, in loss/param^2; unset it costs nothing",
    )

    def constant(self, n: int) -> float:
        """c for n samples."""
        return CONSTANTS[self.scaling](n)

    @property
    def is_mean(self):
        return self.scaling in ("mean", "half-mean")

    @property
    def additive(self):
        return type(self).value is Scaled.value

    def prices(
        self, outputs: Float[Array, "n ..."], Y: Shaped[Array, "n ..."]
    ) -> Float[Array, "n ..."]:
        """What each output of each sample costs, in units of c; of ids what each entry of a
        target does."""
        raise unwritten(self, "prices")

    def value(self, outputs, Y, weight=None):
        prices = self.prices(outputs, Y)
        if weight is not None:
            prices = jnp.expand_dims(weight, tuple(range(weight.ndim, prices.ndim))) * prices
        return self.constant(outputs.shape[0]) * jnp.sum(prices)

    def penalty(self, params):
        return 0.0 if self.ridge is None else 0.5 * self.ridge * trees.dot(params, params)

    def formula(self, n):
        return f"loss = {self.words}, c = {self.constant(n):.6g} ({self.scaling}, n = {n})"


def refuse_where(
    wrong: np.ndarray, who: str, what: str, Y: Shaped[Array, "n ..."], side: str, remedy: str
) -> None:
    """Refuse the first row of targets that is marked as wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        shown = " ".join(f"{value:.6g}" for value in np.asarray(Y)[rows[0]][:10])
        raise refused(who, what, f"[{shown}] in row {rows[0]} of the {side} targets", remedy)
