"""Linear theory in a nonlinear network: how far it carries."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.alignment import relative_error
from learnmech.comparison.checks import Check
from learnmech.comparison.orders import fitted_order
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.initial.balanced import Aligned
from learnmech.initial.given import Given
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.runs.running import run
from learnmech.theories.modes import Decoupled

SHARES = (0.02, 0.04, 0.08, 0.16, 1.0)
STRENGTHS = (3.0, 2.0, 1.0)


def _experiment():
    """The linear twin, which theory speaks of."""
    data = LinearTeacher(strengths=STRENGTHS, n=100, d=6, k=4)
    return Experiment(
        DeepLinear(hidden=(16,)),
        data,
        fine_flow(),
        Clock(time=6.0, marks=121),
        Aligned(strength=1e-3),
    )


def _verify(shown):
    errors, curves = [], {}
    for share in SHARES:
        scaled = shown.experiment.with_value(
            "data.strengths", [share * s for s in STRENGTHS]
        ).with_value("clock.time", 6.0 / share)
        linear = prepare(scaled.with_value("initial.strength", 1e-3 * share))
        tanh = scaled.with_value(
            "architecture", {"kind": "mlp", "hidden": [16], "activation": "tanh"}
        )
        record = run(
            tanh.with_value("initial", {"kind": "given", "flat": Given.of(linear.params).flat}),
            (Loss(), ModeStrengths(count=3)),
        )
        said = Decoupled().predict(linear)["mode_strength"].values[:, :3]
        seen = record["mode_strength"].values
        errors.append(relative_error(seen, said)[0])
        curves[share] = (record["loss"]["time"].values * share, seen / share, said / share)
    order = fitted_order(SHARES[:-1], errors[:-1])
    s = STRENGTHS[0]
    times, seen, said = curves[1.0]
    late, early = (float(np.interp(0.5 * s, side[:, 0], times)) for side in (seen, said))
    return (
        Check(
            "the error of linear theory goes as the strength of the target^p, p",
            order.slope,
            1.0,
            0.1,
            f"tanh z = z - z^3/3, z^2 ~ a; standard error {order.standard_error:.1g}",
        ),
        Check(
            "at full strength, time to half of the strongest mode: tanh against linear theory",
            late,
            early,
            0.0,
            "hidden units of order one saturate, which slows what they learn",
            "above",
        ),
    ), {"curves": curves, "errors": errors}


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.2, width=11.0)
    for axis, share in zip(axes, (SHARES[1], SHARES[-1]), strict=True):
        times, seen, said = shown.extra["curves"][share]
        for mode in range(3):
            laid(
                axis,
                times[mode::5],
                seen[mode::5, mode],
                None,
                mode,
                f"mode {mode + 1}",
                (times, said[:, mode]),
            )
        axis.set_title(f"targets times {share:g}", fontsize=10)
        axis.set_xlabel("t times the target's scale [param²/loss]")
        axis.set_ylabel("response on each mode,\na over the target's scale [1]")
        axis.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A tanh network on weak targets learns as linear theory says; the error grows with the"
        " targets' strength"
    ),
    source="Saxe, McClelland & Ganguli 2014",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=3), EndToEnd()),
    theories=(Decoupled(),),
    reason=EXACT,
    verify=_verify,
    draw=_draw,
)
