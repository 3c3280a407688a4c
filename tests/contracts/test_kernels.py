"""Kernels of infinite width as they are asked for: what is given back, in every scaling and
through every wrapper, derivatives, and what does not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learnmech import architectures, scalings
from learnmech.errors import Refused
from learnmech.kernels.empirical import full_kernel, tangent_kernel, traced_kernel
from learnmech.kernels.infinite import kernel

X = np.random.default_rng(0).standard_normal((5, 3))
RELU = architectures.Mlp(
    hidden=(8, 8), activation="relu", bias=True, scaling=scalings.NTK(weight=1.4, bias=0.3)
)


def test_one_kernel_named_alone_comes_as_an_array_and_both_as_a_named_pair():
    both = kernel(RELU, X)
    assert np.array_equal(kernel(RELU, X, get="ntk"), both.ntk) and np.array_equal(
        kernel(RELU, X, get=("nngp",)).nngp, both.nngp
    )
    assert kernel(RELU, X, get=("ntk",)).nngp is None


def test_a_tangent_network_has_the_limit_of_its_network_and_a_dialed_one_starts_at_nothing():
    both, tangent = kernel(RELU, X), kernel(architectures.Linearized(RELU), X)
    assert np.array_equal(tangent.nngp, both.nngp) and np.array_equal(tangent.ntk, both.ntk)
    centered = kernel(architectures.Dialed(RELU, alpha=3.0), X)
    assert np.array_equal(centered.ntk, both.ntk) and not centered.nngp.any()
    # one product more than the plain kernel
    np.testing.assert_allclose(
        kernel(architectures.Dialed(RELU, alpha=3.0, centered=False), X).nngp,
        9 * both.nngp,
        rtol=1e-14,
    )


def test_in_sp_there_is_a_gaussian_process_and_a_tangent_kernel_that_grows():
    sp = architectures.Mlp(hidden=(8, 8), activation="erf")
    unit = architectures.Mlp(hidden=(8, 8), activation="erf", scaling=scalings.NTK())
    np.testing.assert_allclose(kernel(sp, X, get="nngp"), kernel(unit, X, get="nngp"), rtol=1e-14)
    with pytest.raises(
        Refused,
        match=(
            r"SP needs a tangent kernel of order one at every width, but got one that grows as h\^1"
            r" .*\. Use scalings\.NTK"
        ),
    ):
        kernel(sp, X)


@pytest.mark.parametrize(
    "hidden, scaling",
    [((4096,), scalings.MeanField()), ((1024, 1024), scalings.MuP())],
    ids=["mean-field", "mup"],
)
def test_a_wide_network_of_the_rich_scalings_starts_from_the_kernel_of_its_limit(hidden, scaling):
    network = architectures.Mlp(hidden=hidden, activation="tanh", scaling=scaling)
    said, seen = kernel(network, X), []
    for seed in range(8):
        params = jax.tree.map(jnp.asarray, network.init(np.random.default_rng(seed), 3, 1))
        seen.append(traced_kernel(network, params, jnp.asarray(X)))
    assert not said.nngp.any()  # outputs of a start vanish as the width grows
    mean, error = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / np.sqrt(len(seen))
    # 15 different entries: 4.5 standard errors of 8 draws, and what is of the order of 1/width in
    # the mean
    assert (np.abs(mean - said.ntk) < 4.5 * error + 10 / hidden[0] * np.abs(said.ntk).max()).all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "erf"])
def test_kernels_can_be_differentiated_by_inputs_and_by_the_scaling_and_stay_finite_at_coincident_inputs(
    activation,
):
    network = architectures.Mlp(
        hidden=(8,) if activation == "tanh" else (8, 8),
        activation=activation,
        bias=True,
        scaling=RELU.scaling,
    )
    twice, rng, step = np.vstack([X, X[:1]]), np.random.default_rng(1), 1e-5
    weight = rng.standard_normal((6, 6))

    def total(inputs):
        found = kernel(network, inputs, get="ntk")
        return (weight * found).sum(), found

    slope, traced = jax.jit(jax.grad(total, has_aux=True))(jnp.asarray(twice))
    direction = rng.standard_normal(twice.shape)
    np.testing.assert_allclose(traced, kernel(network, twice, get="ntk"), rtol=1e-12)
    direction[-1] = direction[
        0
    ]  # apart, relu's tangent kernel has a kink where two inputs coincide
    assert np.isfinite(slope).all()
    ahead, behind = (float(total(twice + sign * step * direction)[0]) for sign in (1, -1))
    # central differences: curvature step^2 and round-off eps/step, relative to entries of order
    # one, with a margin
    assert float(jnp.sum(slope * direction)) == pytest.approx(
        (ahead - behind) / (2 * step), abs=1e-7
    )

    def at(weight):
        return jnp.sum(
            kernel(eqx.tree_at(lambda one: one.scaling.weight, network, weight), X, get="nngp")
        )

    ahead, behind = (float(at(np.asarray(1.4 + sign * step))) for sign in (1, -1))
    assert float(jax.jit(jax.grad(at))(jnp.asarray(1.4))) == pytest.approx(
        (ahead - behind) / (2 * step), abs=1e-6
    )


def test_more_pairs_than_memory_holds_are_refused_before_any_is_computed():
    with pytest.raises(
        Refused,
        match=(
            r"The kernel of 300000 by 300000 inputs needs 1\.44 TB of memory, but got .* free\."
            r" Compute it in blocks"
        ),
    ):
        kernel(RELU, np.ones((300_000, 2)))


@pytest.mark.parametrize(
    "X1, X2",
    [(X, X[:, :2]), (X[:0], None), (X[0], None)],
    ids=["unlike dimensions", "no inputs", "one input that is no row"],
)
@pytest.mark.parametrize("ask", [tangent_kernel, full_kernel])
def test_inputs_that_do_not_fit_are_refused_by_the_kernels_of_finite_networks(ask, X1, X2):
    params = jax.tree.map(jnp.asarray, RELU.init(np.random.default_rng(0), 3, 1))
    with pytest.raises(
        Refused,
        match=(
            r"^The tangent kernel needs inputs \(n, d\) and \(m, d\) of one dimension, but got"
            r" shape .*\."
        ),
    ):
        ask(RELU, params, X1, X2)
