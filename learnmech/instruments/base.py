"""What every instrument promises, and the moment it looks at."""

import equinox as eqx
from jaxtyping import Array, Float

from learnmech.parts import Part, structure
from learnmech.quantity import Quantity
from learnmech.rules.base import Rule
from learnmech.state import State
from learnmech.system import System
from learnmech.trees import Params


class Moment(eqx.Module):
    """One instant: where the learner stands, and the loss, gradient and update which the step from here itself computes.

    `loss` and `gradient` are those of the landscape the step sees (a batch for SGD); `update` is what the step adds to the parameters
    (for flows the velocity); `origin` the parameters at t = 0.
    """

    system: System
    state: State
    rule: Rule
    origin: Params
    loss: Float[Array, ""]
    gradient: Params
    update: Params


class Instrument(Part):
    """Moment -> named quantities, without memory. Subclasses give `quantities` and `read`; `every` k reads at each k-th mark of the clock."""

    every: int = structure(1, at_least=1, kw_only=True)

    def quantities(self, system: System, params: Params) -> tuple[Quantity, ...]:
        """What is read on this system; params serve for their shapes alone."""
        raise NotImplementedError

    def read(self, moment: Moment) -> dict[str, Array]:
        """{quantity name: array of its axes' shape}."""
        raise NotImplementedError

    def check(self, system: System) -> None:
        """Refuse a system this instrument cannot look at."""
