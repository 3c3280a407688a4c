"""The data card: what a learner meets in the data, before anything is trained."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import linalg

from learnmech.data.base import Data, Drawn, is_ids
from learnmech.data.cards import Card, card
from learnmech.data.processed import classes_in
from learnmech.data.samples import brief, counted
from learnmech.data.slopes import Slope, kurtosis, participation, power_slope, spectral_slope
from learnmech.errors import refused
from learnmech.language import doors
from learnmech.language.display.table import Mark, Table, as_html, as_text, boxed
from learnmech.machine.streams import stream_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEADING = 5
"""Components whose kurtosis is told."""
SHOWN, DOTS = 100, 1000
"""Samples that are drawn as images, and as dots."""
LETTERS = 52
"""Of the classes that a table tells."""
# Of six data sets: where the theory of Gaussian inputs was within its errors
WIDE, EVEN, ROUND = 10.0, 0.4, (2.0, 4.0)


@dataclasses.dataclass(frozen=True)
class DataCard:
    """A source as a learner feels it. Numbers are of the training samples as they are drawn, not
    centered unless the source does so.

    `spectra` are of S_xx = X'X/n, the target's power in its modes and S_yx (None where samples are
    no vectors of real numbers), `slope` and `target_slope` how steeply they fall, where a line goes
    through enough modes. `effective_dimension` is (sum lambda)^2/sum lambda^2, `norm_spread` std
    over mean of |x|^2, `kurtosis` that of the five strongest principal components (3 of a
    Gaussian), `linear_share` the share of the mean |y|^2 that the best linear map explains (1 where
    there are no more samples than modes), and `noise_floor` what falls on each mode of the rest,
    were that noise: (mean |y|^2 - explained)/(n - rank). `repeated` are training samples whose
    inputs another training sample has, `seen` test samples whose inputs a training sample has,
    `constant` the inputs that never vary. With a kernel `certificate` says whether the theory of
    learning curves speaks of it.
    """

    name: str
    said: str
    spaces: str
    n: int
    n_test: int
    classes: dict[str, int]
    repeated: int
    seen: int
    constant: tuple[int, ...] = ()
    spectra: Card | None = None
    slope: Slope | None = None
    target_slope: Slope | None = None
    effective_dimension: float = float("nan")
    norm_spread: float = float("nan")
    kurtosis: tuple[float, ...] = ()
    linear_share: float = float("nan")
    noise_floor: float = 0.0
    certificate: Any = None
    images: Float[np.ndarray, "m r c h"] | None = None
    image_classes: tuple[str, ...] = ()
    plane: Float[np.ndarray, "m 2"] | None = None
    plane_classes: tuple[str, ...] = ()

    def plain(self) -> dict:
        """All but the samples as plain data."""
        left = ("spectra", "images", "image_classes", "plane", "plane_classes", "certificate")
        fields = [one.name for one in dataclasses.fields(self) if one.name not in left]
        found: dict[str, Any] = {name: getattr(self, name) for name in fields}
        for name in ("slope", "target_slope"):
            found[name] = None if found[name] is None else found[name]._asdict()
        if self.spectra is not None:
            found["input_spectrum"] = self.spectra.input_spectrum.tolist()
            found["target_power"] = self.spectra.target_power.tolist()
            found["correlation_spectrum"] = self.spectra.correlation_spectrum.tolist()
        told = self.certificate
        found["certificate"] = (
            None
            if told is None
            else {"ratio": told.ratio, "leverage_spread": told.leverage_spread, "words": told.words}
        )
        return found

    def tables_shown(self) -> tuple[Table, ...]:
        """The card as tables: what it says, and the spectra."""
        rows = [("samples", f"{self.n}, {self.n_test} for the test", "")]
        rows.append(("one sample", self.spaces, ""))
        if self.classes:
            rows.append(("classes", _counts(self.classes), _balance(self.classes)))
        rows += [
            ("repeated inputs", str(self.repeated), _clean(self.repeated)),
            ("test inputs seen", str(self.seen), _clean(self.seen)),
        ]
        if self.spectra is not None:
            rows += self._rows_of_vectors()
        if self.certificate is not None:
            spread = f"{self.certificate.leverage_spread:.3g}"
            rows.append(("certificate", self.certificate.words, ""))
            rows.append(("leverage spread", spread, ""))
        below = (self.said,) if self.said else ()
        found = (Table(("of the data", "", "Gaussian theory"), tuple(rows), self.name),)
        found = (found[0]._replace(below=below),)
        return found if self.spectra is None else (*found, *self.spectra.tables())

    def _rows_of_vectors(self):
        low, high = ROUND
        shown = " ".join(f"{value:.3g}" for value in self.kurtosis)
        inside = all(low <= value <= high for value in self.kurtosis)
        constant = counted(len(self.constant), "input") if self.constant else "none"
        where = f": {brief(list(map(str, self.constant)), 6)}" if self.constant else ""
        return [
            ("constant inputs", constant + where, ""),
            (
                "effective dimension",
                f"{self.effective_dimension:.4g}",
                _asked(self.effective_dimension > WIDE, f"above {WIDE:g}"),
            ),
            (
                "norm spread",
                f"{self.norm_spread:.3g}",
                _asked(self.norm_spread < EVEN, f"below {EVEN:g}"),
            ),
            (
                "leading kurtosis",
                shown,
                _asked(inside, f"{low:g} to {high:g}") if self.kurtosis else "",
            ),
            ("spectrum, i^-b", str(self.slope or "too few modes"), ""),
            ("target power, i^-a", str(self.target_slope or "too few modes"), ""),
            ("linear share", f"{self.linear_share:.4g}", ""),
        ]

    def __str__(self):
        return as_text(*self.tables_shown())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables_shown()), doors.through("data_picture", self))

    def figure(self) -> "Figure":
        """The spectrum with its line, the power of the targets, and a sheet of samples; `lm.show`
        gives it too."""
        return doors.through("data_sheet", self)

    def report(self, file: str | Path) -> Path:
        """The card and its figure as one self-contained page; the path written. Refuses a file
        that exists and a name that does not end in .html."""
        return doors.through("report", self, file)


def _asked(holds, what):
    return Mark(f"{'within' if holds else 'beyond'}: {what}")


def _clean(count):
    return "" if not count else Mark("no: they are not independent")


def _counts(classes):
    shown = ""
    for place, (name, count) in enumerate(classes.items()):
        more = f"{', ' if place else ''}{name} ({count})"
        if len(shown) + len(more) > LETTERS:
            return f"{len(classes)}: {shown}, ..."
        shown += more
    return f"{len(classes)}: {shown}"


def _balance(classes):
    least = min(classes.values())
    return "" if least > 1 else Mark("no: a class with one sample or none")


def data_card(
    source: object,
    kernel: object = None,
    ridge: float = 0.0,
    name: str = "",
) -> DataCard:
    """The card of a source of data, of drawn data, or of those of an experiment or a record.

    `kernel` (n, n) among the training inputs, or an architecture, whose tangent kernel of infinite
    width is taken, adds the certificate of the theory of learning curves at a `ridge` beside it.
    Refuses what is none of these, and a kernel of another size.
    """
    source = getattr(source, "start", source)
    source = getattr(source, "data", source)
    if isinstance(source, Data):
        name = name or type(source).__name__
        drawn = source.draw(stream_of(int(source.seed), "data"))
    elif isinstance(source, Drawn):
        drawn = source
    else:
        raise refused(
            "data_card", "a source of data", type(source).__name__, "Give for example data.Digits()"
        )
    return _of(drawn, name or "the data", kernel, ridge)


def _of(drawn, name, kernel, ridge):
    train, test = drawn.train, drawn.test
    codes = classes_of(drawn)
    names = [] if codes is None else _names(drawn, codes)
    known = dict.fromkeys(range(len(names)), 0)
    for code in [] if codes is None else codes.tolist():
        known[code] += 1
    rows, others = _rows(train), [] if test is None else _rows(test)
    there = set(rows)
    counts: dict[bytes, int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    plain = {
        "name": name,
        "said": drawn.said,
        "spaces": drawn.said_of_spaces,
        "n": len(rows),
        "n_test": len(others),
        "classes": {names[code]: count for code, count in known.items()},
        "repeated": sum(counts[row] > 1 for row in rows),
        "seen": sum(row in there for row in others),
    }
    shown = _shown(drawn, codes, names)
    if not drawn.of_vectors:
        if kernel is not None:
            raise refused(
                "data_card",
                "vectors of real numbers, for a kernel",
                drawn.said_of_spaces,
                "Leave the kernel out",
            )
        return DataCard(**plain, **shown)
    X, Y = np.asarray(train.X, np.float64), np.asarray(train.Y, np.float64)
    spectra = card(train)
    Z = _leading(X)
    sizes = np.sum(X * X, axis=1)
    mean = np.mean(np.sum(Y * Y, axis=1))
    told = _certificate(kernel, X, Y, ridge)
    rank = int((spectra.target_power > 0).sum())
    left = max(mean - spectra.target_power.sum(), 0)
    floor = float(left / (len(X) - rank)) if len(X) > rank else 0.0
    return DataCard(
        **plain,
        **shown | _plane(Z, codes, names),
        constant=tuple(np.flatnonzero((X == X[0]).all(axis=0)).tolist()),
        spectra=spectra,
        slope=spectral_slope(spectra.input_spectrum, len(X)),
        target_slope=power_slope(spectra.target_power, spectra.input_spectrum, len(X), floor),
        noise_floor=floor,
        effective_dimension=participation(spectra.input_spectrum),
        norm_spread=float(sizes.std() / sizes.mean()) if sizes.any() else float("nan"),
        kurtosis=tuple(one for one in kurtosis(Z).tolist() if one == one),
        linear_share=float(min(spectra.target_power.sum() / mean, 1)) if mean else float("nan"),
        certificate=told,
    )


def _certificate(kernel, X, Y, ridge):
    if kernel is None:
        return None
    if hasattr(kernel, "limit") and hasattr(kernel, "forward"):
        kernel = doors.through("infinite_kernel", kernel, X, get="ntk")
    kernel = np.asarray(kernel)
    if kernel.shape != (len(X), len(X)):
        raise refused(
            "data_card",
            f"a kernel ({len(X)}, {len(X)}) among the training inputs, or an architecture",
            f"shape {kernel.shape}",
            "Give the kernel of these inputs with themselves",
        )
    return doors.through("certificate", kernel, Y, ridge)


def classes_of(drawn: Drawn) -> np.ndarray | None:
    """The class of each training sample, where the targets are classes, centered or not."""
    Y = np.asarray(drawn.train.Y)
    if is_ids(Y):
        return Y if Y.ndim == 1 else None
    if Y.ndim != 2 or classes_in(Y) is not None:
        return classes_in(Y)
    kinds = np.unique(Y, axis=0)
    if not drawn.labels or not 2 <= len(kinds) <= len(drawn.labels):
        return None
    if Y.shape[1] == 1:
        return np.where(Y[:, 0] == kinds[-1, 0], 0, 1)
    # a class less the mean of all has its largest entry where it had its one
    return Y.argmax(axis=1) if len(set(kinds.argmax(axis=1).tolist())) == len(kinds) else None


def _names(drawn, codes):
    count = max(int(codes.max()) + 1, 2)
    if drawn.train.Y.ndim == 2 and drawn.train.Y.shape[1] > 1:
        count = drawn.train.Y.shape[1]
    elif drawn.targets is not None and drawn.targets.vocabulary:
        count = drawn.targets.vocabulary
    return list(drawn.labels) if len(drawn.labels) == count else list(map(str, range(count)))


def _rows(view):
    held = np.ascontiguousarray(view.held)
    return [row.tobytes() for row in held.reshape(len(held), -1)]


def _leading(X):
    """The strongest principal components (n, at most five), the strongest first."""
    off = X - X.mean(0)
    d, count = X.shape[1], min(LEADING, X.shape[1])
    if len(X) < d:
        U, s, _ = np.linalg.svd(off, full_matrices=False)
        return U[:, :count] * s[:count]
    _, vectors = linalg.eigh(off.T @ off / len(X), subset_by_index=(d - count, d - 1))
    return off @ vectors[:, ::-1]


def _shown(drawn, codes, names):
    """Some training samples as images, in turn of each class, where they are some."""
    shape = drawn.spaces[0].shape
    grid = drawn.grid or (shape if len(shape) == 3 else None)
    if grid is None:
        return {}
    n = len(drawn.train.held)
    if codes is None:
        chosen = np.arange(min(n, SHOWN))
    else:
        places = [np.flatnonzero(codes == code) for code in range(len(names))]
        turns = [one[turn] for turn in range(SHOWN) for one in places if turn < len(one)]
        chosen = np.array(turns[: SHOWN if len(names) <= SHOWN else len(names)])[:SHOWN]
    images = np.asarray(drawn.train.at(chosen).X, np.float64).reshape(-1, *grid)
    classes = () if codes is None else tuple(names[code] for code in codes[chosen])
    return {"images": images, "image_classes": classes}


def _plane(Z, codes, names):
    if Z.shape[1] < 2:
        return {}
    some = slice(0, DOTS)
    classes = () if codes is None else tuple(names[code] for code in codes[some])
    return {"plane": Z[some, :2], "plane_classes": classes}
