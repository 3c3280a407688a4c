"""Rule steps: each rule that Optax has, beside the same Optax update in a scan written by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from benchmarks.overhead import loss_of
from benchmarks.theory_scale import experiment, farthest
from learnmech import instruments, rules

STEPS, SAID_AT, RATE = 60_000, 50, 1e-4
ACROSS = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
TWINS = {
    "descent": (rules.GradientDescent(rate=RATE), lambda: optax.sgd(RATE)),
    "heavy-ball": (rules.HeavyBall(rate=RATE, momentum=0.9), lambda: optax.sgd(RATE, momentum=0.9)),
    "nesterov": (
        rules.Nesterov(rate=RATE, momentum=0.9),
        lambda: optax.sgd(RATE, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (
        rules.RMSProp(rate=RATE, b2=0.99),
        lambda: optax.rmsprop(RATE, decay=0.99, eps_in_sqrt=False),
    ),
    "adam": (rules.Adam(rate=RATE), lambda: optax.adam(RATE)),
    "adamw": (rules.AdamW(rate=RATE, decay=1e-2), lambda: optax.adamw(RATE, weight_decay=1e-2)),
    "lion": (rules.Lion(rate=RATE), lambda: optax.lion(RATE, weight_decay=0.0)),
    "sign": (rules.SignDescent(rate=RATE), lambda: optax.sign_sgd(RATE)),
    "muon": (
        rules.Muon(rate=RATE),
        lambda: optax.contrib.muon(
            RATE, muon_weight_dimension_numbers=lambda params: [ACROSS] * len(params)
        ),
    ),
}


def scan_of(transformation):
    """A compiled scan by hand: the losses before each of so many steps and after the last, and
    the weights after them."""

    @functools.partial(jax.jit, static_argnums=3)
    def scanned(weights, X, Y, steps):
        def step(carry, _):
            weights, memory = carry
            loss, gradient = jax.value_and_grad(loss_of)(weights, X, Y)
            updates, memory = transformation.update(gradient, memory, weights)
            return (optax.apply_updates(weights, updates), memory), loss

        (weights, _), losses = jax.lax.scan(
            step, (weights, transformation.init(weights)), None, length=steps
        )
        return jnp.append(losses, loss_of(weights, X, Y)), weights

    return scanned


def benchmarks() -> list[Benchmark]:
    """The loss at each of 60,000 steps of a tanh network 10-30-30-1 in float32 on both sides;
    weights are compared after the first 50."""
    watch = (instruments.Loss(),)

    def beside(name, rule, transformation):
        start, early = (
            lm.prepare(experiment(lm.Clock(steps=steps, every=1)).with_value("rule", rule))
            for steps in (STEPS, SAID_AT)
        )
        weights = [start.state.params[f"layer{i}"]["weight"] for i in (1, 2, 3)]
        X, Y, scanned = start.system.train.X, start.system.train.Y, scan_of(transformation)

        def says(record, losses):
            ends = [lm.run(early, watch).final[f"layer{i}.weight"] for i in (1, 2, 3)]
            apart = (
                farthest(ends, scanned(weights, X, Y, SAID_AT)[1]),
                farthest([record["loss"].values], [losses]),
            )
            return f"weights at step {SAID_AT} differ by {apart[0]:.1e}, losses by {apart[1]:.1e}"

        def by_hand():
            return np.asarray(scanned(weights, X, Y, STEPS)[0])

        return Benchmark(
            f"step-{name}",
            Goal("overhead", 1.1),
            lambda: lm.run(start, watch),
            by_hand,
            repetitions=7,
            says=says,
        )

    return [beside(name, rule, made()) for name, (rule, made) in TWINS.items()]
