"""The semantic hierarchy: broad distinctions before fine ones."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.base import singular_modes
from learnmech.data.hierarchy import Hierarchy
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import exact, reading
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.flow import GradientFlow
from learnmech.theories.base import Condition, rule_is, time_factor, whitened_inputs
from learnmech.theories.modes import Decoupled, half_time, modes_of


def _experiment():
    return Experiment(
        DeepLinear(hidden=(16,)),
        Hierarchy(levels=3),
        fine_flow(),
        Clock(time=20.0, marks=201),
        Aligned(strength=1e-3),
    )


def _distinct(shown):
    """(place, strength, depth of the split) of one mode of each strength."""
    strengths = shown.experiment.data.strengths()
    places = np.unique(np.round(strengths, 9), return_index=True)[1]
    return sorted((int(place), float(strengths[place])) for place in places)


def _verify(shown):
    found = singular_modes(prepare(shown.experiment).data.train)[1]
    strengths = shown.experiment.data.strengths()
    start = prepare(shown.experiment)
    a0, depth_of, pace = modes_of(start).a0, len(start.params), time_factor(start)
    checks = [
        Check(
            "singular values of the tree, in closed form (largest difference)",
            float(np.abs(found - strengths).max()),
            0.0,
            1e-12,
            "round-off",
        )
    ]
    a = shown.record["mode_strength"]
    for depth, (place, s) in enumerate(_distinct(shown)):
        course, times = a.values[:, place], pace * a["time"].values
        reached = bool(course.max() >= 0.5 * s)
        measured = float(np.interp(0.5 * s, course, times)) if reached else float("nan")
        below = Condition(
            "the mode begins above 0 and below half its strength: share of it",
            a0[place] / s,
            "0 to 1/2",
            0 < a0[place] < s / 2,
        )
        said = half_time(a0[place], s, depth_of) if below.holds else float("nan")
        allowed = 1e-4 + reading(times, 2 * depth_of * s ** (2 - 2 / depth_of), said)
        name = "what all items share" if depth == 0 else f"splits at depth {depth - 1}"
        checks.append(
            Check(
                f"{name}: time to half strength",
                measured,
                said,
                allowed,
                "read off between marks",
                premises=(below,),
                reached=reached,
            )
        )
    return tuple(checks), {"strengths": strengths}


def _premises(start):
    yield Condition(
        "the data are a tree",
        type(start.experiment.data).__name__,
        "Hierarchy",
        isinstance(start.experiment.data, Hierarchy),
    )
    yield from exact(start)
    yield rule_is(start, GradientFlow)
    yield whitened_inputs(start)


def _draw(shown):
    figure, (axis,) = sheet(height=4.2)
    seen, said = shown.record["mode_strength"], shown.comparisons[0].said["mode_strength"]
    times = seen["time"].values
    for order, (place, s) in enumerate(_distinct(shown)):
        name = "all share" if order == 0 else f"depth {order - 1}"
        laid(
            axis,
            times[order::6],
            seen.values[order::6, place],
            None,
            order,
            f"{name} (s = {s:.2f})",
            (times, said.values[:, place]),
        )
    axis.set_xlabel(TIME)
    axis.set_ylabel("strength of the mode, a [output/input]")
    axis.legend(title="split of the tree", loc="center left", bbox_to_anchor=(1, 0.5))
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A deep linear network learns a tree of concepts from the root: broad distinctions before"
        " fine ones"
    ),
    source="Saxe, McClelland & Ganguli 2019",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(), EndToEnd()),
    theories=(Decoupled(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "data", "initial", "clock", "loss"),
    draw=_draw,
)
