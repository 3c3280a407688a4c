"""Coupling by depth: how strongly the layers of a linear network pull on each other, from the
saddle to the minimum."""

import numpy as np

from learnmech.architectures.linear import DeepLinear
from learnmech.comparison.checks import Check
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.figures.style import COLORS, MARKERS, sheet, titled
from learnmech.gallery.base import EXACT, Exhibit, fine_flow
from learnmech.gallery.premises import exact
from learnmech.initial.balanced import Aligned
from learnmech.instruments.coupling import Coupling
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import ModeStrengths
from learnmech.runs.running import run
from learnmech.theories.base import Condition
from learnmech.theories.modes import Decoupled
from learnmech.theories.scalar import scalar_problem

DEPTHS = (2, 3, 5)
STRENGTHS = (3.0, 2.0, 1.0)


def _map():
    rng = np.random.default_rng(5)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (3, 4))
    return left @ np.diag(STRENGTHS) @ right[:, :3].T


def _experiment():
    data = Gaussian(n=60, d=4, k=3, map=_map(), whitened=True)
    return Experiment(
        DeepLinear(hidden=(5, 5, 5)),
        data,
        fine_flow(),
        Clock(time=12.0, marks=61),
        Aligned(strength=0.1),
    )


def at_the_minimum(strengths: np.ndarray, depth: int, d: int, k: int) -> np.ndarray:
    """C_lm (depth, depth) at a balanced minimum on whitened inputs, loss (1/2n) sum |f - y|^2.

    There H_lm = J_l'J_m, J_l = (W_L ... W_{l+1}) x (W_{l-1} ... W_1)', and J_l J_l' has the
    eigenvalues p_a^(2(L-l)/L) p_b^(2(l-1)/L) in the same basis for every l: C_lm^2 = sum_ab
    p_a^(2(2L-l-m)/L) p_b^(2(l+m-2)/L) over outputs a and inputs b, p the mode strengths filled up
    with zeros. Only l + m counts.
    """
    outputs, inputs = (np.pad(strengths, (0, size - len(strengths))) for size in (k, d))
    layers = np.arange(1, depth + 1)
    below = layers[:, None] + layers[None, :] - 2
    squared = [
        [
            np.sum(outputs ** (2 * (2 * (depth - 1) - b) / depth))
            * np.sum(inputs ** (2 * b / depth))
            for b in row
        ]
        for row in below
    ]
    return np.sqrt(np.array(squared))


def _chain(shown, depth):
    """(share learned u/s as theory says it, coupling of two layers over that of one with itself
    as measured) over time."""
    data = {"kind": "gaussian", "n": 50, "d": 1, "k": 1, "map": [[1.0]], "whitened": True}
    experiment = (
        shown.experiment.with_value("data", data)
        .with_value("architecture.hidden", [1] * (depth - 1))
        .with_value("clock.time", 16.0)
    )
    blocks = run(experiment, (Coupling(),))["coupling"].values
    start = prepare(experiment)
    learned = Decoupled().predict(start)["mode_strength"].values[:, 0] / scalar_problem(start)[0]
    return learned, blocks[:, 0, 1] / blocks[:, 0, 0]


def enslaved(learned):
    """C_lm/C_ll = |2 - s/u| of a balanced chain u = w_1 ... w_L: H_ll = u^2/w^2 and H_lm =
    u^2/w^2 + (u - s) u/w^2, at every depth."""
    return np.abs(2 - 1 / learned)


def _premises(start):
    yield from exact(start)
    count, least = (
        len(start.params),
        min(
            len(layer["weight"])
            for layer in list(start.params.values())[:-1] or start.params.values()
        ),
    )
    yield Condition("two layers or more", count, 2, count >= 2)
    yield Condition("a hidden unit for every mode", least, 3, least >= 3)


def _verify(shown):
    depth = len(shown.experiment.architecture.hidden) + 1
    seen, said = (
        shown.record["coupling"].values[-1],
        at_the_minimum(np.array(STRENGTHS), depth, 4, 3),
    )
    a = np.sort(shown.record["mode_strength"].values[-1])[::-1][:3]
    reached = bool(np.abs(a / np.array(STRENGTHS) - 1).max() <= 1e-9)
    gap = float(np.abs(seen / said - 1).max())
    spread = max(
        float(np.ptp(np.diag(seen[:, ::-1], k=k))) for k in range(1 - depth, depth)
    ) / float(seen.max())
    checks = [
        Check(
            f"depth {depth}, learned: every C_lm over its closed form, largest error",
            gap,
            0.0,
            1e-8,
            EXACT,
            reached=reached,
        ),
        Check(
            f"depth {depth}, learned: C_lm at one l + m, largest spread over the largest",
            spread,
            0.0,
            1e-8,
            EXACT,
            reached=reached,
        ),
    ]
    chains = {chain: _chain(shown, chain) for chain in DEPTHS}
    for chain, (learned, ratio) in chains.items():
        gap = float((np.abs(ratio - enslaved(learned)) / (2 + 1 / learned)).max())
        checks.append(
            Check(
                f"chain of depth {chain}: C_12/C_11 against |2 - s/u|, largest error over 2 + s/u",
                gap,
                0.0,
                1e-8,
                EXACT,
            )
        )
    return tuple(checks), {"seen": seen, "said": said, "chains": chains}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2)
    seen, said = shown.extra["seen"], shown.extra["said"]
    depth = len(seen)
    for layer in range(depth):
        over = layer + 2 + np.arange(depth)
        left.plot(
            over,
            seen[layer],
            linestyle="none",
            marker=MARKERS[layer],
            fillstyle="none",
            markersize=8 + 3 * layer,
            color=COLORS[layer],
            label=f"l = {layer + 1}",
        )
    sums = np.arange(2, 2 * depth + 1)
    left.plot(
        sums,
        [said[max(0, t - 1 - depth), t - 2 - max(0, t - 1 - depth)] for t in sums],
        color="#333333",
        linewidth=1.2,
        label="predicted",
    )
    left.set_xlabel("l + m")
    left.set_ylabel("coupling of layers l and m when learned,\nC_lm [loss/param²]")
    left.legend(title=f"depth {depth}, measured")
    grid = np.geomspace(0.1, 1, 400)
    right.plot(grid, enslaved(grid), color="#333333", linewidth=1.2, label="|2 - s/u| predicted")
    for place, (chain, (learned, ratio)) in enumerate(shown.extra["chains"].items()):
        shows = np.unique(
            np.searchsorted(learned, np.geomspace(0.1, 0.999, 16)).clip(0, len(learned) - 1)
        )
        right.plot(
            learned[shows],
            ratio[shows],
            linestyle="none",
            marker=MARKERS[place],
            fillstyle="none",
            color=COLORS[place],
            label=f"chain of depth {chain}, measured",
        )
    right.set_xlabel("share learned, u/s")
    right.set_ylabel("coupling of two layers over that\nof one with itself, C_12/C_11")
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Layers pull on each other most at the saddle and not at all half-way; once all is learned,"
        " l + m alone decides"
    ),
    source="Hessian of balanced linear networks (Saxe et al. 2014 for the dynamics)",
    experiment=_experiment,
    watch=(Loss(), Coupling(), ModeStrengths()),
    twin={"architecture.hidden": [5, 5], "clock.marks": 31},
    theories=(Decoupled(),),
    reason=EXACT,
    verify=_verify,
    premises=_premises,
    free=("architecture.hidden", "clock"),
    draw=_draw,
)
