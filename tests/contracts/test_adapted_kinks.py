"""The adapter's activations with kinks: kernels against integrals over the plane that know nothing
of how they are made."""

import itertools

import jax
import numpy as np
import pytest
import scipy.integrate
from learnmech_tangents import stax

SELU = 1.0507009873554805, 1.6732632423543772
# {name: (layer, function, its slope, its kinks)}
KINKED = {
    "elu": (stax.Elu(), lambda z: z if z > 0 else np.expm1(z), lambda z: np.exp(min(z, 0)), [0]),
    "selu": (
        stax.Selu(),
        lambda z: SELU[0] * (z if z > 0 else SELU[1] * np.expm1(z)),
        lambda z: SELU[0] * (1 if z > 0 else SELU[1] * np.exp(z)),
        [0],
    ),
    "hardtanh": (
        stax.Hardtanh(),
        lambda z: max(min(z, 1), -1),
        lambda z: float(-1 < z < 1),
        [-1, 1],
    ),
}
JAXS = {"elu": jax.nn.elu, "selu": jax.nn.selu, "hardtanh": jax.nn.hard_tanh}


def in_the_plane(f, a, b, k, kinks):
    """E f(u)f(v) for (u, v) ~ N(0, [[a, k], [k, b]]) by scipy.integrate, kink to kink."""
    det = a * b - k * k
    size = 1 / (2 * np.pi * np.sqrt(det))

    def weighed(v, u):
        density = size * np.exp(-(b * u * u - 2 * k * u * v + a * v * v) / (2 * det))
        return f(u) * f(v) * density

    # 9 standard deviations leave out 1e-18 of the mass
    us, vs = ([-9 * s, *kinks, 9 * s] for s in (np.sqrt(a), np.sqrt(b)))
    return sum(
        scipy.integrate.dblquad(weighed, *u, *v, epsabs=1e-12, epsrel=1e-12)[0]
        for u in itertools.pairwise(us)
        for v in itertools.pairwise(vs)
    )


@pytest.mark.parametrize("name", KINKED)
def test_the_kernels_of_an_activation_with_kinks_are_gaussian_integrals_over_the_plane(name):
    layer, s, slope, kinks = KINKED[name]
    x1, x2 = np.array([[0.8, -0.3, 0.5]]), np.array([[0.2, 0.9, -0.4]])
    a, b, k = (
        float(1.2**2 * (u @ v.T / 3).item() + 0.3**2) for u, v in ((x1, x1), (x2, x2), (x1, x2))
    )
    product, bent = (in_the_plane(f, a, b, k, kinks) for f in (s, slope))
    numerical = stax.ElementwiseNumerical(JAXS[name], 25)
    for one in (layer, numerical):
        found = stax.serial(stax.Dense(5, 1.2, 0.3), one, stax.Dense(1, 0.7))[2](x1, x2)
        # 1e-11: a few panels that are each good to 1e-12
        np.testing.assert_allclose(found.nngp.item(), 0.49 * product, rtol=1e-11)
        np.testing.assert_allclose(found.ntk.item(), 0.49 * (product + k * bent), rtol=1e-11)
        z = np.linspace(-3, 3, 13)
        np.testing.assert_allclose(one[1]((), z), [s(each) for each in z], rtol=1e-14)
