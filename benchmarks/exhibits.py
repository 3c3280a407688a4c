"""What each exhibit's twin takes, for the estimates of `learnmech run`: `python -m
benchmarks.exhibits [NAME ...]` rewrites gallery/costs.py.

Each twin runs in a process of its own, in which nothing is compiled yet. Seconds are of CPU, so
that what else the machine does moves them little.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from learnmech.gallery.costs import COSTS, Cost
from learnmech.language import catalog

FILE = Path(catalog.__file__).parents[1] / "gallery" / "costs.py"


def measured(name: str) -> Cost:
    """The cost of one twin, in a fresh process."""
    call = [sys.executable, "-c", f"from benchmarks import exhibits; exhibits.tell({name!r})"]
    return Cost(
        *json.loads(
            subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
    )


def tell(name: str) -> None:
    """Perform a twin twice, and print what it took as JSON: what the second time does not take
    again was compiling."""
    from learnmech.gallery.base import perform

    def once():
        at_end, clock = [], time.process_time
        began = clock()
        perform(
            catalog.exhibit(name), small=True, progress=lambda _: at_end.append(clock() - began)
        )
        return at_end[-1], clock() - began - at_end[-1]

    (ran, followed), (again, followed_again) = once(), once()
    cost = Cost(ran - again, again, followed - followed_again, followed_again)
    print(json.dumps([round(max(seconds, 0.0), 2) for seconds in cost]))


def written(costs: dict[str, Cost]) -> str:
    """The file with these costs."""
    head = FILE.read_text(encoding="utf-8").split("COSTS:")[0]
    rows = "".join(
        f'    "{name}": Cost({", ".join(map(str, cost))}),\n'
        for name, cost in sorted(costs.items())
    )
    return f"{head}COSTS: dict[str, Cost] = {{\n{rows}}}\n"


def main(names: list[str]) -> None:
    """Measure these, or all, one after the other."""
    costs = {name: cost for name, cost in COSTS.items() if name in catalog.exhibits()}
    for name in names or catalog.exhibits():
        costs[name] = measured(name)
        print(name, *costs[name], flush=True)
        FILE.write_text(written(costs), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
