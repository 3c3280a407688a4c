"""What a command will take, before it is done: measured where it can be, from what an exhibit
took before where not."""

import dataclasses
import importlib
import sys

from learnmech.errors import plain
from learnmech.figures.panels import in_order
from learnmech.gallery.base import Exhibit, fitting
from learnmech.gallery.costs import COSTS
from learnmech.machine.logs import LOG
from learnmech.march.timeline import Timeline
from learnmech.runs.estimates import Estimate, check_room, room
from learnmech.runs.pace import measured

# Seconds of what cannot be measured before it is done, as measured on two cores that took LOADING
# seconds to import what a run folder and a figure need: of a page and of each of its panels, of
# laying one theory over a record, and of looking which theories apply.
LOADING, PAGE, PANEL, THEORY, SURVEY = 1.5, 1.0, 0.35, 0.5, 2.0
# Readings and theories of the whole landscape take about so many steps' time.
SURVEY_STEPS = 150


def checked_aloud(exhibit: Exhibit) -> Exhibit:
    """The exhibit, which says when its further checks begin: they may run more experiments."""
    check = exhibit.verify
    if check is None:
        return exhibit

    def verify(shown):
        LOG.info("checking what else it claims, which may run more experiments")
        return check(shown)

    return dataclasses.replace(exhibit, verify=verify)


def expected(
    name: str, exhibit: Exhibit, knobs: dict, start, until: str | None, target, told
) -> Estimate:
    """The estimate of a whole command, part by part; what does not fit on the disk is refused
    before anything is computed.

    What is done when it is said (preparing, loading, compiling) is in it as it was measured,
    running is measured by a few steps and readings, and the rest is what it took elsewhere, as much
    longer as loading took here.
    """
    timeline = Timeline(start)
    watch = fitting(exhibit.watch, start) if knobs else exhibit.watch
    space = room(timeline, watch)
    check_room("run", space[0] + space[2], target)
    told.settle()
    if start.data.said:
        told.tell(
            f"{name}: data: {plain(start.data.said)}"
        )  # before the run goes on: a table that was read amiss can still be stopped
    told.enter("loading")
    fresh = "matplotlib.figure" not in sys.modules
    for module in NEEDED:
        importlib.import_module(module)
    told.enter("compiling")
    pace = measured(timeline, watch, until)
    told.leave()
    slow = min(max(told.spent["loading"] / LOADING, 0.5), 4.0) if fresh else 1.0
    ahead = pace.parts(timeline)
    # the programs of later stages, after an event, are compiled when they come
    parts = dict(told.spent) | {
        "compiling": told.spent["compiling"] + ahead["compiling"] - pace.compiling
    }
    parts |= {"steps": ahead["steps"], "instruments": ahead["instruments"]}
    parts |= _afterwards(name, exhibit, knobs, pace, parts, start, watch, slow)
    return Estimate(sum(parts.values()), *space, tuple(parts.items()))


def uncounted(name: str, exhibit: Exhibit) -> str:
    """What is not in an estimate, in words: checks whose cost nobody has measured."""
    return (
        "; its checks, which may run more experiments, are not in it"
        if exhibit.verify is not None and name not in COSTS
        else ""
    )


NEEDED = ("xarray", "zarr", "learnmech.figures.sheets")


def _afterwards(name, exhibit, knobs, pace, parts, start, watch, slow) -> dict[str, float]:
    """What comes behind the run: theories, an exhibit's checks with their further runs, the
    page."""
    running = parts["steps"] + parts["instruments"]
    panels = len(
        in_order(q.name for one in watch for q in one.quantities(start.system, start.state.params))
    )
    # by itself every quantity has a panel, and one more in each theory that is laid over it
    panels *= 1 + len(exhibit.theories)
    after = {}
    if name in COSTS:
        cost = COSTS[name]
        # compiling takes as much longer or shorter as that of the run itself did; further runs are
        # like the first
        compiling = cost.further_compiling * min(
            max(pace.compiling / max(cost.compiling, 0.1), 0.2), 3.0
        )
        after["checks and further runs"] = compiling + cost.further * min(
            max(running / max(cost.running, 0.05), 0.2), 1000.0
        )
    else:
        dear = sum(bool(getattr(theory, "dear", False)) for theory in exhibit.theories)
        after["theories"] = slow * THEORY * len(exhibit.theories) + dear * running
    if "which theories apply" not in parts:
        after["which theories apply"] = slow * SURVEY + (
            0.0 if start.rule.flows else SURVEY_STEPS * pace.step
        )
    return after | {"report": slow * (PAGE + PANEL * panels)}
