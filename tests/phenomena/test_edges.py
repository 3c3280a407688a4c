"""Edges: the catapult, the mean-square threshold of SGD and the order of modes under spectral
descent, against recursions by hand, dense maps and runs."""

import itertools

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules, scalings
from learnmech.errors import Refused
from learnmech.theories import Catapult, Decoupled, SpectralModes
from learnmech.theories.catapult import recursion
from learnmech.theories.sgd_moments import (
    mean_square_growth,
    mean_square_threshold,
    second_moment_step,
)
from learnmech.theories.spectral_modes import spectral_half_time

RNG = np.random.default_rng(4)
X = RNG.standard_normal((20, 4))


def test_the_catapults_recursion_is_that_of_all_weights():
    x, y, rate, scale = 1.3, 0.7, 0.11, 0.2
    u, v = RNG.standard_normal((2, 9))
    outputs, kernels = recursion(
        scale * x * u @ v, (scale * x) ** 2 * (u @ u + v @ v), y, (scale * x) ** 2, rate, 25
    )
    for f, kernel in zip(outputs, kernels, strict=True):
        assert f == pytest.approx(scale * x * u @ v, rel=1e-12) and kernel == pytest.approx(
            (scale * x) ** 2 * (u @ u + v @ v), rel=1e-12
        )
        pull = rate * (scale * x * u @ v - y) * scale * x
        u, v = u - pull * v, v - pull * u


def test_the_catapult_needs_one_number_through_two_layers_and_plain_descent():
    good = Catapult.example()
    for changed in (
        {"architecture.hidden": (4, 4)},
        {"data.n": 2},
        {"rule": rules.HeavyBall()},
        {"architecture": architectures.Mlp(hidden=(16,))},
    ):
        path, value = next(iter(changed.items()))
        start = lm.prepare(good.with_value(path, value))
        assert not all(condition.holds for condition in Catapult().conditions(start))
        with pytest.raises(Refused):
            Catapult().predict(start)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_mean_square_threshold_is_where_the_dense_map_of_second_moments_has_radius_one(batch):
    rate, d = mean_square_threshold(X, 1.0, batch), X.shape[1]
    pairs = [(i, j) for i, j in itertools.product(range(d), repeat=2) if i <= j]
    columns = []
    for i, j in pairs:
        unit = np.zeros((d, d))
        unit[i, j] = unit[j, i] = 1
        moved, _ = second_moment_step(unit, np.zeros(d), X, np.zeros(len(X)), 1.0, rate, batch)
        columns.append([moved[pair] for pair in pairs])
    # the bisection ends at 1e-12 of the rate, powers at 1e-13 of the growth
    assert np.abs(np.linalg.eigvals(np.array(columns).T)).max() == pytest.approx(1, abs=1e-10)


def test_the_threshold_grows_with_the_batch_up_to_two_over_the_sharpness():
    edge = 2 / np.linalg.eigvalsh(X.T @ X / len(X)).max()
    found = [mean_square_threshold(X, 1.0, batch) for batch in (1, 2, 8, 10**6)]
    assert np.all(np.diff(found) > 0) and found[-1] < edge
    # what a batch adds is of order 1/batch
    assert found[-1] == pytest.approx(edge, rel=1e-4)


def test_sgd_on_data_it_can_fit_shrinks_below_its_threshold_and_grows_above_it_in_mean_square():
    # one direction and samples of two sizes: E e^2 after t steps is growth^t, an average over so
    # many runs of its own
    inputs = np.array([[1.0], [1.0], [2.0]])
    rate = mean_square_threshold(inputs, 1.0, 1)
    assert rate == pytest.approx(
        2 * np.mean(inputs**2) / np.mean(inputs**4), rel=1e-10
    )  # E (1 - rate x^2)^2 = 1
    draws = np.random.default_rng(0).integers(0, 3, (400_000, 5))
    for share in (0.8, 1.2):
        factors = np.prod((1 - share * rate * inputs[draws, 0] ** 2) ** 2, axis=1)
        growth = mean_square_growth(inputs, 1.0, share * rate, 1)
        assert np.mean(factors) == pytest.approx(
            growth**5, abs=4 * np.std(factors) / np.sqrt(len(factors))
        )
        assert (growth < 1) == (share < 1)


def spectral(rule, clock, hidden=(4,)):
    source = data.LinearTeacher(strengths=(3.0, 2.0, 1.0), n=20, d=4, k=3)
    return lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(hidden=hidden),
            source,
            rule,
            clock,
            initial.Aligned(strength=0.0123),
        )
    )


@pytest.mark.parametrize(
    "rule, hidden",
    [
        (rules.SpectralDescent(rate=0.01), (4, 4)),
        (rules.SpectralDescent(rate=0.01, eps=0.05), (4,)),
    ],
    ids=str,
)
def test_spectral_descent_follows_its_modes_step_by_step(rule, hidden):
    # with three layers until the first mode is at its end: the flutter of finished modes amplifies
    # what is off them
    steps = 70 if len(hidden) == 2 else 160
    start = spectral(rule, lm.Clock(steps=steps, every=10), hidden)
    seen = lm.run(start, (instruments.EndToEnd(),))["end_to_end"].values
    # round-off of some hundred steps
    np.testing.assert_allclose(
        seen, SpectralModes().predict(start)["end_to_end"].values, atol=1e-12
    )


def test_spectral_flow_follows_one_equation_for_each_mode():
    start = spectral(
        rules.SpectralFlow(eps=0.1, rtol=1e-9, atol=1e-12), lm.Clock(time=2.0, marks=9)
    )
    seen = lm.run(start, (instruments.EndToEnd(),))["end_to_end"].values
    # the solver is at 1e-9 a step, over some hundred steps
    np.testing.assert_allclose(seen, SpectralModes().predict(start)["end_to_end"].values, atol=1e-7)


def test_weak_modes_are_half_learned_first_whatever_the_constant_of_the_loss():
    times = {}
    for scaling in ("half-mean", "sum"):
        start = spectral(rules.SpectralDescent(rate=0.001), lm.Clock(time=1.6, every=1))
        start = lm.prepare(start.experiment.with_value("loss.scaling", scaling))
        said = SpectralModes().predict(start)["mode_strength"]
        times[scaling] = [
            float(np.interp(s / 2, said.values[:, mode], said["time"]))
            for mode, s in enumerate((3.0, 2.0, 1.0))
        ]
    # a step is 0.001
    np.testing.assert_allclose(
        times["half-mean"], [spectral_half_time(0.0123, s, 2) for s in (3.0, 2.0, 1.0)], atol=1e-3
    )
    np.testing.assert_allclose(times["half-mean"], times["sum"], atol=1e-12)
    assert times["half-mean"][0] > times["half-mean"][1] > times["half-mean"][2]
    assert not all(condition.holds for condition in Decoupled().conditions(start))


def test_modes_without_a_target_are_outside_the_domain_of_spectral_modes():
    source = data.LinearTeacher(strengths=(2.0, 1.0), n=20, d=4, k=3)
    experiment = lm.Experiment(
        architectures.DeepLinear(hidden=(4,)),
        source,
        rules.SpectralDescent(),
        lm.Clock(steps=5),
        initial.Aligned(strength=0.01),
    )
    failing = [
        condition.claim
        for condition in SpectralModes().conditions(lm.prepare(experiment))
        if not condition.holds
    ]
    assert len(failing) == 1 and "a target" in failing[0]


def test_steps_of_a_matrix_are_the_same_whatever_multiplies_it():
    # sp and ntk start the same function; a spectral rule moves multiplier times weight by its rate
    # in both
    made = {
        "data": data.Gaussian(n=12, d=4, k=2),
        "rule": rules.SpectralDescent(rate=0.02),
        "clock": lm.Clock(steps=3),
    }
    plain = lm.prepare(lm.Experiment(architectures.DeepLinear(hidden=(3,)), **made))
    scaled = architectures.DeepLinear(hidden=(3,), scaling=scalings.NTK())
    weights = {
        name: {"weight": layer["weight"] * np.sqrt(layer["weight"].shape[1])}
        for name, layer in plain.params.items()
    }
    given = lm.Experiment(scaled, initial=initial.Given.of(weights), **made)
    one, two = (
        lm.run(experiment, (instruments.EndToEnd(),))["end_to_end"].values
        for experiment in (plain.experiment, given)
    )
    np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)
