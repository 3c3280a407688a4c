"""Kernels of the adapter as notebooks handle them: names in capitals, kernels of one's own,
lists of inputs, blocks, functions of one's own."""

import dataclasses

import jax
import jax.numpy as jnp
import learnmech_tangents as nt
import numpy as np
import pytest
from learnmech_tangents import stax

from learnmech.architectures import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.errors import Refused
from learnmech.theories.infinite_width import kernel

KEY = jax.random.PRNGKey(1)
X, Y = (np.random.default_rng(seed).standard_normal((n, 3)) for seed, n in ((0, 8), (1, 5)))
BLOCK = stax.serial(stax.Dense(16, 1.5, 0.1), stax.Relu())
NET = stax.serial(BLOCK, stax.Dense(1, 1.2, 0.1))
ACTIVATED = stax.serial(stax.Relu(), stax.Dense(1, 1.2, 0.1))
TWO = stax.serial(
    stax.parallel(
        stax.Dense(64, 1.1), stax.serial(stax.Dense(64), stax.Erf(), stax.Dense(64, 1.3))
    ),
    stax.FanInSum(),
    stax.Dense(2),
)


def test_names_of_kernels_may_be_in_capitals():
    both = NET[2](X, Y, ("NNGP", "Ntk"))
    assert both._fields == ("nngp", "ntk")
    np.testing.assert_array_equal(NET[2](X, Y, "NTK"), both.ntk)
    _, params = NET[0](KEY, X.shape)
    assert nt.empirical_kernel_fn(NET[1])(X, Y, "NTK", params).shape == (8, 5)
    predict = nt.predict.gradient_descent_mse_ensemble(NET[2], X, X[:, :1], diag_reg=1e-3)
    np.testing.assert_array_equal(predict(x_test=Y, get="NTK"), predict(x_test=Y, get="ntk"))


def test_a_kernel_composed_of_two_is_that_of_the_whole_field_by_field():
    for inputs in ((X,), (X, Y)):
        composed, whole = ACTIVATED[2](stax.Dense(16, 1.5, 0.1)[2](*inputs)), NET[2](*inputs)
        assert jax.tree.structure(composed) == jax.tree.structure(whole)
        for field in dataclasses.fields(whole):
            one, other = getattr(composed, field.name), getattr(whole, field.name)
            if hasattr(other, "shape"):
                # 1e-7: between layers only covariances are handed on
                np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-12)
            else:
                assert one == other, field.name


def test_a_kernel_is_made_of_a_matrix():
    K = X @ X.T / 3
    made = nt.Kernel(nngp=1.5**2 * K + 0.01, ntk=1.5**2 * K + 0.01, is_gaussian=True)
    np.testing.assert_allclose(ACTIVATED[2](made, get="ntk"), NET[2](X, None, "ntk"), rtol=1e-7)
    np.testing.assert_array_equal(made.cov1, np.diag(made.nngp))
    with pytest.raises(Refused, match="Gaussian"):
        ACTIVATED[2](made.replace(is_gaussian=False))
    blank = nt.Kernel(
        nngp=K,
        ntk=np.zeros(()),
        cov1=np.diag(K),
        x1_is_x2=jnp.array(True),
        shape1=(8, 3),
        shape2=(8, 3),
    )
    np.testing.assert_allclose(NET[2](blank).ntk, NET[2](X).ntk, rtol=1e-7)
    assert nt.Kernel(nngp=K).asdict()["ntk"] is None and len(made.astuple()) == len(made.asdict())
    across = nt.Kernel(X @ Y.T / 3, None, (X**2).mean(1), (Y**2).mean(1), False)
    np.testing.assert_allclose(NET[2](across).nngp, NET[2](X, Y).nngp, rtol=1e-12)
    assert NET[2](across).ntk is None
    compiled = jax.jit(
        lambda K: ACTIVATED[2](nt.Kernel(nngp=K, ntk=K, is_gaussian=True), get="ntk")
    )
    np.testing.assert_allclose(compiled(made.nngp), ACTIVATED[2](made, get="ntk"), rtol=1e-12)


def test_a_batched_function_takes_kernels():
    for inputs in ((X,), (X, Y)):
        kernel = stax.Dense(16, 1.5, 0.1)[2](*inputs)
        whole, tiled = ACTIVATED[2](kernel), nt.batch(ACTIVATED[2], batch_size=3)(kernel)
        for name in ("nngp", "ntk", "cov1", "cov2", "x1_is_x2", "shape1", "shape2", "is_gaussian"):
            one, other = getattr(tiled, name), getattr(whole, name)
            # 1e-7: by blocks the diagonal is not known to be one
            np.testing.assert_allclose(one, other, rtol=1e-7) if hasattr(other, "shape") else None
            assert hasattr(other, "shape") or one == other


def test_networks_of_several_inputs_take_lists_of_them():
    one, two = [X, X[:, :2]], [Y, Y[:, :2]]
    K = [1.1**2 * X @ Y.T / 3, X[:, :2] @ Y[:, :2].T / 2]
    parts = stax.serial(stax.Dense(64), stax.Erf(), stax.Dense(64, 1.3))[2](X[:, :2], Y[:, :2])
    expected = K[0] + parts.nngp
    found = TWO[2](one, two)
    np.testing.assert_allclose(found.nngp, expected, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, K[0] + parts.ntk + expected, rtol=1e-12)
    np.testing.assert_allclose(nt.batch(TWO[2], 3)(one, two, "ntk"), found.ntk, rtol=1e-12)
    square = TWO[2](one)
    assert square.x1_is_x2 and square.cov2 is None
    np.testing.assert_allclose(
        jax.jit(TWO[2], static_argnums=2)(one, two, "ntk"), found.ntk, rtol=1e-12
    )
    for ask in (
        lambda: TWO[2](one, Y),
        lambda: TWO[2]([X, X[:2, :2]]),
        lambda: TWO[2](X),
        lambda: TWO[2]([X]),
    ):
        with pytest.raises(Refused):
            ask()


def test_sampled_kernels_of_several_inputs_are_those_of_infinite_width():
    one, two = [X[:3], X[:3, :2]], [Y[:2], Y[:2, :2]]
    limit = TWO[2](one, two, "ntk")
    sample = [
        nt.monte_carlo_kernel_fn(TWO[0], TWO[1], key, 8, vmap_axes=0, batch_size=2)(one, two, "NTK")
        for key in jax.random.split(KEY, 8)
    ]
    mean, spread = np.mean(sample, axis=0), np.std(sample, axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(mean - limit) < 5.5 * spread + 2 / 64 * np.abs(limit).max()).all()
    assert (spread < 0.1 * np.abs(limit).max()).all()


NOTHING = {
    "broken line": stax.ABRelu(0, 0),
    "sine": stax.Sin(0.0),
    "error function": stax.Erf(0.0),
    "own": stax.ElementwiseNumerical(lambda z: 0 * z, 5),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_activation_of_nothing_leaves_the_biases(name):
    layer = NOTHING[name]
    plain = stax.serial(stax.Dense(4), layer, stax.Dense(1))[2](X, Y)
    assert not np.any(plain.nngp) and not np.any(plain.ntk)
    biased = stax.serial(stax.Dense(4, 1.0, 0.2), layer, stax.Dense(1, 1.0, 0.3))[2](X)
    np.testing.assert_allclose(biased.ntk, np.full((8, 8), 0.09), rtol=1e-14)


def test_a_function_of_ones_own_has_the_kernels_of_the_same_activation_by_name():
    found = kernel(
        Mlp(hidden=(8,), activation="tanh", bias=True, scaling=NTK(weight=1.4, bias=0.2)), X, Y
    )
    own = stax.serial(
        stax.Dense(8, 1.4, 0.2),
        stax.ElementwiseNumerical(lambda z: jnp.tanh(z), deg=25),
        stax.Dense(1, 1.4, 0.2),
    )
    np.testing.assert_allclose(own[2](X, Y, "ntk"), found.ntk, rtol=1e-11)
    constant = stax.serial(
        stax.Dense(8, 1.4, 0.2), stax.ElementwiseNumerical(lambda z: 0 * z + 2.0, 5), stax.Dense(1)
    )[2](X, Y)
    np.testing.assert_allclose(constant.nngp, np.full((8, 5), 4.0), rtol=1e-12)
    np.testing.assert_allclose(constant.ntk, np.full((8, 5), 4.0), rtol=1e-12)
    np.testing.assert_allclose(own[1](own[0](KEY, X.shape)[1], X).shape, (8, 1))
    with pytest.raises(Refused, match="kink"):
        stax.serial(
            stax.Dense(8), stax.ElementwiseNumerical(lambda z: jnp.abs(z), 25), stax.Dense(1)
        )[2](X)


def test_a_repeated_layer_is_that_many_layers():
    layer = stax.serial(stax.Relu(), stax.Dense(16, 1.4, 0.1))
    repeated = stax.serial(stax.Dense(16), stax.repeat(layer, 3), stax.Dense(2))
    written = stax.serial(stax.Dense(16), *[layer] * 3, stax.Dense(2))
    np.testing.assert_array_equal(repeated[2](X, Y, "ntk"), written[2](X, Y, "ntk"))
    shape, params = repeated[0](KEY, (-1, 3))
    assert shape == (-1, 2) and params[1][1][0].shape == (3, 16, 16)
    unstacked = [jax.tree.map(lambda x, i=i: x[i], params[1]) for i in range(3)]
    np.testing.assert_allclose(
        repeated[1](params, X), written[1]([params[0], *unstacked, params[2]], X), rtol=1e-12
    )


def test_kernels_and_predictions_come_where_arrays_of_unlike_rank_may_not_meet():
    smooth = stax.serial(
        stax.Dense(8, 1.4, 0.1), stax.ElementwiseNumerical(jnp.tanh, 25), stax.Dense(1)
    )
    with jax.numpy_rank_promotion("raise"):
        for one in (NET, smooth, TWO):
            inputs = ([X, X[:, :2]], [Y, Y[:, :2]]) if one is TWO else (X, Y)
            assert (
                np.isfinite(one[2](*inputs, "ntk")).all()
                and np.isfinite(one[2](inputs[0]).ntk).all()
            )
        assert np.isfinite(jax.jit(smooth[2], static_argnums=2)(X, Y, "ntk")).all()
        predict = nt.predict.gradient_descent_mse_ensemble(NET[2], X, X[:, :1], diag_reg=1e-3)
        assert np.isfinite(
            predict(np.array([1.0, 2.0]), Y, "ntk", compute_cov=True).covariance
        ).all()
        flow = nt.predict.gradient_descent_mse(NET[2](X, None, "ntk"), X[:, :2])
        assert np.isfinite(flow(np.array([1.0, 2.0]), 0.0, 0.0, NET[2](Y, X, "ntk"))[1]).all()
