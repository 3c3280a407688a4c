"""The staircase: from saddle to saddle, out of a shrinking start."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.gallery.premises import exact, layers
from learnmech.initial.gaussian import SmallGaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.flow import GradientFlow
from learnmech.runs.running import run
from learnmech.theories.base import (
    Condition,
    constant,
    no_ridge,
    rule_is,
    squared_loss,
    time_factor,
    whitened_inputs,
)
from learnmech.theories.deep_linear import plain_layers, weights
from learnmech.theories.landscape import plateau_losses
from learnmech.theories.modes import modes_of
from learnmech.theories.small_start import SmallStart, first_strengths, half_times

SIZES = (1e-2, 1e-4, 1e-6, 1e-8)


def _experiment():
    data = LinearTeacher(strengths=(4.0, 2.0, 1.0), n=60, d=6, k=4)
    return Experiment(
        DeepLinear(hidden=(6,)),
        data,
        GradientFlow(rtol=1e-9, atol=1e-18, solver="dopri8"),
        Clock(time=26.0, marks=521),
        SmallGaussian(std=1e-6),
    )


def _premises(start):
    """Two layers from a small start, whitened inputs, and three modes or fewer that are all
    there is to learn, with hidden units to spare."""
    yield layers(start, 2)
    yield from (
        plain_layers(start),
        squared_loss(start),
        no_ridge(start),
        rule_is(start, GradientFlow),
        whitened_inputs(start),
    )
    yield from exact(start)
    small = isinstance(start.experiment.initial, SmallGaussian)
    yield Condition(
        "the start is SmallGaussian, of a size that can be shrunk",
        type(start.experiment.initial).__name__,
        "SmallGaussian",
        small,
    )
    Y, s = np.asarray(start.data.train.Y), modes_of(start).s
    rest = float(np.sum(Y**2) / len(Y) - np.sum(s[:3] ** 2)) / max(
        float(np.sum(Y**2)) / len(Y), np.finfo(float).tiny
    )
    yield Condition(
        "three modes carry all of the targets: the share of the rest", rest, 1e-9, rest <= 1e-9
    )
    s, width = _strengths(start), len(start.params["layer1"]["weight"])
    yield Condition(
        "hidden units, at least twice as many as modes",
        width,
        2 * len(s),
        len(s) > 0 and width >= 2 * len(s),
    )


def _strengths(start):
    """Those of the first three modes that are not 0 to round-off, in units of the loss 1/(2n)
    sum |f - y|^2."""
    s = modes_of(start).s[:3]
    return s[s > 1e-9 * s.max(initial=0.0)]


def _half(strength, s, times):
    """(when a mode has come to half, between marks along a line; whether it has)."""
    at, come = int(np.argmax(strength > 0.5 * s)), bool((strength > 0.5 * s).any())
    if not come or at == 0:
        return float(times[at]), come
    return float(np.interp(0.5 * s, strength[at - 1 : at + 1], times[at - 1 : at + 1])), come


def _verify(shown):
    start = prepare(shown.experiment)
    s, pace = _strengths(start), time_factor(start)
    plateaus = constant(start) * 2 * len(start.data.train.X) * plateau_losses(s)
    losses, halves = {}, []
    for size in SIZES:
        record = run(
            shown.experiment.with_value("initial.std", size), (Loss(), ModeStrengths(count=len(s)))
        )
        losses[size] = record["loss"].values
        a, times = record["mode_strength"].values, pace * record["loss"]["time"].values
        halves.append([_half(a[:, m], s[m], times) for m in range(len(s))])
    reached = np.array([[come for _, come in row] for row in halves]).all(axis=0)
    halves = np.array([[time for time, _ in row] for row in halves])
    lengths = np.log(1 / np.array(SIZES))
    gap, checks = float(np.diff(times).max()), []
    for m in range(len(s)):
        slope = np.polyfit(lengths, halves[:, m], 1)[0]
        reason = (
            "between sizes a hundredfold apart; read off between marks, and modes disturb each"
            " other's start by a constant"
        )
        allowed = 0.03 + 1.5 * gap * s[m] / float(np.ptp(lengths))
        claim = f"mode {m + 1}: delay per factor e of the start's size, 1/s"
        checks.append(
            Check(claim, float(slope), float(1 / s[m]), allowed, reason, reached=bool(reached[m]))
        )
    begun = _begun(start)[: len(s)]
    for m in range(len(s)):
        said = float(half_times(begun * (SIZES[-1] / _size(start)) ** 2, s)[m])
        claim = f"mode {m + 1}: time to half from {SIZES[-1]:g}, with its constant"
        reason = "the start is small against the gaps; what is left is read off between marks"
        allowed = 2e-4 + gap**2 * s[m] / 4 / said
        checks.append(
            Check(claim, float(halves[-1, m]), said, allowed, reason, reached=bool(reached[m]))
        )
    flattest = losses[SIZES[-1]]
    for m, plateau in enumerate(plateaus[: len(s)]):
        nearest = float(flattest[np.argmin(np.abs(flattest - plateau))])
        dwell = float(np.mean(np.abs(flattest - plateau) < 0.01 * plateaus[0]) * times[-1])
        said = f"plateau {m + 1}: how long the loss rests within 1% of its saddle's [param²/loss]"
        reason = (
            f"a saddle is left exponentially slowly (loss there {nearest:.4g}, saddle"
            f" {plateau:.4g})"
        )
        checks.append(
            Check(
                said,
                dwell,
                1.0,
                0.0,
                reason,
                "above",
                (_rests(s, m, lengths[-1]),),
                bool(reached[: m + 1].all()),
            )
        )
    return tuple(checks), {
        "losses": losses,
        "times": times / pace,
        "plateaus": plateaus,
        "halves": halves / pace,
        "s": s,
        "pace": pace,
        "a0": begun / _size(start) ** 2,
    }


def _size(start):
    return float(start.experiment.initial.std)


def _begun(start):
    return first_strengths(*weights(start), modes_of(start))


def _rests(s, m, length) -> Condition:
    """That a saddle lies bare for more than the time looked for: from when the mode before it is
    all but learned until its own is first seen."""
    before = (length + 3) / s[m - 1] if m else 0.0
    rest = float((length - 2.5) / s[m] - before)
    return Condition(
        f"mode {m + 1} is learned apart from the one before: time between, less their own",
        rest,
        1.0,
        rest > 1.0,
    )


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    x = shown.extra
    for place, (size, loss) in enumerate(x["losses"].items()):
        left.plot(
            x["times"],
            loss,
            linestyle=DASHES[place],
            color=COLORS[place],
            label=f"start {size:g}, measured",
        )
    for plateau in x["plateaus"]:
        left.axhline(plateau, color="#555555", linewidth=0.8)
    left.plot([], [], color="#555555", linewidth=0.8, label="saddles predicted")
    left.set_xlabel(TIME)
    left.set_ylabel("training loss, L [loss]")
    left.legend()
    lengths = np.log(1 / np.array(SIZES))
    for m, s in enumerate(x["s"]):
        said = half_times(x["a0"][m] * np.array(SIZES) ** 2, np.full(len(SIZES), s)) / x["pace"]
        right.plot(
            lengths, said, linestyle=DASHES[m], color=COLORS[m], label=f"mode {m + 1} predicted"
        )
        right.plot(
            lengths, x["halves"][:, m], "os^"[m], color=COLORS[m], label=f"mode {m + 1} measured"
        )
    right.set_xlabel("ln(1/size of the start) [1]")
    right.set_ylabel("time to half strength [param²/loss]")
    right.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "From a small random start the loss falls in a staircase from saddle to saddle, each step"
        " later as ln(1/size)"
    ),
    source="Saxe et al. 2014; Jacot et al. 2021",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=3), EndToEnd()),
    theories=(SmallStart(),),
    tolerance={"loss": 1e-5, "mode_strength": 1e-5, "end_to_end": 1e-5},
    reason=(
        "what the start is unbalanced by, 1e-11, over the time of the run; and the flow's 1e-9 a"
        " step, amplified by growth out of the saddle"
    ),
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "data", "initial", "clock", "loss"),
    draw=_draw,
)
