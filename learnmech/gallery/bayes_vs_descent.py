"""Bayes beside descent: an ensemble of wide networks trained from random starts, and the
posterior that it is not."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.teachers import NetworkTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Outputs
from learnmech.kernels.learner import KernelLearner
from learnmech.kernels.posterior import posterior
from learnmech.rules.descent import HeavyBall
from learnmech.sweeps import sweep
from learnmech.theories.base import constant
from learnmech.theories.infinite_width import ensemble, forever, kernel

SEEDS = 256
LARGEST = 4.5
LEFT = (
    "200 steps leave 0.9^100 = 3e-5 of a deviation at momentum 0.9, with a margin of 30 for how far"
    " inputs lie outside the data"
)
CHANCE = (
    f"standard errors over {SEEDS} networks: the largest of some hundred draws of a normal variable"
    " stays below"
)
ROUND_OFF = (
    "round-off, 1e-16 times the condition number of the kernel, some hundred, with a margin of 1e4"
)


def _experiment():
    teacher = Mlp(hidden=(16,), bias=True, scaling=NTK(weight=3.0, bias=2.0))
    network = Mlp(hidden=(2048,), activation="erf", bias=True, scaling=NTK(weight=1.5, bias=0.5))
    data = NetworkTeacher(teacher, n=5, d=1, power=0.05, test=81, seed=136)
    return Experiment(network, data, HeavyBall(rate=0.1, momentum=0.9), Clock(steps=200, marks=5))


def _ends(start, inputs):
    """At these inputs: the ensemble at infinite time, and the posterior."""
    X, Y, n = start.data.train.X, start.data.train.Y, len(start.data.train.X)
    nngp, ntk = kernel(start.experiment.architecture, np.concatenate([X, inputs]))
    parts = nngp[:n, :n], ntk[n:, :n], nngp[n:, :n], nngp[n:, n:]
    learner = KernelLearner.of(ntk[:n, :n], Y, constant(start))
    return learner.ensemble(forever(learner.rates), *parts), posterior(parts[0], Y, *parts[2:])


def _apart(samples, mean, cov):
    """How far the mean and the covariance of samples are from those of a Gaussian, at most, in
    its standard errors."""
    count, size = len(samples), np.diag(cov)
    off = np.abs(samples.mean(0) - mean) / np.sqrt(size / count)
    spread = np.abs(np.cov(samples.T) - cov) / np.sqrt(
        (cov**2 + np.outer(size, size)) / (count - 1)
    )
    return float(off.max()), float(spread.max())


def _wider(samples, cov, said):
    """By how many standard errors samples vary more than under `cov`, at the input where `said`
    is widest beside it: sample variances scatter by 2/(n - 1)."""
    at = int(np.argmax(np.diag(said) / np.diag(cov)))
    return float((samples[:, at].var(ddof=1) / cov[at, at] - 1) / np.sqrt(2 / (len(samples) - 1)))


def _verify(shown):
    start = shown.record.start
    grid = sweep(shown.experiment, {}, SEEDS, shown.exhibit.watch, backend="vmap")
    trained = grid["test_outputs"].values[:, -1, :, 0]
    said, (end, bayes) = ensemble(start), _ends(start, start.data.test.X)
    mean, cov = said.mean[-1][:, 0], said.cov[-1]
    off, spread = _apart(trained, mean, cov)
    away, _ = _apart(trained, bayes.mean[:, 0], bayes.cov)
    least = float(np.linalg.eigvalsh(end.cov[0] - bayes.cov)[0])
    far = (
        "what chance alone does not reach: the largest of some hundred draws of a normal variable"
        " stays below 4.5"
    )
    once = "what chance alone does not reach: one draw of a normal variable stays below 3"
    proof = (
        "of all functions f_0(x) + B (Y - f_0(X)) linear in the start the posterior's has the least"
        " covariance, to " + ROUND_OFF
    )
    checks = (
        Check(
            "the trained networks' mean is off the ensemble of the tangent kernel, in standard"
            " errors",
            off,
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
        Check(
            "the trained networks' covariance is off that ensemble's, in standard errors",
            spread,
            LARGEST,
            0.0,
            CHANCE,
            "below",
        ),
        Check(
            "the trained networks' mean is off the posterior mean somewhere, in standard errors",
            away,
            LARGEST,
            0.0,
            far,
            "above",
        ),
        Check(
            "their variance is above the posterior's where they differ most, in standard errors",
            _wider(trained, bayes.cov, end.cov[0]),
            3.0,
            0.0,
            once,
            "above",
        ),
        Check(
            "least eigenvalue of the ensemble's covariance less the posterior's",
            least,
            -1e-10,
            0.0,
            proof,
            "above",
        ),
        Check(
            "the ensemble's mean after these steps is off its value at infinite time",
            float(np.abs(mean - end.mean[0][:, 0]).max()),
            0.0,
            1e-3,
            LEFT,
        ),
    )
    x = np.linspace(start.data.test.X.min(), start.data.test.X.max(), 301)
    end, bayes = _ends(start, x[:, None])
    fine = {
        "x": x,
        "said": (end.mean[0][:, 0], np.diag(end.cov[0])),
        "bayes": (bayes.mean[:, 0], np.diag(bayes.cov)),
    }
    return checks, {"trained": trained, "fine": fine}


def _draw(shown):
    figure, (left, right) = sheet(columns=2, height=4.4, width=11.5)
    data, fine = shown.record.start.data, shown.extra["fine"]
    order = np.argsort(data.test.X[:, 0])
    x, trained = data.test.X[order, 0], shown.extra["trained"][:, order]
    for place, (name, key) in enumerate(
        (("NTK ensemble, predicted", "said"), ("NNGP posterior, predicted", "bayes"))
    ):
        mean, size = (
            fine[key][0],
            np.sqrt(np.maximum(fine[key][1], 0.0)),
        )  # 0 at the data, to round-off
        look = {"color": COLORS[place], "linestyle": DASHES[place]}
        left.plot(fine["x"], mean, label=f"{name}: mean ± 2 sd", zorder=3, **look)
        for sign in (-2, 2):
            left.plot(fine["x"], mean + sign * size, linewidth=1.0, zorder=3, **look)
        right.plot(fine["x"], size, label=name, **look)
    for sign in (-2, 0, 2):
        left.plot(
            x[::2],
            (trained.mean(0) + sign * trained.std(0, ddof=1))[::2],
            MARKERS[0],
            color=COLORS[0],
            markersize=4,
            zorder=4,
            label=f"{SEEDS} trained networks, measured" if not sign else None,
        )
    left.plot(
        data.train.X[:, 0],
        data.train.Y[:, 0],
        "*",
        color="#333333",
        markersize=11,
        zorder=5,
        label="data",
    )
    error = trained.std(0, ddof=1) / np.sqrt(2 * (SEEDS - 1))
    right.errorbar(
        x[::2],
        trained.std(0, ddof=1)[::2],
        2 * error[::2],
        fmt=MARKERS[0],
        color=COLORS[0],
        markersize=4,
        label="trained networks, measured (± 2 se)",
    )
    left.set(xlabel="input, x [input]", ylabel="output, f [output]")
    right.set(xlabel="input, x [input]", ylabel="standard deviation of f [output]")
    for axis in (left, right):
        axis.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Networks trained from random starts spread as the tangent kernel says: their ensemble is"
        " not the Bayesian posterior, and wider"
    ),
    source="Lee et al. 2019; He et al. 2020",
    experiment=_experiment,
    watch=(Outputs(),),
    twin={"architecture.width": 1024},
    verify=_verify,
    draw=_draw,
)
