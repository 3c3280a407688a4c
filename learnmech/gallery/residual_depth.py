"""Depth of residual networks: how signals and gradients grow with the number of blocks, by what
every branch is multiplied by."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.residual import Residual
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.propagation import Propagation, back_signals, variance
from learnmech.rules.descent import GradientDescent
from learnmech.theories.phases import moments
from learnmech.theories.signals import SignalPropagation

POWERS = {0.0: "branches times 1", 0.5: "times 1/√L", 1.0: "times 1/L"}
SEEDS, PARTS = 12, 64


def _experiment():
    network = Residual(width=512, blocks=64, activation="erf", scaling=NTK(weight=1.0))
    return Experiment(
        network, Gaussian(n=8, d=16), GradientDescent(rate=1e-3), Clock(steps=1, every=1)
    )


@eqx.filter_jit
def _read(system, params):
    """Over blocks: mean squares of the branches' pre-activations, which with weights of variance
    1/h are those of the stream, and squared back-signals."""
    signals = system.architecture.signals(params, system.train.X)
    layers = [f"layer{index}" for index in range(2, len(params))]
    return jnp.stack([variance(signals[f"{layer}.pre"]) for layer in layers]), back_signals(
        system, params, layers
    )


def _grown(shown, blocks, power):
    """(said, seen with seeds first) of mean squares and of squared back-signals, block by block,
    over the first block's, and for what comes back the last's."""
    network = shown.experiment.with_value("architecture.blocks", blocks).with_value(
        "architecture.depth_power", power
    )
    first, found = None, []
    for seed in range(SEEDS):
        start = prepare(network.with_value("seed", seed), like=first)
        first = first or start
        found.append(_read(start.system, start.state.params))
    sizes, back = (np.stack(values) for values in zip(*found, strict=True))
    said = SignalPropagation().predict(first)
    q, g = said["preactivation_variance"].values[0, 1:], said["back_signal_ratio"].values[0, 1:]
    return {
        "signals": (q / q[0], sizes / sizes[:, :1]),
        "gradients": (g / g[-1], back / back[:, -1:]),
    }


def _limit(shown):
    """(signals, gradients) from the first block to the last at branches times 1/sqrt L as L ->
    infinity: dq/dr = E s(sqrt(q) z)^2, d ln g/dr = -E s'^2 for r from 0 to 1, by Runge-Kutta
    from every input's own q; a mean over inputs, of g with the share E s'^2 that it meets."""
    X = np.asarray(prepare(shown.experiment).data.train.X)
    q = (X**2).mean(axis=1)

    def velocity(q):
        there = moments("erf", q)
        return np.stack([there.square, there.slope])

    courses = [np.stack([q, np.zeros_like(q)])]
    for _ in range(PARTS):
        y, step = courses[-1], 1 / PARTS
        slopes = [velocity(y[0])]
        slopes += [velocity(y[0] + step / 2 * slopes[0][0])]
        slopes += [velocity(y[0] + step / 2 * slopes[1][0])]
        slopes += [velocity(y[0] + step * slopes[2][0])]
        courses.append(y + step / 6 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3]))
    q, logs = np.stack(courses, axis=1)
    met = np.array([velocity(row)[1] for row in (q[0], q[-1])])
    return float(q[-1].mean() / q[0].mean()), float(
        (met[0] * np.exp(logs[-1])).mean() / met[1].mean()
    )


def _verify(shown):
    width, deepest = shown.experiment.architecture.width, shown.experiment.architecture.blocks
    depths = [deepest >> by for by in (3, 2, 1, 0) if deepest >> by >= 4]
    grown = {(blocks, power): _grown(shown, blocks, power) for blocks in depths for power in POWERS}
    checks, limits = [], dict(zip(("signals", "gradients"), _limit(shown), strict=True))
    for (blocks, power), found in grown.items():
        for of, (said, seen) in found.items():
            end = -1 if of == "signals" else 0
            mean, bar = seen.mean(0)[end], seen.std(0, ddof=1)[end] / math.sqrt(SEEDS)
            allowed = (4 * bar + blocks / width * said[end]) / said[end]
            reason = f"4 standard errors over {SEEDS} seeds, and 1/h for each block of finite width"
            checks.append(
                Check(
                    f"{blocks} blocks, {POWERS[power]}: by how much {of} grow, squared",
                    float(mean),
                    float(said[end]),
                    float(allowed),
                    reason,
                )
            )
            if blocks == deepest and power == 0.5:
                reason = "as above, and 2/L for the blocks that make up for a continuum"
                claim = (
                    f"{blocks} blocks, {POWERS[power]}: {of} against their limit as L goes to"
                    " infinity"
                )
                checks.append(
                    Check(claim, float(mean), limits[of], float(allowed) + 2 / blocks, reason)
                )
    return tuple(checks), {"grown": grown, "depths": depths, "limits": limits}


def _draw(shown):
    figure, axes = sheet(1, 3, height=4.4, width=13.0)
    grown, depths = shown.extra["grown"], shown.extra["depths"]
    for place, (power, name) in enumerate(POWERS.items()):
        look = {
            "color": COLORS[place],
            "marker": MARKERS[place],
            "linestyle": "none",
            "markersize": 5,
        }
        line = {"color": COLORS[place], "linestyle": DASHES[place]}
        for axis, of in zip(axes[:2], ("signals", "gradients"), strict=True):
            said, seen = grown[depths[-1], power][of]
            blocks = np.arange(1, len(said) + 1)
            some = np.unique(np.linspace(0, len(said) - 1, 16).astype(int))
            axis.plot(blocks, said, label=f"{name}, predicted" if of == "signals" else None, **line)
            axis.plot(
                blocks[some],
                seen.mean(0)[some],
                label=f"{name}, measured" if of == "signals" else None,
                **look,
            )
        for of, end, fill in (("signals", -1, "full"), ("gradients", 0, "none")):
            axes[2].plot(depths, [grown[L, power][of][0][end] for L in depths], **line)
            seen = [grown[L, power][of][1].mean(0)[end] for L in depths]
            axes[2].plot(
                depths,
                seen,
                fillstyle=fill,
                label=f"{of}, measured" if place == 0 else None,
                **look,
            )
    for axis, what in zip(
        axes,
        (
            "mean square of the stream,\nover the first block's [1]",
            "squared gradient at a block,\nover the last's [1]",
        ),
        strict=False,
    ):
        axis.set(xlabel=f"block [1], of L = {depths[-1]}", ylabel=what, yscale="log")
    axes[2].set(
        xlabel="number of blocks, L [1]",
        ylabel="growth over all blocks, squared [1]",
        xscale="log",
        yscale="log",
    )
    axes[2].set_xticks(depths, [str(L) for L in depths])
    axes[2].minorticks_off()
    axes[0].legend(fontsize=8.5)
    axes[2].legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Residual networks: signals and gradients grow with depth where branches count whole, have"
        " a limit at 1/√L, and stand still at 1/L"
    ),
    source="Yang & Schoenholz 2017; Hayou et al. 2021",
    experiment=_experiment,
    watch=(Propagation(),),
    verify=_verify,
    draw=_draw,
    twin={"architecture.width": 256, "architecture.blocks": 8},
)
