"""The catapult: between 2 and 4 over the kernel, descent throws a wide network uphill into a
flatter place."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.architectures.scalings import NTK
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, DASHES, MARKERS, sheet, titled
from learnmech.gallery.base import STEPS, Exhibit
from learnmech.gallery.premises import exact
from learnmech.instruments.kernels import TangentKernel
from learnmech.instruments.losses import Loss, Outputs
from learnmech.rules.descent import GradientDescent
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.catapult import Catapult, problem

SHARES = (1.5, 2.5, 3.5, 4.3)


def _experiment():
    data = Gaussian(n=1, d=1, map=np.zeros((1, 1)))
    experiment = Experiment(
        DeepLinear(hidden=(4096,), scaling=NTK()),
        data,
        GradientDescent(rate=0.1),
        Clock(steps=150, every=1),
        seed=3,
    )
    return experiment.with_value("rule.rate", 3.0 / problem(prepare(experiment))[1])


def _premises(start):
    width = len(start.params["layer1"]["weight"])
    yield Condition("a wide network, for what is of order 1/width", width, 512, width >= 512)
    f, kernel, y, _, _ = problem(start)
    yield Condition("the target is 0", y, 0.0, y == 0)
    yield Condition(
        "an output that is not 0 at the start, with a kernel", f, "not 0", f != 0 and kernel > 0
    )
    yield exact(start)[0]


def _verify(shown):
    start = prepare(shown.experiment)
    _, kernel, _, share, _ = problem(start)
    width = shown.experiment.architecture.hidden[0]
    courses, ends = {}, {}
    for times in SHARES:
        record = run(
            shown.experiment.with_value("rule.rate", times / kernel), (Loss(), TangentKernel())
        )
        courses[times] = record["loss"].values, record["tangent_kernel"].values[:, 0, 0] / kernel
        ends[times] = courses[times][1][np.isfinite(courses[times][1])][-1]
    lazy, thrown = SHARES[0], SHARES[1:3]
    moved = abs(ends[lazy] - 1)
    flat = max(times * ends[times] for times in thrown)
    peak = max(np.nanmax(courses[times][0]) / courses[times][0][0] for times in thrown)
    # at 1.5 over the kernel f is halved at each step; the kernel moves by share * rate f^2 (rate *
    # kernel - 4) each time
    expected = (
        share * lazy * (4 - lazy) * problem(start)[0] ** 2 / kernel**2 / (1 - (1 - lazy) ** 2)
    )
    finite = np.isfinite(courses[SHARES[3]][0]).all() and len(courses[SHARES[3]][0]) == len(
        shown.record.timeline.positions
    )
    return (
        Check(
            f"below 2 over the kernel (rate * kernel = {lazy:g}): how far the kernel moves, of"
            " order 1/width",
            float(moved),
            float(expected),
            0.05,
            "share * rate * (4 - rate * kernel) * sum of f^2, where f goes as (1 - rate *"
            f" kernel)^t up to 1/width ({width})",
        ),
        Check(
            "between 2 and 4: rate times the kernel at the end",
            float(flat),
            2.0,
            0.0,
            "the loss grows until the kernel has fallen below 2/rate",
            "below",
        ),
        Check(
            "between 2 and 4: the loss rises by at least",
            float(peak),
            10.0,
            0.0,
            "it grows until f^2 is of the order of the width",
            "above",
        ),
        Check("above 4: the run diverges", float(not finite), 1.0, 0.0, "holds or not"),
    ), {"courses": courses}


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.0, width=11.0)
    for place, (times, (loss, kernel)) in enumerate(shown.extra["courses"].items()):
        steps = np.arange(len(loss))
        rate = times / problem(prepare(shown.experiment))[1]
        said = Catapult().predict(prepare(shown.experiment.with_value("rule.rate", rate)))
        style = {"color": COLORS[place], "linestyle": DASHES[place]}
        some = slice(0, 60, 2)
        for axis, seen, line in zip(
            axes,
            (loss, kernel),
            (said["loss"].values, said["tangent_kernel"].values[:, 0, 0] * rate / times),
            strict=True,
        ):
            axis.plot(line[:60], **style, label=f"rate × kernel = {times:g}")
            axis.plot(steps[some], seen[some], MARKERS[place], color=COLORS[place], markersize=4)
    axes[0].set_yscale("log")
    axes[0].set_ylim(1e-12, 1e6)
    axes[1].set_ylim(0, 1.3)
    axes[0].set_ylabel("training loss, L [loss]")
    axes[1].set_ylabel("tangent kernel over its start's [1]")
    for axis in axes:
        axis.set_xlabel("step [1]; dots measured, lines predicted")
    axes[1].legend(fontsize=8.5, loc=(0.58, 0.46))
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "A wide network trained above 2 over its tangent kernel is thrown uphill and lands where"
        " the kernel is below 2/rate; above 4 it diverges"
    ),
    source="Lewkowycz et al. 2020",
    experiment=_experiment,
    watch=(Loss(), Outputs(), TangentKernel()),
    theories=(Catapult(),),
    reason=STEPS,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "rule.rate"),
    draw=_draw,
    twin={"architecture.hidden": (512,)},
)
