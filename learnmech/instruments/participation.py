"""Participation: over how many directions features, the tangent kernel and the curvature are
spread, (sum λ)^2/sum λ^2 of their eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.curvature.operators import KINDS
from learnmech.curvature.spectrum import sums
from learnmech.instruments.base import Instrument, OfCurvature, OfKernel
from learnmech.instruments.laziness import feature_axis, features
from learnmech.language import trees
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity
from learnmech.language.trees import leveled


def participation_ratio(matrix):
    """(tr C)^2/|C|_F^2 = (sum λ)^2/sum λ^2 of a symmetric matrix: m where m eigenvalues are equal
    and the others 0, and 0 where all are 0. No eigenvalue is looked for."""
    matrix = leveled(matrix)
    size = jnp.sum(matrix * matrix)
    return jnp.where(size == 0, 0, jnp.trace(matrix) ** 2 / jnp.where(size == 0, 1, size))


class Participation(Instrument):
    """The participation ratio of each layer's features: how many directions of their covariance
    carry it.

    (tr C_l)^2/|C_l|_F^2 with C_l = (h_l - mean)'(h_l - mean)/n, h_l (n, h) being `layerK.post`, or
    `layerK.pre` where a layer has no other signal; from 1, where all features move together, to
    min(n - 1, h). 0 where nothing varies.  Source: Gao et al. 2017; Litwin-Kumar et al. 2017.
    """

    def quantities(self, system, params):
        axis, labels = feature_axis(tuple(trees.shapes_of(features, system, params)), params)
        return (
            Quantity(
                "feature_participation",
                (axis,),
                "1",
                "(tr C)^2/|C|^2",
                "participation ratio of each layer's features",
                labels,
            ),
        )

    def read(self, moment):
        def ratio(h):
            h = h.reshape(h.shape[0], -1)
            h = leveled(h)
            h = h - jnp.mean(h, axis=0)
            # the eigenvalues but zeros are the same
            return participation_ratio(h @ h.T if h.shape[0] < h.shape[1] else h.T @ h)

        return {
            "feature_participation": jnp.stack(
                [ratio(h) for h in features(moment.system, moment.state.params).values()]
            )
        }


class KernelParticipation(OfKernel):
    """The participation ratio (tr T)^2/|T|_F^2 of the tangent kernel on the training inputs.

    Source: Gao et al. 2017.
    """

    def quantities(self, system, params):
        return (
            Quantity(
                "kernel_participation",
                (),
                "1",
                "(tr T)^2/|T|^2",
                "participation ratio of the tangent kernel",
            ),
        )

    def read(self, moment):
        return {"kernel_participation": participation_ratio(self.now(moment))}


class CurvatureParticipation(OfCurvature):
    """The participation ratio (tr C)^2/|C|_F^2 of a curvature of the training loss, and its error.

    Of the Gauss-Newton matrix unless another is asked for. Exact, with error 0, up to `exact_up_to`
    parameters; above from `probes` vectors, as Trace is, to first order in their errors. Of a
    Hessian with negative eigenvalues it is less than the number of directions that are curved: they
    cancel in the trace.  Source: Gao et al. 2017; Hutchinson 1990.
    """

    of: str = structure(
        default="gauss-newton",
        choices=KINDS,
        kw_only=True,
        meaning="which curvature of the training loss",
    )
    probes: int = structure(
        default=32,
        at_least=2,
        meaning="random vectors that estimate it where there are more parameters than exact_up_to",
    )
    exact_up_to: int = structure(
        default=512, at_least=0, meaning="parameters up to which it is computed exactly"
    )

    def quantities(self, system, params):
        return (
            Quantity(
                f"{self.name}_participation",
                (),
                "1",
                "(tr C)^2/|C|^2",
                f"participation ratio of the {self.of}",
            ),
            Quantity(
                f"{self.name}_participation_error",
                (),
                "1",
                "se (tr C)^2/|C|^2",
                "standard error of the participation ratio",
            ),
        )

    def read(self, moment):
        leaves = jax.tree.leaves(moment.state.params)
        count, dtype = sum(np.size(leaf) for leaf in leaves), leaves[0].dtype
        found = sums(
            self.product(moment), count, dtype, self.key(moment), self.probes, self.exact_up_to
        )
        flat = (found.norm == 0) & (found.trace == 0)
        norm, trace = (jnp.where(flat, 1, value) for value in (found.norm, found.trace))
        # squares that overflow, or vanish beside a trace that does not, tell no ratio
        ratio = jnp.where(
            flat, 0, jnp.where(jnp.isfinite(norm) & (norm > 0), (trace / norm) ** 2, jnp.nan)
        )
        # of a ratio of squares, errors are twice the relative ones; of tr C, which may be 0, its
        # own over |C|
        spread = 2 * jnp.hypot(
            jnp.abs(trace / norm) * found.trace_error / norm, ratio * found.norm_error / norm
        )
        return {
            f"{self.name}_participation": ratio,
            f"{self.name}_participation_error": jnp.where(flat, 0, spread),
        }
