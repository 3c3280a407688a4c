"""Clones: other samples in the place of a source's own, alike in what they keep of it."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, View
from learnmech.data.gaussian import Gaussian
from learnmech.data.teachers import NetworkTeacher
from learnmech.errors import refused
from learnmech.language.parts import part, structure
from learnmech.machine.logs import LOG
from learnmech.machine.streams import stream_of


class Clone(Data):
    """As many samples as `of` draws, alike in what `form` keeps of them:

    `gaussian`: from the Gaussian that has the mean and the covariance of its training samples,
    inputs and targets together. `per-class`: each class (samples of one target) has a Gaussian of
    its own for its inputs, and every sample keeps its target. `means`: the mean of its class with
    noise that is the same in all directions, of the mean variance within classes. `phases`: images
    whose every Fourier amplitude is kept and whose phases are drawn anew, those of a white image
    for each. `pixels`: the inputs in another order, one for all samples, so that what lies side by
    side no longer does; `rows`: the rows of images in another order.

    A covariance is that over n, of the rank which the samples have: a class of fewer samples than
    twice the inputs that vary lies in few directions, its clone is too easy, and that is said.
    `grid` is (rows, columns, channels), for flat images of which that is not known. With `own_test`
    the test samples are the source's, for what a learner of the clone makes of them.  Source: Goldt
    et al. 2020 for what is asked of such a clone; Refinetti et al. 2023 for the forms.
    """

    of: Data = part(meaning="the source that is cloned")
    form: str = structure(
        default="gaussian",
        choices=("gaussian", "per-class", "means", "phases", "pixels", "rows"),
        meaning="what is kept of its samples",
    )
    grid: tuple[int, ...] = structure(
        default=(),
        meaning="(rows, columns, channels) of flat images, 1 left out; none: as the source says",
    )

    own_test: bool = structure(
        default=False, meaning="whether the test samples stay those of the source"
    )

    def coherent(self):
        if len(self.grid) > 3 or min(self.grid, default=1) < 1:
            raise refused("Clone", "a grid (rows, columns, channels)", self.grid, "Give these")

    def draw(self, rng):
        moved = self.form in ("phases", "pixels", "rows")
        drawn = self.of.draw(stream_of(int(self.of.seed), "data"))
        if not moved and not drawn.of_vectors or drawn.spaces[0].vocabulary is not None:
            raise refused(
                "Clone", "vectors of real numbers", drawn.said_of_spaces, "Choose other data"
            )
        views = [view for view in (drawn.train, drawn.test) if view is not None]
        if not moved and any(view.weight is not None or view.mask is not None for view in views):
            raise refused(
                "Clone",
                "samples that count the same",
                "weights or a mask",
                "Drop them, or choose other data",
            )
        said = () if moved else _warned(self.form, drawn.train)
        if moved:
            made = self._moved(rng, drawn, views)
        elif self.form == "gaussian":
            made = [self._of_all(rng, drawn.train, view) for view in views]
        else:
            _check_classes(drawn.train, views)
            made = [self._of_classes(rng, drawn.train, view) for view in views]
        return dataclasses.replace(
            drawn,
            train=made[0],
            test=drawn.test if self.own_test or len(made) < 2 else made[1],
            said="; ".join(filter(None, (drawn.said, *said))),
            population=None,
        )

    def _of_all(self, rng, train, view):
        d, both = train.X.shape[1], np.concatenate([train.X, train.Y], axis=1)
        found = gaussian(rng, both, len(view.X))
        return View(found[:, :d], found[:, d:])

    def _of_classes(self, rng, train, view):
        X = np.empty_like(view.X)
        spread = _within(train) if self.form == "means" else None
        for one in np.unique(view.Y, axis=0):
            among = train.X[(train.Y == one).all(1)]
            wanted = (view.Y == one).all(1)
            shape = (int(wanted.sum()), X.shape[1])
            X[wanted] = (
                gaussian(rng, among, shape[0])
                if spread is None
                else among.mean(0) + spread * rng.standard_normal(shape)
            )
        return View(X, view.Y)

    def _moved(self, rng, drawn, views):
        grid = None if self.form == "pixels" else self._grid(drawn)
        shape = views[0].X.shape[1:]
        order = rng.permutation(math.prod(shape) if grid is None else grid[0])
        made = []
        for view in views:
            X = np.asarray(view.X, np.float64)
            if grid is None:
                X = X.reshape(len(X), -1)[:, order]
            elif self.form == "rows":
                X = X.reshape(-1, *grid)[:, order]
            else:
                X = _other_phases(rng, X.reshape(-1, *grid))
            made.append(View(X.reshape(len(X), *shape), view.Y, view.weight, view.mask))
        return made

    def _grid(self, drawn):
        shape = drawn.spaces[0].shape
        grid = shape if len(shape) == 3 else drawn.grid
        if self.grid:
            grid = (*self.grid, 1, 1)[:3]
        if grid is None or math.prod(grid) != math.prod(shape):
            raise refused(
                "Clone",
                f"images of {math.prod(shape)} numbers, rows x columns x channels",
                "none that is known" if grid is None else f"{' x '.join(map(str, grid))}",
                "Set grid",
            )
        return grid

    @classmethod
    def example(cls):
        return cls(NetworkTeacher.example())


def _check_classes(train, views):
    if too_many(train.Y):
        raise refused(
            "Clone",
            "classes, targets that two samples or more have each on average",
            f"{len(np.unique(train.Y, axis=0))} targets of {len(train.Y)} samples",
            "Set form to gaussian, which clones targets with the inputs",
        )
    known = {one.tobytes() for one in np.unique(train.Y, axis=0)}
    for view in views:
        for one in np.unique(view.Y, axis=0):
            if one.tobytes() not in known:
                raise refused(
                    "Clone",
                    "training samples of each class",
                    f"none of target {one.tolist()}",
                    "Draw more samples",
                )


def _warned(form, train):
    """What is to be said of samples too few for the covariance that is cloned."""
    if form == "means":
        return ()
    X = np.asarray(train.X)
    d = int((X != X[0]).any(axis=0).sum()) + (train.Y.shape[1] if form == "gaussian" else 0)
    counts = (
        np.array([len(X)])
        if form == "gaussian"
        else np.unique(train.Y, axis=0, return_counts=True)[1]
    )
    few = counts[counts < 2 * d]
    if not len(few):
        return ()
    who = "the samples are" if form == "gaussian" else f"{len(few)} of {len(counts)} classes are"
    said = (
        f"too easy a clone: {who} fewer than twice their {d} dimensions ({few.min()} at least),"
        " and lie in few directions; draw more samples, or keep fewer components"
    )
    LOG.warning("Clone: %s", said)
    return (said,)


def _within(train):
    """The root of the mean variance of an input within classes."""
    off = np.empty_like(train.X)
    for one in np.unique(train.Y, axis=0):
        own = (train.Y == one).all(1)
        off[own] = train.X[own] - train.X[own].mean(0)
    return np.sqrt(np.mean(off**2))


def _other_phases(rng, images):
    """Images (n, rows, columns, channels) with the Fourier amplitudes that they have, and phases
    of white images; the mean of each stays."""
    found = np.fft.fft2(images, axes=(1, 2))
    white = np.fft.fft2(rng.standard_normal(images.shape[:3]), axes=(1, 2))[..., None]
    turned = np.abs(found) * white / np.abs(white)
    turned[:, 0, 0] = found[:, 0, 0]
    return np.fft.ifft2(turned, axes=(1, 2)).real


def too_many(Y: Float[np.ndarray, "n k"]) -> bool:
    """Whether targets are no classes: fewer than two samples to each on average."""
    return 2 * len(np.unique(Y, axis=0)) > len(Y)


def gaussian(
    rng: np.random.Generator, samples: Float[np.ndarray, "n d"], count: int
) -> Float[np.ndarray, "m d"]:
    """So many samples of the Gaussian with the mean and the covariance (over n) of these: mean +
    Z S V', (samples - mean)/sqrt(n) = U S V' and Z normal, so that no covariance is factored."""
    n, mean = len(samples), samples.mean(0)
    # S and V' are those of R, a far smaller matrix where samples are many
    R = np.linalg.qr((samples - mean) / np.sqrt(n), mode="r")
    _, size, axes = np.linalg.svd(R, full_matrices=False)
    return mean + (rng.standard_normal((count, len(size))) * size) @ axes


class ShuffledTargets(Data):
    """The samples of `of` with the training targets in another order, drawn at random: inputs and
    targets each as they were, and nothing left between them.

    The test samples are kept.  Source: Zhang et al. 2017.
    """

    of: Data = part(meaning="the source whose training targets are shuffled")

    def draw(self, rng):
        drawn = self.of.draw(stream_of(int(self.of.seed), "data"))
        train, order = drawn.train, rng.permutation(len(drawn.train.held))
        weight, mask = (None if one is None else one[order] for one in (train.weight, train.mask))
        shuffled = dataclasses.replace(train, Y=train.Y[order], weight=weight, mask=mask)
        return dataclasses.replace(drawn, train=shuffled, population=None)

    @classmethod
    def example(cls):
        return cls(Gaussian.example())
