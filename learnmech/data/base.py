"""What every data source promises, and the drawn data."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Shaped

from learnmech.data import samples
from learnmech.data.samples import Samples, brief, counted
from learnmech.errors import refused, unwritten
from learnmech.language import doors
from learnmech.language.parts import Knob, Part, knob, structure
from learnmech.language.spaces import Space, grid, vector
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
    where a weight is not.
    """

    X: Shaped[Array, "n ..."]
    Y: Shaped[Array, "n ..."]
    weight: Float[Array, "n ..."] | None = None
    mask: Bool[Array, "n ..."] | None = None

    def at(self, indices) -> "View":
        """These samples alone."""
        weight, mask = (
            None if part is None else part[indices] for part in (self.weight, self.mask)
        )
        return View(self.X[indices], self.Y[indices], weight, mask)


def is_ids(values) -> bool:
    """Whether an array holds ids, whole numbers, in place of real ones."""
    return np.issubdtype(values.dtype, np.integer)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a source gives: the training view, a test view or None, the names of the outputs where
    they have any, and how the source was understood.

    `inputs` and `targets` are the spaces of a sample's sides; None: vectors of real numbers, as the
    training view has them. `population` is what the samples were drawn from, where more can be.
    """

    train: View
    test: View | None = None
    labels: tuple[str, ...] = ()
    said: str = ""
    inputs: Space | None = None
    targets: Space | None = None
    population: "Population | None" = None

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


class Given(Data):
    """Samples that are given, in a file or in hand. Subclasses give `samples`, which are made ready
    here.

    `train` takes so many training samples, drawn at random (0: all that are not held back). `test`
    holds back so many, drawn at random; of a test set of their own it takes so many (0: all).
    `missing` is what becomes of a sample with a missing number: `refuse` it, `drop` it, or `mean`,
    which fills in the mean of that input over the training samples. `coding` is how classes become
    targets: `one-hot`, `signs` (+1 for the own class and -1 for every other), or for two classes
    `sign` (+1 for the first and -1 for the second, in one column). `divide_by` divides the inputs
    by a number, such as 255. `standardize` brings every input to mean 0 and standard deviation 1
    over the training samples, an input that never varies there to 0. `standardize_targets` does so
    with the targets. `center` subtracts the training means of X and Y. `whitened` makes S_xx = I
    within the span of the training inputs. The test set gets the same transformations. `grid` says
    that the inputs of a sample lie on a line, (positions, channels), or are an image, (rows,
    columns, channels), in reading order, the channels of each place together: the samples are then
    X (n, *grid), which architectures of grids take, and no vectors any more.
    """

    train: int = structure(
        default=0,
        at_least=0,
        kw_only=True,
        since="0.5",
        meaning="training samples, drawn at random; 0: all that are not held back",
    )
    test: int = structure(
        default=0,
        at_least=0,
        kw_only=True,
        meaning="samples held back as a test set, drawn at random",
    )
    missing: str = structure(
        default="refuse",
        choices=("refuse", "drop", "mean"),
        kw_only=True,
        since="0.5",
        meaning=(
            "what becomes of a sample with a missing number: refused, dropped, or filled with the"
            " training mean"
        ),
    )
    coding: str = structure(
        default="one-hot",
        choices=("one-hot", "signs", "sign"),
        kw_only=True,
        since="0.5",
        meaning=(
            "targets of a class: a 1 in its column, +1 there and -1 elsewhere, or +1 and -1 in one"
            " column for two classes"
        ),
    )
    divide_by: Knob = knob(
        default=1.0,
        above=0,
        kw_only=True,
        since="0.5",
        meaning="what inputs are divided by, such as 255",
    )
    standardize: bool = structure(
        default=False,
        kw_only=True,
        since="0.5",
        meaning=(
            "whether every input is brought to mean 0 and standard deviation 1 over the training"
            " samples"
        ),
    )
    standardize_targets: bool = structure(
        default=False, kw_only=True, since="0.5", meaning="whether every target is, too"
    )
    center: bool = structure(
        default=False,
        kw_only=True,
        meaning="whether the training means of inputs and targets are subtracted",
    )
    whitened: bool = structure(
        default=False,
        kw_only=True,
        meaning="whether S_xx = I within the span of the training inputs",
    )
    grid: tuple[int, ...] = structure(
        default=(),
        at_least=1,
        kw_only=True,
        since="0.5",
        meaning=(
            "shape of the inputs of a sample, (positions, channels) or (rows, columns, channels);"
            " (): a vector"
        ),
    )

    def coherent(self):
        self._space()

    def samples(self) -> tuple[Samples, Samples | None]:
        """The samples as they were given, and a test set of their own or None."""
        raise unwritten(self, "samples")

    def described(self):
        own = (one for one in self._coded() if one is not None)
        return "; test: ".join("; ".join(one.said) for one in own)

    def draw(self, rng):
        who, space, (held, own) = type(self).__name__, self._space(), self._coded()
        if space is not None and held.X.shape[1] != space.size:
            raise refused(
                who,
                f"{space.size} inputs, as many as grid = {self.grid} has",
                held.X.shape[1],
                "Change grid, or the inputs",
            )
        train, test = samples.split(who, held, own, self.train, self.test, rng)
        train = train.telling(
            f"{len(train)} for training"
            + (f", {len(test)} for the test" if test is not None else "")
        )
        train, test = samples.filled(who, train.numeric(), None if test is None else test.numeric())
        scale, said = self._scaled(who, train)

        def view(one):
            X, Y = scale(one.X, one.Y)
            return View(X if space is None else X.reshape(-1, *space.shape), Y, _weight(one))

        return Drawn(
            view(train),
            None if test is None else view(test),
            train.labels,
            "; ".join((*train.said, *said, *([] if space is None else [f"a sample: {space}"]))),
            inputs=space,
        )

    def _space(self) -> Space | None:
        """Of the inputs, where they lie on a grid."""
        if self.grid and self.whitened:
            raise refused(
                type(self).__name__,
                "vectors, to be whitened",
                f"grid = {self.grid}",
                "Drop grid, or do not whiten: whitened inputs lie on no grid",
            )
        return grid(self.grid) if self.grid else None

    def _coded(self):
        who, given = type(self).__name__, [one for one in self.samples() if one is not None]
        given = samples.coded(
            who, [samples.complete(who, one, self.missing) for one in given], self.coding
        )
        return given[0], given[1] if len(given) > 1 else None

    def _scaled(self, who, train):
        """(the transformation of X and Y that the training samples ask for, what is to be said
        of it)."""
        X, Y, said = train.X / float(self.divide_by), train.Y, []
        shifts: Any = (0.0, 0.0)
        units: Any = (1.0, 1.0)
        (shift_x, shift_y), (unit_x, unit_y) = shifts, units
        if self.standardize:
            shift_x, unit_x, constant = samples.standard(who, "inputs", X)
            if constant.any():
                said = [
                    f"{counted(int(constant.sum()), 'input')} that never vary 0:"
                    f" {brief([train.inputs[i] for i in np.flatnonzero(constant)])}"
                ]
        if self.standardize_targets:
            shift_y, unit_y, constant = samples.standard(who, "targets", Y)
            if constant.any():
                raise refused(
                    who,
                    "targets that vary, to be standardized",
                    f"a constant {train.targets[int(np.argmax(constant))]}",
                    "Do not standardize",
                )
        X, Y = (X - shift_x) / unit_x, (Y - shift_y) / unit_y
        mean_x, mean_y = (X.mean(0), Y.mean(0)) if self.center else (0.0, 0.0)
        if self.whitened:
            finite(who, **{"train inputs": X - mean_x})
        transform = whiten(X - mean_x)[1] if self.whitened else None
        if transform is not None and not transform.shape[1]:
            raise refused(
                who,
                "inputs that vary, to be whitened",
                f"only zeros{' after centering' if self.center else ''}",
                "Do not whiten",
            )

        def scale(X, Y):
            X, Y = (
                (X / float(self.divide_by) - shift_x) / unit_x - mean_x,
                (Y - shift_y) / unit_y - mean_y,
            )
            return X if transform is None else X @ transform, Y

        return scale, said


def _weight(given):
    return None if given.weight is None else np.broadcast_to(given.weight, given.Y.shape).copy()


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
