"""Old paths: own code that was written for 0.4 is read as it is."""

import importlib
import subprocess
import sys

import pytest

from learnmech.language.moved import MOVED

FORMER = {
    "experiment": ("Experiment", "prepare", "Start"),
    "runs": ("run", "stream", "fork", "resume"),
    "system": ("System",),
    "comparison": ("compare", "Check"),
    "march": ("march",),
    "activations": ("activation",),
}


@pytest.mark.parametrize("old", MOVED)
def test_a_module_under_its_old_path_is_the_module_itself(old):
    new = MOVED[old]
    assert importlib.import_module(old) is importlib.import_module(new)
    assert importlib.import_module(new).__spec__.name == new


@pytest.mark.parametrize("room", FORMER)
def test_a_room_offers_what_the_module_of_its_name_did(room):
    whole = importlib.import_module(f"learnmech.{room}")
    for name in FORMER[room]:
        assert callable(getattr(whole, name))
    with pytest.raises(AttributeError, match="no_such_thing"):
        whole.no_such_thing  # noqa: B018


def test_own_code_of_04_is_imported_in_a_process_that_knows_nothing_yet(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from learnmech.parts import Knob, knob\nfrom learnmech.parts.fields import structure\nfrom"
        " learnmech.quantity import Quantity\nfrom learnmech import trees\nfrom"
        " learnmech.experiment import Experiment\nimport learnmech.adapters.tangents as nt\nimport"
        " learnmech.language.parts\nfrom learnmech.architectures.base import Dense, draw_dense, keep\n"
        "assert knob is learnmech.language.parts.knob and nt.__name__ == 'learnmech_tangents'\n"
    )
    done = subprocess.run([sys.executable, str(mine)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("learnmech.nothing")
