"""The edge of chaos: how deep signals and gradients reach at the start, over both phases of tanh
networks."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.base import Drawn, View
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.propagation import Propagation, back_signals, variance
from learnmech.rules.descent import GradientDescent
from learnmech.theories.phases import (
    chi_1,
    contraction,
    critical_line,
    depth_scale,
    edge,
    fixed_correlation,
    fixed_point,
    moments,
)

BIAS = 0.05  # sb^2
SQUARES = (
    0.8,
    1.1,
    1.3,
    1.45,
    1.58,
    1.95,
    2.15,
    2.4,
    2.8,
    3.4,
)  # sw^2, five on either side of the edge
GROUPS = 16  # of three inputs each, orthogonal to all others
ROWS, FACTORS = (
    (0.2, 0.4),
    (0.5, 0.75, 1.3),
)  # sb^2 and, over its value at the edge, sw^2 of the map
LEAST = 4


def _experiment():
    network = Mlp(
        hidden=(500,) * 40,
        activation="tanh",
        bias=True,
        scaling=NTK(weight=edge("tanh", math.sqrt(BIAS)), bias=math.sqrt(BIAS)),
    )
    return Experiment(
        network, Gaussian(n=8, d=2 * GROUPS), GradientDescent(rate=1e-3), Clock(steps=1, every=1)
    )


def _inputs(sw, square, d):
    """Groups (x, x+, x-) whose first pre-activations have the fixed variance, and correlations
    with x close above and below those they go to."""
    sb = math.sqrt(square)
    q, c = fixed_point("tanh", sw, sb), fixed_correlation("tanh", sw, sb)
    wanted = (
        (1 - 1e-3, 1 - 2e-3) if c == 1 else (c + min(0.1, (1 - c) / 2), c - min(0.1, (1 - c) / 2))
    )
    rows = []
    for group in range(GROUPS):
        one, other = np.eye(d)[2 * group : 2 * group + 2]
        rows.append(one)
        rows += [
            (cosine := (target * q - square) / (q - square)) * one
            + math.sqrt(1 - cosine**2) * other
            for target in wanted
        ]
    X = math.sqrt(d * (q - square)) / sw * np.array(rows)
    return Drawn(View(X, np.zeros((len(X), 1))))


@eqx.filter_jit
def _read(system, params):
    """(the difference of the correlations of x with x+ and with x-, mean over groups; squared
    back-signals), layer by layer."""
    signals = system.architecture.signals(params, system.train.X)
    layers = [f"layer{index}" for index in range(1, len(params))]
    apart = []
    for layer in layers:
        z = signals[f"{layer}.pre"]
        units = (z / jnp.linalg.norm(z, axis=1, keepdims=True)).reshape(GROUPS, 3, -1)
        gaps = (
            jnp.sum((units[:, 1:] - units[:, :1]) ** 2, axis=2) / 2
        )  # 1 - c, exact where c is close to 1
        apart.append(jnp.mean(gaps[:, 1] - gaps[:, 0]))
    return jnp.stack(apart), back_signals(system, params, layers)


def _seen(experiment, sw, seeds, square=BIAS):
    """Both over (seed, layer), at this sb^2."""
    given = experiment.with_value("architecture.scaling.weight", sw).with_value(
        "architecture.scaling.bias", math.sqrt(square)
    )
    found, first, samples = [], None, _inputs(sw, square, experiment.data.d)
    for seed in range(seeds):
        start = prepare(given.with_value("seed", seed), samples, first)
        first = first or start
        found.append(_read(start.system, start.state.params))
    return [np.stack(values) for values in zip(*found, strict=True)]


def _slope(values, count, weighted):
    """(slope of ln(mean over seeds) over the first `count` layers, its standard error by leaving
    out each seed)."""

    def fitted(values):
        mean = np.abs(values.mean(axis=0)[:count])
        return np.polyfit(np.arange(count), np.log(mean), 1, w=mean if weighted else None)[0]

    left = np.array([fitted(np.delete(values, seed, 0)) for seed in range(len(values))])
    return fitted(values), math.sqrt((len(left) - 1) * np.mean((left - left.mean()) ** 2))


def _scales(shown, seeds):
    """{of: (rates said, seen, standard errors)}: by how much logarithms change in a layer, of
    correlations and, toward the inputs, of gradients."""
    sb, depth, found = (
        math.sqrt(BIAS),
        len(shown.experiment.architecture.hidden),
        {"correlation": [], "gradient": []},
    )
    for sw in np.sqrt(SQUARES):
        apart, back = _seen(shown.experiment, sw, seeds)
        chaotic = chi_1("tanh", sw, sb) > 1
        scale = depth_scale("tanh", sw, sb)
        # correlations of order one end in the noise of a finite width, small differences near 1 do
        # not: their noise shrinks with them
        count = max(LEAST, min(depth, round(2 * scale))) if chaotic else depth
        found["correlation"].append(
            (math.log(contraction("tanh", sw, sb)), *_slope(apart, count, chaotic))
        )
        found["gradient"].append(
            (math.log(chi_1("tanh", sw, sb)), *_slope(back[:, ::-1], depth, False))
        )
    return {of: np.array(rows).T for of, rows in found.items()}


def _mapped(shown):
    """[(sw^2, sb^2, by how much the logarithm of squared gradients changes in a layer toward the
    inputs)] on a grid, one seed each."""
    depth, found = len(shown.experiment.architecture.hidden), []
    for square in ROWS:
        for factor in FACTORS:
            sw = math.sqrt(factor) * edge("tanh", math.sqrt(square))
            back = _seen(shown.experiment, sw, 1, square)[1][0, ::-1]
            found.append((sw**2, square, np.polyfit(np.arange(depth), np.log(back), 1)[0]))
    return np.array(found)


def _of_relu(experiment, seeds):
    """At sw^2 = 2 without a bias, by how much the logarithm of the variance of relu changes in a
    layer: on average over starts not at all, at any width."""
    changes = {
        "architecture.activation": "relu",
        "architecture.scaling.weight": edge("relu", 0.0),
        "architecture.scaling.bias": 0.0,
    }
    for path, value in changes.items():
        experiment = experiment.with_value(path, value)
    starts, sizes = [prepare(experiment.with_value("seed", seed)) for seed in range(seeds)], []
    for start in starts:
        signals = start.system.architecture.signals(start.state.params, start.system.train.X)
        sizes.append(
            [
                float(variance(signals[f"layer{index}.pre"]))
                for index in range(1, len(start.state.params))
            ]
        )
    slope, bar = _slope(np.array(sizes), len(sizes[0]), False)
    return Check(
        "relu at sw^2 = 2: the change of the logarithm of the variance in a layer",
        slope,
        0.0,
        4 * bar,
        f"4 standard errors over {seeds} seeds",
    )


def _verify(shown):
    width = shown.experiment.architecture.hidden[0]
    seeds, checks = (8 if width >= 500 else 24), []
    rates = _scales(shown, seeds)
    for of, (said, seen, bars) in rates.items():
        for square, one, other, bar in zip(SQUARES, said, seen, bars, strict=True):
            reason = (
                f"4 standard errors of {bar:.1g} over {seeds} seeds, and 1/h for the width: means"
                " are off by at most that much in a layer"
            )
            allowed = (4 * bar + 1 / width) / abs(one)
            checks.append(
                Check(
                    f"{of}s at sw^2 = {square:g}: the change of the logarithm in a layer",
                    other,
                    one,
                    allowed,
                    reason,
                )
            )
    below, above = (rates["gradient"][1:, place] for place in (4, 5))
    crossed = SQUARES[4] + (SQUARES[5] - SQUARES[4]) * below[0] / (below[0] - above[0])
    at, steep = (
        edge("tanh", math.sqrt(BIAS)) ** 2,
        (above[0] - below[0]) / (SQUARES[5] - SQUARES[4]),
    )
    allowed = (4 * max(below[1], above[1]) / steep + 0.02) / at
    reason = (
        "4 standard errors of the two points next to it, and 0.02 for the straight line between"
        " them"
    )
    checks.append(
        Check(
            f"at sb^2 = {BIAS:g}, the sw^2 where gradients neither vanish nor explode",
            crossed,
            at,
            allowed,
            reason,
        )
    )
    mapped = _mapped(shown)
    wrong = sum(
        np.sign(rate) != np.sign(chi_1("tanh", math.sqrt(sw), math.sqrt(sb)) - 1)
        for sw, sb, rate in mapped
    )
    claim = (
        f"of {len(mapped)} networks on either side of the edge, those whose gradients go the"
        " wrong way"
    )
    checks.append(
        Check(
            claim,
            float(wrong),
            0.0,
            0.0,
            "they vanish or explode by far more over the depth than they scatter",
        )
    )
    return (*checks, _of_relu(shown.experiment, seeds)), {"rates": rates, "mapped": mapped}


def _phases(axis, shown):
    squares, biases, q = (
        np.linspace(0.5, 4.0, 141),
        np.linspace(0.0, 0.65, 81),
        np.geomspace(1e-3, 12.0, 1200),
    )
    there, chi = moments("tanh", q), np.empty((81, 141))
    for column, square in enumerate(squares):
        sb = q - square * np.asarray(there.square)
        first = max(0, np.flatnonzero(sb < 0)[-1] if (sb < 0).any() else 0)
        chi[:, column] = square * np.interp(biases, sb[first:], np.asarray(there.slope)[first:])
    lines = axis.contour(
        squares, biases, chi, levels=(0.5, 0.7, 0.85, 1.15, 1.3), colors="#8A8A8A", linewidths=0.8
    )
    axis.clabel(
        lines,
        fmt="χ₁ = %g",
        fontsize=8,
        manual=[(0.95, 0.35), (1.4, 0.3), (1.9, 0.3), (3.2, 0.3), (3.75, 0.1)],
    )
    sw, sb = critical_line("tanh", np.geomspace(1e-3, 8.0, 300))
    axis.plot(
        np.asarray(sw) ** 2,
        np.asarray(sb) ** 2,
        color="#333333",
        linewidth=2.2,
        label="χ₁ = 1, predicted",
    )
    seen = shown.extra["rates"]["gradient"][1]
    points = np.concatenate(
        [np.column_stack([SQUARES, np.full(len(SQUARES), BIAS), seen]), shown.extra["mapped"]]
    )
    for place, (name, side) in enumerate(
        (("vanish", points[:, 2] < 0), ("explode", points[:, 2] > 0))
    ):
        axis.plot(
            *points[side, :2].T,
            MARKERS[place],
            color=COLORS[place],
            markersize=6,
            label=f"gradients {name}, measured",
        )
    axis.text(
        0.62,
        0.13,
        "ordered",
        fontsize=13,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    axis.text(3.2, 0.13, "chaotic", fontsize=13)
    axis.set(
        xlim=(0.5, 4.0),
        ylim=(0.0, 0.65),
        xlabel="variance of weights, σ_w² [1]",
        ylabel="variance of biases, σ_b² [1]",
    )
    axis.legend(loc="upper left", framealpha=1.0, frameon=True, edgecolor="none")


def _draw(shown):
    figure, (map_of, depths) = sheet(columns=2, height=4.6, width=11.5)
    _phases(map_of, shown)
    sb, at = math.sqrt(BIAS), edge("tanh", math.sqrt(BIAS)) ** 2
    for place, (of, (_, seen, bars)) in enumerate(shown.extra["rates"].items()):
        for side in (at - np.geomspace(at - 0.7, 0.02, 18), at + np.geomspace(0.02, 3.7 - at, 18)):
            said = [depth_scale("tanh", math.sqrt(square), sb, of) for square in side]
            depths.plot(
                side,
                said,
                linestyle=DASHES[place],
                color=COLORS[place],
                label=f"{of}s, predicted" if side[0] < at else None,
            )
        depths.errorbar(
            SQUARES,
            1 / np.abs(seen),
            bars / seen**2,
            fmt=MARKERS[place],
            color=COLORS[place],
            markersize=5,
            capsize=2,
            label=f"{of}s, measured",
        )
    depths.axvline(at, color="#333333", linewidth=1.0)
    depths.set(
        yscale="log",
        xlabel=f"variance of weights, σ_w² [1], at σ_b² = {BIAS:g}",
        ylabel="depth scale, ξ [layers]",
        ylim=(1, 150),
    )
    depths.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Signals and gradients reach exp(-layers/ξ) deep into a network at its start; ξ diverges at"
        " the edge of chaos, χ₁ = 1"
    ),
    source="Poole et al. 2016; Schoenholz et al. 2017",
    experiment=_experiment,
    watch=(Propagation(),),
    twin={"architecture.hidden": [100] * 16},
    verify=_verify,
    draw=_draw,
)
