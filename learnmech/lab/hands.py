"""The hands of a session: what plays, changes, parts and undoes its branches."""

import dataclasses
from typing import TYPE_CHECKING

from learnmech.errors import refused
from learnmech.interventions.base import Intervention
from learnmech.lab import drawn, openings
from learnmech.lab.branches import Branch
from learnmech.lab.clients import Client
from learnmech.lab.events import change_of, event_of, words_of
from learnmech.lab.frames import Buffers, Message
from learnmech.lab.openings import Opening
from learnmech.runs import running
from learnmech.simplifications.orders import simplified

if TYPE_CHECKING:
    from learnmech.lab.session import Session

Answer = tuple[Message, Buffers] | Message | None


class Hands:
    """What is done to runs, one thing after another."""

    def __init__(self, session: "Session"):
        self.session = session

    # --- time

    def do_play(self, client: Client, asked: dict) -> Answer:
        """Go on."""
        self.session.branch(asked["branch"], client).play(playing=True)
        return None

    def do_pause(self, client: Client, asked: dict) -> Answer:
        """Wait."""
        self.session.branch(asked["branch"], client).pause()
        return None

    def do_step(self, client: Client, asked: dict) -> Answer:
        """So many steps; of a flow marks."""
        count = _positive("step", asked["count"])
        self.session.branch(asked["branch"], client).play(playing=False, left=count, until=None)
        return None

    def do_mark(self, client: Client, asked: dict) -> Answer:
        """To the next mark, or so many of them."""
        branch = self.session.branch(asked["branch"], client)
        count = _positive("mark", asked["count"])
        until = min(branch.course.reached + count, len(branch.timeline.positions))
        branch.play(playing=False, left=None, until=until)
        return None

    def do_speed(self, client: Client, asked: dict) -> Answer:
        """So many marks a second at most; null: as fast as it goes."""
        speed = asked["marks_per_second"]
        if speed is not None and not speed > 0:
            raise refused("speed", "marks_per_second > 0", speed, "Give a positive number or null")
        self.session.branch(asked["branch"], client).pacer.turn(speed=speed)
        return None

    # --- hands

    def do_event(self, client: Client, asked: dict) -> Answer:
        """A branch that goes on with something changed."""
        branch = self.session.branch(asked["branch"])
        event = event_of(asked["event"], branch)
        return self._forked(client, branch, asked["at"], event)

    def do_turn(self, client: Client, asked: dict) -> Answer:
        """A knob turned: on the way where that can be, else in a new root."""
        branch, path = self.session.branch(asked["branch"]), asked["path"]
        if asked["at"] > 0:
            timeline = branch.timeline
            behind = sum(at <= asked["at"] for at in timeline.event_positions)
            now = openings.changed(timeline.experiment_after(behind), path, asked["value"])
            event = change_of(branch, path, now)
            if event is not None:
                return self._forked(client, branch, asked["at"], event)
        # what happens later happens still
        experiment = openings.changed(branch.experiment, path, asked["value"])
        laid = self._like(branch, experiment)
        playing = branch.pacer.playing
        branch.pause()
        opening = Opening(branch.title, "", "", laid, branch.theories)
        about = {name: branch.about.get(name, "") for name in ("claim", "source", "name")}
        made = self.session.add(opening, about=about, title=f"{path} = {asked['value']}")
        return self.session.answer(client, made, playing)

    def _like(self, branch: Branch, experiment) -> running.Leaving:
        """A run of another experiment from its start, with what can still be watched watched."""
        start = openings.prepared(experiment, branch.timeline.start)
        return openings.laid_out(start, openings.fitting(branch.watch, start))

    def _forked(self, client: Client, branch: Branch, at: float, event: Intervention) -> Answer:
        playing = branch.pacer.playing
        branch.pause()
        timeline = branch.timeline
        position = int(min(max(at, branch.begins), branch.position))
        when = timeline.time_at(position) if timeline.flows else position
        event = dataclasses.replace(event, at=when)
        laid = running.leave(branch.parting(), when, (event,))
        folder = self.session.folder_for(branch.about.get("name") or branch.title, laid)
        made = Branch(
            self.session.named(),
            words_of(event),
            laid,
            folder,
            self.session.news,
            branch,
            position,
            branch.theories,
            dict(branch.about),
        )
        made.pacer.speed, made.pacer.rate = branch.pacer.speed, branch.pacer.rate
        return self.session.answer(client, self.session.grown(made), playing)

    def do_undo(self, client: Client, asked: dict) -> Answer:
        """Drop a branch and all that left it; its folder stays."""
        branch = self.session.branch(asked["branch"])
        with self.session.lock:
            gone = {branch.name}
            while more := {
                one.name
                for one in self.session.branches.values()
                if one.parent is not None and one.parent.name in gone and one.name not in gone
            }:
                gone |= more
            for name in gone:
                self.session.branches.pop(name).stop()
            others = next(reversed(self.session.branches), None)
            left = branch.parent.name if branch.parent else others
            self.session.first = left
        self.session.eyes.forget(gone)
        for one in list(self.session.clients):
            for name in gone:
                one.forget(name)
            if one.selected in gone:
                one.selected = left
            if one is not client:
                one.say(self.session.tree(one), key="branches")
        return self.session.tree(client)

    def do_select(self, client: Client, asked: dict) -> Answer:
        """Look at another branch."""
        client.selected = self.session.branch(asked["branch"]).name
        client.say(self.session.tree(client), key="branches")
        return None

    def do_close(self, client: Client, asked: dict) -> Answer:
        """Look at something no more."""
        client.close(asked["panel"])
        return None

    def do_simplify(self, client: Client, asked: dict) -> Answer:
        """The experiment without one axis of complexity, beside."""
        branch = self.session.branch(asked["branch"])
        step = openings.simplification(asked["axis"])
        turned = simplified(branch.timeline.start, step)
        start = openings.prepared(turned.experiment, branch.timeline.start)
        watch = openings.fitting(branch.watch, start)
        opening = openings.of_experiment(start, watch, branch.theories, name=branch.title)
        made = self.session.add(opening, about=dict(branch.about), title=f"without {step.axis}")
        return self.session.answer(client, made, True)

    def do_draw(self, client: Client, asked: dict) -> Answer:
        """A prediction, kept before what comes is shown."""
        branch = self.session.branch(asked["branch"])
        drawn.keep(branch, asked["quantity"], asked["entry"], asked["points"])
        for said in drawn.settle(branch):
            self.session.tell(said)
        return None

    def do_lesson(self, client: Client, asked: dict) -> Answer:
        """A step of a lesson."""
        opening = self.session.lesson_step(asked["name"], asked["step"])
        return self.session.answer(client, self.session.add(opening))

    def do_leave(self, client: Client, asked: dict) -> Answer:
        """Nothing: what runs goes on."""
        return None


def _positive(who: str, count: int | None) -> int:
    count = 1 if count is None else count
    if count < 1:
        raise refused(who, "count >= 1", count, "Give a positive number")
    return count
