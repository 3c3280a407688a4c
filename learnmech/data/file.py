"""A file of the user's own: samples from an npz or a csv."""

import csv
import hashlib
import os
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from learnmech.data.base import Data, Drawn, View, finite, whiten
from learnmech.errors import refused
from learnmech.parts import Outside, structure


class File(Data):
    """Samples from `path`: an .npz with arrays X (n, d), Y (n, k) and perhaps X_test, Y_test, or a .csv whose last `targets` columns are Y.

    A csv may have one header line. `test` holds back so many samples, drawn at random, where the file has no test set of its own. `center`
    subtracts the training means of X and Y, `whitened` makes S_xx = I within the span of the training inputs.

    `path` says where the file is, `sha256` what it is: that of its bytes, found when the part is made where it is not given. A file that has changed
    since is refused.
    """

    follows: ClassVar = {"path": ("sha256",)}

    path: str = structure("", where=True)
    targets: int = structure(1, at_least=1)
    test: int = structure(0, at_least=0)
    center: bool = structure(False)
    whitened: bool = structure(False)
    sha256: str | None = structure(None)

    def __post_init__(self):
        if isinstance(self.path, os.PathLike):
            self.path = os.fspath(self.path)
        if self.sha256 is None and isinstance(self.path, str) and self.path:
            self.sha256 = hashlib.sha256(_bytes(self.path)).hexdigest()

    @classmethod
    def placed(cls, values, folder="."):
        path = values.get("path")
        if not isinstance(path, str) or not path or Path(folder) == Path("."):
            return values
        beside = os.path.join(os.path.abspath(folder), path)  # an absolute path stays what it is
        return values | {"path": path if not os.path.exists(beside) and os.path.exists(path) else beside}

    def outside(self):
        return (Outside("path", Path(self.path), self.sha256),) if self.path else ()

    def draw(self, rng):
        X, Y, held = self._read()
        if held is None:
            if self.test >= len(X):
                raise refused("File", f"test < n = {len(X)}", self.test, "Hold back fewer samples")
            order = rng.permutation(len(X)) if self.test else np.arange(len(X))
            train, rest = order[self.test :], order[: self.test]
            X, Y, held = X[train], Y[train], (X[rest], Y[rest]) if self.test else None
        mean_x, mean_y = (X.mean(0), Y.mean(0)) if self.center else (0.0, 0.0)
        transform = whiten(X - mean_x)[1] if self.whitened else np.eye(X.shape[1])
        if not transform.shape[1]:
            raise refused("File", "inputs that vary, to be whitened", f"only zeros{' after centering' if self.center else ''}", "Do not whiten")
        train, *test = (View((x - mean_x) @ transform, y - mean_y) for x, y in ((X, Y), *([held] if held else [])))
        return Drawn(train, test[0] if test else None)

    def _read(self):
        path, held = Path(self.path), hashlib.sha256(_bytes(self.path)).hexdigest()
        if self.sha256 and held != self.sha256:
            remedy = f"{path.name} has changed: restore it, or make the File anew, without that sha256"
            raise refused("File", f"{self.path} with sha256 {self.sha256[:16]}...", f"{held[:16]}...", remedy)
        if path.suffix == ".csv":
            return self._csv(path)
        if path.suffix == ".npz":
            return _npz(path)
        raise refused("File", "a file ending in .npz or .csv", path.name, "Convert it, for example by numpy.savez(path, X=X, Y=Y)")

    def _csv(self, path):
        try:
            rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if row]
        except UnicodeDecodeError:
            raise refused("File", "text in UTF-8", path.name, "Save the table as UTF-8 csv") from None
        head = 1 if rows and any(_number(cell) is None for cell in rows[0]) else 0
        if len(rows) == head:
            raise refused("File", "at least one row of numbers", f"none in {path.name}", "Give a table of samples")
        width = len(rows[head])
        if width <= self.targets:
            raise refused("File", f"more than {self.targets} columns, the last {self.targets} being the targets", width, "Add inputs, or lower data.targets")
        for place, row in enumerate(rows[head:], head + 1):
            if len(row) != width:
                raise refused("File", f"{width} columns in every row", f"{len(row)} in row {place} of {path.name}", "Complete or remove that row")
            bad = next((cell for cell in row if _number(cell) is None), None)
            if bad is not None:
                raise refused("File", "numbers in every cell", f"{bad!r} in row {place} of {path.name}", "Replace or remove it")
        values = np.array([[_number(cell) for cell in row] for row in rows[head:]])
        finite("File", table=values)
        return values[:, : -self.targets], values[:, -self.targets :], None

    @classmethod
    def example(cls):
        """Iris, the csv that comes with scikit-learn: four measures and the species as a number, under a header of names."""
        import sklearn.datasets

        return cls(path=str(Path(sklearn.datasets.__file__).parent / "data" / "iris.csv"), center=True)


def _bytes(path: str) -> bytes:
    if not os.path.isfile(path):
        raise refused("File", "an existing file of data", f"none at {os.path.abspath(path)}", "Set data.path to one")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise refused("File", "a file that can be read", f"{path}: {error.strerror}", "Set data.path to one") from None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _npz(path):
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise refused("File", "an .npz archive of plain arrays", f"{path.name}: {error}", "Write it by numpy.savez(path, X=X, Y=Y)") from None
    views = []
    for x, y in (("X", "Y"), ("X_test", "Y_test")):
        if x not in arrays and x == "X_test":
            continue
        missing = [name for name in (x, y) if name not in arrays]
        if missing:
            raise refused("File", f"an array {missing[0]}", f"{', '.join(arrays) or 'nothing'} in {path.name}", "Write it by numpy.savez(path, X=X, Y=Y)")
        views.append(tuple(_matrix(name, arrays[name]) for name in (x, y)))
    (X, Y), *held = views
    for name, size in (("sample", len(X)), ("input", X.shape[1]), ("target", Y.shape[1]), ("test sample", len(held[0][0]) if held else 1)):
        if not size:
            raise refused("File", f"at least one {name}", f"none in {path.name}", f"Give some {name}s")
    for inputs, targets in views:
        if len(inputs) != len(targets) or inputs.shape[1] != X.shape[1] or targets.shape[1] != Y.shape[1]:
            raise refused(
                "File", "X (n, d) and Y (n, k) of the same n, and of the same d and k for the test", f"{inputs.shape} and {targets.shape}", "Mend them"
            )
    return X, Y, held[0] if held else None


def _matrix(name, values):
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise refused("File", f"numbers in a matrix {name}", f"{values.dtype} of shape {values.shape}", "Write float arrays of two axes")
    values = values.astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values
    finite("File", **{name: values})
    return values
