"""Asked amiss: scalars of other libraries are taken as the numbers they are, and what makes no
sense is answered in one sentence."""

import dataclasses
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, rules
from learnmech.cli.app import call
from learnmech.curvature.eigenpairs import eigenpairs
from learnmech.curvature.slices import between, landscape_slice
from learnmech.curvature.spectrum import density, measures, sums
from learnmech.errors import Refused
from learnmech.language import text
from learnmech.march.tracking import Tracker, tracked

SHAPE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$", re.DOTALL)
SMALL = lm.Experiment(
    architectures.Mlp(hidden=(3,)),
    data.Gaussian(n=6, d=2, k=2),
    rules.SGD(rate=0.1, batch=2),
    lm.Clock(steps=4, every=2),
)
DIGITS = data.Digits(train=40, classes=(3, 8), components=2)
LINE = np.linspace(0, 1, 3)


def refusal(make, *args, **kwargs):
    """The sentence in which something is refused, which must have the one shape."""
    with pytest.raises(Refused) as caught:
        print("accepted:", make(*args, **kwargs))
    assert SHAPE.match(str(caught.value)), str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def here():
    """(system, parameters) of a small network, of 12 parameters."""
    start = lm.prepare(SMALL)
    return start.system, start.params


@pytest.fixture(scope="module")
def other():
    """The parameters of a network with another width."""
    return lm.prepare(SMALL.with_value("architecture.width", 4)).params


# --- scalars of NumPy's and JAX's


def test_a_scalar_of_jax_is_a_knob_like_any_other():
    kept = rules.Adam(rate=jnp.float32(0.5))
    assert kept.rate.dtype == np.float64 and text.fingerprint(kept) == text.fingerprint(
        rules.Adam(rate=0.5)
    )
    for bad in (jnp.float32(-0.1), jnp.float64(np.nan), jnp.asarray(True), jnp.ones(2)):
        assert "Adam needs rate" in refusal(rules.Adam, rate=bad)


def test_a_knob_within_a_compiled_function_stays_what_it_is():
    seen = []
    jax.eval_shape(
        lambda rate: seen.append(rules.Adam(rate=rate).rate), jax.ShapeDtypeStruct((), np.float64)
    )
    assert isinstance(seen[0], jax.core.Tracer)


@pytest.mark.parametrize(
    "one, same",
    [
        (
            lambda: instruments.Sharpness(k=np.int64(3), tolerance=np.float32(0.5)),
            instruments.Sharpness(k=3, tolerance=0.5),
        ),
        (lambda: rules.SGD(batch=jnp.int32(4)), rules.SGD(batch=4)),
        (
            lambda: architectures.Mlp(hidden=(np.int64(6),), activation=np.str_("relu")),
            architectures.Mlp(hidden=(6,), activation="relu"),
        ),
        (lambda: architectures.Residual(width=np.asarray(3)), architectures.Residual(width=3)),
        (lambda: rules.Muon(nesterov=np.False_), rules.Muon(nesterov=False)),
        (lambda: interventions.Change(value=np.float64(0.2)), interventions.Change(value=0.2)),
    ],
    ids=["sharpness", "sgd", "mlp", "residual", "muon", "change"],
)
def test_a_scalar_of_numpy_is_a_structure_like_any_other(one, same):
    assert text.to_text(one()) == text.to_text(same) and repr(one()) == repr(same)


def test_axes_and_seeds_of_numpy_are_swept():
    grid = lm.sweep(SMALL, {"rule.batch": np.array([2, 3])}, np.int64(2))
    assert (
        grid["loss"].sizes["rule.batch"] == grid["loss"].sizes["seed"] == 2
        and np.isfinite(grid["loss"]).all()
    )


def test_the_number_of_eigenvalues_may_be_one_of_numpys(here):
    assert (
        len(
            eigenpairs(
                *here, k=np.int64(2), iterations=np.int64(12), tolerance=np.float32(1e-6)
            ).values
        )
        == 2
    )


# --- curvature


@pytest.mark.parametrize("bad", [10.0, 1, 0, -1, np.nan, "x", None, True], ids=str)
def test_a_tolerance_outside_zero_to_one_is_refused(here, bad):
    assert "tolerance between 0 and 1" in refusal(eigenpairs, *here, tolerance=bad, iterations=2)
    assert "tolerance between 0 and 1" in refusal(Tracker, tolerance=bad)


def test_counts_and_seeds_that_are_none_are_refused(here):
    for said in ({"k": 2.0}, {"seed": -1}, {"bottom": 0.5}, {"iterations": None}, {"k": True}):
        assert f"needs {next(iter(said))} to be a whole number" in refusal(
            eigenpairs, *here, **said
        )
    for said in ({"k": 0}, {"k": 1.0}, {"seed": -1}, {"seed": 2**32}, {"k": 3, "iterations": 2}):
        assert " to be a whole number" in refusal(Tracker, **said)
    assert "fresh between 0 and 1" in refusal(Tracker, fresh=0)
    assert "k <= 12, the parameters, but got 13" in refusal(Tracker(k=13).read, *here)
    for every in (2.5, 0, "2"):
        assert "every to be a whole number >= 1" in refusal(tracked, SMALL, every=every)


def test_probes_and_widths_that_say_nothing_are_refused():
    nodes = np.ones((2, 3))
    assert "width between 0 and 1" in refusal(density, nodes, nodes, width=1.0)
    assert "points" in refusal(density, nodes, nodes, points=1)
    assert "probes" in refusal(sums, None, 3, np.float64, None, probes=1)
    assert "iterations" in refusal(measures, None, 3, np.float64, None, iterations=0)


def test_parameters_of_another_network_are_refused(here, other):
    system, params = here
    whole = jax.tree.map(lambda leaf: leaf.astype(int), params)
    for bad in (
        {},
        None,
        {"layer1": params["layer1"]},
        {"a": "x"},
        {"layer1": params["layer1"], "layer2": other["layer2"]},
        whole,
    ):
        assert "parameters of this system's network" in refusal(eigenpairs, system, bad)
        assert "parameters of this system's network" in refusal(
            landscape_slice, system, bad, ("gradient",), (LINE,)
        )
        assert "parameters of this system's network" in refusal(Tracker().read, system, bad)


def test_a_tracker_does_not_go_on_with_another_network(here, other):
    tracker = Tracker()
    tracker._last = np.zeros(16)
    assert "of 16 parameters, but got one of 12" in refusal(tracker.read, *here)


def test_slices_along_what_is_no_list_or_no_direction_of_the_network_are_refused(here, other):
    system, params = here
    for bad in (1.0, np.ones((2, 2)), [], ["a"], [np.nan], None):
        assert "a list of finite numbers" in refusal(
            landscape_slice, system, params, ("gradient",), (bad,)
        )
    for along, distances in (("gradient", (LINE,)), (params, (LINE,)), (("gradient",), 1.0)):
        assert "one for each axis" in refusal(landscape_slice, system, params, along, distances)
    for bad in (other, {}, {"layer1": params["layer1"]}):
        assert "a tree like params, layer1.weight (3, 2)" in refusal(
            landscape_slice, system, params, (bad,), (LINE,)
        )
        assert "between needs a tree like params" in refusal(between, system, params, bad, LINE)


# --- sweeps


@pytest.mark.parametrize(
    "axes, seeds, says",
    [
        ({"rule.rate": 0.1}, 1, "a list of values for rule.rate, but got 0.1"),
        ({"architecture.activation": "tanh"}, 1, "a list of values for architecture.activation"),
        (["rule.rate"], 1, "axes as {knob: its values}"),
        ({}, 2.0, "seeds to be a whole number"),
        ({}, True, "seeds to be a whole number"),
        ({}, [0, 1.5], "each seed to be a whole number >= 0, but got 1.5"),
    ],
    ids=str,
)
def test_a_sweep_over_no_list_is_refused(axes, seeds, says):
    assert says in refusal(lm.sweep, SMALL, axes, seeds)


# --- parts


def test_a_misspelt_or_missing_name_is_answered_in_a_sentence():
    assert refusal(rules.Adam, rat=0.1).startswith(
        "Adam needs a known knob, but got 'rat'. Did you mean rate"
    )
    assert refusal(dataclasses.replace, rules.Adam(), rat=0.1).startswith(
        "Adam needs a known knob, but got 'rat'."
    )
    assert (
        refusal(architectures.Dropout)
        == "Dropout needs of, an Architecture, but got nothing. Give of."
    )
    assert "rate once" in refusal(rules.Adam, 0.1, rate=0.1)
    assert "at most 4 values by place, but got 12" in refusal(rules.Adam, *range(1, 13))
    assert "of to be an Architecture, but got 'mlp'" in refusal(architectures.Dropout, "mlp")


def test_a_fault_within_a_part_is_not_taken_for_a_misspelt_name():
    class Faulty(rules.Adam):
        """A rule whose own check is at fault."""

        def coherent(self):
            return len(3)

    with pytest.raises(TypeError, match="len"):
        Faulty(rate=0.1)


def test_an_experiment_is_pickled_whole():
    assert pickle.loads(pickle.dumps(SMALL)).text == SMALL.text


# --- what is typed


def test_to_swap_a_part_by_its_kind_is_answered_with_how_it_is_written(tmp_path, capsys):
    (tmp_path / "small.toml").write_text(SMALL.text)
    assert (
        call(
            [
                "run",
                str(tmp_path / "small.toml"),
                "rule.kind=spectral-descent",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert (
        "Write rule=spectral-descent, or rule={kind='spectral-descent', ...}"
        in capsys.readouterr().err
        and not (tmp_path / "out").exists()
    )


@pytest.mark.parametrize(
    "typed, value",
    [
        (".05", 0.05),
        ("-.5", -0.5),
        ("5.", 5.0),
        (".5e-3", 5e-4),
        (".", "."),
        ("1..2", "1..2"),
        ("5", 5),
    ],
)
def test_a_number_may_be_typed_without_a_digit_beside_its_point(typed, value):
    assert text.value_of(typed) == value and type(text.value_of(typed)) is type(value)


# --- accuracy


@pytest.mark.parametrize(
    "source",
    [data.Gaussian(n=6, d=2, k=2), data.Gaussian(n=6, d=2, k=1), data.File.example()],
    ids=["two", "one", "numbered"],
)
def test_accuracy_on_targets_that_are_no_classes_is_refused_before_the_run(source, tmp_path):
    numbers = dataclasses.replace(SMALL, data=source)
    assert "Accuracy needs targets that are classes" in refusal(
        lm.run, numbers, (instruments.Accuracy(),), folder=tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"targets": "sign"},
        {"targets": "signs"},
        {"center_targets": True},
        {"targets": "sign", "center_targets": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_accuracy_takes_classes_however_they_are_written(changes, precision):
    system = lm.prepare(
        dataclasses.replace(SMALL, data=dataclasses.replace(DIGITS, **changes), precision=precision)
    ).system
    instruments.Accuracy().check(system)


def test_accuracy_takes_probabilities_and_refuses_several_classes_at_once(here):
    system = here[0]
    for Y, fits in (
        ([[0.2, 0.8], [0.3, 0.7]], True),
        ([[1.0, 1.0], [1.0, -1.0]], False),
        ([[0.0, 0.0], [1.0, 0.0]], False),
    ):
        shown = dataclasses.replace(system, train=dataclasses.replace(system.train, Y=np.array(Y)))
        if fits:
            instruments.Accuracy().check(shown)
        else:
            assert "in row 0 of the train targets" in refusal(instruments.Accuracy().check, shown)
