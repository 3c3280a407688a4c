"""States that are no numbers: what is read of them is none either, whatever a network or an
instrument makes of a NaN."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules
from learnmech.activations.functions import ACTIVATIONS
from learnmech.curvature.lanczos import quadrature
from learnmech.errors import Refused
from learnmech.instruments import Watch, participation, propagation, spectra
from learnmech.instruments.base import Instrument, Moment
from learnmech.kernels import alignment
from learnmech.language import catalog, trees
from learnmech.language.quantity import Quantity
from learnmech.march.loop import march
from learnmech.march.segments import stepped


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
# Those that compare, count, rank or are shown as they are; the others, which take longer to
# compile, are tried by the contracts of the catalogue.
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
        return Quantity("positive", (), "1", "n+", "positive weights"), Quantity(
            "any_positive", (), "1", "n+ > 0", "whether there are any"
        )

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
    """(start, instruments, what they show at these parameters as a run reads it at its first
    mark)."""
    start = lm.prepare(SIGNS)
    watch = (
        *(catalog.load(catalog.members("instruments")[kind]).example() for kind in CHOSEN),
        *OTHERS,
    )

    def at(params):
        state = dataclasses.replace(start.state, params=params)
        block = march(
            start.system,
            start.rule,
            state,
            start.state.params,
            watch,
            stepped(0, 0, np.array([0]), 1),
        )
        return {name: np.asarray(value[0]) for name, value in block.readings[1].items()}, bool(
            block.halted
        )

    return start, watch, at


def spoiled(params, path, value):
    """The parameters with the first entry of an array put to a value."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, w: (
            jnp.asarray(w).at[(0,) * w.ndim].set(value) if trees.path_of(keys) == path else w
        ),
        params,
    )


def test_one_weight_that_is_no_number_leaves_no_reading_that_is_one(signs):
    start, watch, at = signs
    bare = {
        q.name
        for i in watch
        for q in i.quantities(start.system, start.state.params)
        if i.rests_on(q.name) == "nothing"
    }
    sound, halted = at(start.state.params)
    assert bare == {"layer1.weight", "layer2.weight"} and not halted
    assert (
        not [name for name, value in sound.items() if not np.isfinite(value).all()]
        and sound["positive"] == int(sound["positive"]) > 0
    )
    for path in bare:
        for value in (np.nan, np.inf, -np.inf):
            read, halted = at(spoiled(start.state.params, path, value))
            assert not [
                name for name in read if name not in bare and np.isfinite(read[name]).any()
            ], (path, value)
            assert halted, (
                "a run does not go on from a state that is no number, even where its loss is one"
            )
            np.testing.assert_array_equal(
                read[path], spoiled(start.state.params, path, value)[path.split(".")[0]]["weight"]
            )
    read, _ = at(jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), start.state.params))
    assert not [name for name in read if np.isfinite(read[name]).any()]


def test_a_rectifier_makes_a_number_of_the_loss_where_a_weight_is_none(signs):
    """So that the test above has something to find: by itself this network says a finite loss
    and puts every sample in a class."""
    start, _, at = signs
    params = spoiled(start.state.params, "layer1.weight", np.nan)
    X = jnp.nan_to_num(start.system.train.X @ params["layer1"]["weight"].T)
    assert np.isfinite(jnp.maximum(X, 0) @ params["layer2"]["weight"].T).all()
    read = instruments.Norms().read(
        Moment(
            start.system,
            dataclasses.replace(start.state, params=params),
            start.rule,
            params,
            jnp.zeros(()),
            params,
            params,
        )
    )
    assert np.isfinite(read["weight_norm"]).tolist() == [
        False,
        True,
    ], "each layer's own norm does not see the other"


def test_the_rectifier_of_the_house_makes_no_number_of_a_weight_that_is_none(signs):
    start, _, _ = signs
    for name, value in (("hiding", True), ("relu", False)):
        system = lm.prepare(
            dataclasses.replace(
                SIGNS,
                architecture=architectures.Mlp(
                    hidden=(4,), activation=name, scaling=lm.scalings.NTK()
                ),
            )
        ).system
        assert (
            bool(jnp.isfinite(system.loss(spoiled(start.state.params, "layer1.weight", np.nan))))
            == value
        )
    z = jnp.asarray([np.nan, -np.inf, -5e-324, -0.0, 0.0, 5e-324, 2.0, np.inf])
    slopes = jax.vmap(jax.grad(ACTIVATIONS["relu"]))
    for derived, other in (
        (ACTIVATIONS["relu"](z), hiding(z)),
        (slopes(z), jax.vmap(jax.grad(hiding))(z)),
    ):
        assert np.asarray(derived[1:]).tobytes() == np.asarray(other[1:]).tobytes()
    assert np.isnan(ACTIVATIONS["relu"](z)[0])


def test_outputs_that_overflow_are_in_no_class_although_every_weight_is_a_number(signs):
    start, _, at = signs
    read, halted = at(jax.tree.map(lambda w: jnp.asarray(w) * 1e250, start.state.params))
    assert np.isfinite(read["layer1.weight"]).all() and halted
    assert (
        np.isnan(read["accuracy"])
        and np.isnan(read["test_accuracy"])
        and np.isnan(read["kernel_eigenvalue"]).all()
    )


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
    table = record.read("alignment", [record.position])
    assert not any(np.isfinite(table[name]).any() for name in table.data_vars)


def test_whole_numbers_and_truth_values_are_kept_as_floats_that_know_no_number(tmp_path):
    record = lm.run(SIGNS, watch=("loss", Positive()))
    assert {str(record[name].dtype) for name in record.names} == {"float64"}
    assert record["any_positive"].values.tolist() == [1.0] * 9


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_ratios_are_the_same_to_the_bit_at_any_scale_of_what_they_are_made_of(precision):
    """Squares of 1e-20 are 0 in float32, and those of 1e20 infinite: an alignment was read as 0
    of features that were aligned."""
    rng = np.random.default_rng(0)
    h, other = (jnp.asarray(rng.standard_normal((6, 3)) / 4, precision) for _ in range(2))
    s, far = jnp.linalg.svd(h, compute_uv=False), int(jnp.finfo(precision).maxexp) - 40
    ratios = {
        "effective rank": lambda by: spectra.effective_rank(s * by),
        "stable rank": lambda by: spectra.stable_rank(s * by),
        "layer alignment": lambda by: spectra._share(h.T * by, other / by),
        "participation": lambda by: participation.participation_ratio(h @ h.T * by),
        "correlation": lambda by: propagation.correlation(h * by),
        "similarity": lambda by: alignment.cka(h @ h.T * by, other @ other.T / by),
        "debiased similarity": lambda by: alignment.cka(h @ h.T * by, other @ other.T / by, True),
        "alignment with the targets": lambda by: alignment.target_alignment(
            h @ h.T * by, other / 2
        ),
        "relative size": lambda by: instruments.base.relative_size(h * by, other * by),
    }
    for name, ratio in ratios.items():
        near = np.asarray(ratio(jnp.asarray(1.0, precision)))
        assert np.isfinite(near) and near != 0
        for power in (-far, -far // 2, far // 2, far):
            assert (
                np.asarray(ratio(jnp.asarray(2.0**power, precision))).tobytes() == near.tobytes()
            ), (name, power)
    for x in (
        jnp.zeros(3, precision),
        jnp.asarray([np.inf, 1], precision),
        jnp.asarray([np.nan, 1], precision),
    ):
        np.testing.assert_array_equal(trees.leveled(x), x)


def test_what_began_with_a_balance_and_has_none_now_has_not_stood_still():
    start = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(hidden=(3,)),
            data.Gaussian(n=6, d=3, k=2),
            rules.GradientDescent(),
            lm.Clock(steps=1),
        )
    )
    zeros = dataclasses.replace(
        start.state, params=jax.tree.map(jnp.zeros_like, start.state.params)
    )
    for state, origin, drift in (
        (zeros, start.state.params, np.inf),
        (zeros, zeros.params, 0),
        (start.state, start.state.params, 0),
    ):
        moment = Moment(start.system, state, start.rule, origin, jnp.zeros(()), origin, origin)
        assert instruments.Balance().read(moment)["balance_drift"] == drift


def test_a_layer_of_zeros_is_aligned_with_nothing():
    start = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(hidden=(3,)),
            data.Gaussian(n=6, d=3, k=2),
            rules.GradientDescent(),
            lm.Clock(steps=1),
        )
    )
    zeros = dataclasses.replace(
        start.state, params=jax.tree.map(jnp.zeros_like, start.state.params)
    )
    read = instruments.Alignment().read(
        Moment(
            start.system, zeros, start.rule, zeros.params, jnp.zeros(()), zeros.params, zeros.params
        )
    )
    assert not any(np.any(value) for value in read.values())


def test_layers_that_take_patches_are_not_laid_beside_the_modes_of_the_inputs():
    conv = architectures.Conv(shape=(8, 8), channels=(2,), readout="average")
    with pytest.raises(
        Refused,
        match=(
            r"Alignment needs a first layer that takes the inputs .* but got \(2, 9\) and \(1, 2\)"
            r" for 64 inputs and 1 outputs\. W"
        ),
    ):
        lm.run(dataclasses.replace(SIGNS, architecture=conv), ("alignment",))


def test_a_spectrum_beyond_what_can_be_squared_is_no_number():
    """A length that overflowed was read as one that leads nowhere, and the first direction as
    the whole spectrum."""
    values = jnp.arange(1.0, 6.0)
    for by, known in ((1.0, True), (1e160, False)):
        nodes, weights = quadrature(lambda v, by=by: by * values * v, jnp.ones(5), 5)
        assert np.isfinite(nodes).all() == known and (not known or np.allclose(nodes, values))
