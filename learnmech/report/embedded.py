"""What a page holds so that it can be scrubbed and zoomed without a server: what was watched, what
was predicted and how far apart they are, as 32-bit numbers."""

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.comparison.alignment import matched
from learnmech.comparison.verdicts import Comparison
from learnmech.errors import plain as shown_plainly
from learnmech.figures.panels import band_of
from learnmech.gallery.base import Shown
from learnmech.language.display import plain
from learnmech.record.base import Record, due_marks

if TYPE_CHECKING:
    import xarray as xr

# Numbers kept of one quantity and marks of one with a single entry: all of them together come to
# some hundred kB, as much as the figures.
NUMBERS, MARKS = 8192, 2000


class Buffers:
    """Arrays on their way into the page, each named by its place."""

    def __init__(self) -> None:
        self.held: list[dict] = []

    def put(self, values: Any, dtype: str = "f32") -> int:
        """The place of the array, kept as base64 of little-endian numbers."""
        kind = {"f32": "<f4", "f64": "<f8", "i32": "<i4"}[dtype]
        with np.errstate(over="ignore"):
            written = np.ascontiguousarray(values).astype(kind).tobytes()
        self.held.append({"dtype": dtype, "data": base64.b64encode(written).decode()})
        return len(self.held) - 1


def embedded(shown: Shown, theories: dict | None = None) -> str:
    """The page's data as JSON that may stand within a script element: no text in it can end that
    element."""
    buffers, record = Buffers(), shown.record
    marks = record.timeline.marks
    series, thinned = _series(record, buffers)
    lines, errors = _said(shown.comparisons, record, buffers)
    data = {
        "opened": {
            "is": "opened",
            "branch": "run",
            "parent": None,
            "at": 0,
            "name": shown.exhibit.claim,
            "claim": shown.exhibit.claim,
            "source": shown.exhibit.source,
            "text": shown.experiment.text,
            "fingerprint": record.provenance.get("fingerprint", ""),
            "flows": bool(shown.experiment.rule.flows),
            "marks": len(marks.times),
            "last": record.position,
            "times": buffers.put(marks.times, "f64"),
            "steps": None if marks.steps is None else buffers.put(marks.steps, "f64"),
            "quantities": _quantities(record),
            "theories": _theories(shown, theories, lines),
            "addresses": _arrays(record),
            "knobs": [],
            "events": [],
            "thinned": thinned,
        },
        "reached": record.reached,
        "series": series,
        "lines": lines,
        "errors": errors,
        "buffers": buffers.held,
    }
    return _written(data)


def _written(data) -> str:
    """JSON in which no letter ends a script element or begins a comment within one."""
    text = json.dumps(_finite(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value):
    """With numbers that JSON does not have as None, and control characters as the rest of the page
    shows them."""
    if isinstance(value, dict):
        return {shown_plainly(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, (bool, int)) or value is None:
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    # a text keeps its lines
    return "\n".join(shown_plainly(line) for line in str(value).split("\n"))


def _quantities(record: Record) -> list[dict]:
    names, found = record.names, []
    for every, table in record.tables.items():
        for name, values in table.data_vars.items():
            found.append(
                {
                    "name": str(name),
                    "every": every,
                    "axes": [_axis(values, dim) for dim in values.dims if dim != "time"],
                    "units": values.attrs.get("units", ""),
                    "symbol": values.attrs.get("symbol", str(name)),
                    "meaning": values.attrs.get("long_name", ""),
                    "log": str(name).endswith("loss") and _spans(values.values),
                    "of": band_of(str(name), names),
                }
            )
    return found


def _arrays(record: Record) -> list[dict]:
    """What can be shown as a heat map: parameters first, which have a dot in their name."""
    found = [
        {"address": str(name), "shape": list(values.shape[1:]), "role": "weight"}
        for table in record.tables.values()
        for name, values in table.data_vars.items()
        if values.ndim == 3 and values.dtype.kind == "f"
    ]
    return sorted(found, key=lambda one: "." not in one["address"])


def _axis(values: "xr.DataArray", dim) -> dict:
    labels = [str(one) for one in values[dim].values] if dim in values.coords else None
    return {"name": str(dim), "size": values.sizes[dim], "labels": labels}


def _spans(values: np.ndarray) -> bool:
    """Whether a log axis is of use: all numbers are positive and span a factor of a hundred."""
    with np.errstate(invalid="ignore"):
        known = values[np.isfinite(values)] if values.dtype.kind == "f" else np.zeros(0)
    return bool(known.size and known.min() > 0 and known.max() > 100 * known.min())


def thinning(values: np.ndarray) -> np.ndarray:
    """Which rows of (marks, entries) are kept: of one entry the smallest and the largest of each
    stretch, so that no peak is lost; of more every k-th and the last."""
    count, width = values.shape
    if width == 1 and count > MARKS:
        column = np.nan_to_num(values[:, 0], posinf=np.nan, neginf=np.nan)
        stretches = np.array_split(np.arange(count), MARKS // 2)
        kept = [part[[np.argmin(column[part]), np.argmax(column[part])]] for part in stretches]
        return np.unique(np.concatenate([[0], *kept, [count - 1]]))
    most = max(2, min(MARKS, NUMBERS // max(width, 1)))
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def _series(record: Record, buffers: Buffers) -> tuple[list[dict], list[str]]:
    """(what was watched, what of it was left out in words)."""
    found, words = [], []
    for every, table in record.tables.items():
        due = due_marks(every, record.first, record.reached)
        for name, values in table.data_vars.items():
            if values.dtype.kind not in "fiub":
                words.append(f"{name}: no numbers to draw")
                continue
            count = min(len(due), len(values))
            rows = np.asarray(values.values, float)[:count].reshape(count, -1)
            if not rows.size:
                continue
            wide = rows.shape[1]
            rows = rows[:, : NUMBERS // 2]
            kept = thinning(rows)
            if len(kept) < count:
                words.append(f"{name}: {len(kept)} of {count} marks")
            if rows.shape[1] < wide:
                words.append(f"{name}: the first {rows.shape[1]} of {wide} entries")
            found.append(
                {
                    "is": "series",
                    "branch": "run",
                    "quantity": str(name),
                    "every": every,
                    "first": int(due[0]),
                    "count": len(kept),
                    "width": rows.shape[1],
                    "values": buffers.put(rows[kept]),
                    "x": buffers.put(due[kept], "i32"),
                }
            )
    return found, words


def _said(
    comparisons: tuple[Comparison, ...], record: Record, buffers: Buffers
) -> tuple[list[dict], list[dict]]:
    """(what theories predict at the marks, how far off each is there)."""
    marks, lines, errors = record.timeline.marks.times, [], []
    for one in comparisons:
        for row in one.rows:
            seen, said = one.seen[row.quantity], one.said[row.quantity]
            if "time" not in seen.dims:
                continue
            times, measured, predicted = matched(seen, said)
            if "time" not in said.dims:
                times, measured = seen["time"].values, seen.values
                predicted = np.broadcast_to(predicted, (len(times), *predicted.shape[1:]))
            flat = [np.asarray(v, float).reshape(len(times), -1) for v in (measured, predicted)]
            if not len(times) or flat[0].shape != flat[1].shape:
                continue
            kept = thinning(flat[1])
            at = np.searchsorted(marks, times[kept] - 1e-12 * max(1.0, float(abs(marks[-1]))))
            about = {"branch": "run", "theory": one.theory, "quantity": row.quantity}
            where = buffers.put(np.minimum(at, len(marks) - 1), "i32")
            lines.append(
                {
                    "is": "lines",
                    **about,
                    "width": flat[1].shape[1],
                    "marks": len(kept),
                    "values": buffers.put(flat[1][kept]),
                    "x": where,
                }
            )
            scale = np.nanmax(np.abs(flat[1]), initial=0.0) or 1.0
            with np.errstate(all="ignore"):
                gap = np.nanmax(np.abs(flat[0] - flat[1])[kept], axis=1, initial=0.0) / scale
            errors.append(
                {
                    "is": "errors",
                    **about,
                    "error": buffers.put(gap),
                    "x": where,
                    "tolerance": row.tolerance,
                    "verdict": row.verdict,
                }
            )
    return lines, errors


def _theories(shown: Shown, surveyed: dict | None, lines: list[dict]) -> list[dict]:
    """Those that are laid over the run, then those that were looked at."""
    found = []
    for one in shown.comparisons:
        found.append(
            {
                "name": one.theory,
                "title": one.theory,
                "source": one.source,
                "verdict": one.verdict,
                "applies": {"outside domain": False, "undecided": None}.get(one.verdict, True),
                "conditions": _conditions(plain.comparison(one)["conditions"]),
                "quantities": [x["quantity"] for x in lines if x["theory"] == one.theory],
            }
        )
    laid = {one.theory.lower() for one in shown.comparisons}
    for kind, said in (surveyed or {}).items():
        if kind.replace("-", "") not in laid:
            found.append(
                {
                    "name": kind,
                    "title": kind,
                    "source": said["source"],
                    "applies": bool(said["applies"]),
                    "conditions": _conditions(said["conditions"]),
                    "quantities": [],
                }
            )
    return found


def _conditions(said) -> list[dict]:
    return [
        {
            "claim": one["claim"],
            "value": one["value"],
            "bound": one["bound"],
            "holds": bool(one["holds"]) if one.get("decided", True) else None,
        }
        for one in said
    ]
