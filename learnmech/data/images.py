"""Images with classes: Fashion-MNIST, MNIST, CIFAR, and folders of one's own."""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from learnmech.data import pixels
from learnmech.data.given import Given
from learnmech.data.samples import Samples, counted
from learnmech.errors import refused
from learnmech.language.parts import Knob, Outside, knob, structure
from learnmech.language.spaces import grid
from learnmech.machine.files import sha256_of

SETS = Path("/usr/share/datasets")
"""Where Debian's packages of data sets lie."""
FASHION = (
    "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot"  # as its authors name them
).split()
KNOWN = {
    "fashion-mnist": "Install the Debian package dataset-fashion-mnist, or set data.path to a"
    " folder of its four IDX files",
    "mnist": "Set data.path to a folder of its IDX files",
}
"""{data set that is looked for in SETS: what to do where it is not there}."""
PLACES = {"path": "sha256", "labels_path": "labels_sha256"}


class Images(Given):
    """Images, each of one class. `path` is `fashion-mnist` or `mnist`, looked for in
    /usr/share/datasets, or a file or folder of one's own.

    A folder holds IDX files (images and labels, gzip or not; t10k or test: the test set), CIFAR's
    binary batches, or a folder of images for each class, perhaps within `train` and `test` (Pillow,
    the extra `images`). A file is IDX, with its labels beside it or in `labels_path`, an .npz of
    x_train, y_train and perhaps x_test, y_test (or images, labels), or CIFAR's records.
    `digits` are scikit-learn's, 8 x 8, with pixels up to 16.

    Pixels are divided by `divide_by`. `flat` makes a vector of each image, row by row; otherwise it
    is an array (rows, columns, channels), as `grid` lays them out where that is given. `dtype` says
    how a view keeps them where nothing else is done with them: as the whole numbers of eight bits
    that they are, made numbers of the run's precision for each batch (an eighth of the memory), or
    once for all as `float`; last bits of gradients differ. The identity is the content: `sha256` of
    the file, of a folder that of the names and contents of its files, found where it is not given.
    Source: Xiao et al. 2017 for Fashion-MNIST.
    """

    follows: ClassVar = {path: (sha,) for path, sha in PLACES.items()}

    path: str = structure(
        default="fashion-mnist",
        where=True,
        meaning="fashion-mnist, mnist or digits, or where the images are",
    )
    labels_path: str | None = structure(
        default=None, where=True, meaning="the file of the labels of an IDX file of images"
    )
    flat: bool = structure(
        default=True, meaning="whether each image is a vector, and not (rows, columns, channels)"
    )
    dtype: str = structure(
        default="uint8",
        choices=("uint8", "float"),
        meaning="whole numbers of eight bits until a batch is computed with, or numbers at once",
    )
    labels: tuple[str, ...] | None = structure(
        default=None, meaning="names of the classes, from 0 on; found where they are known"
    )
    sha256: str | None = structure(
        default=None, meaning="of the images' file or folder: what it is; found unless given"
    )
    labels_sha256: str | None = structure(
        default=None, meaning="of the file of the labels; found unless given"
    )
    divide_by: Knob = knob(
        default=255.0, above=0, kw_only=True, meaning="what pixels are divided by"
    )

    def __post_init__(self):
        for field, sha in PLACES.items():
            path = getattr(self, field)
            if isinstance(path, os.PathLike):
                path = os.fspath(path)
                setattr(self, field, path)
            if getattr(self, sha) is None and isinstance(path, str) and path not in ("", "digits"):
                setattr(self, sha, sha256_of(_there(field, path)))
        if self.labels is None and self.path == "fashion-mnist":
            self.labels = tuple(FASHION)  # type: ignore[misc]  # while it is made

    @classmethod
    def placed(cls, values, folder="."):
        if Path(folder) == Path("."):
            return values
        moved = {}
        for field in PLACES:
            path = values.get(field)
            if isinstance(path, str) and path and path not in (*KNOWN, "digits"):
                beside = os.path.join(os.path.abspath(folder), path)
                moved[field] = (
                    path if not os.path.exists(beside) and os.path.exists(path) else beside
                )
        return values | moved

    def outside(self):
        if self.path == "digits":
            return ()
        named = [(field, getattr(self, field), getattr(self, sha)) for field, sha in PLACES.items()]
        return tuple(Outside(field, _there(field, path), sha) for field, path, sha in named if path)

    def coherent(self):
        super().coherent()
        if self.labels and len(set(self.labels)) != len(self.labels):
            raise refused("Images", "different labels", self.labels, "Rename them")
        if not self.flat and (self.components or self.whitened):
            raise refused(
                "Images",
                "flat images, to have components or be whitened",
                "flat = false",
                "Drop one of them",
            )
        if self.labels_path and Path(self.path).is_dir():
            raise refused(
                "Images",
                "labels_path beside a file of images",
                f"the folder {self.path}",
                "Set path to the file",
            )

    def keeps_bytes(self):
        return self.dtype == "uint8"

    def samples(self):
        given = self._found()
        first = given[0].images.shape[1:]
        for one in given:
            if one.images.shape[1:] != first:
                raise refused(
                    "Images",
                    f"images of one size, {' x '.join(map(str, first))}",
                    f"{' x '.join(map(str, one.images.shape[1:]))} in {one.name}",
                    "Give a test set of the same size",
                )
        known = self.labels or _names_of(given)
        made = [self._samples(one, known) for one in given]
        return made[0], made[1] if len(made) > 1 else None

    def _found(self):
        if self.path == "digits":
            from sklearn.datasets import load_digits

            held = load_digits()
            images = held.images.astype(np.uint8)
            return [pixels.labeled("Images", "digits", images, held.target, 10)]
        for field, sha in PLACES.items():
            path = getattr(self, field)
            held = sha256_of(_there(field, path)) if path else None
            if held and getattr(self, sha) and held != getattr(self, sha):
                raise refused(
                    "Images",
                    f"{path} with sha256 {getattr(self, sha)[:16]}...",
                    f"{held[:16]}...",
                    f"{Path(path).name} has changed: restore it, or make the Images anew, without"
                    " that sha256",
                )
        labels = _there("labels_path", self.labels_path) if self.labels_path else None
        found = pixels.found("Images", _there("path", self.path), labels)
        return [one for one in found if one is not None]

    def _samples(self, one, known):
        n, *shape = one.images.shape
        place = {name: index for index, name in enumerate(known)}
        whole = one.labels.dtype.kind == "i"
        wrong = (
            np.flatnonzero(one.labels >= len(known))
            if whole
            else np.flatnonzero([name not in place for name in one.labels])
        )
        if len(wrong):
            raise refused(
                "Images",
                f"labels of the {counted(len(known), 'class')} there are",
                f"{one.labels[wrong[0]]} of image {wrong[0]} (from 0) in {one.name}",
                "Give a name for each class in labels, or mend the labels",
            )
        names = np.array(known, object)[one.labels] if whole else one.labels.astype(object)
        size = f"{' x '.join(map(str, shape[:2]))} pixels" + (
            f" of {shape[2]} channels" if shape[2] > 1 else ""
        )
        X = one.images.reshape(n, -1)
        return Samples(
            f"{one.name} (images from 0)",
            X,
            None,
            range(n),
            tuple(f"pixel {place}" for place in range(X.shape[1])),
            ("the labels",),
            names,
            labels=tuple(known),
            grid=tuple(shape),
            said=(f"{counted(n, 'image')} of {size}",),
        )

    def draw(self, rng):
        drawn = super().draw(rng)
        if self.flat or self.grid:
            return drawn
        views = [
            view and dataclasses.replace(view, held=view.held.reshape(len(view.held), *drawn.grid))
            for view in (drawn.train, drawn.test)
        ]
        return dataclasses.replace(
            drawn, train=views[0], test=views[1], inputs=grid(drawn.grid), grid=None
        )

    @classmethod
    def example(cls):
        return cls("digits", divide_by=16.0, train=40, test=20, keep=(3, 8))


def _there(field, path):
    """Where the file or folder lies; refused where nothing is."""
    place = SETS / path if path in KNOWN else Path(path)
    if not place.exists():
        raise refused(
            "Images",
            "a file or folder of images" if field == "path" else "a file of labels",
            f"none at {os.path.abspath(place)!r}",
            KNOWN.get(path, f"Set data.{field} to one"),
        )
    return place


def _names_of(given):
    """The names of the classes: as the folders are called, or numbers from 0 on."""
    labels = np.concatenate([one.labels for one in given])
    if labels.dtype.kind == "U":
        return tuple(sorted(set(labels.tolist())))
    return tuple(str(place) for place in range(given[0].classes or int(labels.max()) + 1))
