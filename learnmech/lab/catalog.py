"""What there is to take hold of and to look at in an experiment, as plain data: all of it found by
the catalogue and the parts themselves, nothing listed by hand."""

import dataclasses
import fnmatch
import functools
from pathlib import Path
from typing import Any

import numpy as np

from learnmech.errors import Refused
from learnmech.experiment.recipe import Experiment, Start
from learnmech.gallery.costs import COSTS
from learnmech.instruments.base import Instrument
from learnmech.interventions.base import Intervention
from learnmech.interventions.changes import FIXED
from learnmech.language import catalog, text, trees
from learnmech.language.parts import Part, meaning_of, show_value
from learnmech.language.quantity import powers
from learnmech.march.timeline import Timeline
from learnmech.march.watching import shapes_in
from learnmech.record.base import quantities_of
from learnmech.system.state import arrays_of
from learnmech.theories.base import Theory

PICTURES = Path(__file__).parent / "pictures"
LABELS_MOST = 512


def exhibits() -> list[dict]:
    """The exhibits of the gallery, as cards; none of them is imported."""
    found = []
    for name, entry in catalog.exhibits().items():
        picture = PICTURES / f"{name}.svg"
        cost = COSTS.get(name)
        found.append(
            {
                "name": name,
                "claim": entry.claim,
                "source": entry.source,
                "picture": picture.read_text("utf-8") if picture.is_file() else None,
                "seconds": None if cost is None else cost.compiling + cost.running,
            }
        )
    return found


def knobs(experiment: Experiment) -> list[dict]:
    """Every knob of every part, by its dotted path, with what it may be turned to."""
    return _knobs(experiment, "", "experiment")


def _knobs(part: Part, prefix: str, of: str) -> list[dict]:
    found = []
    for name, short in part.shorthands().items():
        found.append(_knob(prefix + name, of, short.value, meaning="all at once", structural=True))
    for field in dataclasses.fields(part):
        path, value = prefix + field.name, getattr(part, field.name)
        inner, many = text.parts_in(field.type)
        meaning = meaning_of(type(part), field.name)
        if inner is not None and not many:
            family = text.family_of(inner)
            kind = "" if value is None else catalog.kebab(type(value).__name__)
            choices = list(catalog.members(family)) if family else None
            said = {"kind": "part", "choices": choices, "meaning": meaning, "structural": True}
            found.append(_knob(path, of, kind, **said))
            if isinstance(value, Part):
                found += _knobs(value, f"{path}.", path)
        elif inner is not None:
            for index, one in enumerate(value or ()):
                found += _knobs(one, f"{path}.{index}.", f"{path}.{index}")
        elif field.metadata.get("role") in ("knob", "structure"):
            found.append(_of_field(field, path, of, value, meaning))
    return found


def _of_field(field, path: str, of: str, value, meaning: str) -> dict:
    said = field.metadata
    bounds, choices = said.get("bounds", {}), said.get("choices")
    low = bounds.get("above", bounds.get("at_least"))
    high = bounds.get("below", bounds.get("at_most"))
    plain = (
        value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    )
    knob = said["role"] == "knob"
    if isinstance(plain, bool):
        kind = "flag"
    elif choices:
        kind = "choice"
    elif knob:
        kind = "whole" if said["whole"] else "number"
    elif isinstance(plain, int):
        kind = "whole"
    elif isinstance(plain, float):
        kind = "number"
    elif isinstance(plain, tuple):
        kind = "list"
    else:
        kind = "text"
    # a positive number without an end is turned by factors
    log = kind == "number" and low is not None and low >= 0 and high is None and bool(plain)
    return _knob(
        path,
        of,
        show_value(plain) if kind == "list" else plain,
        kind=kind,
        choices=None if choices is None else list(choices),
        low=low,
        high=high,
        log=log,
        structural=not knob or path.split(".")[0] in FIXED,
        meaning=meaning,
    )


def _knob(path: str, of: str, value: Any, **said: Any) -> dict:
    kind = "list" if isinstance(value, tuple) else "whole" if isinstance(value, int) else "text"
    value = show_value(value) if isinstance(value, (tuple, np.ndarray)) else value
    plain = {"kind": kind, "choices": None, "low": None, "high": None, "log": False}
    return {"path": path, "part": of, "value": value, **plain, "units": None} | said


def quantities(timeline: Timeline, watch: tuple[Instrument, ...]) -> list[dict]:
    """What is watched: each quantity with its axes, units, symbol and meaning."""
    shapes = {
        name: (every, shape.shape)
        for every, group in shapes_in(timeline.start, watch).items()
        for name, shape in group.items()
    }
    found = []
    for every in sorted({every for every, _ in shapes.values()}):
        for one in quantities_of(timeline, watch, every):
            labels = {axis: [_label(x) for x in names] for axis, names in one.labels}
            size = shapes[one.name][1]
            axes = [
                {
                    "name": axis,
                    "size": int(count),
                    "labels": labels.get(axis) if count <= LABELS_MOST else None,
                }
                for axis, count in zip(one.axes, size, strict=True)
            ]
            of = one.name.removesuffix("_error").removesuffix("_residual")
            found.append(
                {
                    "name": one.name,
                    "every": every,
                    "axes": axes,
                    "units": powers(one.units),
                    "symbol": one.symbol,
                    "meaning": one.meaning,
                    "log": one.units.startswith("loss") and "/" not in one.units,
                    "of": of if of != one.name and of in shapes else None,
                }
            )
    return found


def _label(one: Any) -> str | int | float:
    one = one.item() if isinstance(one, np.generic) else one
    return one if isinstance(one, (int, float, str)) else str(one)


def addresses(start: Start) -> list[dict]:
    """Every array that can be looked at or taken hold of: parameters, the rule's memory,
    signals."""
    arrays = {name: np.shape(leaf) for name, leaf in arrays_of(start.state).items()}
    axes = trees.axes_among(arrays)
    params = trees.leaves_by_path(start.state.params)
    found = [
        {
            "address": name,
            "shape": list(shape),
            "axes": list(axes[name]),
            "role": ("weights" if start.system.architecture.role(name).learned else "statistic")
            if name in params
            else "memory",
        }
        for name, shape in arrays.items()
    ]
    network = start.system.architecture
    try:
        signals = network.signal_shapes(start.state.params, start.system.train.X)
    except Refused:  # a tangent has none
        signals = {}
    for name, shape in signals.items():
        found.append(
            {
                "address": name,
                "shape": list(shape.shape),
                "axes": list(network.signal_axes(name, len(shape.shape))),
                "role": "signal",
            }
        )
    return found


@functools.cache
def _theory_kinds() -> tuple[tuple[str, type[Theory]], ...]:
    return tuple((kind, catalog.load(one)) for kind, one in catalog.members("theories").items())


@functools.lru_cache(maxsize=4096)
def _says(cls: type[Theory], name: str) -> bool:
    return any(fnmatch.fnmatch(name, one) for one in cls.predicts)


def theories(names: list[str], surveyed: dict[str, dict] | None) -> list[dict]:
    """The theories that may be laid over: with what `survey` found where it was asked, else all as
    not known yet. `names` are the quantities that are watched."""
    found = []
    for kind, cls in _theory_kinds():
        said = (surveyed or {}).get(kind)
        conditions = [
            {name: one[name] for name in ("claim", "value", "bound")}
            | {"holds": one["holds"] if one["decided"] else None}
            for one in (said["conditions"] if said else ())
        ]
        unknown = any(one["holds"] is None for one in conditions)
        failing = any(one["holds"] is False for one in conditions)
        applies = None if said is None or (unknown and not failing) else bool(said["applies"])
        speaks = [name for name in names if _says(cls, name)]
        found.append(
            {
                "name": kind,
                "title": catalog.members("theories")[kind].summary,
                "source": cls.source,
                "applies": applies,
                "conditions": conditions,
                "quantities": speaks,
                "formula": None,
                "over_seeds": bool(cls.over_seeds),
                "limit": bool(cls.limits),
                "dear": bool(cls.dear),
            }
        )
    return found


def interventions(start: Start) -> list[dict]:
    """What can be done to a run on its way: each kind with its fields, as a table of a text."""
    found = []
    for kind, member in catalog.members("interventions").items():
        cls: type[Intervention] = catalog.load(member)
        fields = [
            {
                "name": field.name,
                "meaning": meaning_of(cls, field.name),
                "choices": list(field.metadata.get("choices") or ()) or None,
            }
            for field in dataclasses.fields(cls)
            if field.name != "at"
        ]
        found.append({"kind": kind, "title": member.summary, "fields": fields})
    return found
