"""The single index: a polynomial of one direction, of unit length whatever the weights are."""

import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture, keep
from learnmech.errors import refused
from learnmech.language.parts import structure


class SingleIndex(Architecture):
    """f = sum_k c_k He_k(w.x/|w|)/sqrt(k!), one output: c are the coefficients in normalized
    Hermite polynomials, orthonormal over x ~ N(0, I).

    w alone is learned, and only its direction is seen: flow keeps |w|, 1 at the start, and so moves
    on the sphere. The information exponent is the lowest k >= 1 with c_k not 0.  Source: Ben Arous
    et al. 2021.
    """

    coefficients: tuple[float, ...] = structure(
        default=(0.0, 0.0, 1.0), meaning="c_0, c_1, ... of the normalized Hermite polynomials"
    )

    def coherent(self):
        if not any(self.coefficients[1:]):
            raise refused(
                "SingleIndex",
                "a coefficient beyond c_0 that is not 0",
                self.coefficients,
                "Give for example (0, 0, 1)",
            )

    @property
    def information_exponent(self) -> int:
        """The lowest k >= 1 with c_k not 0."""
        return next(k for k, c in enumerate(self.coefficients) if k and c)

    def init(self, rng, d, k):
        if k != 1:
            raise refused("SingleIndex", "one output", k, "Choose a target with one column")
        w = rng.standard_normal((1, d))
        return {"layer1": {"weight": w / np.linalg.norm(w)}}

    def forward(self, params, X, tap=keep):
        w = params["layer1"]["weight"]
        z = tap("layer1.pre", X @ w.T / jnp.sqrt(jnp.sum(w * w)))
        last, here = jnp.zeros_like(z), jnp.ones_like(z)
        found = self.coefficients[0] * here
        for k, c in enumerate(self.coefficients[1:], 1):
            last, here = here, (z * here - np.sqrt(k - 1) * last) / np.sqrt(k)
            found = found + c * here
        return tap("output", tap("layer1.post", found))

    def gap_known(self, teacher):
        return isinstance(teacher, SingleIndex)

    def mean_gap(self, params, teacher, theirs, scale):
        """sum_k c_k^2 + s^2 c*_k^2 - 2 s c_k c*_k m^k, m the cosine between the two directions."""
        w, v = params["layer1"]["weight"][0], theirs["layer1"]["weight"][0]
        m = w @ v / jnp.sqrt(jnp.sum(w * w) * jnp.sum(v * v))
        own, other = padded(self.coefficients, teacher.coefficients)
        powers = m ** np.arange(len(own))
        return (
            np.sum(own**2) + scale**2 * np.sum(other**2) - 2 * scale * jnp.sum(own * other * powers)
        )

    @classmethod
    def example(cls):
        return cls(coefficients=(0.2, 0.5, 0.5))


def padded(*rows: tuple[float, ...]) -> list[np.ndarray]:
    """Rows of coefficients as arrays of one length, 0 behind their ends."""
    size = max(map(len, rows))
    return [np.pad(np.asarray(row, float), (0, size - len(row))) for row in rows]
