"""Flow: the limit of vanishing rate, integrated to a stated accuracy."""

import jax
import jax.numpy as jnp

from learnmech.late import late
from learnmech.parts import Knob, knob, structure
from learnmech.rules.base import FlowRule

diffrax = late("diffrax")


class GradientFlow(FlowRule):
    """d(params)/dt = -factor * gradient, by Dormand-Prince 8(7) or Tsitouras 5(4) (Diffrax) at relative and absolute tolerance per step.

    A relative tolerance below ten times the round-off of the precision is raised to it. Restarts at every mark of the clock.
    A span that would need more than `max_steps` steps leaves NaN, and the run says so.
    """

    rtol: Knob = knob(1e-8, above=0)
    atol: Knob = knob(1e-10, above=0)
    solver: str = structure("tsit5", choices=("tsit5", "dopri8"))
    max_steps: int = structure(100_000, at_least=1)

    def velocity(self, system, params):
        _, gradient = system.value_and_gradient(params)
        return jax.tree.map(lambda g, f: -jnp.asarray(f, g.dtype) * g, gradient, system.architecture.rate_factors(params, self.family))

    def advance(self, system, params, time, span):
        dtype = jax.tree.leaves(params)[0].dtype
        span, finest = span.astype(dtype), 10 * jnp.finfo(dtype).eps
        solver = {"tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8}[self.solver]()
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: self.velocity(system, y)),
            solver,
            t0=jnp.zeros_like(span),
            t1=span,
            dt0=None,
            y0=params,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=jnp.maximum(self.rtol, finest), atol=self.atol),
            max_steps=self.max_steps,
            throw=False,
        )
        met = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda y: jnp.where(met, y[0], jnp.nan), solution.ys), met
