"""What every data source promises, the drawn data, and its card."""

import dataclasses

import numpy as np
from jaxtyping import Float

from learnmech.display.table import Table, as_html, as_text, boxed
from learnmech.errors import refused
from learnmech.parts import Knob, Part, knob
from learnmech.trees import Array


class View(Part):
    """Drawn samples: inputs X (n, d), targets Y (n, k) and, where errors count unequally, a weight (n, k)."""

    X: Float[Array, "n d"]
    Y: Float[Array, "n k"]
    weight: Float[Array, "n k"] | None = None


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a source gives: the training view, a test view or None, and the names of the outputs where they have any."""

    train: View
    test: View | None = None
    labels: tuple[str, ...] = ()


class Data(Part):
    """A source of samples. Subclasses give `draw`; the seed is the data's own, so that sweeping the experiment's seed moves the start alone."""

    seed: Knob = knob(0, whole=True, at_least=0, kw_only=True)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """The samples, as float64 numpy arrays."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Card:
    """The data as a learner feels it: spectrum of S_xx = X'X/n, singular values of S_yx = Y'X/n, power of the target in each input mode."""

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
        title = f"{self.n} samples, {self.d} inputs, {self.k} outputs" + (", whitened (S_xx = I)" if self.whitened else "")
        return (Table(("spectrum", "entries", "largest first"), rows, title),)

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def card(view: View) -> Card:
    """The card of a training view. Target power of input mode i with unit eigenvector v_i: |Y'X v_i/n|^2/lambda_i, what that mode can explain of mean |y|^2."""
    X, Y = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64)
    n, d = X.shape
    sxx, syx = X.T @ X / n, Y.T @ X / n
    values, vectors = np.linalg.eigh(sxx)
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    seen = values > values[0] * max(n, d) * np.finfo(float).eps
    power = np.where(seen, ((syx @ vectors) ** 2).sum(0) / np.where(seen, values, 1), 0)
    whitened = bool(np.abs(sxx - np.eye(d)).max() < 1e-8)
    return Card(n, d, Y.shape[1], values, np.linalg.svd(syx, compute_uv=False), power, whitened)


def singular_modes(view: View) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, " m"], Float[np.ndarray, "d m"]]:
    """S_yx = Y'X/n = U diag(s) V', m = min(k, d): the modes of the target, the strongest first. One choice of signs and bases for everyone."""
    X, Y = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64)
    U, s, Vt = np.linalg.svd(Y.T @ X / len(X), full_matrices=False)
    return U, s, Vt.T


def whiten(X: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "d r"]]:
    """X whitened within its span, Z = X T with Z'Z/n = I exactly (to round-off), and T (d, r), r the rank of X."""
    n = len(X)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    rank = int((s > s[0] * max(X.shape) * np.finfo(float).eps).sum())
    return np.sqrt(n) * U[:, :rank], np.sqrt(n) * Vt[:rank].T / s[:rank]


def finite(who: str, **arrays) -> None:
    """Refuse arrays that hold NaN or infinity."""
    for name, values in arrays.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise refused(who, f"finite numbers in {name}", f"{values[tuple(bad[0])]} at {tuple(int(i) for i in bad[0])}", "Remove or replace the bad entries")
