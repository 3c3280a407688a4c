"""learnmech: a laboratory for learning mechanics, the physics of how deep networks learn.

Write an experiment as architecture, data, loss and learning rule; run it with everything knowable;
lay theory over it.
"""

import importlib
from typing import TYPE_CHECKING

from learnmech.language import doors, moved

# what `__getattr__` gives, for tools that read and do not run; a test holds the two against each
# other
if TYPE_CHECKING:
    from learnmech import activations as activations
    from learnmech import architectures as architectures
    from learnmech import curvature as curvature
    from learnmech import data as data
    from learnmech import figures as figures
    from learnmech import gallery as gallery
    from learnmech import generalization as generalization
    from learnmech import initial as initial
    from learnmech import instruments as instruments
    from learnmech import interventions as interventions
    from learnmech import kernels as kernels
    from learnmech import lab as lab
    from learnmech import losses as losses
    from learnmech import report as report
    from learnmech import rules as rules
    from learnmech import simplifications as simplifications
    from learnmech import theories as theories
    from learnmech.architectures import scalings as scalings
    from learnmech.comparison.differences import diff as diff
    from learnmech.comparison.divergence import twins as twins
    from learnmech.comparison.learning_curves import LearningCurve as LearningCurve
    from learnmech.comparison.learning_curves import learning_curve as learning_curve
    from learnmech.comparison.staircases import staircase as staircase
    from learnmech.comparison.verdicts import Comparison as Comparison
    from learnmech.comparison.verdicts import compare as compare
    from learnmech.curvature import samplewise as samplewise
    from learnmech.data.card import data_card as data_card
    from learnmech.errors import Refused as Refused
    from learnmech.experiment.clock import Clock as Clock
    from learnmech.experiment.recipe import Experiment as Experiment
    from learnmech.experiment.recipe import Start as Start
    from learnmech.experiment.recipe import prepare as prepare
    from learnmech.figures.curves import show as show
    from learnmech.generalization.scaling_laws import PowerLaw as PowerLaw
    from learnmech.generalization.scaling_laws import power_law as power_law
    from learnmech.language import catalog as catalog
    from learnmech.losses import Squared as Squared
    from learnmech.record import Record as Record
    from learnmech.record import load as load
    from learnmech.rules import schedules as schedules
    from learnmech.runs import sinks as sinks
    from learnmech.runs.blocks import stream as stream
    from learnmech.runs.jobs import Job as Job
    from learnmech.runs.pace import estimate as estimate
    from learnmech.runs.running import fork as fork
    from learnmech.runs.running import resume as resume
    from learnmech.runs.running import run as run
    from learnmech.simplifications.orders import simplified as simplified
    from learnmech.studies.ladders import explain as explain
    from learnmech.studies.ladders import ladder as ladder
    from learnmech.studies.maps import map_error as map_error
    from learnmech.studies.variables import closure as closure
    from learnmech.studies.variables import collapse as collapse
    from learnmech.studies.variables import universal as universal
    from learnmech.sweeps import compare_grid as compare_grid
    from learnmech.sweeps import compare_means as compare_means
    from learnmech.sweeps import error_bars as error_bars
    from learnmech.sweeps import gather as gather
    from learnmech.sweeps import point as point
    from learnmech.sweeps import sweep as sweep
    from learnmech.system import symmetries as symmetries
    from learnmech.theories.base import predict as predict

    __version__: str

_FACE = {
    "Experiment": "experiment.recipe",
    "Clock": "experiment.clock",
    "prepare": "experiment.recipe",
    "run": "runs.running",
    "stream": "runs.blocks",
    "fork": "runs.running",
    "resume": "runs.running",
    "estimate": "runs.pace",
    "Job": "runs.jobs",
    "twins": "comparison.divergence",
    "staircase": "comparison.staircases",
    "learning_curve": "comparison.learning_curves",
    "LearningCurve": "comparison.learning_curves",
    "power_law": "generalization.scaling_laws",
    "PowerLaw": "generalization.scaling_laws",
    "diff": "comparison.differences",
    "predict": "theories.base",
    "compare": "comparison.verdicts",
    "compare_grid": "sweeps",
    "compare_means": "sweeps",
    "error_bars": "sweeps",
    "gather": "sweeps",
    "sweep": "sweeps",
    "simplified": "simplifications.orders",
    "ladder": "studies.ladders",
    "explain": "studies.ladders",
    "map_error": "studies.maps",
    "collapse": "studies.variables",
    "universal": "studies.variables",
    "closure": "studies.variables",
    "point": "sweeps",
    "load": "record",
    "show": "figures.curves",
    "data_card": "data.card",
    "Squared": "losses",
    "Record": "record",
    "Start": "experiment.recipe",
    "Comparison": "comparison.verdicts",
    "Refused": "errors",
}
moved.answer()
doors.hang(
    show="learnmech.figures.curves:show",
    picture="learnmech.figures.curves:picture",
    report="learnmech.report:save",
)
doors.hang(
    staircase="learnmech.figures.staircase:draw",
    learning_curve="learnmech.figures.learning_curve:draw",
)
doors.hang(load_sweep="learnmech.sweeps:load", compare_grid="learnmech.sweeps:compare_grid")
doors.hang(
    data_sheet="learnmech.figures.data:draw",
    data_picture="learnmech.figures.data:picture",
    certificate="learnmech.generalization.spectrum:certificate",
    infinite_kernel="learnmech.kernels.infinite:kernel",
)
doors.hang(explore="learnmech.lab.widget:explore")
doors.hang(regimes="learnmech.figures.regimes:regimes")
_FAMILIES = (
    "architectures",
    "data",
    "initial",
    "interventions",
    "instruments",
    "rules",
    "theories",
    "losses",
    "simplifications",
)
_ROOMS = (
    *_FAMILIES,
    "activations",
    "kernels",
    "curvature",
    "generalization",
    "gallery",
    "figures",
    "report",
    "lab",
)
_WITHIN = {
    "scalings": "architectures",
    "schedules": "rules",
    "symmetries": "system",
    "samplewise": "curvature",
    "sinks": "runs",
    "catalog": "language",
}
"""{module that people ask for by its own name: the room it is in}."""
__all__ = [*_FACE, *_ROOMS, *_WITHIN]


if not TYPE_CHECKING:  # with it a checker would let every name pass

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
