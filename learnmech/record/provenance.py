"""Provenance: what made a record, and whether a replay here is the same to the bit."""

import datetime
import platform

import jax
import jaxlib
import numpy as np

from learnmech.experiment.recipe import Experiment
from learnmech.instruments.base import Instrument
from learnmech.language import text
from learnmech.machine import place
from learnmech.machine.version import VERSION
from learnmech.record import identity
from learnmech.system.passes import PASS_BYTES

# Other cores or another minor release of Python move the last bits at most; what belongs to a run's
# numbers is the rest.
DECISIVE = ("learnmech", "jax", "jaxlib", "numpy", "device", "products", "precision")
BITS = {
    "learnmech": "learnmech",
    "device": "device",
    "cores": "core count",
    "precision": "precision",
    "jax": "JAX",
    "jaxlib": "its back-end",
}
BITS |= {"products": "matrix products", "pass_bytes": "bytes of a part of a pass"}


def provenance(
    experiment: Experiment,
    wall: float = 0.0,
    parent: dict | None = None,
    watch: tuple[Instrument, ...] = (),
    data_read: str = "",
) -> dict:
    """What makes a record here: identity, versions, device, precision, cores; data files and own
    code by content; the run it was forked from, if any; how the samples of a file or of arrays
    were read."""
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    said = {"fingerprint": experiment.fingerprint, "made": made, "wall_seconds": round(wall, 3)}
    said |= surroundings(experiment) | identity.told_of(experiment, watch)
    return (
        said
        | ({"parent": parent} if parent else {})
        | ({"data_read": data_read} if data_read else {})
    )


def surroundings(experiment: Experiment) -> dict:
    """Versions, device, precision and cores: what the last bits of a run depend on, beside the
    experiment."""
    return _here() | {"precision": experiment.precision}


def _here() -> dict:
    return {
        "learnmech": VERSION,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        **place.surroundings(),
        "pass_bytes": PASS_BYTES,
    }


def decisive_here() -> dict:
    """Of the versions and the device of this process, what belongs to a run's numbers."""
    here = _here()
    return {name: here[name] for name in DECISIVE if name in here}


def unlike(made_by: dict) -> list[str]:
    """In what this process differs from one that said this of itself, in words."""
    here = decisive_here()
    return [
        f"{BITS.get(name, name)} {made_by.get(name)} there, {here.get(name)} here"
        for name in DECISIVE
        if made_by.get(name) != here.get(name)
    ]


def decisive(experiment: Experiment, watch: tuple[Instrument, ...]) -> dict:
    """All that decides the numbers of a run, as plain text: the experiment with the content of
    its files and of the user's own code, what is watched, the versions, the device."""
    here = surroundings(experiment)
    return {
        "experiment": text.identity(experiment),
        "watch": [text.identity(one) for one in watch],
        "surroundings": {name: here[name] for name in DECISIVE if name in here},
    }


def equal_to_round_off_because(made: dict, experiment: Experiment) -> str:
    """Why a replay here may differ from the first run in the last bits; "" where it cannot."""
    here = surroundings(experiment)
    differ = [
        f"{word} {made.get(key)} then, {here.get(key)} now"
        for key, word in BITS.items()
        if key in made and made[key] != here.get(key)  # earlier ones do not say all of it
    ]
    return "equal to round-off only: " + "; ".join(differ) if differ else ""
