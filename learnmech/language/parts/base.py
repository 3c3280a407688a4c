"""The part: a frozen value with knobs, which says what its knobs mean and refuses what they
cannot be."""

import contextlib
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path

import equinox as eqx

from learnmech.errors import nearest, refused
from learnmech.language.parts.checks import accepts, check, show_value, unchanged, wanted
from learnmech.language.parts.fields import array, knob, part, structure

if typing.TYPE_CHECKING:
    # To a checker a part is a frozen dataclass and no Equinox module: it takes neither a metaclass
    # that is computed (mypy: "Unsupported dynamic base class") nor a frozen class below one that it
    # thinks is not.
    from abc import ABCMeta as _Meta

    _Module = object
else:
    _Meta, _Module = type(eqx.Module), eqx.Module


class Shorthand(typing.NamedTuple):
    """A name that is no field of its own: the field it turns, its value now (None where it has
    no single one), and value -> the field's value."""

    field: str
    value: object
    turned: Callable


class Outside(typing.NamedTuple):
    """A file that a part reads from outside its text: the knob that names it, where it is, and
    the sha256 of its content."""

    field: str
    path: Path
    sha256: str


@typing.dataclass_transform(
    field_specifiers=(knob, structure, part, array, eqx.field),
    kw_only_default=False,
    frozen_default=True,
)
class _Asked(_Meta, type):
    """A class of parts; arguments that do not fit its fields are refused in a sentence, and
    `help` tells what each field is."""

    def __init__(cls, *args, **kwargs):
        super().__init__(*args, **kwargs)
        shown = [line for field in _shown(cls) if (line := _line_of(cls, field))]
        if shown:
            cls.__doc__ = "\n".join([told(cls), "", KNOBS, *shown])

    @property
    def __signature__(cls):
        """How it is called, with the type of each field: a field's converter hides it."""
        found, kinds = (
            inspect.signature(cls.__init__),  # type: ignore[misc]  # a class's, not an instance's
            {field.name: _asked_for(field) for field in _shown(cls)},
        )
        given = list(found.parameters.values())[1:]
        return found.replace(
            parameters=[
                one.replace(annotation=kinds.get(one.name, one.annotation)) for one in given
            ],
            return_annotation=found.empty,
        )

    if (
        not typing.TYPE_CHECKING
    ):  # a checker would take what a class is called with from here, which is anything

        def __call__(cls, *args, **kwargs):
            try:
                return super().__call__(*args, **kwargs)
            except TypeError:
                _check_arguments(cls, args, kwargs)
                raise


KNOBS = "Knobs:"


def _shown(cls):
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _asked_for(field):
    """The type of value that a field is given: of a knob the number, not the array in which it
    is kept."""
    if field.metadata.get("role") != "knob":
        return field.type
    number = int if field.metadata["whole"] else float
    return number | None if accepts(field.type, None) else number


def told(cls: type) -> str:
    """What a class says of itself, without the list of its knobs."""
    return (inspect.getdoc(cls) or "").partition(f"\n\n{KNOBS}\n")[0]


def _line_of(cls, field):
    meaning = field.metadata.get("meaning", "")
    if not meaning:
        return ""
    default = field.default is not dataclasses.MISSING and field.default is not None
    return f"    {field.name}: {meaning}" + (
        f" ({show_value(field.default)} unless given)" if default else ""
    )


def meaning_of(cls: type, name: str) -> str:
    """What a field is, in one line: as it says itself, else the first sentence of the class, or
    of one it descends from, which names it in backticks."""
    said = {field.name: field.metadata.get("meaning", "") for field in _shown(cls)}[name]
    for one in cls.__mro__ if not said else ():
        sentences = re.split(r"(?<=[.;:])\s+", " ".join(told(one).split())) if one.__doc__ else ()
        found = next((sentence for sentence in sentences if f"`{name}`" in sentence), "")
        if found:
            return found.rstrip(".;:")
    return said


def _check_arguments(cls, args, kwargs):
    """Refuse arguments that the class cannot be called with."""
    who, signature = cls.__name__, inspect.signature(cls)
    fields = signature.parameters
    with contextlib.suppress(TypeError):
        signature.bind(*args, **kwargs)
        return
    named = [
        name for name, field in fields.items() if field.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    for name in kwargs:
        if name not in fields:
            raise refused(who, "a known knob", repr(name), nearest(name, fields))
        if name in named[: len(args)]:
            raise refused(who, f"{name} once", "it by place and by name", "Drop one of them")
    if len(args) > len(named):
        raise refused(
            who, f"at most {len(named)} values by place", len(args), "Write the others by name"
        )
    for name, field in fields.items():
        if (
            field.default is inspect.Parameter.empty
            and name not in kwargs
            and name not in named[: len(args)]
        ):
            kind = next((f.type for f in dataclasses.fields(cls) if f.name == name), None)
            of_kind = (
                f", {wanted(kind)}" if isinstance(kind, type) and issubclass(kind, Part) else ""
            )
            raise refused(who, f"{name}{of_kind}", "nothing", f"Give {name}")


class Part(_Module, metaclass=_Asked):
    """A frozen value: numeric knobs are leaves, structure is static, and bad values are refused
    when it is made.

    `hint`: of a family, which of its parts may be meant where something else was given. `follows`:
    {knob: knobs that are of the old value alone, and dropped from its text when the knob is
    turned}.
    """

    hint: typing.ClassVar[str] = ""
    follows: typing.ClassVar[dict[str, tuple[str, ...]]] = {}

    # Equinox makes every method that is asked for a tree of its own, which no one here hands to
    # JAX; that took a tenth of what it takes to trace a run.
    __getattribute__ = object.__getattribute__

    def __check_init__(self):
        for field in dataclasses.fields(self):
            check(self, field, getattr(self, field.name))
        self.coherent()

    def coherent(self) -> None:
        """Refuse fields that are each as they should be and do not go together; called after
        every field was checked."""

    def shorthands(self) -> dict[str, Shorthand]:
        """Names beside the fields by which knobs may be turned, as `width` for all of `hidden`."""
        return {}

    def parsed(self, folder: str | Path = ".") -> typing.Self:
        """Itself, once it was read from a text in a folder; a part that stands for what is in no
        text looks for it, or refuses."""
        return self

    @classmethod
    def placed(cls, values: dict, folder: str | Path = ".") -> dict:
        """The values of its knobs as a text in a folder has them, with what says where something
        lies resolved; before it is made."""
        return values

    def outside(self) -> tuple[Outside, ...]:
        """The files that it reads from outside its text."""
        return ()

    def modules(self) -> tuple[tuple[str, types.ModuleType], ...]:
        """(name, Python module) of what a file of the user's own makes for it; what that imports
        counts in its identity."""
        return ()

    @classmethod
    def example(cls) -> typing.Any:
        """A tiny one, for contracts and docs; a part whose fields have no defaults gives its
        own."""
        return cls()

    def __repr__(self):
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not unchanged(value, field.default):
                shown.append(f"{field.name}={show_value(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"
