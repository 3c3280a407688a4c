"""Schedules: how the rate changes with the step, as a factor on the base rate, and the time that
has passed under it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from learnmech.errors import refused, unwritten
from learnmech.language.faults import unfit
from learnmech.language.parts import Knob, Part, knob
from learnmech.language.trees import Array, is_array_like, kind_of

Steps = Int[Array, "..."] | int | np.integer
Factors = Float[Array, "..."] | float | np.floating


class Schedule(Part):
    """A factor on the base rate at each step, and its sum over the steps before: t = rate *
    total(step)."""

    def factor(self, step: Steps) -> Factors:
        """The factor at these steps, counted from 0."""
        raise unwritten(self, "factor")

    def total(self, step: Steps) -> Factors:
        """The sum of the factors of all steps before these, in closed form."""
        raise unwritten(self, "total")


def asked(schedule: Schedule, method: str, steps: Steps) -> Factors:
    """Its `factor` or `total` at these steps; the schedule is told where that is no number for
    each of them."""
    given = getattr(schedule, method)(steps)
    spread = method == "factor" and not np.shape(given)  # one for all of them
    if not is_array_like(given) or not (spread or np.shape(given) == np.shape(steps)):
        raise unfit(schedule, method, "a number for each step", kind_of(given))
    return given


class Constant(Schedule):
    """The base rate at every step."""

    def factor(self, step):
        return 1.0

    def total(self, step):
        return step


class WarmUp(Schedule):
    """From rate/steps in even parts to the whole rate, which is reached at step `steps` - 1 and
    kept: factor min(1, (j + 1)/steps)."""

    steps: Knob = knob(
        default=100, whole=True, at_least=1, meaning="steps until the whole rate is reached"
    )

    def factor(self, step):
        return _room(step).minimum(1.0, (step + 1) / self.steps)

    def total(self, step):
        rising = _room(step).minimum(step, self.steps)
        return rising * (rising + 1) / (2 * self.steps) + (step - rising)


class Cosine(Schedule):
    """A warm-up of `warmup` steps, then half a cosine down to `end` of the rate at step `steps`,
    kept from there on.

    factor min(1, (j + 1)/warmup), then end + (1 - end)(1 + cos(pi (j - warmup)/(steps -
    warmup)))/2.  Source: Loshchilov & Hutter 2017.
    """

    steps: Knob = knob(
        default=1000, whole=True, at_least=1, meaning="the step at which the end is reached"
    )
    warmup: Knob = knob(default=0, whole=True, at_least=0, meaning="steps of the warm-up before")
    end: Knob = knob(
        default=0.0, at_least=0, at_most=1, meaning="share of the rate that is left at the end"
    )

    def coherent(self):
        if int(self.warmup) >= int(self.steps):
            got = f"warmup = {int(self.warmup)}, steps = {int(self.steps)}"
            raise refused(
                "Cosine", "a warm-up shorter than the whole", got, "Lower warmup, or raise steps"
            )

    def factor(self, step):
        xp, length = _room(step), self.steps - self.warmup
        falling = xp.clip(step - self.warmup, 0, length)
        down = self.end + (1 - self.end) * (1 + xp.cos(xp.pi * falling / length)) / 2
        return xp.where(step < self.warmup, (step + 1) / xp.maximum(self.warmup, 1), down)

    def total(self, step):
        xp, length = _room(step), self.steps - self.warmup
        rising = xp.minimum(step, self.warmup)
        falling = xp.clip(step - self.warmup, 0, length)
        left = xp.maximum(step - self.steps, 0)
        # sum over j < m of cos(pi j/N) = (1 - cos(pi m/N) + sin(pi m/N)/tan(pi/2N))/2
        turn = xp.pi * falling / length
        cosines = (1 - xp.cos(turn) + xp.sin(turn) / xp.tan(xp.pi / (2 * length))) / 2
        up = rising * (rising + 1) / (2 * xp.maximum(self.warmup, 1))
        return up + self.end * (falling + left) + (1 - self.end) * (falling + cosines) / 2


class Step(Schedule):
    """The rate times `factor_each` once every `every` steps: factor_each^floor(j/every)."""

    every: Knob = knob(
        default=100, whole=True, at_least=1, meaning="steps from one drop to the next"
    )
    factor_each: Knob = knob(
        default=0.1, above=0, at_most=1, meaning="what each drop multiplies the rate by"
    )

    def factor(self, step):
        return self.factor_each ** (step // self.every)

    def total(self, step):
        whole, rest = step // self.every, step % self.every
        falls = 1 - self.factor_each
        # (1 - f^k)/(1 - f), which is k where f = 1
        xp = _room(step)
        powers = xp.where(
            falls == 0,
            whole,
            -xp.expm1(whole * xp.log(self.factor_each)) / xp.where(falls == 0, 1, falls),
        )
        return self.every * powers + rest * self.factor_each**whole


def _room(step):
    """numpy for steps that are known, JAX for those that are traced."""
    return jnp if isinstance(step, jax.Array) else np
