"""A transformer is one class in a file: what the rest of the house does with a network of
attention that it does not know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import data, interventions, losses, rules, theories
from learnmech.architectures.base import Architecture, keep
from learnmech.language import trees
from learnmech.language.parts import structure

IDS = np.random.default_rng(0).integers(0, 5, (8, 6))
ASKED = np.tile([0, 0, 1, 1, 1, 0], (8, 1))


class Attention(Architecture):
    """f = U (h + V-heads of causal attention on h), h a table of ids and of positions."""

    width: int = structure(default=8, at_least=2, meaning="units of the stream")
    heads: int = structure(default=2, at_least=1, meaning="heads of attention")

    def begun(self, rng, inputs, outputs):
        h, count = self.width, inputs.vocabulary
        shapes = {
            "embedding": {"weight": (h, count), "place": (h, inputs.size)},
            "layer1": {name: (h, h) for name in ("query", "key", "value", "out")},
            "layer2": {"weight": (outputs.shape[-1], h)},
        }
        return {
            layer: {name: rng.standard_normal(s) / s[1] ** 0.5 for name, s in leaves.items()}
            for layer, leaves in shapes.items()
        }

    def forward(self, params, X, tap=keep):
        table, one = params["embedding"], params["layer1"]
        h = tap("embedding.post", table["weight"].T[X] + table["place"].T)

        def heads(name):
            made = h @ one[name].T
            return tap(f"layer1.{name}s", made.reshape(*X.shape, self.heads, -1))

        q, k, v = (heads(name) for name in ("query", "key", "value"))
        scores = jnp.einsum("nqhe,nkhe->nhqk", q, k) / q.shape[-1] ** 0.5
        seen = jnp.tril(jnp.ones((X.shape[1], X.shape[1]), bool))
        pattern = tap("layer1.pattern", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)))
        mixed = jnp.einsum("nhqk,nkhe->nqhe", pattern, v).reshape(h.shape)
        h = tap("layer1.post", h + mixed @ one["out"].T)
        return tap("output", tap("layer2.pre", h @ params["layer2"]["weight"].T))

    def signal_axes(self, name, rank):
        if name.endswith("pattern"):
            return ("sample", "head", "query", "key")
        if rank == 4:
            return ("sample", "position", "head", "unit")
        return ("sample", "position", "class" if name == "output" else "unit")


def experiment(**changes):
    made = {
        "architecture": Attention(),
        "data": data.Ids(X=IDS, Y=np.roll(IDS, -1, 1), mask=ASKED),
        "rule": rules.Adam(rate=0.03),
        "loss": losses.CrossEntropy(),
        "clock": lm.Clock(steps=60, every=20),
    }
    return lm.Experiment(**(made | changes))


WATCH = (
    "loss",
    "accuracy",
    "layer1.pattern[head=0,query=2]",
    "gradient.layer1.query",
    "tangent-kernel",
    "gradient-noise",
)


@pytest.fixture(scope="module")
def record():
    return lm.run(experiment(), WATCH)


def test_it_is_trained_and_read_by_the_names_of_its_axes(record):
    assert record["loss"][-1] < 0.5 * record["loss"][0]
    pattern = record["layer1.pattern[head=0,query=2]"]
    assert pattern.dims[1:] == ("sample", "layer1.key") and pattern.shape[1:] == (8, 6)
    # what comes later is not looked at, and shares sum to one up to round-off of six terms
    assert (pattern[..., 3:] == 0).all()
    np.testing.assert_allclose(pattern.sum(pattern.dims[-1]), 1, rtol=1e-14)
    assert all(np.isfinite(record[name]).all() for name in record.names)


@pytest.mark.exact
def test_its_states_are_replayed_to_the_bit(record):
    half = lm.run(experiment(clock=lm.Clock(steps=40, every=20)), WATCH)
    for path, leaf in trees.leaves_by_path(record.at(40).params).items():
        assert np.array_equal(leaf, half.final[path]), path


def test_its_parts_are_frozen_and_patched_and_theories_speak_or_say_why_not():
    events = (
        interventions.Freeze(at=0, path="layer1.query"),
        interventions.Patch(at=20, path="layer1.pattern[head=1]", value=0.0),
    )
    watch = ("layer1.query", "layer1.pattern[head=1]")
    held = lm.run(experiment(events=events), watch)
    assert (held["layer1.query"] == held["layer1.query"][0]).all()
    assert (held["layer1.pattern[head=1]"][1:] == 0).all()
    slow = experiment(rule=rules.GradientDescent(rate=1e-3), clock=lm.Clock(time=0.5, marks=3))
    laid = lm.compare(lm.run(slow, ("loss",)), theories.Flow())
    # of first order in the rate, times a curvature of order 1
    assert all(one.holds for one in laid.conditions) and laid.row("loss").error < 1e-3
    (why,) = theories.Decoupled().conditions(lm.prepare(slow))
    assert not why.holds and why.claim == "inputs and targets are vectors of real numbers"
