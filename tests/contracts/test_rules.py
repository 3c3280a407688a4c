"""Rules: every way of moving, against a recursion or a solver written without learnmech."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

import learnmech as lm
from learnmech import architectures, data, initial, rules, scalings
from learnmech.errors import Refused
from learnmech.system.state import State

STEPS = lm.Clock(steps=20, marks=5)
DATA = data.Gaussian(n=12, d=3, k=2, noise=0.1)
REGRESSION, TWO_LAYERS = architectures.DeepLinear(), architectures.DeepLinear(hidden=(4,))
# round-off of 20 steps in float64, each of a few dozen sums
ROUND_OFF = {"rtol": 1e-11, "atol": 1e-13}


def trial(rule, architecture=TWO_LAYERS, clock=STEPS, **changes):
    """(the experiment, its start as numpy weights by layer, X, Y)."""
    experiment = lm.Experiment(architecture, DATA, rule, clock, **changes)
    start = lm.prepare(experiment)
    return experiment, start.params, start.data.train.X, start.data.train.Y


def slope(W1, W2, X, Y):
    """Gradient of |X (W2 W1)' - Y|^2 / 2n in both weights."""
    error = (X @ (W2 @ W1).T - Y).T @ X / len(X)
    return [W2.T @ error, error @ W1.T]


def walked(rule, move):
    """(weights learnmech ends with, weights that `move(gradients, memory, weights) -> (updates,
    memory)` ends with) on two linear layers."""
    experiment, params, X, Y = trial(rule)
    weights, memory = [params[name]["weight"] for name in ("layer1", "layer2")], None
    for _ in range(20):
        updates, memory = move(slope(*weights, X, Y), memory, weights)
        weights = [w + u for w, u in zip(weights, updates, strict=True)]
    final = lm.run(experiment).final
    return [final["layer1.weight"], final["layer2.weight"]], weights


def agree(pair):
    for seen, said in zip(*pair, strict=True):
        np.testing.assert_allclose(seen, said, **ROUND_OFF)


def test_gradient_descent_on_linear_regression_is_its_recursion():
    experiment, params, X, Y = trial(rules.GradientDescent(rate=0.3), REGRESSION)
    W, losses = params["layer1"]["weight"], []
    for _ in range(21):
        last, error = W, X @ W.T - Y
        losses.append(np.sum(error**2) / 24)
        W = W - 0.3 * error.T @ X / 12
    record = lm.run(experiment)
    np.testing.assert_allclose(record.final["layer1.weight"], last, **ROUND_OFF)
    np.testing.assert_allclose(record["loss"], np.array(losses)[[0, 5, 10, 15, 20]], **ROUND_OFF)
    assert np.array_equal(record["loss"]["step"], [0, 5, 10, 15, 20])
    assert np.array_equal(record["loss"]["time"], np.array([0, 5, 10, 15, 20]) * 0.3)


def test_gradient_descent_on_two_layers_is_its_recursion():
    agree(
        walked(rules.GradientDescent(rate=0.1), lambda g, memory, w: ([-0.1 * x for x in g], None))
    )


def test_heavy_ball_adds_the_gradient_to_a_fading_velocity():
    def move(g, v, w):
        v = [0.8 * a + b for a, b in zip(v or [0.0, 0.0], g, strict=True)]
        return [-0.05 * a for a in v], v

    agree(walked(rules.HeavyBall(rate=0.05, momentum=0.8), move))


@pytest.mark.parametrize("decay", [None, 0.3])
def test_adam_divides_by_the_size_of_the_gradients_and_adamw_also_decays(decay):
    rate, b1, b2, eps = 0.02, 0.8, 0.95, 1e-3

    def move(g, memory, w):
        m, v, t = memory or ([0.0, 0.0], [0.0, 0.0], 0)
        m = [b1 * a + (1 - b1) * b for a, b in zip(m, g, strict=True)]
        v = [b2 * a + (1 - b2) * b**2 for a, b in zip(v, g, strict=True)]
        t += 1
        unbiased = [
            (a / (1 - b1**t)) / (np.sqrt(b / (1 - b2**t)) + eps) for a, b in zip(m, v, strict=True)
        ]
        return [-rate * (u + (decay or 0.0) * x) for u, x in zip(unbiased, w, strict=True)], (
            m,
            v,
            t,
        )

    knobs = {"rate": rate, "b1": b1, "b2": b2, "eps": eps}
    agree(walked(rules.Adam(**knobs) if decay is None else rules.AdamW(**knobs, decay=decay), move))


# --- batches


@functools.cache
def drawing(sampling, batch):
    """The samples of the first 4000 steps as a function of the key, compiled."""
    rule = rules.SGD(batch=batch, sampling=sampling)
    return jax.jit(
        lambda key: jax.vmap(lambda step: rule.indices(12, State(None, None, step, None, key)))(
            jnp.arange(4000)
        )
    )


def draws(sampling, batch, key=None):
    """The samples of the first 4000 steps, (4000, batch)."""
    return np.asarray(drawing(sampling, batch)(jax.random.PRNGKey(0) if key is None else key))


@pytest.mark.parametrize("sampling, batch", [("replacement", 4), ("subset", 4), ("epoch", 5)])
def test_sgd_is_descent_on_the_batches_it_says_it_draws(sampling, batch):
    experiment, params, X, Y = trial(
        rules.SGD(rate=0.2, batch=batch, sampling=sampling), REGRESSION
    )
    W = params["layer1"]["weight"]
    for seen in draws(sampling, batch, lm.prepare(experiment).state.key)[:20]:
        W = W - 0.2 * (X[seen] @ W.T - Y[seen]).T @ X[seen] / batch
    np.testing.assert_allclose(lm.run(experiment).final["layer1.weight"], W, **ROUND_OFF)


@pytest.mark.parametrize("batch", [4, 5])
def test_an_epoch_visits_each_sample_once_and_the_next_in_another_order(batch):
    per_epoch = 12 // batch
    epochs = draws("epoch", batch)[: 40 * per_epoch].reshape(40, -1)
    assert all(
        len(set(epoch)) == per_epoch * batch and set(epoch) <= set(range(12)) for epoch in epochs
    )
    assert len({tuple(epoch) for epoch in epochs}) == 40
    # what is left out of an epoch is not always the same
    assert set(epochs.ravel()) == set(range(12))


def test_a_subset_has_no_repeats_and_replacement_has_some():
    assert all(len(set(row)) == 4 for row in draws("subset", 4))
    # four samples of twelve are all different with probability 12 * 11 * 10 * 9/12^4 = 0.573, seen
    # to 0.008 in 4000 draws; five times that
    assert np.mean([len(set(row)) == 4 for row in draws("replacement", 4)]) == pytest.approx(
        0.573, abs=0.04
    )


@pytest.mark.parametrize(
    "sampling, spread", [("replacement", 1.0), ("subset", (12 - 4) / (12 - 1))]
)
def test_the_batch_gradient_is_unbiased_and_as_noisy_as_statistics_says(sampling, spread):
    _, params, X, Y = trial(rules.SGD.example(), REGRESSION)
    each = np.einsum("nk,nd->nkd", X @ params["layer1"]["weight"].T - Y, X).reshape(12, -1)
    seen = each[draws(sampling, 4)].mean(1)
    standard = np.sqrt(spread * each.var(0) / 4 / 4000)
    # six entries, each within 4 standard errors of the full gradient with probability 0.9999
    assert np.all(abs(seen.mean(0) - each.mean(0)) < 4 * standard)
    # a variance from 4000 draws is good to about sqrt(2/4000) = 2%; four times that; the two
    # samplings differ by 27%
    assert seen.var(0).sum() == pytest.approx(spread * each.var(0).sum() / 4, rel=0.09)


def test_a_batch_of_every_sample_in_epochs_is_gradient_descent():
    whole, by_batch = (
        lm.run(trial(rule, REGRESSION)[0]).final
        for rule in (
            rules.GradientDescent(rate=0.2),
            rules.SGD(rate=0.2, batch=12, sampling="epoch"),
        )
    )
    # the same sums in another order
    np.testing.assert_allclose(by_batch["layer1.weight"], whole["layer1.weight"], **ROUND_OFF)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(
        Refused, match=r"^SGD needs a batch of at most n = 12 samples, but got 13\. "
    ):
        lm.prepare(trial(rules.SGD.example())[0].with_value("rule.batch", 13))


# --- flows

FLOW = lm.Clock(time=3.0, marks=4)


@pytest.mark.parametrize(
    "solver, scaling, factor, p",
    [("dopri8", scalings.SP(), 1, 1), ("tsit5", scalings.MeanField(), 4, 1 / 4)],
    ids=["dopri8-sp", "tsit5-mean-field"],
)
def test_gradient_flow_on_two_layers_is_what_another_solver_finds(solver, scaling, factor, p):
    rule = rules.GradientFlow(rtol=1e-9, atol=1e-11, solver=solver)
    experiment, params, X, Y = trial(
        rule, architectures.DeepLinear(hidden=(4,), scaling=scaling), FLOW
    )

    def velocity(t, w):
        W1, W2 = w[:12].reshape(4, 3), p * w[12:].reshape(2, 4)
        g1, g2 = slope(W1, W2, X, Y)
        return -factor * np.concatenate([np.ravel(g1), p * np.ravel(g2)])

    w0 = np.concatenate([np.ravel(params[name]["weight"]) for name in ("layer1", "layer2")])
    other = scipy.integrate.solve_ivp(
        velocity, (0, 3), w0, method="DOP853", rtol=1e-12, atol=1e-14
    ).y[:, -1]
    final = lm.run(experiment).final
    # tolerance per step 1e-9 over some dozens of steps of a contracting flow
    np.testing.assert_allclose(
        np.concatenate([np.ravel(final["layer1.weight"]), np.ravel(final["layer2.weight"])]),
        other,
        atol=1e-7,
    )
    assert np.abs(w0 - other).max() > 0.1


def test_gradient_flow_on_linear_regression_is_an_exponential():
    rule = rules.GradientFlow(rtol=1e-9, atol=1e-11)
    experiment, params, X, Y = trial(rule, REGRESSION, FLOW)
    best = np.linalg.lstsq(X, Y)[0].T
    W = [
        best + (params["layer1"]["weight"] - best) @ scipy.linalg.expm(-t * X.T @ X / 12)
        for t in (0.0, 1.0, 2.0, 3.0)
    ]
    record = lm.run(experiment)
    np.testing.assert_allclose(record.final["layer1.weight"], W[-1], atol=1e-7)
    np.testing.assert_allclose(
        record["loss"], [np.sum((X @ w.T - Y) ** 2) / 24 for w in W], atol=1e-7
    )
    assert (
        np.array_equal(record["loss"]["time"], [0.0, 1.0, 2.0, 3.0])
        and "step" not in record["loss"].coords
    )


def test_a_flow_short_of_solver_steps_says_so_and_how_to_mend_it():
    experiment, *_ = trial(rules.GradientFlow(rtol=1e-9, atol=1e-11, max_steps=3), REGRESSION, FLOW)
    record = lm.run(experiment)
    assert any(
        "did not reach its tolerance" in note and "rule.max_steps" in note for note in record.notes
    )


def test_a_flow_refuses_a_clock_in_steps():
    with pytest.raises(Refused, match="time"):
        lm.prepare(
            trial(rules.GradientFlow(), REGRESSION, FLOW)[0].with_value("clock", {"steps": 3})
        )


# --- scalings: factors on the base rate

H = 4
FACTORS = {  # (W1, b1, W2, b2) for gradient descent, and for Adam
    "sp": ((1, 1, 1, 1), (1, 1, 1, 1)),
    "ntk": ((1, 1, 1, 1), (1, 1, 1, 1)),
    "mean-field": ((H, H, H, 1), (1, 1, 1, 1)),
    "mup": ((1, 1, 1, 1), (H**-0.5, H**-0.5, H**-0.5, 1)),
}
MULTIPLIERS = {
    "sp": (1, 1, 1, 1),
    "ntk": (3**-0.5, 1, H**-0.5, 1),
    "mean-field": (1, 1, 1 / H, 1),
    "mup": (H**0.5, H**0.5, H**-0.5, 1),
}


@pytest.mark.parametrize("adam", [False, True], ids=["descent", "adam"])
@pytest.mark.parametrize("name", FACTORS)
def test_a_step_is_the_rate_times_the_factor_of_the_scaling(name, adam):
    rule = rules.Adam(rate=0.01, eps=0.0) if adam else rules.GradientDescent(rate=0.05)
    network = architectures.Mlp(hidden=(H,), bias=True, scaling=scalings.SCALINGS[name]())
    flat = np.random.default_rng(3).standard_normal(H * 3 + H + 2 * H + 2)
    experiment, params, X, Y = trial(
        rule, network, lm.Clock(steps=1, marks=2), initial=initial.Given(flat)
    )
    (W1, b1), (W2, b2) = (
        (params[layer]["weight"], params[layer]["bias"]) for layer in ("layer1", "layer2")
    )
    p1, q1, p2, q2 = MULTIPLIERS[name]
    h = np.tanh(p1 * X @ W1.T + q1 * b1)
    error = (p2 * h @ W2.T + q2 * b2 - Y) / 12
    back = p2 * error @ W2 * (1 - h**2)
    gradients = {
        "layer1.weight": p1 * back.T @ X,
        "layer1.bias": q1 * back.sum(0),
        "layer2.weight": p2 * error.T @ h,
        "layer2.bias": q2 * error.sum(0),
    }
    before = {"layer1.weight": W1, "layer1.bias": b1, "layer2.weight": W2, "layer2.bias": b2}
    final = lm.run(experiment).final
    order = ("layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias")
    for path, factor in zip(order, FACTORS[name][adam], strict=True):
        update = (
            np.sign(gradients[path]) if adam else gradients[path]
        )  # the first step of Adam is a sign
        expected = -(0.01 if adam else 0.05) * factor * update
        # round-off of weights of size 1, of which the update is a small part
        np.testing.assert_allclose(
            final[path] - before[path], expected, atol=1e-14, rtol=1e-12, err_msg=path
        )


# --- turning a knob

COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: (
        COMPILED.append(name) if name.endswith("backend_compile_duration") else None
    )
)


@pytest.mark.parametrize(
    "rule",
    [
        rules.GradientDescent,
        rules.SGD,
        rules.HeavyBall,
        rules.Adam,
        rules.AdamW,
        rules.GradientFlow,
    ],
    ids=lambda r: r.__name__,
)
def test_twenty_values_of_a_knob_compile_once(rule):
    flows = rule is rules.GradientFlow
    part = rules.SGD(batch=3) if rule is rules.SGD else rule()
    experiment, *_ = trial(part, architectures.DeepLinear(hidden=(5,)), FLOW if flows else STEPS)
    path = "rule.rtol" if flows else "rule.rate"
    before = len(COMPILED)
    ends = [lm.run(experiment.with_value(path, 1e-3))["loss"].values[-1]]
    assert len(COMPILED) > before
    before = len(COMPILED)
    ends += [
        lm.run(experiment.with_value(path, float(value)))["loss"].values[-1]
        for value in np.geomspace(1e-9 if flows else 1e-3, 1e-2, 20)[1:]
    ]
    assert len(COMPILED) == before
    assert len(set(ends)) == 20
