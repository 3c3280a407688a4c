"""Residual blocks of two matrices, x + V s(W x): signals by hand, kernels against wide networks,
symmetries, rates."""

import equinox as eqx
import gaussian_reference as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import data, instruments, losses, rules, scalings
from learnmech.architectures import Residual
from learnmech.errors import Refused
from learnmech.kernels import empirical
from learnmech.kernels.infinite import kernel
from learnmech.language import trees
from learnmech.system.symmetries import symmetries

X = np.random.default_rng(1).standard_normal((5, 3))
signals_of = eqx.filter_jit(lambda one, params, inputs: one.signals(params, inputs))


@eqx.filter_jit
def stepped(system, rule, state):
    """The signals before and after one step."""
    update, _ = rule.moved(system, system.value_and_gradient(state.params)[1], state)
    return system.signals(state.params, system.train.X), system.signals(
        trees.add(state.params, update), system.train.X
    )


def drawn(architecture, d=3, k=2):
    """Normal entries in every array."""
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda w: rng.standard_normal(w.shape), architecture.init(rng, d, k))


MULTIPLIERS = {  # of (weights, biases) of a hidden layer of 4 units, and of the readout
    "sp": (scalings.SP(), (1, 1), (1, 1), (1, 1)),
    "ntk": (
        scalings.NTK(weight=1.3, bias=0.7),
        (1.3 / np.sqrt(3), 0.7),
        (1.3 / 2, 0.7),
        (1.3 / 2, 0.7),
    ),
    "mup": (scalings.MuP(), (2, 2), (1, 2), (1 / 2, 1)),
}


@pytest.mark.parametrize("scaling", MULTIPLIERS)
@pytest.mark.parametrize("norm", ["none", "rms"])
def test_every_signal_of_blocks_of_two_matrices_is_as_by_hand(scaling, norm):
    made, first, hidden, last = MULTIPLIERS[scaling]
    architecture = Residual(
        width=4,
        blocks=2,
        matrices=2,
        activation="tanh",
        branch=0.6,
        depth_power=0.5,
        bias=True,
        scaling=made,
        norm=norm,
    )
    params = drawn(architecture)
    assert list(params) == [f"layer{i}" for i in range(1, 7)]

    def dense(name, by, h):
        return by[0] * h @ params[name]["weight"].T + by[1] * params[name]["bias"]

    h = dense("layer1", first, X)
    seen = {"layer1.post": h}
    for one, two in (("layer2", "layer3"), ("layer4", "layer5")):
        z = dense(one, hidden, h)
        seen[f"{one}.pre"] = z
        z = z / np.sqrt((z**2).mean(1, keepdims=True)) if norm == "rms" else z
        seen[f"{one}.post"] = np.tanh(z)
        seen[f"{two}.pre"] = dense(two, hidden, np.tanh(z))
        h = seen[f"{two}.post"] = h + 0.6 / np.sqrt(2) * seen[f"{two}.pre"]
    seen["output"] = dense("layer6", last, h)
    found = signals_of(architecture, params, X)
    assert set(seen) <= set(found)
    for name, value in seen.items():
        np.testing.assert_allclose(
            found[name], value, rtol=1e-12, atol=1e-12
        )  # sums of 4, through six layers


def test_a_block_of_one_matrix_is_what_it_was():
    one = Residual(width=4, blocks=2)
    assert one.matrices == 1 and len(one.init(np.random.default_rng(0), 3, 2)) == 4
    with pytest.raises(
        Refused, match=r"^Residual needs matrices to be one of 1, 2, but got 3\. Change matrices\.$"
    ):
        Residual(matrices=3)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_tangent_kernel_of_two_matrices_layer_by_layer_is_that_of_the_jacobian(activation):
    architecture = Residual(
        width=5, blocks=2, matrices=2, activation=activation, bias=True, scaling=scalings.NTK()
    )
    params = drawn(architecture)
    found = empirical.traced_kernel(architecture, params, X, full=True)
    slopes = jax.jit(jax.jacobian(lambda p: architecture.forward(p, X)))(params)
    flat = np.concatenate(
        [np.reshape(leaf, (5, 2, -1)) for leaf in jax.tree.leaves(slopes)], axis=2
    )
    np.testing.assert_allclose(
        found, np.einsum("ncp,mdp->nmcd", flat, flat), rtol=1e-11, atol=1e-11
    )


def recursion(activation, x1, x2, blocks, sw, sb, branch):
    """(NNGP, NTK) at infinite width, from the equations alone: every z = W h + b is a fresh
    Gaussian of covariance sw^2 Q + sb^2; a block adds branch^2 (sw^2 E ss' + sb^2) to Q, without
    cross terms since V has mean 0; and to T what V, W and their biases learn, and T itself
    through both."""
    sq = lambda q: sw**2 * q + sb**2  # noqa: E731
    Q = [sq(float(p @ q) / len(p)) for p, q in ((x1, x1), (x2, x2), (x1, x2))]
    T = Q[2]
    for _ in range(blocks):
        a, b, k = map(sq, Q)
        product, slope = map(float, reference.both(activation, a, b, k))
        own = [float(reference.product(activation, v, v, v)) for v in (a, b)]
        inside = sw**2 * slope * (k + sw**2 * T)  # W and what lies before it, seen through s and V
        T = T + branch**2 * (sq(product) + inside)
        Q = [q + branch**2 * sq(p) for q, p in zip(Q, (*own, product))]
    return sq(Q[2]), sq(Q[2]) + sw**2 * T


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_kernels_of_infinitely_wide_blocks_of_two_matrices_follow_their_recursion(activation):
    architecture = Residual(
        blocks=3,
        matrices=2,
        activation=activation,
        branch=0.8,
        bias=True,
        scaling=scalings.NTK(weight=1.3, bias=0.4),
    )
    found = kernel(architecture, X)
    for i, j in ((0, 0), (0, 1), (2, 4)):
        np.testing.assert_allclose(
            [found.nngp[i, j], found.ntk[i, j]],
            recursion(activation, X[i], X[j], 3, 1.3, 0.4, 0.8),
            rtol=1e-12,
        )


def test_wide_blocks_of_two_matrices_go_to_their_kernels():
    def make(h):
        return Residual(
            width=h,
            blocks=2,
            matrices=2,
            branch=0.7,
            bias=True,
            scaling=scalings.NTK(weight=1.2, bias=0.3),
        )

    said, found = kernel(make(4), X), []
    for seed in range(16):
        wide = make(256)
        params = wide.init(np.random.default_rng(seed), 3, 1)
        found.append(empirical.traced_kernel(wide, jax.tree.map(jnp.asarray, params), X))
    error = np.abs(np.mean(found, axis=0) - said.ntk)
    # four standard errors of sixteen starts, and what the mean is off by at width h, of order 1/h
    assert np.all(error <= 4 * np.std(found, axis=0, ddof=1) / 4 + 4 / 256 * said.ntk.max())
    assert np.std(found, axis=0).max() < 0.3 * said.ntk.max()


@pytest.mark.parametrize(
    "activation, kinds", [("relu", {"mixing", "rescaling2", "rescaling4"}), ("tanh", {"mixing"})]
)
@pytest.mark.parametrize("bias", [False, True])
def test_symmetries_of_blocks_of_two_matrices_leave_the_loss_as_it_is(activation, kinds, bias):
    network = Residual(width=4, blocks=2, matrices=2, activation=activation, bias=bias, branch=0.5)
    params = drawn(network)
    found = symmetries(network, losses.Squared(), params)
    assert {one.name for one in found} == kinds
    slope = jax.jit(jax.grad(lambda p: jnp.sum((network.forward(p, X) - 1) ** 2)))(params)
    size = float(jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(slope))))
    for one in found:
        np.testing.assert_allclose(np.asarray(one.along(slope, params)) / size, 0, atol=1e-12)
    normed = Residual(width=4, blocks=2, matrices=2, norm="layer")
    assert {one.name for one in symmetries(normed, losses.Squared(), drawn(normed))} == {
        "mixing",
        "scale2",
        "shift2",
        "scale4",
        "shift4",
    }


@pytest.mark.parametrize(
    "rule", [rules.GradientDescent(rate=0.1), rules.Adam(rate=0.01)], ids=["sgd", "adam"]
)
def test_under_mup_a_first_step_moves_both_matrices_signals_the_same_at_every_width(rule):
    moved = []
    for width in (64, 1024):
        network = Residual(
            width=width, blocks=1, matrices=2, activation="tanh", scaling=scalings.MuP()
        )
        start = lm.prepare(
            lm.Experiment(
                network, data.Gaussian(n=6, d=4, k=1, noise=1.0), rule, lm.Clock(steps=1, marks=2)
            )
        )
        before, after = stepped(start.system, start.rule, start.state)
        moved.append(
            [
                float(np.sqrt(np.mean((after[name] - before[name]) ** 2)))
                for name in ("layer2.pre", "layer3.pre")
            ]
        )
    # a power of width other than 0, of at least 1/2, would be a factor of 4 or more; the start
    # itself scatters by h^-1/2
    assert np.all(np.abs(np.log(np.divide(*moved))) < np.log(1.6))


def test_a_run_of_blocks_of_two_matrices_is_read_layer_by_layer():
    network = Residual(width=4, blocks=1, matrices=2, activation="tanh")
    record = lm.run(
        lm.Experiment(
            network,
            data.Gaussian(n=6, d=3, k=2),
            rules.GradientDescent(rate=0.05),
            lm.Clock(steps=4, every=2),
        ),
        watch=(instruments.Norms(), instruments.Propagation(), instruments.Charges()),
    )
    assert list(record["weight_norm"].coords["layer"].values) == [f"layer{i}" for i in range(1, 5)]
    assert record["preactivation_variance"].sizes["hidden_layer"] == 3
