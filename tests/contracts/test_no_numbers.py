"""States that are no numbers: what is read of them is none either, whatever a network or an instrument makes of a NaN."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, catalog, data, instruments, losses, rules, trees
from learnmech.activations import ACTIVATIONS
from learnmech.instruments import Watch
from learnmech.instruments.base import Instrument, Moment
from learnmech.march import march, way_of
from learnmech.quantity import Quantity


def hiding(z):
    """A rectifier that makes 0 of a NaN, as ones of one's own may."""
    return jnp.where(z > 0, z, 0)


# This rectifier makes 0 of a NaN, a sign and a largest entry make a class of it.
ACTIVATIONS["hiding"] = hiding
SIGNS = lm.Experiment(
    architectures.Mlp(hidden=(4,), activation="hiding", scaling=lm.scalings.NTK()),
    data.Digits(train=8, classes=(3, 8), targets="sign"),
    rules.GradientDescent(rate=0.1),
    lm.Clock(steps=8),
    loss=losses.Logistic(),
)
# Those that compare, count, rank or are shown as they are; the others, which take longer to compile, are tried by the contracts of the catalogue.
CHOSEN = (
    "accuracy",
    "alignment",
    "distance",
    "feature-movement",
    "kernel-spectrum",
    "loss",
    "mode-strengths",
    "norms",
    "outputs",
    "ranks",
    "test-loss",
    "weights",
)


class Positive(Instrument):
    """How many weights are positive and whether there are any: whole numbers and truth values."""

    def quantities(self, system, params):
        return Quantity("positive", (), "1", "n+", "positive weights"), Quantity("any_positive", (), "1", "n+ > 0", "whether there are any")

    def read(self, moment):
        count = sum(jnp.sum(w > 0) for w in jax.tree.leaves(moment.state.params))
        return {"positive": count, "any_positive": count > 0}


OTHERS = (
    Positive(),
    Watch("layer1.post", reduce="histogram"),
    Watch("layer1.post", view="test", reduce="mean"),
    Watch("gradient.layer1.weight", reduce="norm"),
)


@pytest.fixture(scope="module")
def signs():
    """(start, instruments, what they show at these parameters as a run reads it at its first mark)."""
    start = lm.prepare(SIGNS)
    watch = (*(catalog.load(catalog.members("instruments")[kind]).example() for kind in CHOSEN), *OTHERS)

    def at(params):
        state = dataclasses.replace(start.state, params=params)
        block = march(start.system, start.rule, state, start.state.params, watch, way_of(np.array([0]), False))
        return {name: np.asarray(value[0]) for name, value in block.readings[1].items()}, bool(block.halted)

    return start, watch, at


def spoiled(params, path, value):
    """The parameters with the first entry of an array put to a value."""
    return jax.tree_util.tree_map_with_path(lambda keys, w: jnp.asarray(w).at[(0,) * w.ndim].set(value) if trees.path_of(keys) == path else w, params)


def test_one_weight_that_is_no_number_leaves_no_reading_that_is_one(signs):
    start, watch, at = signs
    bare = {q.name for i in watch for q in i.quantities(start.system, start.state.params) if i.rests_on(q.name) == "nothing"}
    sound, halted = at(start.state.params)
    assert bare == {"layer1.weight", "layer2.weight"} and not halted
    assert not [name for name, value in sound.items() if not np.isfinite(value).all()] and sound["positive"] == int(sound["positive"]) > 0
    for path in bare:
        for value in (np.nan, np.inf, -np.inf):
            read, halted = at(spoiled(start.state.params, path, value))
            assert not [name for name in read if name not in bare and np.isfinite(read[name]).any()], (path, value)
            assert halted, "a run does not go on from a state that is no number, even where its loss is one"
            np.testing.assert_array_equal(read[path], spoiled(start.state.params, path, value)[path.split(".")[0]]["weight"])
    read, _ = at(jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), start.state.params))
    assert not [name for name in read if np.isfinite(read[name]).any()]


def test_a_rectifier_makes_a_number_of_the_loss_where_a_weight_is_none(signs):
    """So that the test above has something to find: by itself this network says a finite loss and puts every sample in a class."""
    start, _, at = signs
    params = spoiled(start.state.params, "layer1.weight", np.nan)
    X = jnp.nan_to_num(start.system.train.X @ params["layer1"]["weight"].T)
    assert np.isfinite(jnp.maximum(X, 0) @ params["layer2"]["weight"].T).all()
    read = instruments.Norms().read(Moment(start.system, dataclasses.replace(start.state, params=params), start.rule, params, jnp.zeros(()), params, params))
    assert np.isfinite(read["weight_norm"]).tolist() == [False, True], "each layer's own norm does not see the other"


def test_the_rectifier_of_the_house_makes_no_number_of_a_weight_that_is_none(signs):
    start, _, _ = signs
    for name, value in (("hiding", True), ("relu", False)):
        system = lm.prepare(dataclasses.replace(SIGNS, architecture=architectures.Mlp(hidden=(4,), activation=name, scaling=lm.scalings.NTK()))).system
        assert bool(jnp.isfinite(system.loss(spoiled(start.state.params, "layer1.weight", np.nan)))) == value
    z = jnp.asarray([np.nan, -np.inf, -5e-324, -0.0, 0.0, 5e-324, 2.0, np.inf])
    slopes = jax.vmap(jax.grad(ACTIVATIONS["relu"]))
    for derived, other in ((ACTIVATIONS["relu"](z), hiding(z)), (slopes(z), jax.vmap(jax.grad(hiding))(z))):
        assert np.asarray(derived[1:]).tobytes() == np.asarray(other[1:]).tobytes()
    assert np.isnan(ACTIVATIONS["relu"](z)[0])


def test_outputs_that_overflow_are_in_no_class_although_every_weight_is_a_number(signs):
    start, _, at = signs
    read, halted = at(jax.tree.map(lambda w: jnp.asarray(w) * 1e250, start.state.params))
    assert np.isfinite(read["layer1.weight"]).all() and halted
    assert np.isnan(read["accuracy"]) and np.isnan(read["test_accuracy"]) and np.isnan(read["kernel_eigenvalue"]).all()


WATCHED = ("loss", "accuracy", Watch("layer1.pre", reduce="histogram"))


def test_a_run_that_diverges_ends_in_no_numbers_and_says_which():
    record = lm.run(
        dataclasses.replace(
            SIGNS,
            architecture=architectures.DeepLinear(hidden=(4,)),
            loss=losses.Squared(),
            rule=rules.GradientDescent(rate=1e3),
            clock=lm.Clock(steps=8, every=8),
        ),
        WATCHED,
    )
    last = [record[name].values[-1] for name in record.names]
    assert not any(np.isfinite(value).any() for value in last) and "diverged" in record.notes[-1]
    table = record.read("alignment", [record.place])
    assert not any(np.isfinite(table[name]).any() for name in table.data_vars)


def test_whole_numbers_and_truth_values_are_kept_as_floats_that_know_no_number(tmp_path):
    record = lm.run(SIGNS, watch=("loss", Positive()))
    assert {str(record[name].dtype) for name in record.names} == {"float64"}
    assert record["any_positive"].values.tolist() == [1.0] * 9
