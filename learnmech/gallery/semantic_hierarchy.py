"""The semantic hierarchy: broad distinctions before fine ones."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.comparison import Check
from learnmech.data.base import singular_modes
from learnmech.data.hierarchy import Hierarchy
from learnmech.experiment import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.theories.modes import Decoupled, half_time


def _experiment():
    return Experiment(DeepLinear(hidden=(16,)), Hierarchy(levels=3), fine_flow(), Clock(time=20.0, marks=201), Aligned(strength=1e-3))


def _distinct(shown):
    """(place, strength, depth of the split) of one mode of each strength."""
    strengths = shown.experiment.data.strengths()
    places = np.unique(np.round(strengths, 9), return_index=True)[1]
    return sorted((int(place), float(strengths[place])) for place in places)


def _verify(shown):
    found = singular_modes(prepare(shown.experiment).data.train)[1]
    strengths = shown.experiment.data.strengths()
    checks = [Check("singular values of the tree, in closed form (largest difference)", float(np.abs(found - strengths).max()), 0.0, 1e-12, "round-off")]
    a = shown.record["mode_strength"]
    for depth, (place, s) in enumerate(_distinct(shown)):
        measured = float(np.interp(0.5 * s, a.values[:, place], a["time"].values))
        name = "what all items share" if depth == 0 else f"splits at depth {depth - 1}"
        checks.append(Check(f"{name}: time to half strength", measured, half_time(1e-3, s, 2), 2e-3, "read off between marks 0.1 apart"))
    return tuple(checks), {}


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    seen, said = shown.record["mode_strength"], shown.comparisons[0].said["mode_strength"]
    times = seen["time"].values
    for order, (place, s) in enumerate(_distinct(shown)):
        name = "all share" if order == 0 else f"depth {order - 1}"
        laid(axis, times[order::6], seen.values[order::6, place], None, order, f"{name} (s = {s:.2f})", (times, said.values[:, place]))
    axis.set_xlabel(TIME)
    axis.set_ylabel("strength of the mode, a [output/input]")
    axis.legend(title="split of the tree", loc="center left", bbox_to_anchor=(1, 0.5))
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="A deep linear network learns a tree of concepts from the root: broad distinctions before fine ones",
    source="Saxe, McClelland & Ganguli 2019",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(), EndToEnd()),
    theories=(Decoupled(),),
    reason=EXACT,
    verify=_verify,
    draw=_draw,
)
