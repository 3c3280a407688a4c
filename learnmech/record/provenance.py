"""Provenance: what made a record, and whether a replay here is the same to the bit."""

import datetime
import os
import platform

import jax
import jaxlib
import numpy as np

from learnmech.experiment import Experiment
from learnmech.version import VERSION

BITS = {"device": "device", "cores": "core count", "precision": "precision", "jax": "JAX", "jaxlib": "its back-end"}


def provenance(experiment: Experiment, wall: float = 0.0, parent: dict | None = None) -> dict:
    """What makes a record here: identity, versions, device, precision, cores; the run it was forked from, if any."""
    said = {
        "fingerprint": experiment.fingerprint,
        "learnmech": VERSION,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind if jax.devices()[0].platform != "cpu" else f"cpu {platform.machine()}",
        "cores": os.cpu_count(),
        "precision": experiment.precision,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        "wall_seconds": round(wall, 3),
    }
    return said | ({"parent": parent} if parent else {})


def equal_to_round_off_because(made: dict, experiment: Experiment) -> str:
    """Why a replay here may differ from the first run in the last bits; "" where it cannot."""
    here = provenance(experiment)
    differ = [f"{word} {made.get(key)} then, {here[key]} now" for key, word in BITS.items() if made.get(key) != here[key]]
    return "equal to round-off only: " + "; ".join(differ) if differ else ""
