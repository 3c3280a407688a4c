"""Batch norm under decay: weights settle where steps across make up for decay, and all turn
alike."""

import dataclasses

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.given import Given
from learnmech.instruments.conserved import Turning
from learnmech.rules.descent import SGD
from learnmech.runs.running import run
from learnmech.sweeps import sweep
from learnmech.theories.scale_equilibrium import angular_step, equilibrium_norm, relaxation_steps

# (rate, decay) of the angles; the norms are followed at the second
PAIRS = ((0.02, 0.05), (0.1, 0.05), (0.5, 0.05), (0.5, 0.2), (1.0, 0.2))
STRETCHES = (0.5, 1.0, 2.0)
SEEDS, FULL = 8, 10_000


def _experiment():
    architecture = Mlp(hidden=(8,), norm="batch")
    rule = SGD(rate=0.1, decay=0.05, batch=16)
    return Experiment(
        architecture, Gaussian(n=64, d=6, k=2, noise=1.0), rule, Clock(steps=FULL, every=1)
    )


def _angles(shown):
    """{rate * decay: effective angle of each seed}, by the mean of -ln cos over steps, units and
    the later half of the run."""
    found, full = {}, int(shown.experiment.clock.steps) >= FULL
    for rate, decay in PAIRS if full else PAIRS[1:4]:
        experiment = shown.experiment.with_value("rule.rate", rate).with_value("rule.decay", decay)
        turning = sweep(experiment, {}, SEEDS, (Turning(),))["turning"].values
        late = turning[:, turning.shape[1] // 2 :].mean(axis=(1, 2))
        found[rate * decay] = np.arccos(np.exp(-late))
    return found


def _norms(shown):
    """(steps, {stretch: mean of |w|^4 over units and seeds}, mean square of |w||g| where all is
    steady), from a settled run's end with w stretched."""
    courses, pulls = {stretch: [] for stretch in STRETCHES}, []
    clock = Clock(steps=int(4 * relaxation_steps(*_pace(shown))), every=2)
    for seed in range(SEEDS if int(shown.experiment.clock.steps) >= FULL else SEEDS // 2):
        settled = run(dataclasses.replace(shown.experiment, seed=seed), (Turning(),))
        pulls.append((settled["unit_gradient"].values[len(settled["step"]) // 2 :] ** 2).mean())
        for stretch in STRETCHES:
            params = {
                name: {"weight": layer["weight"] * (stretch if name == "layer1" else 1)}
                for name, layer in _tree(settled.final).items()
            }
            record = run(
                dataclasses.replace(
                    shown.experiment, initial=Given.of(params), seed=100 + seed, clock=clock
                ),
                (Turning(),),
            )
            courses[stretch].append((record["scale_norm"].values ** 4).mean(axis=1))
    return (
        record["step"].values,
        {stretch: np.mean(course, axis=0) for stretch, course in courses.items()},
        float(np.mean(pulls)),
    )


def _tree(leaves):
    tree = {}
    for path, leaf in leaves.items():
        layer, name = path.rsplit(".", 1)
        tree.setdefault(layer, {})[name] = np.asarray(leaf)
    return tree


def _pace(shown):
    return float(shown.experiment.rule.rate), float(shown.experiment.rule.decay)


def _verify(shown):
    angles, (steps, courses, pull) = _angles(shown), _norms(shown)
    checks = []
    for product, seen in angles.items():
        said, error = angular_step(1.0, product), seen.std(ddof=1) / np.sqrt(SEEDS)
        reason = (
            f"three standard errors over {SEEDS} seeds; angles of the mean -ln cos, which is exact"
            " in a steady state"
        )
        checks.append(
            Check(
                f"rate * decay = {product:g}: angle of a step",
                float(seen.mean()),
                said,
                3 * error / said,
                reason,
            )
        )
    settled = equilibrium_norm(np.sqrt(pull), *_pace(shown)) ** 4
    at = int(np.argmin(np.abs(steps - relaxation_steps(*_pace(shown)))))
    wide, plain = courses[STRETCHES[-1]], courses[1.0]
    left, said = (
        (wide[at] - plain[at]) / (wide[0] - plain[0]),
        np.exp(-steps[at] / relaxation_steps(*_pace(shown))),
    )
    reason = (
        "|w||g| depends a little on how fast the weights turn, and wanders by some percent, slower"
        " than the norm relaxes"
    )
    checks.append(
        Check(
            "what is left of a stretch of |w|^4 after the relaxation time",
            float(left),
            float(said),
            0.15,
            reason,
        )
    )
    checks.append(
        Check("|w|^4 is what the gradients say", float(plain.mean()), settled, 0.15, reason)
    )
    return tuple(checks), {"angles": angles, "steps": steps, "courses": courses, "settled": settled}


def _draw(shown):
    figure, (norms, turns, finer) = sheet(1, 3, height=4.4, width=14.0)
    steps, settled, pace = (
        shown.extra["steps"],
        shown.extra["settled"],
        relaxation_steps(*_pace(shown)),
    )
    for place, (stretch, course) in enumerate(shown.extra["courses"].items()):
        said = settled + (course[0] - settled) * np.exp(-steps / pace)
        norms.plot(steps / pace, said**0.25, color=COLORS[place], linestyle=DASHES[place])
        some = slice(0, None, max(1, len(steps) // 16))
        norms.plot(
            steps[some] / pace,
            course[some] ** 0.25,
            MARKERS[place],
            color=COLORS[place],
            markersize=5,
            label=f"stretched {stretch:g} times",
        )
    norms.set_xlabel("step × 4 η r [1]; marks measured, lines predicted")
    norms.set_ylabel("size of normed weights,\nmean |w|⁴ to the power 1/4 [param]")
    norms.legend()
    products, seen = (
        np.array(list(shown.extra["angles"])),
        np.array(list(shown.extra["angles"].values())),
    )
    mean, bars = seen.mean(1), 3 * seen.std(1, ddof=1) / np.sqrt(seen.shape[1])
    fine = np.geomspace(products.min() / 1.5, 1.5 * products.max(), 60)
    said = np.array([angular_step(1.0, x) for x in fine])
    for axis, unit, points in (
        (turns, np.ones_like(fine), np.ones_like(products)),
        (finer, np.sqrt(2 * fine), np.sqrt(2 * products)),
    ):
        axis.plot(fine, said / unit, color=COLORS[0], label="predicted: arccos(1 − η r)")
        axis.plot(
            fine, np.sqrt(2 * fine) / unit, color=COLORS[1], linestyle=DASHES[1], label="√(2 η r)"
        )
        axis.errorbar(
            products,
            mean / points,
            bars / points,
            fmt="o",
            color=COLORS[0],
            capsize=4,
            label="measured, ± 3 standard errors",
        )
        axis.set_xscale("log")
        axis.set_xlabel("rate × decay, η r [1]")
    turns.set_yscale("log")
    turns.set_ylabel("angle of a step, Δ [rad]")
    finer.set_ylabel("angle of a step over √(2 η r) [1]")
    turns.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Weights behind a batch norm settle under decay at one size, and then every step turns them"
        " by arccos(1 − η r), about √(2 η r)"
    ),
    source="van Laarhoven 2017; Li et al. 2020; Kosson et al. 2024",
    experiment=_experiment,
    watch=(Turning(),),
    verify=_verify,
    draw=_draw,
    twin={"clock.steps": 3000},
)
