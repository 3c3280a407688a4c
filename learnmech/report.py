"""The report: what was run, seen and said on one self-contained page."""

import html
from pathlib import Path

import numpy as np

from learnmech.comparison import RULE, Check, Comparison
from learnmech.data.base import card
from learnmech.errors import plain
from learnmech.experiment import prepare
from learnmech.figures.style import svg
from learnmech.gallery.base import Shown
from learnmech.record.sealed import put, said_if_it_fails
from learnmech.schedules import Constant

STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid #ddd }
p.source, td.dim, p.dim { color: #595959 } table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .93rem }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #999 } th, td { padding: .22rem .8rem .22rem 0; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
pre { background: #f6f6f4; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.4 }
.verdict { font-weight: 700; white-space: nowrap } .holds { color: #00643c } .fails { color: #a02000 } .outside { color: #595959 }
figure { margin: 1rem 0 } figure svg { width: 100%; height: auto }
"""
SIGNS = {"holds": "✓ holds", "fails": "✗ fails", "outside domain": "○ outside domain", "within": "✓ within", "beyond": "✗ beyond", True: "✓ yes", False: "✗ no"}
CLASSES = {"holds": "holds", "within": "holds", True: "holds", "fails": "fails", "beyond": "fails", False: "fails", "outside domain": "outside"}


def write(shown: Shown, folder: Path) -> None:
    """figure.svg and report.html into a folder that exists."""
    drawn = svg(shown.figure())
    with said_if_it_fails(str(folder), f"Free some space; learnmech report {folder} makes the page again"):
        put(folder, "figure.svg", drawn.encode())
        put(folder, "report.html", page(shown, drawn).encode())


def page(shown: Shown, drawn: str) -> str:
    """The page as text: no script, nothing fetched."""
    exhibit, record = shown.exhibit, shown.record
    figure = f'<figure role="img" aria-label="{_text(exhibit.claim)}">{drawn[drawn.index("<svg") :]}</figure>'
    notes = "".join(f"<p><strong>Note.</strong> {_text(note)}</p>" for note in record.notes)
    parts = [
        f"<h1>{_text(exhibit.claim)}</h1>",
        f'<p class="source">{_text(exhibit.source)}</p>' if exhibit.source else "",
        f"<p>{_mark('holds' if shown.holds else 'fails')}</p>" if (shown.comparisons or shown.checks) and not shown.outside else "",
        notes,
        figure,
        *(_comparison(one) for one in shown.comparisons),
        _checks(shown.checks),
        f"<p>Tolerance: {_text(exhibit.reason)}.</p>" if exhibit.reason else "",
        f'<p class="dim">{_text(RULE)}</p>' if shown.comparisons else "",
        f"<h2>The data</h2><pre>{_text(_data_card(shown))}</pre>",
        f"<h2>The experiment</h2><pre>{_text(shown.experiment.text)}</pre>",
        f"<h2>Conventions</h2><pre>{_text(conventions(shown))}</pre>",
        f"<h2>Provenance</h2>{_table(('', ''), [(_text(name), _text(value)) for name, value in record.provenance.items()])}",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_text(exhibit.claim)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(part for part in parts if part) + "\n</body></html>\n"


def conventions(shown: Shown) -> str:
    """The loss's constant, the time axis and the scaling as they were in this run."""
    experiment = shown.experiment
    n = prepare(experiment).data.train.X.shape[0]
    loss = experiment.loss
    said = [loss.formula(n)]
    if getattr(loss, "ridge", None) is not None:
        said.append(f"ridge: + ({float(loss.ridge):g}/2) |params|^2")
    said.append("time t of the flow" if experiment.rule.flows else _time_of(experiment.rule))
    if hasattr(experiment.architecture, "scaling"):
        said.append(experiment.architecture.scaling.card())
    return "\n".join(said)


def _time_of(rule):
    rate = f"rate = {float(rule.rate):g}"
    return f"time t = step * rate, {rate}" if isinstance(rule.schedule, Constant) else f"time t = sum of rates, {rate} under {rule.schedule!r}"


def _text(value) -> str:
    return html.escape(plain(value), quote=True)


def _number(value) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return f"{float(value):.6g}" if isinstance(value, (int, float, np.number)) else _text(value)


def _mark(verdict) -> str:
    return f'<span class="verdict {CLASSES[verdict]}">{SIGNS[verdict]}</span>'


def _table(columns, rows, numeric=()) -> str:
    kind = ['class="number"' if place in numeric else "" for place in range(len(columns))]
    head = "".join(f"<th {k}>{c}</th>" for k, c in zip(kind, columns, strict=True))
    body = "".join("<tr>" + "".join(f"<td {k}>{cell}</td>" for k, cell in zip(kind, row, strict=True)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _comparison(one: Comparison) -> str:
    rows = [
        (_text(r.quantity), _number(r.measured), _number(r.predicted), _number(r.time), f"{r.error:.2g}", f"{r.tolerance:.2g}", _mark(r.verdict))
        for r in one.rows
    ]
    columns = ("quantity", "measured", "predicted", "at time", "error", "tolerance", "")
    conditions = [(_text(c.claim), _number(c.value), _number(c.bound), _mark(bool(c.holds))) for c in one.conditions]
    return (
        f'<h2>{_text(one.theory)}: {_mark(one.verdict)}</h2><p class="source">{_text(one.source)}</p>'
        + (_table(columns, rows, range(1, 6)) if rows else "<p>Nothing is predicted here.</p>")
        + (_table(("condition", "value", "bound", "holds"), conditions, (1, 2)) if conditions else "")
    )


def _checks(checks: tuple[Check, ...]) -> str:
    if not checks:
        return ""
    signs = {"below": "&lt; ", "above": "&gt; ", "within": ""}
    rows = []
    for c in checks:
        within = c.bound == "within"
        error = (f"{c.error:.2g}", f"{c.tolerance:.2g}") if within else ("", "")
        rows.append(
            (_text(c.claim), _number(c.measured), signs[c.bound] + _number(c.predicted), *error, _mark("holds" if c.holds else "fails"), _text(c.reason))
        )
    return "<h2>Checks</h2>" + _table(("claim", "measured", "predicted", "error", "tolerance", "", "reason"), rows, (1, 2, 3, 4))


def _data_card(shown: Shown) -> str:
    return str(card(prepare(shown.experiment).data.train))
