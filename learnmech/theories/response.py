"""Response: what a small kick does to the gradient of every layer, by the Hessian."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.experiment.tables import table
from learnmech.interventions.weights import Noise, Perturb, Push
from learnmech.language import trees
from learnmech.language.quantity import Quantity
from learnmech.rules.descent import GradientDescent
from learnmech.system.landscape import landscape
from learnmech.theories.base import Condition, Limit, Theory, need

ROUGH = ("relu", "leaky-relu")


class HessianResponse(Theory):
    """A kick dw of the weights at the start changes the gradient of layer l by (H dw)_l, to first
    order in the kick.

    |g_l(w + dw) - g_l(w)| = |(H dw)_l| + O(dw^2), H the Hessian of the training loss at the start,
    in float64: every layer's gradient answers, wherever the weight is. `gradient_change` at t = 0,
    where the kick (Perturb, Noise or Push of weights) is the experiment's only event.
    """

    source: ClassVar[str] = "Taylor's theorem"
    predicts: ClassVar[tuple[str, ...]] = ("gradient_change",)
    limits: ClassVar[tuple[Limit, ...]] = (Limit("events.0.value", 1.0),)
    of_events: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-2

    def domain(self, start):
        events = start.experiment.events
        kicks = (
            len(events) == 1
            and isinstance(events[0], (Perturb, Noise, Push))
            and float(events[0].at) == 0
        )
        said = ", ".join(event.name for event in events) or "no event"
        activation = str(getattr(start.experiment.architecture, "activation", "linear"))
        return (
            Condition(
                "one kick of the weights, at the start", said, "Perturb, Noise or Push at 0", kicks
            ),
            Condition(
                "the loss is smooth along the kick: its Hessian is continuous",
                activation,
                f"not {', '.join(ROUGH)}",
                activation.partition(":")[0] not in ROUGH,
            ),
        )

    def predict(self, start, clock=None):
        need(self, start, self.domain(start)[0])
        event = start.experiment.events[0]
        system = landscape(start.system.architecture, start.experiment.loss, start.data, np.float64)
        params = jax.tree.map(jnp.asarray, start.params)
        kicked = event.state(start.system, start.rule, None, start.state).params
        moved = jax.tree.map(
            lambda after, before: np.asarray(after, np.float64) - before, kicked, start.params
        )
        _, turned = jax.jvp(jax.grad(system.loss), (params,), (jax.tree.map(jnp.asarray, moved),))
        layers = trees.layers_of(turned)
        quantity = Quantity(
            "gradient_change",
            ("layer",),
            "loss/param",
            "|(H dw)_l|",
            "change of each layer's gradient",
            (("layer", tuple(layers)),),
        )
        marks = start.marked(clock)
        first = marks._replace(
            times=marks.times[:1], steps=None if marks.steps is None else marks.steps[:1]
        )
        return table(
            (quantity,),
            {"gradient_change": np.stack([trees.norm(layer) for layer in layers.values()])[None]},
            first,
        )

    @classmethod
    def example(cls):
        kick = Perturb("layer2.weight[0,1]", value=1e-3)
        return Experiment(
            Mlp(hidden=(5, 4, 3)),
            Gaussian(n=20, d=3, k=2),
            GradientDescent(rate=0.05),
            Clock(steps=4, every=1),
            events=(kick,),
        )
