"""What every data source promises, and the drawn data."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Shaped

from learnmech.errors import refused, unwritten
from learnmech.language import doors
from learnmech.language.parts import Knob, Part, knob
from learnmech.language.spaces import Space, vector
from learnmech.language.trees import Array

if TYPE_CHECKING:
    from learnmech.data.population import Population


LARGEST = 1e75
"""What samples may hold: the power of a target in a mode is made of fourth powers of them, which
stay within float64, whose largest number is 1.8e308."""

if not TYPE_CHECKING:  # own code that was written for 0.4 has cards from here
    __getattr__ = doors.offered("learnmech.data.cards")


class View(Part):
    """Drawn samples over the first axis: inputs X (n, d), targets Y (n, k) and, where errors count
    unequally, a weight (n, k).

    In a space of its own a sample may be any array, and its entries ids (whole numbers). `mask`, of
    the shape of the targets' entries, says which of them are asked for: those alone are counted,
    where a weight is not. Inputs may be kept as whole numbers of eight bits, pixels as a file has
    them: `held` over `unit`, a number for each sample, is X wherever it is asked for, in the
    precision of `unit`.
    """

    held: Shaped[Array, "..."]
    Y: Shaped[Array, "..."]
    weight: Float[Array, "..."] | None
    mask: Bool[Array, "..."] | None
    unit: Float[Array, "..."] | None

    def __init__(
        self,
        X: Any = None,
        Y: Any = None,
        weight: Any = None,
        mask: Any = None,
        unit: Any = None,
        held: Any = None,
    ):
        # `dataclasses.replace` gives the fields by their names
        for name, value in (
            ("held", X if held is None else held),
            ("Y", Y),
            ("weight", weight),
            ("mask", mask),
            ("unit", unit),
        ):
            setattr(self, name, value)

    @property
    def X(self) -> Shaped[Array, "..."]:  # noqa: N802
        """The inputs, one row to a sample."""
        if self.unit is None:
            return self.held
        axes = (1,) * (self.held.ndim - self.unit.ndim)
        return self.held.astype(self.unit.dtype) / self.unit.reshape(self.unit.shape + axes)

    def at(self, indices) -> "View":
        """These samples alone."""
        weight, mask, unit = (
            None if part is None else part[indices] for part in (self.weight, self.mask, self.unit)
        )
        return View(self.held[indices], self.Y[indices], weight, mask, unit)


def is_ids(values) -> bool:
    """Whether an array holds ids, whole numbers, in place of real ones."""
    return np.issubdtype(values.dtype, np.integer)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a source gives: the training view, a test view or None, the names of the outputs where
    they have any, and how the source was understood.

    `inputs` and `targets` are the spaces of a sample's sides; None: vectors of real numbers, as the
    training view has them. `population` is what the samples were drawn from, where more can be.
    `grid` is how a flat input is laid out as an image, (rows, columns, channels), where it is one.
    """

    train: View
    test: View | None = None
    labels: tuple[str, ...] = ()
    said: str = ""
    inputs: Space | None = None
    targets: Space | None = None
    population: "Population | None" = None
    grid: tuple[int, int, int] | None = None

    @property
    def spaces(self) -> tuple[Space, Space]:
        """Of the inputs and of the targets."""
        own = (self.inputs, self.targets)
        derived = (
            vector(np.shape(part)[-1], axis)
            for part, axis in ((self.train.X, "input"), (self.train.Y, "output"))
        )
        inputs, targets = (given or one for given, one in zip(own, derived, strict=True))
        return inputs, targets

    @property
    def said_of_spaces(self) -> str:
        """What a sample is on each side, in words."""
        if self.of_vectors:
            return " and ".join(
                f"{space.size} {name}"
                for space, name in zip(self.spaces, ("inputs", "outputs"), strict=True)
            )
        return " and ".join(map(str, self.spaces))

    @property
    def of_vectors(self) -> bool:
        """Whether inputs and targets are vectors of real numbers, on which S_xx, S_yx and their
        modes stand."""
        return all(space.is_vector for space in self.spaces)


class Data(Part):
    """A source of samples. Subclasses give `draw`; the seed is the data's own, so that sweeping
    the experiment's seed moves the start alone."""

    hint: ClassVar[str] = (
        "data.Arrays(X, Y) takes arrays, data.Arrays.from_frame(frame, targets=['y']) a DataFrame,"
        " data.File(path) a file"
    )

    seed: Knob = knob(
        default=0,
        whole=True,
        at_least=0,
        kw_only=True,
        meaning=(
            "of the random numbers that the data are drawn with, apart from the experiment's own"
        ),
    )

    def draw(self, rng: np.random.Generator) -> Drawn:
        """The samples, as float64 numpy arrays."""
        raise unwritten(self, "draw")

    def described(self) -> str:
        """How the source is understood, in a line: what was found in a file, what is left out;
        empty where there is nothing to understand."""
        return ""


def singular_modes(
    view: View,
) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, " m"], Float[np.ndarray, "d m"]]:
    """S_yx = Y'X/n = U diag(s) V', m = min(k, d): the modes of the target, the strongest first.
    One choice of signs and bases for everyone."""
    X, Y = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64)
    U, s, Vt = np.linalg.svd(Y.T @ X / len(X), full_matrices=False)
    return U, s, Vt.T


def whiten(
    X: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "d r"]]:
    """X whitened within its span, Z = X T with Z'Z/n = I exactly (to round-off), and T (d, r), r
    the rank of X."""
    n = len(X)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    rank = int((s > s[0] * max(X.shape) * np.finfo(float).eps).sum())
    return np.sqrt(n) * U[:, :rank], np.sqrt(n) * Vt[:rank].T / s[:rank]


def finite(who: str, **arrays) -> None:
    """Refuse arrays that hold NaN, infinity, or numbers whose powers would be infinite."""
    for name, values in arrays.items():
        bad = np.argwhere(~(np.abs(values) <= LARGEST))
        if not len(bad):
            continue
        got = values[tuple(bad[0])]
        what, remedy = (
            (
                f"numbers within {LARGEST:.0e} in {name}, whose products float64 can hold",
                "Standardize them, or rescale them by divide_by or in the source",
            )
            if np.isfinite(got)
            else (f"finite numbers in {name}", "Remove or replace the bad entries")
        )
        raise refused(who, what, f"{got} at {tuple(int(i) for i in bad[0])}", remedy)
