"""Flow and descent: how fast one becomes the other; and every theory of the catalogue against
the runs it speaks of."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import learnmech as lm
from learnmech.architectures import Mlp
from learnmech.comparison.orders import fitted_order, measured_order
from learnmech.data import Gaussian
from learnmech.errors import Refused
from learnmech.gallery import contracts
from learnmech.language import catalog
from learnmech.rules import Adam, GradientDescent
from learnmech.theories import Flow, ModifiedFlow
from learnmech.theories.base import Limit
from learnmech.theories.flow import epoch_modified_loss, integrated

RATES = [0.08, 0.04, 0.02, 0.01]


@pytest.fixture(scope="module")
def network():
    return lm.Experiment(
        Mlp(hidden=(3,), activation="tanh", bias=True),
        Gaussian(n=8, d=2, k=1, noise=0.3),
        GradientDescent(rate=0.05),
        lm.Clock(time=1.6, marks=3),
    )


def tanh_gradients(params, X, Y, c):
    """Of c |f - Y|^2, f = W_2 tanh(W_1 x + b_1) + b_2, by hand."""
    W1, b1, W2, b2 = params
    hidden = np.tanh(X @ W1.T + b1)
    error = 2 * c * (hidden @ W2.T + b2 - Y)
    back = error @ W2 * (1 - hidden**2)
    return [back.T @ X, back.sum(0), error.T @ hidden, error.sum(0)]


def packed(params):
    return np.concatenate([np.ravel(p) for p in params])


def parts_of(tree):
    return [
        np.asarray(tree[layer][name])
        for layer in ("layer1", "layer2")
        for name in ("weight", "bias")
    ]


@pytest.mark.parametrize(
    "theory, order, quantity",
    [(Flow(), 1, "loss"), (ModifiedFlow(), 2, "loss"), (ModifiedFlow(), 2, "layer1.weight")],
    ids=str,
)
def test_descent_approaches_its_flow_at_the_order_the_theory_names(
    network, theory, order, quantity
):
    found = measured_order(network, theory, "rule.rate", RATES, quantity)
    assert theory.limits[0] == Limit("rule.rate", order)
    # the next order bends the line by about its value at the middle of the range
    assert found.slope == pytest.approx(order, abs=0.08)
    assert 0 < found.standard_error < 0.04 and len(found.errors) == 4


def test_a_flow_in_the_place_of_the_modified_one_is_measured_to_be_of_first_order(network):
    found = measured_order(network, Flow(), "rule.rate", RATES)
    # ten standard errors from the order of the modified flow: the two are told apart
    assert 2 - found.slope > 10 * found.standard_error


@pytest.mark.parametrize("scaling, factor", [("half-mean", 1.0), ("sum", 16.0)])
def test_the_flow_is_that_of_the_gradient_written_by_hand(network, scaling, factor):
    start = lm.prepare(network.with_value("loss", {"kind": "squared", "scaling": scaling}))
    X, Y, c = start.data.train.X, start.data.train.Y, factor / 16
    shapes = [p.shape for p in parts_of(start.params)]
    cuts = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]

    def moving(t, flat):
        return -packed(
            tanh_gradients(
                [p.reshape(s) for p, s in zip(np.split(flat, cuts), shapes, strict=True)], X, Y, c
            )
        )

    end = scipy.integrate.solve_ivp(
        moving, (0, 1 / factor), packed(parts_of(start.params)), "DOP853", rtol=1e-12, atol=1e-14
    ).y[:, -1]
    # the theory's own solver is at 1e-10 a step
    np.testing.assert_allclose(
        packed(parts_of(integrated(start, np.array([0, 1 / factor]), 0.0)[-1])),
        end,
        rtol=0,
        atol=1e-9,
    )


def test_one_step_of_descent_is_the_modified_flow_to_third_order_and_the_plain_flow_to_second(
    network,
):
    rates, off, off_plain = [0.4, 0.2, 0.1, 0.05], [], []
    start = lm.prepare(network)
    begin = parts_of(start.params)
    slope = tanh_gradients(begin, start.data.train.X, start.data.train.Y, 1 / 16)
    for rate in rates:
        step = packed(begin) - rate * packed(slope)
        for modified, gaps in ((rate, off), (0.0, off_plain)):
            gaps.append(
                np.linalg.norm(
                    packed(parts_of(integrated(start, np.array([rate]), modified)[-1])) - step
                )
            )
    # the next order, over a range of 8
    assert fitted_order(rates, off).slope == pytest.approx(3, abs=0.1)
    assert fitted_order(rates, off_plain).slope == pytest.approx(2, abs=0.1)


def test_the_mean_over_all_orders_of_an_epoch_follows_the_flow_of_the_modified_loss():
    # three batches that pull two weights apart
    batches, begin = np.array([[0.9, 0.4], [-0.5, 1.2], [1.3, -0.8]]), np.array([0.7, -0.4])

    def loss(theta, batch):
        return (
            0.5 * (jnp.tanh(theta[0] * theta[1]) * batch[0] + theta[1] - batch[1]) ** 2
            + 0.1 * batch[0] * theta[0] ** 3
        )

    slopes = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))
    per_batch = jax.vmap(loss, (None, 0))
    modified = jax.jit(
        jax.grad(
            lambda theta, rate: epoch_modified_loss(
                per_batch(theta, batches), jax.vmap(jax.grad(loss), (None, 0))(theta, batches), rate
            )
        )
    )
    rates, off, off_plain = [0.02, 0.01, 0.005, 0.0025], [], []
    for rate in rates:
        ends = []
        for order in itertools.permutations(range(3)):
            theta = begin
            for k in order:
                theta = theta - rate * np.asarray(slopes(theta, batches))[k]
            ends.append(theta)
        for velocity, gaps in (
            (lambda t, th, r=rate: -modified(th, r), off),
            (lambda t, th: -np.asarray(slopes(th, batches)).mean(0), off_plain),
        ):
            end = scipy.integrate.solve_ivp(
                velocity, (0, 3 * rate), begin, "DOP853", rtol=1e-12, atol=1e-14
            ).y[:, -1]
            gaps.append(np.linalg.norm(end - np.mean(ends, 0)))
    # the next order, over a range of 8
    assert fitted_order(rates, off).slope == pytest.approx(3, abs=0.1)
    assert fitted_order(rates, off_plain).slope == pytest.approx(2, abs=0.1)


def test_one_batch_a_step_makes_the_modified_loss_of_an_epoch_that_of_descent():
    slope = np.array([[0.3, -1.2, 0.5]])
    # round-off
    assert float(epoch_modified_loss(np.array([0.7]), slope, 0.1)) == pytest.approx(
        0.7 + 0.1 / 4 * np.sum(slope**2), rel=1e-14
    )


# --- every theory


@pytest.mark.parametrize("kind", catalog.members("theories"))
def test_every_theory_keeps_its_contracts(kind):
    checks = contracts.of_part(catalog.members("theories")[kind])
    assert len(checks) >= 6
    assert not [
        (check.claim, check.measured, check.predicted, check.tolerance)
        for check in checks
        if not check.holds
    ]


def test_a_flow_that_is_too_stiff_to_be_solved_is_refused_and_ends_no_comparison():
    """Sign flow at Adam's own eps: a hundred million times as fast near a zero of the gradient
    as far from it."""
    stiff = lm.Experiment(
        Mlp(hidden=(2,)), Gaussian(n=6, d=2), Adam(rate=0.01), lm.Clock(steps=50, every=25)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("learnmech.theories.flow.MOST", 2000)
        with pytest.raises(Refused, match="looks at its velocity"):
            lm.predict(stiff, Flow())
        said = lm.compare(lm.run(stiff, ("loss",)), Flow())
    assert said.verdict == "outside domain" and not said.rows
