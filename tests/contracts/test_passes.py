"""Passes in parts: many samples take no more memory than a part of them, and give what all at once
do, to round-off."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, interventions, losses, rules
from learnmech.language import trees
from learnmech.record import provenance
from learnmech.system import passes
from learnmech.system.freezing import Frozen, Narrowed

N = 307
"""Samples, of parts that do not divide them."""


@pytest.fixture
def parted(monkeypatch):
    """Parts of some fifty samples of the small networks here."""
    monkeypatch.setattr(passes, "SURELY_WHOLE", 8)
    monkeypatch.setattr(passes, "PASS_BYTES", 2**13)


def made(**parts):
    parts = {
        "architecture": architectures.Mlp(hidden=(5, 4), bias=True),
        "data": data.Gaussian(n=N, d=3, k=2, noise=0.3, test=200),
        "rule": rules.GradientDescent(rate=0.1),
        "clock": lm.Clock(steps=20, every=5),
    } | parts
    return lm.Experiment(**parts)


KINDS = {
    "mean of squares": {},
    "sum with a ridge": {"loss": losses.Squared(scaling="half-sum", ridge=0.1)},
    "classes": {
        "data": data.Arrays(
            np.random.default_rng(3).standard_normal((N, 3)),
            np.sign(np.random.default_rng(4).standard_normal((N, 1))),
        ),
        "loss": losses.Logistic(),
    },
    "weights": {
        "data": data.Arrays(
            np.random.default_rng(0).standard_normal((N, 3)),
            np.random.default_rng(1).standard_normal((N, 2)),
            weight=np.random.default_rng(2).uniform(0.1, 2, (N, 2)),
        )
    },
    "a convolution": {
        "architecture": architectures.Conv(channels=(3,)),
        "data": data.Gaussian(n=N, d=4, k=2),
    },
    "an embedding on ids": {
        "architecture": architectures.Embedding(width=4, hidden=(6,)),
        "data": data.ModularArithmetic(p=17),
        "loss": losses.CrossEntropy(),
    },
    "a network around another": {
        "architecture": architectures.Dialed(architectures.Mlp(hidden=(5,)), alpha=2.0)
    },
}


def of(start):
    """(loss, test loss, gradient, a Hessian product, outputs) of its landscape, all at once or in
    parts."""
    system, params = start.system, start.state.params
    some = jax.tree.map(
        lambda w: jnp.cos(jnp.arange(w.size, dtype=w.dtype)).reshape(w.shape), params
    )
    seen = system.value_and_gradient(params)
    assert np.allclose(seen[0], system.loss(params), rtol=1e-13)
    found = [*seen, system.hessian(params)(some), system.outputs(params, system.train.X)]
    return found + ([] if system.test is None else [system.test_loss(params)])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_give_what_all_at_once_does(kind, parted, monkeypatch):
    start = lm.prepare(made(**KINDS[kind]))
    size = start.system.part(start.state.params, start.system.train)
    n = start.system.train.X.shape[0]
    assert 1 < size < n / 3  # several parts
    assert n % size or kind == "an embedding on ids"  # the last one smaller
    parts = of(start)
    monkeypatch.setattr(passes, "PASS_BYTES", 2**40)
    assert start.system.part(start.state.params, start.system.train) is None
    # sums of some hundred numbers in another order
    for one, whole in zip(jax.tree.leaves(parts), jax.tree.leaves(of(start)), strict=True):
        np.testing.assert_allclose(one, whole, rtol=1e-11, atol=1e-13)


def test_a_run_in_parts_is_replayed_and_forked_to_the_bit(parted):
    record = lm.run(made(rule=rules.Adam(rate=0.05)), ("loss", "test-loss", "norms"))
    for step in (5, 13, 20):
        there = record.at(step)
        again = lm.run(made(rule=rules.Adam(rate=0.05), clock=lm.Clock(steps=step, every=step)), ())
        for one, other in zip(
            jax.tree.leaves(there.params), jax.tree.leaves(again.params), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    twin = lm.fork(record, 10, ())
    np.testing.assert_array_equal(twin["loss"].values, record["loss"].values[2:])


def test_what_is_frozen_stands_still_in_parts_and_the_rule_does_not_see_it(parted, monkeypatch):
    start = lm.prepare(made())
    params, mask = start.state.params, np.zeros((5, 3), bool)
    mask[2, 1] = True
    rows = np.linalg.qr(np.random.default_rng(0).standard_normal((57, 2)))[0].T
    frozen = Frozen(("layer2.weight",), {"layer1.weight": mask}, jnp.asarray(rows))
    size = sum(np.size(w) for w in jax.tree.leaves(params))
    frozen = dataclasses.replace(
        frozen,
        directions=jnp.asarray(
            np.linalg.qr(np.random.default_rng(0).standard_normal((size, 2)))[0].T
        ),
    )
    narrow = Narrowed.of(start.system, params, frozen)
    parts = narrow.value_and_gradient(frozen.free(params))
    monkeypatch.setattr(passes, "PASS_BYTES", 2**40)
    whole = narrow.value_and_gradient(frozen.free(params))
    assert jax.tree.structure(parts) == jax.tree.structure(whole)
    for one, other in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)
    assert float(trees.leaves_by_path(parts[1])["layer1.weight"][2, 1]) == 0
    event = interventions.Freeze("layer1", at=5)
    record = lm.run(dataclasses.replace(made(), events=(event,)), ())
    np.testing.assert_array_equal(
        record.at(5).params["layer1"]["weight"], record.at(20).params["layer1"]["weight"]
    )


@pytest.mark.parametrize(
    "architecture",
    [
        architectures.Mlp(hidden=(5, 4), norm="batch"),
        architectures.Dropout(architectures.Mlp(hidden=(5, 4)), rate=0.2),
    ],
    ids=["batch norm", "dropout"],
)
def test_samples_that_depend_on_each_other_go_through_together(architecture, parted):
    start = lm.prepare(made(architecture=architecture))
    system = start.system.at_step(start.state.key, 3)
    assert system.part(start.state.params, system.train) is None


def test_few_samples_are_never_parted_and_many_are_by_shapes_alone():
    start = lm.prepare(made(data=data.Gaussian(n=4096, d=3, k=2)))
    assert start.system.part(start.state.params, start.system.train) is None
    wide = architectures.Mlp(hidden=(1000, 1000))
    start = lm.prepare(made(architecture=wide, data=data.Gaussian(n=50_000, d=3, k=2)))
    # the signals of a sample: two of each layer and the output, with what a layer begins with
    signals = start.system.architecture.signal_shapes(start.state.params, start.system.train.X)
    weigh = sum(8 * int(np.prod(one.shape)) for one in signals.values())
    assert start.system.part(start.state.params, start.system.train) == -(
        -50_000 // -(-weigh // 2**28)
    )


def test_a_run_of_other_parts_is_said_to_be_equal_to_round_off_only(parted, monkeypatch):
    record = lm.run(made(), ("loss",))
    monkeypatch.setattr(provenance, "PASS_BYTES", 2**13 + 8)
    with pytest.warns(UserWarning, match="round-off only: bytes of a part of a pass"):
        record.at(7)
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lm.run(made(), ("loss",)).at(7)
