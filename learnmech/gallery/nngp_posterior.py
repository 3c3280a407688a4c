"""The NNGP posterior: what wide random networks are at the start, and what they become when
their readouts alone are trained."""

import jax
import numpy as np

from learnmech.activations.functions import activation
from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, stream_of
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.instruments.losses import Outputs
from learnmech.interventions.freezing import Freeze
from learnmech.kernels import decay
from learnmech.kernels.empirical import tangent_kernel
from learnmech.kernels.infinite import kernel, variances
from learnmech.kernels.learner import KernelLearner
from learnmech.kernels.posterior import posterior
from learnmech.rules.descent import HeavyBall
from learnmech.theories.base import constant

NETWORKS, DRAWN_AT_ONCE = 400, 50
NARROW, MANY, PARTS = (2, 4, 8, 16), 200_000, 40
LARGEST = 4.5
CHANCE = (
    f"standard errors over {NETWORKS} networks: the largest of some hundred draws of a normal"
    " variable stays below"
)


def _experiment():
    teacher = Mlp(hidden=(16,), bias=True, scaling=NTK(weight=3.0, bias=2.0))
    network = Mlp(hidden=(2048,), activation="erf", bias=True, scaling=NTK(weight=1.5, bias=0.5))
    data = NetworkTeacher(teacher, n=5, d=1, test=81, seed=136)
    return Experiment(
        network,
        data,
        HeavyBall(rate=0.1, momentum=0.9),
        Clock(steps=400, marks=41),
        events=(Freeze("layer1"),),
    )


def _drawn(architecture, rng, count, d):
    """The parameters of so many networks; in the ntk scaling every entry is N(0, 1)."""
    return jax.tree.map(
        lambda leaf: rng.standard_normal((count, *leaf.shape)), architecture.init(rng, d, 1)
    )


def _readout(architecture, params, X):
    """The kernel in which the last layer alone moves the outputs, f = a.phi/sqrt(h) + b: also
    the covariance of f over the draws of that layer."""
    return tangent_kernel(architecture, params, X, by_layer=True)[list(params)[-1]]


def _networks(experiment, X):
    """Outputs at the start (networks, n) and readout kernels (networks, n, n) of networks drawn
    at random."""
    architecture, rng = experiment.architecture, stream_of(experiment.seed, "networks")
    seen = jax.jit(
        jax.vmap(
            lambda params: (
                architecture.forward(params, X)[:, 0],
                _readout(architecture, params, X),
            )
        )
    )
    parts = [
        jax.tree.map(np.asarray, seen(_drawn(architecture, rng, DRAWN_AT_ONCE, X.shape[1])))
        for _ in range(NETWORKS // DRAWN_AT_ONCE)
    ]
    return tuple(np.concatenate(side) for side in zip(*parts, strict=True))


def _trained(starts, kernels, Y, c):
    """Where each network's outputs on the test inputs end: f_0(x) + k_x k^{-1}(Y - f_0), k its
    readout kernel. The first of the inputs are those of Y."""
    n = len(Y)
    learners = (
        KernelLearner.of(k[:n, :n], Y, c, f[:n, None]) for f, k in zip(starts, kernels, strict=True)
    )
    return np.stack(
        [
            one.limit(k[n:, :n], f[n:, None])[:, 0]
            for one, f, k in zip(learners, starts, kernels, strict=True)
        ]
    )


def _apart(samples, mean, cov):
    """How far the mean and the covariance of samples of a Gaussian are from those given, at
    most, in standard errors."""
    count, size = len(samples), np.diag(cov)
    off = np.abs(samples.mean(0) - mean) / np.sqrt(size / count)
    spread = np.abs(np.cov(samples.T) - cov) / np.sqrt(
        (cov**2 + np.outer(size, size)) / (count - 1)
    )
    return float(off.max()), float(spread.max())


def _excess(architecture, x):
    """The excess kurtosis of f(x) with one hidden layer, E f^4/(E f^2)^2 - 3 = 3 Var k/(E k)^2,
    k = (sw^2/h) sum_i s(z_i)^2 + sb^2, times h."""
    scaling, s = architecture.scaling, activation(architecture.activation)
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    size = scaling.weight**2 * variances(x)[0] + scaling.bias**2
    square, fourth = (
        (weights / weights.sum()) @ np.asarray(s(np.sqrt(size) * nodes)) ** power
        for power in (2, 4)
    )
    return (
        3
        * scaling.weight**4
        * (fourth - square**2)
        / (scaling.weight**2 * square + scaling.bias**2) ** 2
    )


def _kurtoses(experiment, x):
    """The excess kurtosis of f(x) over many narrow networks, and its standard error from parts
    of them, by width."""
    found, rng = [], stream_of(experiment.seed, "narrow networks")
    for width in NARROW:
        architecture = experiment.with_value("architecture.width", width).architecture
        outputs = jax.jit(jax.vmap(lambda params, of=architecture: of.forward(params, x)[0, 0]))
        f = np.asarray(outputs(_drawn(architecture, rng, MANY, x.shape[1]))).reshape(PARTS, -1)
        parts = (f**4).mean(1) / (f**2).mean(1) ** 2 - 3
        found.append(
            (
                float((f**4).mean() / (f**2).mean() ** 2 - 3),
                float(parts.std(ddof=1) / np.sqrt(PARTS)),
            )
        )
    return np.array(found)


def _run_apart(shown):
    """How far the run with a frozen hidden layer is from kernel regression with its own readout
    kernel, at most over time."""
    start = shown.record.start
    X, Y = start.data.train.X, start.data.train.Y
    params, marks = start.params, start.marks
    learner = KernelLearner.of(
        _readout(start.system.architecture, params, X),
        Y,
        constant(start),
        start.system.outputs(params, X),
    )
    said = learner.outputs(
        decay.heavy_ball(
            learner.rates, float(start.rule.rate), float(start.rule.momentum), marks.steps
        )
    )
    return float(np.abs(shown.record["outputs"].values - said).max())


def _verify(shown):
    experiment, data = shown.experiment, shown.record.start.data
    X, Y, test = data.train.X, data.train.Y, data.test.X
    everywhere, n = np.concatenate([X, test]), len(X)
    K = kernel(experiment.architecture, everywhere, get="nngp")
    said = posterior(K[:n, :n], Y, K[n:, :n], K[n:, n:])
    starts, kernels = _networks(experiment, everywhere)
    trained = _trained(starts, kernels, Y, constant(shown.record.start))
    before, after = _apart(starts, 0.0, K), _apart(trained, said.mean[:, 0], said.cov)
    x = X[:1]
    kurtoses, excess = _kurtoses(experiment, x), _excess(experiment.architecture, x)
    off = np.abs(kurtoses[:, 0] - excess / np.array(NARROW)) / kurtoses[:, 1]
    many = (
        f"standard errors over {MANY} networks in {PARTS} parts: the largest of a few draws of a"
        " normal variable stays below"
    )
    checks = (
        Check(
            "outputs at the start: their mean is off 0, in standard errors",
            before[0],
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
        Check(
            "outputs at the start: their covariance is off the NNGP kernel, in standard errors",
            before[1],
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
        Check(
            "the excess kurtosis at four widths is off 3 Var k/(E k)^2 ~ 1/h, in standard errors",
            float(off.max()),
            LARGEST,
            0.0,
            many,
            "below",
        ),
        Check(
            "the run with a frozen hidden layer is off regression with its readout kernel",
            _run_apart(shown),
            0.0,
            1e-10,
            STEPS,
        ),
        Check(
            "trained readouts: their mean is off the posterior mean, in standard errors",
            after[0],
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
        Check(
            "trained readouts: their covariance is off the posterior's, in standard errors",
            after[1],
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
    )
    return checks, {
        "starts": starts[:, n:],
        "trained": trained,
        "fine": _fine(experiment, data),
        "kurtoses": kurtoses,
        "excess": excess,
    }


def _fine(experiment, data):
    """On a fine grid of inputs: the variance at the start, and the posterior."""
    X, n, x = (
        data.train.X,
        len(data.train.X),
        np.linspace(data.test.X.min(), data.test.X.max(), 301),
    )
    K = kernel(experiment.architecture, np.concatenate([X, x[:, None]]), get="nngp")
    said = posterior(K[:n, :n], data.train.Y, K[n:, :n], K[n:, n:])
    return {
        "x": x,
        "before": (np.zeros(len(x)), np.diag(K)[n:]),
        "after": (said.mean[:, 0], np.diag(said.cov)),
    }


def _band(axis, x, samples, fine, said):
    """Mean and two standard deviations said as lines on the fine grid, those of the samples as
    dots, and a few samples."""
    order, names = np.argsort(x), ("mean", "mean ± 2 sd")
    size = np.sqrt(np.maximum(said[1], 0.0))  # 0 at the data, to round-off
    for place, sign in ((0, 0), (1, 1), (1, -1)):
        color, mark = COLORS[place], MARKERS[place]
        seen = (samples.mean(0) + 2 * sign * samples.std(0, ddof=1))[order][::3]
        told = sign >= 0
        axis.plot(
            fine,
            said[0] + 2 * sign * size,
            linestyle=DASHES[place],
            color=color,
            zorder=3,
            label=f"{names[place]}, predicted" if told else None,
        )
        axis.plot(
            x[order][::3],
            seen,
            mark,
            color=color,
            markersize=4,
            zorder=4,
            label=f"{names[place]}, measured" if told else None,
        )
    for place, sample in enumerate(samples[:6]):
        axis.plot(
            x[order],
            sample[order],
            color="#BBBBBB",
            linewidth=0.8,
            zorder=1,
            label=None if place else "single networks",
        )
    axis.set_xlabel("input, x [input]")


def _draw(shown):
    figure, (left, middle, right) = sheet(columns=3, height=4.2, width=13.5)
    data, extra = shown.record.start.data, shown.extra
    x, fine = data.test.X[:, 0], extra["fine"]
    _band(left, x, extra["starts"], fine["x"], fine["before"])
    left.set(ylabel="output, f [output]", title="at the start")
    _band(middle, x, extra["trained"], fine["x"], fine["after"])
    middle.plot(
        data.train.X[:, 0],
        data.train.Y[:, 0],
        "*",
        color="#333333",
        markersize=11,
        zorder=5,
        label="data",
    )
    middle.set(ylabel="output, f [output]", title="readouts trained")
    middle.legend(fontsize=8.5, loc="lower right")
    widths, (seen, bars) = np.array(NARROW), extra["kurtoses"].T
    right.plot(
        widths,
        extra["excess"] / widths,
        linestyle=DASHES[0],
        color=COLORS[0],
        label="predicted, ∝ 1/h",
    )
    right.errorbar(
        widths, seen, bars, fmt="o", color=COLORS[0], markersize=5, capsize=3, label="measured"
    )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="width, h [1]",
        ylabel="excess kurtosis of f(x) [1]",
        title="how far from Gaussian",
    )
    right.set_xticks(widths, [str(width) for width in widths])
    right.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    right.set_ylim(0.01, 0.6)
    right.minorticks_off()
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Wide random networks are a Gaussian process, and training their readouts from random"
        " starts draws from its posterior"
    ),
    source="Lee et al. 2018; Matthews et al. 2018; Lee et al. 2019",
    experiment=_experiment,
    watch=(Outputs(),),
    twin={"architecture.width": 1024, "clock.steps": 100, "clock.marks": 11},
    verify=_verify,
    draw=_draw,
)
