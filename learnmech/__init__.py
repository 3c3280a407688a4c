"""learnmech: a laboratory for learning mechanics, the physics of how deep networks learn.

Write an experiment as architecture, data, loss and learning rule; run it with everything knowable; lay theory over it.
"""

import importlib

from learnmech.language import doors

_FACE = {
    "Experiment": "experiment.recipe",
    "Clock": "experiment.clock",
    "prepare": "experiment.recipe",
    "run": "runs.run",
    "stream": "runs.run",
    "fork": "runs.run",
    "resume": "runs.run",
    "estimate": "runs.pace",
    "twins": "comparison.divergence",
    "staircase": "comparison.staircases",
    "diff": "comparison.differences",
    "predict": "theories.base",
    "compare": "comparison.verdicts",
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
_ROOMS = ("architectures", "data", "initial", "interventions", "instruments", "rules", "theories", "losses", "curvature")
_ROOMS += ("gallery", "figures", "report")
_WITHIN = {"scalings": "architectures", "schedules": "rules", "symmetries": "system", "samplewise": "curvature", "catalog": "language"}
"""{module that people ask for by its own name: the room it is in}."""
__all__ = [*_FACE, *_ROOMS, *_WITHIN]


def __getattr__(name):
    if name == "__version__":
        return importlib.import_module("learnmech.machine.version").VERSION
    if name in _FACE:
        return getattr(importlib.import_module(f"learnmech.{_FACE[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"learnmech.{name}")
    if name in _WITHIN:
        return importlib.import_module(f"learnmech.{_WITHIN[name]}.{name}")
    raise AttributeError(f"learnmech has no {name!r}")


def __dir__():
    return sorted([*__all__, "__version__"])
