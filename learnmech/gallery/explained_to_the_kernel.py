"""Explained to the kernel: how far the infinite-width kernel is from a net on digits, and why."""

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.comparison.checks import Check
from learnmech.data.digits import Digits
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import SGD
from learnmech.studies.ladders import explain

PATH = ("batches", "scaling", "features")
MODES = ("input spectrum", "depth", "nonlinearity", "batches", "gains", "alignment")


def _experiment():
    return Experiment(
        Mlp(hidden=(64, 64), activation="tanh"),
        Digits(train=200, components=16),
        SGD(rate=0.05, batch=32),
        Clock(steps=200, marks=21),
    )


def _verify(shown):
    kernel = explain(shown.experiment, "infinite-width")
    modes = explain(shown.experiment, "decoupled", seeds=1)
    parts = {part.name: part.values for part in kernel.parts}
    scale = float(np.abs(kernel.full).max())
    checks = [
        Check(
            f"{theory}: the parts less theory - run, the largest of all marks and seeds",
            float(np.abs(sum(p.values for p in one.parts) - one.difference).max()) / scale,
            0.0,
            1e-12,
            "they add up exactly, but for round-off",
        )
        for theory, one in (("infinite-width", kernel), ("decoupled", modes))
    ]
    checks += [
        Check(
            f"{theory}: axes of the path that was found, of {len(path)} by hand",
            float(sum(a == b for a, b in zip(one.path.axes, path, strict=False))),
            float(len(path)),
            0.0,
            "facts of conditions and axes",
        )
        for theory, one, path in (("infinite-width", kernel, PATH), ("decoupled", modes, MODES))
    ]
    checks.append(
        Check(
            "sp written as ntk at this width adds nothing: its part over the loss",
            float(np.abs(parts["scaling"]).max()) / scale,
            0.0,
            1e-11,
            "the same function at every step; round-off over 200 of them",
        )
    )
    least = min(float(np.abs(parts[axis]).max()) for axis in ("batches", "features"))
    checks.append(
        Check(
            "noise of batches and moving features each add more than that, over the loss",
            least / scale,
            1e-3,
            0.0,
            "measured: the least of both is beyond 0.1 %",
            "above",
        )
    )
    return tuple(checks), {"budget": kernel}


def _draw(shown):
    return shown.extra["budget"].show()


exhibit = Exhibit(
    claim=(
        "A tanh network on digits is three steps from its infinite-width kernel, and what each of"
        " them adds to how far off that is sums to all of it"
    ),
    source="budgets of simplifications; kernel of Jacot et al. 2018",
    experiment=_experiment,
    watch=(Loss(),),
    twin={"data.train": 60, "clock.steps": 60, "clock.marks": 7},
    verify=_verify,
    draw=_draw,
)
