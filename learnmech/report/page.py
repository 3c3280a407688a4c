"""The page of a run: the claim and its figure, every theory and check, all that was watched, and
what a reader needs to believe it."""

from pathlib import Path

from learnmech.comparison.domains import survey
from learnmech.comparison.verdicts import RULE
from learnmech.data.cards import described
from learnmech.errors import Refused
from learnmech.figures.curves import curves, drawn_names
from learnmech.figures.overlay import overlaid_names, overlay
from learnmech.figures.style import svg
from learnmech.gallery.base import Shown, draw_overlay, foremost
from learnmech.language.display import plain, results
from learnmech.language.display.table import Mark, as_html, marked
from learnmech.machine.logs import LOG
from learnmech.record.sealed import put, said_if_it_fails
from learnmech.report.embedded import embedded
from learnmech.report.frame import (
    figure_of,
    folded,
    page_of,
    provenance_of,
    safe,
    tables_of,
    untitled,
)
from learnmech.rules.schedules import Constant
from learnmech.screen import source

PANELS = 6  # quantities to a figure
# Hidden until the module has something to show in it, so that without scripts nothing is missing.
ALIVE = (
    '<div id="learnmech-screen" role="region" aria-label="The run, to be scrubbed and zoomed"'
    " hidden></div>"
)


def write(shown: Shown, folder: Path, theories: dict | None = None) -> None:
    """figure.svg and report.html into a folder that exists; `theories` as `domains.survey` gives
    them, where they are known."""
    LOG.info("drawing the figure")
    figure = shown.figure()
    LOG.info("writing the report")
    with said_if_it_fails(
        str(folder), f"Free some space; learnmech report {folder} makes the page again"
    ):
        put(folder, "figure.svg", svg(figure).encode())
        put(folder, "report.html", page(shown, untitled(figure), theories).encode())


def page(shown: Shown, drawn: str, theories: dict | None = None) -> str:
    """The page as text, in one file with nothing fetched: figures and tables that are complete by
    themselves, and above them the same curves to be scrubbed and zoomed where scripts run."""
    exhibit, record = shown.exhibit, shown.record
    verdict = getattr(
        shown, "verdict", "outside domain" if shown.outside else "holds" if shown.holds else "fails"
    )
    judged = shown.comparisons or shown.checks
    parts = [
        f"<h1>{safe(exhibit.claim)}</h1>",
        f'<p class="source">{safe(exhibit.source)}</p>' if exhibit.source else "",
        f"<p>{marked(Mark(verdict))}</p>" if judged else "",
        "".join(f"<p><strong>Note.</strong> {safe(note)}</p>" for note in record.notes),
        ALIVE,
        figure_of(drawn, exhibit.claim),
        *(_comparison(one) for one in shown.comparisons),
        _checks(shown),
        f"<p>Tolerance: {safe(exhibit.reason)}.</p>" if exhibit.reason else "",
        f'<p class="dim">{safe(RULE)}</p>' if shown.comparisons else "",
        _domain(shown, theories),
        _watched(shown),
        f"<h2>The data</h2>{_data_card(shown)}{_data_read(shown)}",
        f"<h2>The experiment</h2><pre>{safe(shown.experiment.text)}</pre>",
        f"<h2>Conventions</h2><pre>{safe(conventions(shown))}</pre>",
        provenance_of(record.provenance),
    ]
    return alive(exhibit.claim, parts, shown, theories)


def alive(title: str, parts: list[str], shown: Shown, theories: dict | None) -> str:
    """The page with its data and the module that shows them; without either where nothing was
    watched."""
    if not shown.record.reached or not shown.record.names:
        return page_of(title, [part for part in parts if part is not ALIVE])
    module, data = source("report"), embedded(shown, theories)
    scripts = (
        f'<script type="application/json" id="learnmech-data">{data}</script>'
        f'<script type="module">{module}</script>'
    )
    return page_of(title, [*parts, scripts], module)


def conventions(shown: Shown) -> str:
    """The loss's constant, the time axis and the scaling as they were in this run."""
    experiment = shown.experiment
    n = shown.record.start.data.train.X.shape[0]
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
    return (
        f"time t = step * rate, {rate}"
        if isinstance(rule.schedule, Constant)
        else f"time t = sum of rates, {rate} under {rule.schedule!r}"
    )


def _comparison(one) -> str:
    said = plain.comparison(one)
    return tables_of(results.comparison(said), results.conditions(said["conditions"]))


def _checks(shown) -> str:
    if not shown.checks:
        return ""
    return "<h2>Checks</h2>" + as_html(results.checks(plain.checks(shown.checks)))


def _domain(shown, theories) -> str:
    """Why no theory is laid over a run of one's own, and which are nearest."""
    if shown.comparisons or shown.checks:
        return ""
    said = survey(shown.record.start) if theories is None else theories
    applies = [kind for kind, one in said.items() if one["applies"]]
    if applies:
        why = (
            f"No theory is laid over this run: {', '.join(applies)} apply here, but predict nothing"
            " of what was watched, or only a limit or a mean over seeds."
        )
    else:
        why = (
            "No theory is laid over this run: none of them applies here. The nearest are those of"
            " which the fewest conditions fail."
        )
    return f"<h2>Theory</h2><p>{safe(why)}</p>" + as_html(results.domain(said))


def _watched(shown) -> str:
    """Everything that was watched: a table, and figures, those beyond the first folded; nothing
    is left out."""
    record = shown.record
    said = {}
    for every, table in record.tables.items():
        for name, variable in table.data_vars.items():
            said[str(name)] = {"every": every, **results.ends(variable)}
    parts = ["<h2>What was watched</h2>", as_html(results.quantities(said))]
    names = drawn_names(record)
    by_itself = shown.exhibit.draw is draw_overlay and not any(
        one.rows for one in shown.comparisons
    )
    drawn = names[:PANELS] if by_itself else []  # in the figure above
    left = [name for name in names if name not in drawn]
    for at in range(0, len(left), PANELS):
        some = tuple(left[at : at + PANELS])
        LOG.info("drawing %s", ", ".join(some))
        figure = figure_of(untitled(curves(record, names=some)), ", ".join(some))
        parts.append(folded(", ".join(some), figure, opened=at == 0 and not by_itself))
    for one in shown.comparisons:
        laid = overlaid_names(one)
        main = one is foremost(shown.comparisons) and (
            shown.exhibit.draw is draw_overlay or shown.outside
        )
        for first in range(0, len(laid), PANELS):
            if main and first == 0:
                continue
            some = tuple(laid[first : first + PANELS])
            title = f"{one.theory}, measured and predicted: {', '.join(some)}"
            parts.append(folded(title, figure_of(untitled(overlay(one, names=some)), title)))
    return "".join(parts)


def _data_read(shown) -> str:
    said = shown.record.provenance.get("data_read", "")
    return f"<p>As it was read: {safe(said)}.</p>" if said else ""


def _data_card(shown) -> str:
    try:
        return "".join(map(as_html, described(shown.record.start.data)))
    except (Refused, ValueError, TypeError) as error:  # data that have no spectra
        return f'<p class="dim">{safe(error)}</p>'
