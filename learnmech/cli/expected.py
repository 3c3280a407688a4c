"""What a command will take, before it is done: measured where it can be, from what an exhibit took before where not."""

import dataclasses

from learnmech.errors import plain
from learnmech.estimates import Estimate, check_room, room
from learnmech.figures.panels import in_order
from learnmech.gallery.base import Exhibit, fitting
from learnmech.gallery.costs import COSTS
from learnmech.logs import LOG
from learnmech.pace import measured
from learnmech.stages import Course

# Seconds of a page and of each of its panels, and of laying one theory over a record, on one core at 2.5 GHz.
PAGE, PANEL, THEORY = 1.5, 0.35, 0.5


def checked_aloud(exhibit: Exhibit) -> Exhibit:
    """The exhibit, which says when its further checks begin: they may run more experiments."""
    if exhibit.verify is None:
        return exhibit

    def verify(shown):
        LOG.info("checking what else it claims, which may run more experiments")
        return exhibit.verify(shown)

    return dataclasses.replace(exhibit, verify=verify)


def expected(name: str, exhibit: Exhibit, knobs: dict, start, until: str | None, target, told) -> Estimate:
    """The estimate of a whole command, part by part; what does not fit on the disk is refused before anything is computed."""
    course = Course(start)
    watch = fitting(exhibit.watch, start) if knobs else exhibit.watch
    space = room(course, watch)
    check_room("run", space[0] + space[2], target)
    told.settle()
    if start.data.said:
        told.tell(f"{name}: data: {plain(start.data.said)}")  # before the run goes on: a table that was read amiss can still be stopped
    told.enter("compiling")
    pace = measured(course, watch, until)
    parts = {"preparing": told.spent.get("preparing", 0.0)} | pace.parts(course)
    parts |= _afterwards(name, exhibit, knobs, parts, start, watch)
    return Estimate(sum(parts.values()), *space, tuple(parts.items()))


def _afterwards(name, exhibit, knobs, parts, start, watch) -> dict[str, float]:
    """What comes behind the run: theories, an exhibit's checks with their further runs, the page."""
    run = parts["compiling"] + parts["steps"] + parts["instruments"]
    panels = len(in_order(q.name for one in watch for q in one.quantities(start.system, start.state.params)))
    dear = sum(bool(getattr(theory, "dear", False)) for theory in exhibit.theories)
    after = {"theories": THEORY * (1 + len(exhibit.theories)) + dear * run, "report": PAGE + PANEL * panels}
    if name in COSTS:
        ran, further = COSTS[name]
        # what it took where it was measured, as much more as the run itself takes now: further runs are like the first
        after["theories"] = 0.0
        after["checks and further runs"] = further * min(max(run / max(ran, 1e-3), 0.2), 100.0)
    return after
