"""Empirical kernels: the traced tangent kernel of 64-256-256-256-10 at n = 256, beside Jacobian
contraction and neural-tangents' structured derivatives."""

import concurrent.futures
import multiprocessing
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.base import Benchmark, Goal, peak
from benchmarks.foreign import Peer
from benchmarks.torch_training import TORCH, written
from learnmech import architectures, scalings
from learnmech.kernels.empirical import full_kernel, traced_kernel

D, HIDDEN, OUTPUTS, N = 64, (256, 256, 256), 10, 256


def drawn():
    """The network, its weights and the inputs as the peers draw them, in float32."""
    rng, widths = np.random.default_rng(0), (D, *HIDDEN, OUTPUTS)
    shapes = zip(widths[1:], widths[:-1], strict=True)
    params = {
        f"layer{i}": {"weight": jnp.asarray(rng.standard_normal(shape), jnp.float32)}
        for i, shape in enumerate(shapes, 1)
    }
    X = jnp.asarray(rng.standard_normal((N, D)), jnp.float32)
    return architectures.Mlp(hidden=HIDDEN, activation="tanh", scaling=scalings.NTK()), params, X


def grown(_) -> float:
    """Peak memory of the traced kernel beside its result, in MB, above what the process held
    after compiling it for a few inputs."""
    architecture, params, X = drawn()
    jax.block_until_ready(traced_kernel(architecture, params, X[:2]))
    compiled = jax.jit(lambda p, x: traced_kernel(architecture, p, x)).lower(params, X).compile()
    before = peak()
    result = jax.block_until_ready(compiled(params, X))
    return (peak() - before) / 1024 - result.nbytes / 2**20


def full_in_memory(n: int) -> float:
    """Peak memory of the full (n, n, k, k) kernel over the size of its result."""
    architecture, params, _ = drawn()
    X = jnp.asarray(np.random.default_rng(0).standard_normal((n, D)), jnp.float32)
    full_kernel(architecture, params, X[:64])
    before = peak()
    result = full_kernel(architecture, params, X)
    return (peak() - before) * 1024 / result.nbytes


def _in_a_fresh_process(measure, argument):
    def timed(call):
        with concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn")
        ) as pool:
            return pool.submit(measure, argument).result()

    return timed


def _by_torch():
    """Jacobian contraction in torch.func, in a process of its own."""
    made = []

    def call():
        if not made:
            _, params, X = drawn()
            peer, folder = Peer(TORCH, "training.py"), tempfile.TemporaryDirectory()
            file = written(Path(folder.name), 0, params, X, X)
            made.extend(
                (
                    peer.ready(
                        kind="kernel", files=[file], layers=len(params), threads=os.cpu_count()
                    ),
                    folder,
                )
            )
        return made[0].call()

    return call


def _peer(environment, implementation):
    task = {
        "kind": "empirical",
        "dtype": "float32",
        "hidden": list(HIDDEN),
        "outputs": OUTPUTS,
        "n": N,
        "d": D,
        "implementation": implementation,
    }
    made = []

    def call():
        if not made:
            made.append(Peer(environment, "tangents.py").ready(**task))
        return made[0].call()

    return call


def benchmarks() -> list[Benchmark]:
    """Against Jacobian contraction (that library's default, and torch.func), against its
    structured derivatives; memory; the full kernel at n = 1,000."""
    architecture, params, X = drawn()

    def ours():
        return float(jax.block_until_ready(traced_kernel(architecture, params, X))[0, 1])

    def says(one, two):
        return f"entry (0, 1) differs by {abs(one / two - 1):.0e}, relative"

    peers = {
        "ntk-jacobian": (60, _peer(".venv-nt", "JACOBIAN_CONTRACTION")),
        "ntk-structured": (1.2, _peer(".venv-nt-old", "STRUCTURED_DERIVATIVES")),
    }
    found = [
        Benchmark(name, Goal("speed-up", goal), ours, peer, says=says)
        for name, (goal, peer) in peers.items()
    ]
    found.insert(
        1,
        Benchmark(
            "ntk-torch-func", Goal("speed-up", 60), ours, _by_torch(), says=says, repetitions=3
        ),
    )
    found.append(
        Benchmark(
            "ntk-memory",
            Goal("MB", 20),
            lambda: None,
            timed=_in_a_fresh_process(grown, None),
            repetitions=3,
        )
    )
    found.append(
        Benchmark(
            "ntk-full-memory",
            Goal("results", 2),
            lambda: None,
            timed=_in_a_fresh_process(full_in_memory, 1000),
            repetitions=1,
        )
    )
    return found
