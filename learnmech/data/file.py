"""A file of the user's own: samples from a table, from arrays or from images with labels."""

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar

from learnmech.data import columns, formats, separated
from learnmech.data.columns import Table
from learnmech.data.given import Given
from learnmech.data.header import Asked
from learnmech.data.packed import of_archive
from learnmech.data.parquet import parquet
from learnmech.data.samples import brief
from learnmech.errors import refused
from learnmech.language.parts import Outside, structure

Place = int | str
PLACES = {
    "path": "sha256",
    "targets_path": "targets_sha256",
    "test_path": "test_sha256",
    "test_targets_path": "test_targets_sha256",
}


class File(Given):
    """Samples from a file: a table (csv, tsv, text; Parquet with the extra `tables`), a NumPy array
    or archive (.npy, .npz), or images with labels (IDX, as MNIST); gzip or not.

    A table's last column is its target; `targets` is a number, so many of the last columns, or the
    columns themselves by name or place (from 0, -1 the last). `inputs` are columns by name or
    place; left out, all others. `classes` is the column that holds classes, names or whole numbers,
    which become targets (`coding`); true: what is the target is the class. `categories` are inputs
    that hold names, each of which becomes an input of zeros and ones; true: those that hold no
    numbers. `row_names` is the
    column that names the rows, left out of the inputs. What is not given of a table's format is
    found from its content, and said (`described()`): `header`, whether its first row names the
    columns; `separator`, the comma, semicolon, tab, | or space between cells; `decimal`, the point
    or comma within numbers; and `encoding`, UTF-8 unless it is marked otherwise.

    An .npz holds X (n, d), Y (n, k) and perhaps X_test, Y_test and weight (n, k). `targets_path` is
    a file that holds the targets of the samples in `path`; `test_path`, with `test_targets_path`,
    one that holds a test set.

    A path says where a file is, `sha256` what it is: that of its bytes, found when the part is made
    where it is not given, as `targets_sha256`, `test_sha256` and `test_targets_sha256` are. A file
    that has changed since is refused.
    """

    follows: ClassVar = {path: (sha,) for path, sha in PLACES.items()}

    path: str = structure(
        default="", where=True, meaning="where the file is, relative to the text that names it"
    )
    targets: int | str | tuple[Place, ...] | None = structure(
        default=None,
        meaning="so many of the last columns, or the columns themselves by name or place",
    )
    inputs: str | tuple[Place, ...] | None = structure(
        default=None, meaning="columns of the inputs, by name or place; all others unless given"
    )
    classes: bool | int | str | None = structure(
        default=None, meaning="column that holds classes, by name or place; true: the target is one"
    )
    categories: bool | str | tuple[Place, ...] | None = structure(
        default=None,
        since="0.5",
        meaning="inputs that hold names, by name or place; true: those that hold no numbers",
    )
    row_names: int | str | None = structure(
        default=None, meaning="column that names the rows, left out of the inputs"
    )
    header: bool | None = structure(
        default=None, meaning="whether the first row names the columns; found unless given"
    )
    separator: str | None = structure(
        default=None,
        meaning="what stands between cells: comma, semicolon, tab, | or space; found unless given",
    )
    decimal: str | None = structure(
        default=None, meaning="the point or comma within numbers; found unless given"
    )
    encoding: str | None = structure(
        default=None, meaning="of the text; UTF-8 unless it is marked otherwise"
    )
    targets_path: str | None = structure(
        default=None, where=True, meaning="a file that holds the targets of these samples"
    )
    test_path: str | None = structure(
        default=None, where=True, meaning="a file that holds a test set"
    )
    test_targets_path: str | None = structure(
        default=None, where=True, meaning="a file that holds the targets of the test set"
    )
    sha256: str | None = structure(
        default=None, meaning="of the file's bytes: what it is; found unless given"
    )
    targets_sha256: str | None = structure(
        default=None, meaning="of the bytes of the targets' file"
    )
    test_sha256: str | None = structure(default=None, meaning="of the bytes of the test set's file")
    test_targets_sha256: str | None = structure(
        default=None, meaning="of the bytes of the file of the test set's targets"
    )

    def __post_init__(self):
        self.separator = (  # type: ignore[misc]  # while it is made
            {"\t": "tab", " ": "space"}.get(self.separator, self.separator)
            if isinstance(self.separator, str)
            else self.separator
        )
        for field, sha in PLACES.items():
            path = getattr(self, field)
            if isinstance(path, os.PathLike):
                path = os.fspath(path)
                setattr(self, field, path)
            if getattr(self, sha) is None and isinstance(path, str) and path:
                setattr(self, sha, hashlib.sha256(_bytes(field, path)).hexdigest())

    def coherent(self):
        super().coherent()
        for knob, known in (
            ("separator", tuple(separated.SEPARATORS)),
            ("decimal", (".", ",")),
            ("encoding", separated.ENCODINGS),
        ):
            said = getattr(self, knob)
            if said is not None and said not in known:
                raise refused(
                    "File",
                    f"{knob} to be one of {' '.join(known)}",
                    repr(said),
                    f"Change {knob}, or leave it out to have it found",
                )
        for field, sha in PLACES.items():
            if getattr(self, sha) is not None and not getattr(self, field):
                raise refused(
                    "File", f"{field}, where {sha} is given", "none", f"Give {field}, or drop {sha}"
                )
        if self.test_targets_path and not (self.test_path and self.targets_path):
            raise refused(
                "File",
                "targets_path and test_path beside test_targets_path",
                "not both",
                "Give them, or drop test_targets_path",
            )
        if self.test_path and bool(self.targets_path) != bool(self.test_targets_path):
            raise refused(
                "File",
                "test_targets_path beside targets_path and test_path",
                "no test_targets_path",
                "Give the targets of the test set",
            )

    @classmethod
    def placed(cls, values, folder="."):
        if Path(folder) == Path("."):
            return values
        paths = {
            field: values[field]
            for field in PLACES
            if isinstance(values.get(field), str) and values[field]
        }
        return values | {field: _placed(path, folder) for field, path in paths.items()}

    def outside(self):
        named = [(field, getattr(self, field), getattr(self, sha)) for field, sha in PLACES.items()]
        return tuple(Outside(field, Path(path), sha) for field, path, sha in named if path)

    def samples(self):
        held, test = self._read("path", "targets_path")
        if not self.test_path:
            return held, test
        if test is not None:
            raise refused(
                "File",
                "one test set",
                f"one in {Path(self.path).name}, another in test_path",
                "Drop test_path",
            )
        test, more = self._read("test_path", "test_targets_path", held.levels)
        if more is not None:
            raise refused(
                "File",
                "one test set",
                f"two in {Path(self.test_path).name}",
                "Give an archive with X and Y alone",
            )
        for what, mine, its in (("inputs", held.X, test.X), ("targets", held.Y, test.Y)):
            if mine is not None and mine.shape[1] != its.shape[1]:
                raise refused(
                    "File",
                    f"as many {what} in the test set, {mine.shape[1]}",
                    f"{its.shape[1]} in {test.name}",
                    "Give the same columns in both",
                )
        if (
            any(" (from 0)" not in name for name in (*held.inputs, *test.inputs))
            and held.inputs != test.inputs
        ):
            raise refused(
                "File",
                f"the same inputs in {test.name} as in {held.name}",
                brief(test.inputs),
                "Give the same columns in both, in one order",
            )
        return held, test

    def _read(self, field, targets_field, levels=None):
        """(samples, a test set in the same file or None)."""
        name, content = self._content(
            field,
            self.inputs,
            self.row_names,
            self.categories,
            *(() if getattr(self, targets_field) else (self.targets, self.classes)),
        )
        if isinstance(content, dict):
            self._refuse_knobs(name, "an .npz archive", targets_field)
            return of_archive("File", name, content, self.classes is True, self.grid)
        knobs: dict[str, Any] = {
            "inputs": self.inputs,
            "targets": self.targets,
            "classes": self.classes,
            "row_names": self.row_names,
            "categories": self.categories,
            "levels": levels,
        }
        if not getattr(self, targets_field):
            if not isinstance(content, Table):
                self._refuse_images(name, content, field)
                content = formats.matrix("File", name, content, grid=self.grid)
            return columns.samples("File", content, **knobs), None
        if not isinstance(content, Table):
            content = formats.matrix("File", name, content, flatten=True, grid=self.grid)
        beside, targets = self._content(targets_field, self.targets, self.classes)
        if isinstance(targets, dict):
            raise refused(
                "File",
                "targets in a table, .npy or IDX",
                f"an .npz archive, {beside}",
                "Give X and Y in one archive",
            )
        targets = targets if isinstance(targets, Table) else formats.matrix("File", beside, targets)
        return columns.samples("File", content, **knobs, beside=targets), None

    def _content(self, field, *named):
        """(its name, a table, an array or {name: array})."""
        path, sha = getattr(self, field), getattr(self, PLACES[field])
        raw, name = _bytes(field, path), Path(path).name
        held = hashlib.sha256(raw).hexdigest()
        if sha and held != sha:
            remedy = f"{name} has changed: restore it, or make the File anew, without that sha256"
            raise refused("File", f"{path} with sha256 {sha[:16]}...", f"{held[:16]}...", remedy)
        raw = formats.unpacked("File", name, raw)
        if raw.startswith(b"PAR1"):
            return name, parquet("File", name, raw)
        if not formats.is_text("File", name, raw):
            return name, formats.arrays("File", name, raw)
        names = [
            one
            for wanted in named
            for one in (wanted if isinstance(wanted, tuple) else (wanted,))
            if isinstance(one, str)
        ]
        asked = Asked(
            self.header, tuple(names), self.row_names if self.row_names in named else None
        )
        return name, separated.read(
            "File", name, raw, asked, self.separator, self.decimal, self.encoding
        )

    def _refuse_knobs(self, name, what, targets_field):
        knobs = (
            "inputs",
            "targets",
            "categories",
            "row_names",
            "header",
            "separator",
            "decimal",
            "encoding",
            targets_field,
        )
        given = [knob for knob in knobs if getattr(self, knob) is not None]
        given += (
            []
            if self.classes in (None, True, False) and not isinstance(self.classes, str)
            else ["classes"]
        )
        if given:
            raise refused(
                "File",
                f"knobs that go with {what}",
                f"{given[0]} for {name}",
                "Drop it: X and Y say which is which",
            )

    def _refuse_images(self, name, content, field):
        """IDX and arrays of images hold no targets: name the file that may."""
        if content.dtype.names or content.ndim <= 2 or content.dtype.kind not in "fiub":
            return
        beside = Path(getattr(self, field)).parent / name.replace("images", "labels").replace(
            "idx3", "idx1"
        )
        there = beside.name != name and beside.is_file()
        remedy = (
            f"Set {'test_' if field == 'test_path' else ''}targets_path to the file of the labels"
            + (f", it may be {beside}" if there else "")
        )
        raise refused(
            "File",
            "targets beside images",
            f"an array of shape {content.shape} alone in {name}",
            remedy,
        )

    @classmethod
    def example(cls):
        """Iris, the csv that comes with scikit-learn: four measures and the species as a number,
        under a header of counts and names."""
        import sklearn.datasets

        return cls(
            path=str(Path(sklearn.datasets.__file__).parent / "data" / "iris.csv"),
            header=True,
            center=True,
        )


def _placed(path, folder):
    """Where a path in a text leads to: from the folder of the text, or where nothing is there
    from the working directory."""
    beside = os.path.join(os.path.abspath(folder), path)  # an absolute path stays what it is
    return path if not os.path.exists(beside) and os.path.exists(path) else beside


def _bytes(field: str, path: str) -> bytes:
    if not os.path.isfile(path):
        there = (
            "a folder"
            if os.path.isdir(path)
            else "no plain file"
            if os.path.exists(path)
            else "none"
        )
        remedy = (
            f"Set data.{field} to one" if path else "Set data.path to a csv, .npz, .npy or IDX file"
        )
        raise refused(
            "File",
            "an existing file of data",
            f"{there} at {os.path.abspath(path)!r}" if path else "none",
            remedy,
        )
    try:
        return Path(path).read_bytes()
    except (OSError, MemoryError) as error:
        raise refused(
            "File",
            "a file that can be read",
            f"{path}: {getattr(error, 'strerror', '') or error}",
            f"Set data.{field} to one",
        ) from None
