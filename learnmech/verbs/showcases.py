"""Showcases: exhibits performed for their pages on the docs' site, and kept until anything that
they hang on changes."""

import functools
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from learnmech import report
from learnmech.gallery import pages
from learnmech.gallery.base import perform
from learnmech.language import catalog
from learnmech.language.display import plain
from learnmech.machine.backend import relieve
from learnmech.report.frame import untitled

HOUSE = Path(catalog.__file__).parents[1]
# No exhibit's numbers, figure or report come from these.
ABOVE = ("cli", "gallery", "lab", "screen", "verbs")


def showcase(name: str, small: bool, kept: Path) -> Path:
    """The folder of an exhibit as performed: `case.json` (its page and result), `figure.svg` and
    `report.html`; taken from `kept` where it was performed before and nothing has changed since.

    Changed is the experiment's fingerprint, the exhibit's file, or a source of any room below the
    gallery.
    """
    folder, key = kept / name, key_of(name, small)
    case = folder / "case.json"
    if case.is_file() and json.loads(case.read_text(encoding="utf-8"))["key"] == key:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    case.unlink(missing_ok=True)
    relieve()
    began = time.perf_counter()
    shown = perform(catalog.exhibit(name), small)
    seconds = time.perf_counter() - began
    (folder / "figure.svg").write_text(untitled(shown.figure()), encoding="utf-8")
    (folder / "report.html").unlink(missing_ok=True)
    report.save(shown, folder / "report.html")
    result = {
        "verdict": shown.verdict,
        "comparisons": [plain.comparison(one) for one in shown.comparisons],
        "checks": plain.checks(shown.checks),
        "notes": list(shown.record.notes),
        "fingerprint": shown.experiment.fingerprint,
        "seconds": seconds,
        "small": small,
    }
    said = {"key": key, "page": pages.described(name), "result": result}
    case.write_text(json.dumps(said, default=str), encoding="utf-8")  # last: with it, it is whole
    return folder


def key_of(name: str, small: bool) -> str:
    """What an exhibit's page hangs on, as one digest."""
    entry, exhibit = catalog.exhibits()[name], catalog.exhibit(name)
    experiment = exhibit.changed(exhibit.twin if small else {})
    own = HOUSE / "gallery" / f"{entry.module.rpartition('.')[2]}.py"
    words = f"{small} {experiment.fingerprint} {sources()}".encode() + own.read_bytes()
    return hashlib.sha256(words).hexdigest()


@functools.cache
def sources() -> str:
    """A digest of what all exhibits share: the rooms below the gallery, and its base."""
    found = hashlib.sha256()
    files = [path for path in HOUSE.rglob("*.py") if path.relative_to(HOUSE).parts[0] not in ABOVE]
    for path in sorted([*files, HOUSE / "gallery" / "base.py"]):
        found.update(str(path.relative_to(HOUSE)).encode() + path.read_bytes())
    return found.hexdigest()


def all_of(
    names: list[str], small: bool, kept: Path, told: Callable[[str], None] = print
) -> dict[str, dict]:
    """{name: what is said of it, with its `folder`}, performed one after the other."""
    found = {}
    for place, name in enumerate(names, 1):
        began = time.perf_counter()
        folder = showcase(name, small, kept)
        said = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        seconds = time.perf_counter() - began
        told(f"{place}/{len(names)} {name}: {said['result']['verdict']}, {seconds:.1f} s")
        found[name] = said | {"folder": folder}
    return found
