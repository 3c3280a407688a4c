"""Scalings: their exponents are what their layers do, and the class which the exponents put them
in is what a wide network does."""

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.architectures.dense import draw_dense
from learnmech.architectures.scalings import (
    NTK,
    SP,
    MeanField,
    MuP,
    Powers,
    Scaling,
    classified,
    contributions,
    movement,
    rate_power,
)
from learnmech.errors import Refused

EVERY = [SP(), NTK(weight=1.3, bias=0.7), MeanField(), MuP(), MuP(base=64)]
NARROW, WIDE, D, K = 2**20, 2**40, 7, 3


def scales(scaling, hidden_layers, h):
    """The LayerScale of every layer, input first."""
    widths = (D, *[h] * hidden_layers, K)
    depth = hidden_layers + 1
    return [
        scaling.layer(index, depth, widths[index - 1], widths[index])
        for index in range(1, depth + 1)
    ]


@pytest.mark.parametrize("scaling", EVERY, ids=repr)
def test_the_printed_exponents_are_those_of_the_layers(scaling):
    hidden_layers = 3 if "hidden" in scaling.table else 1
    for said, narrow, wide in zip(
        scaling.exponents(hidden_layers),
        scales(scaling, hidden_layers, NARROW),
        scales(scaling, hidden_layers, WIDE),
        strict=True,
    ):
        seen = [
            -np.log2(float(getattr(wide, one)) / float(getattr(narrow, one))) / 20
            for one in ("weight", "std", "sgd", "adam")
        ]
        # powers of a power of two: exact but for the last bit of a square root
        np.testing.assert_allclose(seen, said, atol=1e-14)


@pytest.mark.parametrize("scaling", EVERY, ids=repr)
def test_biases_move_pre_activations_as_far_as_weights_do(scaling):
    """A bias is a weight from one unit of size one: against an input weight, whose inputs do not
    grow either, its multiplier and rates have the same powers."""
    hidden_layers = 3 if "hidden" in scaling.table else 1
    narrow, wide = (scales(scaling, hidden_layers, h) for h in (NARROW, WIDE))

    def moved(small, large, family, bias):
        multiplier, factor = ("bias", f"bias_{family}") if bias else ("weight", family)
        power = 2 if family == "sgd" else 1
        return [
            np.log2(float(getattr(large, one)) / float(getattr(small, one))) / 20 * p
            for one, p in ((multiplier, power), (factor, 1))
        ]

    for small, large in zip(narrow[:-1], wide[:-1], strict=True):
        for family in ("sgd", "adam"):
            # how far one step moves z_l, in powers of h (up to the gradient's size, which is the
            # same for both)
            np.testing.assert_allclose(
                sum(moved(small, large, family, True)),
                sum(moved(narrow[0], wide[0], family, False)),
                atol=1e-14,
            )


# (scaling, family, hidden layers): r, class; SGD by Yang & Hu 2021, Adam by its own conditions in
# `classified`
CLASSES = [
    (SP(), "sgd", 2, 0.0, -1.0, "unstable"),
    (SP(), "sgd", 2, 1.0, 0.5, "kernel"),
    (SP(), "sgd", 1, 1.0, 1.5, "kernel"),
    (SP(), "sgd", 2, 1.1, 0.6, "trivial"),
    (NTK(), "sgd", 3, 0.0, 0.5, "kernel"),
    (NTK(), "sgd", 3, -0.1, 0.4, "unstable"),
    (MeanField(), "sgd", 1, 0.0, 0.0, "feature learning"),
    (MuP(), "sgd", 1, 0.0, 0.0, "feature learning"),
    (MuP(base=32), "sgd", 3, 0.0, 0.0, "feature learning"),
    (MuP(), "sgd", 3, 0.5, 0.5, "trivial"),
    (SP(), "adam", 2, 0.0, -1.0, "unstable"),
    (SP(), "adam", 2, 1.5, 0.5, "kernel"),
    (NTK(), "adam", 2, 0.0, -0.5, "unstable"),
    (NTK(), "adam", 2, 1.0, 0.5, "kernel"),
    (MeanField(), "adam", 1, 0.0, 0.0, "feature learning"),
    (MuP(), "adam", 3, 0.0, 0.0, "feature learning"),
]


@pytest.mark.parametrize("scaling, family, hidden_layers, falling, r, words", CLASSES, ids=str)
def test_every_scaling_is_in_its_class(scaling, family, hidden_layers, falling, r, words):
    limit = classified(scaling, hidden_layers, family, falling)
    assert (limit.r, limit.words) == (pytest.approx(r, abs=1e-12), words)
    assert limit.stable == (words != "unstable") and limit.nontrivial == (
        words in ("kernel", "feature learning")
    )


def shifted(scaling, theta):
    """The same scaling by the shift symmetry: another theta for each layer."""

    class Shifted(Scaling):
        table = {
            role: Powers(row.a + t, row.b - t, row.sgd - 2 * t, row.adam - t)
            for role, row in scaling.table.items()
            for t in (theta[role],)
        }

    return Shifted()


@pytest.mark.parametrize("family", ["sgd", "adam"])
@pytest.mark.parametrize("scaling", EVERY, ids=repr)
def test_the_shift_symmetry_changes_neither_the_class_nor_how_features_move(scaling, family):
    hidden_layers = 3 if "hidden" in scaling.table else 1
    other = shifted(scaling, {"input": 0.25, "hidden": -0.5, "readout": 0.75})
    for falling in (0.0, rate_power(scaling, hidden_layers, family)):
        assert classified(other, hidden_layers, family, falling) == classified(
            scaling, hidden_layers, family, falling
        )
        assert movement(other, hidden_layers, family, falling) == movement(
            scaling, hidden_layers, family, falling
        )


@pytest.mark.parametrize("family", ["sgd", "adam"])
@pytest.mark.parametrize("scaling", EVERY, ids=repr)
def test_the_largest_stable_rate_is_where_the_class_changes(scaling, family):
    for hidden_layers in (1, 2, 3) if "hidden" in scaling.table else (1,):
        power = rate_power(scaling, hidden_layers, family)
        assert classified(scaling, hidden_layers, family, power).nontrivial
        assert not classified(scaling, hidden_layers, family, power - 0.01).stable
        assert classified(scaling, hidden_layers, family, power + 0.01).words == "trivial"


def test_sp_at_a_fixed_rate_moves_the_more_the_deeper_the_layer():
    # one step of size h^-1/2 into every unit, summed over h of them from the second layer on, and
    # over h of those by the readout
    assert movement(SP(), 2) == (-0.5, 0.5, 1.0)
    assert contributions(SP(), 2) == ((-0.5,), (-0.5, 0.5), (0.0, 1.0, 1.0))
    assert movement(SP(), 2, "adam") == (0.0, 1.0, 1.5)
    assert movement(NTK(), 3) == (-0.5, -0.5, -0.5, 0.0)
    assert movement(MuP(), 3) == movement(MuP(), 3, "adam") == (0.0, 0.0, 0.0, 0.0)


def test_a_start_without_a_limit_is_unstable_and_has_no_r():
    class Growing(Scaling):
        table = {
            "input": Powers(0, 0, 0, 0),
            "hidden": Powers(0, 0, 0, 0),
            "readout": Powers(0, 0.5, 0, 0),
        }

    limit = classified(Growing(), 2)
    assert np.isnan(limit.r) and not limit.stable and limit.words == "unstable"
    assert classified(Growing(), 1, falling=1.0).words == "kernel"  # no hidden layer, nothing grows


# --- the base width


@pytest.mark.parametrize("hidden_layers", [1, 2, 4])
def test_at_its_base_width_mup_is_sp_to_the_bit(hidden_layers):
    assert scales(MuP(base=24), hidden_layers, 24) == scales(SP(), hidden_layers, 24)
    widths = (D, *[24] * hidden_layers, K)
    draws = [
        draw_dense(np.random.default_rng(0), widths, scaling, bias=True)
        for scaling in (MuP(base=24), SP())
    ]
    assert all(
        np.array_equal(draws[0][layer][leaf], draws[1][layer][leaf])
        for layer in draws[1]
        for leaf in draws[1][layer]
    )


@pytest.mark.parametrize(
    "rule", [rules.GradientDescent(rate=0.1), rules.Adam(rate=0.01)], ids=["descent", "adam"]
)
def test_at_its_base_width_a_run_under_mup_is_one_under_sp_to_the_bit(rule):
    ends = []
    for scaling in (MuP(base=8), SP()):
        network = architectures.Mlp(hidden=(8, 8), bias=True, scaling=scaling)
        ends.append(
            lm.run(
                lm.Experiment(
                    network, data.Gaussian(n=6, d=3, k=2), rule, lm.Clock(steps=20, every=20)
                )
            ).final
        )
    assert all(np.array_equal(ends[0][path], ends[1][path]) for path in ends[1])


@pytest.mark.parametrize("h", [1, 5, 4096])
def test_without_a_base_mup_is_in_its_plain_form(h):
    first, middle, last = scales(MuP(), 2, h)
    assert first == (np.sqrt(h), h**-0.5, 1.0, h**-0.5, np.sqrt(h), 0.0, 1.0, h**-0.5)
    assert middle == (1.0, h**-0.5, 1.0, 1.0 / h, np.sqrt(h), 0.0, 1.0, h**-0.5)
    assert last == (h**-0.5, h**-0.5, 1.0, h**-0.5, 1.0, 0.0, 1.0, 1.0)


# --- the same network in other letters


@pytest.mark.parametrize(
    "rule",
    [rules.GradientDescent(rate=0.1), rules.Adam(rate=0.01, eps=0.0)],
    ids=["descent", "adam"],
)
def test_mean_field_and_mup_are_one_network_with_one_hidden_layer(rule):
    h, losses = 9, []
    for scaling in (MeanField(), MuP()):
        network = architectures.Mlp(hidden=(h,), scaling=scaling)
        losses.append(
            lm.run(
                lm.Experiment(
                    network, data.Gaussian(n=6, d=3, k=2), rule, lm.Clock(steps=30, every=1)
                )
            )["loss"].values
        )
    # the draws agree up to factors sqrt h and 1/sqrt h, and so do all steps; what is left is
    # round-off of 1e-16 a step, some of it grown by signs of Adam
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-11)
    assert losses[0][-1] < 0.95 * losses[0][0]


# --- what is printed, and what is refused


def test_the_card_shows_the_exponents_and_the_class():
    card = MuP(base=64).card()
    assert card.startswith(
        "MuP(base=64)  input: a=-0.5 b=0.5 c=0 (Adam 0.5); hidden: a=0 b=0.5 c=0 (Adam 1); readout:"
        " a=0.5 b=0.5 c=0 (Adam 0.5)\n"
    )
    assert card.endswith(
        "SGD-like rules: feature learning (r = 0)\n  Adam-like rules: feature learning (r = 0)"
    )
    assert "SGD-like rules: kernel (r = 0.5)" in NTK().card()
    assert (
        "unstable at a fixed rate; at a rate falling as h^-1: kernel (r = 1.5). More layers:"
        " unstable at a fixed rate" in SP().card()
    )
    assert "hidden:" not in MeanField().card()


def test_a_scaling_without_a_table_says_that_no_class_is_known():
    class Own(Scaling):
        pass

    assert Own().card() == "Own()  no table of exponents, so no class is known"
    with pytest.raises(Refused, match=r"^Own needs a table of exponents .*, but got .*\. .*\.$"):
        classified(Own(), 1)


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: classified(MeanField(), 2), "MeanField needs exactly one hidden layer, but got 2"),
        (lambda: classified(MuP(), 0), "MuP needs one or more hidden layers, but got 0"),
        (
            lambda: classified(MuP(), 2, "spectral"),
            "classified needs a family of rules, sgd or adam, but got 'spectral'",
        ),
        (lambda: MuP(base=-1), "MuP needs base >= 0, but got -1"),
        (lambda: MuP(base=64.5), "MuP needs base to be a whole number, but got 64.5"),
    ],
)
def test_what_has_no_class_is_refused(ask, sentence):
    with pytest.raises(Refused, match=rf"^{sentence}\. "):
        ask()
