"""Text: parts as TOML and back. Parsing executes nothing; text -> value -> text is the identity."""

import dataclasses
import hashlib
import os
import re
import tomllib
import types
import typing
import zipfile
from pathlib import Path

import numpy as np
import tomli_w

from learnmech.errors import Refused, nearest, refused
from learnmech.language import catalog
from learnmech.language.digest import code_digest, in_library, modules_named
from learnmech.language.parts import Outside, Part, unchanged

Kind = typing.TypeVar("Kind", bound=Part)
"""A class of parts: what comes of a table or a text is one of the class that was asked for."""
FAMILY_OF = {base: family for family, base in catalog.FAMILIES.items()}
INLINE = 16
DEEPEST = 32
POINTED = re.compile(r"[+-]?([0-9]+\.|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _family(annotation) -> str | None:
    return FAMILY_OF.get(getattr(annotation, "__name__", ""))


def family_of(cls: type) -> str | None:
    """The family that a class of parts belongs to."""
    return next(
        (FAMILY_OF[base.__name__] for base in cls.__mro__ if base.__name__ in FAMILY_OF), None
    )


def table_of(part: Part, moved: dict[str, str | None] | None = None) -> dict:
    """A part as nested tables: `kind` where it belongs to a family, every knob explicit, arrays as
    they are.

    None is left out, and at its default a knob that came with a later version (`parts.knob`).

    `moved` {sha256: path} says where files from outside the text lie instead; None leaves out where
    they are.
    """
    shown = {"kind": catalog.kebab(type(part).__name__)} if family_of(type(part)) else {}
    paths = (
        {one.field: moved[one.sha256] for one in part.outside() if one.sha256 in moved}
        if moved
        else {}
    )
    for field in dataclasses.fields(part):
        value = paths.get(field.name, getattr(part, field.name))
        if value is None or (field.metadata.get("since") and unchanged(value, field.default)):
            continue
        if parts_in(field.type)[1] and not value:
            continue
        shown[field.name] = _plain(value, moved)
    return shown


def _plain(value, moved):
    if isinstance(value, Part):
        return table_of(value, moved)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    return [_plain(v, moved) for v in value] if isinstance(value, tuple) else value


def parts_of(part: Part) -> list[Part]:
    """A part and every part within it."""
    found = [part]
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            found += parts_of(one) if isinstance(one, Part) else []
    return found


def outside_of(part: Part) -> tuple[Outside, ...]:
    """Every file that a part, or one within it, reads from outside its text."""
    return tuple(one for inner in parts_of(part) for one in inner.outside())


def classes_of(*parts: Part) -> dict[tuple[str, str], type]:
    """{(family, kind): class} of all parts within; a class outside the families goes by ("", its
    name)."""
    found: dict[tuple[str, str], type] = {}
    for part in (inner for one in parts for inner in parts_of(one)):
        family = family_of(type(part)) or ""
        kind = catalog.kebab(type(part).__name__) if family else type(part).__name__
        if found.setdefault((family, kind), type(part)) is not type(part):
            what = f"one class of the name {type(part).__name__}"
            raise refused("An experiment", what, "two of other code", "Rename one of them")
    return found


def models_of(*parts: Part) -> tuple[tuple[str, types.ModuleType], ...]:
    """(name, Python module) of every model which a file of the user's own makes."""
    return tuple(pair for one in parts for inner in parts_of(one) for pair in inner.modules())


def parts_in(annotation) -> tuple[type | None, bool]:
    """(the class of part which a field of this type holds, or None; whether it holds a list of
    them)."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, False
    options = [parts_in(option) for option in typing.get_args(annotation)]
    return next((one for one, _ in options if one), None), typing.get_origin(
        annotation
    ) is tuple and any(one for one, _ in options)


def find(family: str, kind: str) -> type:
    """The class of that kind: of the catalogue, or else the last of the user's own in this
    process."""
    if isinstance(kind, str) and kind not in catalog.members(family):
        for cls in reversed(at_hand(family, kind)):
            return cls
    return catalog.find(family, kind)


def at_hand(family: str, kind: str) -> list[type]:
    """The user's own classes of that name in this process, the last defined last: of a script, a
    notebook's cell, a module."""
    found, waiting = [], [Part]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            named = catalog.kebab(cls.__name__) == kind if family else cls.__name__ == kind
            copy = "__summoned__" in vars(cls)  # imported from what a record or a job carries
            if (
                named
                and not copy
                and (family_of(cls) or "") == family
                and not in_library(cls.__module__)
            ):
                found.append(cls)
    return found


def part_of(
    cls: type[Kind], table, path: str = "", known: dict[tuple[str, str], type] | None = None
) -> Kind:
    """A part of class (or family) `cls` from its table; a plain string is a kind with its default
    knobs.

    `known` {(family, kind): class} goes before the catalogue: classes that are at hand already.
    """
    family, folder = _family(cls), getattr(table, "folder", ".")
    if family:
        if isinstance(table, str):
            table = {"kind": table}
        if not isinstance(table, dict) or "kind" not in table:
            raise refused(
                path or cls.__name__,
                "a kind",
                repr(table),
                f"Set {path}.kind to one of {', '.join(sorted(catalog.members(family)))}",
            )
        mine: typing.Any = isinstance(table["kind"], str) and (known or {}).get(
            (family, table["kind"])
        )
        cls = mine or find(family, table["kind"])
        table = {name: value for name, value in table.items() if name != "kind"}
    elif not isinstance(table, dict):
        raise refused(
            path or cls.__name__, "a table", repr(table), f"Write [{path}] and its knobs below"
        )
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for name, value in table.items():
        if name not in fields:
            raise refused(cls.__name__, "a known knob", repr(name), nearest(name, fields))
        where = f"{path}.{name}" if path else name
        inner: typing.Any
        inner, many = parts_in(fields[name].type)
        if many:
            if not isinstance(value, (list, tuple)):
                raise refused(where, "a list of tables", repr(value), f"Write each as [[{where}]]")
            value = tuple(
                one if isinstance(one, Part) else part_of(inner, one, f"{where}[{index}]", known)
                for index, one in enumerate(value)
            )
        elif inner and not isinstance(value, Part):
            value = part_of(inner, value, where, known)
        values[name] = value
    missing = [
        n
        for n, f in fields.items()
        if n not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise refused(
            cls.__name__, missing[0], "nothing", f"Set {path + '.' if path else ''}{missing[0]}"
        )
    return cls(**cls.placed(values, folder)).parsed(folder)


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
        used = modules_named(module)
        code += [f"# models: {name} {code_digest(used)}\n"] if used else []
    return written + "".join(code)


def fingerprint(part: Part) -> str:
    """sha256 of what a part is."""
    return hashlib.sha256(identity(part).encode()).hexdigest()


def with_value(part: Kind, path: str, value) -> Kind:
    """The part with the knob at a dotted path changed: `with_value(experiment, "rule.rate",
    0.2)`, `"events.0.at"`, `"architecture.width"`."""
    table = table_of(part)
    *inner, last = path.split(".")
    spot: typing.Any = table
    holder: typing.Any = part
    for name in inner:
        if isinstance(holder, tuple) and name.isdigit() and int(name) < len(holder):
            spot, holder = spot[int(name)], holder[int(name)]
        elif isinstance(holder, Part) and isinstance(spot.get(name), (dict, list)):
            spot, holder = spot[name], getattr(holder, name)
        else:
            raise refused(
                type(part).__name__, "a known knob", repr(path), nearest(path, paths(part))
            )
    if not isinstance(holder, Part):
        raise refused(type(part).__name__, "a known knob", repr(path), nearest(path, paths(part)))
    if last not in {field.name for field in dataclasses.fields(holder)}:
        if last == "kind" and "kind" in spot and inner and not inner[-1].isdigit():
            said = ".".join(inner)
            raise refused(
                type(holder).__name__,
                "a known knob",
                repr(path),
                f"Write {said}={value}, or {said}={{kind='{value}', ...}} with its knobs",
            )
        short = holder.shorthands().get(last)
        if short is None:
            raise refused(
                type(holder).__name__, "a known knob", repr(path), nearest(path, paths(part))
            )
        last, value = short.field, short.turned(value)
    for name in holder.follows.get(last, ()):
        spot.pop(name, None)
    if value is None:
        spot.pop(last, None)
    else:
        spot[last] = value
    return part_of(type(part), table, known=classes_of(part))


def value_at(part: Part, path: str):
    """The value of the knob at a dotted path, as `with_value` names it."""
    holder: object = part
    for name in path.split("."):
        if isinstance(holder, tuple) and name.isdigit() and int(name) < len(holder):
            holder = holder[int(name)]
        elif isinstance(holder, Part) and name in {
            field.name for field in dataclasses.fields(holder)
        }:
            holder = getattr(holder, name)
        elif isinstance(holder, Part) and name in holder.shorthands():
            holder = holder.shorthands()[name].value
        else:
            raise refused(
                type(part).__name__, "a known knob", repr(path), nearest(path, paths(part))
            )
    return holder


def paths(part: Part, prefix: str = "") -> list[str]:
    """Every dotted path of a part."""
    found = [prefix + name for name in part.shorthands()]
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        found.append(prefix + field.name)
        if isinstance(value, Part):
            found += paths(value, f"{prefix}{field.name}.")
        for index, one in enumerate(value if isinstance(value, tuple) else ()):
            found += paths(one, f"{prefix}{field.name}.{index}.") if isinstance(one, Part) else []
    return found


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
