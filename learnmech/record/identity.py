"""Identity: what a record says that it was made of, and whether that is at hand, before anything
is made of it again."""

import hashlib
from pathlib import Path

from learnmech.architectures.models import Model
from learnmech.errors import refused
from learnmech.experiment.recipe import KEPT_BYTES, Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, guests, text
from learnmech.language.origins import in_library
from learnmech.language.parts import Part


def told_of(experiment: Experiment, watch: tuple[Instrument, ...] = ()) -> dict:
    """What an experiment is made of beside its text: `data`, the files it reads, and `code`, the
    user's own that it runs."""
    files = [
        {"knob": one.field, "file": str(Path(one.path).resolve()), "sha256": one.sha256}
        for one in text.outside_of(experiment)
    ]
    code = guests.digests_of(
        text.classes_of(experiment, *watch), text.models_of(experiment, *watch)
    )
    return {"data": files, "code": code}


def code_of(*parts: Part) -> guests.Code:
    """The user's own code in an experiment, in what is watched and in whatever else, with its
    source; refuses what cannot be found again."""
    for model in _given_in(*parts):
        model.check_as_given()
    return guests.code_of(text.classes_of(*parts), text.models_of(*parts))


def known_in(provenance: dict, folder: Path) -> guests.Classes:
    """The classes that a record's text speaks of and which are the user's own: at hand in this
    process, brought by --with, or, with leave to run it, from the copy of their source in the
    folder. One of the right code goes before one of the right name."""
    told, found = provenance.get("code", {"guests": ()}), {}
    for guest in told["guests"]:
        family, kind = guest["family"], guest["kind"]
        if family not in catalog.FAMILIES:
            continue
        there = catalog.members(family).get(kind)
        classes = [*([catalog.load(there)] if there else ()), *text.at_hand(family, kind)]
        classes = [cls for cls in reversed(classes) if not in_library(cls.__module__)]
        one = {"python": told["python"], "guests": [guest], "files": told["files"]}
        same = [cls for cls in classes if not guests.changed(one, {(family, kind): cls})]
        if same:
            found[family, kind] = same[0]
        elif catalog.trusted() and told["files"]:
            found[family, kind] = guests.summoned(told, folder / guests.FOLDER)[family, kind]
        elif classes:
            found[family, kind] = classes[0]
        else:
            copy = (
                f"look at {folder / guests.FOLDER}, the run's own copy of it, and give leave to run"
                " it by --trust (in Python "
            )
            remedy = f"Bring its file by --with, import it, or {copy}lm.catalog.trust())"
            raise refused(
                f"The run folder {folder}",
                f"the {kind} of {family}, own code",
                "no such class here",
                remedy,
            )
    return found


def changes(provenance: dict, *parts: Part) -> list[str]:
    """What of the user's own code is not what a record was made by, each in words with both
    digests; of a record of 0.4, which does not tell, but the models in hand."""
    given = [(one.given, one.sha256, one.now) for one in _given_in(*parts)]
    found = [
        f"{name}, a model in hand, is another now: sha256 {then[:16]} then, {now[:16]} now"
        for name, then, now in given
        if now not in (None, then)
    ]
    if "code" not in provenance:
        return found
    return found + guests.changed(
        provenance["code"], text.classes_of(*parts), text.models_of(*parts)
    )


def _given_in(*parts) -> list[Model]:
    """The models among these parts that were handed over in Python."""
    held = (one for part in parts for one in text.parts_of(part))
    return [one for one in held if isinstance(one, Model) and one.given]


def in_hand_alone(experiment: Experiment) -> list[str]:
    """What must be known of a run folder whose model was handed over as an object, which no text
    and no copy of its source can make again."""
    return [
        f"the model {one.given} was handed over in Python and is in no file: what was recorded is"
        " read anywhere, and replayed, forked or resumed only where the same model (sha256"
        f" {one.sha256[:16]}) was given to Wrapped; Wrapped.of('mine.py:model') does without"
        for one in _given_in(experiment)
    ]


def contents(provenance: dict) -> list[tuple[str, str]]:
    """(what, sha256) of the data files and of the user's own code that a run was made by."""
    files = [(f"data {one['file']}", one["sha256"]) for one in provenance.get("data") or ()]
    code = (provenance.get("code") or {}).get("guests") or ()
    return files + [(f"own code {one['family']}: {one['kind']}", one["digest"]) for one in code]


def moved_on(provenance: dict, experiment: Experiment) -> list[str]:
    """Which data files have another content since a record was made, and what is done about it."""
    held, notes = {one.sha256: one.path for one in text.outside_of(experiment)}, []
    for one in provenance.get("data", ()):
        file, copy = Path(one["file"]), held.get(one["sha256"])
        if not file.is_file() or (
            copy is not None and copy != file and file.stat().st_size > KEPT_BYTES
        ):
            continue
        now = hashlib.sha256(file.read_bytes()).hexdigest()
        if now != one["sha256"]:
            mine = copy is not None and copy.is_file() and copy.resolve() != file.resolve()
            done = (
                "the run goes by its own copy"
                if mine
                else "what was recorded stands, and nothing is made of it again"
            )
            notes.append(
                f"changed: {file}, sha256 {one['sha256'][:16]} then, {now[:16]} now; {done}"
            )
    return notes


def check_code(provenance: dict, *parts: Part) -> None:
    """Refuse to make anything of a record again by other code than it was made by."""
    for model in _given_in(*parts):
        model.check_as_given()
    found = changes(provenance, *parts)
    if found:
        remedy = (
            "Restore it, or use the run folder's own copy in parts/ by --trust (in Python"
            " lm.catalog.trust(), then load)"
        )
        raise refused("The record", "the code that it was made by", "; ".join(found), remedy)
