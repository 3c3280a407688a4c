"""Paths to theories, and budgets: what the difference between a theory and a run is made of."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, losses, rules
from learnmech.cli.app import call as main
from learnmech.errors import Refused
from learnmech.figures.style import svg
from learnmech.language import catalog, text
from learnmech.simplifications.facts import FACTS
from learnmech.studies.ladders.budget import explain
from learnmech.studies.ladders.paths import Rungs, both, nearest, path
from learnmech.theories import Decoupled, EndToEnd, InfiniteWidth, Lazy
from learnmech.theories.base import Theory


def experiment(**changes):
    parts = {
        "architecture": architectures.Mlp(hidden=(12,), activation="tanh"),
        "data": data.Digits(train=60, components=5),
        "rule": rules.SGD(rate=0.05, batch=20),
        "clock": lm.Clock(steps=30, marks=7),
    }
    return lm.Experiment(**(parts | changes))


@pytest.fixture(scope="module")
def explained():
    return explain(experiment(), "infinite-width", seeds=2)


# --- paths


@pytest.mark.parametrize(
    "changes, theory, axes",
    [
        ({}, "flow", ("batches",)),
        ({}, "lazy", ("batches",)),
        ({}, "infinite-width", ("batches", "scaling")),
        ({}, "regression", ("depth", "nonlinearity", "batches")),
        ({}, "conservation", ("nonlinearity", "batches", "gains", "step size")),
        ({}, "end-to-end", ("nonlinearity", "batches", "gains", "balance", "step size")),
        (
            {},
            "decoupled",
            ("input spectrum", "nonlinearity", "batches", "gains", "alignment"),
        ),
        ({"loss": losses.CrossEntropy()}, "lazy", ("loss", "batches")),
        ({"rule": rules.Adam(rate=0.01)}, "lazy", ("rule",)),
        ({"rule": rules.Adam(rate=0.01, batch=20)}, "lazy", ("batches", "rule")),
        (
            {"architecture": architectures.Mlp((12,), bias=True)},
            "regression",
            ("bias", "depth", "nonlinearity", "batches"),
        ),
        (
            {"architecture": architectures.DeepLinear((12, 12))},
            "end-to-end",
            ("depth", "batches", "balance", "step size"),
        ),
    ],
)
def test_paths_are_those_that_are_found_by_hand(changes, theory, axes):
    found = path(experiment(**changes), text.part_of(Theory, theory))
    assert found.found and found.axes == axes


# What each exhibit is, and what the theory asks of it beside that, written down by hand.
OF_THE_GALLERY = [
    # linear, aligned, on white inputs, under descent: one layer of it is least squares
    ("saxe-modes", "decoupled", ()),
    ("saxe-modes", "regression", ("depth",)),
    # the same on digits; end-to-end speaks of the flow alone
    ("digits-modes", "end-to-end", ("step size",)),
    # tanh 16-16 with biases in sp, full batches
    ("edge-of-stability", "infinite-width", ("scaling",)),
    ("edge-of-stability", "regression", ("bias", "depth", "nonlinearity")),
    ("ols", "lazy", ()),
    ("optimizers-on-digits", "decoupled", ("input spectrum", "nonlinearity", "gains", "alignment")),
    ("kernel-predicts-training", "infinite-width", ()),
    # a flow of linear layers
    ("coupling-by-depth", "conservation", ()),
    ("mup-transfer", "lazy", ("batches",)),
    # heavy ball on digits, tanh 16-16 with biases
    (
        "momentum-edge",
        "end-to-end",
        ("bias", "depth", "nonlinearity", "rule", "gains", "balance", "step size"),
    ),
    # lam = 2 is balanced by what grows alone
    ("lambda-balanced", "end-to-end", ("balance",)),
    ("lambda-balanced", "decoupled", ("alignment",)),
    # above the edge of the tangent, which no axis turns
    ("catapult", "lazy", None),
    # ntk as a scaling stays in a linear network, whose layers are multiplied by it
    ("kernel-predicts-training", "regression", None),
]


@pytest.mark.parametrize("name, theory, axes", OF_THE_GALLERY)
def test_paths_from_the_gallery_are_those_of_a_table_by_hand(name, theory, axes):
    exhibit = catalog.exhibit(name)
    found = path(exhibit.changed(exhibit.twin), text.part_of(Theory, theory))
    assert (found.axes if found.found else None) == axes


def test_a_path_is_the_shortest_of_all_sets_of_axes():
    """Every set of fewer axes leaves a condition that fails."""
    rungs = Rungs(experiment())
    for theory in (Lazy(), InfiniteWidth(), EndToEnd()):
        way = path(rungs, theory)
        for size in range(min(len(way.steps), 3)):
            for chosen in itertools.combinations(rungs.steps, size):
                if len({one.axis for one in chosen}) < size:
                    continue
                start = rungs.at(frozenset(chosen))
                assert start is None or not all(c.holds for c in theory.conditions(start))


def test_a_limit_has_a_second_path_to_where_it_has_been_taken():
    near, at_limit = both(experiment(), InfiniteWidth())
    assert near.axes == ("batches", "scaling")
    assert at_limit.axes == ("batches", "scaling", "features")
    assert "at its limit 3 steps away" in at_limit.words


def test_a_theory_that_no_step_leads_to_says_which_condition_is_in_the_way():
    found = path(experiment(), text.part_of(Theory, "diagonal-bias"))
    assert not found.found and "diagonal" in found.why


def test_a_theory_that_applies_is_no_step_away():
    assert path(Decoupled.example(), Decoupled()).steps == ()


def test_paths_to_every_theory_come_the_shortest_first():
    found = nearest(experiment(), [EndToEnd(), InfiniteWidth(), Lazy()])
    assert [one.theory for one in found[:2]] == ["lazy", "infinite-width"]
    assert [len(one.steps) for one in found] == sorted(len(one.steps) for one in found)


def test_conditions_name_facts_of_the_closed_list():
    full, seen = experiment(), set()
    starts = [lm.prepare(full), *(lm.prepare(catalog.load(m).example()) for m in MEMBERS[:4])]
    for member in MEMBERS:
        theory = catalog.load(member)()
        for start in starts:
            for one in theory.conditions(start):
                assert not one.fact or set(one.wants) <= set(FACTS[one.fact]), (member.kind, one)
                seen.add(one.fact)
    assert len(seen) > 6


MEMBERS = list(catalog.own("theories"))


# --- budgets


def test_parts_add_up_to_the_difference_at_every_mark_and_seed(explained):
    whole = sum(part.values for part in explained.parts)
    np.testing.assert_allclose(whole, explained.said - explained.full, atol=1e-12, rtol=0)
    assert explained.path.axes == ("batches", "scaling", "features")
    assert [part.name for part in explained.parts][-1] == "infinite-width"


def test_the_curves_of_a_budget_are_those_of_the_runs_and_of_the_theory(explained):
    for seed in explained.seeds:
        at = dataclasses.replace(experiment(), seed=seed)
        np.testing.assert_array_equal(explained.full[seed], lm.run(at, watch=("loss",))["loss"])
        last = lm.simplified(at, *explained.path.steps).experiment
        np.testing.assert_array_equal(explained.last[seed], lm.run(last, watch=("loss",))["loss"])
        said = lm.predict(last, InfiniteWidth())["loss"]
        np.testing.assert_array_equal(explained.said[seed], said)


def test_an_axis_without_any_error_has_no_part(explained):
    parts = {part.name: part for part in explained.parts}
    assert np.abs(parts["scaling"].values).max() < 1e-12
    assert np.abs(parts["batches"].values).max() > 1e-4


def test_a_part_is_the_mean_over_the_orders_and_within_their_range(explained):
    """Two orders of batches and features (scaling must be off before nothing): by hand."""
    curves, at = {}, experiment()
    steps = explained.path.steps
    for size in range(len(steps) + 1):
        for chosen in itertools.combinations(steps, size):
            runs = [
                lm.run(
                    lm.simplified(dataclasses.replace(at, seed=seed), *chosen).experiment,
                    watch=("loss",),
                )["loss"].values
                for seed in explained.seeds
            ]
            curves[frozenset(chosen)] = np.stack(runs)
    legs = {step: [] for step in steps}
    for order in itertools.permutations(steps):
        for place, step in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            legs[step].append(curves[after] - curves[before])
    assert explained.orders == 6
    for step, part in zip(steps, explained.parts):
        each = np.stack(legs[step])
        np.testing.assert_allclose(part.values, each.mean(0), atol=1e-14)
        np.testing.assert_allclose(part.least, each.mean(1).min(0), atol=1e-14)
        np.testing.assert_allclose(part.most, each.mean(1).max(0), atol=1e-14)


def test_a_theory_that_holds_has_no_part_of_its_own():
    linear = experiment(architecture=architectures.DeepLinear((12,)))
    budget = explain(linear, "regression", seeds=2)
    own = budget.parts[-1]
    assert np.abs(own.values).max() < 1e-9 * np.abs(budget.full).max()


def test_of_many_axes_the_parts_are_those_of_the_one_order():
    deep = experiment(architecture=architectures.Mlp((12, 12), activation="tanh"))
    budget = explain(deep, "end-to-end", seeds=1)
    assert len(budget.path.steps) == 6 and budget.drawn and budget.orders == 1
    whole = sum(part.values for part in budget.parts)
    np.testing.assert_allclose(whole, budget.difference, atol=1e-12, rtol=0)
    assert "one order of more" in str(budget)


def test_without_a_theory_the_nearest_is_taken():
    budget = explain(experiment(), seeds=1)
    assert len(budget.path.steps) <= 1 and budget.others


def test_a_budget_shows_itself(explained):
    assert "difference" in str(explained) and "<table" in explained._repr_html_()
    assert "what each axis adds" in svg(explained.show())
    assert json.loads(json.dumps(explained.plain()))["path"].startswith("at its limit 3 steps")


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: explain(experiment(), "lasy"), "Did you mean lazy"),
        (lambda: explain(experiment(), "diagonal-bias"), "a path to diagonal-bias, but got none"),
        (lambda: explain(experiment(), "lazy", seeds=0), "explain needs one seed or more"),
        (
            # the tangent of this one is above its edge, the network itself is not
            lambda: explain(
                catalog.exhibit("optimizers-on-digits").changed(
                    catalog.exhibit("optimizers-on-digits").twin
                ),
                "infinite-width",
                seeds=3,
            ),
            "rungs that do not run away",
        ),
        (
            lambda: explain(experiment(), "lazy", "los", seeds=1),
            "what Lazy predicts, but got 'los'",
        ),
        (lambda: explain(experiment(), "conservation", seeds=1), "a quantity that the theory"),
        (
            lambda: explain(
                experiment(
                    architecture=architectures.Mlp((12,), activation="cube"),
                    initial=initial.Gaussian(scale=10.0),
                ),
                "regression",
                seeds=1,
            ),
            "explain needs runs that end",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(ask, sentence):
    with pytest.raises(Refused) as refusal:
        ask()
    assert sentence in str(refusal.value)


def test_the_commands_explain_and_theories_tell_the_paths(tmp_path, capsys):
    experiment().save(tmp_path)
    name, figure = str(tmp_path / "experiment.toml"), str(tmp_path / "why.png")
    ask = ["explain", name, "--theory", "lazy", "--seeds", "2"]
    assert main([*ask, "--json", "--out", figure]) == 0
    assert json.loads(capsys.readouterr().out)["axes"] == ["batches", "features"]
    assert main([*ask, "--near"]) == 0
    assert "in its domain 1 step away: batches" in capsys.readouterr().out
    assert main([*ask, "--out", figure]) == 2
    capsys.readouterr()
    assert main(["theories", name]) == 0
    assert "infinite-width: in its domain 2 steps away: batches, scaling" in capsys.readouterr().out
