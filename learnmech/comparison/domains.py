"""Domains: which theories apply to an experiment, and of the others which are nearest."""

from learnmech.comparison.readers import foretold
from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.language import catalog
from learnmech.language.display import plain
from learnmech.language.text import part_of
from learnmech.machine.logs import LOG
from learnmech.theories.base import Theory

# What was found last, {fingerprint: found}: a command asks the same before a run, after it and for
# the report.
_LAST: dict[str, dict] = {}


def survey(start: Start) -> dict[str, dict]:
    """Every theory of the catalogue with its conditions here, as plain data: {kind: {applies,
    conditions, ...}}."""
    key = start.experiment.fingerprint + repr(list(catalog.members("theories")))
    if key not in _LAST:
        found = []
        for kind, member in catalog.members("theories").items():
            LOG.info("looking whether %s applies", kind)
            theory = part_of(Theory, kind)
            found.append((kind, member.summary, theory, theory.conditions(start)))
        _LAST.clear()
        _LAST[key] = plain.theories(found)
    return _LAST[key]


def applying(
    start: Start,
    watch: tuple[Instrument, ...] | None = None,
    surveyed: dict[str, dict] | None = None,
) -> tuple[Theory, ...]:
    """The exact theories that apply to one run and, where it is said what it watches, speak of
    that.

    A limit or a mean over seeds is laid over a run only where it is named. `surveyed` is what
    `survey` found here, where that was asked before.
    """
    surveyed = survey(start) if surveyed is None else surveyed
    named = [
        kind
        for kind, said in surveyed.items()
        if said["applies"] and not said["over_seeds"] and not said["limits"]
    ]
    found = tuple(part_of(Theory, kind) for kind in named)
    return found if watch is None else speaking(found, watch, start)


def speaking(
    theories: tuple[Theory, ...], watch: tuple[Instrument, ...], start: Start
) -> tuple[Theory, ...]:
    """Those of the theories that predict something of what is watched."""
    return tuple(
        theory for theory in theories if any(foretold(theory, one, start) for one in watch)
    )
