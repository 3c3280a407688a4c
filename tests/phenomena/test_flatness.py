"""Flatness: the flow of shuffled epochs, the drift of SGD among its minima and where descent
leaves its flow, against enumeration, closed forms and numpy."""

import itertools

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, losses, rules
from learnmech.comparison.orders import fitted_order
from learnmech.errors import Refused
from learnmech.theories import ModifiedEpochs, SgdFlatness
from learnmech.theories.base import Limit
from learnmech.theories.epochs import shuffled_modified_loss
from learnmech.theories.flow import departure, epoch_modified_loss
from learnmech.theories.sgd_flatness import (
    basin,
    drifting_chain,
    mean_square_edge,
    second_moment_map,
    unequal_chain,
)
from learnmech.theories.sgd_moments import mean_square_threshold, second_moment_step

RNG = np.random.default_rng(7)


# --- epochs


@pytest.mark.parametrize("batch", [1, 2, 3, 6])
def test_the_modified_loss_of_shuffled_epochs_is_the_mean_of_that_of_fixed_batches_over_all_partitions(
    batch,
):
    prices, slopes = RNG.standard_normal(6), RNG.standard_normal((6, 4))
    each = []
    for order in itertools.permutations(range(6)):
        groups = np.array(order).reshape(-1, batch)
        each.append(
            (prices[groups].mean(1).mean(), np.sum(slopes[groups].mean(1) ** 2) / len(groups))
        )
    value, size = np.mean(each, axis=0)
    # round-off of 720 terms
    assert float(shuffled_modified_loss(prices, slopes, 0.3, batch)) == pytest.approx(
        value + 0.3 / 4 * size, rel=1e-13
    )
    first = np.arange(6).reshape(-1, batch)
    fixed = float(epoch_modified_loss(prices[first].mean(1), slopes[first].mean(1), 0.3))
    assert fixed == pytest.approx(
        prices.mean() + 0.3 / 4 * np.mean(np.sum(slopes[first].mean(1) ** 2, 1)), rel=1e-13
    )


def stepped(params, X, Y, rate):
    """One step of descent on |f - y|^2/2, f = v tanh(W x), by hand."""
    W, v = params
    hidden = np.tanh(X @ W.T)
    error = (hidden @ v.T - Y) / len(X)
    back = error @ v * (1 - hidden**2)
    return W - rate * back.T @ X, v - rate * error.T @ hidden


def test_the_mean_of_one_epoch_over_all_shuffles_is_the_flow_of_its_modified_loss_to_third_order():
    base = (
        ModifiedEpochs.example()
        .with_value("data.n", 4)
        .with_value("rule.batch", 2)
        .with_value("clock", lm.Clock(steps=2, every=2))
    )
    rates, off = [0.4, 0.2, 0.1], []
    for rate in rates:
        start = lm.prepare(base.with_value("rule.rate", rate))
        X, Y, begin = (
            start.data.train.X,
            start.data.train.Y,
            [start.params[layer]["weight"] for layer in ("layer1", "layer2")],
        )
        ends = []
        for order in itertools.permutations(range(4)):
            params = begin
            for batch in (order[:2], order[2:]):
                params = stepped(params, X[list(batch)], Y[list(batch)], rate)
            ends.append(np.concatenate([p.ravel() for p in params]))
        said = ModifiedEpochs().predict(start)
        end = np.concatenate(
            [said[f"{layer}.weight"].values[-1].ravel() for layer in ("layer1", "layer2")]
        )
        off.append(np.linalg.norm(end - np.mean(ends, 0)))
    # the next order, over a range of 4
    assert fitted_order(rates, off).slope == pytest.approx(3, abs=0.2)
    assert off[-1] < 1e-3


@pytest.mark.parametrize("sampling, power", [("epoch", 1.5), ("replacement", 0.5)])
def test_runs_scatter_by_the_rate_to_three_halves_in_epochs_and_to_one_half_with_replacement(
    sampling, power
):
    draw, scatter, rates = np.random.default_rng(1), [], [0.04, 0.02, 0.01]
    targets, runs = np.array([0.9, -0.5, 1.3, 0.2]), 4000
    for rate in rates:
        w = np.full(runs, 0.7)
        for _ in range(round(1.6 / (4 * rate))):
            order = (
                draw.permuted(np.tile(np.arange(4), (runs, 1)), axis=1)
                if sampling == "epoch"
                else draw.integers(0, 4, (runs, 4))
            )
            for place in order.T:
                w = w - rate * (w - targets[place]) * (1 + 0.5 * targets[place] * w)
        scatter.append(w.std())
    # the next order over a range of 4; 4000 runs know a spread to 1%
    assert fitted_order(rates, scatter).slope == pytest.approx(power, abs=0.1)


def test_shuffled_epochs_need_whole_batches_without_replacement_and_a_loss_that_is_a_mean():
    good = ModifiedEpochs.example()
    changes = [
        ("rule.sampling", "replacement"),
        ("rule.batch", 3),
        ("rule", rules.GradientDescent()),
    ]
    for path, value in changes:
        start = lm.prepare(good.with_value(path, value))
        assert not all(condition.holds for condition in ModifiedEpochs().conditions(start))
        with pytest.raises(Refused):
            ModifiedEpochs().predict(start)
    summed = lm.prepare(
        good.with_value("loss", losses.Squared(scaling="sum")).with_value("rule.rate", 0.001)
    )
    assert [c.claim for c in ModifiedEpochs().conditions(summed) if not c.holds] == [
        "the loss is the mean over samples of a loss of each"
    ]


# --- minima


def chain(noise, rate=0.1, batch=2, clock=None, ratio=4.0):
    source = data.Gaussian(n=10, d=1, map=np.ones((1, 1)), noise=noise)
    clock = lm.Clock(steps=10) if clock is None else clock
    return lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(hidden=(1,)),
            source,
            rules.SGD(rate=rate, batch=batch),
            clock,
            unequal_chain(source, ratio),
        )
    )


def test_the_drift_of_a_chain_comes_to_its_closed_form_in_proportion_to_the_rate():
    rates, gaps = [0.02, 0.01, 0.005], []
    for rate in rates:
        start = chain(0.5, rate, clock=lm.Clock(time=6 / rate, marks=4))
        said = SgdFlatness().predict(start)
        closed = drifting_chain(start, said["time"].values)
        gaps.append(np.abs(said["hessian_trace"].values - closed).max())
        assert closed[-1] < 0.75 * closed[0]
    # the next order, over a range of 4
    assert fitted_order(rates, gaps).slope == pytest.approx(1, abs=0.05)


def test_the_mean_of_many_runs_of_sgd_comes_to_the_drift_that_is_said_in_proportion_to_the_rate():
    rates, gaps, runs = [0.1, 0.05, 0.025], [], 10_000
    for rate in rates:
        start = chain(1.0, rate, 1, lm.Clock(time=1 / rate, marks=5))
        x, y = start.data.train.X[:, 0], start.data.train.Y[:, 0]
        said = SgdFlatness().predict(start)
        steps, traces, draw = (
            said["step"].values,
            said["hessian_trace"].values,
            np.random.default_rng(3),
        )
        first, second = (
            np.full(runs, start.params[name]["weight"].item()) for name in ("layer1", "layer2")
        )
        seen = [traces[0]]
        for step in range(1, steps[-1] + 1):
            at = draw.integers(0, len(x), runs)
            pull = rate * x[at] * (x[at] * first * second - y[at])
            first, second = first - pull * second, second - pull * first
            if step in steps:
                seen.append(np.mean(x**2) * np.mean(first**2 + second**2))
        gaps.append(np.abs(np.array(seen) / traces - 1).max())
    assert (
        SgdFlatness.limits == (Limit("rule.rate", 1.0, quantity="hessian_trace"),)
        and gaps[-1] < 0.01
    )
    # the next order over a range of 4, and 10,000 runs, which know the smallest gap to a tenth
    assert fitted_order(rates, gaps).slope == pytest.approx(1, abs=0.15)


def test_every_step_of_sgd_on_a_chain_keeps_the_difference_of_squares_but_for_the_square_of_its_own_pull():
    start = chain(0.5, clock=lm.Clock(steps=10, every=1))
    seen = lm.run(start, (lm.instruments.Weights(),))
    first, second = (seen[f"layer{i}.weight"].values.ravel() for i in (1, 2))
    pull = (first[:-1] - first[1:]) / second[:-1]
    K = first**2 - second**2
    # round-off
    np.testing.assert_allclose(K[1:], K[:-1] * (1 - pull**2), rtol=1e-12)


def test_the_second_moment_across_a_minimum_of_linear_regression_is_the_exact_one_of_sgd():
    source, rate, batch = data.Gaussian(n=10, d=3, noise=0.5), 0.2, 3
    start = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(), source, rules.SGD(rate=rate, batch=batch), lm.Clock(steps=5)
        )
    )
    X, Y = start.data.train.X, start.data.train.Y
    best = np.linalg.lstsq(X, Y, rcond=None)[0].T
    place = basin(start.system, {"layer1": {"weight": best}})
    A, b = second_moment_map(place, rate, 1 / batch)
    _, N = place.normal
    M = np.cov(RNG.standard_normal((3, 9)))
    moved, _ = second_moment_step(M, np.zeros(3), X, (Y - X @ best.T)[:, 0], 1.0, rate, batch)
    # round-off
    np.testing.assert_allclose(
        N @ (A @ (N.T @ M @ N).ravel() + b).reshape(3, 3) @ N.T, moved, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_samples_that_are_fitted_hold_sgd_up_to_the_mean_square_threshold_of_their_slopes(batch):
    start = chain(0.0, batch=batch)
    x, (first, second) = (
        start.data.train.X[:, 0],
        (start.params[name]["weight"].item() for name in ("layer1", "layer2")),
    )
    place = basin(start.system, start.params)
    edge = mean_square_edge(place, 1 / batch)
    rows = np.outer(x, [second, first])
    # both bisections end at 1e-12
    assert edge == pytest.approx(mean_square_threshold(rows, 1.0, batch), rel=1e-9)
    H, kurtosis = np.mean(x**2) * (first**2 + second**2), np.mean(x**4) / np.mean(x**2) ** 2
    assert edge == pytest.approx(2 / H / (1 + (kurtosis - 1) / batch), rel=1e-9)
    still = SgdFlatness().predict(chain(0.0, 0.9 * edge, batch))
    # without noise at the minimum nothing moves
    np.testing.assert_allclose(still["hessian_trace"], H, rtol=1e-9)
    with pytest.raises(Refused, match="stable there in mean square"):
        SgdFlatness().predict(chain(0.0, 1.1 * edge, batch))


def test_sgd_on_two_layers_of_matrices_drifts_as_its_theory_says():
    source, rate, batch, runs = data.Gaussian(n=12, d=2, noise=0.3), 0.1, 2, 3000
    plain = lm.Experiment(
        architectures.DeepLinear(hidden=(2,)),
        source,
        rules.SGD(rate=rate, batch=batch),
        lm.Clock(steps=600, marks=4),
    )
    X, Y = (getattr(lm.prepare(plain).data.train, name) for name in "XY")
    best = np.linalg.lstsq(X, Y, rcond=None)[0].T
    outer = np.array([[0.4, -0.3]])
    inner = np.linalg.pinv(outer) @ best + 0.8 * np.outer([0.6, 0.8], [1.0, -1.0])
    start = lm.prepare(
        plain.with_value(
            "initial", initial.Given.of({"layer1": {"weight": inner}, "layer2": {"weight": outer}})
        )
    )
    said = SgdFlatness().predict(start)
    A, B, draw = (
        np.tile(inner, (runs, 1, 1)),
        np.tile(outer, (runs, 1, 1)),
        np.random.default_rng(2),
    )
    S, traces = X.T @ X / len(X), []
    for step in range(1, 601):
        at = draw.integers(0, len(X), (runs, batch))
        x, error = X[at], np.einsum("roh,rhd,rbd->rbo", B, A, X[at]) - Y[at]
        pull = np.einsum("rbo,rbd->rod", error, x) / batch
        A, B = A - rate * np.swapaxes(B, 1, 2) @ pull, B - rate * pull @ np.swapaxes(A, 1, 2)
        if step % 200 == 0:
            # of |B A x - y|^2/2 in mean: tr S |B|^2 and, across, tr A S A'
            traces.append(np.trace(S) * np.sum(B**2, (1, 2)) + np.einsum("rhd,de,rhe->r", A, S, A))
    said = said["hessian_trace"].values
    assert said[-1] < 0.9 * said[0]
    # the limit's own error, of the order of the second moment across: rate * noise^2/(2 batch) =
    # 0.0023; 3000 runs know the mean to 0.0007
    np.testing.assert_allclose(np.mean(traces, 1), said[1:], rtol=5e-3)


def test_a_drift_among_minima_needs_a_minimum_and_batches_drawn_afresh():
    good = SgdFlatness.example()
    off = good.with_value("initial", initial.Given(np.array([2.0, 1.0])))
    for changed in (
        off,
        good.with_value("rule.sampling", "epoch"),
        good.with_value("rule", rules.GradientDescent()),
    ):
        assert not all(
            condition.holds for condition in SgdFlatness().conditions(lm.prepare(changed))
        )
        with pytest.raises(Refused):
            SgdFlatness().predict(lm.prepare(changed))


# --- where descent leaves the flow


def test_of_more_directions_than_their_map_has_room_for_the_drift_is_not_said():
    """The map of the second moments of 48 directions has 5 million entries; of tanh units
    on digits, 120 weights, it took minutes to be told that the start is no minimum: first now."""
    begun = lm.Experiment(
        architectures.DeepLinear(()),
        data.Gaussian(n=80, d=48, k=1, noise=0.1),
        rules.SGD(rate=0.001, batch=4),
        lm.Clock(steps=10),
    )
    samples = lm.prepare(begun).data.train
    solution = np.linalg.lstsq(samples.X, samples.Y, rcond=None)[0]
    at = begun.with_value("initial", initial.Given(solution.ravel()))
    *held, failed = SgdFlatness().conditions(lm.prepare(at))
    assert all(one.holds for one in held)
    assert failed.claim == "few directions across it" and failed.value == 48


def test_descent_leaves_the_flow_when_growth_has_made_up_for_round_off():
    times, rate, unit = np.linspace(0, 10, 11), 0.1, 1e-16
    growth = rate * 23.0 - 1
    crossing, left = departure(times, np.full(11, 23.0), rate, unit, 0.1)
    # a_k^2 = unit^2 (g^2k - 1)/(g^2 - 1) after k steps
    steps = np.log(1 + (0.1 / unit) ** 2 * (growth**2 - 1)) / (2 * np.log(growth))
    assert np.isnan(left) and np.ceil(steps) - 1 > 100
    longer = departure(20 * times, np.full(11, 23.0), rate, unit, 0.1)
    assert crossing == longer[0] == 0 and longer[1] == pytest.approx(
        (np.ceil(steps) - 1) * rate, abs=1e-9
    )
    assert np.isnan(departure(times, np.full(11, 19.0), rate, unit, 0.1)).all()
