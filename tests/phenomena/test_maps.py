"""Maps: the zero line of a function on a lattice, and where over two knobs a theory holds."""

import json

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, rules
from learnmech.cli.app import call as main
from learnmech.errors import Refused
from learnmech.figures.style import svg
from learnmech.runs.parcels import InHand
from learnmech.studies.maps import map_error, refined
from learnmech.studies.maps.errors import measured
from learnmech.studies.maps.lattice import stride_of

SIZE = 65


def asked_of(function, size=SIZE, **more):
    """(the lattice of a function of places in [0, 1] squared, how many nodes were asked)."""
    asked = []

    def ask(nodes):
        asked.extend(nodes)
        return [function(row / (size - 1), column / (size - 1)) for row, column in nodes]

    found = refined(ask, (size, size), **more)
    assert len(asked) == len(set(asked)) == found.asked.sum()  # each once
    return found


LINES = {
    "straight": lambda x, y: x + 0.7 * y - 0.9,
    "steep": lambda x, y: np.tanh(40 * (y - 0.3 - 0.4 * x)),
    "circle": lambda x, y: (x - 0.5) ** 2 + (y - 0.45) ** 2 - 0.09,
    "wave": lambda x, y: y - 0.5 - 0.25 * np.sin(7 * x),
}


# --- lattices


@pytest.mark.parametrize("name", LINES)
def test_the_line_is_that_of_the_whole_lattice_from_a_quarter_of_it(name):
    """At 65 x 65: every crossing of the full lattice is within half a cell of one that was found,
    and no other was found."""
    function = LINES[name]
    found = asked_of(function)
    assert found.share < 0.25
    rows = np.arange(SIZE) / (SIZE - 1)
    values = function(rows[:, None], rows[None, :])
    full = refined(lambda nodes: [values[node] for node in nodes], (SIZE, SIZE), islands=False)
    every = []
    for axis in (0, 1):
        a, b = (np.take(values, np.arange(*ends), axis) for ends in ((0, SIZE - 1), (1, SIZE)))
        for row, column in np.argwhere((a > 0) != (b > 0)):
            share = a[row, column] / (a[row, column] - b[row, column])
            step = np.array([share, 0.0] if axis == 0 else [0.0, share])
            every.append(np.array([row, column]) + step)
    every = np.array(every)
    for one, other in ((every, found.crossings()), (found.crossings(), every)):
        gaps = np.abs(one[:, None] - other[None]).max(-1).min(1)
        assert gaps.max() <= 0.5
    assert len(full.crossings()) == len(found.crossings())


def test_a_small_island_is_missed_without_looking_for_it_and_found_with():
    def island(x, y):
        return ((x - 0.46) ** 2 + (y - 0.46) ** 2) ** 0.5 - 0.02

    assert len(asked_of(island).crossings()) == 0
    found = asked_of(island, islands=True)
    assert len(found.crossings()) > 0 and found.share < 0.5


def test_where_the_line_is_blurred_it_is_not_divided_further():
    sharp = asked_of(LINES["straight"])
    blurred = asked_of(LINES["straight"], blurred=lambda node: 1.0)
    assert blurred.asked.sum() == ((SIZE - 1) // 4 + 1) ** 2 < sharp.asked.sum()


def test_holes_have_no_line_and_what_is_between_is_interpolated():
    found = asked_of(lambda x, y: np.nan if x > 0.5 else y - 0.5)
    assert found.crossings()[:, 0].max() <= 32
    filled = found.filled()
    rows = np.arange(SIZE) / (SIZE - 1)
    left = np.broadcast_to(rows - 0.5, (33, SIZE))
    np.testing.assert_allclose(filled[:33], left, atol=1e-9)


@pytest.mark.parametrize("count, stride", [(33, 4), (17, 4), (7, 2), (6, 1), (2, 1)])
def test_a_lattice_begins_as_coarse_as_its_size_allows(count, stride):
    assert stride_of(count) == stride


# --- maps


def stepped(**changes):
    """Descent on a few samples through two tanh layers."""
    parts = {
        "architecture": architectures.Mlp((6,), activation="tanh"),
        "data": data.Gaussian(n=12, d=3, k=1),
        "rule": rules.GradientDescent(rate=0.1),
        "clock": lm.Clock(steps=20, marks=5),
    }
    return lm.Experiment(**(parts | changes))


@pytest.fixture(scope="module")
def flow():
    knobs = {"rule.rate": (0.02, 8.0), "initial.scale": (0.5, 2.0)}
    return map_error("flow", stepped(initial=initial.Gaussian()), knobs, size=5)


def test_a_node_is_the_error_of_its_run(flow):
    made = stepped(initial=initial.Gaussian())
    for row, column in np.argwhere(np.isfinite(flow.g))[::4]:
        at = made.with_value("rule.rate", float(flow.values[0][row])).with_value(
            "initial.scale", float(flow.values[1][column])
        )
        record = lm.run(at, watch=("loss",))
        if len(record["time"]) < 5:
            assert flow.g[row, column] == 8.0
            continue
        error = lm.compare(record, lm.theories.Flow()).row("loss").error
        want = min(np.log(error / flow.tolerance), 8.0) if np.isfinite(error) else 8.0
        assert flow.g[row, column] == pytest.approx(want, rel=1e-6)


def test_the_boundary_is_where_the_conditions_end(flow):
    """The rate below 2/sharpness at t = 0, at each scale of the start."""
    assert len(flow.boundary)
    for rate, scale in flow.boundary:
        start = lm.prepare(stepped(initial=initial.Gaussian(scale=float(scale))))
        from learnmech.curvature.eigenpairs import sharpness

        edge = 2 / sharpness(start.system, start.state.params)
        step = flow.values[0][1] / flow.values[0][0]
        assert edge / step**1.01 <= rate <= edge * step**1.01


def test_what_lies_on_either_side_of_both_lines_is_counted(flow):
    assert sum(flow.agreement.values()) == np.isfinite(flow.g).sum()
    assert flow.agreement["outside, beyond"] > 0 and flow.agreement["in the domain, within"] > 0
    assert flow.lattice.share < 1 and "nodes were run" in str(flow)


def test_a_map_shows_itself(flow):
    said = json.loads(json.dumps(flow.plain()))
    assert said["knobs"] == ["rule.rate", "initial.scale"]
    assert "error = tolerance" in svg(flow.show()) and "<table" in flow._repr_html_()


def test_widths_that_round_to_one_are_one_run_and_several_seeds_give_a_median():
    knobs = {"architecture.hidden": (1, 2)}
    with pytest.raises(Refused):
        map_error("flow", stepped(), knobs)
    linear = stepped(architecture=architectures.DeepLinear(()))
    knobs = {"rule.rate": (0.01, 0.2), "data.n": (8, 10)}
    found = map_error("regression", linear, knobs, size=5, seeds=3)
    assert found.values[1].tolist() == [8, 8, 9, 9, 10]
    assert (found.g[np.isfinite(found.g)] < 0).all()  # it is exact
    assert (found.inside[np.isfinite(found.g)] == 1).all()
    assert found.line.shape == (0, 2)


def test_a_dear_theory_has_an_error_outside_its_domain_and_is_predicted_once():
    """The central flow is not asked for by `compare` where a condition fails; a map needs its error
    there too, to say whether the condition is too strict."""
    asked = []

    class Counted(lm.theories.CentralFlow):
        def predict(self, start, clock=None):
            asked.append(start)
            return super().predict(start, clock)

    theory = Counted(window=10)
    start = stepped(clock=lm.Clock(steps=40, every=2))  # fewer than 80 marks in each window
    g, inside, why = measured(InHand((start, theory)), "loss", 0.05)
    assert np.isfinite(g) and not inside and not why and len(asked) == 1
    assert not lm.compare(lm.run(start, watch=("loss",)), theory).rows


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: map_error("flo", stepped(), {}), "Did you mean flow"),
        (
            lambda: map_error("flow", stepped(), {"rule.rate": (0.1, 1)}),
            "map_error needs two knobs",
        ),
        (
            lambda: map_error("flow", stepped(), {"rule.rate": (1, 0.1), "seed": (0, 3)}),
            "rising values of rule.rate",
        ),
        (
            lambda: map_error("flow", stepped(), {"rule.rat": (0.1, 1), "seed": (0, 3)}),
            "rule.rat",
        ),
        (
            lambda: map_error(
                "decoupled", stepped(), {"rule.rate": (0.1, 1), "seed": (0, 3)}, size=2
            ),
            "a place at which Decoupled speaks of loss",
        ),
        (
            lambda: map_error(
                "flow", stepped(), {"rule.rate": (0.1, 1), "seed": (0, 3)}, tolerance=-1
            ),
            "a tolerance above 0",
        ),
    ],
)
def test_what_makes_no_map_is_refused_in_a_sentence(ask, sentence):
    with pytest.raises(Refused) as refusal:
        ask()
    assert sentence in str(refusal.value)


def test_the_command_draws_a_map(tmp_path, capsys):
    stepped().save(tmp_path)
    name, figure = str(tmp_path / "experiment.toml"), str(tmp_path / "map.png")
    ask = ["map", "flow", name, "rule.rate=0.05..2", "data.n=geom(4,16,3)", "--size", "3"]
    assert main([*ask, "--out", figure]) == 0
    assert "nodes were run" in capsys.readouterr().out
    assert main([*ask, "--out", figure]) == 2
    assert main(["map", "flow", name, "rule.rate=0.05..2"]) == 2
    assert "two knobs" in capsys.readouterr().err
    assert main(["map", "flow", name, "rule.rate=a..2", "data.n=4..8"]) == 2
