"""The right variables: exponents that lay curves on one another, curves that are one in their own
units, and variables that move by themselves."""

import json

import numpy as np
import pytest
import xarray as xr

import learnmech as lm
from learnmech import architectures, data, initial, rules
from learnmech.data.base import singular_modes
from learnmech.errors import Refused
from learnmech.figures.style import svg
from learnmech.studies.variables import closure, collapse, universal

WIDTHS = (16, 32, 64, 128)
TIMES = np.concatenate([[0.0], np.geomspace(0.1, 100, 40)])


def grid(curve, seeds=6, noise=0.02, at=WIDTHS, rng=None, knob="architecture.width"):
    """A sweep's grid of curve(x, t), with noise that a seed shares over the knob and one of its
    own."""
    rng = rng or np.random.default_rng(0)
    values = np.array([[curve(x, TIMES) for _ in range(seeds)] for x in at])
    shared = noise * rng.standard_normal((1, seeds, 1))
    own = noise * rng.standard_normal((len(at), seeds, 1))
    slopes = noise * rng.standard_normal((len(at), seeds, 1)) * np.log1p(TIMES)
    values = values * np.exp(shared + own + slopes)
    return xr.Dataset(
        {"loss": ((knob, "seed", "time"), values, {"units": "loss"})},
        {
            knob: list(at),
            "seed": np.arange(seeds),
            "time": TIMES,
            "reached": ((knob, "seed"), np.full((len(at), seeds), len(TIMES))),
        },
    )


def scaled(a, b):
    """Curves that t -> t x^a, q -> q x^b lays on one another."""
    return lambda x, t: x**-b / (1 + (t * x**a) ** 1.5) + 1e-3 * x**-b


# --- collapse


@pytest.mark.parametrize("a, b", [(-0.5, 0.25), (0.3, -0.4), (0.0, 0.0), (-1.0, 1.0)])
def test_exponents_that_are_there_are_found(a, b):
    found = collapse(grid(scaled(a, b), noise=0.0), "width")
    assert found.time[0] == pytest.approx(a, abs=0.01)
    assert found.size[0] == pytest.approx(b, abs=0.01)
    assert found.left < 1e-4


def test_curves_that_collapse_are_said_to_and_others_are_not():
    found = collapse(grid(scaled(-0.5, 0.25)), "architecture.width", predicted={"time": -0.5})
    assert found.verdict == "collapses" and "-0.5" in str(found)
    bent = collapse(grid(lambda x, t: 1 / (1 + t ** (0.5 + np.log2(x) / 5))), "width")
    assert bent.verdict == "does not collapse"


def test_intervals_cover_the_exponents_in_ninety_to_ninety_nine_per_cent():
    """Sweeps of six seeds that share part of their noise over the knob; of 200 (400
    intervals) 95.8% covered."""
    rng, covered = np.random.default_rng(1), []
    for _ in range(50):
        found = collapse(grid(scaled(-0.5, 0.25), rng=rng), "width")
        for (value, half), there in ((found.time, -0.5), (found.size, 0.25)):
            covered.append(abs(value - there) <= half)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_of_a_power_law_one_combination_alone_is_determined():
    """q = t^-2 x^-1: any a, b with b - 2a = 1 do it."""
    found = collapse(grid(lambda x, t: np.maximum(t, 0.05) ** -2.0 / x, noise=0.001), "width")
    assert "one combination alone" in found.verdict and "time" in found.degenerate
    only = collapse(grid(lambda x, t: np.maximum(t, 0.05) ** -2.0 / x), "width", free=("size",))
    assert only.size[0] == pytest.approx(1.0, abs=0.05) and only.time == (0.0, 0.0)


def test_few_seeds_have_no_interval_and_one_no_floor():
    assert np.isnan(collapse(grid(scaled(-0.5, 0.0), seeds=3), "width").time[1])
    assert collapse(grid(scaled(-0.5, 0.0), seeds=1), "width").verdict == "one seed has no floor"


def test_a_quantity_of_either_sign_is_taken_over_its_variance():
    found = collapse(grid(lambda x, t: np.cos(t * x**0.5 / 10), noise=0.001), "width")
    assert found.time[0] == pytest.approx(0.5, abs=0.02)


def test_the_time_that_deep_linear_modes_take_goes_as_the_inverse_of_their_strength():
    """A sweep that is run: half-rise times of one mode go as 1/s at a start a share of s; the loss
    as s^2."""
    made = lm.Experiment(
        architectures.DeepLinear((3,)),
        data.Gaussian(n=20, d=3, k=1, whitened=True, map=np.array([[1.0, 0.0, 0.0]])),
        rules.GradientFlow(rtol=1e-8, atol=1e-10),
        lm.Clock(time=60.0, marks=200),
        initial.Aligned(strength=0.01),
    )
    strengths = (0.5, 1.0, 2.0)
    tables = []
    for s in strengths:
        at = made.with_value("data.map", np.array([[s, 0.0, 0.0]]))
        at = at.with_value("initial.strength", 0.01 * s)
        tables.append(lm.run(at, watch=("loss",))["loss"].values)
    times = np.linspace(0, 60, len(tables[0]))
    found = collapse(
        xr.Dataset(
            {"loss": (("s", "time"), np.array(tables), {"units": "loss"})},
            {"s": list(strengths), "time": times, "reached": (("s",), [len(times)] * 3)},
        ).isel(time=slice(0, 60)),
        "s",
        predicted={"time": 1.0, "size": -2.0},
    )
    assert found.time[0] == pytest.approx(1.0, abs=0.05)
    assert found.size[0] == pytest.approx(-2.0, abs=0.1)


# --- universality


def test_curves_that_differ_in_time_and_size_alone_are_one():
    kinds = {"tanh": (1.0, 1.0), "erf": (0.7, 2.0), "relu": (2.0, 0.3)}
    one = grid(
        lambda x, t: kinds[x][1] * (0.1 + np.exp(-t * kinds[x][0])),
        at=tuple(kinds),
        knob="architecture.activation",
        noise=0.005,
    )
    found = universal(one, "activation", tolerance=0.05)
    assert found.verdict == "one curve"
    assert found.halves[1] / found.halves[0] == pytest.approx(1 / 0.7, rel=0.05)
    other = grid(
        lambda x, t: np.exp(-t) if x == "tanh" else 1 / (1 + t) ** 0.5,
        at=("tanh", "erf"),
        knob="architecture.activation",
        noise=0.005,
    )
    assert universal(other, "activation").verdict == "several"
    assert "t_half" in str(found) and "half-time" in svg(found.show())


# --- closure


def linear(start, time=6.0, width=4):
    return lm.Experiment(
        architectures.DeepLinear((width,)),
        data.Gaussian(n=30, d=4, k=3, whitened=True),
        rules.GradientFlow(),
        lm.Clock(time=time, marks=7),
        start,
    )


def strengths(system, params):
    """u'Wv on the modes of the targets."""
    U, _, V = singular_modes(system.train)
    W = params["layer2"]["weight"] @ params["layer1"]["weight"]
    return (U.T @ W @ V).diagonal()


def test_mode_strengths_are_closed_at_balanced_aligned_starts_and_at_no_others():
    aligned = closure(linear(initial.Aligned(strength=0.3)), strengths, ("a1", "a2", "a3"))
    assert aligned.index < 1e-8  # of a flow solved to 1e-10
    balanced = closure(linear(initial.Balanced(scale=0.3)), strengths)
    random = closure(linear(initial.Gaussian(scale=0.5)), strengths)
    assert balanced.index > 0.3 and random.index > 0.3
    assert "closure of a1, a2, a3" in str(aligned)
    json.dumps(aligned.plain())


def test_under_descent_they_are_closed_to_the_last_bit():
    exact = linear(initial.Aligned(strength=0.3))
    descent = lm.Experiment(
        exact.architecture,
        exact.data,
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=40, marks=5),
        exact.initial,
    )
    assert closure(descent, strengths).index < 1e-12


def test_the_sensitivity_is_that_of_runs_that_start_elsewhere():
    """J(t) against central differences of runs."""
    at = lm.Experiment(
        architectures.Mlp((3,), activation="tanh"),
        data.Gaussian(n=10, d=2, k=1),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=20, marks=3),
    )
    from learnmech.studies.variables.closing import closure as measured

    start = lm.prepare(at)
    flat = np.concatenate([np.ravel(start.params[n]["weight"]) for n in ("layer1", "layer2")])
    slopes, step = [], 1e-5
    for i in range(len(flat)):
        ends = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[i] += sign * step
            run = lm.run(at.with_value("initial", initial.Given(moved)), watch=("loss",))
            ends.append(run["loss"].values)
        slopes.append((ends[0] - ends[1]) / (2 * step))
    J = np.array(slopes)
    row = J[:, 0] / np.linalg.norm(J[:, 0])
    found = measured(at, lambda system, params: system.loss(params))
    for mark in range(3):
        assert found.rows[mark] == pytest.approx(abs(row @ J[:, mark]), rel=1e-5)
        rest = J[:, mark] - row * (row @ J[:, mark])
        assert found.others[mark] == pytest.approx(np.linalg.norm(rest), rel=1e-4, abs=1e-8)


def test_all_weights_are_closed_and_the_loss_alone_is_not():
    at = linear(initial.Gaussian(scale=0.5))

    from jax import flatten_util

    whole = closure(at, lambda system, params: flatten_util.ravel_pytree(params)[0])
    assert whole.index < 1e-12
    assert closure(at, lambda system, params: system.loss(params)).index > 0.1


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: collapse(grid(scaled(0, 0)), "widt"), "a knob of the sweep, but got 'widt'"),
        (lambda: collapse(grid(scaled(0, 0)), "width", "los"), "Did you mean loss"),
        (lambda: collapse(grid(scaled(0, 0)), "width", free=("rate",)), "free exponents"),
        (
            lambda: universal(grid(scaled(0, 0)).isel({"architecture.width": [0]}), "width"),
            "two curves or more",
        ),
        (
            lambda: closure(linear(initial.Gaussian()).with_value("rule", rules.Adam()), strengths),
            "plain gradient descent or gradient flow",
        ),
        (lambda: closure(linear(initial.Gaussian(), width=200), strengths), "at most 400 param"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(ask, sentence):
    with pytest.raises(Refused) as refusal:
        ask()
    assert sentence in str(refusal.value)
