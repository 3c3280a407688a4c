"""What tools see that read and do not run: the face, the lazy families, and how a part is made."""

import ast
import importlib.metadata
import importlib.util
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import learnmech as lm
from learnmech.language import catalog, stubs

ROOT = Path(__file__).parents[2]
FAMILIES = sorted(set(catalog.FAMILIES) - set(catalog.WITHIN))
USER_CODE = """
import numpy as np

import learnmech as lm
from learnmech.language.parts import Knob, knob
from learnmech.rules.base import SteppingRule

network = lm.architectures.Mlp(hidden=(8, 8), activation="tanh")
clock = lm.Clock(steps=100)
data = lm.data.LinearTeacher(n=20, d=3)
held = lm.data.Arrays([[0.0], [1.0]], [1.0, 2.0])
rule = lm.rules.HeavyBall(0.1, momentum=0.5)
experiment = lm.Experiment(network, data, rule, clock, seed=3)
record = lm.run(experiment, watch=("loss", lm.instruments.Sharpness(k=2)), progress=True)
print(record.experiment.rule.rate, lm.curvature.lanczos, lm.__version__)
reveal_type(record["loss"])
reveal_type(record)
reveal_type(lm.sweep(experiment, {"rule.rate": np.linspace(0.1, 0.2, 2)}, progress=True))
reveal_type(lm.compare(record, lm.theories.Decoupled()))


class Mine(SteppingRule):
    push: Knob = knob(default=0.1)


Mine(rate=0.1, push=0.5)
lm.rules.HeavyBall(0.1, momentun=0.5)  # WRONG: no such knob
lm.rules.HeavyBall("fast")  # WRONG: a text is no number
lm.Experiment(network, data, clock=clock)  # WRONG: the rule is missing
lm.Experiment(network, rule, data, clock)  # WRONG: data and rule in each other's place
Mine(rate=0.1, shove=0.5)  # WRONG: no such knob of a rule of the user's own
lm.rules.Adm(0.1)  # WRONG: no such rule
lm.runn(experiment)  # WRONG: nothing of that name on the face
"""


def _checked(text, folder, *more):
    """What mypy says of it, {line: message}."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed (it is in the extra `test`)")
    file = folder / "mine.py"
    file.write_text(text)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(ROOT / ".cache" / "mypy"),
        *more,
        str(file),
    ]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600).stdout
    found: dict[int, str] = {}
    for line in out.splitlines():
        if line.startswith(str(file)) or "mine.py:" in line:
            # the first of a line: what a checker adds to an error depends on what it has kept
            found.setdefault(int(line.split(":")[1]), line)
    return found, out


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return _checked(USER_CODE, tmp_path_factory.mktemp("typed"))


def test_a_checker_finds_what_is_wrong_in_user_code_and_nothing_else(said):
    found, out = said
    wrong = {number for number, line in enumerate(USER_CODE.splitlines(), 1) if "# WRONG" in line}
    assert {number for number, line in found.items() if " error: " in line} == wrong, out


def test_a_checker_knows_what_a_run_and_a_sweep_give(said):
    notes = [line.split("note: ")[1] for line in said[0].values() if "Revealed type" in line]
    assert [note.split('"')[1].split(".")[-1] for note in notes] == [
        "DataArray",
        "Record",
        "Dataset",
        "Comparison",
    ]


@pytest.mark.parametrize("path", sorted(stubs.stubs()), ids=lambda path: path.parent.name)
def test_a_stub_says_what_its_package_gives(path):
    assert path.read_text() == stubs.stubs()[path], (
        "Write the stubs anew: python -m learnmech.language.stubs"
    )


def test_what_checkers_see_of_the_face_is_what_it_gives():
    tree = ast.parse((ROOT / "learnmech" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        f"{node.module}.{one.name}": one.asname
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }
    assert sorted(seen.values()) == sorted(lm.__all__)
    for address, name in seen.items():
        there, _, last = address.rpartition(".")
        found = importlib.import_module(there)
        assert getattr(lm, name) is getattr(found, last), address


def test_the_face_lists_all_that_it_gives():
    assert {*lm.__all__, "__version__"} == set(dir(lm)) and all(
        hasattr(lm, name) for name in dir(lm)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_help_of_a_family_lists_its_classes(family):
    package = getattr(lm, family)
    shown = pydoc.plain(pydoc.render_doc(package))
    names = [member.name for member in catalog.own(family)]
    assert names and set(names) <= set(package.__all__) == set(dir(package))
    assert all(f"class {name}(" in shown for name in names)


def test_the_face_and_the_families_are_listed_without_importing_what_is_heavy():
    code = (
        "import sys, learnmech as lm; print(sum(len(dir(getattr(lm, room))) for room in"
        " lm._FAMILIES)); "
    )
    code += (
        "dir(lm.kernels), dir(lm.curvature), dir(lm.activations); print([m for m in ('jax',"
        " 'numpy', 'xarray', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip().endswith("[]")


@pytest.mark.parametrize(
    "package",
    [ROOT / "learnmech", ROOT / "tangents" / "learnmech_tangents"],
    ids=lambda path: path.name,
)
def test_a_package_says_that_it_is_typed(package):
    assert (package / "py.typed").is_file()
    assert "py.typed" in (package.parent / "pyproject.toml").read_text()
