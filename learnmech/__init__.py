"""learnmech: a laboratory for learning mechanics, the physics of how deep networks learn.

Write an experiment as architecture, data, loss and learning rule; run it with everything knowable; lay theory over it.
"""

import importlib

from learnmech import doors

_FACE = {
    "Experiment": "experiment",
    "Clock": "clock",
    "prepare": "experiment",
    "run": "runs",
    "stream": "runs",
    "fork": "runs",
    "resume": "runs",
    "estimate": "pace",
    "twins": "divergence",
    "staircase": "staircases",
    "diff": "differences",
    "predict": "theories.base",
    "compare": "comparison",
    "compare_means": "sweeps",
    "sweep": "sweeps",
    "point": "sweeps",
    "load": "record",
    "show": "figures.curves",
    "Squared": "losses",
}
doors.hang(show="learnmech.figures.curves:show", picture="learnmech.figures.curves:picture", report="learnmech.report:save")
doors.hang(staircase="learnmech.figures.staircase:draw")
doors.hang(load_sweep="learnmech.sweeps:load", compare_grid="learnmech.sweeps:compare_grid")
doors.hang(regimes="learnmech.figures.regimes:regimes")
_ROOMS = ("architectures", "data", "initial", "interventions", "instruments", "rules", "theories", "scalings", "losses")
_ROOMS += ("gallery", "figures", "catalog", "report")
__all__ = [*_FACE, *_ROOMS]


def __getattr__(name):
    if name == "__version__":
        return importlib.import_module("learnmech.version").VERSION
    if name in _FACE:
        return getattr(importlib.import_module(f"learnmech.{_FACE[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"learnmech.{name}")
    raise AttributeError(f"learnmech has no {name!r}")


def __dir__():
    return sorted([*__all__, "__version__"])
