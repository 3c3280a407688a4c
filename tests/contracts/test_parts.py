"""Parts: what every member of the catalogue promises, the text it is written as, and the values
it refuses."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from typing import get_args, get_origin

import equinox as eqx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import learnmech as lm
from learnmech import architectures, data, initial, losses, rules
from learnmech.data.base import View
from learnmech.errors import Refused
from learnmech.gallery import contracts
from learnmech.language import catalog, text
from learnmech.language.parts import Part

FAMILIES = [family for family in catalog.FAMILIES if family != "theories"]
MEMBERS = [member for family in FAMILIES for member in catalog.members(family).values()]
every_member = pytest.mark.parametrize(
    "member", MEMBERS, ids=[f"{m.family}-{m.kind}" for m in MEMBERS]
)
SHAPE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$", re.DOTALL)


def example(member):
    return catalog.load(member).example()


def base_of(member):
    """The class that heads the member's family."""
    return next(
        base
        for base in catalog.load(member).__mro__
        if base.__name__ == catalog.FAMILIES[member.family]
    )


def around(part, family):
    """A whole experiment with this part in it."""
    chosen = {
        "architectures": architectures.Mlp.example(),
        "data": data.Gaussian.example(),
        "rules": rules.GradientDescent.example(),
    }
    chosen |= {
        "initial": initial.Gaussian.example(),
        "losses": losses.Squared.example(),
        family: part,
    }
    if family == "schedules":
        chosen["rules"] = rules.GradientDescent(schedule=part)
    events = (part,) if family == "interventions" else ()
    if family == "scalings":
        chosen["architectures"] = architectures.Mlp(hidden=(4,), scaling=part)
    clock = lm.Clock(time=1.0, marks=5) if chosen["rules"].flows else lm.Clock(steps=20, every=4)
    return lm.Experiment(
        chosen["architectures"],
        chosen["data"],
        chosen["rules"],
        clock,
        chosen["initial"],
        chosen["losses"],
        seed=3,
        events=events,
    )


WHOLE = {
    f"{m.family} {m.kind}": around(example(m), m.family)
    for m in MEMBERS
    if m.family not in ("instruments", "simplifications")
}
GIVEN = around(
    data.Gaussian(
        n=12,
        d=3,
        k=2,
        covariance="given",
        matrix=np.diag([1.0, 0.1, 1 / 3]),
        map=np.full((2, 3), 0.1),
    ),
    "data",
)


TOLD = {
    f"{cls.__module__}.{cls.__name__}.{field.name}": field
    for cls in (
        lm.Experiment,
        lm.Clock,
        *(catalog.load(m) for family in catalog.FAMILIES for m in catalog.members(family).values()),
    )
    for field in dataclasses.fields(cls)
}


def test_every_knob_says_what_it_means_in_one_line():
    assert len(TOLD) > 400
    said = {name: field.metadata.get("meaning", "") for name, field in TOLD.items()}
    assert [name for name, meaning in said.items() if not meaning] == []
    # as a phrase behind the name of the knob: no sentence of its own, and what may stand in a cell
    # of a table
    odd = [
        name
        for name, meaning in said.items()
        if meaning != meaning.strip()
        or "\n" in meaning
        or meaning[-1] in ".;:"
        or len(meaning) > 240
    ]
    assert odd == []


def refusal(make):
    """The sentence in which something is refused, which must have the one shape."""
    with pytest.raises(Refused) as caught:
        made = make()
        print("accepted:", made)
    assert SHAPE.match(str(caught.value)), str(caught.value)
    return str(caught.value)


@every_member
def test_every_member_keeps_its_contracts(member):
    checks = contracts.of_part(member)
    assert len(checks) >= 2
    assert not [
        (check.claim, check.measured, check.predicted) for check in checks if not check.holds
    ]


def test_every_family_has_members_and_every_member_is_of_its_family():
    assert all(catalog.members(family) for family in FAMILIES)
    assert all(
        isinstance(example(member), base_of(member))
        and text.table_of(example(member))["kind"] == member.kind
        for member in MEMBERS
    )


# --- text


@every_member
def test_text_and_back_is_the_same_part(member, tmp_path):
    part = example(member)
    written, arrays = text.to_text(part)
    for name, values in arrays.items():
        np.save(tmp_path / name, values)
    back = text.from_text(base_of(member), written, tmp_path)
    assert type(back) is type(part)
    assert eqx.tree_equal(back, part)
    assert text.to_text(back)[0] == written


@pytest.mark.parametrize("experiment", [*WHOLE.values(), GIVEN], ids=[*WHOLE, "given arrays"])
def test_a_whole_experiment_saved_and_parsed_is_itself(experiment, tmp_path):
    experiment.save(tmp_path)
    back = lm.Experiment.parse((tmp_path / "experiment.toml").read_text(), tmp_path)
    if text.outside_of(experiment):  # its files were copied beside the text
        assert all(one.path.is_relative_to(tmp_path) for one in text.outside_of(back))
    else:
        assert eqx.tree_equal(back, experiment)
        assert back.text == experiment.text
    assert (text.identity(back), back.fingerprint) == (
        text.identity(experiment),
        experiment.fingerprint,
    )


def test_an_array_that_is_not_the_one_named_is_refused(tmp_path):
    GIVEN.save(tmp_path)
    written = (tmp_path / "experiment.toml").read_text()
    name = re.search(r'file = "(.+\.npy)"', written)[1]
    np.save(tmp_path / name, np.load(tmp_path / name) + 1e-15)
    assert "sha256" in refusal(lambda: lm.Experiment.parse(written, tmp_path))
    (tmp_path / name).unlink()
    assert name in refusal(lambda: lm.Experiment.parse(written, tmp_path))


class Told:
    """Pickles to a call, which must never be made."""

    made = False

    def __reduce__(self):
        return (setattr, (Told, "made", True))


@pytest.mark.parametrize("kind", ["pickled", "not an array", "empty archive"])
def test_an_array_file_that_holds_no_numbers_is_refused_and_nothing_in_it_is_called(kind, tmp_path):
    path = tmp_path / ("w.npz" if kind == "empty archive" else "w.npy")
    if kind == "pickled":
        np.save(path, np.array([Told()], object), allow_pickle=True)
    elif kind == "not an array":
        path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    else:
        np.savez(path)
    try:
        refusal(
            lambda: text.from_text(
                initial.Given, f'flat = {{file = "{path.name}", sha256 = "00"}}', tmp_path
            )
        )
    finally:
        assert not Told.made


# --- fingerprints

CODE = """
import json, sys
import learnmech as lm
from learnmech import errors
texts, bad = json.load(sys.stdin)
parsed = lambda written: lm.Experiment.parse(written).fingerprint
prints = {name: parsed(written) for name, written in texts.items()}  # imports what the kinds need
def attempt(written):
    try: return parsed(written)
    except errors.Refused: return "refused"
attempt(bad[0])
events, watching = [], True
told = {"exec", "compile", "import", "open", "os", "subprocess", "socket", "ctypes", "marshal", "pickle", "shutil", "urllib"}
sys.addaudithook(lambda event, args: events.append(event) if watching and event.split(".")[0] in told else None)
again = {name: parsed(written) for name, written in texts.items()}
refused = [attempt(written) for written in bad]
watching = False
json.dump([prints, again, refused, sorted(set(events))], sys.stdout)
"""
CALL = "__import__('os').system('true')"


def test_fingerprints_are_the_same_in_another_process_and_parsing_executes_nothing():
    texts = {
        name: experiment.text
        for name, experiment in WHOLE.items()
        if "file =" not in experiment.text
    }
    plain = WHOLE["rules sgd"].text
    bad = [
        plain.replace('kind = "sgd"', f'kind = "{kind}"')
        for kind in ("os", CALL, "learnmech.rules.SGD", "../sgd", "mine.py:model")
    ]
    bad += [
        plain.replace('activation = "tanh"', f'activation = "{CALL}"'),
        plain.replace("rate = 0.05", f'rate = "{CALL}"'),
    ]
    bad += [plain.replace("rate = 0.05", 'rate = {python = "mine.py:model", sha256 = "00"}')]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([texts, bad]),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=True,
    )
    prints, again, refused, events = json.loads(done.stdout)
    assert len(texts) > 15 and prints == again == {name: WHOLE[name].fingerprint for name in texts}
    assert refused == ["refused"] * len(bad)
    assert events == []


def test_different_experiments_have_different_fingerprints():
    assert (
        len({experiment.fingerprint for experiment in WHOLE.values()})
        == len({experiment.text for experiment in WHOLE.values()})
        >= len(WHOLE) - 4
    )


def neighbours(field, value):
    """Other values of a field, as near as they come."""
    if isinstance(value, np.ndarray) and value.ndim:
        moved = value.copy()
        moved.flat[0] = np.nextafter(moved.flat[0], np.inf)
        whole = value.copy()  # of ids, which are whole numbers
        whole.flat[0] += 1
        return [moved, whole]
    value = value.item() if isinstance(value, np.ndarray) else value
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [
            name
            for name in field.metadata["choices"] or ("relu", "sin", value + "x")
            if name != value
        ]
    if isinstance(value, tuple):
        return [
            (*value, 1),
            (*value, 1, 1),  # of a grid, which has two axes or more, or none
            *([value[:-1]] if value else []),
            *((other, *value[1:]) for other in (neighbours(field, value[0]) if value else ())),
        ]
    return (
        [value + 1, value - 1]
        if isinstance(value, int)
        else [math.nextafter(value, math.inf), math.nextafter(value, -math.inf)]
    )


def changed(part):
    """(path, neighbouring value, the part with it) for every field that is set."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Part):
            for path, other, moved in changed(value):
                yield (
                    f"{field.name}.{path}",
                    other,
                    dataclasses.replace(part, **{field.name: moved}),
                )
        elif field.name == "events":
            for place, event in enumerate(value):
                for path, other, moved in changed(event):
                    yield (
                        f"events.{place}.{path}",
                        other,
                        dataclasses.replace(
                            part, events=(*value[:place], moved, *value[place + 1 :])
                        ),
                    )
        elif value is not None and not field.metadata.get("where"):
            for other in neighbours(field, value):
                try:
                    yield field.name, other, dataclasses.replace(part, **{field.name: other})
                    break
                except Refused:
                    continue
            else:
                raise AssertionError(
                    f"no neighbour of {type(part).__name__}.{field.name} = {value!r} is accepted"
                )


@every_member
def test_the_fingerprint_changes_with_every_knob(member):
    part = example(member)
    prints = [text.fingerprint(moved) for _, _, moved in changed(part)]
    assert len({text.fingerprint(part), *prints}) == len(prints) + 1


@pytest.mark.parametrize("name", ["rules sgd", "rules gradient-flow", "interventions perturb"])
def test_the_fingerprint_of_an_experiment_changes_with_every_knob_of_its_parts(name):
    experiment = WHOLE[name]
    seen = {experiment.fingerprint}
    for path, value, moved in changed(experiment):
        assert moved.fingerprint not in seen, path
        seen.add(moved.fingerprint)
        assert experiment.with_value(path, value).fingerprint == moved.fingerprint, path
    assert len(seen) > 20


@pytest.mark.parametrize("name", ["matrix", "map"])
def test_the_fingerprint_changes_with_the_last_bit_of_an_array(name):
    moved, _ = neighbours(None, getattr(GIVEN.data, name))
    other = GIVEN.with_value(f"data.{name}", moved)
    assert (
        other.fingerprint
        != GIVEN.fingerprint
        == other.with_value(f"data.{name}", getattr(GIVEN.data, name).copy()).fingerprint
    )


def test_a_number_means_the_same_however_it_is_written():
    # the same value as a Python number or as numpy's is the same experiment, in text too
    plain = WHOLE["rules gradient-descent"]
    for rate in (3, 3.0, np.float64(3), np.int64(3), np.float32(3), np.asarray(3.0), np.asarray(3)):
        other = plain.with_value("rule", rules.GradientDescent(rate=rate))
        assert other.fingerprint == plain.with_value("rule.rate", 3.0).fingerprint, repr(rate)
        assert lm.Experiment.parse(other.text).fingerprint == other.fingerprint, repr(rate)


# --- numbers

PARTS = [
    *(example(member) for member in MEMBERS),
    lm.Clock(steps=20, every=4),
    lm.Clock(time=1.0),
    WHOLE["rules sgd"],
]
KNOBS = [
    (part, f)
    for part in PARTS
    for f in dataclasses.fields(part)
    if f.metadata.get("role") == "knob" and getattr(part, f.name) is not None
]
STRUCTURES = [
    (part, f)
    for part in PARTS
    for f in dataclasses.fields(part)
    if f.metadata.get("role") == "structure"
]
ARRAYS = [
    (part, f)
    for part in PARTS
    for f in dataclasses.fields(part)
    if f.metadata.get("role") == "array"
]
SUBPARTS = [
    (part, f)
    for part in PARTS
    for f in dataclasses.fields(part)
    if isinstance(f.type, type) and issubclass(f.type, Part)
]
numerous = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def put(part, field, value):
    return dataclasses.replace(part, **{field.name: value})


def unrefused(spots, bad):
    """Every (part, field) of `spots` that does not refuse `bad` in the one shape and by the
    field's name, and what it does instead."""
    found = []
    for part, field in spots:
        called = f"{type(part).__name__}({field.name}={bad!r})"
        try:
            found.append(f"{called} is accepted as {getattr(put(part, field, bad), field.name)!r}")
        except Refused as error:
            if not SHAPE.match(str(error)) or field.name not in str(error):
                found.append(f"{called} says: {error}")
        except Exception as error:
            found.append(f"{called} raises {type(error).__name__}: {error}")
    return found


def outside(field):
    """Finite numbers beyond the bounds of a knob."""
    bounds, numbers = (
        field.metadata["bounds"],
        (st.integers if field.metadata["whole"] else st.floats),
    )
    finite = {} if field.metadata["whole"] else {"allow_nan": False, "allow_infinity": False}
    far = {"min_value": -(2**62), "max_value": 2**62} if field.metadata["whole"] else {}
    ways = []
    if "above" in bounds or "at_least" in bounds:
        ways.append(
            numbers(
                **(far | {"max_value": bounds.get("above", bounds.get("at_least"))}), **finite
            ).filter(lambda x: x != bounds.get("at_least"))
        )
    if "below" in bounds or "at_most" in bounds:
        ways.append(
            numbers(
                **(far | {"min_value": bounds.get("below", bounds.get("at_most"))}), **finite
            ).filter(lambda x: x != bounds.get("at_most"))
        )
    return st.one_of(ways)


@numerous
@given(st.sampled_from([spot for spot in KNOBS if spot[1].metadata["bounds"]]), st.data())
def test_a_number_out_of_bounds_is_refused(spot, drawn):
    part, field = spot
    said = refusal(lambda: put(part, field, drawn.draw(outside(field))))
    assert said.startswith(f"{type(part).__name__} needs {field.name} ") and said.endswith(
        f" Change {field.name}."
    )


@numerous
@given(
    st.sampled_from([spot for spot in KNOBS if not spot[1].metadata["whole"]]),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_number_within_bounds_is_kept_and_written_exactly(spot, value):
    part, field = spot
    bounds = field.metadata["bounds"]
    value = abs(value) + (5e-324 if "above" in bounds and value == 0 else 0.0) if bounds else value
    value = math.fmod(value, 1.0) if "below" in bounds or "at_most" in bounds else value
    value = value or 1.0 if "above" in bounds else value
    made = put(part, field, value)
    kept = getattr(made, field.name)
    assert kept.dtype == np.float64 and kept.ndim == 0 and kept == value
    # a knob that came later is left out at its default
    written = text.parse(text.to_text(made)[0]).get(field.name, field.default)
    assert math.copysign(1, kept) == math.copysign(1, written) and written == value


NOT_NUMBERS = [
    math.nan,
    True,
    np.True_,
    np.asarray(True),
    "0.1",
    "",
    [0.1],
    (1,),
    np.ones(2),
    {},
    1j,
    b"1",
    object(),
    10**400,
]


@pytest.mark.parametrize(
    "bad",
    [*NOT_NUMBERS, math.inf, -math.inf],
    ids=lambda v: f"{type(v).__name__}-{'' if type(v) is object else str(v)[:12]}",
)
def test_a_knob_refuses_what_is_no_finite_number(bad):
    assert unrefused(KNOBS, bad) == []


@pytest.mark.parametrize(
    "bad", [1.5, math.nextafter(4.0, 5.0), np.float32(0.5), 1e30, 2**63, 2**70], ids=str
)
def test_a_whole_knob_refuses_what_is_no_whole_number_of_64_bits(bad):
    assert unrefused([spot for spot in KNOBS if spot[1].metadata["whole"]], bad) == []


def test_a_knob_refuses_nothing_in_place_of_a_number():
    assert (
        unrefused([spot for spot in KNOBS if type(None) not in get_args(spot[1].type)], None) == []
    )


# --- structure, arrays and parts within parts

WRONG = {
    int: ["4", 4.0, True, None, [4], {}, math.nan],
    bool: [1, 0, "yes", None, []],
    str: [3, None, True, ["tanh"], {}],
    tuple: [4, None, "4", {}, ["a"], [True], [[4]], [None]],
}


@pytest.mark.parametrize(
    "kind, bad",
    [(kind, bad) for kind, values in WRONG.items() for bad in values],
    ids=lambda v: getattr(v, "__name__", repr(v)),
)
def test_structure_of_the_wrong_type_is_refused(kind, bad):
    texts = [tuple[str, ...], tuple[str | int, ...]] if bad == ["a"] else []
    spots = [
        (part, f)
        for part, f in STRUCTURES
        if kind in (f.type, get_origin(f.type)) and f.type not in texts
    ]
    assert spots and unrefused(spots, bad) == []


def test_a_fractional_width_and_an_unknown_name_are_refused():
    assert unrefused([spot for spot in STRUCTURES if spot[1].type == tuple[int, ...]], [4.5]) == []
    named = [spot for spot in STRUCTURES if spot[1].metadata["choices"]]
    assert len(named) > 5 and unrefused(named, "no-such-name") == []
    for network in (architectures.Mlp, architectures.Residual):
        assert "no-such-name" in refusal(lambda n=network: n(activation="no-such-name"))


@pytest.mark.parametrize("bad", [0, -1, -(10**9)])
def test_a_width_below_one_is_refused(bad):
    said = [
        refusal(lambda: architectures.Mlp(hidden=(4, bad))),
        refusal(lambda: architectures.DeepLinear(hidden=[bad])),
    ]
    said += [
        refusal(lambda: architectures.Residual(width=bad)),
        refusal(lambda: data.Gaussian(d=bad)),
        refusal(lambda: data.Gaussian(n=bad)),
    ]
    assert all(f">= 1, but got {bad}. Change " in sentence for sentence in said)


def test_every_bounded_structure_refuses_what_is_below_its_bound():
    bounded = [(part, f) for part, f in STRUCTURES if f.metadata["bounds"]]
    assert len(bounded) > 10
    for part, field in bounded:
        below = field.metadata["bounds"]["at_least"] - 1
        wanted = (
            f"{type(part).__name__} needs {field.name} >= {below + 1}, but got {below}. Change"
            f" {field.name}."
        )
        assert (
            refusal(
                lambda p=part, f=field, b=below: put(p, f, (b,) if "tuple" in str(f.type) else b)
            )
            == wanted
        )


@pytest.mark.parametrize("bad", ["x", {}, ["a"], [[1], [1, 2]], [math.nan], [math.inf]], ids=str)
def test_an_array_of_no_numbers_is_refused(bad):
    spots = [(GIVEN.data if isinstance(part, data.Gaussian) else part, f) for part, f in ARRAYS]
    assert spots and unrefused(spots, bad) == []


def test_a_start_given_by_nothing_is_refused():
    refusal(lambda: initial.Given(None))


@pytest.mark.parametrize(
    "bad",
    [None, 3, "sgd", {}, lm.Clock, View(np.zeros((1, 1)), np.zeros((1, 1)))],
    ids=["None", "3", "'sgd'", "{}", "a class", "a stranger"],
)
def test_what_is_no_part_of_the_family_is_refused(bad):
    assert unrefused(SUBPARTS, bad) == []


# --- text that says what is not there


@every_member
def test_an_unknown_knob_is_refused_with_the_nearest_name(member):
    for name in ("no_such_knob", "kind2", "self"):
        said = refusal(lambda n=name: text.part_of(base_of(member), {"kind": member.kind, n: 1}))
        assert said.startswith(f"{member.name} needs a known knob, but got {name!r}. ")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_kind_is_refused(family):
    base = base_of(next(iter(catalog.members(family).values())))
    assert family in refusal(lambda: text.part_of(base, {"kind": "no-such-kind"}))


@pytest.mark.parametrize("bad", ["", 5, None, ["sgd"], True, {}], ids=repr)
def test_a_kind_that_is_no_name_is_refused(bad):
    assert "rules" in refusal(
        lambda: text.part_of(base_of(catalog.members("rules")["sgd"]), {"kind": bad})
    )


@pytest.mark.parametrize("bad", ["no-such-kind", 5, None, [], {}, {"rate": 1}, True], ids=str)
def test_what_is_no_table_of_a_family_is_refused(bad):
    refusal(lambda: text.part_of(base_of(catalog.members("rules")["sgd"]), bad))


def test_a_mistyped_name_is_answered_with_the_right_one():
    plain = WHOLE["rules sgd"]
    assert refusal(lambda: plain.with_value("rule.rat", 0.1)).startswith(
        "SGD needs a known knob, but got 'rule.rat'. Did you mean rule.rate"
    )
    assert refusal(lambda: plain.with_value("rule", {"kind": "sdg"})).endswith("Did you mean sgd?")
    assert refusal(lambda: plain.with_value("architecture.activation", "tahn")).endswith(
        "Did you mean tanh or hardtanh?"
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "rulee",
        "rule.ratee",
        "rule.rate.x",
        "rule..rate",
        "fingerprint",
        "rule.update",
        "architecture.kind",
    ],
)
def test_an_unknown_path_is_refused(path):
    assert repr(path) in refusal(lambda: WHOLE["rules sgd"].with_value(path, 0.5))


LINES = WHOLE["rules sgd"].text.splitlines()
BROKEN = {
    "no text": "",
    "no TOML": "x = ",
    "twice": "seed = 1\nseed = 1",
    "unknown": "bogus = 1",
    "clock a number": "\n".join(["clock = 5", *LINES[:2]]),
    "clock a list": "clock = []",
    "rule a number": "rule = 5",
    "no rule": "\n".join(LINES).split("[rule]")[0],
    "clock of no end": "[clock]\nmarks = 5",
    "clock of two ends": "[clock]\nsteps = 5\ntime = 1.0",
    "rate a table": "[rule]\nkind = 'sgd'\nrate = {x = 1}",
    "rate a date": "[rule]\nkind = 'sgd'\nrate = 2020-01-01",
    "seed nan": "seed = nan\n" + WHOLE["rules sgd"].text.replace("seed = 3\n", "", 1),
    "file a number": "[initial]\nkind = 'given'\nflat = {file = 5, sha256 = 'x'}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_text_that_is_no_experiment_is_refused(name, tmp_path):
    refusal(lambda: lm.Experiment.parse(BROKEN[name], tmp_path))


@pytest.mark.parametrize(
    "typed, value",
    [
        ("0.1", 0.1),
        ("true", True),
        ("[64, 32]", [64, 32]),
        ('"tanh"', "tanh"),
        ("tanh", "tanh"),
        (CALL, CALL),
    ],
)
def test_a_value_typed_after_a_path_is_toml_or_the_bare_text(typed, value):
    assert text.value_of(typed) == value


def test_a_value_is_one_value():
    assert text.value_of("1\nx = 2") == "1\nx = 2"
