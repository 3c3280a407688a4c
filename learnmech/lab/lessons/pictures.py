"""Pictures of lessons' steps: what is to be predicted, as it comes, with theory laid over it."""

import hashlib
from pathlib import Path

from learnmech.comparison.verdicts import compare
from learnmech.figures.curves import curves
from learnmech.figures.overlay import overlaid_names, overlay
from learnmech.figures.style import svg
from learnmech.lab.lessons.reading import Lesson, Step
from learnmech.lab.lessons.subjects import subject_of
from learnmech.runs.running import run
from learnmech.verbs.showcases import sources

KEPT = Path(".cache/docs/lessons")


def drawn(step: Step) -> str:
    """The predicted quantity of a step as an SVG text, from its own run; all that was watched
    where none is to be predicted."""
    subject = subject_of(step)
    record = run(subject.experiment(), subject.watch)
    names = None if step.predict is None else (step.predict.quantity,)
    for theory in subject.theories:
        laid = compare(record, theory)
        # beside what stands still, an edge, the whole course is drawn, not every third mark of it
        shown = [one for one in overlaid_names(laid) if "time" in laid.said[one].dims]
        if shown and (names is None or names[0] in shown):
            return svg(overlay(laid, names=names))
    return svg(curves(record, names=names))


def write(lesson: Lesson, folder: Path, kept: Path = KEPT) -> None:
    """`NAME-1.svg`, `NAME-2.svg`, ... of a lesson's steps; drawn anew only where a step or a
    source of the house has changed."""
    kept.mkdir(parents=True, exist_ok=True)
    for place, step in enumerate(lesson.steps, 1):
        said = repr((step.experiment, step.exhibit, step.changes, step.watch, step.theories))
        said = f"{said} {step.predict} {sources()} {Path(__file__).read_text(encoding='utf-8')}"
        key = hashlib.sha256(said.encode()).hexdigest()
        file = kept / f"{key[:24]}.svg"
        if not file.is_file():
            file.write_text(drawn(step), encoding="utf-8")
        (folder / f"{lesson.name}-{place}.svg").write_bytes(file.read_bytes())
