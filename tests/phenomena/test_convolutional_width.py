"""Convolutional networks of infinite width: kernels between positions against a recursion
written out, and against finite networks drawn wider and wider."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import theories
from learnmech.architectures import Conv
from learnmech.architectures.scalings import NTK, SP, MuP
from learnmech.errors import Refused
from learnmech.kernels import own, positions
from learnmech.theories.infinite_width import kernel

SW, SB = 1.3, 0.2
SCALING = NTK(weight=SW, bias=SB)
PAIRS = tuple(itertools.product((0, 1), repeat=2))


def relu(a, b, k):
    theta = np.arccos(np.clip(k / np.sqrt(a * b), -1, 1))
    return np.sqrt(a * b) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi), (
        np.pi - theta
    ) / (2 * np.pi)


def erf(a, b, k):
    root = np.sqrt((1 + 2 * a) * (1 + 2 * b))
    return 2 / np.pi * np.arcsin(2 * k / root), 4 / np.pi / np.sqrt(root**2 - 4 * k * k)


def places(grid):
    return list(itertools.product(*map(range, grid)))


def seen(place, offset, grid, network):
    """The position of the inputs that a position sees at an offset; None beyond the grid."""
    before = 0 if network.padding == "none" else (network.kernel - 1) // 2
    found = [network.stride * p + o - before for p, o in zip(place, offset)]
    if network.padding == "circular":
        return tuple(p % side for p, side in zip(found, grid))
    return tuple(found) if all(0 <= p < side for p, side in zip(found, grid)) else None


def averaged(values, grid, window):
    out = tuple(side // window for side in grid)
    offsets = places((window,) * len(grid))

    def moved(place):
        return [tuple(window * p + o for p, o in zip(place, offset)) for offset in offsets]

    ends = itertools.product(PAIRS, places(out), places(out))
    return {
        (*ij, P, Q): np.mean([values[(*ij, p, q)] for p in moved(P) for q in moved(Q)])
        for ij, P, Q in ends
    }, out


def written_out(network, x, y, duals):
    """NNGP and NTK of one pair of inputs, every pair of positions by itself."""
    grid = network.shape
    signals = [z.reshape(*grid, -1) for z in (x, y)]
    ends = list(itertools.product(PAIRS, places(grid), places(grid)))
    K = {
        (*ij, p, q): signals[ij[0]][p] @ signals[ij[1]][q] / signals[0].shape[-1]
        for ij, p, q in ends
    }
    T = dict.fromkeys(K, 0.0)
    for _ in network.channels:
        reach = 0 if network.padding == "none" else network.kernel - 1
        out = tuple((side + reach - network.kernel) // network.stride + 1 for side in grid)
        offsets = places((network.kernel,) * len(grid))
        Z, S = {}, {}
        for ij, p, q in itertools.product(PAIRS, places(out), places(out)):
            met = [(*ij, seen(p, o, grid, network), seen(q, o, grid, network)) for o in offsets]
            k, t = (
                sum(values[key] for key in met if None not in key) / len(offsets)
                for values in (K, T)
            )
            Z[(*ij, p, q)] = SW**2 * k + SB**2
            S[(*ij, p, q)] = SW**2 * (k + t) + SB**2
        K, T = {}, {}
        for (i, j, p, q), k in Z.items():
            K[i, j, p, q], slope = duals(Z[i, i, p, p], Z[j, j, q, q], k)
            T[i, j, p, q] = slope * S[i, j, p, q]
        grid = out
        if network.pooling == "average":
            (K, grid), T = averaged(K, out, network.window), averaged(T, out, network.window)[0]
    ends = [
        (p, q) for p in places(grid) for q in places(grid) if network.readout == "average" or p == q
    ]
    k, t = (np.mean([values[0, 1, p, q] for p, q in ends]) for values in (K, T))
    return SW**2 * k + SB**2, SW**2 * (k + t) + SB**2


NETWORKS = {
    "a line": {"shape": (7,), "channels": (3, 2)},
    "a circle with strides": {
        "shape": (7,),
        "channels": (3, 2),
        "padding": "circular",
        "stride": 2,
        "kernel": 2,
    },
    "a line, pooled": {"shape": (6,), "channels": (3, 2), "pooling": "average"},
    "an image": {"shape": (4, 5), "channels": (3,), "padding": "none"},
    "an image, pooled twice": {
        "shape": (4, 4),
        "channels": (2, 2),
        "pooling": "average",
        "readout": "average",
        "kernel": 2,
    },
}


def network(name, activation):
    return Conv(activation=activation, bias=True, scaling=SCALING, **NETWORKS[name])


def inputs(one, n=3, channels=2):
    return np.random.default_rng(len(one.shape)).standard_normal(
        (n, channels * int(np.prod(one.shape)))
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_the_recursion_over_all_pairs_of_positions(name):
    activation, duals = ("erf", erf) if name == "a circle with strides" else ("relu", relu)
    one = network(name, activation)
    X = inputs(one)
    found, block = kernel(one, X), kernel(one, X[:1], X[1:])
    for i, j in ((0, 1), (0, 0), (1, 2)):
        # 1e-11: at equal positions the reference keeps half the digits of an angle, which the
        # tangent kernel sees
        tolerance = 1e-12 if i != j else 1e-7
        np.testing.assert_allclose(
            [found.nngp[i, j], found.ntk[i, j]], written_out(one, X[i], X[j], duals), rtol=tolerance
        )
    for whole, part in zip(found, block):
        assert np.array_equal(whole, whole.T) and np.linalg.eigvalsh(whole)[0] > 0
        np.testing.assert_allclose(part, whole[:1, 1:], rtol=1e-13)
    assert np.array_equal(kernel(one, X, get="nngp"), found.nngp)


def test_what_one_input_has_with_its_copy_it_has_with_itself():
    for name in ("a line", "an image, pooled twice"):
        one = network(name, "relu")
        X = inputs(one)
        whole, copied = kernel(one, X), kernel(one, X, X.copy())
        # pooled signals know their distances to half the digits: what could be round-off of none is
        # none
        np.testing.assert_allclose(copied.ntk, whole.ntk, rtol=1e-13)


def test_tiles_do_not_show(monkeypatch):
    one = network("a line, pooled", "erf")
    X = inputs(one, n=7)
    whole, across = kernel(one, X), kernel(one, X[:4], X[3:])
    monkeypatch.setattr(positions, "TILE", 4 * 36)
    monkeypatch.setattr(own, "OWN", 3 * 36)
    monkeypatch.setattr(own, "SERIES", 10)
    for a, b in zip((*whole, *across), (*kernel(one, X), *kernel(one, X[:4], X[3:]))):
        np.testing.assert_allclose(b, a, rtol=1e-14)
    series = Conv(
        shape=(6,), channels=(3,), pooling="average", activation="tanh", bias=True, scaling=SCALING
    )
    in_parts = kernel(series, X)
    monkeypatch.undo()
    for a, b in zip(kernel(series, X), in_parts):
        np.testing.assert_allclose(b, a, rtol=1e-11)


def test_kernels_of_convolutional_networks_have_derivatives():
    one = Conv(
        shape=(4,), channels=(3,), pooling="average", activation="erf", bias=True, scaling=SCALING
    )
    X = inputs(one)
    slope = jax.grad(lambda X: jnp.sum(kernel(one, X, get="ntk")))(jnp.asarray(X))
    step = np.zeros_like(X)
    step[1, 3] = 1e-5
    moved = [np.sum(kernel(one, X + sign * step, get="ntk")) for sign in (1, -1)]
    np.testing.assert_allclose(
        slope[1, 3], (moved[0] - moved[1]) / 2e-5, rtol=1e-6
    )  # the error of the difference


@pytest.mark.parametrize("kind", ["flattened", "averaged"])
def test_wider_networks_draw_kernels_closer_to_the_limit(kind):
    readout = {"flattened": "flatten", "averaged": "average"}[kind]
    form = {
        "shape": (6,),
        "activation": "relu",
        "bias": True,
        "scaling": SCALING,
        "readout": readout,
        "pooling": "average",
    }
    X = np.random.default_rng(2).standard_normal((2, 12))
    limit = kernel(Conv(channels=(4, 4), **form), X, get="ntk")
    widths, off, means = (16, 64, 256), [], []
    for width in widths:
        one = Conv(channels=(width, width), **form)

        @jax.jit
        def tangent(params, one=one):
            J = jax.jacrev(lambda p: one.forward(p, X)[:, 0])(params)
            return sum(jnp.einsum("i...,j...->ij", leaf, leaf) for leaf in jax.tree.leaves(J))

        found = np.array(
            [tangent(one.init(np.random.default_rng(seed), 12, 1)) for seed in range(24)]
        )
        off.append(
            np.sqrt(np.mean(np.sum((found - limit) ** 2, axis=(1, 2)))) / np.linalg.norm(limit)
        )
        means.append(
            np.abs(found.mean(axis=0) - limit) - 4.5 * found.std(axis=0, ddof=1) / np.sqrt(24)
        )
    slope = np.polyfit(np.log(widths), np.log(off), 1)[0]
    assert abs(slope + 0.5) < 0.15, slope  # each point is known to some 12%
    assert all(np.all(one <= 3 / width * np.abs(limit)) for width, one in zip(widths, means))


def test_norms_and_scalings_of_convolutional_networks_have_their_limits():
    X = np.random.default_rng(0).standard_normal((3, 8))
    for norm in ("layer", "rms"):
        one = Conv(shape=(4,), channels=(8,), norm=norm, scaling=SCALING, bias=True)
        scaled = kernel(one, 5 * X, get="nngp")
        assert np.ptp(np.diag(scaled)) < 1e-12  # every position has become of one size
    plain = Conv(shape=(4,), channels=(64,), scaling=SP())
    np.testing.assert_allclose(
        kernel(plain, X, get="nngp"),
        kernel(Conv(shape=(4,), channels=(8,), scaling=NTK()), X, get="nngp"),
        rtol=1e-13,
    )
    assert np.isfinite(
        kernel(Conv(shape=(4,), channels=(64, 64), scaling=MuP()), X, get="ntk")
    ).all()


@pytest.mark.parametrize(
    "one, reason",
    [
        (Conv(shape=(4,), pooling="max", scaling=NTK()), "pooling by a mean"),
        (Conv(shape=(4,), norm="batch", scaling=NTK()), "whole batch"),
        (Conv(shape=(3,), scaling=NTK()), "multiple of 3"),
        (Conv(shape=(4,), scaling=SP()), "order one at every width"),
    ],
)
def test_what_has_no_kernel_is_refused(one, reason):
    with pytest.raises(Refused, match=reason):
        kernel(one, np.ones((2, 8)))


def test_pairs_of_positions_that_do_not_fit_are_refused_before_any_is_computed():
    one = Conv(shape=(512, 512), readout="average", scaling=NTK())
    with pytest.raises(
        Refused,
        match=(
            r"^The kernel of inputs of 262144 positions needs .* of memory, but got .*\. Shrink the"
            r" inputs"
        ),
    ):
        kernel(one, np.ones((2, 512 * 512)))


def test_theories_of_wide_networks_say_what_a_convolutional_one_does():
    start = lm.prepare(
        lm.Experiment(
            architecture=Conv(
                shape=(4,),
                channels=(64,),
                activation="erf",
                readout="average",
                scaling=NTK(weight=1.5),
            ),
            data=lm.data.Gaussian(n=4, d=4, k=1),
            rule=lm.rules.GradientDescent(rate=0.2),
            clock=lm.Clock(steps=4, every=2),
        )
    )
    assert theories.InfiniteWidth().predict(start)["outputs"].shape[-2:] == (4, 1)
    conditions = theories.SignalPropagation().domain(start)
    assert not all(condition.holds for condition in conditions) and any(
        "positions" in str(condition) for condition in conditions
    )
