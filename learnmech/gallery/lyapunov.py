"""Lyapunov: whether twins of one descent diverge, by the regime its rate is in."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.comparison.divergence import twins
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.balanced import Aligned
from learnmech.instruments.losses import Loss
from learnmech.instruments.signals import Watch
from learnmech.interventions.weights import Perturb
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import fork, run

STABLE, CYCLE, CHAOS = 0.3, 1.15, 2.0
KICK = {STABLE: 1e-6, CYCLE: 1e-6, CHAOS: 1e-12}
SETTLED, STEPS, WINDOWS = 200, 12, 24


def _experiment():
    data = Gaussian(n=50, d=1, k=1, map=np.array([[1.0]]), whitened=True)
    return Experiment(
        DeepLinear(hidden=(1,)),
        data,
        GradientDescent(rate=CHAOS),
        Clock(steps=SETTLED + 20 * WINDOWS, every=1),
        Aligned(strength=0.3),
    )


def said(rate: float, u: float, steps: np.ndarray) -> np.ndarray:
    """Finite-time exponents of u' = u - rate u (u^2 - 1), the balanced chain u = w_1 = w_2 of
    target 1 under descent.

    At a minimum that is stable, rate < 1: ln|1 - 2 rate|. On the cycle u_1 u_2 = 1/rate, u_1^2 +
    u_2^2 = 1 + 1/rate, stable for 1 < rate < sqrt(5) - 1: ln|9 - 2 (1 + rate)^2|/2 over an even
    number of steps. At rate 2, where u = sqrt(2) cos(theta) makes it theta' = 3 theta + pi (minus
    the Chebyshev polynomial T_3): ln 3 + ln|sin(3^n theta)/sin(theta)|/n from any u, which tends to
    ln 3.
    """
    if rate == CHAOS:
        theta = np.arccos(u / np.sqrt(2))
        return np.log(3) + np.log(np.abs(np.sin(3.0**steps * theta) / np.sin(theta))) / steps
    return np.full(
        len(steps),
        np.log(abs(1 - 2 * rate)) if rate < 1 else np.log(abs(9 - 2 * (1 + rate) ** 2)) / 2,
    )


def _apart(parent, at, kick):
    """(steps since the kick, distance of the twins, their growth rate, the weight they were
    kicked from)."""
    both = tuple(Perturb(f"{layer}.weight", value=kick, at=at) for layer in ("layer1", "layer2"))
    seen = twins(parent, fork(parent, at, both, (Loss(),)), range(at, at + STEPS + 1))
    return (
        seen["step"].values - at,
        seen["distance"].values,
        seen["growth_rate"].values,
        abs(float(parent.at(at).params["layer1"]["weight"][0, 0])),
    )


def _verify(shown):
    parents = {
        rate: (
            shown.record
            if rate == CHAOS
            else run(shown.experiment.with_value("rule.rate", rate), shown.record.watch)
        )
        for rate in KICK
    }
    curves = {rate: _apart(parents[rate], SETTLED, kick) for rate, kick in KICK.items()}
    checks = []
    for rate, name in (
        (STABLE, "at a stable minimum, ln|1 - 2 rate|"),
        (CYCLE, "on a stable cycle of two, ln|9 - 2 (1 + rate)^2|/2"),
    ):
        steps, _, growth, u = curves[rate]
        # f''/f' is below 60 on these orbits, so that a kick of 1e-6 changes each factor by less
        # than 6e-5, which dies out over the window
        reason = "curvature of the map over a kick of 1e-6"
        checks.append(
            Check(
                f"rate {rate:g}: growth rate over {STEPS} steps {name} [1/step]",
                float(growth[-1]),
                float(said(rate, u, steps[-1:])[0]),
                1e-4,
                reason,
            )
        )
    steps, _, growth, u = curves[CHAOS]
    gap = float(np.abs(growth[1:] - said(CHAOS, u, steps[1:])).max())
    checks.append(
        Check(
            "rate 2: finite-time exponent against its closed form, largest difference",
            gap,
            0.0,
            1e-3,
            "kick 1e-12 times 3^12 times curvature, near a fold",
        )
    )
    windows = range(
        SETTLED,
        int(parents[CHAOS].position) - STEPS,
        (int(parents[CHAOS].position) - SETTLED) // WINDOWS,
    )
    means = [_apart(parents[CHAOS], at, KICK[CHAOS])[2][-1] for at in windows]
    bound = 4 * np.sqrt(2 * np.pi**2 / 12) / STEPS / np.sqrt(len(means)) / np.log(3)
    reason = (
        "four standard errors: ln|sin theta| has variance pi^2/12 for uniform theta, and enters"
        " twice"
    )
    checks.append(
        Check(
            f"rate 2: mean over {len(means)} windows, ln 3 [1/step]",
            float(np.mean(means)),
            float(np.log(3)),
            bound,
            reason,
        )
    )
    return tuple(checks), {"curves": curves}


def _draw(shown):
    figure, (axis,) = sheet(height=4.6)
    names = {STABLE: "a minimum", CYCLE: "a cycle of two", CHAOS: "chaos"}
    for place, (rate, (steps, distance, _, u)) in enumerate(shown.extra["curves"].items()):
        line = distance[0] * np.exp(np.concatenate([[0.0], said(rate, u, steps[1:]) * steps[1:]]))
        at = slice(None, None, 2) if rate == CYCLE else slice(None)
        axis.plot(
            steps[at],
            line[at],
            linestyle=DASHES[place],
            color=COLORS[place],
            label=f"rate {rate:g}, {names[rate]}: predicted",
        )
        axis.plot(
            steps, distance, MARKERS[place], color=COLORS[place], fillstyle="none", label="measured"
        )
    axis.set_yscale("log")
    axis.set_xlabel("steps since the kick")
    axis.set_ylabel("distance of the twins, |dw| [param]")
    axis.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Twins of one descent converge at a minimum and on a cycle, and at twice the critical rate"
        " part by a factor of 3 a step"
    ),
    source="Adler & Rivlin 1964 for the Chebyshev map",
    experiment=_experiment,
    watch=(Loss(), Watch("layer1.weight")),
    twin={"clock.steps": SETTLED + 160},
    verify=_verify,
    draw=_draw,
)
