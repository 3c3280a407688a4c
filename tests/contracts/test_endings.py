"""Endings: what a run says of why it ended, and of a loss that climbed on the way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.activations.functions import ACTIVATIONS
from learnmech.curvature.eigenpairs import sharpness_at_least
from learnmech.runs import blocks
from learnmech.runs.endings import ending
from learnmech.system.landscape import hessian_matrix

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 4)) * np.array([30, 5, 1, 0.1])
Y = np.sin(X[:, :1] / 10) + 0.05 * X[:, 1:2]
UNSCALED = lm.Experiment(
    architectures.Mlp(hidden=(16,), activation="tanh"),
    data.Arrays(X, Y),
    rules.GradientDescent(rate=0.05),
    lm.Clock(steps=600),
    precision="float64",
)


@pytest.fixture(scope="module")
def climbing():
    return lm.run(UNSCALED)


def test_a_loss_that_climbs_above_the_edge_is_told_with_its_share_the_sharpness_and_the_edge(
    climbing,
):
    (note,) = climbing.notes
    share = np.mean(np.diff(climbing["loss"].values) > 0)
    system = climbing.start.system
    tops = [
        np.linalg.eigvalsh(hessian_matrix(system, climbing.at(step).params))[-1]
        for step in (600, 300, 375, 450, 525)
    ]
    top = tops[0] if tops[0] > 2 / 0.05 else max(tops)
    assert share > 0.2 and top > 2 / 0.05
    assert (
        f"rises at {share:.0%} of its marks" in note
        and "2/rate = 40" in note
        and "Standardize the inputs, or lower the rate" in note
    )
    assert float(note.split("the sharpness, up to ")[1].split(",")[0]) == pytest.approx(
        top, rel=2e-3
    )


def test_the_bound_from_few_products_is_from_below_and_close(climbing):
    system, params = climbing.start.system, climbing.at(600).params
    top = np.linalg.eigvalsh(hessian_matrix(system, params))[-1]
    found = [sharpness_at_least(system, params, products) for products in (1, 3, 20)]
    assert all(one <= top * (1 + 1e-12) for one in found) and found[2] > 0.99 * top


def test_what_climbs_below_the_edge_or_seldom_or_not_at_all_is_not_told(climbing):
    calm = UNSCALED.with_value("rule.rate", 0.005)
    assert lm.run(calm).notes == ()
    still = dataclasses.replace(
        UNSCALED, data=data.Arrays(X, Y, standardize=True), rule=rules.SGD(rate=0.05, batch=2)
    )
    noisy = lm.run(still)
    assert np.mean(np.diff(noisy["loss"].values) > 0) > 0.2 and noisy.notes == ()
    assert (
        lm.run(UNSCALED, ()).notes == ()
        and lm.run(dataclasses.replace(UNSCALED, clock=lm.Clock(steps=4))).notes == ()
    )
    decaying = dataclasses.replace(UNSCALED, rule=rules.GradientDescent(rate=0.05, decay=1e-6))
    assert lm.run(decaying).notes == (), "of which no edge is known"


def test_a_run_that_was_stopped_and_goes_on_is_told_of_as_one_that_was_not(
    climbing, tmp_path, monkeypatch
):
    monkeypatch.setattr(blocks, "MARKS", 60)

    def stop(progress):
        if progress.reached >= 100:
            raise KeyboardInterrupt

    kept = lm.run(UNSCALED, folder=tmp_path / "run", progress=stop)
    assert any("interrupted" in note for note in kept.notes)
    assert lm.resume(tmp_path / "run").notes == climbing.notes == lm.load(tmp_path / "run").notes


def test_it_says_whether_the_loss_or_a_weight_is_no_number(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "hiding-here", lambda z: jnp.where(z > 0, z, 0))
    start = lm.prepare(
        dataclasses.replace(
            UNSCALED, architecture=architectures.Mlp(hidden=(3,), activation="hiding-here")
        )
    )
    spoil = {
        "layer1": {"weight": jnp.asarray(start.params["layer1"]["weight"]).at[0, 0].set(np.nan)},
        "layer2": start.params["layer2"],
    }
    said = ending(start, spoil, "step 7", None)
    assert said.startswith(
        "diverged at step 7: layer1.weight is no longer finite. rate 0.05 against 2/sharpness = "
    )
    whole = jax.tree.map(lambda w: w * np.nan, start.params)
    assert ending(start, whole, "step 7", None).startswith(
        "diverged at step 7: the loss is no longer finite. rate 0.05 against"
    )
    assert (
        ending(start, start.params, "step 7", "loss<9")
        == "stopped at step 7 because loss<9 was met"
    )


def test_a_fork_that_climbs_is_told_of_by_states_of_its_own(climbing):
    twin = lm.fork(climbing, 300, (), watch=("loss",))
    assert (
        len(twin.notes) == 1
        and twin.notes[0].startswith("climbs")
        and "2/rate = 40" in twin.notes[0]
    )
