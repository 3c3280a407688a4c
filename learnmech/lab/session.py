"""The session: what is open in a lab, a tree of branches, and the hands that play, change and undo
them. It knows of no socket: a page, a notebook and a test speak to it alike."""

import atexit
import threading
from pathlib import Path
from typing import Any

from learnmech.errors import Refused, nearest, refused, saying
from learnmech.lab import catalog as known
from learnmech.lab import drawn, lessons, openings
from learnmech.lab.branches import Branch
from learnmech.lab.clients import Client, status_of
from learnmech.lab.commands import EYES, checked
from learnmech.lab.events import words_of
from learnmech.lab.eyes import Eyes
from learnmech.lab.frames import Buffers, Message
from learnmech.lab.hands import Hands
from learnmech.lab.lanes import Lane
from learnmech.lab.openings import Opening
from learnmech.lab.telling import opened
from learnmech.machine.version import VERSION
from learnmech.runs import running
from learnmech.verbs.folders import RUNS, free

BRANCHES_MOST = 64
"""Branches of a session: each holds what it read, and its checkpoints."""
Answer = tuple[Message, Buffers] | Message | None


class Session:
    """What is open, and who looks on.

    Runs go to `folder`, where `learnmech run` writes them; with None they stay in memory. `hear`
    takes what a client asks; what changes hands is done one after another in one thread, what is
    looked at in another, and each run is made in its own.
    """

    def __init__(self, folder: str | Path | None = RUNS, kind: str = "lab", trust: bool = False):
        self.folder = None if folder is None else Path(folder)
        self.kind, self.trust = kind, trust
        self.lock, self.clients = threading.RLock(), set[Client]()
        self.branches: dict[str, Branch] = {}
        self.lessons: dict[str, tuple[Any, Path]] = {
            name: (one, Path(".")) for name, one in lessons.lessons().items()
        }
        self.first: str | None = None
        self._count = 0
        self.work, self.sight = Lane("lab hands"), Lane("lab eyes")
        self.thought = Lane("lab theories")  # to ask all of them takes seconds
        self.hands = Hands(self)
        self.eyes = Eyes(self)
        atexit.register(self.end)

    # --- who looks on

    def join(self, client: Client) -> None:
        """Somebody more looks on."""
        with self.lock:
            self.clients.add(client)

    def part(self, client: Client) -> None:
        """Somebody looks on no more; what runs goes on."""
        with self.lock:
            self.clients.discard(client)

    def news(self, branch: Branch) -> None:
        """Something of a branch is new."""
        for said in drawn.settle(branch):
            self.tell(said)
        for client in list(self.clients):
            client.wake()
        self.eyes.glance(branch)

    def tell(self, content: Message, buffers: Buffers = (), key: Any = None) -> None:
        """Say something to all."""
        for client in list(self.clients):
            client.say(content, buffers, key)

    def end(self, wait: float = 30.0) -> None:
        """Stop all that runs; folders keep what is whole, and can be gone on with.

        Threads are waited for: one that is in a compiled program when Python ends aborts it.
        """
        atexit.unregister(self.end)
        lanes = (self.work, self.sight, self.thought)
        for lane in lanes:
            lane.end()
        for branch in list(self.branches.values()):
            branch.stop()
        for branch in list(self.branches.values()):
            branch.stop(wait)
        for lane in lanes:
            lane.end(wait)

    # --- what is asked

    def hear(self, client: Client, said: Any) -> None:
        """Take what a client asks. It is checked here and now, and done in its turn."""
        number = said.get("id") if isinstance(said, dict) else None
        number = number if isinstance(number, (int, str)) and len(str(number)) < 80 else None
        try:
            asked = checked(said)
        except Refused as refusal:
            client.say(_error(str(refusal), None, number))
            return
        lane = self.sight if asked["do"] in EYES else self.work
        key = (client, "seek") if asked["do"] == "seek" else None
        if not lane.ask(lambda: self._done(client, asked), key):
            words = "The lab has too much to do. Ask again in a moment."
            client.say(_error(words, asked["do"], number))

    def _done(self, client: Client, asked: dict) -> None:
        name, number = asked["do"], asked.get("id")
        try:
            answer = self.do(client, asked)
        except Refused as refusal:
            client.say(_error(str(refusal), name, number))
            return
        except Exception as surprise:  # nothing that is asked ends the lab
            client.say(_error(saying(surprise), name, number))
            return
        if answer is None:
            branch = self.branches.get(asked.get("branch") or client.selected or "")
            answer = {"is": "status", "about": name} if branch is None else status_of(branch)
        content, buffers = answer if isinstance(answer, tuple) else (answer, ())
        client.say(content if number is None else content | {"id": number}, buffers)

    def do(self, client: Client, asked: dict) -> Answer:
        """Do at once what was asked, `commands.checked`, and give the answer."""
        name = asked["do"]
        holder: Any = self if name in ("hello", "open") else self.hands
        holder = self.eyes if name in EYES else holder
        return getattr(holder, f"do_{name}")(client, asked)

    def branch(self, name: str | None, client: Client | None = None) -> Branch:
        """The branch of that name; where none is said, the one that a client has selected."""
        name = name or (client.selected if client is not None else None) or self.first or ""
        with self.lock:
            if name in self.branches:
                return self.branches[name]
            raise refused(
                "The lab", "an open branch", repr(name)[:80], nearest(name, self.branches)
            )

    def do_hello(self, client: Client, asked: dict) -> Answer:
        """Who the lab is, and what is open."""
        welcome = {
            "is": "welcome",
            "version": VERSION,
            "kind": self.kind,
            "exhibits": known.exhibits(),
            "lessons": [
                {"name": one.name, "title": one.title, "about": one.about, "steps": len(one.steps)}
                for one, _ in self.lessons.values()
            ],
            "trust": self.trust,
            "folder": None if self.folder is None else str(self.folder),
            "opened": client.selected or self.first,
        }
        client.say(welcome | ({"id": asked["id"]} if "id" in asked else {}))
        client.selected = client.selected or self.first
        for branch in list(self.branches.values()):
            client.say(*self.opened(branch))
        return self.tree(client)

    # --- opening

    def begin(self, subject: str, changes: dict, small: bool = False) -> Branch:
        """What a command opens before anybody looks on: by its name, or by the path of a file or a
        folder; a user's own lesson too."""
        path, about = Path(subject), {"subject": subject, "small": small, "changes": changes}
        if subject in known.catalog.exhibits() or (subject in self.lessons and not path.exists()):
            opening = self._opening(subject, None, changes, small)
        else:
            opening = openings.of_path(path, changes, small)
        if opening.lesson is not None and subject not in self.lessons:
            lesson = lessons.lesson_of(path)
            self.lessons = {lesson.name: (lesson, path.parent)} | self.lessons
        branch = self.add(opening, about=about)
        self.eyes.survey(branch)
        return branch

    def do_open(self, client: Client, asked: dict) -> Answer:
        """A subject laid out, and not begun."""
        changes = {str(path): value for path, value in (asked["changes"] or {}).items()}
        opening = self._opening(asked["subject"], asked["text"], changes, bool(asked["small"]))
        about = {"subject": asked["subject"], "small": bool(asked["small"]), "changes": changes}
        return self.answer(client, self.add(opening, about=about))

    def _opening(self, subject, written, changes, small) -> Opening:
        if written is not None:
            return openings.of_text(written, self.folder or Path("."), changes)
        if subject is None:
            raise refused("The command open", "a subject or a text", "neither", "Give one of them")
        # a name of both is that of the exhibit; a lesson is asked for by `lesson`
        if subject in self.lessons and subject not in known.catalog.exhibits():
            return self.lesson_step(subject, 0)
        name = Path(subject).name
        below = None if self.folder is None or name in ("", "..") else self.folder / name
        if subject not in known.catalog.exhibits() and below is not None and below.is_dir():
            return openings.of_folder(below)
        return openings.of_exhibit(subject, changes, small)

    def add(
        self,
        opening: Opening,
        parent: Branch | None = None,
        about: dict | None = None,
        title: str | None = None,
    ) -> Branch:
        """A new root of the tree."""
        name, title = self.named(), title or opening.name
        said = {"claim": opening.claim, "source": opening.source, "name": opening.name}
        said |= {"lesson": opening.lesson} | (about or {})
        if opening.record is not None:
            branch = Branch.of(name, title, opening.record, self.news, opening.theories, said)
        else:
            assert opening.laid is not None
            folder = self.folder_for(opening.name, opening.laid)
            branch = Branch(
                name, title, opening.laid, folder, self.news, None, 0, opening.theories, said
            )
        return self.grown(branch)

    def named(self) -> str:
        """A name for one branch more."""
        with self.lock:
            if len(self.branches) >= BRANCHES_MOST:
                raise refused(
                    "The lab", f"at most {BRANCHES_MOST} branches", "one more", "Undo some of them"
                )
            self._count += 1
            return f"b{self._count}"

    def folder_for(self, name: str, laid: running.Leaving) -> Path | None:
        """The run folder of a branch, made when it runs; None where runs stay in memory."""
        if self.folder is None:
            return None
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:60] or "experiment"
        taken = {branch.folder for branch in self.branches.values()}
        found = free(self.folder / f"{stem}-{laid.timeline.start.experiment.fingerprint[:8]}")
        count = 2
        while found in taken:  # it is written when the run begins
            found = free(found.with_name(f"{found.name}-{count}"))
            count += 1
        return found

    def grown(self, branch: Branch) -> Branch:
        """One branch more in the tree."""
        branch.pacer.watched = lambda: any(
            branch.name == panel.branch
            for one in list(self.clients)
            for panel in list(one.panels.values())
        )
        with self.lock:
            self.branches[branch.name] = branch
            self.first = branch.name
        return branch

    def opened(self, branch: Branch) -> tuple[Message, Buffers]:
        """All that is to be known of a branch."""
        return opened(branch, self.eyes.surveyed(branch), self.eyes.near(branch))

    def answer(self, client: Client, branch: Branch, playing: bool = False) -> Answer:
        """A branch that is new is told to all, and its tree; whoever asked has it selected."""
        client.selected = branch.name
        if playing:
            branch.play(playing=True)
        said, buffers = self.opened(branch)
        for other in list(self.clients):
            if other is not client:
                other.say(said | {"fresh": False}, buffers)
        for one in list(self.clients):
            one.say(self.tree(one), key="branches")
        self.eyes.survey(branch)
        return said | {"playing": playing}, buffers

    def tree(self, client: Client) -> Message:
        """The tree of branches."""
        return {
            "is": "branches",
            "selected": client.selected,
            "branches": [
                {
                    "branch": one.name,
                    "parent": one.parent.name if one.parent else None,
                    "at": one.at,
                    "title": one.title,
                    "fingerprint": one.experiment.fingerprint,
                    "reached": one.course.reached,
                    "position": one.position,
                    "status": one.status,
                    "events": [words_of(event) for event in one.experiment.events],
                    "folder": None if one.folder is None else str(one.folder),
                }
                for one in list(self.branches.values())
            ],
        }

    def lesson_step(self, name: str, step: int) -> Opening:
        """The experiment of a step of a lesson."""
        found = self.lessons
        if name not in found:
            raise refused("The lab", "a lesson by name", repr(name)[:80], nearest(name, found))
        lesson, folder = found[name]
        return openings.of_lesson(lesson, step, folder)


def _error(said: str, about: str | None, number: Any) -> Message:
    error = {"is": "error", "said": said, "about": about}
    return error if number is None else error | {"id": number}
