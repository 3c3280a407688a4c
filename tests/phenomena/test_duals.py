"""Gaussian duals of every activation: against 50 digits, at the edges of the covariances, and
against samples."""

import functools

import gaussian_reference as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mpf

from learnmech.activations import duals
from learnmech.activations.functions import activation
from learnmech.errors import Refused

EPS = np.finfo(float).eps
every = pytest.mark.parametrize("name", reference.ACTIVATIONS)
closed = pytest.mark.parametrize("name", reference.CLOSED)


@functools.cache
def exact(name, a, b, k):
    """Product and slope as doubles, off the file where they are dear."""
    dear = name in reference.ON_FILE and not (a == b == abs(k))
    return tuple(
        map(float, reference.kept("both", name, a, b, k) if dear else reference.both(name, a, b, k))
    )


@functools.cache
def exactly(name, kind):
    """(a, b, k) and the exact products and slopes there, as arrays."""
    points = {"generic": reference.points(), "extreme": reference.EXTREME, "near": reference.NEAR}[
        kind
    ]
    return np.array(points).T, np.array([exact(name, *point) for point in points]).T


COUNT = 64  # points at a time, whatever is asked: one program for every activation


def found(name, a, b, k):
    """What `duals` say at these points: (products, slopes)."""
    points = np.stack([x.ravel() for x in np.broadcast_arrays(a, b, k)]).astype(float)
    fill = -points.shape[1] % COUNT
    padded = np.concatenate([points, np.repeat(points[:, -1:], fill, axis=1)], axis=1)
    parts = [padded[:, at : at + COUNT] for at in range(0, padded.shape[1], COUNT)]
    shape = np.broadcast_shapes(*map(np.shape, (a, b, k)))
    return tuple(
        np.concatenate([dual(name, *part) for part in parts])[: points.shape[1]].reshape(shape)
        for dual in (duals.product, duals.slope)
    )


def means(name, a):
    """The means that `duals` say, as many at a time as there are in the longest list."""
    a = np.atleast_1d(a)
    return np.asarray(duals.mean(name, np.concatenate([a, np.repeat(a[-1:], 6 - len(a))])))[
        : len(a)
    ]


def gradients(name, a, b, k):
    """d product/d(a, b, k) at these points."""
    padded = [
        jnp.asarray(np.concatenate([x, np.repeat(x[-1:], COUNT - len(x))])) for x in (a, b, k)
    ]
    return [
        np.asarray(g)[: len(a)]
        for g in jax.grad(lambda a, b, k: jnp.sum(duals.product(name, a, b, k)), argnums=(0, 1, 2))(
            *padded
        )
    ]


def derivative(f, at):
    """f'(at) by a central difference; of 25-digit values it has 15 digits."""
    at, step = mpf(at), mpf(at) * mpf("1e-9")
    return (f(at + step) - f(at - step)) / (2 * step)


def accuracy(name):
    """What a value may be off relative to its own size: a few roundings of a closed form, the
    stated 1e-12 of quadrature."""
    return 1e-12 if name in reference.ON_FILE else 2e-14


@pytest.mark.parametrize("kind", ["generic", "extreme"])
@every
def test_products_and_slopes_are_those_of_fifty_digits(name, kind):
    (a, b, k), (product, slope) = exactly(name, kind)
    # 1e-10 is the promise at generic points: the worst conditioned one here, correlation -0.99 of a
    # rectifier, loses about three digits.
    np.testing.assert_allclose(found(name, a, b, k), [product, slope], rtol=1e-10, atol=0)


@every
def test_means_are_those_of_fifty_digits(name):
    a = np.array([1e-4, 0.05, 0.7, 1.9, 4.0, 20.0])
    said = [float(reference.mean(name, variance)) for variance in a]
    # The mean of an odd function is 0 up to the rounding of a sum of terms as large as the
    # variances' powers.
    np.testing.assert_allclose(means(name, a), said, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("variances", [(1e-4, 0.3, 1.0, 4.0), (20.0,)], ids=["generic", "large"])
@every
def test_two_equal_or_opposite_variables_are_no_edge(name, variances):
    count = len(variances)
    a = np.array(variances * 2)
    k = a * np.repeat([1, -1], count)
    product, slope = np.array([exact(name, v, v, c) for v, c in zip(a.tolist(), k.tolist())]).T
    # Odd and even functions add up exactly to +-1 here, rectifiers cancel to 0 at -1: so relative
    # to the value at correlation 1.
    tolerance = accuracy(name) if name in reference.ON_FILE else 1e-14
    for value, exact_value in zip(found(name, a, a, k), (product, slope)):
        assert np.all(np.abs(value - exact_value) <= tolerance * np.tile(exact_value[:count], 2))


@every
def test_next_to_coincidence_products_keep_their_digits(name):
    (a, b, k), (product, _) = exactly(name, "near")
    size = np.sqrt([exact(name, v, v, v)[0] * exact(name, w, w, w)[0] for v, w in zip(a, b)])
    # d product/dk = slope is bounded, so that a rounding of k or of ab - k^2 moves the product by a
    # rounding.
    assert np.all(
        np.abs(found(name, a, b, k)[0] - product) <= max(3e-14, 2 * accuracy(name)) * size
    )


@every
def test_next_to_coincidence_slopes_keep_the_digits_that_the_angle_has(name):
    (a, b, k), (_, slope) = exactly(name, "near")
    steep = np.sqrt([exact(name, v, v, v)[1] * exact(name, w, w, w)[1] for v, w in zip(a, b)])
    allowed = max(1e-13, 2 * accuracy(name)) * steep
    if "relu" in name or name == "selu":
        # The slope is linear in the angle theta, and dtheta = dk/sqrt(ab - k^2): k and ab known to
        # a rounding or two leave 4 eps sqrt(ab)/(2 pi sqrt(ab - k^2)), 1e-11 here.
        allowed = allowed + 4 * EPS * np.sqrt(a * b) / (2 * np.pi * np.sqrt(a * b * 2e-10))
    assert np.all(np.abs(found(name, a, b, k)[1] - slope) <= allowed)


@every
def test_neither_variable_comes_first(name):
    (a, b, k), _ = exactly(name, "generic")
    for there, back in zip(found(name, a, b, k), found(name, b, a, k)):
        np.testing.assert_allclose(
            there, back, rtol=1e-11, atol=0
        )  # ten times the stated accuracy of quadrature, for cancellation at correlation -0.99


@every
def test_correlations_stay_between_minus_one_and_one(name):
    a, b = np.array([1e-4, 0.7, 3.0, 6.0])[:, None], 1.3
    near = 1 - np.logspace(-16, -1, 16)
    rho = np.concatenate(
        [-near, near, np.linspace(-1, 1, 21), [1 + EPS, -1 - EPS]]
    )  # a rounding beyond 1 happens to every Gram matrix
    k = rho * np.sqrt(a * b)
    for value, one, other in zip(found(name, a, b, k), found(name, a, a, a), found(name, b, b, b)):
        sizes = one * other
        assert np.all(np.isfinite(value))
        assert np.all(np.abs(value) <= np.sqrt(sizes) * (1 + 2 * accuracy(name)))


@every
def test_a_product_grows_with_the_covariance_as_the_slope_says(name):
    (a, b, k), (_, slope) = exactly(name, "generic")
    if name in reference.QUADRATURE:  # a series as long as the variances ask, where these are known
        rise = jax.grad(lambda k: jnp.sum(duals.product(name, jnp.asarray(a), jnp.asarray(b), k)))(
            jnp.asarray(k)
        )
    else:
        rise = gradients(name, a, b, k)[2]
    np.testing.assert_allclose(rise, slope, rtol=1e-10, atol=0)


@every
def test_derivatives_are_finite_at_correlations_one_and_minus_one(name):
    a = np.array([0.3, 1.0, 4.0, 0.3, 1.0, 4.0])
    k = a * np.array([1, 1, 1, -1, -1, -1])
    grads = gradients(name, a, a, k)
    assert all(np.all(np.isfinite(g)) for g in grads)
    slope, steep = (
        np.array([exact(name, float(v), float(v), float(c))[1] for v, c in zip(a, s)])
        for s in (k, a)
    )
    assert np.all(np.abs(np.asarray(grads[2]) - slope) <= 1e-10 * steep)
    # Along a = b = k the derivatives add up to that of E[s^2], a function of one variance.
    along = [float(derivative(lambda v: reference.product(name, v, v, v), float(v))) for v in a[:3]]
    np.testing.assert_allclose(sum(g[:3] for g in grads), along, rtol=1e-10)


@pytest.mark.parametrize("name", reference.PIECES)
def test_duals_of_pieces_grow_with_variances_and_covariance_as_they_differ(name):
    one, point, step = duals.dual(name), np.array([1.3, 0.7, -0.4]), 1e-3
    shifts = [far * step * axis for axis in np.eye(3) for far in (-2, -1, 1, 2)]
    at = np.array([point, [0.7] * 3, *(point + shift for shift in shifts)]).T
    (f00, f11), (f20, f02, f22, f31, f13), (square, rise) = jax.jit(
        lambda a, b, k: (one.values(a, b, k), one.rises(a, b, k), one.squares(a))
    )(*at)
    for value, (along_a, along_b, along_k) in (
        (f00, (f20[0] / 2, f02[0] / 2, f11[0])),
        (f11, (f31[0] / 2, f13[0] / 2, f22[0])),
    ):
        back2, back, ahead, ahead2 = np.asarray(value)[2:].reshape(3, 4).T
        # central differences of fourth order: step^4 times fifth derivatives of order 10, and
        # eps/step
        np.testing.assert_allclose(
            [along_a, along_b, along_k],
            (8 * (ahead - back) - (ahead2 - back2)) / (12 * step),
            atol=1e-10,
        )
    # where the two are one: E s^2, and how it grows
    np.testing.assert_allclose([square[1], rise[1]], [f00[1], f11[1] + f20[1]], rtol=1e-13)


@pytest.mark.parametrize("name", reference.PIECES)
def test_the_numbers_on_file_are_those_of_the_plane(name):
    for point in reference.points()[:5]:
        # between kinks Gauss-Legendre of 60 nodes is exact to round-off of sums of some thousand
        # terms
        np.testing.assert_allclose(
            reference.by_cells(name, *point),
            [float(v) for v in reference.kept("both", name, *point)],
            rtol=1e-11,
        )


@pytest.mark.parametrize("name", reference.PIECES)
def test_derivatives_of_a_kernel_with_itself_are_those_of_one_variance(name):
    X = np.random.default_rng(0).standard_normal((3, 4))

    def diagonal(w):
        # variances and covariances as a kernel has them, which are not the same to the last bit
        k, a = w * (X @ X.T), w * (X * X).sum(axis=1)
        return sum(
            jnp.sum(jnp.diag(part)) for part in duals.dual(name).pair(a[:, None], a[None, :], k)
        )

    one, a, step = duals.dual(name), 1.2 * (X * X).sum(axis=1), 1e-3
    at = np.concatenate([a * (1 + far * step) for far in (-2, -1, 1, 2)])
    back2, back, ahead, ahead2 = (
        np.asarray(jax.jit(one.values)(at, at, at)).sum(axis=0).reshape(4, 3)
    )
    expected = (8 * (ahead - back) - (ahead2 - back2)) / (12 * step) / 1.2
    # differences of fourth order: step^4 times fifth derivatives; the root of what round-off leaves
    # of the variance, 1e-7, is none of it
    assert float(jax.jit(jax.grad(diagonal))(1.2)) == pytest.approx(expected.sum(), rel=1e-9)


def test_signals_of_selu_keep_mean_zero_and_variance_one():
    # by the definition of its two constants
    assert float(duals.mean("selu", 1.0)) == pytest.approx(0, abs=1e-15)
    assert float(duals.product("selu", 1.0, 1.0, 1.0)) == pytest.approx(1, rel=1e-14)


@closed
def test_a_product_grows_with_a_variance_as_fifty_digits_say(name):
    (a, b, k), _ = exactly(name, "generic")
    expected = [
        float(derivative(lambda v, q=q, c=c: reference.product(name, v, q, c), p))
        for p, q, c in zip(a, b, k)
    ]
    np.testing.assert_allclose(gradients(name, a, b, k)[0], expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    "covariance",
    [(0.0, 1.0, 0.0), (-1.0, 1.0, 0.0), (1.0, np.inf, 0.0), (1.0, 1.0, np.nan), (1.0, 1.0, 1.5)],
    ids=str,
)
def test_what_is_no_covariance_of_two_that_vary_is_refused(covariance):
    for name in ("relu", "tanh"):
        for dual in (duals.product, duals.slope):
            with pytest.raises(Refused, match=r"^The dual of .* needs .*, but got .*\. .*\.$"):
                dual(name, *covariance)


@every
def test_samples_average_to_the_duals(name):
    a, b, k, n = 0.8, 0.6, -0.3, 200_000
    s = activation(name)
    x, y = np.random.default_rng(3).standard_normal((2, n))
    u, v = np.sqrt(a) * x, k / np.sqrt(a) * x + np.sqrt(b - k * k / a) * y
    ds = jax.vmap(jax.grad(s))
    drawn = jax.jit(lambda u, v: (s(u) * s(v), ds(u) * ds(v), s(u)))(u, v)
    for value, seen in zip((*found(name, a, b, k), *means(name, a)), map(np.asarray, drawn)):
        # Four standard errors; a constant (the slope of z) has none.
        assert abs(seen.mean() - float(value)) <= 4 * seen.std() / np.sqrt(n) + 1e-15


def test_duals_broadcast_and_keep_float64():
    a, b = np.ones((3, 1)), np.full(4, 2.0)
    for name in ("relu", "tanh"):
        for dual in (duals.product, duals.slope):
            value = dual(name, a, b, 0.5)
            assert value.shape == (3, 4) and value.dtype == np.float64
            np.testing.assert_allclose(value, float(dual(name, 1.0, 2.0, 0.5)), rtol=1e-15)


def test_an_unknown_activation_has_no_dual():
    for call in (
        lambda: duals.product("tanhh", 1.0, 1.0, 0.5),
        lambda: duals.slope("tanhh", 1.0, 1.0, 0.5),
        lambda: duals.mean("tanhh", 1.0),
    ):
        with pytest.raises(Refused, match=r"^.* needs .*, but got .*\. Did you mean .*tanh.*\?$"):
            call()


@pytest.mark.parametrize("name", [name for name in reference.CLOSED if name != "leaky-relu"])
def test_the_closed_forms_of_the_reference_are_what_quadrature_finds(name):
    a, b, k = 1.3, 0.7, -0.4
    quadrature = reference.by_quadrants if "relu" in name else reference.by_quadrature
    for value, summed in zip(reference.both(name, a, b, k), quadrature(name, a, b, k, digits=8)):
        assert abs(value - summed) < 1e-7 * abs(
            value
        )  # asked for 8 digits of sums with some cancellation
    if "relu" not in name:
        assert abs(reference.by_quadrature(name, a, digits=10) - reference.mean(name, a)) < 1e-9


@pytest.mark.parametrize("name", reference.QUADRATURE)
def test_the_numbers_on_file_are_found_anew(name):
    point = reference.points()[2]
    for value, summed in zip(
        reference.kept("both", name, *point), reference.by_quadrature(name, *point, digits=10)
    ):
        assert abs(value - summed) < 1e-9 * abs(
            value
        )  # asked for 10 digits of sums with some cancellation
