"""Infinite width: both kernels of dense networks, beside neural-tangents in an environment of
its own; the memory they take; quadrature beside closed forms."""

import concurrent.futures
import multiprocessing

import numpy as np

from benchmarks.base import Benchmark, Goal, peak
from benchmarks.foreign import Peer
from learnmech import architectures, scalings
from learnmech.theories.infinite_width import kernel

N, D, WEIGHT, BIAS = 4000, 64, 1.3, 0.4
# name, activation, hidden layers, biases, n, goal
ROWS = (
    ("kernel-relu-3", "relu", 3, False, N, 3),
    ("kernel-relu-10", "relu", 10, False, N, 10),
    ("kernel-relu-bias-3", "relu", 3, True, N, 1),
    ("kernel-erf-3", "erf", 3, True, N, 1),
    ("kernel-gelu-3", "gelu", 3, True, N, 1),
    ("kernel-sin-3", "sin", 3, True, N, 1),
    ("kernel-tanh-3", "tanh", 3, True, 300, 1),
)


def network(activation: str, depth: int, bias: bool) -> architectures.Mlp:
    """A dense network in the ntk scaling."""
    return architectures.Mlp(
        hidden=(64,) * depth,
        activation=activation,
        bias=bias,
        scaling=scalings.NTK(weight=WEIGHT, bias=BIAS),
    )


def inputs(n: int) -> np.ndarray:
    """Gaussian inputs, the same as the peer draws."""
    return np.random.default_rng(0).standard_normal((n, D))


def grown(n: int) -> float:
    """Peak memory of both kernels of n inputs, above what the process held before (a smaller
    kernel has been computed), in kernels of n x n."""
    architecture, X = network("relu", 3, True), inputs(n)
    kernel(architecture, X[:600])
    before = peak()
    kernel(architecture, X)
    return (peak() - before) * 1024 / (8 * n * n)


def _in_a_fresh_process(call) -> float:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(grown, N).result()


def benchmarks() -> list[Benchmark]:
    """One row for each network, then the memory, then tanh (by Hermite series) beside erf
    (closed) at n = 1,000."""
    found = []
    for name, activation, depth, bias, n, goal in ROWS:
        architecture, X = network(activation, depth, bias), inputs(n)

        def ours(architecture=architecture, X=X):
            return float(kernel(architecture, X).ntk[0, 1])

        task = {
            "kind": "infinite",
            "dtype": "float64",
            "hidden": [64] * depth,
            "outputs": 1,
            "activation": activation,
            "bias": bias,
        }
        task |= {"n": n, "d": D, "weight_std": WEIGHT, "bias_std": BIAS}
        peer = _peer(task)

        def says(one, two):
            return f"entry (0, 1) of the ntk differs by {abs(one / two - 1):.0e}, relative"

        found.append(Benchmark(name, Goal("speed-up", goal), ours, peer, says=says))
    few = inputs(1000)
    tanh, erf = (
        lambda activation=activation: kernel(network(activation, 3, True), few)
        for activation in ("tanh", "erf")
    )
    found.append(
        Benchmark(
            "quadrature-dual",
            Goal("overhead", 10),
            tanh,
            erf,
            says=lambda *_: "tanh beside erf, both ours",
        )
    )
    found.append(
        Benchmark(
            "kernel-memory",
            Goal("kernels", 4),
            lambda: None,
            timed=_in_a_fresh_process,
            repetitions=3,
        )
    )
    return found


def _peer(task):
    """The peer is started when it is first called, so that a missing environment costs its own
    row alone."""
    made = []

    def call():
        if not made:
            made.append(Peer(".venv-nt", "tangents.py").ready(**task))
        return made[0].call()

    return call
