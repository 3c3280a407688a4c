"""Knobs by their dotted paths: read, changed, listed."""

import dataclasses
import typing

from learnmech.errors import nearest, refused
from learnmech.language.parts import Part
from learnmech.language.tables import Kind, classes_of, part_of, table_of


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
