"""What each exhibit's twin takes, for the estimates of `learnmech run`: `python -m benchmarks.exhibits [NAME ...]` rewrites gallery/costs.py."""

import dataclasses
import sys
import time
from pathlib import Path

from learnmech import catalog
from learnmech.gallery.base import perform
from learnmech.gallery.costs import COSTS

FILE = Path(catalog.__file__).parent / "gallery" / "costs.py"


def measured(name: str) -> tuple[float, float]:
    """(seconds of CPU of the twin's own run, of all that follows it)."""
    spent, clock = [], time.process_time
    began, exhibit = clock(), catalog.exhibit(name)

    def shown(progress):
        spent.append(clock())

    perform(dataclasses.replace(exhibit), small=True, progress=shown)
    return round(spent[-1] - began, 2), round(clock() - spent[-1], 2)


def written(costs: dict) -> str:
    """The file with these costs."""
    head = FILE.read_text(encoding="utf-8").split("COSTS:")[0]
    rows = "".join(f'    "{name}": ({run}, {further}),\n' for name, (run, further) in sorted(costs.items()))
    return f"{head}COSTS: dict[str, tuple[float, float]] = {{\n{rows}}}\n"


def main(names: list[str]) -> None:
    """Measure these, or all, one after the other."""
    costs = {name: cost for name, cost in COSTS.items() if name in catalog.exhibits()}
    for name in names or catalog.exhibits():
        costs[name] = measured(name)
        print(name, *costs[name], flush=True)
        FILE.write_text(written(costs), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
