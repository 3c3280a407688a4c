"""Axes belong to arrays: whatever is watched together fits into one table, is laid out before
the first step, and is read back."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, rules
from learnmech.errors import Refused
from learnmech.experiment.tables import laid_out
from learnmech.gallery.contracts import mapped_by
from learnmech.instruments import Watch
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, trees
from learnmech.language.quantity import Quantity
from learnmech.march.watching import quantities_in, watched

LIGHT = (
    "loss",
    "weights",
    "norms",
    "distance",
    "ranks",
    "alignment",
    "feature-movement",
    "outputs",
    "mode-strengths",
    "propagation",
    "turning",
    "balance",
)


class Cell(eqx.Module):
    """A recurrent cell and a readout, whose arrays are of many sizes."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def __call__(self, x):
        h = jnp.zeros(4)
        for i in range(3):
            h = self.cell(x[i : i + 1], h)
        return self.readout(h)


class Kernels(eqx.Module):
    """Two convolutions in one list, of unlike channels, and a readout."""

    layers: list
    readout: eqx.nn.Linear

    def __call__(self, x):
        h = x.reshape(1, 1, 3)
        for layer in self.layers:
            h = jnp.tanh(layer(h))
        return self.readout(h.ravel())


def cell(key):
    first, second = jax.random.split(key)
    return Cell(eqx.nn.GRUCell(1, 4, key=first), eqx.nn.Linear(4, 2, key=second))


def kernels(key):
    a, b, c = jax.random.split(key, 3)
    return Kernels(
        [eqx.nn.Conv2d(1, 5, 1, key=a), eqx.nn.Conv2d(5, 2, 1, key=b)], eqx.nn.Linear(6, 2, key=c)
    )


def _pair(key):
    return {"W1": jnp.ones((4, 3)), "W2": jnp.ones((2, 4))}


PAIR = architectures.Wrapped(
    (_pair, lambda p, X: jnp.tanh(X @ p["W1"].T) @ p["W2"].T), batched=True
)
OWN = {"pair": PAIR, "cell": architectures.Wrapped(cell), "kernels": architectures.Wrapped(kernels)}


def around(architecture):
    return lm.Experiment(
        architecture,
        data.Gaussian(n=8, d=3, k=2, test=4),
        rules.GradientDescent(rate=0.01),
        lm.Clock(steps=3),
    )


@pytest.mark.parametrize("name", OWN)
def test_a_model_of_ones_own_is_watched_whole_and_its_folder_is_read_back(name, tmp_path):
    watch = ("loss", "weights", "norms", "distance", "feature-movement", Watch("output"), "outputs")
    record = lm.run(around(OWN[name]), watch, folder=tmp_path / "run")
    again = lm.load(tmp_path / "run")
    (note,) = again.notes
    assert again.names == record.names and "was handed over in Python" in note
    for path, leaf in record.final.items():
        assert again[path].shape == (4, *leaf.shape) and np.array_equal(again[path][-1], leaf)
    assert lm.load(record.save(tmp_path / "copy")).dataset.sizes == record.dataset.sizes
    assert (
        record.read(
            "gradient.readout.weight" if name != "pair" else "gradient.model.W2", [2]
        ).sizes["time"]
        == 1
    )


def test_axes_keep_their_names_where_they_do_not_clash():
    shapes = {
        "layer1.weight": (4, 3),
        "layer1.bias": (4,),
        "layer2.ih": (6, 3),
        "layer2.hh": (6, 2),
        "layer2.gain": (6,),
    }
    assert trees.axes_among(shapes) == {
        "layer1.weight": ("layer1.out", "layer1.in"),
        "layer1.bias": ("layer1.out",),
        "layer2.ih": ("layer2.out", "layer2.ih.in"),
        "layer2.hh": ("layer2.out", "layer2.hh.in"),
        "layer2.gain": ("layer2.out",),
    }
    record = lm.run(
        around(architectures.Mlp(hidden=(4,))), ("weights", "norms", "feature-movement", "outputs")
    )
    assert record["layer1.weight"].dims == ("time", "layer1.out", "layer1.in") and record[
        "outputs"
    ].dims == ("time", "sample", "output")
    assert record["feature_movement"].dims == record["weight_norm"].dims == ("time", "layer")


# what no example of a kind has: leaves that no gradient moves, and layers that end no block
TURNED = {
    "running-statistics": architectures.Mlp(
        hidden=(4,), norm="batch", affine=True, eps=1e-5, running_momentum=0.1
    ),
    "two-matrices": architectures.Residual(width=4, blocks=1, matrices=2, activation="tanh"),
}


@pytest.mark.parametrize(
    "kind", [*(kind for kind in catalog.members("architectures") if kind != "wrapped"), *TURNED]
)
def test_what_is_watched_together_fits_into_one_table_in_any_order(kind):
    example = (
        TURNED[kind]
        if kind in TURNED
        else catalog.load(catalog.members("architectures")[kind]).example()
    )
    try:
        start = lm.prepare(around(example))
    except Refused:  # what has one output alone, or takes ids
        start = lm.prepare(mapped_by(example))
    chosen = []
    for one in (
        *LIGHT,
        instruments.TangentKernel(samples=3),
        Watch("output[sample=0:3]"),
        Watch("output[sample=0:3]", reduce="covariance"),
    ):
        try:
            chosen += watched((one,), start)
        except Refused:
            continue
    found = quantities_in(start, watched(tuple(chosen), start))
    assert {q.name: q for q in quantities_in(start, watched(tuple(chosen[::-1]), start))} == {
        q.name: q for q in found
    }
    assert len(chosen) >= 6
    record = lm.run(
        dataclasses.replace(start.experiment, clock=lm.Clock(steps=1)),
        ("weights", "norms", "feature-movement", "tangent-kernel", "output"),
    )
    assert record.dataset.sizes["time"] == 2


class Strange(Instrument):
    """Readings on axes which others have with other sizes and labels, or called as a quantity
    is."""

    def quantities(self, system, params):
        return (
            Quantity(
                "strange", ("layer",), "1", "s", "on an axis of its own", (("layer", ("a", "b")),)
            ),
            Quantity(
                "odd", ("sample", "loss", "time"), "1", "o", "on an axis that is a quantity's name"
            ),
        )

    def read(self, moment):
        return {"strange": jnp.arange(2.0), "odd": jnp.zeros((5, 4, 3))}


def test_axes_of_ones_own_instruments_never_clash(tmp_path):
    record = lm.run(around(architectures.Mlp(hidden=(4,))), (Strange(), "loss", "norms", "outputs"))
    assert record["strange"].dims == ("time", "strange.layer") and record["weight_norm"].dims == (
        "time",
        "layer",
    )
    assert record["odd"].dims == ("time", "sample", "odd.loss", "odd.time") and record[
        "outputs"
    ].dims == ("time", "outputs.sample", "output")
    assert record["strange"]["strange.layer"].values.tolist() == ["a", "b"]
    assert record.read(Strange(), [1])["odd"].shape == (1, 5, 4, 3)


def test_what_no_table_can_hold_is_refused_before_the_first_step():
    start = lm.prepare(around(architectures.Mlp(hidden=(4,))))
    plain, shape = Quantity("q", ("a", "b"), "1", "q", "q"), {"q": (2, 3)}
    assert laid_out((plain,), shape) == (plain,)
    amiss = {
        "time": (dataclasses.replace(plain, name="time"), {"time": (2, 3)}),
        "no reading": (plain, {}),
        "rank": (plain, {"q": (2,)}),
        "twice": (dataclasses.replace(plain, axes=("a", "a")), shape),
        "labels": (dataclasses.replace(plain, labels=(("a", (1, 2, 3)),)), shape),
        "alike": (dataclasses.replace(plain, labels=(("a", (1, 1)),)), shape),
        "no axis": (dataclasses.replace(plain, labels=(("c", (1, 2)),)), shape),
    }
    for quantity, shapes in amiss.values():
        with pytest.raises(Refused):
            laid_out((quantity,), shapes)

    class Amiss(Instrument):
        def quantities(self, system, params):
            return (Quantity("amiss", ("layer",), "1", "a", "a"),)

        def read(self, moment):
            return {"amiss": jnp.zeros(())}

    with pytest.raises(Refused, match="The quantity 'amiss'"):
        lm.run(start, ("loss", Amiss()))
