"""The docs' site before it is built: the pages of `docs/`, and of every exhibit one made from its
own run: `python -m learnmech.verbs.site build/docs [--full] [NAME ...]`.

After Zensical has built it, `python -m learnmech.verbs.site --finish site` makes it whole without
a network, and says which links lead nowhere.
"""

import re
import shutil
import sys
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from learnmech.gallery.__main__ import HEAD
from learnmech.language import catalog
from learnmech.verbs.showcases import all_of
from learnmech.verbs.works import ready

KEPT = Path(".cache/docs")
# what the search takes to work on file://, wherever it would be fetched from
FAR = re.compile(r"https://[^\s\"']*/iframe-worker/shim")
NEAR = "assets/iframe-worker.js"


def write(out: Path, small: bool = True, names: list[str] | None = None) -> None:
    """The pages into a folder: those of `docs/` as they are, and the gallery's. Exhibits that
    are not named are left out, where any is."""
    ready()
    shutil.copytree("docs", out, dirs_exist_ok=True)
    chosen = list(names or catalog.exhibits())
    found = all_of(chosen, small, KEPT / ("small" if small else "full"))
    gallery = out / "gallery"
    gallery.mkdir(exist_ok=True)
    for place, (name, said) in enumerate(found.items()):
        beside = (chosen[place - 1], chosen[(place + 1) % len(chosen)])
        (gallery / f"{name}.md").write_text(exhibit_page(said, beside), encoding="utf-8")
        shutil.copy(said["folder"] / "figure.svg", gallery / f"{name}.svg")
        shutil.copy(said["folder"] / "report.html", gallery / f"{name}-report.html")
    (out / "gallery.md").write_text(cards(found), encoding="utf-8")


def cards(found: dict[str, dict]) -> str:
    """The page of all exhibits, each as a card with its picture, its claim and its verdict."""
    lines = ["---\nhide: [navigation, toc]\n---\n", HEAD.rpartition("\nMade from")[0]]
    lines.append('<div class="exhibits">')
    for name, said in found.items():
        verdict = said["result"]["verdict"]
        lines.append(
            f'<a class="exhibit" href="gallery/{name}.html"><img loading="lazy" alt=""'
            f' src="gallery/{name}.svg"><strong>{name}</strong><span>{safe(said["page"]["claim"])}'
            f"</span>{marked(verdict)}</a>"
        )
    return "\n".join([*lines, "</div>", ""])


def exhibit_page(said: dict, beside: tuple[str, str]) -> str:
    """The page of one exhibit, of what was performed: claim, figure, verdict, errors, code."""
    page, result = said["page"], said["result"]
    name, twin = page["name"], "its small twin" if result["small"] else "the whole of it"
    parts = [
        f"# {name}",
        f"**{prose(page['claim'])}**",
        f"{marked(result['verdict'])} on this page's own run, {twin}, which took"
        f" {result['seconds']:.0f} s. Source: {prose(page['source'])}.",
        f"![{safe(page['claim'])}]({name}.svg)",
        f"[The whole report]({name}-report.html) has every quantity that was watched, the data,"
        " the experiment and its provenance on one page.",
        prose(page["shows"]),
        *_measured(result, page["reason"]),
        *_code(page),
        f"[All exhibits](../gallery.md) · before this [{beside[0]}]({beside[0]}.md) · after it"
        f" [{beside[1]}]({beside[1]}.md)",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(result: dict, reason: str) -> list[str]:
    parts = ["## Measured and predicted"]
    parts += [f"*{prose(note)}*" for note in result["notes"]]
    for one in result["comparisons"]:
        parts.append(
            f"Theory **{one['theory']}** ({prose(one['source'])}): {marked(one['verdict'])}"
        )
        if one["rows"]:
            rows = [
                (
                    f"`{row['quantity']}`",
                    number(row["error"]),
                    number(row["tolerance"]),
                    row["verdict"],
                )
                for row in one["rows"]
            ]
            parts.append(table(("quantity", "error", "tolerance", "verdict"), rows))
        held = [
            (prose(c["claim"]), value(c["value"]), value(c["bound"]), "yes" if c["holds"] else "no")
            for c in one["conditions"]
        ]
        parts.append(table(("condition", "value", "bound", "holds"), held))
    if result["checks"]:
        head = ("check", "measured", "predicted", "tolerance", "verdict", "why this tolerance")
        checked = [
            (
                prose(one["claim"]),
                number(one["measured"]),
                number(one["predicted"]),
                number(one["tolerance"]),
                one["verdict"],
                prose(one["reason"]),
            )
            for one in result["checks"]
        ]
        parts.append(table(head, checked))
    return [*parts, f"Tolerance: {prose(reason)}." if reason else ""]


def _code(page: dict) -> list[str]:
    name = page["name"]
    twin = ", ".join(f"`{path}` = `{shown}`" for path, shown in page["twin"].items())
    free = ", ".join(f"`{knob}`" for knob in page["free"])
    return [
        "## Run it",
        f"```sh\nlearnmech run {name} --small\nlearnmech run {name}\nlearnmech check {name}\n```",
        f"```python\n{page['python'].strip()}\n```",
        f"<details markdown>\n<summary>As text</summary>\n\n```toml\n{page['toml'].strip()}\n```\n"
        "\n</details>",
        f"Its twin (`--small`) has {twin}." if twin else "Its twin (`--small`) is itself.",
        f"Its checks are still made where these knobs are turned: {free}."
        if page["checks"]
        else "",
        "They speak where: " + prose("; ".join(page["premises"])) + "." if page["premises"] else "",
    ]


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """A table as Markdown."""
    cells = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in row) + " |"
        for row in cells
    )


def number(found) -> str:
    """A number to three digits."""
    return f"{found:.3g}" if isinstance(found, (int, float)) else value(found)


def value(found) -> str:
    """A value of a condition, to four digits where it is a number."""
    if isinstance(found, bool) or found is None:
        return str(found)
    return f"{found:.4g}" if isinstance(found, (int, float)) else prose(str(found))


def marked(verdict: str) -> str:
    """A verdict, marked by a class and not by its color alone."""
    sign = "✓" if verdict == "holds" else "✗" if verdict == "fails" else "–"
    return f'<span class="verdict {verdict.split()[0]}">{sign} {verdict}</span>'


def safe(words: str) -> str:
    """Words as text within an HTML element or a picture's caption."""
    return escape(" ".join(words.split()), quote=True).replace("[", "(").replace("]", ")")


def prose(words: str) -> str:
    """Plain words as Markdown: what would be markup is shown; `code` and paragraphs stay."""
    pieces = words.split("`")
    for place in range(0, len(pieces), 2):
        piece = escape(pieces[place], quote=False)
        pieces[place] = re.sub(r"([*$\[\]])", r"\\\1", piece)
    return "`".join(pieces)


def finish(site: Path) -> list[str]:
    """Make the built site whole without a network, and return what in it leads nowhere or
    elsewhere than it should: broken links, and scripts, styles or pictures of other places."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if FAR.search(page):
            up = "../" * (len(path.relative_to(site).parts) - 1)
            path.write_text(FAR.sub(up + NEAR, page), encoding="utf-8")
    return broken(site)


LINK = re.compile(r"<(\w+)\b[^>]*?\b(href|src)=[\"']?([^\"'\s>]+)", re.S)
NAMED = re.compile(r"\b(?:id|name)=[\"']?([^\"'\s>]+)")


def broken(site: Path) -> list[str]:
    """`page: link` of every relative link, picture, script or anchor of a built site that leads
    nowhere, and of all but plain links that leave it."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    names = {path: set(NAMED.findall(page)) for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        here = path.relative_to(site)
        if here.name == "404.html":  # its links begin at wherever the site will stand
            continue
        for tag, _, target in LINK.findall(
            re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", page, flags=re.S)
        ):
            link = urlsplit(target)
            if link.scheme or link.netloc:
                if tag != "a" and link.scheme != "data":
                    found.append(f"{here}: {target} is fetched from elsewhere")
                continue
            there = path if not link.path else (path.parent / unquote(link.path)).resolve()
            there = there / "index.html" if there.is_dir() else there
            if not there.exists():
                found.append(f"{here}: {target}")
            elif link.fragment and unquote(link.fragment) not in names.get(there, {link.fragment}):
                found.append(f"{here}: {target}, no such place on that page")
        for target in re.findall(r"<script\b[^>]*\bsrc=[\"']?([^\"'\s>]+)", page):
            if urlsplit(target).netloc:
                found.append(f"{here}: {target} is fetched from elsewhere")
            elif not (path.parent / target).exists():
                found.append(f"{here}: {target}")
    return found


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--finish"]:
        faults = finish(Path(given[1]).resolve())
        sys.exit("\n".join(faults) or None)
    names = [one for one in given[1:] if one != "--full"]
    write(Path(given[0]), "--full" not in given, names)
