"""A start of a scale for each layer: what it draws, how it is written and swept, what it
refuses, and what theories make of it."""

import numpy as np
import pytest

import learnmech as lm
from learnmech import data, rules, scalings, theories
from learnmech.architectures import Diagonal, Mlp
from learnmech.errors import Refused
from learnmech.experiment.recipe import stream_of
from learnmech.initial import Gaussian, GaussianPerLayer

NETWORK = Mlp(hidden=(40, 30), bias=True, norm="layer", affine=True, scaling=scalings.NTK())
SOURCE = data.Gaussian(n=6, d=20, k=10)
DRAWN = SOURCE.draw(stream_of(0, "data"))


def drawn(start, architecture=NETWORK):
    return start.draw(architecture, DRAWN, np.random.default_rng(3))


def experiment(start):
    return lm.Experiment(
        Mlp(hidden=(4,)),
        data.Gaussian(n=6, d=3, k=2),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=2),
        initial=start,
    )


def test_every_weight_has_the_standard_deviation_that_is_said():
    params = drawn(GaussianPerLayer(std=(0.1, 2.0, 0.0)))
    for name, std, size in (("layer1", 0.1, 800), ("layer2", 2.0, 1200), ("layer3", 0.0, 300)):
        # a standard deviation of so many entries is known to 1/sqrt(2 size): four of these
        assert params[name]["weight"].std() == pytest.approx(std, rel=4 / np.sqrt(2 * size))
    assert np.all(params["layer1"]["gain"] == 1) and np.all(params["layer2"]["shift"] == 0)
    assert params["layer2"]["bias"].std() == pytest.approx(
        1, rel=4 / np.sqrt(60)
    )  # as the scaling says


def test_a_gain_multiplies_what_the_scaling_draws():
    plain, found = (
        drawn(Gaussian()),
        drawn(GaussianPerLayer(gain=(0.5, 3.0), layers=("layer3", "layer1"))),
    )
    for name, gain in (("layer1", 3.0), ("layer2", 1.0), ("layer3", 0.5)):
        np.testing.assert_array_equal(found[name]["weight"], gain * plain[name]["weight"])
        np.testing.assert_array_equal(found[name]["bias"], plain[name]["bias"])


def test_the_number_of_one_layer_is_a_knob():
    one = experiment(GaussianPerLayer(gain=(1.0, 3.0)))
    other = one.with_value("initial.layer2", 0.5)
    assert (
        other.initial == GaussianPerLayer(gain=(1.0, 0.5))
        and lm.Experiment.parse(other.text).fingerprint == other.fingerprint
    )
    named = experiment(GaussianPerLayer(std=(0.3,), layers=("layer2",))).with_value(
        "initial.layer2", 0.7
    )
    assert named.initial.std == (0.7,)
    grid = lm.sweep(one, {"initial.layer2": [0.0, 1.0]}, watch=("outputs",))
    assert np.all(grid["outputs"].values[0].squeeze()[0] == 0) and np.any(
        grid["outputs"].values[1].squeeze()[0] != 0
    )


@pytest.mark.parametrize(
    "make, sentence",
    [
        (
            lambda: GaussianPerLayer(),
            r"GaussianPerLayer needs one of std and gain, but got neither\. .*",
        ),
        (
            lambda: GaussianPerLayer(std=(1.0,), gain=(1.0,)),
            r"GaussianPerLayer needs one of std and gain, but got both\. .*",
        ),
        (
            lambda: GaussianPerLayer(std=(-1.0,)),
            r"GaussianPerLayer needs std >= 0, but got -1\.0\. Change std\.",
        ),
        (
            lambda: GaussianPerLayer(std=(float("inf"),)),
            r"GaussianPerLayer needs finite numbers in std, .*",
        ),
        (
            lambda: GaussianPerLayer(std=(1.0,), layers=("layer1", "layer2")),
            r".* as many numbers in std as there are layers, but got 1 for layer1, layer2\. .*",
        ),
        (
            lambda: GaussianPerLayer(std=(1.0, 1.0), layers=("layer1", "layer1")),
            r".* needs every layer once, but got layer1 twice\. .*",
        ),
        (
            lambda: drawn(GaussianPerLayer(gain=(1.0, 2.0))),
            r".* needs 3 numbers, for layer1, layer2, layer3, but got 2 numbers in gain\. .*",
        ),
        (
            lambda: drawn(GaussianPerLayer(gain=(1.0,), layers=("layer4",))),
            r".* needs layers with a weight, as layer1, layer2, layer3, but got 'layer4'\. .*",
        ),
        (
            lambda: GaussianPerLayer(std=(1.0,)).draw(
                Diagonal(),
                data.Gaussian(n=4, d=3, k=1).draw(stream_of(0, "data")),
                np.random.default_rng(0),
            ),
            r".*",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(make, sentence):
    with pytest.raises(Refused, match=rf"^{sentence}$"):
        make()


def test_theories_of_one_scale_say_that_there_are_several():
    start = lm.prepare(experiment(GaussianPerLayer(gain=(1.0, 2.0))))
    for theory in (theories.SignalPropagation(), theories.InfiniteWidth()):
        (about,) = (
            one
            for one in theory.conditions(start)
            if "start" in one.claim and ("Gaussian" in str(one.bound))
        )
        assert not about.holds and "GaussianPerLayer" in str(about.value)
