"""Panels: what a kind of panel reads where the cursor stands, by replay through what a run has kept
so far."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from learnmech.curvature.slices import landscape_slice
from learnmech.data.base import is_ids
from learnmech.errors import nearest, refused
from learnmech.instruments.base import Instrument
from learnmech.instruments.kernels import KernelSpectrum, KernelTarget
from learnmech.instruments.sharpness import Sharpness
from learnmech.instruments.spectra import Alignment
from learnmech.lab.branches import Branch
from learnmech.language import text
from learnmech.language.addresses import Address
from learnmech.language.trees import axes_of
from learnmech.march.timeline import Checkpoint, Stage
from learnmech.march.watching import quantities_in
from learnmech.record.replay import walk
from learnmech.system.state import arrays_of

ENTRIES_MOST = 2**18
SAMPLES = 24


class Seen(NamedTuple):
    """What a panel shows: values in their shape, what their axes are, and what else is drawn."""

    values: np.ndarray
    axes: tuple[str, ...] = ()
    units: str = ""
    title: str = ""
    labels: tuple[list | None, ...] = ()
    x: np.ndarray | None = None
    extra: dict | None = None
    more: tuple[np.ndarray, ...] = ()


class Here(NamedTuple):
    """Where the cursor stands: a branch, what is in force there, and the state."""

    branch: Branch
    stage: Stage
    checkpoint: Checkpoint

    @property
    def position(self) -> int:
        """The step; for flows the index of the mark."""
        return self.checkpoint.position

    def read(self, instrument: Instrument) -> dict[str, np.ndarray]:
        """What an instrument reads here: it is marched to, as a run reads."""
        instrument = dataclasses.replace(instrument, every=1)
        instrument.check(self.stage.system)
        *_, (_, _, found) = walk(self.branch.way, [self.position], (instrument,))
        return found


def here(branch: Branch, position: int) -> Here:
    """A place of a branch, replayed to the bit; the newest without replay."""
    newest = branch.checkpoint
    if newest is not None and newest.position == position:
        return Here(branch, branch.timeline.resumed(newest), newest)
    stage, checkpoint = next(walk(branch.way, [position], ()))[:2]
    return Here(branch, stage, checkpoint)


def seen(kind: str, spec: dict, at: Here) -> Seen:
    """What a panel of this kind shows there; refuses what this experiment cannot give."""
    if kind not in KINDS:
        raise refused("A panel", "a known kind", repr(kind)[:80], nearest(kind, [*KINDS, "curves"]))
    return KINDS[kind](at, spec)


def _array(at: Here, spec: dict) -> tuple[str, np.ndarray]:
    arrays = arrays_of(at.checkpoint.state)
    address = Address.parse(str(spec.get("address") or next(iter(arrays))))
    names = address.among(arrays)
    if len(names) > 1:  # a layer: its weight
        names = [one for one in names if np.ndim(arrays[one]) > 1][:1] or names[:1]
    return names[0], np.asarray(arrays[names[0]])


def _weights(at: Here, spec: dict) -> Seen:
    name, array = _array(at, spec)
    shown, extra = thin(array), {"address": name, "shape": list(array.shape)}
    return Seen(shown, tuple(_axes(name, shown.ndim)), "param", name, extra=extra)


def _axes(name: str, rank: int) -> list[str]:
    return [axis.rsplit(".", 1)[-1] for axis in axes_of(name, rank)]


def thin(array: np.ndarray) -> np.ndarray:
    """An array of at most three axes that can be drawn: axes of windows flattened, many entries
    taken evenly."""
    if array.ndim > 3:
        array = array.reshape(array.shape[0], array.shape[1], -1)
    while array.size > ENTRIES_MOST:
        axis = int(np.argmax(array.shape))
        array = np.take(array, np.arange(0, array.shape[axis], 2), axis)
    return array


def _singular(at: Here, spec: dict) -> Seen:
    name, array = _array(at, spec)
    if array.ndim < 2:
        raise refused(
            "Singular values", "a matrix", f"{name} of shape {array.shape}", "Choose a weight"
        )

    def values(one):
        return np.linalg.svd(np.asarray(one, float).reshape(one.shape[0], -1), compute_uv=False)

    if not spec.get("over"):
        return Seen(
            values(array), ("rank",), "param", f"singular values of {name}", extra={"log": False}
        )
    kept = _kept(at.branch, int(spec.get("points") or 64))
    rows = [values(np.asarray(arrays_of(one.state)[name])) for one in kept]
    times = np.array([at.branch.timeline.time_at(one.position) for one in kept])
    extra = {"x_label": "time", "here": at.branch.timeline.time_at(at.position)}
    stacked = np.stack(rows, axis=1)
    return Seen(
        stacked, ("rank", "time"), "param", f"singular values of {name}", x=times, extra=extra
    )


def _kept(branch: Branch, most: int) -> list[Checkpoint]:
    """Checkpoints along the run, at most so many: no replay is needed for them."""
    keys = branch.kept.positions()
    keys = (
        [
            keys[i]
            for i in np.unique(np.linspace(0, len(keys) - 1, min(most, len(keys))).astype(int))
        ]
        if keys
        else []
    )
    found = [branch.kept.read(key, branch.timeline) for key in keys]
    start = Checkpoint(0, 0, (), branch.timeline.start.state)
    begins = branch.laid.after is None and (not keys or keys[0][0] > 0)
    return [*([start] if begins else []), *(one for one in found if one is not None)]


def _samples_of(at: Here, spec: dict) -> tuple[np.ndarray, Any]:
    train = at.stage.system.train
    count = len(train.X)
    asked = spec.get("samples")
    if isinstance(asked, list):
        rows = [int(one) for one in asked if isinstance(one, int) and 0 <= one < count][:256]
    else:
        many = asked if isinstance(asked, int) and asked > 0 else SAMPLES
        rows = np.unique(np.linspace(0, count - 1, min(many, count, 256)).astype(int)).tolist()
    if not rows:
        raise refused("A panel", f"samples from 0 to {count - 1}", repr(asked)[:80], "Choose some")
    return np.array(rows), train


def _activations(at: Here, spec: dict) -> Seen:
    rows, train = _samples_of(at, spec)
    signals = at.stage.system.signals(at.checkpoint.state.params, train.X)
    address = str(spec.get("address") or next(iter(signals)))
    if address not in signals:
        raise refused("Activations", "a signal", repr(address)[:80], nearest(address, signals))
    values = np.asarray(signals[address])
    values = values[rows] if len(values) == len(train.X) else values
    labels: tuple[list | None, ...] = ([int(one) for one in rows], None)
    return Seen(thin(values), ("sample", "unit")[: values.ndim], "", address, labels)


def _samples(at: Here, spec: dict) -> Seen:
    rows, train = _samples_of(at, spec)
    system = at.stage.system
    outputs = np.asarray(system.outputs(at.checkpoint.state.params, train.X))[rows]
    inputs, targets = np.asarray(train.X)[rows], np.asarray(train.Y)[rows]
    said = [_said(one, other) for one, other in zip(targets, outputs, strict=True)]
    values = inputs.reshape(len(rows), -1).astype(float)
    side = int(round(np.sqrt(values.shape[1])))
    if side * side == values.shape[1] and side > 3:
        values = values.reshape(len(rows), side, side)
    extra = {"said": said, "samples": [int(one) for one in rows]}
    return Seen(values, ("sample", "row", "column")[: values.ndim], "", "samples", extra=extra)


def _said(target: np.ndarray, output: np.ndarray) -> dict:
    """What is right of a sample and what the network says of it, in short."""
    if target.ndim == 0 or is_ids(target):
        chosen = int(np.argmax(output, axis=-1).ravel()[0])
        given = int(np.ravel(target)[0])
        return {"given": given, "said": chosen, "right": given == chosen}
    if target.size > 1:
        one_hot = np.count_nonzero(target > target.max() / 2) == 1
        given, chosen = int(np.argmax(target)), int(np.argmax(output))
        numbers = {"outputs": [float(one) for one in np.ravel(output)[:16]]}
        if one_hot:
            return {"given": given, "said": chosen, "right": given == chosen} | numbers
        return {"given": _round(target), "said": _round(output), "right": None}
    return {"given": float(np.ravel(target)[0]), "said": float(np.ravel(output)[0]), "right": None}


def _round(values: np.ndarray) -> str:
    return ", ".join(f"{float(one):.3g}" for one in np.ravel(values)[:4])


def _instrument(at: Here, spec: dict) -> Seen:
    """What any instrument of the catalogue reads there: `instrument` by its kind or its table."""
    return _read(at, text.part_of(Instrument, spec.get("instrument") or "loss"), spec)


def _read(at: Here, instrument: Instrument, spec: dict) -> Seen:
    found = at.read(instrument)
    start = at.branch.timeline.start
    quantities = {
        q.name: q for q in quantities_in(start, (dataclasses.replace(instrument, every=1),))
    }
    name = spec.get("quantity") or max(found, key=lambda one: np.size(found[one]))
    if name not in quantities:
        raise refused(
            "A panel", "a quantity it reads", repr(name)[:80], nearest(str(name), quantities)
        )
    one, values = quantities[name], thin(np.asarray(found[name]))
    named = {axis: [str(x) for x in labels] for axis, labels in one.labels}
    numbers = {other: float(v) for other, v in found.items() if np.ndim(v) == 0}
    words = ", ".join(f"{other} {value:.4g}" for other, value in numbers.items())
    labels = tuple(named.get(axis) for axis in one.axes)
    return Seen(values, one.axes, one.units, one.meaning, labels, extra={"words": words})


def _kernel(at: Here, spec: dict) -> Seen:
    shown = _read(at, KernelSpectrum(), spec)
    return shown._replace(extra=(shown.extra or {}) | {"log": True})


def _alignment(at: Here, spec: dict) -> Seen:
    kind = KernelTarget() if spec.get("of") == "kernel" else Alignment()
    return _read(at, kind, spec)


def _edge(at: Here, spec: dict) -> Seen:
    """The largest eigenvalue of the Hessian along the run, at what is kept of it, against
    2/rate."""
    timeline, system = at.branch.timeline, at.stage.system
    Sharpness().check(system)
    held = at.branch.about.setdefault("sharpness", {})
    count = int(spec.get("points") or 24)
    for one in [at.checkpoint, *_kept(at.branch, min(count, 200))]:
        if one.position not in held and len(held) < 2000:
            where = Here(at.branch, timeline.resumed(one), one)
            held[one.position] = float(np.ravel(where.read(Sharpness())["sharpness"])[0])
    places = sorted(held)
    times = np.array([timeline.time_at(place) for place in places])
    rate = getattr(at.stage.rule, "rate", None)
    bound = None if timeline.flows or rate is None else 2 / float(rate)
    extra = {
        "x_label": "time",
        "bound": bound,
        "bound_label": "2/rate",
        "here": timeline.time_at(at.position),
        "words": f"sharpness {held[at.position]:.4g}"
        + ("" if bound is None else f", 2/rate {bound:.4g}"),
    }
    values = np.array([held[place] for place in places])
    return Seen(values, ("time",), "loss/param^2", "sharpness", x=times, extra=extra)


def _slice(at: Here, spec: dict) -> Seen:
    reach, count = float(spec.get("reach") or 1.0), min(max(int(spec.get("points") or 41), 3), 201)
    along = str(spec.get("along") or "gradient")
    places = np.linspace(-reach, reach, count)
    found = landscape_slice(at.stage.system, at.checkpoint.state.params, [along], [places])
    names = [str(name) for name in found.data_vars if found[name].ndim == 1]
    values = np.asarray(found[names[0]])
    more = tuple(np.asarray(found[name]) for name in names[1:3])
    lines = [{"name": name, "values": 2 + index} for index, name in enumerate(names[1:3])]
    extra = {
        "x_label": f"distance along the {along}",
        "here": 0.0,
        "lines": lines,
        "y_label": names[0],
    }
    return Seen(
        values, ("along",), "loss", f"loss along the {along}", x=places, extra=extra, more=more
    )


def _attention(at: Here, spec: dict) -> Seen:
    signals = at.stage.system.architecture.signal_shapes(
        at.checkpoint.state.params, at.stage.system.train.X
    )
    patterns = [name for name in signals if "attention" in name]
    if not patterns:
        raise refused(
            "Attention patterns",
            "a network with attention",
            type(at.stage.system.architecture).__name__,
            "Choose another panel",
        )
    address = str(spec.get("address") or patterns[0])
    if address not in patterns:
        raise refused(
            "Attention patterns", "one of them", repr(address)[:80], nearest(address, patterns)
        )
    sample = int(spec.get("sample") or 0) % max(len(at.stage.system.train.X), 1)
    values = np.asarray(
        at.stage.system.signals(at.checkpoint.state.params, at.stage.system.train.X)[address]
    )
    return Seen(thin(values[sample]), ("query", "key"), "", f"{address}, sample {sample}")


KINDS: dict[str, Callable[[Here, dict], Seen]] = {
    "weights": _weights,
    "singular": _singular,
    "activations": _activations,
    "samples": _samples,
    "kernel": _kernel,
    "edge": _edge,
    "alignment": _alignment,
    "slice": _slice,
    "attention": _attention,
    "instrument": _instrument,
}
"""{kind of panel: what it reads at the cursor}."""
