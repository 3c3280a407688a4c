"""Symmetries: the moves that leave a loss as it is, the charges that flow keeps and descent
breaks, and the equilibrium of weights before a norm."""

import dataclasses

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules, scalings, theories
from learnmech.comparison.orders import measured_order
from learnmech.errors import Refused
from learnmech.system import symmetries
from learnmech.theories.scale_equilibrium import (
    angular_step,
    equilibrium_norm,
    norm_course,
    relaxation_steps,
)

CLASSES = data.Digits(train=12, classes=(0, 1, 2), components=3)
NUMBERS = data.Gaussian(n=9, d=2, k=2)
# a network, its data and loss, and the dimension of all moves theta -> theta + A theta + v that
# leave its loss as it is; a shift by a constant is one by any of the 12 parameters too
COUNTED = {
    "a number for each ReLU unit": (
        architectures.Mlp(hidden=(2,), activation="relu", bias=True),
        NUMBERS,
        losses.Squared(),
        2,
    ),
    "a matrix between linear layers": (
        architectures.DeepLinear(hidden=(2,)),
        NUMBERS,
        losses.Squared(),
        4,
    ),
    "a number for each unit of a stream": (
        architectures.Residual(width=2, blocks=1, activation="relu"),
        NUMBERS,
        losses.Squared(),
        2,
    ),
    "the scale of batch-normed units": (
        architectures.Mlp(hidden=(2,), norm="batch"),
        NUMBERS,
        losses.Squared(),
        2,
    ),
    "scale and shift of a layer norm": (
        architectures.Mlp(hidden=(3,), norm="layer"),
        NUMBERS,
        losses.Squared(),
        1 + 2 * 13,
    ),
    "a constant on all outputs": (
        architectures.Mlp(hidden=(2,)),
        CLASSES,
        losses.CrossEntropy(),
        2 * 13,
    ),
    "a gain between two numbers": (
        architectures.Mlp(hidden=(2,), activation="square", affine=True),
        NUMBERS,
        losses.Squared(),
        4,
    ),
    "hyperbolic rotations": (
        architectures.Diagonal(),
        dataclasses.replace(NUMBERS, k=1),
        losses.Squared(),
        2,
    ),
}


def prepared(architecture, source=NUMBERS, rule=None, clock=None, loss=None, **changes):
    rule, clock = rule or rules.GradientDescent(rate=0.1), clock or lm.Clock(steps=20, every=1)
    return lm.prepare(
        lm.Experiment(architecture, source, rule, clock, loss=loss or losses.Squared(), **changes)
    )


def listed(start):
    return symmetries.symmetries(
        start.system.architecture, start.system.loss_function, start.params
    )


@pytest.mark.parametrize("words", COUNTED)
def test_the_symmetries_listed_are_all_linear_moves_along_which_the_loss_stands_still(words):
    architecture, source, loss, dimension = COUNTED[words]
    start = prepared(architecture, source, loss=loss)
    leaves, form = jax.tree.flatten(start.params)
    size, rng = sum(leaf.size for leaf in leaves), np.random.default_rng(1)
    count = size**2 + size + 20
    stacked = jax.tree.unflatten(
        form, [rng.standard_normal((count, *leaf.shape)) for leaf in leaves]
    )
    gradients = jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.grad(start.system.loss)))(stacked))
    flat, slopes = (
        np.concatenate([leaf.reshape(count, -1) for leaf in jax.tree.leaves(tree)], axis=1)
        for tree in (stacked, gradients)
    )
    slopes = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    # <g, A theta + v> = 0 at so many places: the unknowns are A and v
    rows = np.concatenate(
        [(slopes[:, :, None] * flat[:, None, :]).reshape(count, -1), slopes], axis=1
    )
    values = np.linalg.svd(rows, compute_uv=False)
    assert (
        values[-dimension - 1] > 1e-6 * values[0] > 1e6 * values[-dimension]
    )  # of round-off, and well away from it
    found = listed(start)
    assert (
        sum(int(np.prod(one.shape)) * (1 if one.order == 2 else size + 1) for one in found)
        == dimension
    )
    place = [jax.tree.map(lambda leaf: leaf[0], tree) for tree in (gradients, stacked)]
    scale = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(place[0])))
    assert max(np.abs(one.along(*place)).max() for one in found) < 1e-12 * max(scale, 1)


def test_powers_of_activations_are_measured():
    powers = {"linear": 1, "relu": 1, "leaky-relu:0.3": 1, "square": 2, "cube": 3, "monomial:5": 5}
    assert {name: symmetries.degree(name) for name in powers} == powers
    assert [
        symmetries.degree(name) for name in ("tanh", "gelu", "softplus", "sin", "cos", "erf")
    ] == [None] * 6


def test_masks_leave_numbers_of_linear_units_but_not_matrices():
    inner = architectures.Mlp(hidden=(3, 2), activation="linear")
    assert [one.name for one in listed(prepared(inner))] == ["mixing1", "mixing2"]
    assert [one.name for one in listed(prepared(architectures.Dropout(inner)))] == [
        "rescaling1",
        "rescaling2",
    ]
    assert [one.name for one in listed(prepared(architectures.Dialed(inner)))] == [
        "mixing1",
        "mixing2",
    ]


class Uneven(scalings.SP):
    """Standard parametrization with another rate for each layer and its biases."""

    def layer(self, index, depth, fan_in, fan_out):
        return scalings.LayerScale(1.0, fan_in**-0.5, 0.5 * index, 1.0, bias_std=0.3, bias_sgd=3.0)


def steps_of(architecture, rule, loss=None, source=NUMBERS):
    start = prepared(architecture, source, rule, loss=loss)
    return lm.run(start, (instruments.Charges(), instruments.Weights()))


def test_each_layer_counts_over_its_own_rate_in_what_descent_breaks():
    record = steps_of(
        architectures.Mlp(hidden=(3,), activation="relu", bias=True, scaling=Uneven()),
        rules.GradientDescent(rate=0.1),
    )
    W1, b1, W2 = (
        record[f"{path}"].values for path in ("layer1.weight", "layer1.bias", "layer2.weight")
    )
    by_hand = (W2**2).sum(1) / 1.0 - (W1**2).sum(2) / 0.5 - b1**2 / 3.0
    Q = record["charge_rescaling1"].values
    np.testing.assert_allclose(Q, by_hand, rtol=1e-13)
    # exact at every step: what is left is round-off of Q beside steps of 1e-4
    np.testing.assert_allclose(
        np.diff(Q, axis=0), 0.1**2 * record["breaking_rescaling1"].values[:-1], atol=1e-14
    )
    assert np.abs(np.diff(Q, axis=0)).max() > 1e-5


@pytest.mark.parametrize(
    "rule",
    [
        rules.SGD(rate=0.1, batch=4, decay=0.3),
        rules.GradientDescent(rate=0.1, decay=0.2, coupled=True),
    ],
    ids=str,
)
def test_decay_fades_a_charge_by_its_square_and_batches_break_it_by_their_own_gradients(rule):
    # in the second the ridge of 0.1 decays as well
    ridge = 0.1 if rule.coupled else None
    record = steps_of(architectures.DeepLinear(hidden=(3,)), rule, losses.Squared(ridge=ridge))
    Q, added = record["charge_mixing1"].values, 0.1**2 * record["breaking_mixing1"].values
    np.testing.assert_allclose(Q[1:], (1 - 0.1 * 0.3) ** 2 * Q[:-1] + added[:-1], atol=1e-14)
    W1, W2 = record["layer1.weight"].values, record["layer2.weight"].values
    np.testing.assert_allclose(
        Q, W2.transpose(0, 2, 1) @ W2 - W1 @ W1.transpose(0, 2, 1), atol=1e-14
    )


def test_sums_over_the_outputs_of_a_softmax_stay_to_round_off_or_fade_by_decay():
    record = steps_of(
        architectures.Mlp(hidden=(2,), activation="tanh"),
        rules.SGD(rate=0.5, batch=4, decay=0.1),
        losses.CrossEntropy(),
        CLASSES,
    )
    sums = record["layer2.weight"].values.sum(axis=1)
    np.testing.assert_allclose(sums, 0.95 ** np.arange(21)[:, None] * sums[0], rtol=1e-12)
    np.testing.assert_allclose(record["charge_shift2"].values, sums, rtol=1e-13)


def test_under_flow_a_ridge_fades_charges_at_twice_its_size():
    flow = rules.GradientFlow(rtol=1e-9, atol=1e-12)
    start = prepared(
        architectures.Mlp(hidden=(3,), activation="cube", bias=True),
        NUMBERS,
        flow,
        lm.Clock(time=2.0, marks=5),
        losses.Squared(ridge=0.2),
    )
    record = lm.run(start, (instruments.Charges(),))
    comparison = lm.compare(record, theories.SymmetryCharges())
    assert comparison.verdict == "holds" and np.isfinite(record["charge_rescaling1"].values).all()
    said = comparison.said["charge_rescaling1"].values
    np.testing.assert_allclose(said[-1], np.exp(-0.8) * said[0], rtol=1e-12)


def test_descent_with_decay_breaks_charges_as_said_up_to_the_third_power_of_the_rate():
    experiment = theories.ChargeDrift.example().with_value("rule.decay", 0.1)
    order = measured_order(
        experiment, theories.ChargeDrift(), "rule.rate", [0.02, 0.01, 0.005], "charge_drift"
    )
    assert order.slope == pytest.approx(3, abs=0.1)  # the next power over a range of 4


def test_drift_is_said_of_plain_descent_on_networks_that_are_known():
    good = theories.ChargeDrift.example()
    for path, value in {
        "rule": rules.HeavyBall(),
        "architecture": architectures.Wrapped.example(),
        "architecture.activation": "tanh",
    }.items():
        start = lm.prepare(good.with_value(path, value))
        assert not all(condition.holds for condition in theories.ChargeDrift().conditions(start))
        with pytest.raises(Refused):
            theories.ChargeDrift().predict(start)
    with pytest.raises(Refused, match="symmetries are known"):
        instruments.Charges().check(
            lm.prepare(good.with_value("architecture", architectures.Wrapped.example())).system
        )


def test_descent_on_a_batch_norm_ends_turning_all_units_by_the_same_angle():
    rule, source = (
        rules.GradientDescent(rate=0.2, decay=0.1),
        data.Gaussian(n=32, d=4, k=2, noise=1.0),
    )
    start = prepared(
        architectures.Mlp(hidden=(3,), norm="batch"), source, rule, lm.Clock(steps=3000, every=100)
    )
    record = lm.run(start, (instruments.Turning(),))
    comparison = lm.compare(record, theories.ScaleEquilibrium())
    assert comparison.verdict == "holds"
    # settled to round-off; sqrt(2 * 0.02) = 0.2 would be off by 2e-3
    np.testing.assert_allclose(record["angular_step"].values[-1], np.arccos(0.98), rtol=1e-9)
    norms, pulls = (record[name].values[-1] for name in ("scale_norm", "unit_gradient"))
    np.testing.assert_allclose(
        norms, [equilibrium_norm(pull, 0.2, 0.1) for pull in pulls], rtol=1e-9
    )
    for path, value in {"rule.decay": None, "architecture.norm": "none", "clock.steps": 20}.items():
        conditions = theories.ScaleEquilibrium().conditions(
            lm.prepare(start.experiment.with_value(path, value))
        )
        assert not all(condition.holds for condition in conditions)


def test_the_mean_turning_is_that_of_decay_up_to_the_change_of_the_norm_whatever_the_gradients():
    rule = rules.SGD(rate=0.2, decay=0.3, batch=4)
    record = lm.run(
        prepared(architectures.Mlp(hidden=(3,), norm="rms"), NUMBERS, rule),
        (instruments.Turning(), instruments.Weights()),
    )
    W = record["layer1.weight"].values.reshape(21, -1)
    cosines = (
        (W[1:] * W[:-1]).sum(1) / np.linalg.norm(W[1:], axis=1) / np.linalg.norm(W[:-1], axis=1)
    )
    turning, norms = record["turning"].values[:-1, 0], record["scale_norm"].values[:, 0]
    np.testing.assert_allclose(turning, -np.log(cosines), atol=1e-13)
    np.testing.assert_allclose(
        turning.sum(), -20 * np.log(1 - 0.06) + np.log(norms[-1] / norms[0]), rtol=1e-12
    )


def test_norms_relax_to_where_steps_across_make_up_for_decay():
    rate, decay, pull = 0.1, 0.2, 0.7
    rest = equilibrium_norm(pull, rate, decay)
    np.testing.assert_allclose(norm_course(rest, pull, rate, decay, 50), rest, rtol=1e-13)
    near = norm_course(rest * (1 + 1e-6), pull, rate, decay, 40) / rest - 1
    # linear up to the square of 1e-6, and round-off of 1e-16 over 1e-7
    assert -40 / np.log(near[-1] / near[0]) == pytest.approx(
        relaxation_steps(rate, decay), rel=1e-5
    )
    small = 1e-4
    assert relaxation_steps(small, 1.0) == pytest.approx(1 / (4 * small), rel=4 * small)
    assert angular_step(small, 1.0) == pytest.approx(
        np.sqrt(2 * small) * (1 + small / 12), rel=small**2
    )
    assert equilibrium_norm(pull, small, 1.0) == pytest.approx(
        (small * pull**2 / 2) ** 0.25, rel=small
    )
    far = norm_course(3 * rest, pull, 0.001, decay, 5000) ** 4
    end = equilibrium_norm(pull, 0.001, decay) ** 4
    # |w|^4 relaxes at 4 decay from however far, off by the order of rate * decay over some
    # relaxation times
    np.testing.assert_allclose(
        (far - end) / (far[0] - end), np.exp(-4 * decay * 0.001 * np.arange(5001)), atol=2e-3
    )
