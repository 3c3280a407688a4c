"""Telling: all that is to be known of a branch before anything of it is looked at."""

from typing import Any

import numpy as np
import tomli_w

from learnmech.errors import Refused
from learnmech.lab import catalog as known
from learnmech.lab.branches import Branch
from learnmech.lab.clients import status_of
from learnmech.lab.events import MENU, words_of
from learnmech.lab.frames import Buffers, Message
from learnmech.language import catalog, text
from learnmech.language.parts import Part


def opened(branch: Branch, surveyed: dict | None, near: list[dict]) -> tuple[Message, Buffers]:
    """The message `opened`, with the time of every mark, and its step."""
    timeline, about = branch.timeline, branch.about
    marks, names = timeline.marks, list(branch.course.names)
    now = timeline.experiment_after(len(timeline.events))
    said = {
        "is": "opened",
        "branch": branch.name,
        "parent": branch.parent.name if branch.parent else None,
        "at": branch.at,
        "title": branch.title,
        "name": about.get("name", branch.title),
        "claim": about.get("claim", ""),
        "source": about.get("source", ""),
        "text": text_of(branch),
        "fingerprint": branch.experiment.fingerprint,
        "flows": timeline.flows,
        "marks": len(timeline.positions),
        "last": timeline.last,
        "last_position": timeline.last,
        "times": 0,
        "steps": None if marks.steps is None else 1,
        "quantities": known.quantities(timeline, branch.watch),
        "knobs": known.knobs(now),
        "addresses": known.addresses(timeline.start),
        "interventions": list(MENU),
        "every_intervention": known.interventions(timeline.start),
        "theories": known.theories(names, surveyed),
        "laid": [catalog.kebab(type(one).__name__) for one in branch.theories],
        "near": near,
        "events": [
            {"at": position, "kind": catalog.kebab(type(event).__name__), "words": words_of(event)}
            for event, position in zip(timeline.events, timeline.event_positions, strict=True)
        ],
        "lesson": about.get("lesson"),
        "watch": [catalog.kebab(type(one).__name__) for one in branch.watch],
        "drawn": branch.drawn,
        "structure": "compiles anew",
        "folder": None if branch.folder is None else str(branch.folder),
    }
    buffers = [np.asarray(marks.times, np.float64)]
    if marks.steps is not None:
        buffers.append(np.asarray(marks.steps, np.float64))
    return status_of(branch, "opened") | said, buffers


def text_of(branch: Branch) -> str:
    """The experiment of a branch as a text, with what it watches and lays over it beside: what an
    editor shows, and a link holds. Arrays of it are named, and not held."""
    beside = {
        word: [_short(one) for one in parts]
        for word, parts in (("watch", branch.watch), ("theories", branch.theories))
    }
    if not all(isinstance(one, str) or _plain(one) for held in beside.values() for one in held):
        return branch.experiment.text
    # keys of the whole come before its tables, and tables after
    last = {
        word: held
        for word, held in beside.items()
        if held and all(isinstance(one, dict) for one in held)
    }
    first = {word: held for word, held in beside.items() if word not in last}
    return tomli_w.dumps(first) + branch.experiment.text + tomli_w.dumps(last)


def _short(part: Part) -> str | dict:
    """A part by its kind, where all its knobs are at their defaults; else its table."""
    kind, family = catalog.kebab(type(part).__name__), text.root_of(type(part))
    plain: Part | None
    try:
        plain = text.part_of(family, kind)
    except Refused:
        plain = None
    same = plain is not None and text.identity(plain) == text.identity(part)
    return kind if same else text.table_of(part)


def _plain(table: dict) -> bool:
    return not any(isinstance(one, np.ndarray) and one.ndim for one in table.values())


def lesson_said(lesson: Any, step: int) -> dict:
    """A lesson as plain data, at a step."""
    return {
        "name": lesson.name,
        "title": lesson.title,
        "about": lesson.about,
        "step": step,
        "steps": [
            {
                "title": one.title,
                "text": one.text,
                "experiment": one.changes or None,
                "exhibit": one.exhibit,
                "predict": None if one.predict is None else one.predict._asdict(),
                "see": one.see,
            }
            for one in lesson.steps
        ],
    }
