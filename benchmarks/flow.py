"""Gradient flow to a stated accuracy, beside scipy's DOP853 with the gradient compiled by JAX."""

import jax
import jax.flatten_util
import numpy as np
from scipy.integrate import solve_ivp

import learnmech as lm
from benchmarks.base import Benchmark, Goal
from learnmech import architectures, data, rules

TIME, RTOL, ATOL = 10.0, 1e-8, 1e-10


def experiment(solver: str, rtol: float = RTOL, atol: float = ATOL) -> lm.Experiment:
    """32 samples of 32 inputs and 32 outputs, a tanh network of two hidden layers of 32,
    gradient flow, float64."""
    return lm.Experiment(
        architecture=architectures.Mlp(hidden=(32, 32)),
        data=data.Gaussian(n=32, d=32, k=32),
        rule=rules.GradientFlow(rtol=rtol, atol=atol, solver=solver),
        clock=lm.Clock(time=TIME, marks=2),
    )


def ends(record) -> np.ndarray:
    """The final weights as one vector."""
    return np.concatenate([leaf.ravel() for leaf in record.final.values()])


def benchmarks() -> list[Benchmark]:
    """One span of time from start to end at rtol 1e-8, by either of learnmech's solvers."""
    reference = ends(lm.run(experiment("dopri8", 1e-13, 1e-14)))
    rows = []
    for solver in ("tsit5", "dopri8"):
        start = lm.prepare(experiment(solver))
        flat, unflatten = jax.flatten_util.ravel_pytree(start.state.params)

        @jax.jit
        def velocity(time, vector, system=start.system, unflatten=unflatten):
            return -jax.flatten_util.ravel_pytree(system.value_and_gradient(unflatten(vector))[1])[
                0
            ]

        def peer(velocity=velocity, flat=flat):
            return solve_ivp(
                lambda t, y: np.asarray(velocity(t, y)),
                (0.0, TIME),
                np.asarray(flat),
                "DOP853",
                [TIME],
                rtol=RTOL,
                atol=ATOL,
            ).y[:, -1]

        def says(record, vector):
            mine, theirs, apart = (
                float(np.abs(a - b).max())
                for a, b in ((ends(record), reference), (vector, reference), (ends(record), vector))
            )
            return (
                f"ends differ by {apart:.1e}; from the end at rtol 1e-13: ours {mine:.1e}, peer"
                f" {theirs:.1e}"
            )

        rows.append(
            Benchmark(
                f"flow-{solver}",
                Goal("speed-up", 1.3),
                lambda start=start: lm.run(start),
                peer,
                repetitions=15,
                says=says,
            )
        )
    return rows
