"""Readers: the instruments that read what theories predict."""

import fnmatch
from collections.abc import Iterable

from learnmech.errors import Refused
from learnmech.experiment.recipe import Start
from learnmech.instruments.base import Instrument
from learnmech.language import catalog
from learnmech.theories.base import Theory


def foretold(theory: Theory, instrument: Instrument, start: Start) -> bool:
    """Whether a theory predicts a quantity that this instrument reads here."""
    names = [q.name for q in instrument.quantities(start.system, start.state.params)]
    return any(fnmatch.fnmatch(name, said) for name in names for said in theory.predicts)


def watching(theories: Iterable[Theory], start: Start) -> tuple[Instrument, ...]:
    """The instruments of the catalogue, at their defaults, that read what these theories predict
    here."""
    chosen, theories = [], tuple(theories)
    for kind in catalog.members("instruments"):
        instrument = catalog.find("instruments", kind)()
        try:
            instrument.check(start.system)
            if any(foretold(theory, instrument, start) for theory in theories):
                chosen.append(instrument)
        except Refused:  # it cannot look at this system
            continue
    return tuple(chosen)
