"""Curvature of 64-128-128-128-10 on 1,024 digits in float32: a Hessian-vector product, the ten
largest eigenvalues, and the largest along a run."""

import functools
import json
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.foreign import Peer
from learnmech import architectures, data, rules
from learnmech.curvature.lanczos import extremes
from learnmech.curvature.operators import flattened, product_of
from learnmech.march.tracking import Tracker, tracked

K, REPEATED, STEPS = 10, 20, 300


def experiment() -> lm.Experiment:
    """The network, and descent at a rate below the edge of stability."""
    network = architectures.Mlp(hidden=(128, 128, 128))
    return lm.Experiment(
        network,
        data.Digits(train=1024),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=STEPS, every=10),
        precision="float32",
    )


@functools.cache
def prepared():
    """(system, parameters, a vector)."""
    start = lm.prepare(experiment())
    params = jax.tree.map(jnp.asarray, start.state.params)
    flat = flatten_util.ravel_pytree(params)[0]
    return (
        start.system,
        params,
        jnp.asarray(np.random.default_rng(0).standard_normal(flat.size), flat.dtype),
    )


@eqx.filter_jit
def descended(system, params):
    """As many gradients, each at the parameters that the last one led to."""

    def step(params, _):
        _, gradient = system.value_and_gradient(params)
        return jax.tree.map(lambda w, g: w - 1e-3 * g, params, gradient), None

    return jax.lax.scan(step, params, None, length=REPEATED)[0]


@eqx.filter_jit
def multiplied(system, params, v):
    """As many products, linearized once, each with what the last one gave."""
    product = flattened(product_of(system, params), params)
    return jax.lax.scan(lambda v, _: (product(v) / 8, None), v, None, length=REPEATED)[0]


@eqx.filter_jit
def largest(system, params, v, tolerance):
    """The ten largest eigenvalues, by residuals that the basis tells."""
    return extremes(
        flattened(product_of(system, params), params),
        v,
        K,
        0,
        300,
        tolerance,
        2,
        measured=False,
        formed=False,
    )


@eqx.filter_jit
def residuals_of(system, params, values, rows):
    """|Hv - lambda v| by a product for each."""
    product = flattened(product_of(system, params), params)
    return jax.lax.map(
        lambda pair: jnp.linalg.norm(product(pair[0]) - pair[1] * pair[0]), (rows, values)
    )


@functools.cache
def written() -> str:
    """The network and the data in a file for the peers."""
    system, params, _ = prepared()
    path = Path(tempfile.mkdtemp()) / "network.npz"
    weights = {
        f"weight{i}": np.asarray(params[f"layer{i + 1}"]["weight"]) for i in range(len(params))
    }
    np.savez(path, X=np.asarray(system.train.X), Y=np.asarray(system.train.Y), **weights)
    return str(path)


class Other:
    """A peer made ready at its first call, which then tells its values and its largest residual."""

    def __init__(self, **task):
        self.task, self.peer = task | {"k": K, "layers": 4}, None

    def __call__(self):
        if self.peer is None:
            self.peer = Peer(".venv-th", "curvatures.py").ready(**self.task, file=written())
        return self.peer.call()

    def told(self):
        """(values, largest residual) of its first call."""
        said = self.peer._said("told")
        return json.loads(said)


def against(name, goal, ours_to, **task):
    """Ours to a residual no larger than the peer's, beside the peer."""
    system, params, v = prepared()
    other, rng = Other(**task), np.random.default_rng(1)

    def ours():
        start = jnp.asarray(
            rng.standard_normal(v.size), v.dtype
        )  # another each time, as the peers draw theirs: how many products it takes differs
        return jax.block_until_ready(largest(system, params, start, np.asarray(ours_to)))

    def says(found, _):
        values, residual = other.told()
        own = float(np.max(residuals_of(system, params, found.values, found.vectors)))
        apart = np.max(np.abs(np.asarray(found.values) - values)) / values[0]
        return (
            f"residuals {own:.1e} and {residual:.1e}, values apart by {apart:.0e},"
            f" {int(found.products)} products"
        )

    return Benchmark(name, Goal("speed-up", goal), ours, other, says=says, repetitions=9)


def benchmarks() -> list[Benchmark]:
    """A product beside a gradient; ten eigenvalues beside PyHessian (its defaults, and finer)
    and curvlinops with scipy eigsh; tracking beside the bare run."""
    system, params, v = prepared()
    start = lm.prepare(experiment())

    def products():
        jax.block_until_ready(multiplied(system, params, v))

    def gradients():
        jax.block_until_ready(descended(system, params))

    def run():
        return lm.run(start, ("loss",))

    def followed():
        return tracked(start, 10, Tracker())

    def counted(found, _):
        return (
            f"{int(found['products'].sum())} products in {len(found['products'])} readings,"
            f" residuals at most {float(found['residual'].max()):.1e}"
        )

    return [
        Benchmark("hessian-product", Goal("overhead", 1.8), products, gradients, repetitions=9),
        against("top10-pyhessian", 8, 5e-2, kind="pyhessian", iterations=100, tolerance=1e-3),
        against("top10-pyhessian-fine", 8, 5e-4, kind="pyhessian", iterations=1000, tolerance=1e-6),
        against("top10-curvlinops", 4, 1e-4, kind="curvlinops", tolerance=1e-3),
        Benchmark("tracking", Goal("overhead", 2), followed, run, says=counted),
    ]
