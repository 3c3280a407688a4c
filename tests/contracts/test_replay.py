"""Replay, fork, freeze and resume over the catalogue, by a covering design: every member of
every family at least once, those added later too."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, rules, scalings
from learnmech.errors import Refused
from learnmech.language import catalog, trees
from learnmech.record import checkpoints, replay
from learnmech.runs import blocks
from learnmech.runs import running as runs
from learnmech.system.state import arrays_of

STEPS, MARKS = 24, 3


def examples(family):
    """{kind: example}."""
    return {
        kind: catalog.load(member).example() for kind, member in catalog.members(family).items()
    }


def made(**parts):
    """A small run with these parts in it."""
    parts = {
        "architecture": architectures.Mlp(hidden=(5,)),
        "data": data.Gaussian(n=12, d=4, k=2),
        "rule": rules.GradientDescent(rate=0.05),
    } | parts
    clock = (
        lm.Clock(time=1.0, marks=9) if parts["rule"].flows else lm.Clock(steps=STEPS, every=MARKS)
    )
    return lm.Experiment(clock=clock, **parts)


def fitting(experiment):
    """The experiment made ready; on a plain network, on classes, or with plain samples too,
    where its parts do not go together."""
    plain = dataclasses.replace(experiment, architecture=architectures.DeepLinear(hidden=(5,)))
    plainer = dataclasses.replace(
        experiment, architecture=architectures.DeepLinear.example(), data=data.Gaussian.example()
    )
    classes = (
        dataclasses.replace(plain, data=dataclasses.replace(data.Digits.example(), targets=targets))
        for targets in ("one-hot", "signs")
    )
    for one in (experiment, plain, *classes):
        try:
            return lm.prepare(one)
        except Refused:
            continue
    return lm.prepare(plainer)


def bits(tree):
    """Every bit of the arrays of a tree."""
    return [
        (leaf.dtype.str, leaf.shape, leaf.tobytes())
        for leaf in map(np.asarray, jax.tree.leaves(tree))
    ]


def covering():
    """Rules, architectures, data, losses and initial conditions side by side, each family as
    often as the longest asks."""
    names = {
        "rule": "rules",
        "architecture": "architectures",
        "data": "data",
        "loss": "losses",
        "initial": "initial",
    }
    families = {name: list(examples(family).items()) for name, family in names.items()}
    for place in range(max(map(len, families.values()))):
        chosen = {name: members[place % len(members)] for name, members in families.items()}
        yield (
            "-".join(kind for kind, _ in chosen.values()),
            {name: part for name, (_, part) in chosen.items()},
        )


def starts(rule, architecture, data, **others):
    """These parts made ready all at once, or where they do not go together, the data (or every
    one) in a run of their own."""
    plain = {"rule": stepping(rule), "architecture": architecture}
    try:
        return [lm.prepare(made(**plain, data=data, **others))]
    except Refused:
        apart = [{"data": data}, others]
    try:
        return [fitting(made(**plain, **some)) for some in apart]
    except Refused:  # a start that is given for one network, and a loss of classes
        return [
            fitting(made(**plain, **{name: part}))
            for name, part in {"data": data, **others}.items()
        ]


DESIGN = dict(covering())
# as it is before any test adds parts of its own
CATALOGUE = {
    family: tuple(catalog.members(family))
    for family in ("rules", "architectures", "data", "losses", "initial")
}
RULES = examples("rules")
each_rule = pytest.mark.parametrize("kind", RULES)


def stepping(rule):
    """A rule whose batch fits three samples."""
    return dataclasses.replace(rule, batch=2) if hasattr(rule, "batch") and not rule.flows else rule


def some_exact(names):
    """Every third of these under the compiler that users have, the others under the quick one:
    what is kept and drawn does not depend on it."""
    return [
        pytest.param(name, marks=pytest.mark.exact) if place % 3 == 0 else name
        for place, name in enumerate(names)
    ]


def test_what_is_kept_of_a_run_that_is_being_made_is_enough_to_walk_over_it_from_its_start():
    record = lm.run(made(), ("loss",))
    way = replay.Way(record.timeline, checkpoints.InMemory(), record.provenance)
    (_, there, _), (_, later, _) = replay.walk(way, [10, 20], ())
    assert bits(there.state.params) == bits(record.at(10).params)
    assert bits(later.state.params) == bits(record.at(20).params)


def test_the_design_covers_every_member():
    seen = {part for name in DESIGN for part in name.split("-")}
    for family, kinds in CATALOGUE.items():
        assert all(set(kind.split("-")) <= seen for kind in kinds), family


@pytest.mark.parametrize("name", some_exact(DESIGN))
def test_a_state_is_replayed_to_the_bit_and_a_fork_without_events_is_its_parent(name, monkeypatch):
    # one program for the run and the shorter one; that of replay is another
    monkeypatch.setattr(blocks, "MARKS", 9)
    for start in starts(**DESIGN[name]):
        replayed_and_forked(start)


def replayed_and_forked(start):
    """Whether states of a run are replayed to the bit, and a fork of it goes on as it does."""
    record = lm.run(start)
    flows = start.rule.flows
    places = [0.25, 0.625, 1.0] if flows else [1, 11, STEPS]
    ended = lm.run(
        lm.prepare(
            start.experiment.with_value(
                "clock", {"time": 0.625, "marks": 6} if flows else {"steps": 11, "every": 11}
            ),
            like=start,
        )
    )
    assert bits(record.at(places[1])) == bits(ended.at(places[1]))
    assert bits(record.at(places[1]).params) == bits(ended.params)
    assert bits(record.at(places[2]).params) == bits(record.params)
    twin = lm.fork(record, places[0], ())
    assert bits(twin.at(places[1])) == bits(record.at(places[1])) and bits(twin.params) == bits(
        record.params
    )


READ = sorted(catalog.members("instruments"))


LINEAR = made(
    architecture=architectures.DeepLinear(hidden=(5,), scaling=scalings.NTK()),
    data=data.Gaussian(n=12, d=4, k=2, test=5),
    rule=rules.GradientDescent(rate=0.05),
)
OF_THE_STEP = (
    "batch-loss",
    "norms",
)  # together they see all of a moment: state, loss, gradient and update
OF_CLASSES = ("accuracy", "calibration", "confusion", "test-by-class")
OF_A_TEACHER = ("fourier-power", "overlaps")  # whose inputs are two
SEEN = {
    "all": (LINEAR, [kind for kind in READ if kind not in OF_CLASSES + OF_A_TEACHER]),
    "teacher": (
        dataclasses.replace(LINEAR, data=data.NetworkTeacher(n=12, d=2, k=2)),
        OF_A_TEACHER,
    ),
    "classes": (
        dataclasses.replace(
            LINEAR, data=dataclasses.replace(data.Digits.example(), targets="one-hot")
        ),
        OF_CLASSES,
    ),
    "adam": (
        dataclasses.replace(LINEAR, rule=rules.Adam(rate=0.01), precision="float32"),
        OF_THE_STEP,
    ),
    "sgd": (dataclasses.replace(LINEAR, rule=rules.SGD(rate=0.05, batch=4)), OF_THE_STEP),
    "flow": (made(rule=RULES["gradient-flow"]), OF_THE_STEP),
}


# the programs of all instruments together take the usual compiler half a minute; the others go
# through it
@pytest.mark.parametrize(
    "name",
    [name if name == "all" else pytest.param(name, marks=pytest.mark.exact) for name in SEEN],
)
def test_every_instrument_reads_on_replay_what_it_read_in_the_run(name):
    experiment, kinds = SEEN[name]
    start, watch = lm.prepare(experiment), []
    for kind in kinds:
        one = catalog.find("instruments", kind)()
        one.check(start.system)
        watch.append(one)
    record = lm.run(start, tuple(watch))
    at = [0, 4, 8]
    when = record.timeline.marks.times[at] if start.rule.flows else record.timeline.positions[at]
    for one in watch:
        again = record.read(one, when)
        for quantity in again.data_vars:
            np.testing.assert_array_equal(again[quantity].values, record[str(quantity)].values[at])


@pytest.mark.parametrize("kind", some_exact(catalog.members("interventions")))
def test_a_fork_with_an_intervention_is_the_run_from_the_start_to_the_bit(kind, tmp_path):
    event = dataclasses.replace(examples("interventions")[kind], at=8)
    happened = 0
    for rule in (rules.SGD(rate=0.05, batch=4), rules.Adam(rate=0.01), RULES["gradient-flow"]):
        plain = made(
            architecture=architectures.DeepLinear(hidden=(2,)),
            data=data.Gaussian(n=12, d=6, k=4),
            rule=rule,
        )
        parent = lm.run(plain, folder=tmp_path / type(rule).__name__)
        at = float(parent.timeline.marks.times[4]) if rule.flows else 8
        there = dataclasses.replace(event, at=at)
        before = {path: path.read_bytes() for path in parent.folder.rglob("*") if path.is_file()}
        try:
            whole = lm.run(dataclasses.replace(parent.experiment, events=(there,)))
        except Refused:
            continue  # this rule remembers nothing, or flows where the event steps
        twin = lm.fork(parent, float(parent.timeline.marks.times[2]) if rule.flows else 7, (there,))
        assert bits(twin.params) == bits(whole.params)
        assert np.array_equal(
            twin["loss"].values, whole["loss"].values[len(whole["loss"]) - len(twin["loss"]) :]
        )
        again = lm.fork(twin, at, ())
        assert bits(again.params) == bits(whole.params)
        assert before == {
            path: path.read_bytes() for path in parent.folder.rglob("*") if path.is_file()
        }
        happened += 1
    assert happened >= 2


# a whole array and entries of another at once under every rule; each alone, and another array,
# under one
FROZEN = [(kind, ("layer1", "layer2.weight[1,:]")) for kind in RULES] + [
    ("adam", (path,)) for path in ("layer1", "layer2.weight", "layer2.weight[1,:]")
]


@pytest.mark.parametrize(("kind", "paths"), FROZEN)
def test_what_is_frozen_stands_still_to_the_bit_under_every_rule(kind, paths):
    rule = stepping(RULES[kind])
    experiment = made(rule=rule)
    at = [0.25, 0.75] if rule.flows else [5, 17]
    events = [
        event(path, at=when)
        for event, when in zip((interventions.Freeze, interventions.Thaw), at, strict=True)
        for path in paths
    ]
    record = lm.run(dataclasses.replace(experiment, events=tuple(events)))
    states = [
        jax.tree.map(np.asarray, arrays_of(record.at(when)))
        for when in (at[0], at[1], 1.0 if rule.flows else STEPS)
    ]
    weights = {name for name in trees.leaves_by_path(record.params)}
    still = {
        name: (1,) if "[" in path else ()
        for path in paths
        for name in states[0]
        if path.split("[")[0] in name and np.ndim(states[0][name]) == 2
    }
    assert len(still.keys() & weights) == len(paths)
    for name, index in still.items():
        assert states[0][name][index].tobytes() == states[1][name][index].tobytes(), name
    for name in weights:  # all that is not frozen moves, and after the thaw what was frozen too
        free = np.ones(np.shape(states[0][name]), bool)
        if name in still:
            free[still[name]] = False
            assert not np.array_equal(states[1][name][still[name]], states[2][name][still[name]]), (
                name
            )
        assert not np.any((states[0][name] == states[1][name])[free]), name


BLOCKS = {
    "conv": (architectures.Conv.example(), "layer1"),
    "batch norm": (architectures.Mlp(hidden=(5,), norm="batch", affine=True), "layer1.gain"),
    "layer norm": (architectures.Mlp(hidden=(5,), norm="layer", affine=True), "layer1"),
    "rms norm": (architectures.Residual(width=4, blocks=2, depth_power=0.5, norm="rms"), "layer2"),
    "dropout": (architectures.Dropout(architectures.Mlp(hidden=(5,)), rate=0.3), "layer1"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_that_is_frozen_stands_still_and_its_run_cut_short_goes_on_to_the_same_bits(
    name, tmp_path, monkeypatch
):
    architecture, path = BLOCKS[name]
    events = (interventions.Freeze(path, at=5), interventions.Thaw(path, at=17))
    experiment = fitting(made(architecture=architecture, rule=rules.Adam(rate=0.01))).experiment
    assert experiment.architecture == architecture
    experiment = dataclasses.replace(experiment, events=events)
    monkeypatch.setattr(blocks, "MARKS", 4)
    whole, stream = lm.run(experiment), runs.stream
    states = [
        {p: np.asarray(leaf) for p, leaf in trees.leaves_by_path(whole.at(step).params).items()}
        for step in (5, 17, STEPS)
    ]
    still = {p for p in states[0] if p.startswith(path)}
    assert still and still != set(states[0])
    for p in states[0]:
        assert (states[0][p].tobytes() == states[1][p].tobytes()) == (p in still), p
        assert states[1][p].tobytes() != states[2][p].tobytes(), p

    def cut(*given, **knobs):
        yield from itertools.islice(stream(*given, **knobs), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "stream", cut)
    assert lm.run(experiment, folder=tmp_path / "run").reached < whole.reached
    monkeypatch.setattr(runs, "stream", stream)
    assert bits(lm.resume(tmp_path / "run").params) == bits(whole.params)


def test_the_rule_does_not_see_what_is_frozen():
    """Heavy ball by hand, on the free layer alone."""
    frozen = dataclasses.replace(
        made(rule=rules.HeavyBall(rate=0.05, momentum=0.9)),
        events=(interventions.Freeze("layer2"),),
    )
    start = lm.prepare(frozen)
    weight, speed, record = np.array(start.params["layer1"]["weight"]), 0.0, lm.run(start)
    slope = jax.jit(
        jax.grad(
            lambda w: start.system.loss({"layer1": {"weight": w}, "layer2": start.params["layer2"]})
        )
    )
    for _ in range(STEPS):
        speed = 0.9 * speed - 0.05 * np.asarray(slope(weight))
        weight = weight + speed
    np.testing.assert_allclose(record.params["layer1"]["weight"], weight, rtol=1e-12)


@pytest.mark.parametrize("memory", ["hold", "reset"])
def test_the_memory_of_what_is_thawed_is_as_it_was_held_or_begun_anew(memory):
    events = (interventions.Freeze("layer1", at=6), interventions.Thaw("layer1", memory, at=15))
    record = lm.run(dataclasses.replace(made(rule=rules.Adam(rate=0.01)), events=events))
    held, thawed = (arrays_of(record.at(step))["memory.mu.layer1.weight"] for step in (6, 15))
    assert np.any(held) and np.array_equal(
        thawed, held if memory == "hold" else np.zeros_like(held)
    )


def test_a_frozen_subspace_stands_still_to_round_off():
    rows = np.random.default_rng(0).standard_normal((2, 30))
    record = lm.run(
        dataclasses.replace(
            made(rule=rules.Adam(rate=0.01)), events=(interventions.FreezeSubspace(rows, at=4),)
        )
    )
    there = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(record.at(step).params)])
        for step in (4, STEPS)
    ]
    basis = np.linalg.qr(rows.T)[0]
    assert np.linalg.norm(there[1] - there[0]) > 1e-3
    assert np.abs(basis.T @ (there[1] - there[0])).max() <= STEPS * np.finfo(float).eps * 30


@each_rule
def test_a_run_that_is_cut_short_and_resumed_ends_as_if_it_had_not_been(
    kind, tmp_path, monkeypatch
):
    experiment = made(rule=stepping(RULES[kind]))
    monkeypatch.setattr(blocks, "MARKS", 2)
    watch, stream = ("loss", instruments.Norms(every=2)), runs.stream
    whole = lm.run(experiment, watch)

    def cut(*given, **knobs):
        yield from itertools.islice(stream(*given, **knobs), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "stream", cut)
    short = lm.run(experiment, watch, folder=tmp_path / "run")
    assert short.reached < whole.reached and any("interrupted" in note for note in short.notes)
    monkeypatch.setattr(runs, "stream", stream)
    ended = lm.resume(tmp_path / "run")
    assert bits(ended.params) == bits(whole.params) and bits(
        ended.at(ended.timeline.time_at(ended.position) if ended.timeline.flows else STEPS)
    ) == bits(whole.at(whole.timeline.time_at(whole.position) if whole.timeline.flows else STEPS))
    for every, table in whole.tables.items():
        assert all(
            np.array_equal(ended.tables[every][name].values, table[name].values)
            for name in table.variables
        )


# --- any events at any steps

STEP = st.integers(1, STEPS - 1)
LEAF = st.sampled_from(
    ["layer1", "layer2", "layer1.weight[2,1]", "layer2.weight[:,3]", "layer1.weight[1:4:2,:]"]
)
EVENT = st.one_of(
    st.builds(
        lambda at, path, how, by: interventions.Perturb(path, how, by, at=at),
        STEP,
        LEAF,
        st.sampled_from(["add", "set", "scale"]),
        st.floats(-1, 1),
    ),
    st.builds(
        lambda at, path, seed: interventions.Noise(path, 0.1, seed, at=at),
        STEP,
        LEAF,
        st.integers(0, 9),
    ),
    st.builds(lambda at, path: interventions.Freeze(path, at=at), STEP, LEAF),
    st.builds(
        lambda at, memory: interventions.Thaw("", memory, at=at),
        STEP,
        st.sampled_from(["hold", "reset"]),
    ),
    st.builds(
        lambda at, value: interventions.Change("rule.rate", value, at=at),
        STEP,
        st.floats(0.001, 0.05),
    ),
    st.builds(lambda at: interventions.ResetMemory(at=at), STEP),
    st.builds(
        lambda at, unit: interventions.Patch(f"layer1.post[unit={unit}]", value=0.0, at=at),
        STEP,
        st.integers(0, 4),
    ),
    st.builds(lambda at, seed: interventions.Relabel(shuffle=seed, at=at), STEP, st.integers(0, 9)),
)
PARENTS = {}


def parent_of(rule):
    """The bare run of a rule, made once."""
    if rule not in PARENTS:
        chosen = {"sgd": rules.SGD(rate=0.02, batch=4), "adam": rules.Adam(rate=0.01)}
        PARENTS[rule] = lm.run(made(rule=chosen[rule]))
    return PARENTS[rule]


@pytest.mark.exact
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(["sgd", "adam"]), st.lists(EVENT, min_size=1, max_size=4), STEP)
def test_whatever_is_done_the_parts_that_were_not_touched_are_the_same_to_the_bit(
    rule, events, step
):
    parent, events = parent_of(rule), tuple(sorted(events, key=lambda event: float(event.at)))
    first, last = int(events[0].at), events[-1]
    whole = lm.run(dataclasses.replace(parent.experiment, events=events))
    assert bits(whole.at(first - 1)) == bits(parent.at(first - 1))
    twin = lm.fork(parent, first - 1, events)
    assert bits(twin.params) == bits(whole.params)
    if step >= first:
        assert bits(twin.at(step)) == bits(whole.at(step))
    # at its own step the last event has changed what it names and nothing else
    if isinstance(last, (interventions.Perturb, interventions.Noise)):
        without = lm.run(dataclasses.replace(parent.experiment, events=events[:-1]))
        before, after = (arrays_of(record.at(int(last.at))) for record in (without, whole))
        for name, leaf in before.items():
            touched = np.zeros(np.shape(leaf), bool)
            if name.startswith(str(last.path).split("[")[0]):
                touched[interventions.base.addressed(last.path, before)[name]] = True
            assert np.array_equal(np.asarray(leaf)[~touched], np.asarray(after[name])[~touched]), (
                name
            )
    # what was frozen and not thawed, perturbed or patched since stands still to the bit
    frozen = [event for event in events if isinstance(event, interventions.Freeze)]
    if frozen and frozen[0] is last:
        ends = [arrays_of(whole.at(when)) for when in (int(last.at), STEPS)]
        for name, index in interventions.base.addressed(
            last.path, trees.leaves_by_path(parent.params)
        ).items():
            assert (
                np.asarray(ends[0][name])[index].tobytes()
                == np.asarray(ends[1][name])[index].tobytes()
            )
