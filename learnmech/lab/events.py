"""Events: what a hand does to a run on its way, from what a screen says to an intervention of a
text."""

from typing import Any

import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment
from learnmech.interventions.base import Intervention
from learnmech.interventions.changes import FIXED, Change, Swap
from learnmech.lab.branches import Branch
from learnmech.language import text
from learnmech.language.parts import Part

MENU = (
    {"kind": "add", "title": "Add to it", "for": "entry", "takes": "number", "default": 0.1},
    {"kind": "set", "title": "Set it to", "for": "entry", "takes": "number", "default": 0.0},
    {"kind": "scale", "title": "Multiply it by", "for": "entry", "takes": "number", "default": 2.0},
    {"kind": "freeze", "title": "Freeze it", "for": "entry", "takes": None, "default": None},
    {"kind": "ablate", "title": "Ablate its unit", "for": "row", "takes": None, "default": None},
    {"kind": "freeze", "title": "Freeze the layer", "for": "layer", "takes": None, "default": None},
    {
        "kind": "noise",
        "title": "Add noise of norm",
        "for": "layer",
        "takes": "number",
        "default": 0.1,
    },
    {
        "kind": "push",
        "title": "Push along the sharpest direction by",
        "for": "branch",
        "takes": "number",
        "default": 0.1,
    },
    {
        "kind": "relabel",
        "title": "Deal the labels anew",
        "for": "branch",
        "takes": None,
        "default": None,
    },
    {
        "kind": "linearize",
        "title": "Go on linearized",
        "for": "branch",
        "takes": None,
        "default": None,
    },
    {
        "kind": "reset-memory",
        "title": "The rule forgets",
        "for": "branch",
        "takes": None,
        "default": None,
    },
)
"""What a menu offers: the kind, what it is said of (an entry, its row, its layer, the whole run),
and whether it takes a number."""

ADDRESSED = {"add", "set", "scale", "freeze", "noise", "push", "ablate"}


def event_of(said: dict, branch: Branch) -> Intervention:
    """The intervention meant: as a menu says it, {kind, address, index, value}, or with the fields
    of a text."""
    kind = said.get("kind")
    if kind in ADDRESSED and (
        "address" in said or "index" in said or kind in ("add", "set", "scale")
    ):
        return text.part_of(Intervention, _from_menu(said, branch))
    table = {name: value for name, value in said.items() if name != "at" and value is not None}
    if kind in ("linearize", "reset-memory", "relabel", "push"):
        table = {name: value for name, value in table.items() if name not in ("address", "index")}
    if kind == "relabel" and not {"values", "shuffle"} & set(table):
        table = {"kind": "relabel", "shuffle": 0}
    if kind in ("linearize", "reset-memory"):
        table.pop("value", None)
    if kind == "push" and "value" in table:
        table["size"] = table.pop("value")
    return text.part_of(Intervention, table)


def _from_menu(said: dict, branch: Branch) -> dict:
    kind, value = said["kind"], said.get("value")
    path = _address(said)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise refused("The event", "a number as its value", repr(value)[:80], "Give a number")
    if kind in ("add", "set", "scale"):
        given = {"add": 0.1, "set": 0.0, "scale": 2.0}[kind] if value is None else value
        return {"kind": "perturb", "path": path, "how": kind, "value": float(given)}
    if kind == "freeze":
        return {"kind": "freeze", "path": path}
    if kind == "noise":
        return {"kind": "noise", "path": path, "size": 0.1 if value is None else float(value)}
    if kind == "push":
        return {"kind": "push", "size": 0.1 if value is None else float(value)}
    return {"kind": "patch", "path": _unit(said, branch), "value": float(value or 0)}


def _address(said: dict) -> str:
    """`layer1.weight[2,5]` of an address and an index: [i, j], {"row": i}, {"column": j} or
    none."""
    address, index = said.get("address") or "", said.get("index")
    if not isinstance(address, str):
        raise refused("The event", "an address", repr(address)[:80], "Write layer1.weight")
    if index is None:
        return address
    if isinstance(index, dict) and len(index) == 1:
        (name, place), *_ = index.items()
        if name in ("row", "column") and _whole(place):
            return f"{address}[{place}]" if name == "row" else f"{address}[:,{place}]"
    if isinstance(index, list) and index and all(map(_whole, index)):
        return f"{address}[{','.join(str(one) for one in index)}]"
    raise refused(
        "The event", "an index as [i, j] or {row: i}", repr(index)[:80], "Give one, or null"
    )


def _whole(one: Any) -> bool:
    return isinstance(one, int) and not isinstance(one, bool)


def _unit(said: dict, branch: Branch) -> str:
    """The signal of the unit that a row of weights makes."""
    start = branch.timeline.start
    signals = start.system.architecture.signal_shapes(start.state.params, start.system.train.X)
    address, index = str(said.get("address") or ""), said.get("index")
    row = (
        index.get("row")
        if isinstance(index, dict)
        else index[0]
        if isinstance(index, list) and index
        else None
    )
    if address in signals:
        return address if row is None else f"{address}[unit={row}]"
    layer = address.split(".")[0]
    found = next((f"{layer}.{one}" for one in ("post", "pre") if f"{layer}.{one}" in signals), None)
    if found is None or not _whole(row):
        raise refused(
            "The event", "a row of weights whose unit is ablated", _address(said), "Choose a row"
        )
    return f"{found}[unit={row}]"


def change_of(branch: Branch, path: str, experiment: Experiment) -> Intervention | None:
    """The event by which a knob is turned on the way; None where it makes another run from its
    start."""
    top = path.split(".")[0]
    if top in FIXED:
        return None
    value = text.value_at(experiment, path)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Part) and not isinstance(value, np.ndarray) and value is not None:
        if not (isinstance(value, tuple) and any(isinstance(one, Part) for one in value)):
            return Change(path, value)
    if top == "rule":
        return (
            Swap(rule=experiment.rule) if experiment.rule.flows == branch.timeline.flows else None
        )
    return Swap(loss=experiment.loss) if top == "loss" else Swap(source=experiment.data)


def words_of(event: Intervention) -> str:
    """What is said of an event, in one short line."""
    words = f"{event.path} = {event.value}" if isinstance(event, Change) else event.name
    return words if len(words) <= 120 else words[:117] + "..."
