"""What a lesson's step runs: its experiment, what is watched and which theories are laid over it,
in the form of an exhibit."""

import dataclasses
from pathlib import Path

from learnmech.comparison.domains import applying
from learnmech.comparison.readers import foretold
from learnmech.errors import Refused, nearest, plain, refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.gallery.base import Exhibit
from learnmech.instruments.base import Instrument
from learnmech.lab.lessons.reading import Step
from learnmech.language import catalog, text
from learnmech.march.timeline import Timeline
from learnmech.march.watching import asked, quantities_in, shapes_in, watched
from learnmech.theories.base import Theory

LONGEST = 80  # characters of a title in an error


def subject_of(step: Step, folder: str | Path = ".") -> Exhibit:
    """The step as an exhibit: its experiment with its changes, what it watches and its theories.

    `folder` is where paths in its experiment begin. Refused: what is no part, knob or value.
    """
    exhibit = None if step.exhibit is None else catalog.exhibit(step.exhibit)
    if exhibit is None:
        experiment = text.part_of(Experiment, text.arrays_in(step.experiment or {}, folder))
    else:
        experiment = exhibit.experiment()
    for path, value in step.changes.items():
        experiment = experiment.with_value(path, value)
    theories: tuple[Theory, ...] | None
    watch: tuple[Instrument, ...] | None
    if step.theories is not None:
        theories = tuple(text.part_of(Theory, one) for one in step.theories)
    else:
        # a theory of the mean of many runs is none of one
        theories = (
            None
            if exhibit is None
            else tuple(one for one in exhibit.theories if not one.over_seeds)
        )
    if step.watch is not None:
        watch = tuple(asked(one) for one in step.watch)
    else:
        watch = None if exhibit is None else exhibit.watch
    if watch is None or theories is None:
        start = prepare(experiment)
        watch = watched(None, start) if watch is None else watch
        theories = applying(start, watch) if theories is None else theories
    made = Exhibit(
        claim=step.title,
        source="" if exhibit is None else exhibit.source,
        experiment=lambda: experiment,
        watch=watch,
        theories=theories,
    )
    if exhibit is None:
        return made
    return dataclasses.replace(made, tolerance=exhibit.tolerance, reason=exhibit.reason)


def check(step: Step, folder: str | Path = ".", place: int = 1) -> Start:
    """The start of a step, made ready, of which everything fits: its events, what it watches,
    what its theories say, and what is to be predicted. Nothing is run."""
    who = f"Step {place}"
    try:
        subject = subject_of(step, folder)
        start = prepare(subject.experiment())
        Timeline(start)
        watch = watched(subject.watch, start)
    except Refused as error:
        title = " ".join(plain(step.title).split())[:LONGEST]  # it is a user's own words
        raise type(error)(f"{who} ({title}): {error}") from None
    for theory in subject.theories:
        if theory.over_seeds:
            remedy = "Leave it out of theories"
            raise refused(f"{who}, {type(theory).__name__}", "many runs", "one", remedy)
        if not any(foretold(theory, one, start) for one in watch):
            raise refused(
                f"{who}, {type(theory).__name__}",
                f"a quantity it predicts to be watched ({', '.join(theory.predicts)})",
                ", ".join(catalog.kebab(type(one).__name__) for one in watch),
                "Watch one of them",
            )
    if step.predict is not None:
        _check_predicted(step, start, watch, f"{who}, predict")
    return start


def _check_predicted(step: Step, start: Start, watch: tuple, who: str) -> None:
    quantity, entry = step.predict or ("", {})
    shapes = {
        name: one.shape for group in shapes_in(start, watch).values() for name, one in group.items()
    }
    axes = {
        one.name: dict(zip(one.axes, shapes[one.name], strict=True))
        for one in quantities_in(start, watch)
    }
    if quantity not in axes:
        raise refused(who, "a quantity that is watched", repr(quantity), nearest(quantity, axes))
    sizes = axes[quantity]
    if set(entry) != set(sizes):
        wanted = ", ".join(f"{axis} = 0" for axis in sizes)
        raise refused(
            who,
            f"one entry of {quantity}, whose axes are ({', '.join(sizes)})",
            repr(entry),
            f"Write entry = {{ {wanted} }}" if sizes else "Leave out entry",
        )
    for axis, at in entry.items():
        if at >= sizes[axis]:
            raise refused(who, f"{axis} below {sizes[axis]}", at, "Places are counted from 0")
