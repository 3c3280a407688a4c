"""The tangent kernel at the start: chance at any width, the same for every start at infinite
width."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import Order, fitted_order
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.kernels import InfiniteKernel
from learnmech.kernels.empirical import traced_kernel
from learnmech.kernels.infinite import kernel
from learnmech.rules.descent import GradientDescent

SHARES, SEEDS, NODES = (32, 16, 8, 4, 2, 1), 32, 100
CIRCLE = np.linspace(-np.pi, np.pi, 49)
DRAWN, LINES = (32, 1), 6


class Seen(NamedTuple):
    """One network over widths: how far its kernels are from the limit, in all (widths, seeds)
    and on average over the seeds (widths)."""

    order: Order
    of_mean: np.ndarray


def _experiment():
    network = Mlp(hidden=(2048,), activation="tanh", scaling=NTK(weight=1.5))
    return Experiment(network, Gaussian(n=8, d=6, k=1), GradientDescent(rate=0.1), Clock(steps=1))


def _networks(experiment):
    """The experiment's own network with one hidden layer, and one with three of relu."""
    width = experiment.architecture.hidden[0]
    deep = dataclasses.replace(
        experiment.architecture, hidden=(width,) * 3, activation="relu", scaling=NTK(weight=2**0.5)
    )
    return {
        "tanh, 1 hidden layer": experiment,
        "relu, 3 hidden layers": dataclasses.replace(experiment, architecture=deep),
    }


def _starts(experiment, width, seeds):
    first = None
    for seed in range(seeds):
        start = prepare(
            experiment.with_value("architecture.width", width).with_value("seed", seed), like=first
        )
        first = start if first is None else first
        yield start


def _seen(experiment, widths):
    """Kernels at the start against the limit."""
    off, of_mean = np.empty((len(widths), SEEDS)), np.empty(len(widths))
    limit = kernel(experiment.architecture, prepare(experiment).data.train.X, get="ntk")
    for place, width in enumerate(widths):
        kernels = [
            np.asarray(traced_kernel(one.system.architecture, one.params, one.system.train.X))
            for one in _starts(experiment, width, SEEDS)
        ]
        off[place], of_mean[place] = (
            np.linalg.norm(k - limit, axis=(-2, -1)) / np.linalg.norm(limit)
            for k in (np.stack(kernels), np.mean(kernels, axis=0))
        )
    return Seen(fitted_order(widths, off), of_mean)


def _one_unit(experiment):
    """(mean T, C) of one hidden layer of tanh, from what one unit adds to h T: w^2 (s s' + a^2 K
    s_u s_v) with a of N(0, 1) and (u, v) of N(0, K).

    T is the mean of h such terms, all drawn alike, so that E|T - T_inf|_F^2 = sum of their
    variances/h, C^2 |T_inf|_F^2/h, exactly at every width.
    """
    X, w2 = prepare(experiment).data.train.X, float(experiment.architecture.scaling.weight) ** 2
    K = w2 * X @ X.T / X.shape[1]
    z, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = np.outer(weights, weights) / (2 * np.pi)
    one, two = (
        side[..., None, None]
        for side in (np.sqrt(np.diag(K))[:, None], K / np.sqrt(np.diag(K))[:, None])
    )
    rest = np.sqrt(np.maximum(np.diag(K) - (K**2) / np.diag(K)[:, None], 0))[..., None, None]
    u, v = one * z[:, None], two * z[:, None] + rest * z
    values, slopes = np.tanh(u) * np.tanh(v), (1 - np.tanh(u) ** 2) * (1 - np.tanh(v) ** 2)

    def expected(of):
        return np.sum(weights * of, axis=(-2, -1))

    mean = w2 * (expected(values) + K * expected(slopes))
    square = w2**2 * (
        expected(values**2) + 2 * K * expected(values * slopes) + 3 * K**2 * expected(slopes**2)
    )
    return mean, float(np.sqrt(np.sum(square - mean**2)) / np.linalg.norm(mean))


def _checks(name, seen):
    reason = (
        f"four standard errors of {seen.order.standard_error:.1g} over {SEEDS} seeds; the next"
        " order is 1/h of it"
    )
    yield Check(
        f"{name}: distance from the limit as h^p, p",
        seen.order.slope,
        -0.5,
        4 * seen.order.standard_error / 0.5,
        reason,
    )
    shrunk = float((seen.of_mean / seen.order.errors).max())
    reason = (
        f"errors are those of chance, of which the mean over {SEEDS} keeps 1/sqrt({SEEDS}) ="
        f" {SEEDS**-0.5:.2g}; a bias would stay"
    )
    yield Check(
        f"{name}: distance of the mean kernel over that of one, the largest over widths",
        shrunk,
        0.5,
        0.0,
        reason,
        "below",
    )


def _circle(experiment, widths):
    """(angles, limit, {width: kernels by seed}) between a point on a circle and the others, over
    the limit's value at the point itself."""
    d = prepare(experiment).data.train.X.shape[1]
    X = np.zeros((len(CIRCLE), d))
    X[:, 0], X[:, 1] = np.sqrt(d) * np.cos(CIRCLE), np.sqrt(d) * np.sin(CIRCLE)
    point = X[len(X) // 2][None]
    limit = kernel(experiment.architecture, point, X, get="ntk")[0]
    seen = {}
    for width in widths:
        starts = _starts(experiment, width, LINES)
        kernels = [
            traced_kernel(one.system.architecture, one.params, jnp.asarray(point), jnp.asarray(X))[
                0
            ]
            for one in starts
        ]
        seen[width] = np.stack(kernels) / limit.max()
    return limit / limit.max(), seen


def _verify(shown):
    widest = shown.experiment.architecture.hidden[0]
    widths, checks, seen = [widest // share for share in SHARES], [], {}
    for name, experiment in _networks(shown.experiment).items():
        seen[name] = _seen(experiment, widths)
        checks += _checks(name, seen[name])
    mean, size = _one_unit(shown.experiment)
    own = next(iter(seen.values())).order
    squares = own.samples**2 * own.values[:, None] / size**2
    spread = float(squares.std(ddof=1) / np.sqrt(squares.size))
    claim = (
        "tanh, 1 hidden layer: mean square of the distance over C^2/h, C from the variance of one"
        " unit's share"
    )
    checks.append(
        Check(
            claim,
            float(squares.mean()),
            1.0,
            4 * spread,
            f"four standard errors over {squares.size} draws, {SEEDS} at each width",
        )
    )
    limit = kernel(shown.experiment.architecture, prepare(shown.experiment).data.train.X, get="ntk")
    off = float(np.linalg.norm(mean - limit) / np.linalg.norm(limit))
    reason = f"what {NODES} nodes of Gauss-Hermite quadrature leave of tanh at this variance"
    checks.append(
        Check(
            "the mean of one unit's share is the infinite kernel, relative distance",
            off,
            0.0,
            1e-4,
            reason,
        )
    )
    read = float(shown.record["off_infinite_kernel"].values[0]) / float(own.samples[-1, 0])
    reason = "the same kernels in another program; its Hermite series ends at 1e-12"
    checks.append(
        Check(
            "the instrument's reading over the distance computed here, at the start",
            read,
            1.0,
            1e-8,
            reason,
        )
    )
    return tuple(checks), {
        "seen": seen,
        "size": size,
        "circle": _circle(shown.experiment, [widest // share for share in DRAWN]),
    }


def _draw(shown):
    figure, (off, around) = sheet(columns=2, height=4.6, width=11.5)
    for place, (name, one) in enumerate(shown.extra["seen"].items()):
        order, color = one.order, COLORS[place]
        middle = (
            shown.extra["size"]
            if place == 0
            else np.exp(np.mean(np.log(order.errors * np.sqrt(order.values))))
        )
        words = "C/√h, predicted from one unit" if place == 0 else "slope -1/2, predicted"
        off.plot(
            order.values,
            middle / np.sqrt(order.values),
            linestyle=DASHES[place],
            color=color,
            label=f"{name}: {words}",
        )
        named = f"of one start, slope {order.slope:.3f} ± {order.standard_error:.3f}, measured"
        off.errorbar(order.values, order.errors, order.bars, fmt="none", color=color, capsize=3)
        off.plot(order.values, order.errors, MARKERS[place], color=color, markersize=6, label=named)
        off.plot(
            order.values,
            one.of_mean,
            MARKERS[place],
            color=color,
            fillstyle="none",
            markersize=6,
            label=f"of the mean over {SEEDS} starts, measured",
        )
    off.set(
        xscale="log",
        yscale="log",
        xlabel="width, h [units]",
        ylabel="distance from the limit, |T - T∞|/|T∞| [1]",
    )
    off.set_xticks(order.values, [f"{int(h)}" for h in order.values])
    off.xaxis.minorticks_off()
    low, high = off.get_ylim()
    off.set_ylim(low, high * 25)
    off.legend(loc="upper right", fontsize=8.5)
    limit, seen = shown.extra["circle"]
    for place, (width, lines) in enumerate(seen.items()):
        named = [f"h = {width}, {LINES} starts, measured", *[None] * (LINES - 1)]
        around.plot(
            CIRCLE[::2],
            lines.T[::2],
            MARKERS[1 - place],
            color=COLORS[1 - place],
            fillstyle="none",
            markersize=3.5,
            label=named,
        )
    around.plot(CIRCLE, limit, color="#333333", linewidth=1.8, zorder=4, label="h = ∞, predicted")
    around.set(
        xlabel="angle between inputs on a circle [rad]",
        ylabel="kernel over its largest at h = ∞ [1]",
    )
    around.legend(loc="lower center", fontsize=9)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "At the start the tangent kernel scatters about that of infinite width as h^-1/2, by as"
        " much as one unit's share says"
    ),
    source="Jacot et al. 2018; Lee et al. 2019",
    experiment=_experiment,
    watch=(InfiniteKernel(),),
    twin={"architecture.hidden": (512,)},
    verify=_verify,
    draw=_draw,
)
