"""Freeze a layer: what a two-layer network goes on learning when its first layer stands still."""

import dataclasses

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import COLORS, TIME, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import ModeStrengths
from learnmech.interventions.freezing import Freeze
from learnmech.runs.running import run
from learnmech.theories.modes import Decoupled

STRENGTHS, FROZEN_AT = (3.0, 2.0, 1.0), 1.5


def _experiment():
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (3, 5))
    data = Gaussian(n=60, d=5, k=3, map=left @ np.diag(STRENGTHS) @ right[:, :3].T, whitened=True)
    frozen = (Freeze("layer1", at=FROZEN_AT),)
    return Experiment(
        DeepLinear(hidden=(4,)),
        data,
        fine_flow(),
        Clock(time=15.0, marks=151),
        Aligned(strength=0.01),
        events=frozen,
    )


def relaxing(a: np.ndarray, s: np.ndarray, since: np.ndarray) -> np.ndarray:
    """a(t) = s - (s - a_*) exp(-a_* (t - t_*)), (t, mode), of aligned balanced modes whose first
    layer stands still from t_* on, at strength a_*.

    With w_1 = w_2 = sqrt(a_*) there, dw_2/dt = (s - w_1 w_2) w_1 is linear in w_2: rate w_1^2 =
    a_*. Whitened inputs, loss (1/2n) sum |f - y|^2.
    """
    return s - (s - a) * np.exp(-a * since[:, None])


def _verify(shown):
    free = dataclasses.replace(shown.experiment, events=())
    moving = Decoupled().predict(prepare(free))["mode_strength"]
    seen, s = shown.record["mode_strength"], np.array(STRENGTHS)
    times = seen["time"].values
    held = times >= FROZEN_AT - 1e-9
    start = moving.values[held][0]
    said = np.where(held[:, None], relaxing(start, s, times - FROZEN_AT), moving.values)
    gap = float((np.abs(seen.values - said) / s).max())
    layers = [
        shown.record.at(float(t)).params["layer1"]["weight"] for t in (times[held][0], times[-1])
    ]
    beside = run(free, (ModeStrengths(),))["mode_strength"].values
    half = [
        float(np.interp(s[2] / 2, values[:, 2], times)) - FROZEN_AT
        for values in (seen.values, beside)
    ]
    waits = (
        np.log((s[2] - start[2]) / (s[2] / 2)) / start[2],
        np.log(s[2] / start[2] - 1) / (2 * s[2]),
    )
    # linear interpolation between marks h apart is off by h^2 a''/8 in a, with a'' < 1 here, over a
    # slope above 0.08
    reading = "read off between marks 0.1 apart: h^2 a''/8 over the slope"
    checks = (
        Check(
            "every mode strength against its closed form, largest error over s",
            gap,
            0.0,
            1e-8,
            EXACT,
        ),
        Check(
            "largest change of layer 1 while it is frozen [param]",
            float(np.abs(layers[1] - layers[0]).max()),
            0.0,
            0.0,
            "it stands still to the bit",
        ),
        Check(
            "weakest mode: time from then to s/2, frozen",
            half[0],
            float(waits[0]),
            0.1**2 / 8 / 0.08 / waits[0],
            reading,
        ),
        Check(
            "weakest mode: time from then to s/2, not frozen",
            half[1],
            float(waits[1]),
            0.1**2 / 8 / 0.08 / waits[1],
            reading,
        ),
    )
    return checks, {"said": said, "moving": moving.values}


def _draw(shown):
    figure, (axis,) = sheet(height=4.6)
    seen = shown.record["mode_strength"]
    times = seen["time"].values
    shows = np.unique(np.concatenate([np.arange(0, 40, 2), np.arange(40, len(times), 8)]))
    for mode, s in enumerate(STRENGTHS):
        fine = times, shown.extra["said"][:, mode]
        laid(axis, times[shows], seen.values[shows, mode], None, mode, f"s = {s:g}", fine)
        axis.plot(
            times,
            shown.extra["moving"][:, mode],
            color=COLORS[mode],
            linewidth=0.7,
            alpha=0.7,
            label="not frozen" if mode == 2 else None,
        )
    axis.axvline(FROZEN_AT, color="#333333", linewidth=0.8)
    axis.annotate(
        "layer 1 frozen", (FROZEN_AT, 0.05), (5, 0), textcoords="offset points", fontsize=9.5
    )
    axis.set_xlabel(TIME)
    axis.set_ylabel("mode strength, a [output/input]")
    axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "With its first layer frozen half-way a network still learns every mode, but each only at"
        " the rate at which it was already strong"
    ),
    source="Linear in the second layer; Saxe et al. 2014 before the freeze",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths()),
    twin={"clock.time": 6.0, "clock.marks": 61},
    verify=_verify,
    draw=_draw,
)
