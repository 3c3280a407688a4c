"""Epochs: the flow that SGD follows on average over the shuffles it goes through."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.architectures.mlp import Mlp
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start
from learnmech.initial.given import Given
from learnmech.language import trees
from learnmech.language.trees import Array
from learnmech.rules.descent import SGD
from learnmech.theories.base import Condition, Limit, Theory, need, rule_is
from learnmech.theories.flow import below_the_edge, predicted_along, solved


def spread_of_batches(n: int, batch: int) -> float:
    """(n - B)/(B (n - 1)): the variance of the mean of B distinct samples over that of one; 0
    where B = n."""
    return (n - batch) / (batch * (n - 1)) if batch < n else 0.0


def shuffled_modified_loss(
    losses: Float[Array, " n"], gradients: Float[Array, "n p"], rate: float, batch: int
) -> Float[Array, ""]:
    """L + (rate/4) [|g|^2 + (n - B)/(B (n - 1)) (1/n) sum_i |g_i - g|^2], L and g the means over
    all n samples: what SGD in reshuffled epochs follows.

    `losses` and `gradients` are those of each sample, B the batch, a divisor of n. It is the mean
    of `flow.epoch_modified_loss` over all partitions into batches of B: E |g_B|^2 = |g|^2 + the
    variance of a mean of B samples without replacement.  Source: Smith et al. 2021; the mean over
    partitions is ours.
    """
    mean = jnp.mean(gradients, axis=0)
    spread = jnp.mean(jnp.sum((gradients - mean) ** 2, axis=1))
    return jnp.mean(losses) + rate / 4 * (
        jnp.sum(mean**2) + spread_of_batches(len(losses), batch) * spread
    )


@eqx.filter_jit
def sample_losses(system, params) -> Float[Array, " n"]:
    """The loss of each training sample by itself, ridge included."""
    return jax.vmap(lambda i: system.at(i[None]).loss(params))(jnp.arange(system.train.X.shape[0]))


def _velocity(system, unflatten, rate, spread, flat):
    """-D (g + (rate/2) mean_i H_i D [g + spread (g_i - g)]), D the factors of the scaling."""
    params = unflatten(flat)
    factors = system.architecture.rate_factors(params, "sgd")
    samples = jnp.arange(system.train.X.shape[0])

    def slope(i, at):
        return jax.grad(system.at(i[None]).loss)(at)

    def scaled(tree):
        return jax.tree.map(lambda g, f: jnp.asarray(f, g.dtype) * g, tree, factors)

    slopes = jax.vmap(slope, (0, None))(samples, params)
    mean = jax.tree.map(lambda g: g.mean(0), slopes)
    along = jax.vmap(scaled)(jax.tree.map(lambda g, m: m + spread * (g - m), slopes, mean))
    bends = jax.vmap(lambda i, v: jax.jvp(lambda at: slope(i, at), (params,), (v,))[1])(
        samples, along
    )
    return flatten_util.ravel_pytree(
        scaled(jax.tree.map(lambda m, b: -m - rate / 2 * b.mean(0), mean, bends))
    )[0]


def mean_of_samples(start: Start) -> Condition:
    """The condition that the loss is the mean of the samples' own losses, so that the gradient
    of a batch is the mean of its samples'."""
    # where samples that are fitted cost something too
    params = trees.scale(1.1, start.state.params)
    whole = float(start.system.loss(params))
    mean = float(np.mean(sample_losses(start.system, params)))
    gap = abs(mean - whole) / max(abs(whole), np.finfo(float).tiny)
    return Condition("the loss is the mean over samples of a loss of each", gap, 1e-5, gap <= 1e-5)


def _whole_epochs(start):
    rule, n = start.rule, start.data.train.X.shape[0]
    found = (
        f"{rule.sampling}, n = {n}, batch = {rule.batch}"
        if isinstance(rule, SGD)
        else type(rule).__name__
    )
    met = isinstance(rule, SGD) and rule.sampling == "epoch" and n % rule.batch == 0
    return Condition(
        "every sample is seen once in each epoch (n a multiple of the batch)",
        found,
        "sampling = epoch",
        met,
    )


class ModifiedEpochs(Theory):
    """SGD in epochs of n/B batches, averaged over its shuffles, follows the flow of the shuffled
    modified loss: off by O(rate^2) at a fixed time.

    Of L + (rate/4) [|grad L|^2 + (n - B)/(B (n - 1)) mean_i |grad L_i - grad L|^2]
    (`shuffled_modified_loss`), every epoch shuffled anew. The noise of an epoch is O(rate^2), since
    all of it but the order is the same in each, so that a single run scatters by O(rate^1.5) about
    that flow at the ends of epochs, and by O(rate) within one. Batches drawn with replacement
    scatter by O(rate^0.5), and their mean follows no such loss. Beside the losses it predicts every
    parameter array under its path.
    """

    source: ClassVar[str] = "Smith et al. 2021"
    of_ids: ClassVar[bool] = True
    predicts: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 2.0),)
    over_seeds: ClassVar[bool] = True
    # in standard errors of the mean, which a limit meets where seeds are few enough for its rate
    tolerance: ClassVar[float] = 4.0

    def known(self, start):
        return rule_is(start, SGD), _whole_epochs(start)

    def further(self, start):
        yield mean_of_samples(start)
        yield from below_the_edge(start)

    def predict(self, start, clock=None):
        need(self, start, rule_is(start, SGD), _whole_epochs(start))
        rate = float(start.rule.rate)
        spread = spread_of_batches(start.data.train.X.shape[0], int(start.rule.batch))
        numbers = jnp.asarray(rate), jnp.asarray(spread)
        return predicted_along(
            start, clock, lambda times: solved(start, times, _velocity, *numbers)
        )

    @classmethod
    def example(cls):
        rule, begun = SGD(rate=0.004, batch=2, sampling="epoch"), Given(np.linspace(-1.0, 0.8, 9))
        return Experiment(
            Mlp(hidden=(3,)),
            Gaussian(n=8, d=2, k=1, noise=0.3),
            rule,
            Clock(steps=40, every=8),
            begun,
        )
