"""From lazy to rich: one dial, and what moves on the way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.dialed import Dialed
from learnmech.architectures.linearized import Linearized
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.kernels import KernelDrift
from learnmech.instruments.laziness import FeatureMovement, LinearizationError
from learnmech.instruments.losses import Loss
from learnmech.instruments.weights import Distance
from learnmech.language.trees import flat_of, shaped
from learnmech.rules.flow import GradientFlow
from learnmech.runs.running import run
from learnmech.sweeps import sweep

ALPHAS = tuple(float(a) for a in np.geomspace(0.1, 1000.0, 9))
LAZY = 5  # the first of those from which on slopes are fitted, alpha = 32
SHOWN = (0, 1, 2, 8)
SEEDS = 4
MEASURES = {
    "kernel_drift": "kernel, |K - K_0|/|K_0|",
    "feature_movement": "features, |h - h_0|/|h_0|",
    "relative_distance": "weights, |W - W_0|/|W_0|",
    "linearization_error": "outputs off their tangent, |f - f_lin|/|f - f_0|",
}


def _experiment():
    network = Dialed(Mlp(hidden=(64,), scaling=NTK()), alpha=1.0)
    return Experiment(
        network,
        Gaussian(n=20, d=10, k=1),
        GradientFlow(rtol=1e-7, atol=1e-9),
        Clock(time=60.0, marks=31),
    )


def _kernel(system, params):
    """The tangent kernel JJ' of one output on the training inputs."""
    J = jax.jacobian(lambda at: system.outputs(at, system.train.X)[:, 0])(params)
    return sum(jnp.einsum("i...,j...->ij", slope, slope) for slope in jax.tree.leaves(J))


def _said(start, went):
    """The measures to first order in 1/alpha, times alpha: derivatives along the straight way
    which the tangent goes."""
    system, origin = start.system, jnp.asarray(flat_of(start.params))

    def at(share):
        return shaped(origin + share * went, start.params)

    def velocity(share):
        return jax.jvp(lambda s: system.outputs(at(s), system.train.X), (share,), (1.0,))[1]

    def relative(measured):
        value, slope = jax.jvp(measured, (0.0,), (1.0,))
        return float(jnp.linalg.norm(slope) / jnp.linalg.norm(value))

    return {
        "kernel_drift": relative(lambda share: _kernel(system, at(share))),
        "feature_movement": relative(
            lambda share: system.architecture.signals(at(share), system.train.X)["layer1.post"]
        ),
        "relative_distance": relative(lambda share: at(share)["layer1"]["weight"]),
        "linearization_error": relative(velocity) / 2,  # |f''/2| over |f'|
    }


def _verify(shown):
    plain = shown.experiment.with_value("architecture.alpha", 1.0)
    grid = sweep(plain, {"architecture.alpha": ALPHAS}, SEEDS, WATCH)
    tangents = [
        run(
            dataclasses.replace(
                plain.with_value("seed", seed), architecture=Linearized(plain.architecture)
            )
        )
        for seed in range(SEEDS)
    ]
    starts = [prepare(plain.with_value("seed", seed)) for seed in range(SEEDS)]
    said = [
        _said(start, flat_of(tangent.params) - flat_of(start.params))
        for start, tangent in zip(starts, tangents, strict=True)
    ]
    ends = {name: grid[name].isel(time=-1).values for name in MEASURES}
    seen = {
        name: end[..., 0] if end.ndim == 3 else end for name, end in ends.items()
    }  # of the first layer where there are layers
    said = {name: np.array([one[name] for one in said]) for name in MEASURES}
    checks, lazy = [], np.array(ALPHAS[LAZY:])
    for name, meaning in MEASURES.items():
        order = fitted_order(lazy, seen[name][LAZY:].mean(axis=1))
        reason = (
            f"alpha from {lazy[0]:.2g} on, where the next order is a share 1/alpha of this one and"
            f" falls; standard error {order.standard_error:.1g}"
        )
        checks.append(
            Check(f"{meaning}: the power of alpha it goes as", order.slope, -1.0, 0.01, reason)
        )
        worst = np.abs(seen[name][-1] * ALPHAS[-1] / said[name] - 1).max()
        checks.append(
            Check(
                f"{meaning}: first order at alpha = {ALPHAS[-1]:g}, every seed, relative error",
                worst,
                0.0,
                0.01,
                "the next order is 1/alpha of it",
            )
        )
    lost = np.stack([one["loss"].values for one in tangents])
    off = max(relative_error(grid["loss"].values[-1, seed], lost[seed])[0] for seed in range(SEEDS))
    checks.append(
        Check(
            f"loss at alpha = {ALPHAS[-1]:g} against the tangent's, relative to its scale",
            off,
            0.0,
            0.01,
            "they part at order 1/alpha",
        )
    )
    rich = float(seen["kernel_drift"][0].min())
    checks.append(
        Check(
            f"kernel drift at alpha = {ALPHAS[0]:g}, the least of the seeds",
            rich,
            1.0,
            0.0,
            "rich: the kernel changes by more than itself",
            "above",
        )
    )
    return tuple(checks), {
        "seen": seen,
        "said": said,
        "times": grid["time"].values,
        "loss": grid["loss"].values[:, 0],
        "tangent": lost[0],
    }


def _draw(shown):
    figure, (moves, losses) = sheet(columns=2, height=4.6, width=11.5)
    alphas, extra = np.array(ALPHAS), shown.extra
    for place, (name, meaning) in enumerate(MEASURES.items()):
        seen, said = extra["seen"][name], extra["said"][name].mean()
        far = alphas[alphas * 1.01 > said]
        moves.plot(far, said / far, linestyle=DASHES[place], color=COLORS[place])
        spread = seen.std(axis=1, ddof=1) / np.sqrt(SEEDS)
        moves.errorbar(
            alphas,
            seen.mean(axis=1),
            spread,
            fmt=MARKERS[place],
            color=COLORS[place],
            markersize=5,
            label=meaning,
        )
    moves.set(
        xscale="log",
        yscale="log",
        xlabel="multiplier of the outputs, α [1]",
        ylabel="relative change by the end [1]",
    )
    moves.legend(title="measured; lines: first order in 1/α, predicted", loc="upper right")
    losses.plot(
        extra["times"],
        extra["tangent"],
        color="#333333",
        linewidth=1.2,
        label="the tangent (α → ∞), predicted",
    )
    for place, row in enumerate(SHOWN):
        losses.plot(
            extra["times"],
            extra["loss"][row],
            MARKERS[place],
            color=COLORS[place],
            markersize=4.5,
            label=f"α = {round(ALPHAS[row], 3):g}, measured",
        )
    losses.set(yscale="log", xlabel=TIME, ylabel="training loss, L [loss]")
    losses.legend()
    return titled(figure, shown.exhibit.claim)


WATCH = (Loss(), KernelDrift(), FeatureMovement(), Distance(), LinearizationError())

exhibit = Exhibit(
    claim=(
        "Multiplied outputs make a network lazy: what moves inside it moves as 1/α, and at small α"
        " its kernel changes at order one"
    ),
    source="Chizat et al. 2019",
    experiment=_experiment,
    watch=WATCH,
    twin={"architecture.of.hidden": [24], "data.n": 10, "clock.marks": 13},
    verify=_verify,
    draw=_draw,
)
