"""Grids: samples of real numbers on a line or an image, in a space of their own, are trained on,
read, addressed, written, replayed and refused as vectors are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

import learnmech as lm
from learnmech import architectures, data, losses, rules, theories
from learnmech.errors import Refused
from learnmech.language import catalog, trees
from learnmech.language.spaces import Space

rng = np.random.default_rng(0)
IMAGES, TARGETS = rng.standard_normal((6, 4, 5, 2)), rng.standard_normal((6, 2))


def conv(**changes):
    return architectures.Conv(**({"channels": (3,), "activation": "tanh"} | changes))


def images(**changes):
    made = {
        "architecture": conv(),
        "data": data.Arrays(IMAGES, TARGETS, grid=(4, 5, 2), test=1),
        "rule": rules.GradientDescent(rate=0.05),
        "clock": lm.Clock(steps=4, every=2),
    }
    return lm.Experiment(**(made | changes))


@pytest.fixture(scope="module")
def start():
    return lm.prepare(images())


@pytest.mark.exact
def test_a_grid_is_learned_from_as_its_flattened_samples_are_to_the_bit(start):
    drawn = start.data
    assert drawn.spaces[0] == Space((4, 5, 2), ("row", "column", "channel"))
    assert drawn.train.X.shape == (5, 4, 5, 2) and drawn.test.X.shape == (1, 4, 5, 2)
    flat = images(
        architecture=conv(shape=(4, 5)), data=data.Arrays(IMAGES.reshape(6, -1), TARGETS, test=1)
    )
    ours, theirs = (lm.run(one, ("loss", "test-loss", "layer1.pre")) for one in (images(), flat))
    for name in ours.names:
        assert np.array_equal(ours[name], theirs[name]), name
    for path, leaf in ours.final.items():
        assert np.array_equal(leaf, theirs.final[path]), path


def test_signals_are_those_of_a_correlation_and_are_addressed_by_their_axes(start):
    watch = ("layer1.pre", "layer1.pre[row=1,column=3,channel=2]")
    record = lm.run(images(), watch)
    assert record[watch[0]].dims[2:] == ("layer1.row", "layer1.column", "layer1.channel")
    image = np.asarray(start.data.train.X)
    weight = np.asarray(start.params["layer1"]["weight"]).reshape(3, 3, 3, 2)
    by_hand = [
        [
            sum(correlate(one[..., c], kernel[..., c], mode="same") for c in (0, 1))
            for kernel in weight
        ]
        for one in image
    ]
    seen = np.moveaxis(record["layer1.pre"].values[0], -1, 1)
    np.testing.assert_allclose(seen, by_hand, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(
        record[watch[1]].values, record["layer1.pre"].values[:, :, 1, 3, 2]
    )


@pytest.mark.exact
def test_sequences_of_vectors_lie_on_a_line():
    sequences = np.random.default_rng(1).standard_normal((7, 6, 3))
    source = data.Arrays(sequences, np.arange(7) % 2, classes=True, grid=(6, 3), standardize=True)
    experiment = images(data=source, loss=losses.CrossEntropy(), rule=rules.SGD(rate=0.2, batch=3))
    record = lm.run(experiment, ("loss", "layer1.post[position=2]"))
    assert record["layer1.post[position=2]"].shape[1:] == (7, 3)
    X = np.asarray(record.start.data.train.X)
    # to round-off of a mean of 7 numbers of order 1
    np.testing.assert_allclose(X.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(X.std(0), 1, rtol=1e-14)
    half = lm.run(experiment.with_value("clock", lm.Clock(steps=2, every=2)))
    for path, leaf in trees.leaves_by_path(record.at(2).params).items():
        assert np.array_equal(leaf, half.final[path]), path


def test_every_instrument_reads_a_grid_or_refuses_it_in_a_sentence(start):
    reads, refusals = [], {}
    for member in catalog.own("instruments"):
        kind = catalog.load(member)
        one = kind.example() if hasattr(kind, "example") else kind()
        try:
            one.check(start.system)
            one.quantities(start.system, start.params)
            reads.append(one)
        except Refused as refusal:
            refusals[member.kind] = str(refusal)
    on_vectors = {"mode-strengths", "mode-fractions", "kernel-target", "infinite-kernel"}
    for kind in on_vectors | {"layer-similarity", "alignment"}:
        assert "needs inputs and targets that are vectors of real numbers" in refusals[kind]
    record = lm.run(images(clock=lm.Clock(steps=1, marks=2)), tuple(reads))
    assert len(reads) > 20 and len(record.names) >= len(reads)
    finite = [name for name in record.names if np.isfinite(record[name].values[-1]).all()]
    assert {"loss", "sharpness", "kernel_drift", "back_signal_ratio"} <= set(finite)


def test_theories_of_vectors_say_that_they_do_not_speak_of_grids(start):
    claim, silent = "inputs and targets are vectors of real numbers", []
    for member in catalog.own("theories"):
        theory = catalog.load(member)()
        conditions = theory.conditions(start)
        if not theory.of_ids:
            assert [(one.claim, one.holds) for one in conditions] == [(claim, False)]
            silent.append(member.kind)
    assert len(silent) > 20
    laid = lm.compare(lm.run(images(rule=rules.GradientDescent(rate=1e-3))), theories.Flow())
    # of first order in the rate, times a curvature of order 1
    assert all(one.holds for one in laid.conditions) and laid.row("loss").error < 1e-3


class Network(eqx.Module):
    """A user's own convolution, channels first."""

    conv: eqx.nn.Conv2d
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(2, 3, 3, padding=1, use_bias=False, key=one)
        self.last = eqx.nn.Linear(60, 2, use_bias=False, key=two)

    def __call__(self, image):
        h = jnp.tanh(self.conv(jnp.moveaxis(image, -1, 0)))
        return self.last(jnp.moveaxis(h, 0, -1).ravel())


def test_a_model_of_ones_own_takes_a_grid_and_says_what_conv_says(start):
    network = Network(jax.random.PRNGKey(0))
    record = lm.run(images(architecture=architectures.Wrapped(network)), ("loss", "outputs"))
    weight = np.moveaxis(np.asarray(network.conv.weight, np.float64), 1, -1)
    params = {
        "layer1": {"weight": jnp.asarray(weight.reshape(3, -1))},
        "layer2": {"weight": jnp.asarray(network.last.weight, jnp.float64)},
    }
    ours = conv().forward(params, start.system.train.X)
    np.testing.assert_allclose(record["outputs"].values[0], ours, rtol=1e-12, atol=1e-14)


def test_files_on_grids_are_read_written_and_held_to_their_axes(tmp_path):
    np.savez(tmp_path / "both.npz", X=IMAGES, Y=TARGETS)
    np.save(tmp_path / "gray.npy", (IMAGES[..., 0] * 100).astype(np.int16))
    np.savetxt(tmp_path / "labels.csv", np.arange(6) % 2, fmt="%d")
    both = data.File(path=tmp_path / "both.npz", grid=(4, 5, 2), center=True)
    record = lm.run(images(data=both), folder=tmp_path / "run")
    loaded = lm.load(tmp_path / "run")
    assert loaded.experiment == record.experiment and loaded.dataset.identical(record.dataset)
    assert "4 x 5 x 2 real numbers over row, column, channel" in loaded.report(
        tmp_path / "page.html"
    ).read_text(encoding="utf-8")
    gray = data.File(
        path=tmp_path / "gray.npy",
        targets_path=tmp_path / "labels.csv",
        header=False,
        classes=True,
        grid=(4, 5, 1),
    )
    drawn = lm.prepare(images(data=gray)).data
    np.testing.assert_array_equal(drawn.train.X[..., 0], (IMAGES[..., 0] * 100).astype(np.int16))
    first = data.File(path=tmp_path / "both.npz", grid=(2, 4, 5))
    with pytest.raises(Refused, match=r"File needs samples of shape \(2, 4, 5\), as grid says"):
        lm.prepare(images(data=first))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: data.Arrays(IMAGES, TARGETS), r"or set grid = \(4, 5, 2\) where these lie on one"),
        (
            lambda: data.Arrays(IMAGES, TARGETS, grid=(2, 4, 5)),
            "move the channels to the last axis",
        ),
        (lambda: data.Arrays(IMAGES, TARGETS, grid=(40,)), "A grid needs two axes"),
        (
            lambda: data.Arrays(IMAGES, TARGETS, grid=(4, 5, 2), whitened=True),
            "Arrays needs vectors, to be whitened",
        ),
        (
            lambda: lm.prepare(
                images(data=data.Arrays(IMAGES.reshape(6, -1), TARGETS, grid=(4, 5, 1)))
            ),
            r"Arrays needs 20 inputs, as many as grid = \(4, 5, 1\) has, but got 40",
        ),
        (
            lambda: lm.prepare(images(architecture=architectures.Mlp())),
            "Mlp needs inputs of one axis, vectors of real numbers, but got 4 x 5 x 2 real numbers"
            " over row, column, channel. Choose architectures.Conv",
        ),
        (
            lambda: lm.prepare(images(architecture=conv(shape=(5, 4)))),
            r"Conv needs positions \(5, 4\), as shape says",
        ),
        (
            lambda: lm.prepare(images(architecture=architectures.Embedding())),
            "Embedding needs inputs that are ids",
        ),
    ],
    ids=["no-grid", "channels-first", "one-axis", "white", "size", "mlp", "shape", "embedding"],
)
def test_what_does_not_fit_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(Refused, match=sentence):
        make()
