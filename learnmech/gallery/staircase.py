"""The staircase: from saddle to saddle, out of a shrinking start."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.clock import Clock
from learnmech.comparison import Check
from learnmech.data.teachers import LinearTeacher
from learnmech.experiment import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.initial.gaussian import SmallGaussian
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd, ModeStrengths
from learnmech.rules.flow import GradientFlow
from learnmech.runs import run
from learnmech.theories.landscape import plateau_losses
from learnmech.theories.modes import modes_of

SIZES = (1e-2, 1e-4, 1e-6, 1e-8)


def _experiment():
    data = LinearTeacher(strengths=(4.0, 2.0, 1.0), n=60, d=6, k=4)
    return Experiment(DeepLinear(hidden=(6,)), data, GradientFlow(rtol=1e-9, atol=1e-18, solver="dopri8"), Clock(time=26.0, marks=521), SmallGaussian(std=1e-6))


def _verify(shown):
    s = modes_of(prepare(shown.experiment)).s[:3]
    plateaus = plateau_losses(s)
    losses, halves = {}, []
    for size in SIZES:
        record = run(shown.experiment.with_value("initial.std", size), (Loss(), ModeStrengths(count=3)))
        losses[size] = record["loss"].values
        a, times = record["mode_strength"].values, record["loss"]["time"].values
        halves.append([float(times[np.argmax(a[:, m] > 0.5 * s[m])]) for m in range(3)])
    halves = np.array(halves)
    checks = []
    for m in range(3):
        slope = np.polyfit(np.log(1 / np.array(SIZES)), halves[:, m], 1)[0]
        reason = "between sizes a hundredfold apart; read off to 0.05, and modes disturb each other's start by a constant"
        checks.append(Check(f"mode {m + 1}: delay per factor e of the start's size, 1/s", float(slope), float(1 / s[m]), 0.05, reason))
    flattest = losses[SIZES[-1]]
    for m, plateau in enumerate(plateaus[:3]):
        nearest = float(flattest[np.argmin(np.abs(flattest - plateau))])
        dwell = float(np.mean(np.abs(flattest - plateau) < 0.01 * plateaus[0]) * 26.0)
        said = f"plateau {m + 1}: the loss rests within 1% of its saddle's for a time of"
        checks.append(Check(said, dwell, 1.0, 0.0, f"a saddle is left exponentially slowly (loss there {nearest:.4g}, saddle {plateau:.4g})", "above"))
    return tuple(checks), {"losses": losses, "times": times, "plateaus": plateaus, "halves": halves, "s": s}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    x = shown.extra
    for place, (size, loss) in enumerate(x["losses"].items()):
        left.plot(x["times"], loss, linestyle=DASHES[place], color=COLORS[place], label=f"start {size:g}, measured")
    for plateau in x["plateaus"]:
        left.axhline(plateau, color="#555555", linewidth=0.8)
    left.plot([], [], color="#555555", linewidth=0.8, label="saddles predicted")
    left.set_xlabel(TIME)
    left.set_ylabel("training loss, L [loss]")
    left.legend()
    lengths = np.log(1 / np.array(SIZES))
    for m, s in enumerate(x["s"]):
        offset = np.mean(x["halves"][:, m] - lengths / s)
        right.plot(lengths, lengths / s + offset, linestyle=DASHES[m], color=COLORS[m], label=f"mode {m + 1}, slope 1/s predicted")
        right.plot(lengths, x["halves"][:, m], "os^"[m], color=COLORS[m], label=f"mode {m + 1} measured")
    right.set_xlabel("ln(1/size of the start) [1]")
    right.set_ylabel("time to half strength [param²/loss]")
    right.legend(fontsize=8.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim="From a small random start the loss falls in a staircase from saddle to saddle, each step later as ln(1/size)",
    source="Saxe et al. 2014; Jacot et al. 2021",
    experiment=_experiment,
    watch=(Loss(), ModeStrengths(count=3), EndToEnd()),
    verify=_verify,
    draw=_draw,
)
