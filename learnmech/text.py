"""Text: parts as TOML and back. Parsing executes nothing; text -> value -> text is the identity."""

import dataclasses
import hashlib
import re
import tomllib
import typing
import zipfile
from pathlib import Path

import numpy as np
import tomli_w

from learnmech import catalog
from learnmech.errors import nearest, refused
from learnmech.parts import Part

FAMILY_OF = {base: family for family, base in catalog.FAMILIES.items()}
INLINE = 16
POINTED = re.compile(r"[+-]?([0-9]+\.|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _family(annotation) -> str | None:
    return FAMILY_OF.get(getattr(annotation, "__name__", ""))


def table_of(part: Part) -> dict:
    """A part as nested tables: `kind` where it belongs to a family, every knob explicit, None left out, arrays as they are."""
    family = next((FAMILY_OF[base.__name__] for base in type(part).__mro__ if base.__name__ in FAMILY_OF), None)
    shown = {"kind": catalog.kebab(type(part).__name__)} if family else {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value is None:
            continue
        if parts_in(field.type)[1] and not value:
            continue
        shown[field.name] = _plain(value)
    return shown


def _plain(value):
    if isinstance(value, Part):
        return table_of(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value.item()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def parts_in(annotation) -> tuple[type | None, bool]:
    """(the class of part which a field of this type holds, or None; whether it holds a list of them)."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, False
    options = [parts_in(option) for option in typing.get_args(annotation)]
    return next((one for one, _ in options if one), None), typing.get_origin(annotation) is tuple and any(one for one, _ in options)


def part_of(cls: type, table, path: str = "") -> Part:
    """A part of class (or family) `cls` from its table; a plain string is a kind with its default knobs."""
    family = _family(cls)
    if family:
        if isinstance(table, str):
            table = {"kind": table}
        if not isinstance(table, dict) or "kind" not in table:
            raise refused(path or cls.__name__, "a kind", repr(table), f"Set {path}.kind to one of {', '.join(sorted(catalog.members(family)))}")
        cls = catalog.find(family, table["kind"])
        table = {name: value for name, value in table.items() if name != "kind"}
    elif not isinstance(table, dict):
        raise refused(path or cls.__name__, "a table", repr(table), f"Write [{path}] and its knobs below")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for name, value in table.items():
        if name not in fields:
            raise refused(cls.__name__, "a known knob", repr(name), nearest(name, fields))
        where = f"{path}.{name}" if path else name
        inner, many = parts_in(fields[name].type)
        if many:
            if not isinstance(value, (list, tuple)):
                raise refused(where, "a list of tables", repr(value), f"Write each as [[{where}]]")
            value = tuple(one if isinstance(one, Part) else part_of(inner, one, f"{where}[{index}]") for index, one in enumerate(value))
        elif inner and not isinstance(value, Part):
            value = part_of(inner, value, where)
        values[name] = value
    missing = [n for n, f in fields.items() if n not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    if missing:
        raise refused(cls.__name__, missing[0], "nothing", f"Set {path + '.' if path else ''}{missing[0]}")
    return cls(**values).parsed(getattr(table, "folder", "."))


def digest(values: np.ndarray) -> str:
    """sha256 of an array's type, shape and bytes."""
    values = np.ascontiguousarray(values)
    return hashlib.sha256(f"{values.dtype.str}{values.shape}".encode() + values.tobytes()).hexdigest()


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
    """The table with each {file, sha256} replaced by the array it names."""
    shown = {}
    for name, value in table.items():
        if isinstance(value, dict) and set(value) == {"file", "sha256"}:
            if not all(isinstance(said, str) for said in value.values()):
                raise refused(f"{path}{name}", "the name of a file and its sha256", repr(value), "Write both as texts")
            value = _read_array(Path(folder) / value["file"], value["sha256"], f"{path}{name}")
        elif isinstance(value, dict):
            value = _Beside(arrays_in(value, folder, f"{path}{name}."))
            value.folder = folder
        elif isinstance(value, list):
            value = [arrays_in(one, folder, f"{path}{name}[{index}].") if isinstance(one, dict) else one for index, one in enumerate(value)]
        shown[name] = value
    return shown


def _read_array(file, sha, path):
    if not file.is_file():
        raise refused(path, "its array file", f"no file {file}", "Put the file beside the text")
    try:
        with file.open("rb") as opened:
            values = np.load(opened, allow_pickle=False)
            values = values if isinstance(values, np.ndarray) else values[values.files[0]]
    except (ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise refused(path, "an array file of numbers", f"{file.name}: {str(error).splitlines()[0]}", "Write it with numpy.save") from None
    if digest(values) != sha:
        raise refused(path, f"the array with sha256 {sha[:16]}...", f"{digest(values)[:16]}...", f"Restore {file.name}, or write its sha256")
    return values


def to_text(part: Part) -> tuple[str, dict[str, np.ndarray]]:
    """(canonical TOML, {file name: array} of the arrays it names)."""
    arrays: dict[str, np.ndarray] = {}
    return tomli_w.dumps(_arrays_out(table_of(part), arrays)), arrays


def parse(text: str, who: str = "The experiment") -> dict:
    """TOML as nested tables."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise refused(who, "TOML that parses", str(error), "Mend the text") from None


def from_text(cls: type, text: str, folder: str | Path = ".") -> Part:
    """The part a text describes; array files are looked up in `folder`."""
    table = parse(text)
    if cls.__name__ == "Experiment":  # what a file says beside its experiment
        table = {name: value for name, value in table.items() if name not in ("watch", "theories")}
    return part_of(cls, arrays_in(table, folder))


def fingerprint(part: Part) -> str:
    """sha256 of the canonical text."""
    return hashlib.sha256(to_text(part)[0].encode()).hexdigest()


def with_value(part: Part, path: str, value) -> Part:
    """The part with the knob at a dotted path changed: `with_value(experiment, "rule.rate", 0.2)`, `"events.0.at"`, `"architecture.width"`."""
    table = table_of(part)
    *inner, last = path.split(".")
    spot, holder = table, part
    for name in inner:
        if isinstance(holder, tuple) and name.isdigit() and int(name) < len(holder):
            spot, holder = spot[int(name)], holder[int(name)]
        elif isinstance(holder, Part) and isinstance(spot.get(name), (dict, list)):
            spot, holder = spot[name], getattr(holder, name)
        else:
            raise refused(type(part).__name__, "a known knob", repr(path), nearest(path, paths(part)))
    if not isinstance(holder, Part):
        raise refused(type(part).__name__, "a known knob", repr(path), nearest(path, paths(part)))
    if last not in {field.name for field in dataclasses.fields(holder)}:
        if last == "kind" and "kind" in spot and inner and not inner[-1].isdigit():
            said = ".".join(inner)
            raise refused(type(holder).__name__, "a known knob", repr(path), f"Write {said}={value}, or {said}={{kind='{value}', ...}} with its knobs")
        short = holder.shorthands().get(last)
        if short is None:
            raise refused(type(holder).__name__, "a known knob", repr(path), nearest(path, paths(part)))
        last, value = short.field, short.turned(value)
    if value is None:
        spot.pop(last, None)
    else:
        spot[last] = value
    return part_of(type(part), table)


def value_at(part: Part, path: str):
    """The value of the knob at a dotted path, as `with_value` names it."""
    holder = part
    for name in path.split("."):
        if isinstance(holder, tuple) and name.isdigit() and int(name) < len(holder):
            holder = holder[int(name)]
        elif isinstance(holder, Part) and name in {field.name for field in dataclasses.fields(holder)}:
            holder = getattr(holder, name)
        elif isinstance(holder, Part) and name in holder.shorthands():
            holder = holder.shorthands()[name].value
        else:
            raise refused(type(part).__name__, "a known knob", repr(path), nearest(path, paths(part)))
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
    """A value as typed after `path=`: TOML where it parses (0.1, true, [64, 32], "tanh"), .1 and 1. too, the bare text otherwise."""
    if POINTED.fullmatch(text):
        return float(text)
    try:
        said = tomllib.loads(f"value = {text}")
        return said["value"] if set(said) == {"value"} else text
    except tomllib.TOMLDecodeError:
        return text
