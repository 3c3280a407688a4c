"""Faults of parts of one's own: a sentence that names the file and the line, whatever they raise
or give, as they are imported and as they run."""

import sys

import pytest

from learnmech import architectures
from learnmech.cli.app import call
from learnmech.errors import Refused
from learnmech.language import catalog

TEXT = """
theories = []
watch = ["loss"]
[architecture]
kind = "deep-linear"
[data]
kind = "gaussian"
n = 8
d = 2
[rule]
kind = "own-step"
rate = 0.1
[clock]
steps = 4
"""
RULE = '''import sys
import jax
from learnmech.rules.base import SteppingRule
class OwnStep(SteppingRule):
    """A step of one's own."""
    def init(self, params):
        return ()
    def update(self, system, gradient, memory, params):
        return jax.tree.map(lambda g: -self.rate * g, gradient), memory
'''


@pytest.fixture
def ends(tmp_path, monkeypatch, capsys):
    """(exit status, what was said) of a run with a file of one's own, which brings nothing into
    other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "GUESTS", [])
    monkeypatch.delenv("LEARNMECH_TRACEBACK", raising=False)

    def ended(source, text=TEXT, *more):
        (tmp_path / "own_parts.py").write_text(source)
        (tmp_path / "e.toml").write_text(text)
        argv = ["run", "e.toml", "--with", "own_parts.py", "--out", "r", "--quiet", *more]
        status = call(argv)
        out = capsys.readouterr()
        return status, out.out + out.err

    return ended


# --- as they are imported


class Unspeakable(Exception):
    """It is given to those who ask what happened."""

    def __str__(self):
        raise ValueError("no words")


SPOILT = {
    "sys.exit(0)": "SystemExit: 0 (line 4 of own_parts.py)",
    "sys.exit()": "SystemExit (line 4 of own_parts.py)",
    "raise BaseException('over')": "BaseException: over (line 4 of own_parts.py)",
    "raise GeneratorExit": "GeneratorExit (line 4 of own_parts.py)",
    "raise sys.modules['test_own_faults'].Unspeakable": "Unspeakable, which cannot say",
    "del sys.modules[__name__]; 1 / 0": "ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("line", SPOILT)
def test_a_file_that_does_not_let_itself_be_imported_is_named(ends, tmp_path, monkeypatch, line):
    monkeypatch.setitem(sys.modules, "test_own_faults", sys.modules[__name__])
    before = {name for name in sys.modules if "own_parts" in name}
    status, out = ends(RULE.replace("import jax", f"import jax\n\n{line}"))
    assert status == 2 and "The catalogue needs own_parts.py to be imported" in out, out
    assert SPOILT[line] in out and out.count("\n") == 1
    assert not (tmp_path / "r").exists()
    assert {name for name in sys.modules if "own_parts" in name} == before


def test_an_interrupt_while_a_file_is_imported_stays_one(ends):
    status, out = ends(RULE.replace("import jax", "raise KeyboardInterrupt"))
    assert status == 130 and "needs" not in out
    assert ends(RULE)[0] == 0  # and no half of it is left to be taken for the whole


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "raise GeneratorExit", "1 / 0"])
def test_the_file_of_a_model_that_does_not_let_itself_be_run_is_named(tmp_path, line):
    (tmp_path / "net.py").write_text(f"{line}\nmodel = None\n")
    with pytest.raises(Refused, match="Wrapped needs net.py to be run, but got .*Mend net.py"):
        architectures.Wrapped.of(f"{tmp_path}/net.py:model")


# --- as they run

HEAD = """
import jax
import jax.numpy as jnp
import numpy as np
from learnmech.architectures.base import Architecture
from learnmech.data.base import Data, Drawn, View
from learnmech.initial.base import InitialCondition
from learnmech.instruments.base import Instrument
from learnmech.interventions.base import Intervention
from learnmech.language.quantity import Quantity
from learnmech.losses.base import Loss
from learnmech.rules.base import FlowRule, SteppingRule
from learnmech.rules.schedules import Schedule
"""
# of each family: its base, the text that asks for it, and methods with what they are given and give
KINDS = {
    "rule": (
        "SteppingRule",
        'rule.kind = "odd"',
        {"init": ("params", "()"), "update": ("system, gradient, memory, params", "gradient, ()")},
    ),
    "flow": (
        "FlowRule",
        'rule.kind = "odd"\nclock = {time = 1.0, marks = 3}',
        {"velocity": ("system, params, memory=()", "system.value_and_gradient(params)[1]")},
    ),
    "architecture": (
        "Architecture",
        'architecture.kind = "odd"',
        {
            "init": ("rng, d, k", "{'layer1': {'weight': np.ones((k, d))}}"),
            "forward": ("params, X, tap=None", "X @ params['layer1']['weight'].T"),
        },
    ),
    "data": (
        "Data",
        'data.kind = "odd"',
        {"draw": ("rng", "Drawn(View(np.eye(2), np.ones((2, 1))))")},
    ),
    "initial": (
        "InitialCondition",
        'initial.kind = "odd"',
        {"draw": ("architecture, data, rng", "{'layer1': {'weight': np.ones((1, 2))}}")},
    ),
    "loss": ("Loss", 'loss.kind = "odd"', {"value": ("outputs, Y, weight=None", "outputs.sum()")}),
    "instrument": (
        "Instrument",
        'watch = ["odd"]',
        {
            "quantities": ("system, params", "(Quantity('q', (), '1', 'q', 'one number'),)"),
            "read": ("moment", "{'q': jnp.zeros(())}"),
        },
    ),
    "schedule": (
        "Schedule",
        'rule = {kind = "gradient-descent", schedule = {kind = "odd"}}',
        {"factor": ("step", "1.0"), "total": ("step", "step")},
    ),
    "event": (
        "Intervention",
        'events = [{kind = "odd", at = 2}]',
        {
            "experiment": ("experiment", "experiment"),
            "data": ("drawn", "drawn"),
            "system": ("system, anchor", "system"),
            "frozen": ("frozen, state", "frozen"),
            "state": ("system, rule, frozen, state", "state"),
        },
    ),
}
PLAIN = {
    "watch": 'watch = ["loss"]',
    "architecture": 'architecture = {kind = "deep-linear", hidden = []}',
    "data": 'data = {kind = "gaussian", n = 8, d = 2}',
    "rule": 'rule = {kind = "gradient-descent", rate = 0.1}',
    "clock": "clock = {steps = 4}",
}
METHODS = [(kind, method) for kind, (_, _, methods) in KINDS.items() for method in methods]


def odd(kind, **bodies):
    """(source, text) of a part whose methods do what is said of them, and all is well in the
    others; what is said begins in line 16 of the first method, every other one two lines below."""
    base, asks, methods = KINDS[kind]
    lines = [f"class Odd({base}):", '    """One of its own."""']
    for name, (given, gives) in methods.items():
        lines += [
            f"    def {name}(self, {given}):",
            f"        {bodies.get(name, f'return {gives}')}",
        ]
    said = [line for name, line in PLAIN.items() if f"{name} =" not in asks and name != kind]
    if kind == "flow":
        said.remove(PLAIN["rule"])
    return HEAD + "\n".join(lines) + "\n", "\n".join(["theories = []", *said, asks]) + "\n"


def line_of(kind, method):
    return 17 + 2 * list(KINDS[kind][2]).index(method)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_in_which_all_is_well_runs(ends, kind):
    status, out = ends(*odd(kind))
    assert status == 0, out


# No memory, nothing that stands still, and a memory of one array are no other forms.
FINE = {("init", "None"), ("frozen", "None"), ("init", "np.ones((7, 7))")}
FORMS = [
    (kind, method, gives)
    for kind, method in METHODS
    for gives in ("None", "'a text'", "(1, 2, 3)", "np.ones((7, 7))")
    if (method, gives) not in FINE
]


@pytest.mark.parametrize("kind, method, gives", FORMS)
def test_what_a_method_gave_in_another_form_is_told_with_the_line_of_the_method(
    ends, kind, method, gives
):
    status, out = ends(*odd(kind, **{method: f"return {gives}"}))
    assert status == 2, out
    assert out.startswith("Odd needs ") and f"from its `{method}`, but got " in out
    assert f"Mend {method} in own_parts.py, line {line_of(kind, method) - 1}." in out
    assert "maintainers" not in out and out.count("\n") == 1


RAISED = {
    "raise ValueError('of its own')": "ValueError: of its own",
    "import sys; sys.exit(0)": "SystemExit: 0",
    "raise BaseException": "BaseException",
    "open('nowhere')": "FileNotFoundError",
    "return jnp.ones(3) @ jnp.ones(4)": "TypeError: dot_general",
}


# An event's state is asked for while the folder is written, which is told as the folder's.
RAISING = [
    (kind, method, line)
    for kind, method in METHODS
    for line in RAISED
    if not (method == "state" and line.startswith("open"))
]


@pytest.mark.parametrize("kind, method, line", RAISING)
def test_what_a_method_raised_is_told_with_its_line(ends, kind, method, line):
    status, out = ends(*odd(kind, **{method: line}))
    assert status == 2, out
    assert f"own_parts.py needs line {line_of(kind, method)}, in Odd.{method}, to run" in out
    assert f"but got {RAISED[line]}" in out and "maintainers" not in out
    assert out.count("\n") == 1


def test_the_way_to_the_line_is_shown_where_it_is_asked_for(ends):
    status, out = ends(*odd("rule", update="raise ValueError('of its own')"), "--traceback")
    assert status == 2 and "Traceback" in out and 'own_parts.py", line 19, in update' in out


def test_the_line_may_be_in_a_module_that_the_file_imports(ends, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_beside.py").write_text("def half(x):\n    return x / 0\n")
    body = "from own_beside import half; return half(2), memory"
    status, out = ends(*odd("rule", update=body))
    assert status == 2 and "own_beside.py needs line 2, in half, to run" in out


def test_a_fault_of_learnmechs_beside_a_part_of_ones_own_is_learnmechs(ends, monkeypatch):
    monkeypatch.setattr("learnmech.verbs.works.expected", None)
    status, out = ends(*odd("rule"))
    assert status == 3 and "the maintainers of learnmech" in out and "own_parts" not in out


CALLED = """
        def look(steps):
            if steps > 18_000:
                raise ValueError("seen enough")
            return steps
        steps = jax.pure_callback(look, jax.ShapeDtypeStruct((), int), memory)
        return jax.tree.map(lambda g: -0.1 * g, gradient), steps + 1
"""


def test_what_was_committed_before_a_callback_raised_stays_and_goes_on(ends, capsys):
    source, text = odd("rule", init="return jnp.array(0)", update=CALLED.strip())
    text = text.replace("{steps = 4}", "{steps = 20_000, every = 10}")
    status, out = ends(source, text)
    assert status == 2 and "own_parts.py needs line 21, in " in out, out
    assert "to run, but got ValueError: seen enough. " in out
    assert call(["show", "r", "--json"]) == 0 and "unfinished" in capsys.readouterr().out
