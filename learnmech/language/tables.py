"""Tables: parts as nested tables and back, and the classes that the kinds in them name."""

import dataclasses
import types
import typing

import numpy as np

from learnmech.errors import nearest, refused
from learnmech.language import catalog
from learnmech.language.origins import in_library
from learnmech.language.parts import Outside, Part, unchanged

Kind = typing.TypeVar("Kind", bound=Part)
"""A class of parts: what comes of a table or a text is one of the class that was asked for."""
FAMILY_OF = {base: family for family, base in catalog.FAMILIES.items()}


def _family(annotation) -> str | None:
    return FAMILY_OF.get(getattr(annotation, "__name__", ""))


def family_of(cls: type) -> str | None:
    """The family that a class of parts belongs to."""
    return FAMILY_OF.get(root_of(cls).__name__)


def root_of(cls: type) -> type:
    """The class that a part of this one is written and read as: the root of its family, or its
    own."""
    # the last: the instrument called Loss is no loss
    roots = [base for base in cls.__mro__ if base.__name__ in FAMILY_OF]
    return roots[-1] if roots else cls


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
