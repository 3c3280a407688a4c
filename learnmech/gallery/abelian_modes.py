"""Abelian modes: cross-entropy solved by the characters of a group."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.comparison.verdicts import compare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.runs.running import run
from learnmech.theories.abelian_modes import (
    AbelianModes,
    character_sums,
    differences,
    simplex_time,
    symmetric_start,
)

# of one size, so that one compiled program runs them all
GROUPS = {"Z_8": (8,), "Z_2^3": (2, 2, 2)}
TIME_END, MARKS, A0 = 120.0, 241, 1e-2


def strengths(group):
    """Of a start: apart by the character, alike for one and its conjugate; 0 for the trivial
    one."""
    K = int(np.prod(group))
    opposite = differences(group)[0]
    s = A0 * 2.0 ** -np.minimum(np.arange(K), opposite)
    return np.where(np.arange(K) == 0, 0.0, s)


def _experiment():
    group = GROUPS["Z_8"]
    return symmetric_start(group, strengths(group), TIME_END, MARKS)


def _verify(shown):
    courses, checks, marks = {}, [], len(shown.record["loss"])
    for name, group in GROUPS.items():
        record, laid_over = shown.record, shown.comparisons[0]
        if name != "Z_8":
            record = run(
                symmetric_start(group, strengths(group), TIME_END, marks), shown.exhibit.watch
            )
            laid_over = compare(record, AbelianModes(group=group))
            checks.append(
                Check(
                    f"the modes of {name}, Hadamard's: theory against the run, largest error",
                    max(row.error for row in laid_over.rows),
                    0.0,
                    1e-8,
                    "a flow at a relative tolerance of 1e-11 per step, over some hundred steps",
                )
            )
        courses[name] = tuple(
            np.array([character_sums(W[:, 0], group) for W in one["end_to_end"].values])
            for one in (record, laid_over.said)
        )
    K = 8
    alike = symmetric_start((K,), np.where(np.arange(K) == 0, 0.0, A0), TIME_END, marks)
    a = character_sums_of(run(alike, shown.exhibit.watch))
    end = float(a[-1])
    checks.append(
        Check(
            "the simplex: time to the strength at which the run ends, by exponential integrals",
            TIME_END,
            simplex_time(end, A0, K),
            1e-8,
            "a flow at a relative tolerance of 1e-11 per step, over some hundred steps",
        )
    )
    return tuple(checks), {"times": shown.record["loss"]["time"].values, "courses": courses}


def character_sums_of(record):
    """Strength of the simplex along a run: an own logit less another."""
    W = record["end_to_end"].values
    return W[:, 0, 0] - W[:, 0, 1]


def _draw(shown):
    figure, axes = sheet(1, 2, height=4.2, width=11.0)
    for axis, (name, (seen, said)) in zip(axes, shown.extra["courses"].items(), strict=True):
        times = shown.extra["times"]
        different = np.unique(np.round(said[0], 12), return_index=True)[1]
        for place, k in enumerate(sorted(k for k in different if said[0, k] > 1e-9)[:7]):
            curve = (times, said[:, k])
            laid(axis, times[::12], seen[::12, k], None, place, f"character {k}", curve)
        axis.set_title(f"characters of {name.replace('_', '')}", fontsize=11)
        axis.set_xlabel(TIME)
        axis.set_ylabel("strength of the mode, s [output/input]")
        axis.legend(fontsize=7.5)
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Two layers under cross-entropy, begun symmetric under an abelian group, stay so: its"
        " characters are their modes"
    ),
    source="derived here; Varre et al. 2025 for the simplex",
    experiment=_experiment,
    twin={"clock.marks": 121},
    watch=(Loss(), EndToEnd()),
    theories=(AbelianModes(),),
    tolerance={"loss": 1e-8, "end_to_end": 1e-8},
    reason="a flow at a relative tolerance of 1e-11 per step, over some hundred steps",
    verify=_verify,
    draw=_draw,
)
