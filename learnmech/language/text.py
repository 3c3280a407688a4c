"""Text: parts as TOML and back. Parsing executes nothing; text -> value -> text is the identity.

What lies beneath (tables) and is asked of the same parts (knobs by their paths) answers here too.
"""

import hashlib
import os
import re
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import tomli_w

from learnmech.errors import Refused, refused
from learnmech.language.digest import code_digest, model_digest
from learnmech.language.knobs import paths as paths
from learnmech.language.knobs import value_at as value_at
from learnmech.language.knobs import with_value as with_value
from learnmech.language.origins import in_library
from learnmech.language.parts import Part
from learnmech.language.tables import Kind, classes_of, models_of, outside_of, part_of, table_of
from learnmech.language.tables import at_hand as at_hand
from learnmech.language.tables import family_of as family_of
from learnmech.language.tables import find as find
from learnmech.language.tables import parts_in as parts_in
from learnmech.language.tables import parts_of as parts_of
from learnmech.language.tables import root_of as root_of

INLINE = 16
DEEPEST = 32
POINTED = re.compile(r"[+-]?([0-9]+\.|\.[0-9]+)([eE][+-]?[0-9]+)?")


def digest(values: np.ndarray) -> str:
    """sha256 of an array's type, shape and bytes."""
    values = np.ascontiguousarray(values)
    return hashlib.sha256(
        f"{values.dtype.str}{values.shape}".encode() + values.tobytes()
    ).hexdigest()


def _arrays_out(table, found):
    shown = {}
    for name, value in table.items():
        if isinstance(value, dict):
            value = _arrays_out(value, found)
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
            value = [_arrays_out(one, found) for one in value]
        elif isinstance(value, np.ndarray):
            if value.ndim == 1 and value.size <= INLINE:
                value = value.tolist()
            else:
                sha = digest(value)
                found[f"{sha[:16]}.npy"] = value
                value = {"file": f"{sha[:16]}.npy", "sha256": sha}
        shown[name] = value
    return shown


class _Beside(dict):
    """A table that knows the folder of its text."""

    folder: str | Path = "."


def arrays_in(table: dict, folder: str | Path, path: str = "") -> dict:
    """The table with each {file, sha256} replaced by the array it names; it and the tables in it
    know the folder."""
    shown = _Beside()
    shown.folder = folder
    for name, value in table.items():
        if isinstance(value, dict) and set(value) == {"file", "sha256"}:
            if not all(isinstance(said, str) for said in value.values()):
                raise refused(
                    f"{path}{name}",
                    "the name of a file and its sha256",
                    repr(value),
                    "Write both as texts",
                )
            value = _read_array(Path(folder) / value["file"], value["sha256"], f"{path}{name}")
        elif isinstance(value, dict):
            value = arrays_in(value, folder, f"{path}{name}.")
        elif isinstance(value, list):
            value = [
                arrays_in(one, folder, f"{path}{name}[{index}].") if isinstance(one, dict) else one
                for index, one in enumerate(value)
            ]
        shown[name] = value
    return shown


def _read_array(file, sha, path):
    if not os.path.isfile(file):
        raise refused(path, "its array file", f"no file {file}", "Put the file beside the text")
    try:
        with file.open("rb") as opened:
            values = np.load(opened, allow_pickle=False)
            values = values if isinstance(values, np.ndarray) else values[values.files[0]]
    except (ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise refused(
            path,
            "an array file of numbers",
            f"{file.name}: {str(error).splitlines()[0]}",
            "Write it with numpy.save",
        ) from None
    if digest(values) != sha:
        raise refused(
            path,
            f"the array with sha256 {sha[:16]}...",
            f"{digest(values)[:16]}...",
            f"Restore {file.name}, or write its sha256",
        )
    return values


def to_text(
    part: Part, moved: dict[str, str | None] | None = None
) -> tuple[str, dict[str, np.ndarray]]:
    """(canonical TOML, {file name: array} of the arrays it names); `moved` as of `table_of`."""
    arrays: dict[str, np.ndarray] = {}
    return tomli_w.dumps(_arrays_out(table_of(part, moved), arrays)), arrays


def parse(text: str, who: str = "The experiment") -> dict:
    """TOML as nested tables; a byte order mark at its beginning is no part of it."""
    try:
        return _shallow(tomllib.loads(text.removeprefix("\ufeff")), who)
    except tomllib.TOMLDecodeError as error:
        raise refused(who, "TOML that parses", str(error), "Mend the text") from None
    except RecursionError:
        raise _deep(who) from None
    except ValueError as error:
        if isinstance(error, Refused):
            raise
        raise refused(
            who, "numbers that can be read", str(error).partition(";")[0], "Mend the text"
        ) from None


def _shallow(said, who: str):
    """What was read, refused where it is nested deeper than anything that means something."""
    level, depth = [said], 0
    while level:
        if depth > DEEPEST:
            raise _deep(who)
        held = [
            one.values() if isinstance(one, dict) else one
            for one in level
            if isinstance(one, (dict, list))
        ]
        level, depth = [inner for values in held for inner in values], depth + 1
    return said


def _deep(who: str) -> Refused:
    return refused(
        who, f"tables and lists nested at most {DEEPEST} deep", "a deeper one", "Mend the text"
    )


def from_text(
    cls: type[Kind], text: str, folder: str | Path = ".", known: dict | None = None
) -> Kind:
    """The part a text describes; array files are looked up in `folder`, classes in `known`
    before the catalogue."""
    table = parse(text)
    if cls.__name__ == "Experiment":  # what a file says beside its experiment
        table = {name: value for name, value in table.items() if name not in ("watch", "theories")}
    return part_of(cls, arrays_in(table, folder), known=known)


def identity(part: Part) -> str:
    """What a part is: its canonical text, with what it reads from outside by sha256 and not by
    its path, and the digest of every piece of the user's own code that it runs."""
    written = to_text(part, {one.sha256: None for one in outside_of(part)})[0]
    mine = {key: cls for key, cls in classes_of(part).items() if not in_library(cls.__module__)}
    code = [
        f"# {family}: {kind} {code_digest(cls)}\n" for (family, kind), cls in sorted(mine.items())
    ]
    for name, module in models_of(part):
        used = model_digest(module)
        code += [f"# models: {name} {used}\n"] if used else []
    return written + "".join(code)


def fingerprint(part: Part) -> str:
    """sha256 of what a part is."""
    return hashlib.sha256(identity(part).encode()).hexdigest()


def value_of(text: str):
    """A value as typed after `path=`: TOML where it parses (0.1, true, [64, 32], "tanh"), .1 and
    1. too, the bare text otherwise."""
    if POINTED.fullmatch(text):
        return float(text)
    try:
        said = _shallow(tomllib.loads(f"value = {text}"), "A value")
        return said["value"] if set(said) == {"value"} else text
    except tomllib.TOMLDecodeError:
        return text
    except RecursionError:
        raise _deep("A value") from None
    except ValueError as error:
        if isinstance(error, Refused):
            raise
        raise refused("A value", "a number that can be read", text, "Give fewer digits") from None
