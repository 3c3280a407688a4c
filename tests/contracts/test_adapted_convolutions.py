"""Convolutions of the adapter: against the native kernels, against numbers of neural-tangents
itself, and against networks drawn at random."""

import jax
import learnmech_tangents as nt
import numpy as np
import pytest
from learnmech_tangents import stax

from learnmech.architectures import Conv
from learnmech.architectures.scalings import NTK
from learnmech.errors import Refused
from learnmech.theories.infinite_width import kernel

KEY = jax.random.PRNGKey(5)
W = {"W_std": 1.4, "b_std": 0.2}
SAME = {"padding": "SAME", **W}
IMAGES = np.random.default_rng(3).standard_normal((3, 4, 5, 2))
OTHERS = np.random.default_rng(4).standard_normal((2, 4, 5, 2))


def conv(size=(3, 3), **more):
    return stax.Conv(5, size, **{**SAME, **more})


def block():
    branch = stax.serial(stax.Relu(), conv(), stax.Relu(), conv())
    return stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), branch), stax.FanInSum())


END = (stax.Flatten(), stax.Dense(3, **W))
NETWORKS = {
    "flattened": (conv(), stax.Relu(), conv(strides=(2, 2)), stax.Erf(), *END),
    "pooled": (
        conv(),
        stax.Relu(),
        stax.AvgPool((2, 2), strides=(2, 2)),
        conv((2, 2)),
        stax.Relu(),
        *END,
    ),
    "edges": (
        conv(),
        stax.Relu(),
        stax.AvgPool((3, 2), padding="SAME", normalize_edges=True),
        stax.GlobalAvgPool(),
        stax.Dense(3, **W),
    ),
    "normed": (
        conv(),
        stax.LayerNorm(),
        stax.Relu(),
        conv(),
        stax.LayerNorm(axis=(1, 2, 3)),
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(3, **W),
    ),
    "residual": (conv(), block(), stax.AvgPool((2, 2)), *END),
}
# Computed by neural-tangents 0.6.5 in float64: nngp, ntk and cov1 of the first pair; outputs of the
# first image, jax_threefry_partitionable on.
THERE = {
    "flattened": [0.2765355211187078, 0.47225828467413056, 0.9379622025946752],
    "pooled": [0.4116139408377185, 0.6789294873916877, 0.4942649263464407],
    "edges": [0.6225617998881758, 0.676468606415445, 0.6281271473747879],
    "normed": [0.5053239828904258, 0.694411661892038, 0.5186460613938372],
    "residual": [1.1894130546608246, 2.779189223675841, 2.0943351915442237],
}
DRAWN = {
    "flattened": [0.7941651915518543, -0.8075149348294106, 0.061295814305948174],
    "pooled": [-0.24737181654444454, -0.320323670141499, 0.4501740154745356],
    "normed": [0.4226407120576168, 0.2032621689774884, -0.4506334333692867],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_that_neural_tangents_computed(name):
    found = stax.serial(*NETWORKS[name])[2](IMAGES[:1], OTHERS[:1])
    np.testing.assert_allclose(
        [found.nngp.item(), found.ntk.item(), found.cov1.item()], THERE[name], rtol=1e-12
    )


@pytest.mark.parametrize("name", ["flattened", "pooled", "normed"])
def test_a_key_draws_the_network_that_it_draws_there(name):
    init_fn, apply_fn, _ = stax.serial(*NETWORKS[name])
    shape, params = init_fn(KEY, (-1, *IMAGES.shape[1:]))
    assert shape == (-1, 3)
    np.testing.assert_allclose(apply_fn(params, IMAGES[:1])[0], DRAWN[name], rtol=1e-12)


def test_a_network_in_one_line_is_the_native_one():
    there = stax.serial(
        stax.Conv(8, (3,), padding="CIRCULAR", W_std=1.5, b_std=0.1),
        stax.Erf(),
        stax.GlobalAvgPool(),
        stax.Dense(1, 1.5, 0.1),
    )
    here = Conv(
        shape=(6,),
        channels=(8,),
        padding="circular",
        activation="erf",
        readout="average",
        bias=True,
        scaling=NTK(weight=1.5, bias=0.1),
    )
    X = np.random.default_rng(0).standard_normal((4, 6, 3))
    for one, other in zip(
        there[2](X, None, ("nngp", "ntk")), kernel(here, X.reshape(4, 18)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_kernels_layer_by_layer_are_those_at_once():
    layers = NETWORKS["pooled"]
    whole = stax.serial(*layers)[2](IMAGES, OTHERS)
    first, rest = stax.serial(*layers[:2]), stax.serial(*layers[2:])
    between = first[2](IMAGES, OTHERS)
    assert (
        between.nngp.shape == (3, 2, 4, 4, 5, 5)
        and between.cov1.shape == (3, 4, 4, 5, 5)
        and between.shape1 == (3, 4, 5, 5)
    )
    handed = rest[2](between)
    for name in ("nngp", "ntk", "cov1", "cov2"):
        # 1e-7: pooled signals know their distances to half the digits
        np.testing.assert_allclose(getattr(handed, name), getattr(whole, name), rtol=1e-7)
    np.testing.assert_allclose(nt.batch(rest[2], 2)(between, get="ntk"), whole.ntk, rtol=1e-7)


def test_sampled_kernels_are_those_of_infinite_width_within_their_error():
    wide = {"padding": "SAME", "W_std": 1.4, "b_std": 0.2}
    first, second = (stax.Conv(48, size, **wide) for size in ((3, 3), (2, 2)))
    net = stax.serial(
        first,
        stax.Relu(),
        stax.AvgPool((2, 2)),
        second,
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(1),
    )
    x = IMAGES[:2, :3, :3]
    limit = net[2](x, None, "ntk")
    found = [
        nt.monte_carlo_kernel_fn(net[0], net[1], key, 4, vmap_axes=0)(x, None, "ntk")
        for key in jax.random.split(KEY, 6)
    ]
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(6)
    # six standard errors of 5 degrees of freedom, and the next order, 1/width
    assert (np.abs(mean - limit) < 6 * spread + 3 / 48 * np.abs(limit).max()).all()
    assert (spread < 0.1 * np.abs(limit).max()).all()


REFUSED = [
    lambda: stax.Conv(3, (3, 3), padding="HALF"),
    lambda: stax.Conv(3, (3, 3), strides=(1,)),
    lambda: stax.Conv(3, (3, 3), dimension_numbers=("NCHW", "OIHW", "NCHW")),
    lambda: stax.AvgPool((2, 2), channel_axis=1),
    lambda: stax.serial(stax.Conv(3, (9, 9)), stax.Flatten())[2](IMAGES),
    lambda: stax.serial(stax.Conv(3, (3,)), stax.Flatten())[2](IMAGES),
    lambda: stax.serial(stax.Flatten(), stax.Conv(3, (3, 3)))[2](IMAGES),
    lambda: stax.serial(conv(), stax.Flatten(), stax.Relu())[2](IMAGES),
    lambda: stax.serial(conv(), stax.Relu(), stax.LayerNorm())[2](IMAGES),
    lambda: stax.serial(conv(), stax.LayerNorm(axis=1), stax.Flatten())[2](IMAGES),
    lambda: stax.serial(stax.Dense(3), stax.GlobalAvgPool())[2](np.ones((2, 3))),
    lambda: stax.serial(
        conv(),
        stax.FanOut(2),
        stax.parallel(stax.Identity(), conv(strides=(2, 2))),
        stax.FanInSum(),
    )[2](IMAGES),
]


@pytest.mark.parametrize("ask", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_said_in_one_sentence_with_a_remedy(ask):
    with pytest.raises(Refused, match=r"^[^.]* needs .+, but got .+\. .+[.?]$"):
        ask()
