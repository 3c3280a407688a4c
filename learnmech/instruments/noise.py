"""Noise: how much the gradients of single samples differ, and how large that is beside their
mean."""

import functools

import jax
import jax.numpy as jnp

from learnmech.curvature.samplewise import check_apart, loss_of_one, rows_at_once
from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.quantity import Quantity


class GradientNoise(Instrument):
    """The gradients of the loss of single training samples: their norms, their scatter, its size.

    `sample_gradient_norm` is |g_i|, g_i that of sample i alone. `gradient_noise` is the trace of
    their covariance, tr S = sum_i |g_i - g|^2/(n - 1) with g their mean: a batch of B drawn with
    replacement has a gradient of variance (n - 1)/n tr S/B. `gradient_noise_scale` is tr S/|g|^2,
    the B at which the scatter is as large as the gradient; infinite where g is 0 and they
    are not. Without the
    ridge. In blocks of samples, so that the n gradients are never held at once. Source: McCandlish
    et al. 2018, sec. 2.2.
    """

    def check(self, system):
        check_apart("GradientNoise", system)
        if system.train.X.shape[0] < 2:
            raise refused(
                "GradientNoise", "at least 2 samples", system.train.X.shape[0], "Draw more samples"
            )

    def quantities(self, system, params):
        return (
            Quantity(
                "sample_gradient_norm",
                ("sample",),
                "loss/param",
                "|g_i|",
                "norm of the gradient of each sample's own loss",
            ),
            Quantity(
                "gradient_noise",
                (),
                "loss^2/param^2",
                "tr S",
                "trace of the covariance of the samples' gradients",
            ),
            Quantity(
                "gradient_noise_scale",
                (),
                "1",
                "tr S/|g|^2",
                "batch at which the noise of the gradient is as large as itself",
            ),
        )

    def read(self, moment):
        system, params = moment.system, moment.state.params
        view, n = system.train, system.train.X.shape[0]
        one = functools.partial(loss_of_one, system)
        mean = jax.grad(lambda p: jnp.mean(jax.vmap(one, (None, 0))(p, view)))(params)
        # the noise scale knows no scale of the loss: squares of small gradients do not vanish
        by = trees.power(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(mean)]))

        def sizes(sample):
            gradient = jax.grad(one)(params, sample)
            apart = trees.scale(by, trees.subtract(gradient, mean))
            return trees.norm(gradient), trees.dot(apart, apart)

        norms, squares = jax.lax.map(sizes, view, batch_size=rows_at_once(system, params, 2))
        scatter, leveled = jnp.sum(squares) / (n - 1), trees.scale(by, mean)
        size = trees.dot(leveled, leveled)
        return {
            "sample_gradient_norm": norms,
            "gradient_noise": scatter / by / by,
            "gradient_noise_scale": jnp.where(scatter == 0, 0, scatter / size),
        }
