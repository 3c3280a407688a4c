"""Spaces: samples that are ids or grids are trained on, read, addressed, replayed and refused as
vectors are."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, losses, rules, theories
from learnmech.curvature.samplewise import jacobian, sample_gradients
from learnmech.errors import Refused
from learnmech.language import trees
from learnmech.language.spaces import Space

SEQUENCES = np.array(
    [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 2], [0, 3, 0, 3], [2, 0, 1, 3], [3, 3, 1, 1]]
)
ANSWERS = np.array(
    [[1, 2, 0, 1], [1, 0, 2, 2], [1, 2, 1, 0], [0, 1, 2, 0], [2, 2, 0, 1], [0, 1, 1, 2]]
)
ASKED = np.array(
    [[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
)


def table(**changes):
    """Sums modulo 5, under cross-entropy on ids."""
    made = {
        "architecture": architectures.Embedding(width=6, hidden=(12,), bias=True),
        "data": data.ModularArithmetic(p=5, share=0.6),
        "loss": losses.CrossEntropy(),
        "rule": rules.Adam(rate=0.02),
        "clock": lm.Clock(steps=200, marks=11),
    }
    return lm.Experiment(**(made | changes))


def smooth(**changes):
    """The same with tanh: a flow through the kinks of a rectifier is not solved to its
    tolerance."""
    return table(
        architecture=architectures.Embedding(width=6, hidden=(12,), activation="tanh"), **changes
    )


def each_position(**changes):
    """An answer to every position of a sequence."""
    return table(
        architecture=architectures.Embedding(width=5, hidden=(7,), join="none"),
        data=data.Ids(X=SEQUENCES, Y=ANSWERS, **changes),
    )


def test_a_table_of_sums_is_learned_from_ids_to_ids():
    record = lm.run(table(), ("loss", "accuracy"))
    # 15 sums by 5 classes with 12 hidden units: more parameters than answers
    assert record["loss"][-1] < 0.05 < record["loss"][0] and record["accuracy"][-1] == 1
    drawn = lm.prepare(table()).data
    assert drawn.spaces == (Space((2,), ("position",), 5), Space((), (), 5)) and drawn.spaces[
        1
    ].scores == Space((5,), ("class",))
    assert (
        np.array_equal(drawn.train.Y, drawn.train.X.sum(1) % 5)
        and len(drawn.train.Y) + len(drawn.test.Y) == 25
    )


@pytest.mark.exact
@pytest.mark.parametrize(
    "rule",
    [
        rules.SGD(rate=0.1, batch=4),
        rules.Adam(rate=0.02),
        rules.Muon(rate=0.02),
        rules.GradientFlow(),
    ],
    ids=lambda r: type(r).__name__,
)
def test_states_on_ids_are_replayed_to_the_bit(rule):
    table = smooth
    clock = lm.Clock(time=2.0, marks=5) if rule.flows else lm.Clock(steps=40, marks=5)
    record = lm.run(table(rule=rule, clock=clock))
    place = float(record["loss"].time[2]) if rule.flows else 20
    half = lm.run(
        table(
            rule=rule,
            clock=lm.Clock(time=1.0, marks=3) if rule.flows else lm.Clock(steps=20, marks=3),
        )
    )
    for path, leaf in trees.leaves_by_path(record.at(place).params).items():
        assert np.array_equal(leaf, half.final[path]), path


def test_ids_cost_what_one_hot_targets_do():
    start = lm.prepare(table())
    outputs = start.system.outputs(start.state.params, start.system.train.X)
    Y = start.system.train.Y
    loss = losses.CrossEntropy()
    ids, hot = (
        jax.value_and_grad(loss.value)(outputs, targets)
        for targets in (Y, jax.nn.one_hot(Y, 5, dtype=outputs.dtype))
    )
    assert ids[0] == pytest.approx(float(hot[0]), rel=1e-14)
    np.testing.assert_allclose(ids[1], hot[1], rtol=1e-12, atol=1e-15)


def test_the_mean_gradient_of_all_batches_is_that_of_all_samples_however_many_answers_each_asks_for():
    start = lm.prepare(each_position(mask=ASKED))
    whole = eqx.filter_jit(lambda: start.system.value_and_gradient(start.state.params))()
    of_batch = eqx.filter_jit(
        lambda indices: start.system.at(indices).value_and_gradient(start.state.params)
    )
    batches = [of_batch(jnp.array(pair)) for pair in itertools.combinations(range(6), 2)]
    assert float(np.mean([value for value, _ in batches])) == pytest.approx(
        float(whole[0]), rel=1e-13
    )
    for path, leaf in trees.leaves_by_path(whole[1]).items():
        mean = np.mean([trees.leaves_by_path(gradient)[path] for _, gradient in batches], axis=0)
        np.testing.assert_allclose(mean, leaf, rtol=1e-11, atol=1e-15)
    logits = np.asarray(start.system.outputs(start.state.params, start.system.train.X))
    likely = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    by_hand = (
        -(np.take_along_axis(likely, ANSWERS[..., None], -1)[..., 0] * ASKED).sum() / ASKED.sum()
    )
    assert float(whole[0]) == pytest.approx(by_hand, rel=1e-13)


def test_the_tangent_kernel_of_several_answers_is_the_mean_over_all_of_them():
    start = lm.prepare(each_position())
    X, params = start.system.train.X, start.state.params
    slopes = [
        leaf.reshape(6, 4 * 3, -1)
        for leaf in jax.tree.leaves(jax.jacrev(lambda p: start.system.outputs(p, X))(params))
    ]
    by_hand = sum(np.einsum("ncp,mcp->nm", one, one) for one in slopes) / 12
    np.testing.assert_allclose(start.system.tangent_kernel(params, X), by_hand, rtol=1e-11)
    full = sum(np.einsum("ncp,mgp->nmcg", one, one) for one in slopes)
    np.testing.assert_allclose(
        start.system.tangent_kernel(params, X, full=True), full, rtol=1e-11, atol=1e-14
    )


def test_readings_on_ids_have_their_axes_and_samples_their_own_gradients():
    watch = (
        "loss",
        "accuracy",
        "outputs",
        "embedding.post[position=1,unit=0]",
        "output[class=2]",
        "sharpness",
        "kernel-drift",
        "gradient-noise",
    )
    watch += (
        "feature-movement",
        "participation",
        "linearization-error",
        "norms",
        "gradient.embedding.weight",
    )
    record = lm.run(each_position(mask=ASKED), watch)
    assert record["outputs"].dims == (
        "time",
        "sample",
        "output.position",
        "output.class",
    ) and record["outputs"].shape[1:] == (6, 4, 3)
    assert record["embedding.post[position=1,unit=0]"].shape[1:] == (6,) and record[
        "output[class=2]"
    ].shape[1:] == (6, 4)
    assert all(np.isfinite(record[name]).all() for name in record.names)
    logits = record["outputs"].values[-1]
    assert float(record["accuracy"][-1]) == pytest.approx(
        (logits.argmax(-1) == ANSWERS)[ASKED == 1].mean()
    )
    start = lm.prepare(each_position(mask=ASKED))
    own = sample_gradients(start.system, start.state.params)
    gradient = start.system.value_and_gradient(start.state.params)[1]
    np.testing.assert_allclose(
        own["layer1"]["weight"].mean(0), gradient["layer1"]["weight"], rtol=1e-11, atol=1e-15
    )
    assert jacobian(start.system, start.state.params)["layer1"]["weight"].shape == (6, 4, 3, 7, 5)


def test_events_on_ids_hold_what_they_name():
    events = (
        interventions.Freeze(at=10, path="embedding"),
        interventions.Patch(at=20, path="embedding.post[position=0,unit=1]", value=0.5),
    )
    record = lm.run(
        table(events=events, clock=lm.Clock(steps=40, every=10)),
        ("embedding.weight", "embedding.post[position=0,unit=1]"),
    )
    weights = record["embedding.weight"].values
    assert np.array_equal(weights[1], weights[-1]) and not np.array_equal(weights[0], weights[1])
    assert (record["embedding.post[position=0,unit=1]"].values[2:] == 0.5).all()


class Sequence(eqx.Module):
    """A user's own embedding model."""

    table: eqx.nn.Embedding
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.table, self.last = eqx.nn.Embedding(5, 6, key=one), eqx.nn.Linear(12, 5, key=two)

    def __call__(self, ids):
        return self.last(jax.vmap(self.table)(ids).reshape(-1))


def test_a_model_of_ones_own_takes_ids():
    record = lm.run(
        table(architecture=architectures.Wrapped(Sequence)), ("loss", "accuracy", "table.weight")
    )
    assert record["loss"][-1] < record["loss"][0] / 2 and record["table.weight"].shape[1:] == (5, 6)
    with pytest.raises(
        Refused,
        match=(
            "takes examples of 2 ids below 7 over position, as the data have|a model of 7 outputs"
        ),
    ):
        lm.prepare(
            table(architecture=architectures.Wrapped(Sequence), data=data.ModularArithmetic(p=7))
        )


def test_a_convolution_keeps_its_grid_at_every_signal():
    conv = architectures.Conv(
        shape=(4, 4),
        channels=(3,),
        kernel=3,
        padding="circular",
        activation="tanh",
        pooling="average",
    )
    experiment = lm.Experiment(
        conv,
        data.Gaussian(n=5, d=16, k=2),
        rules.GradientDescent(rate=0.05),
        lm.Clock(steps=4, every=2),
    )
    record = lm.run(
        experiment,
        ("layer1.pre", "layer1.post[row=1,column=0]", "layer1.pre[row=2,column=3,channel=1]"),
    )
    assert record["layer1.pre"].dims[1:] == (
        "sample",
        "layer1.row",
        "layer1.column",
        "layer1.channel",
    ) and record["layer1.pre"].shape[1:] == (5, 4, 4, 3)
    assert record["layer1.post[row=1,column=0]"].shape[1:] == (5, 3)
    start = lm.prepare(experiment)
    image = np.asarray(start.data.train.X).reshape(5, 4, 4)
    patch = np.stack(
        [np.roll(image, (1 - i, 1 - j), (1, 2))[:, 2, 3] for i in range(3) for j in range(3)], 1
    )
    by_hand = patch @ start.params["layer1"]["weight"][1]
    np.testing.assert_allclose(
        record["layer1.pre[row=2,column=3,channel=1]"].values[0], by_hand, rtol=1e-12
    )


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"architecture": architectures.Mlp(hidden=(3,))},
            (
                "Mlp needs inputs of one axis, vectors of real numbers, but got 2 ids below 5 over"
                " position"
            ),
        ),
        (
            {"loss": losses.Squared()},
            "Squared needs targets that are real numbers, but got ids, the train targets",
        ),
        (
            {"data": data.Gaussian(n=5, d=2, k=3), "loss": losses.Squared()},
            "Embedding needs inputs that are ids, but got 2 real numbers over input",
        ),
        (
            {"architecture": architectures.Embedding(join="none")},
            r"Embedding needs outputs of shape \(2, 5\) where join is none, but got \(5,\)",
        ),
    ],
    ids=["mlp", "squared", "reals", "join"],
)
def test_what_does_not_fit_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(Refused, match=sentence):
        lm.prepare(table(**changes))


@pytest.mark.parametrize(
    "instrument",
    [
        instruments.ModeStrengths(),
        instruments.ModeFractions(),
        instruments.KernelTarget(),
        instruments.LayerSimilarity(),
    ],
    ids=str,
)
def test_what_looks_at_vectors_alone_is_refused_on_ids(instrument):
    with pytest.raises(Refused, match="needs inputs and targets that are vectors of real numbers"):
        lm.run(table(), (instrument,))


def test_theories_of_vectors_say_that_they_do_not_speak_of_ids():
    start = lm.prepare(table(rule=rules.GradientDescent(rate=0.05)))
    (condition,) = theories.Decoupled().conditions(start)
    assert (
        not condition.holds and condition.claim == "inputs and targets are vectors of real numbers"
    )
    record = lm.run(
        smooth(rule=rules.GradientDescent(rate=1e-3), clock=lm.Clock(time=1.0, marks=5))
    )
    laid = lm.compare(record, theories.Flow())
    # of first order in the rate, times a curvature of order 1
    assert all(condition.holds for condition in laid.conditions) and laid.row("loss").error < 1e-3


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"X": SEQUENCES + 0.5, "Y": ANSWERS}, "whole numbers from 0 on in X"),
        ({"X": SEQUENCES, "Y": ANSWERS[:3]}, "a target for each training input"),
        ({"X": SEQUENCES, "Y": ANSWERS, "mask": ASKED * 2}, "a training mask of 0 and 1"),
        ({"X": SEQUENCES, "Y": ANSWERS, "X_test": SEQUENCES}, "both of X_test and Y_test"),
    ],
)
def test_ids_that_are_none_are_refused(given, sentence):
    with pytest.raises(Refused, match=sentence):
        data.Ids(**given)


def test_ids_beyond_their_vocabulary_are_refused():
    with pytest.raises(
        Refused,
        match="Ids needs train inputs that are ids from 0 to 2, but got 3. Raise the vocabulary",
    ):
        lm.prepare(table(data=data.Ids(X=SEQUENCES, Y=ANSWERS[:, 0], vocabulary=3)))


def test_an_experiment_on_ids_is_written_and_read_back(tmp_path):
    for experiment in (table(), each_position(mask=ASKED)):
        record = lm.run(experiment, folder=tmp_path / experiment.fingerprint[:8])
        loaded = lm.load(record.folder)
        assert loaded.experiment == experiment and loaded.dataset.identical(record.dataset)
        page = record.report(tmp_path / f"{experiment.fingerprint[:8]}.html").read_text(
            encoding="utf-8"
        )
        assert "ids below" in page
