"""Costs: what the twin of each exhibit took where it was measured, by `python -m
benchmarks.exhibits`: seconds of CPU, for estimates alone."""

from typing import NamedTuple


class Cost(NamedTuple):
    """Seconds of a twin in a fresh process: of its own run what compiling took and the rest;
    likewise of what follows it, its theories, its checks and their further runs."""

    compiling: float
    running: float
    further_compiling: float
    further: float


COSTS: dict[str, Cost] = {
    "adam-edge": Cost(8.4, 0.52, 1.06, 1.1),
    "batch-norm-equilibrium": Cost(2.18, 0.06, 3.06, 1.35),
    "bayes-vs-descent": Cost(2.34, 0.08, 5.3, 9.25),
    "catapult": Cost(1.28, 0.02, 4.51, 0.08),
    "central-flow": Cost(3.18, 0.04, 14.3, 3.5),
    "central-flow-map": Cost(2.44, 0.07, 12.46, 6.44),
    "clones-split": Cost(4.54, 0.14, 0.0, 1.84),
    "conservation-law": Cost(3.34, 0.02, 2.38, 0.1),
    "coordinate-check": Cost(2.0, 0.09, 16.38, 5.05),
    "coupling-by-depth": Cost(3.83, 0.04, 8.9, 0.11),
    "critical-rate": Cost(0.97, 0.01, 2.87, 0.32),
    "descent-leaves-flow": Cost(1.49, 0.02, 5.1, 1.63),
    "descent-to-flow": Cost(1.21, 0.01, 5.94, 2.74),
    "diagonal-bias": Cost(2.74, 0.34, 4.6, 0.41),
    "digits-modes": Cost(6.25, 0.32, 0.94, 0.24),
    "early-stopping-ridge": Cost(1.17, 0.03, 1.43, 0.34),
    "edge-of-chaos": Cost(4.99, 0.07, 4.51, 3.7),
    "edge-of-stability": Cost(5.0, 0.08, 8.81, 0.76),
    "flow-over-sharpness": Cost(1.05, 0.01, 21.8, 18.78),
    "freeze-a-layer": Cost(4.58, 0.03, 3.49, 0.04),
    "kernel-predicts-training": Cost(5.88, 0.25, 5.96, 4.96),
    "kick": Cost(1.56, 0.04, 5.01, 0.56),
    "knockout": Cost(5.39, 0.04, 6.22, 0.05),
    "lambda-balanced": Cost(3.07, 0.03, 3.55, 0.23),
    "lazy-over-width": Cost(1.29, 0.01, 11.82, 6.43),
    "lazy-to-rich": Cost(4.91, 0.04, 7.57, 1.54),
    "lazy-training": Cost(3.06, 0.06, 13.58, 2.55),
    "linear-theory-over-tanh": Cost(0.96, 0.01, 3.18, 2.96),
    "linear-vs-tanh": Cost(3.4, 0.03, 4.2, 0.51),
    "low-rank-bias": Cost(2.33, 0.3, 2.99, 1.52),
    "lyapunov": Cost(0.81, 0.02, 2.48, 2.18),
    "mean-field-linear": Cost(3.52, 0.03, 15.17, 4.04),
    "minimum-norm": Cost(1.15, 0.01, 2.29, 0.08),
    "modified-loss": Cost(1.54, 0.02, 5.69, 2.49),
    "one-knob-lazy-to-rich": Cost(2.31, 0.01, 11.79, 2.79),
}
