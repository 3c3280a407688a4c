"""Cards: what is to be known of drawn data, as tables."""

import dataclasses

import numpy as np
from jaxtyping import Float

from learnmech.data.base import Drawn, View
from learnmech.language.display.table import Table, as_html, as_text, boxed


@dataclasses.dataclass(frozen=True)
class Card:
    """The data as a learner feels it: spectrum of S_xx = X'X/n, singular values of S_yx = Y'X/n,
    power of the target in each input mode."""

    n: int
    d: int
    k: int
    input_spectrum: Float[np.ndarray, " d"]
    correlation_spectrum: Float[np.ndarray, " m"]
    target_power: Float[np.ndarray, " d"]
    whitened: bool

    def tables(self) -> tuple[Table, ...]:
        """The card as a table: of each spectrum how many numbers there are, and the first eight."""

        def brief(values):
            return " ".join(f"{v:.3g}" for v in values[:8]) + (" ..." if len(values) > 8 else "")

        spectra = {
            "S_xx eigenvalues": self.input_spectrum,
            "S_yx singular values": self.correlation_spectrum,
            "target power": self.target_power,
        }
        rows = tuple((name, str(len(values)), brief(values)) for name, values in spectra.items())
        title = f"{self.n} samples, {self.d} inputs, {self.k} outputs" + (
            ", whitened (S_xx = I)" if self.whitened else ""
        )
        return (Table(("spectrum", "entries", "largest first"), rows, title),)

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def card(view: View) -> Card:
    """The card of a training view. Target power of input mode i with unit eigenvector v_i: |Y'X
    v_i/n|^2/lambda_i, what that mode can explain of mean |y|^2."""
    X, Y = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64)
    n, d = X.shape
    syx = Y.T @ X / n
    if n < d:  # the span of the samples is small, and S_xx is large
        _, s, Vt = np.linalg.svd(X, full_matrices=False)
        values, vectors, whitened = np.append(s**2 / n, np.zeros(d - n)), Vt.T, False
    else:
        sxx = X.T @ X / n
        values, vectors = np.linalg.eigh(sxx)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        whitened = bool(np.abs(sxx - np.eye(d)).max() < 1e-8)
    seen = values > values[0] * max(n, d) * np.finfo(float).eps
    power = np.zeros(d)
    power[: vectors.shape[1]] = ((syx @ vectors) ** 2).sum(0)
    power = np.where(seen, power / np.where(seen, values, 1), 0)
    return Card(n, d, Y.shape[1], values, np.linalg.svd(syx, compute_uv=False), power, whitened)


def described(data: Drawn) -> tuple[Table, ...]:
    """What is to be known of drawn data, as tables: the card of vectors; of others what a sample
    is on each side."""
    if data.of_vectors:
        return card(data.train).tables()
    counts = [str(len(view.X)) if view is not None else "none" for view in (data.train, data.test)]
    rows = (
        ("inputs", str(data.spaces[0])),
        ("targets", str(data.spaces[1])),
        ("training samples", counts[0]),
        ("test samples", counts[1]),
    )
    return (Table(("data", "one sample"), rows, f"{counts[0]} samples"),)
