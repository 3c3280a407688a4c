"""Finished runs: whether a folder holds the very run that is asked for, so that it need not be
made again."""

from pathlib import Path

from learnmech.errors import Refused
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.record import identity
from learnmech.record.folder import facts, load
from learnmech.record.provenance import DECISIVE, decisive


def finished_before(
    folder: str | Path, experiment: Experiment, watch: tuple[Instrument, ...], until: str | None
) -> bool:
    """Whether a folder holds this very run from its start to its end, whole: the same experiment
    with the same data files and own code, watched as now, by the versions and on the device of
    now. Anything else in its place is no such run."""
    try:
        found = facts(folder)
        made, now = found.said["provenance"], decisive(experiment, watch)
        if (
            "parent" in made
            or found.said["until"] != until
            or found.damaged
            or found.progress["status"] != "finished"
        ):
            return False
        if made["fingerprint"] != experiment.fingerprint or identity.changes(
            made, experiment, *watch
        ):
            return False  # a class of that name is at hand, and is not the one that made it
        here = {name: made[name] for name in DECISIVE if name in made}
        return (
            here == now["surroundings"]
            and decisive(found.experiment, found.watch) == now
            and not load(folder).damaged
        )
    except (Refused, OSError, KeyError, TypeError, ValueError):
        return False
