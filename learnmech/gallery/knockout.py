"""Knockout: a hidden unit held at zero, where each carries one mode and where each carries some
of all."""

import dataclasses

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.initial.gaussian import Gaussian as GaussianStart
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import ModeStrengths
from learnmech.interventions.signals import Patch
from learnmech.runs.running import run

STRENGTHS, UNIT, KNOCKED_AT, SPARE_AT, SMALL = (3.0, 2.0, 1.0), 1, 2.0, 6.0, 0.01


def _frames():
    rng = np.random.default_rng(4)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (3, 5))
    return left, right[:, :3]


def _experiment():
    left, right = _frames()
    data = Gaussian(n=60, d=5, k=3, map=left @ np.diag(STRENGTHS) @ right.T, whitened=True)
    # hidden unit a is mode a: W_1 = sqrt(SMALL) V', W_2 = sqrt(SMALL) U
    aligned = Given.of(
        {
            "layer1": {"weight": np.sqrt(SMALL) * right.T},
            "layer2": {"weight": np.sqrt(SMALL) * left},
        }
    )
    knocked = (Patch(f"layer1.post[unit={UNIT}]", value=0.0, at=KNOCKED_AT),)
    return Experiment(
        DeepLinear(hidden=(3,)),
        data,
        fine_flow(),
        Clock(time=15.0, marks=151),
        aligned,
        events=knocked,
    )


def _spare(experiment):
    """The same from a small random start with more hidden units than modes, each of which
    carries some of every mode; knocked out when all is learned."""
    (knock,) = experiment.events
    return dataclasses.replace(
        experiment,
        architecture=DeepLinear(hidden=(8,)),
        initial=GaussianStart(scale=0.1),
        events=(dataclasses.replace(knock, at=SPARE_AT),),
    )


def _verify(shown):
    seen, s = shown.record["loss"].values, np.array(STRENGTHS)
    times = shown.record["loss"]["time"].values
    after = times >= KNOCKED_AT - 1e-9
    first = int(np.argmax(after))
    logistic = s / (1 + (s / SMALL - 1) * np.exp(-2 * s * times[:, None]))
    alive = 0.5 * ((s - logistic) ** 2).sum(axis=1)
    lost = np.where(after[:, None] & (np.arange(3) == UNIT), 0.0, logistic)
    said = 0.5 * ((s - lost) ** 2).sum(axis=1)
    a = logistic[first, UNIT]
    units = [
        shown.record.at(float(t)).params["layer1"]["weight"][UNIT]
        for t in (times[first], times[-1])
    ]
    others = float(
        np.abs(np.delete(shown.record["mode_strength"].values - logistic, UNIT, 1)).max()
    )
    healed = run(_spare(shown.experiment), shown.record.watch)["loss"].values
    knocked = int(np.argmax(times >= SPARE_AT - 1e-9))
    checks = (
        Check(
            "jump of the loss: what the unit's mode carried, a (s - a/2)",
            float(seen[first] - alive[first]),
            a * (s[UNIT] - a / 2),
            1e-8,
            EXACT,
        ),
        Check(
            "loss at every mark against its closed form, largest error over the first",
            float(np.abs(seen - said).max() / said[0]),
            0.0,
            1e-8,
            EXACT,
        ),
        Check(
            "strengths of the other modes against their logistics, largest difference",
            others,
            0.0,
            1e-8,
            EXACT,
        ),
        Check(
            "change of the unit's weights afterwards [param]",
            float(np.abs(units[1] - units[0]).max()),
            0.0,
            0.0,
            "no gradient comes to it: to the bit",
        ),
        Check(
            "loss in the end over s^2/2, the mode unlearned for good",
            float(seen[-1] / (s[UNIT] ** 2 / 2)),
            1.0,
            1e-3,
            "what is left of s = 1",
        ),
        Check(
            "with spare units: loss after the knock over that before",
            float(healed[knocked] / healed[knocked - 1]),
            1e3,
            0.0,
            "it carried something",
            "above",
        ),
        Check(
            "with spare units: loss in the end",
            float(healed[-1]),
            1e-6,
            0.0,
            "the others take over what it carried",
            "below",
        ),
    )
    return checks, {"said": said, "healed": healed}


def _draw(shown):
    figure, (loss, modes) = sheet(1, 2, height=4.2, width=11)
    times = shown.record["loss"]["time"].values
    shows = np.unique(np.concatenate([np.arange(0, 40, 2), np.arange(40, len(times), 8)]))
    loss.plot(times, shown.extra["said"], color="#333333", label="a mode to each unit: predicted")
    loss.plot(
        times[shows],
        shown.record["loss"].values[shows],
        "o",
        color=COLORS[0],
        fillstyle="none",
        label="measured",
    )
    loss.plot(
        times[shows],
        shown.extra["healed"][shows],
        "s",
        color=COLORS[1],
        fillstyle="none",
        markersize=4,
        label="with spare units: measured",
    )
    loss.axvline(SPARE_AT, color="#333333", linewidth=0.8, linestyle=":")
    loss.set_yscale("log")
    loss.set_ylim(1e-7, 20)
    loss.set_ylabel("training loss [loss]")
    seen = shown.record["mode_strength"].values
    for mode, s in enumerate(STRENGTHS):
        modes.plot(
            times,
            s / (1 + (s / SMALL - 1) * np.exp(-2 * s * times)),
            linestyle=DASHES[mode],
            color=COLORS[mode],
            label=f"s = {s:g}: logistic",
        )
        modes.plot(
            times[shows],
            seen[shows, mode],
            MARKERS[mode],
            color=COLORS[mode],
            fillstyle="none",
            label="measured",
        )
    modes.set_ylabel("mode strength, a [output/input]")
    for axis in (loss, modes):
        axis.axvline(KNOCKED_AT, color="#333333", linewidth=0.8)
        axis.set_xlabel(TIME)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Where each hidden unit carries one mode, knocking one out loses that mode for good and no"
        " other; with spare units it is learned again"
    ),
    source="Saxe et al. 2014 for the modes",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths()),
    twin={"clock.marks": 76},
    verify=_verify,
    draw=_draw,
)
