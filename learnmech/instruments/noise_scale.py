"""The noise scale: at which batch the noise of a gradient is as large as itself, with its error."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.curvature.samplewise import check_apart, loss_of_one, rows_at_once
from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


class NoiseScale(Instrument):
    """The noise scale tr C/|g|^2 with its standard error, g and C mean and covariance of the
    gradients of single samples in what the n drawn ones stand for; with `curved` that of the
    curvature, tr HC/g'Hg, and the best rate of one step.

    The square of the mean of n gradients is off |g|^2 by tr C/n, which is taken off, so that the
    scale has no bias to first order in 1/n; below 0, or beyond n, it says no more than that the
    samples do not resolve g. Errors by the influence of each sample, with H as it is over the drawn
    ones. `best_rate` = (|g|^2/g'Hg)/(1 + B_noise/B) is of a quadratic loss, at the batch of the
    rule (all samples: B -> infinity). Without the ridge. `curved` takes a product with H for each
    sample.  Source: McCandlish et al. 2018, sec. 2.2 and appendix A.
    """

    curved: bool = structure(
        default=False, meaning="whether the scale of the curvature and the best rate are read too"
    )

    def check(self, system):
        check_apart("NoiseScale", system)
        if system.train.X.shape[0] < 3:
            raise refused(
                "NoiseScale", "at least 3 samples", system.train.X.shape[0], "Draw more samples"
            )

    def quantities(self, system, params):
        meaning = "batch at which the noise of the gradient is as large as itself"
        found = (
            Quantity("noise_scale", (), "1", "tr C/|g|^2", meaning),
            Quantity("noise_scale_error", (), "1", "s.e.", "standard error of the noise scale"),
        )
        if not self.curved:
            return found
        bends = "batch at which the noise costs a step as much as the curvature along the gradient"
        return (
            *found,
            Quantity("curved_noise_scale", (), "1", "tr HC/g'Hg", bends),
            Quantity(
                "curved_noise_scale_error", (), "1", "s.e.", "standard error of the curved scale"
            ),
            Quantity("best_rate", (), "param^2/loss", "eta*", "rate at which one step lowers most"),
        )

    def read(self, moment):
        system, params = moment.system, moment.state.params
        view, n = system.train, system.train.X.shape[0]
        one = functools.partial(loss_of_one, system)

        def loss(p):
            return jnp.mean(jax.vmap(one, (None, 0))(p, view))

        mean = jax.grad(loss)(params)
        by = trees.power(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(mean)]))
        level = trees.scale(by, mean)
        product: Any = jax.linearize(jax.grad(loss), params)[1] if self.curved else None
        bent = product(level) if self.curved else None

        def sizes(sample):
            apart = trees.subtract(trees.scale(by, jax.grad(one)(params, sample)), level)
            found = trees.dot(apart, apart), trees.dot(level, apart)
            if not self.curved:
                return found
            return (*found, trees.dot(apart, product(apart)), trees.dot(bent, apart))

        rows = rows_at_once(system, params, 4 if self.curved else 2)
        spread, along, *curved = jax.lax.map(sizes, view, batch_size=rows)
        scale, error, square = _ratio(spread, along, trees.dot(level, level), n)
        seen = {"noise_scale": scale, "noise_scale_error": error}
        if not self.curved:
            return seen
        scale, error, bend = _ratio(curved[0], curved[1], trees.dot(level, bent), n)
        batch = getattr(moment.rule, "batch", 0) or np.inf
        return seen | {
            "curved_noise_scale": scale,
            "curved_noise_scale_error": error,
            "best_rate": square / bend / (1 + scale / batch),
        }


def _ratio(spread, along, size, n):
    """(tr C/|g|^2, its standard error, |g|^2) from |g_i - g|^2 and g'(g_i - g) of every sample,
    whatever product they are taken in: |g|^2 is that of the mean less tr C/n."""
    total = jnp.sum(spread) / (n - 1)
    square = size - total / n
    scale = total / square
    influence = (spread - jnp.mean(spread) - scale * 2 * along) / square
    return scale, jnp.sqrt(jnp.sum(influence**2) / (n - 1) / n), square
