"""Kick: one weight in layer 3 of a deep network is changed, and the gradients flowing through
every other layer change too."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.comparison.divergence import twins
from learnmech.comparison.orders import fitted_order
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.apart import map_of
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.interventions.weights import Perturb
from learnmech.language import trees
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import fork

AT, WEIGHT = 100, "layer3.weight[2,5]"
KICKS = (0.08, 0.02, 0.005, 0.00125)


def _experiment():
    return Experiment(
        Mlp(hidden=(24,) * 17),
        NetworkTeacher(n=64, d=8, k=2),
        GradientDescent(rate=0.05),
        Clock(steps=200, every=1),
    )


def by_the_hessian(system, params, path: str) -> np.ndarray:
    """|(H e)_l| by layer, e = 1 at one weight: the derivative of the gradient along it, one
    Hessian-vector product."""
    name, _, index = path.partition("[")
    where = tuple(int(i) for i in index.rstrip("]").split(","))
    along = jax.tree_util.tree_map_with_path(
        lambda keys, w: (
            jnp.zeros_like(w).at[where].set(1) if trees.path_of(keys) == name else jnp.zeros_like(w)
        ),
        params,
    )
    _, turned = jax.jvp(jax.grad(system.loss), (params,), (along,))
    return np.array([float(trees.norm(layer)) for layer in trees.layers_of(turned).values()])


def _verify(shown):
    parent = shown.record
    said = by_the_hessian(parent.start.system, parent.at(AT).params, WEIGHT)
    seen, errors = [], []
    for size in KICKS:
        kicked = fork(parent, AT, (Perturb(WEIGHT, value=size, at=AT),))
        apart = twins(parent, kicked, range(AT, parent.position + 1) if size == KICKS[0] else [AT])
        after = apart if size == KICKS[0] else after
        seen.append(apart["gradient_distance"].values[0] / size)
        errors.append(float(np.abs(seen[-1] / said - 1).max()))
    order = fitted_order(KICKS, errors)
    before = [
        str(name) for name in after["signal"].values if name.startswith(("layer1.", "layer2."))
    ]
    moved = after["signal_distance"].isel(time=0)
    checks = (
        Check(
            "layers whose gradient changes, of 18",
            float((seen[0] > 0).sum()),
            float(len(said)),
            0.0,
            "every one, by the backward pass or the forward pass",
        ),
        Check(
            "order in the kick of the largest relative error of the Hessian's prediction",
            order.slope,
            1.0,
            0.1,
            "the next order, over a range of 64",
        ),
        Check(
            f"kick {KICKS[-1]:g}: largest relative error over all layers",
            errors[-1],
            0.0,
            2 * errors[0] * KICKS[-1] / KICKS[0],
            "first order, from the largest kick",
        ),
        Check(
            "change of the signals before layer 3",
            float(moved.sel(signal=before).max()),
            0.0,
            0.0,
            "to the bit: nothing flows back",
        ),
        Check(
            "layers whose weights have moved apart in the end",
            float((after["weight_distance"].values[-1] > 0).sum()),
            float(len(said)),
            0.0,
            "every one",
        ),
    )
    return checks, {"said": said, "seen": seen, "errors": errors, "apart": after}


def _draw(shown):
    figure, (left, middle, right) = sheet(1, 3, height=4.2, width=13)
    said, layers = shown.extra["said"], np.arange(1, len(shown.extra["said"]) + 1)
    left.plot(layers, said, color="#333333", label="Hessian predicted")
    for place, (size, seen) in enumerate(zip(KICKS, shown.extra["seen"], strict=True)):
        if place % 3 == 0:
            left.plot(
                layers,
                seen,
                MARKERS[place],
                color=COLORS[place],
                fillstyle="none",
                markersize=9 - place,
                label=f"kick {size:g} measured",
            )
    left.axvline(3, color="#9A9A9A", linewidth=0.8)
    left.set_yscale("log")
    left.set_xlabel("layer (kicked: 3)")
    left.set_ylabel("change of its gradient per unit of kick,\n|dg_l|/|dw| [loss/param²]")
    left.legend()
    errors = shown.extra["errors"]
    middle.loglog(KICKS, errors, "o", color=COLORS[0], fillstyle="none", label="measured")
    middle.loglog(
        KICKS, errors[-1] * np.array(KICKS) / KICKS[-1], color="#333333", label="first order"
    )
    middle.set_xticks(KICKS, [f"{size:g}" for size in KICKS])
    middle.minorticks_off()
    middle.set_xlabel("kick, |dw| [param]")
    middle.set_ylabel("largest relative error of the prediction")
    middle.legend()
    apart = shown.extra["apart"]
    map_of(figure, right, apart["step"].values, apart["weight_distance"], "layer")
    right.set_xlabel("step")
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "One weight kicked in layer 3 of 18 changes the gradient of every layer at once, as the"
        " Hessian says, to first order in the kick"
    ),
    source="Taylor's theorem",
    experiment=_experiment,
    watch=(Loss(),),
    twin={"architecture.hidden": [12] * 17, "clock.steps": 120},
    verify=_verify,
    draw=_draw,
)
