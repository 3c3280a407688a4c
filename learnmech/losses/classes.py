"""Losses on classes: cross-entropy, logistic and hinge."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import refused
from learnmech.language.parts import structure
from learnmech.losses.base import Scaled, refuse_where

SIGNS = (
    "Give +1 or -1 in each output (data.Digits has targets='signs'), or use CrossEntropy for"
    " one-hot targets"
)


class CrossEntropy(Scaled):
    """-c sum_i sum_a y_ia ln p_ia, p_i = softmax(f_i) over the k >= 2 outputs, +
    (ridge/2)|params|^2; targets are one-hot, probabilities, or ids.

    c = 1/n for `mean`, 1 for `sum`. In its outputs, for one sample: gradient p - y, Hessian diag(p)
    - pp'. An (n, k) weight of the data multiplies each term. Prices of classes that are all but
    certain keep their relative precision, ln p = -ln(1 + sum_{b != a} e^{f_b - f_a}) for the
    largest f_a, and so do their derivatives. Refuses rows of targets that are no probabilities.
    Source: Bishop 2006, sec. 4.3.4.
    """

    words: ClassVar[str] = "-c sum_i sum_a y_ia ln softmax(f_i)_a"
    takes_ids: ClassVar[bool] = True

    def check(self, Y, side="train"):
        if np.issubdtype(np.asarray(Y).dtype, np.integer):
            return  # that they are below the vocabulary is seen to by their space
        Y, what = np.asarray(Y, np.float64), "targets that are classes, one-hot or probabilities"
        if Y.shape[1] < 2:
            raise refused(
                "CrossEntropy",
                "a column of targets for each of two classes or more",
                f"{Y.shape[1]}",
                "Give one-hot targets, or use Logistic",
            )
        wrong = ~((Y >= 0).all(axis=1) & (np.abs(Y.sum(axis=1) - 1) <= 1e-9))
        refuse_where(
            wrong,
            "CrossEntropy",
            what,
            Y,
            side,
            "Give rows >= 0 that sum to 1 (data.Digits has them), or use Squared",
        )

    def prices(self, outputs, Y):
        largest = jax.nn.one_hot(jnp.argmax(outputs, axis=-1), outputs.shape[-1], dtype=bool)
        top = jnp.sum(jnp.where(largest, outputs, 0), axis=-1, keepdims=True)
        # the largest is set apart, so that what is small beside it is neither lost in a sum nor in
        # a derivative's difference
        behind = jnp.where(largest, 0, outputs - top)
        rest = jnp.log1p(jnp.sum(jnp.where(largest, 0, jnp.exp(behind)), axis=-1, keepdims=True))
        if jnp.issubdtype(Y.dtype, jnp.integer):
            return jnp.take_along_axis(rest - behind, Y[..., None], axis=-1)[..., 0]
        return Y * (rest - behind)


class Logistic(Scaled):
    """c sum over samples and outputs of ln(1 + e^{-y f}), + (ridge/2)|params|^2; each output is a
    question of its own, answered y = +1 or -1.

    c = 1/n for `mean`, 1 for `sum`. In its outputs: gradient -y s(-y f), Hessian s(f) s(-f), s(z) =
    1/(1 + e^-z). An (n, k) weight of the data multiplies each term. Two classes under softmax are
    one output f_+ - f_-. Refuses targets that are not +1 or -1.  Source: Bishop 2006, sec. 4.3.2.
    """

    words: ClassVar[str] = "c sum ln(1 + exp(-y f))"

    def check(self, Y, side="train"):
        _signs("Logistic", Y, side)

    def prices(self, outputs, Y):
        return jax.nn.softplus(-Y * outputs)


class Hinge(Scaled):
    """c sum over samples and outputs of max(0, 1 - y f), or of its square, + (ridge/2)|params|^2; y
    = +1 or -1.

    c = 1/n for `mean`, 1 for `sum`. In its outputs: gradient -y where y f < 1 and 0 elsewhere, at
    the kink too; Hessian 0. `squared`: -2 y (1 - y f) and 2 there. An (n, k) weight of the data
    multiplies each term. Refuses targets that are not +1 or -1.  Source: Cortes & Vapnik 1995.
    """

    squared: bool = structure(default=False, meaning="whether the price is squared")

    @property
    def words(self):  # type: ignore[override]  # of its kind in others, of its knob here
        """The price in a line."""
        return "c sum max(0, 1 - y f)" + ("^2" if self.squared else "")

    def check(self, Y, side="train"):
        _signs("Hinge", Y, side)

    def prices(self, outputs, Y):
        short = 1 - Y * outputs
        short = jnp.where(short > 0, short, 0)
        return short**2 if self.squared else short


def _signs(who, Y, side):
    refuse_where(
        (np.abs(Y) != 1).any(axis=1), who, "targets that are classes, +1 or -1", Y, side, SIGNS
    )
