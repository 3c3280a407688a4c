"""Conditions and verdicts: laid over all architectures, rules and losses there are; at the edges
of what can be decided they say so; none ends another."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules, theories
from learnmech.comparison import verdicts as comparison
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.comparison.readers import watching
from learnmech.comparison.verdicts import Comparison, Row
from learnmech.errors import Refused, refused
from learnmech.experiment.recipe import stream_of
from learnmech.language import catalog
from learnmech.theories.base import Condition, Theory
from learnmech.verbs import foretelling


def examples(family):
    return [catalog.find(family, kind).example() for kind in catalog.members(family)]


THEORIES = [catalog.find("theories", kind)() for kind in catalog.members("theories")]
NUMBERS = (
    data.Gaussian(n=6, d=3, k=2),
    data.Gaussian(n=5, d=1, k=1, whitened=True),
    data.Gaussian(n=1, d=1, k=1, map=np.zeros((1, 1))),
)
SIGNS, CLASSES = (
    data.Digits(train=6, classes=(0, 1), components=3, targets=targets)
    for targets in ("sign", "one-hot")
)
FITTING = {"squared": NUMBERS, "logistic": (SIGNS,), "hinge": (SIGNS,), "cross-entropy": (CLASSES,)}
STARTS = (
    initial.Gaussian(),
    initial.Gaussian(scale=0.0),
    initial.Balanced(),
    initial.ZeroReadout(),
)


DRAWN = {
    id(source): source.draw(stream_of(source.seed, "data")) for source in (*NUMBERS, SIGNS, CLASSES)
}


def start_of(architecture, rule, loss, source, begun):
    """The start, None where these parts do not go together, which is said before anything is
    run."""
    clock = lm.Clock(time=1.0, marks=3) if rule.flows else lm.Clock(steps=4)
    try:
        return lm.prepare(
            lm.Experiment(architecture, source, rule, clock, begun, loss), DRAWN[id(source)]
        )
    except Refused:
        return None


def covering():
    """A design in which every architecture meets every rule; losses, starts and data come by
    turns."""
    known = catalog.members("losses")
    places = [
        (catalog.find("losses", kind).example(), source)
        for kind in known
        for source in FITTING.get(kind, (*NUMBERS, SIGNS, CLASSES))
    ]
    found = []
    for turn, (architecture, rule) in enumerate(
        itertools.product(examples("architectures"), examples("rules"))
    ):
        for step in range(len(places) * len(STARTS)):  # the first that go together
            loss, source = places[(turn + step) % len(places)]
            start = start_of(
                architecture, rule, loss, source, STARTS[(turn // 3 + step) % len(STARTS)]
            )
            if start is not None:
                found.append(start)
                break
    return found


def odd(condition: Condition) -> bool:
    """Whether a condition is said to hold of what is no number, or was not decided for a reason
    that is a fault of ours."""
    numbers = [x for x in (condition.value, condition.bound) if isinstance(x, (float, np.floating))]
    return (
        condition.holds and any(map(math.isnan, numbers))
    ) or "could not be decided here" in str(condition.value)


def test_every_theory_says_its_conditions_of_every_architecture_rule_and_loss_and_none_is_a_surprise(
    monkeypatch,
):
    starts, strange = covering(), []
    met = {(type(s.experiment.architecture), type(s.rule)) for s in starts}
    assert len(starts) > 120 and {type(s.experiment.loss) for s in starts} == {
        type(one) for one in examples("losses")
    }
    assert {type(s.experiment.initial) for s in starts} == {type(one) for one in STARTS} and len(
        met
    ) == len(starts)
    for place, start in enumerate(starts):
        # what takes work to decide compiles: at every seventh, by which every architecture and
        # every rule come
        with monkeypatch.context() as bare:
            for theory in THEORIES if place % 7 else ():
                bare.setattr(type(theory), "further", lambda self, start: ())
            for theory in THEORIES:
                conditions = theory.conditions(start)
                assert conditions and all(isinstance(c.holds, bool) for c in conditions)
                strange += [
                    (type(theory).__name__, repr(start.experiment), c) for c in conditions if odd(c)
                ]
    assert strange == []


TURNED = [
    (
        architectures.Mlp(hidden=(4,), norm="batch", eps=1e-5, running_momentum=0.1),
        initial.Gaussian(),
    ),
    (architectures.Residual(width=4, blocks=1, matrices=2, bias=True), initial.Gaussian()),
    (architectures.Mlp(hidden=(4,), activation="selu"), initial.GaussianPerLayer(gain=(0.5, 2.0))),
]


@pytest.mark.parametrize(
    "architecture, begun", TURNED, ids=["running-statistics", "two-matrices", "per-layer"]
)
def test_conditions_of_knobs_that_no_example_turns_are_no_surprise_either(
    architecture, begun, monkeypatch
):
    start = start_of(
        architecture,
        rules.GradientDescent(rate=0.1, decay=0.01),
        examples("losses")[0],
        SIGNS,
        begun,
    )
    start = start or lm.prepare(
        lm.Experiment(
            architecture, NUMBERS[0], rules.GradientDescent(rate=0.1), lm.Clock(steps=4), begun
        )
    )
    for theory in THEORIES:
        monkeypatch.setattr(type(theory), "further", lambda self, start: ())
    conditions = [c for theory in THEORIES for c in theory.conditions(start)]
    assert [c for c in conditions if odd(c)] == [] and not all(c.holds for c in conditions)


LINE = lm.Experiment(
    architectures.DeepLinear(hidden=(2,)),
    data.Gaussian(n=6, d=3, k=2),
    rules.GradientDescent(rate=0.05),
    lm.Clock(steps=4),
)


@pytest.fixture
def odd_theory():
    """A maker of such theories: a `Part` is frozen, so that what they do is set on a class of
    its own."""

    def made(give, said=None):
        asked = []

        def further(self, start):
            for place in range(3):
                asked.append(place)
                yield Condition(f"dear {place}", place, 1, place < 1)

        body = {
            "__doc__": "Its conditions are what it is told.",
            "source": "made up",
            "predicts": ("loss",),
            "known": lambda self, start: give(start),
            "further": further,
        }
        body["predict"] = lambda self, start, clock=None: said(start)
        return type("Made", (Theory,), body)(), asked

    return made


def yes(start):
    yield Condition("one", 1, 1, True)


def raising(error):
    def give(start):
        yield Condition("one", 1, 1, True)
        raise error

    return give


def test_what_is_raised_within_conditions_is_a_condition_that_does_not_hold_behind_those_already_decided(
    odd_theory,
):
    start = lm.prepare(LINE)
    for error, claim, decided in (
        (
            refused("Another", "a thing", "none", "Give one"),
            "what its conditions look at can be had here",
            True,
        ),
        (ZeroDivisionError("float division by zero"), "its conditions can be decided here", False),
        (np.linalg.LinAlgError("Singular matrix"), "its conditions can be decided here", False),
    ):
        one, last = odd_theory(raising(error))[0].conditions(start)
        assert one.holds and (last.claim, last.holds, last.decided) == (claim, False, decided)
        assert ("could not be decided here: " + type(error).__name__ in last.value) == (
            not decided
        ) and str(error) in last.value
    with pytest.raises(KeyboardInterrupt):
        odd_theory(raising(KeyboardInterrupt()))[0].conditions(start)


def test_a_number_that_is_none_holds_nothing_and_decides_nothing(odd_theory):
    theory, _ = odd_theory(
        lambda start: (
            Condition("small", np.divide(0.0, np.zeros(())), 1.0, True),
            Condition("bound", 1.0, math.nan, True),
        )
    )
    assert [(c.holds, c.decided) for c in theory.conditions(lm.prepare(LINE))] == [
        (False, False)
    ] * 2
    assert Condition("infinite", math.inf, "inf", np.True_).settled().holds is True


def test_dear_conditions_are_asked_only_where_all_that_is_known_holds_and_up_to_the_first_that_fails(
    odd_theory,
):
    start = lm.prepare(LINE)
    theory, asked = odd_theory(yes)
    assert [c.claim for c in theory.conditions(start)] == ["one", "dear 0", "dear 1"] and asked == [
        0,
        1,
    ]
    theory, asked = odd_theory(
        lambda start: (Condition("one", 2, 1, False), Condition("two", 2, 2, True))
    )
    assert [c.claim for c in theory.conditions(start)] == ["one", "two"] and asked == []
    touched = lm.prepare(
        LINE.with_value("events", ({"kind": "freeze", "path": "layer1", "at": 2},))
    )
    theory, asked = odd_theory(yes)
    assert not all(c.holds for c in theory.conditions(touched)) and asked == []


def test_the_central_flow_says_at_once_what_is_known_at_once(monkeypatch):
    from learnmech.theories import central_flow

    monkeypatch.setattr(
        central_flow, "course", lambda *asked, **more: pytest.fail("the flow was followed")
    )
    record = lm.run(LINE.with_value("clock", lm.Clock(steps=2000, every=100)))
    laid = lm.compare(record, theories.CentralFlow())
    assert (
        laid.verdict == "outside domain"
        and laid.rows == ()
        and "steps between marks: 100 (bound 5)" in laid.words
    )


def test_one_theory_that_raises_does_not_end_the_others(tmp_path, odd_theory, monkeypatch):
    def surprised(start):
        raise ZeroDivisionError("float division by zero")

    record, theory = lm.run(LINE), odd_theory(lambda start: (), surprised)[0]
    monkeypatch.setattr(type(theory), "further", lambda self, start: ())
    first, second = comparison.compare_each(record, (theory, theories.Flow()))
    assert (
        first.verdict == "undecided"
        and first.rows == ()
        and "ZeroDivisionError: float division by zero" in first.words
    )
    assert second.rows
    file = tmp_path / "e.toml"
    for rule in ("muon", "spectral-descent", "lion"):
        file.write_text(
            LINE.with_value("rule", {"kind": rule})
            .with_value("architecture", {"kind": "mlp", "hidden": [3]})
            .text,
            encoding="utf-8",
        )
        said = foretelling.theories(str(file), [], False)["theories"]
        assert set(said) == set(catalog.members("theories")) and all(
            one["conditions"] for one in said.values()
        )
        assert not said["infinite-width"]["applies"]
    flat = (
        LINE.with_value("rule", {"kind": "sgd", "batch": 1})
        .with_value("architecture.hidden", (3, 3))
        .with_value("initial", {"kind": "gaussian", "scale": 0.0})
    )
    file.write_text(flat.text, encoding="utf-8")
    said = foretelling.theories(str(file), [], False)["theories"]
    conditions = {c["claim"]: c for c in said["sgd-flatness"]["conditions"]}
    assert (
        conditions["the loss is curved across it: directions that are not flat"]["value"] == 0
        and not said["sgd-flatness"]["applies"]
    )


def verdict_of(conditions, verdicts):
    rows = tuple(Row("loss", 1.0, 1.0, 0.0, 0.0, 1.0, verdict) for verdict in verdicts)
    return Comparison("T", "", rows, tuple(conditions), {}, None).verdict


def test_a_theory_fails_only_where_its_conditions_were_decided():
    met, missed, open_ = (
        Condition("a", 1, 1, True),
        Condition("b", 2, 1, False),
        Condition("c", "?", 1, False, decided=False),
    )
    assert (
        verdict_of([met], ["within", "beyond"]) == "fails"
        and verdict_of([met], ["within"]) == "holds"
    )
    assert (
        verdict_of([met, open_], ["beyond"]) == "undecided"
        and verdict_of([missed, open_], ["beyond"]) == "outside domain"
    )
    assert (
        verdict_of([met], []) == "undecided"
        and verdict_of([met], ["within", "undecided"]) == "undecided"
    )


def test_errors_at_the_edges_of_numbers():
    nan, inf = math.nan, math.inf
    assert math.isnan(relative_error(np.array([nan, 1.0]), np.array([1.0, nan]))[0])
    assert relative_error(np.array([1.0, inf]), np.array([1.0, 2.0])) == (
        inf,
        (1,),
    )  # the run diverged, which was not said
    assert (
        relative_error(np.array([1.0, inf, inf]), np.array([1.0, inf, 1e200]))[0] == 0.0
    )  # so was it said
    assert relative_error(np.array([0.0, 1e-3]), np.zeros(2))[0] == 1e-3
    assert relative_error(np.array([1.0, nan]), np.array([2.0, 5.0]))[0] == 0.5


def test_a_record_of_one_mark_or_of_a_run_that_diverged_holds_nothing(odd_theory, monkeypatch):
    still = lm.run(LINE, until="loss<1e9")
    assert len(still["loss"]) == 1 and lm.compare(still, theories.Flow()).verdict != "holds"
    record = lm.run(
        LINE.with_value("rule.rate", 1e3).with_value("clock", lm.Clock(steps=400, every=100))
    )
    assert (
        any(note.startswith("diverged") for note in record.notes)
        and not np.isfinite(record["loss"].values).all()
    )
    # what stays at the first loss is right at the start, and was told of no end
    said = record.dataset[["loss"]].copy(
        data={"loss": np.full(len(record["loss"]), float(record["loss"][0]))}
    )
    calm = odd_theory(yes, lambda start: said)[0]
    monkeypatch.setattr(type(calm), "further", lambda self, start: ())
    laid = lm.compare(record, calm)
    assert laid.verdict != "holds" and laid.rows[0].error == math.inf


def test_nothing_is_said_of_the_edge_of_a_run_that_is_at_rest_or_that_begins_above_it():
    adam = lm.Experiment(
        architectures.DeepLinear(hidden=(4,)),
        data.Gaussian(n=8, d=3, map=np.zeros((1, 3))),
        rules.Adam(),
        lm.Clock(steps=20, every=2),
        initial.ZeroReadout(),
    )
    record = lm.run(adam, ("loss", "preconditioned-sharpness"))
    assert (
        not record["loss"].values.any()
        and lm.compare(record, theories.EdgeOfStability()).verdict == "outside domain"
    )
    above = (
        theories.EdgeOfStability.example()
        .with_value("rule.rate", 0.3)
        .with_value("clock", lm.Clock(steps=20, every=1))
    )
    laid = lm.compare(lm.run(above, ("loss", "sharpness")), theories.EdgeOfStability())
    assert (
        laid.verdict == "outside domain"
        and "the sharpness comes to the threshold from below" in laid.words
    )
    # tanh on 20 points begins at 33, falls below 2/rate = 20 within some steps, and rises to it
    fallen = catalog.exhibit("edge-of-stability").experiment()
    fallen = fallen.with_value("clock", lm.Clock(steps=3000, every=60))
    record = lm.run(fallen, ("loss", "sharpness"))
    assert record["sharpness"][0] > 20 > record["sharpness"][1]
    assert lm.compare(record, theories.EdgeOfStability()).verdict == "holds"
    unwatched = lm.compare(lm.run(above, ("sharpness",)), theories.EdgeOfStability())
    assert unwatched.verdict == "outside domain"


def test_a_check_says_which_premise_is_missing_or_that_the_run_did_not_come_so_far():
    plain = Check("a number", 1.0, 2.0, 0.1, "made up")
    assert (plain.verdict, plain.holds, plain.words) == ("fails", False, "fails")
    layered = Check(
        "a number", 1.0, 2.0, 0.1, "made up", premises=(Condition("two layers", 4, 2, False),)
    )
    assert (layered.verdict, layered.holds, layered.words) == (
        "outside domain",
        False,
        "outside domain: two layers: 4 (bound 2)",
    )
    assert (
        Check("a number", 1.0, 1.0, 0.1, "made up", reached=False).words
        == "not reached within the clock"
    )
    assert Check("a number", math.nan, 1.0, 0.1, "made up").verdict == "undecided"
    assert Check("a number", 0.5, 1.0, 0.0, "made up", "below").holds


@pytest.mark.parametrize(
    "claim",
    [
        "two layers",
        "the rule is GradientFlow",
        "the sharpness is below the edge, 2/rate",
        "no ridge in the loss",
    ],
)
def test_a_refusal_that_is_made_of_a_condition_reads_right_whatever_the_condition_is(claim):
    from learnmech.theories.base import need

    with pytest.raises(
        Refused,
        match=f'Flow needs its condition "{claim}" to hold, but got 5.79 \\(bound 4\\). Change',
    ):
        need(theories.Flow(), None, Condition(claim, 5.7900001, 4.0, False))


def test_beside_a_figure_there_is_no_error_of_a_theory_that_does_not_speak_of_the_run():
    record = lm.run(LINE.with_value("rule.rate", 3.0).with_value("clock", lm.Clock(steps=3)))
    laid = lm.compare(record, theories.Flow())
    assert laid.row("loss").error > 1 and laid.remark("loss") == "outside the theory's domain"
    near = lm.compare(lm.run(LINE), theories.Flow())
    assert near.verdict in ("holds", "fails") and near.remark("loss").startswith("error ")


def test_what_is_watched_is_chosen_though_a_theory_cannot_be_laid(odd_theory):
    theory = odd_theory(raising(ZeroDivisionError()))[0]
    chosen = watching((theory, theories.Flow()), lm.prepare(LINE))
    assert instruments.Loss in {type(one) for one in chosen}


@pytest.mark.parametrize("theory", [theories.Decoupled(), theories.SpectralModes()], ids=repr)
@pytest.mark.parametrize("hidden", [(2,), (2, 1)], ids=repr)
def test_modes_for_which_a_layer_has_no_room_never_grow_from_round_off(theory, hidden):
    """Their strengths at the start are round-off, from which a mode by itself would have grown
    to half of its target."""
    spectral = isinstance(theory, theories.SpectralModes)
    clock = lm.Clock(steps=80, every=40) if spectral else lm.Clock(steps=800, every=400)
    changed = {
        "architecture": architectures.DeepLinear(hidden=hidden),
        "initial": initial.Aligned(strength=0.1),
        "clock": clock,
    }
    line = dataclasses.replace(type(theory).example(), **changed)
    line = line if spectral else line.with_value("rule", {"kind": "gradient-descent", "rate": 0.1})
    laid = lm.compare(lm.run(line, ("mode-strengths",)), theory)
    [room] = [c for c in laid.conditions if c.claim == "modes that begin beyond round-off"]
    assert laid.verdict == "holds" and (room.value, room.bound) == (min(hidden), min(hidden))


def test_a_mode_that_begins_at_round_off_though_there_is_room_for_it_is_outside_the_domain_of_the_others():
    line = theories.Decoupled.example()
    modes = lm.prepare(line).system.modes
    strengths = np.array([0.1, 1e-17, 0.1]) ** 0.5
    flat = np.concatenate(
        [
            (np.eye(4, 3) * strengths @ modes.V[:, :3].T).ravel(),
            (modes.U * strengths @ np.eye(3, 4)).ravel(),
        ]
    )
    start = lm.prepare(dataclasses.replace(line, initial=initial.Given(flat=flat)))
    [missing] = [c for c in theories.Decoupled().conditions(start) if not c.holds]
    assert (missing.claim, missing.value, missing.bound) == (
        "modes that begin beyond round-off",
        2,
        3,
    )


@pytest.mark.parametrize("strength, verdict", [(0.02, "holds"), (0.1, "outside domain")])
def test_modes_that_flutter_so_that_round_off_grows_are_outside_the_domain_before_it_is_seen(
    strength, verdict
):
    """Of both the recursion is exact; the third mode of the second leaks into the input without
    a target, 5 times as much every two steps."""
    line = theories.SpectralModes.example().with_value("initial.strength", strength)
    laid = lm.compare(lm.run(line, ("mode-strengths",)), theories.SpectralModes())
    grown = next(
        c for c in laid.conditions if c.claim == "round-off as far as fluttering modes amplify it"
    )
    assert laid.verdict == verdict and (laid.row("mode_strength").error < 1e-13) == grown.holds
