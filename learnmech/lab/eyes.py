"""The eyes of a session: what is looked at, at the cursor and over time, while runs go on."""

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from learnmech.comparison.divergence import twins
from learnmech.comparison.domains import survey
from learnmech.errors import Refused, nearest, refused, saying
from learnmech.lab import catalog as known
from learnmech.lab import exports, panels
from learnmech.lab.branches import Branch
from learnmech.lab.clients import Client, Panel, status_of
from learnmech.lab.frames import Buffers, Message
from learnmech.lab.theory import Over
from learnmech.language import catalog
from learnmech.machine.logs import LOG
from learnmech.studies.ladders.paths import Rungs, both

if TYPE_CHECKING:
    from learnmech.lab.session import Session

PANELS_MOST = 64
NAME_MOST = 200
GLANCE = 0.1
"""Seconds between two looks at what is shown at the newest state, at least."""
SHARE = 8
"""A look that takes t seconds is not taken again for so many times t: an eighth of a core at
most."""
RESTED = 2.0
"""Seconds without another branch, after which theories are asked of the last one: that takes Python
for seconds, which a run's first blocks and their way to the screen need."""
COARSE = 1.0
"""Seconds between two courses of a theory's error."""


class Eyes:
    """Looks: panels at a cursor, theories laid over, distances, exports."""

    def __init__(self, session: "Session"):
        self.session = session
        self._surveyed: dict[str, dict] = {}
        self._near: dict[str, list[dict]] = {}
        self._over: dict[tuple[str, str], Over] = {}
        self._next, self._next_errors, self._glancing = 0.0, 0.0, False

    def surveyed(self, branch: Branch) -> dict | None:
        """What was found of each theory here, where it was asked."""
        return self._surveyed.get(branch.experiment.fingerprint)

    def near(self, branch: Branch) -> list[dict]:
        """Which theories are how many simplifications away, as far as it was asked."""
        return self._near.get(branch.experiment.fingerprint, [])

    def forget(self, names: set[str]) -> None:
        """Branches are gone, and with them what was laid over them."""
        for key in [one for one in list(self._over) if one[0] in names]:
            self._over.pop(key, None)

    def survey(self, branch: Branch) -> None:
        """Ask every theory whether it applies, later; and which are near. Of the branches that a
        hand makes in a row the last alone is asked of, when the hand rests."""
        if branch.parent is None:
            self.session.thought.ask(lambda: self._survey(branch), ("survey", branch.name))
        else:
            self.session.thought.ask(lambda: self._survey(branch), "survey of a child", RESTED)

    def _survey(self, branch: Branch) -> None:
        key = branch.experiment.fingerprint
        with contextlib.suppress(Exception):
            if key not in self._surveyed:
                self._surveyed[key] = survey(branch.timeline.start)
            self._tell_theories(branch)
            self.session.thought.ask(lambda: self._nearest(branch), ("near", branch.name))

    def _tell_theories(self, branch: Branch) -> None:
        names = list(branch.course.names)
        said = {"is": "theories", "branch": branch.name, "near": self.near(branch)}
        said["theories"] = known.theories(names, self.surveyed(branch))
        self.session.tell(said, key=("theories", branch.name))

    def _nearest(self, branch: Branch) -> None:
        """Paths to theories that do not apply, the shortest first."""
        key, found = branch.experiment.fingerprint, []
        if key in self._near or branch.experiment.events:
            return
        rungs = Rungs(branch.timeline.start)
        for kind, member in catalog.members("theories").items():
            with contextlib.suppress(Exception):
                for one in both(rungs, catalog.load(member)()):
                    if one.found and one.steps:
                        found.append({"theory": kind, "axes": list(one.axes), "words": one.words})
        found.sort(key=lambda one: len(one["axes"]))
        self._near[key] = found
        self._tell_theories(branch)

    # --- at a cursor

    def do_seek(self, client: Client, asked: dict) -> Message:
        """The cursor at a position of the past: what is shown there."""
        branch = self.session.branch(asked["branch"])
        position = int(min(max(asked["position"], branch.begins), branch.position))
        if branch.pacer.goes:
            branch.pause()
        client.cursors[branch.name] = position
        looks = [one for one in list(client.panels.values()) if self._at_cursor(one, branch)]
        if looks:
            at = panels.here(branch, position)
            for panel in looks:
                self._show(client, panel, at)
        said = self._where(branch, position)
        client.say(said | {"is": "at"})
        return status_of(branch) | {"at": said}

    def _where(self, branch: Branch, position: int) -> Message:
        timeline = branch.timeline
        return {
            "branch": branch.name,
            "position": position,
            "playing": branch.pacer.goes,
            "step": None if timeline.flows else position,
            "time": timeline.time_at(position),
        }

    def do_live(self, client: Client, asked: dict) -> Message:
        """The cursor at the newest state, from now on."""
        branch = self.session.branch(asked["branch"])
        client.cursors.pop(branch.name, None)
        self._next = 0.0
        self.glance(branch)
        return status_of(branch)

    @staticmethod
    def _at_cursor(panel: Panel, branch: Branch) -> bool:
        return panel.branch == branch.name and panel.kind != "curves"

    def do_panel(self, client: Client, asked: dict) -> Message:
        """A panel, now and whenever there is something new of it."""
        spec = dict(asked["spec"] or {})
        branch = self.session.branch(asked["branch"] or spec.get("branch"), client)
        name, kind = asked["panel"][:NAME_MOST], asked["kind"]
        if name not in client.panels and len(client.panels) >= PANELS_MOST:
            raise refused("The lab", f"at most {PANELS_MOST} panels", "one more", "Close some")
        if kind == "curves":
            quantity = spec.get("quantity")
            if quantity not in branch.course.names:
                remedy = nearest(str(quantity)[:80], branch.course.names)
                raise refused("A panel", "a quantity that is watched", repr(quantity)[:80], remedy)
            client.open(Panel(name, kind, branch.name, spec))
            client.wake()
            return status_of(branch)
        if kind not in panels.KINDS:
            remedy = nearest(kind[:80], [*panels.KINDS, "curves"])
            raise refused("A panel", "a known kind", repr(kind)[:80], remedy)
        panel = Panel(name, kind, branch.name, spec)
        at = panels.here(branch, client.cursors.get(branch.name, branch.position))
        self._show(client, panel, at, loud=True)
        client.open(panel)
        return status_of(branch)

    def _show(self, client: Client, panel: Panel, at: panels.Here, loud: bool = False) -> None:
        try:
            shown = panels.seen(panel.kind, panel.spec, at)
        except Refused as refusal:
            if loud:
                raise
            client.close(panel.name)
            client.say({"is": "error", "said": str(refusal), "about": "panel", "panel": panel.name})
            return
        buffers = [_numbers(shown.values)]
        if shown.x is not None:
            buffers.append(_numbers(shown.x))
        buffers += [_numbers(one) for one in shown.more]
        said = self._where(at.branch, at.position) | {
            "is": "moment",
            "panel": panel.name,
            "kind": panel.kind,
            "shape": list(np.shape(shown.values)),
            "axes": list(shown.axes),
            "labels": [None if one is None else list(one) for one in shown.labels] or None,
            "units": shown.units,
            "title": shown.title,
            "values": 0,
            "x": None if shown.x is None else 1,
            "extra": shown.extra or {},
        }
        client.say(said, buffers, ("moment", panel.name))

    # --- at the newest state

    def glance(self, branch: Branch) -> None:
        """Look again at what is shown at the newest state, where it is time."""
        now = time.perf_counter()
        if self._glancing or (now < self._next and branch.pacer.goes):
            return
        self._glancing = True
        if not self.session.sight.ask(lambda: self._glance(branch), ("glance", branch.name)):
            self._glancing = False

    def _glance(self, branch: Branch) -> None:
        began = time.perf_counter()
        try:
            for client in list(self.session.clients):
                if branch.name in client.cursors:
                    continue
                looks = [
                    one for one in list(client.panels.values()) if self._at_cursor(one, branch)
                ]
                if looks:
                    at = panels.here(branch, branch.position)
                    for panel in looks:
                        self._show(client, panel, at)
            if began >= self._next_errors or not branch.pacer.goes:
                self._errors(branch)
                self._next_errors = time.perf_counter() + COARSE
        except Exception as surprise:
            LOG.info("the lab could not look at %s: %s", branch.name, saying(surprise))
        finally:
            self._next = time.perf_counter() + max(GLANCE, SHARE * (time.perf_counter() - began))
            self._glancing = False

    def _errors(self, branch: Branch) -> None:
        for client in list(self.session.clients):
            for of, kind in list(client.theories):
                over = self._over.get((of, kind))
                if of == branch.name and over is not None:
                    for said, buffers in over.errors():
                        client.say(said, buffers, ("errors", of, kind, said["quantity"]))

    # --- theory and the rest

    def do_theory(self, client: Client, asked: dict) -> Any:
        """A theory laid over a branch, or taken away."""
        branch, kind = self.session.branch(asked["branch"]), asked["theory"]
        if kind not in catalog.members("theories"):
            remedy = nearest(kind[:80], catalog.members("theories"))
            raise refused("The lab", "a theory by name", repr(kind)[:80], remedy)
        key = (branch.name, kind)
        if not asked["on"]:
            client.theories.discard(key)
            return status_of(branch)
        if key not in self._over:
            self._over[key] = Over(branch, kind)
        client.theories.add(key)
        for said, buffers in self._over[key].lines():
            client.say(said, buffers)
        self._errors(branch)
        return status_of(branch)

    def do_beside(self, client: Client, asked: dict) -> tuple[Message, Buffers]:
        """How far two branches are apart, layer by layer, as `learnmech twins` says it."""
        names = asked["branches"]
        if len(names) != 2 or not all(isinstance(one, str) for one in names):
            raise refused("beside", "two branches", f"{len(names)}", "Give two names")
        one, other = (self.session.branch(name).so_far() for name in names)
        found = twins(one, other)
        axis = "step" if "step" in found.coords else "time"
        buffers = [np.asarray(found[axis].values, np.float64)]
        said: Message = {"is": "distance", "branches": names, "x": 0, "dtypes": {"0": "f64"}}
        said |= {"axis": axis, "layers": [str(layer) for layer in found["layer"].values]}
        said["signals"] = [str(one) for one in found["signal"].values]
        for quantity in found.data_vars:
            said[str(quantity)] = len(buffers)
            said["dtypes"][str(len(buffers))] = "f64"
            buffers.append(np.asarray(found[quantity].values, np.float64))
        return said, buffers

    def do_export(self, client: Client, asked: dict) -> Message:
        """The experiment of a branch, to go on with elsewhere."""
        return exports.exported(self.session.branch(asked["branch"]), asked["as"])


def _numbers(values: Any) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float32)
