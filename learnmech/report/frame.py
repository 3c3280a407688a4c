"""The frame of every page: its style in light and dark, and how figures and folds stand in it."""

import base64
import hashlib
import html
from typing import TYPE_CHECKING

from learnmech.errors import plain
from learnmech.figures.style import svg
from learnmech.language.display.table import as_html
from learnmech.record.identity import contents

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --quiet: #595959; --line: #ccc;
  --block: #f6f6f4;
  --good: #00643c; --bad: #a02000; --open: #7a5900 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #191919; --quiet: #a8a8a8;
  --line: #555; --block: #262626;
  --good: #58d0a0; --bad: #ff8f73; --open: #e8c05a }
  /* lightness turned around, hues kept: what was white is the paper's #191919 */
  figure svg, figure img { filter: invert(.902) hue-rotate(180deg) } }
body { font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink);
  background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid var(--line) }
p.source, p.dim { color: var(--quiet); margin: .3rem 0 } .wide { overflow-x: auto }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .93rem }
th { text-align: left; font-weight: 600; border-bottom: 1px solid var(--quiet) }
th, td { padding: .22rem .8rem .22rem 0; vertical-align: top; overflow-wrap: break-word;
  max-width: 40rem }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td.words { white-space: normal; min-width: 8rem }
pre { background: var(--block); padding: .8rem 1rem; font-size: .85rem; line-height: 1.4;
  white-space: pre-wrap; overflow-wrap: anywhere }
.lm-good, .lm-bad, .lm-open, .lm-quiet { font-weight: 700; white-space: nowrap }
.lm-good { color: var(--good) } .lm-bad { color: var(--bad) } .lm-open { color: var(--open) }
  .lm-quiet { color: var(--quiet) }
figure { margin: 1rem 0; overflow-x: auto } figure svg, figure img { width: 100%;
  min-width: 36rem; height: auto }
#learnmech-screen { margin: 1rem 0 1.6rem }
details { margin: .6rem 0 } summary { cursor: pointer }
@media print { details { display: block } figure { break-inside: avoid } }
"""


def safe(value) -> str:
    """A text as text in HTML."""
    return html.escape(plain(value), quote=True)


def page_of(title: str, parts: list[str], script: str = "") -> str:
    """A whole page, on which the `script` given may run and nothing else, and which may fetch
    nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    may = f"'sha256-{digest}'" if script else "'none'"
    policy = (
        f"default-src 'none'; script-src {may};"
        " style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport"'
        f' content="width=device-width"><title>{safe(title)}</title><style>{STYLE}</style>'
    )
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def figure_of(drawn: str, says: str) -> str:
    """An SVG text as a figure of a page."""
    return f'<figure role="img" aria-label="{safe(says)}">{drawn[drawn.index("<svg") :]}</figure>'


def untitled(figure: "Figure") -> str:
    """The figure as SVG without the title that the page has already."""
    if figure.get_suptitle():
        figure.suptitle("").set_in_layout(False)
        figure.set_layout_engine("constrained")
    return svg(figure)


def folded(summary: str, inside: str, opened: bool = False) -> str:
    """What opens at a click."""
    return (
        f"<details{' open' if opened else ''}><summary>{safe(summary)}</summary>{inside}</details>"
    )


def provenance_of(said: dict) -> str:
    """Where it comes from, as a table."""
    plain_facts = [
        (name, value) for name, value in said.items() if name not in ("data", "code", "data_read")
    ]
    rows = "".join(
        f"<tr><td>{safe(name)}</td><td>{safe(value)}</td></tr>"
        for name, value in (*plain_facts, *contents(said))
    )
    return f'<h2>Provenance</h2><div class="wide"><table><tbody>{rows}</tbody></table></div>'


def tables_of(*tables) -> str:
    """Tables of a page, those with nothing in them left out; a title is a heading."""
    return "".join(as_html(table, "h2") for table in tables if table.rows or table.title)
