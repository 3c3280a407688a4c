"""Decay beside the step: the same share of every weight under any scaling, or as the scaling's
factors have it where that is asked for."""

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules, scalings, theories
from learnmech.errors import Refused
from learnmech.language import trees

RULES = [
    rules.GradientDescent(rate=1e-3),
    rules.Adam(rate=1e-3),
    rules.Muon(rate=1e-3),
    rules.Langevin(rate=1e-3),
]


def made(rule, scaling, width):
    hidden = (width,) if isinstance(scaling, scalings.MeanField) else (width, width)
    network = architectures.Mlp(hidden=hidden, scaling=scaling, bias=True)
    return lm.prepare(lm.Experiment(network, data.Gaussian(n=4, d=3), rule, lm.Clock(steps=1)))


def step(start, **changes):
    """What one step of the rule with these knobs adds to the parameters."""
    rule = type(start.rule)(
        **({field: getattr(start.rule, field) for field in ("rate",)} | changes)
    )
    _, gradient = start.system.value_and_gradient(start.state.params)
    return trees.leaves_by_path(rule.moved(start.system, gradient, start.state)[0])


@pytest.mark.parametrize("scaling", [scalings.MuP(base=4), scalings.MeanField()], ids=repr)
@pytest.mark.parametrize("width", [4, 32])
def test_decay_takes_the_same_share_of_every_weight_whatever_the_scaling_and_the_width(
    scaling, width
):
    for rule in RULES:
        start = made(rule, scaling, width)
        weights, bare, faded = (
            trees.leaves_by_path(start.params),
            step(start),
            step(start, decay=0.5),
        )
        for path, weight in weights.items():
            np.testing.assert_allclose(
                faded[path] - bare[path],
                -1e-3 * 0.5 * weight,
                rtol=1e-9,
                atol=1e-15,
                err_msg=f"{rule} {path}",
            )


@pytest.mark.parametrize("scaling", [scalings.MuP(base=4), scalings.MeanField()], ids=repr)
def test_scaled_decay_takes_the_share_that_the_factor_of_its_rate_has(scaling):
    apart = 0
    for rule in RULES:
        start = made(rule, scaling, 16)
        factors = trees.leaves_by_path(start.rule.factors(start.system, start.state.params))
        bare, faded = step(start), step(start, decay=0.5, decay_scaled=True)
        apart += any((np.asarray(factor) != 1).any() for factor in factors.values())
        for path, weight in trees.leaves_by_path(start.params).items():
            said = -1e-3 * 0.5 * np.asarray(factors[path]) * weight
            np.testing.assert_allclose(
                faded[path] - bare[path], said, rtol=1e-9, atol=1e-15, err_msg=f"{rule} {path}"
            )
    assert apart >= 2  # or nothing was tried


def test_a_run_of_adamw_far_above_the_base_width_of_mup_keeps_its_decay():
    network = architectures.Mlp(hidden=(32, 32), scaling=scalings.MuP(base=4))
    experiment = lm.Experiment(
        network,
        data.Gaussian(n=4, d=3),
        rules.AdamW(rate=1e-9, decay=1e6),
        lm.Clock(steps=2, every=1),
    )
    record = lm.run(experiment, (instruments.Weights(),))
    for layer in ("layer1", "layer2", "layer3"):
        sizes = np.linalg.norm(record[f"{layer}.weight"].values.reshape(3, -1), axis=1)
        # Adam itself moves a weight by 1e-9 a step, beside weights of order 0.3
        np.testing.assert_allclose(1 - sizes[1:] / sizes[:-1], 1e-3, rtol=1e-4)


def test_coupled_decay_is_scaled_as_the_gradient_is_and_asking_for_both_is_refused():
    with pytest.raises(Refused, match="one of coupled and decay_scaled"):
        rules.GradientDescent(decay=0.1, coupled=True, decay_scaled=True)
    start = made(rules.GradientDescent(rate=1e-3), scalings.MeanField(), 8)
    coupled, scaled = (
        step(start, decay=0.5, coupled=True),
        step(start, decay=0.5, decay_scaled=True),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), coupled, scaled)


# mup without a base has one rate for SGD; mean-field has the width for a factor in every layer
WIDE = architectures.Mlp(hidden=(6,), activation="leaky-relu", scaling=scalings.MeanField())


@pytest.mark.parametrize("changes", [{}, {"decay_scaled": True}, {"coupled": True}], ids=str)
def test_charges_fade_as_said_under_a_scaling_with_factors_of_its_own(changes):
    rule = rules.GradientDescent(rate=0.002, decay=0.4, **changes)
    experiment = lm.Experiment(
        WIDE,
        data.Gaussian(n=10, d=3, k=2),
        rule,
        lm.Clock(steps=60, every=20),
        loss=losses.Squared(ridge=0.1),
    )
    record = lm.run(experiment, (instruments.Charges(),))
    comparison = lm.compare(record, theories.ChargeDrift())
    assert comparison.verdict == "holds", comparison
    # and in one piece: the drift is that of decay alone, up to the square of the rate
    factor = 1.0 if not changes else 6.0
    gone = 1 - (1 - 0.002 * (0.4 * factor + 0.1 * 6.0)) ** (2 * 60)
    drift = record["charge_drift"].values[-1]
    assert drift.max() <= gone * 1.05 and theories.ChargeDrift().domain(record.start)[0].holds


@pytest.mark.parametrize("changes", [{}, {"decay_scaled": True}], ids=str)
def test_the_equilibrium_of_normed_weights_is_at_the_angle_of_what_they_really_lose(changes):
    network = architectures.Mlp(hidden=(3,), norm="layer", scaling=scalings.MeanField())
    rule = rules.GradientDescent(rate=0.2 / 3, decay=0.06, **changes)
    experiment = lm.Experiment(
        network, data.Gaussian(n=32, d=4, k=2, noise=1.0), rule, lm.Clock(steps=40, every=1)
    )
    record = lm.run(experiment, (instruments.Weights(),))
    share = 0.2 / 3 * 0.06 * (3 if changes else 1)
    said = theories.ScaleEquilibrium().predict(record.start)["angular_step"].values
    np.testing.assert_allclose(said, np.arccos(1 - share), rtol=1e-12)
    # every step crosses what decay has left of the weights at a right angle: |w+| cos = (1 - share)
    # |w|
    W = record["layer1.weight"].values.reshape(41, -1)
    np.testing.assert_allclose(
        (W[1:] * W[:-1]).sum(axis=1), (1 - share) * (W[:-1] ** 2).sum(axis=1), rtol=1e-11
    )


def test_the_edge_of_stability_is_said_where_decay_is_one_for_all_weights():
    free = lm.Experiment(
        WIDE,
        data.Gaussian(n=10, d=3, k=2),
        rules.GradientDescent(rate=0.01, decay=0.4),
        lm.Clock(steps=10),
    )
    for scaled in (False, True):
        start = lm.prepare(free.with_value("rule.decay_scaled", scaled))
        same = next(
            c
            for c in theories.EdgeOfStability().domain(start)
            if "the same for all weights" in c.claim
        )
        assert same.holds is not scaled
