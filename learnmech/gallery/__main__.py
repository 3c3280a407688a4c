"""The page of exhibits, from the catalogue: `python -m learnmech.gallery > docs/gallery.md`."""

from learnmech.language import catalog

HEAD = """# The exhibits

Each is a claim that can be run: `learnmech run NAME`, or `learnmech run NAME --small` for its twin
of some seconds. `learnmech check NAME` says whether it holds here. Knobs may be turned, as in
`learnmech run saxe-modes rule.rate=0.005`; where that leaves what the claim speaks of, the verdict
says so. `learnmech list gallery NAME` is the page of one: what it takes for granted, its knobs, its
experiment as text and as a program. In Python an exhibit's experiment is
`lm.catalog.exhibit("saxe-modes").experiment()`.

Made from the catalogue by `python -m learnmech.gallery > docs/gallery.md`.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [HEAD, "| exhibit | claim | source |", "|---|---|---|"]
    for entry in catalog.exhibits().values():
        cells = (f"`{entry.name}`", entry.claim, entry.source)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
