"""Overhead: learnmech beside a scan written by hand in JAX that records the same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.theory_scale import RATE, experiment, farthest
from learnmech import instruments

STEPS = (100_000, 20_000)


def loss_of(weights, X, Y):
    """|f - Y|^2 / 2n of a tanh network."""
    h = X
    for weight in weights[:-1]:
        h = jnp.tanh(h @ weight.T)
    return jnp.sum((h @ weights[-1].T - Y) ** 2) / (2 * X.shape[0])


@functools.partial(jax.jit, static_argnums=(4, 5))
def scanned(weights, X, Y, rate, whole, steps):
    """The loss, and where `whole` also the weights, before each step and after the last."""

    def step(weights, _):
        loss, gradient = jax.value_and_grad(loss_of)(weights, X, Y)
        return [w - rate * g for w, g in zip(weights, gradient, strict=True)], (
            loss,
            weights if whole else [],
        )

    return jax.lax.scan(step, weights, None, length=steps + 1)[1]


def benchmarks() -> list[Benchmark]:
    """At each of 100,000 steps (and of 20,000), in memory, on both sides: the loss and all weights
    (492 MB); and the loss alone, which leaves the loop by itself."""

    def beside(name, watch, steps):
        start = lm.prepare(experiment(lm.Clock(steps=steps, every=1)))
        weights = [start.state.params[f"layer{i}"]["weight"] for i in (1, 2, 3)]
        X, Y = start.system.train.X, start.system.train.Y
        whole = len(watch) > 1

        def says(record, recorded):
            apart = farthest([record["loss"].values], [recorded[0]])
            if whole:
                apart = max(
                    apart,
                    farthest(
                        [record[f"layer{i}.weight"].values[-1] for i in (1, 2, 3)],
                        [w[-1] for w in recorded[1]],
                    ),
                )
            return f"records differ by {apart:.1e}"

        def by_hand():
            return jax.tree.map(np.asarray, scanned(weights, X, Y, jnp.float32(RATE), whole, steps))

        return Benchmark(
            name,
            Goal("overhead", 1.1),
            lambda: lm.run(start, watch=watch),
            by_hand,
            repetitions=7,
            says=says,
        )

    loss, all_weights = (instruments.Loss(),), (instruments.Loss(), instruments.Weights())
    return [
        beside(name + ("" if steps == STEPS[0] else f"-{steps // 1000}k"), watch, steps)
        for steps in STEPS
        for name, watch in (("overhead", all_weights), ("overhead-loss", loss))
    ]
