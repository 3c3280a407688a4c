"""Learning curves: the error of kernel regression over samples and ridge, measured on random
training sets of a pool and predicted from its spectrum, with the word of the certificate."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from learnmech.comparison.pools import Pool, pool_of
from learnmech.errors import refused
from learnmech.generalization.eigenlearning import asked
from learnmech.generalization.measured import measured
from learnmech.generalization.pool import OfPool, within
from learnmech.generalization.spectrum import Certificate, Spectrum
from learnmech.language import doors
from learnmech.language.display import learning_curves as shown
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
else:
    xr = late("xarray")

# Values of n that are taken where none are asked for, from a twentieth of the pool to four fifths.
COUNT, FIRST, LAST = 8, 0.05, 0.8


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """Measured and predicted errors over n and ridge, each (ridges, n): means over samples of |f -
    y|^2, summed over outputs, the noise of the labels with them.

    `test` is on the samples of the pool that were not trained on, mean over splits, `test_error`
    its standard error over them; `train` likewise. NaN where nothing was measured (splits=0).
    `predicted` are the theory's (`generalization.of_pool`), and `certificates`, one a ridge, say
    whether it is claimed. `residual` is the mean residual of each sample where it was held out.
    """

    spectrum: Spectrum = dataclasses.field(repr=False)
    n: Int[np.ndarray, " m"]
    ridge: Float[np.ndarray, " r"]
    splits: int
    test: Float[np.ndarray, "r m"]
    test_error: Float[np.ndarray, "r m"]
    train: Float[np.ndarray, "r m"]
    train_error: Float[np.ndarray, "r m"]
    predicted: tuple[tuple[OfPool, ...], ...] = dataclasses.field(repr=False)
    certificates: tuple[Certificate, ...]
    residual: Float[np.ndarray, "r m N k"] = dataclasses.field(repr=False)
    title: str = ""
    notes: tuple[str, ...] = ()

    @property
    def predicted_test(self) -> Float[np.ndarray, "r m"]:
        """The held-out error said by theory."""
        return np.array([[one.test for one in row] for row in self.predicted])

    @property
    def predicted_train(self) -> Float[np.ndarray, "r m"]:
        """The training error said by theory."""
        return np.array([[one.train for one in row] for row in self.predicted])

    @property
    def verdict(self) -> str:
        """`claimed` where the certificate of every ridge holds, `not claimed` where none does, else
        `claimed for some ridges`."""
        held = [one.holds for one in self.certificates]
        some = "claimed for some ridges" if any(held) else "not claimed"
        return "claimed" if all(held) else some

    def misread(self, n: int, ridge: float = 0.0) -> Int[np.ndarray, " q"]:
        """The samples of the pool that most training sets of n will misread where they are held
        out, the worst first; said before training. Targets must be classes."""
        margins = self.spectrum.margins(n, ridge)
        order = np.argsort(margins)
        return order[margins[order] < 0]

    def plain(self) -> dict:
        """All but the spectrum and the residuals as plain data."""
        names = ("test", "test_error", "train", "train_error", "predicted_test", "predicted_train")
        rows = [
            {"ridge": float(ridge), "n": int(n), "kappa": self.predicted[i][j].kappa}
            | {name: float(getattr(self, name)[i, j]) for name in names}
            for i, ridge in enumerate(self.ridge)
            for j, n in enumerate(self.n)
        ]
        certificates = [
            {"ridge": float(ridge), "words": one.words, "ratio": one.ratio, "holds": one.holds}
            | one._asdict()
            for ridge, one in zip(self.ridge, self.certificates, strict=True)
        ]
        return {
            "title": self.title,
            "verdict": self.verdict,
            "pool": self.spectrum.size,
            "splits": self.splits,
            "rows": rows,
            "certificates": certificates,
            "notes": list(self.notes),
        }

    @property
    def dataset(self) -> "xr.Dataset":
        """The curve on the axes ridge and n."""
        names = ("test", "test_error", "train", "train_error", "predicted_test", "predicted_train")
        found = xr.Dataset(
            {name: (("ridge", "n"), getattr(self, name)) for name in names},
            {"ridge": self.ridge, "n": self.n},
        )
        found["certificate"] = ("ridge", np.array([one.ratio for one in self.certificates]))
        return found.assign_attrs(title=self.title, pool=self.spectrum.size, splits=self.splits)

    def to_csv(self, file: str | Path) -> None:
        """A row for every ridge and n, in a new file."""
        rows = self.plain()["rows"]
        with Path(file).open("x", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def tables_shown(self) -> tuple[Table, ...]:
        """The table, as `learnmech curve` prints it."""
        return shown.tables(self.plain())

    def __str__(self):
        return as_text(*self.tables_shown())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables_shown()))

    def figure(self) -> "Figure":
        """Errors over n, measured as dots and predicted as lines; `lm.show` gives it too."""
        return doors.through("learning_curve", self)


def learning_curve(
    subject: Any,
    Y: Float[np.ndarray, "N k"] | None = None,
    view: str = "train",
    n: int | Sequence[int] | None = None,
    ridge: float | Sequence[float] = 0.0,
    splits: int = 8,
    kernel: str = "",
    at: float | None = None,
    seed: int = 0,
) -> LearningCurve:
    """How well a kernel learns targets from n samples of a pool of N, for every n and ridge:
    measured over `splits` random training sets on the N - n others (0: not measured), beside the
    theory of a finite pool, which needs the kernel's spectrum alone, and its certificate.

    `subject` is a kernel (N, N) with targets Y; an experiment (or what `lm.prepare` gives), whose
    pool is a `view` of its data, `train`, `test` or `all`, and whose kernel is `ntk` or `nngp` of
    infinite width, or `tangent`, that of the network at its start (default: ntk where there is one,
    else tangent); or a record or its run folder, whose tangent kernel is that of the network at
    step `at` (flows: time; None: the end). That of a trained network has seen the targets of its
    training view: ask on the test view. `ridge` stands beside the unnormalised kernel, K + ridge I,
    rho/(2c) for a ridge rho in the loss. Refuses a kernel that is not positive, a ridge below 0 and
    n beyond N - 1. Source: `generalization.of_pool`.
    """
    found: Pool = pool_of(subject, Y, view, kernel, at)
    size = len(found.Y)
    ridges = np.atleast_1d(np.asarray(ridge, np.float64))
    sizes = np.unique(np.geomspace(max(2, FIRST * size), LAST * size, COUNT).astype(int))
    sizes = sizes if n is None else np.unique(np.atleast_1d(np.asarray(n)).astype(int))
    for one in ridges:
        asked("learning_curve", 1, float(one))
    for one in sizes:
        asked("learning_curve", int(one), 0.0)
        within("learning_curve", int(one), size)
    if not 0 <= splits == int(splits):
        raise refused("learning_curve", "splits >= 0", splits, "Give how many training sets")
    spectrum = Spectrum.of(found.kernel, found.Y)
    many = (len(ridges), len(sizes))
    errors = {
        name: np.full(many, np.nan) for name in ("test", "test_error", "train", "train_error")
    }
    residual = np.full((*many, *spectrum.learner.Y.shape), np.nan)
    for i, one in enumerate(ridges if splits else ()):
        seen = measured(found.kernel, spectrum, sizes.tolist(), float(one), int(splits), seed)
        residual[i] = seen.residual
        for name in ("test", "train"):
            values = getattr(seen, name)
            errors[name][i] = values.mean(axis=1)
            if splits > 1:
                errors[f"{name}_error"][i] = values.std(axis=1, ddof=1) / np.sqrt(splits)
    return LearningCurve(
        spectrum,
        sizes,
        ridges,
        int(splits),
        errors["test"],
        errors["test_error"],
        errors["train"],
        errors["train_error"],
        tuple(tuple(spectrum.error(int(m), float(one)) for m in sizes) for one in ridges),
        tuple(spectrum.certificate(float(one)) for one in ridges),
        residual,
        found.title,
        found.notes,
    )
