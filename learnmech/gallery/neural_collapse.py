"""Neural collapse: features end at the corners of a simplex, and vanish beyond a ridge."""

import numpy as np

from learnmech.comparison.checks import Check
from learnmech.experiment.recipe import prepare
from learnmech.figures.overlay import laid
from learnmech.figures.style import TIME, sheet, titled
from learnmech.gallery.base import Exhibit
from learnmech.instruments.losses import Loss
from learnmech.instruments.modes import EndToEnd
from learnmech.instruments.weights import Weights
from learnmech.runs.running import run
from learnmech.theories.neural_collapse import NeuralCollapse, collapsed, end_of, free_features

CLASSES, EACH = 4, 3
RIDGES = (0.01, 0.02, 0.04, 0.07, 0.11, 0.18, 0.25)
SETTLES = "the run has settled to round-off of the loss, and its weights to the root of that"


def _experiment():
    return free_features(CLASSES, EACH, hidden=6, ridge=0.02, time=4000.0)


def _geometry(W_1, Y):
    """(spread within classes over that between them, largest distance of the classes' cosines
    from -1/(K - 1)) of the features of one mark."""
    means = (W_1 @ Y) / Y.sum(axis=0)
    within = np.linalg.norm(W_1 - means @ Y.T) / np.linalg.norm(means - means.mean(1)[:, None])
    means = (means - means.mean(1)[:, None]) / np.linalg.norm(
        means - means.mean(1)[:, None], axis=0
    )
    K = Y.shape[1]
    off = (means.T @ means)[~np.eye(K, dtype=bool)] + 1 / (K - 1)
    return within, np.abs(off).max()


def _verify(shown):
    start = prepare(shown.experiment)
    Y, end = np.asarray(start.data.train.Y), end_of(start)
    W_1, W_2 = (shown.record[f"layer{i}.weight"].values for i in (1, 2))
    course = np.array([_geometry(one, Y) for one in W_1])
    reached = []
    for ridge in RIDGES:
        record = run(shown.experiment.with_value("loss.ridge", ridge), (EndToEnd(),))
        W = record["end_to_end"].values[-1]
        reached.append(np.mean(W.T[Y > 0]) * CLASSES / (CLASSES - 1))
    s = np.sqrt(EACH) * np.array(RIDGES)
    said = np.array([collapsed(CLASSES, EACH, ridge, ridge).a for ridge in RIDGES])
    return (
        Check(
            "strength a at seven ridges, above and below the threshold (largest difference)",
            float(np.abs(reached - said).max()),
            0.0,
            1e-6,
            SETTLES,
        ),
        Check(
            "features of one class: their spread over that of the classes",
            float(course[-1, 0]),
            0.0,
            1e-6,
            SETTLES,
        ),
        Check(
            "cosines of classes, from -1/(K - 1) (largest difference)",
            float(course[-1, 1]),
            0.0,
            1e-6,
            SETTLES,
        ),
        Check("|W|^2 of the readout", float(np.sum(W_2[-1] ** 2)), end.readout, 1e-6, SETTLES),
        Check("|H|^2 of the features", float(np.sum(W_1[-1] ** 2)), end.features, 1e-6, SETTLES),
    ), {"course": course, "s": s, "reached": np.array(reached)}


def _draw(shown):
    figure, (left, right) = sheet(1, 2, height=4.2, width=11.0)
    x = shown.extra
    fine = np.linspace(0.008, 0.26, 400)
    ridges = fine / np.sqrt(EACH)
    said = np.array([collapsed(CLASSES, EACH, ridge, ridge).a for ridge in ridges])
    fine = np.append(fine, 0.45)
    laid(left, x["s"], x["reached"], None, 0, "", (fine, np.append(said, 0.0)))
    left.axvline(1 / CLASSES, color="#555555", linewidth=0.8, label="threshold, 1/K")
    left.set_xlabel("ridge, s = √(n λ_W λ_H) [1]")
    left.set_ylabel("strength of the logits at the end, a")
    left.legend()
    times = shown.record["loss"]["time"].values
    names = ("spread within classes", "cosines from −1/(K−1)")
    for place, (name, style) in enumerate(zip(names, ("o-", "s--"), strict=True)):
        right.plot(times, x["course"][:, place], style, color=f"C{place}", markersize=3, label=name)
    right.set_yscale("log")
    right.set_xlabel(TIME)
    right.set_ylabel("distance from a simplex [1]")
    right.legend()
    return titled(figure, shown.exhibit.claim)


exhibit = Exhibit(
    claim=(
        "Free features under a ridge collapse to the corners of a simplex, and to nothing beyond a"
        " threshold"
    ),
    source="Papyan et al. 2020; Zhu et al. 2021; Garrod & Keating 2025",
    experiment=_experiment,
    twin={"clock.time": 3000.0},
    watch=(Loss(), EndToEnd(), Weights()),
    theories=(NeuralCollapse(),),
    tolerance={"loss": 1e-9, "end_to_end": 1e-6},
    reason=SETTLES,
    verify=_verify,
    draw=_draw,
)
