"""Clones: other samples in the place of a source's own, alike in what they keep of it."""

import numpy as np
from jaxtyping import Float

from learnmech.data.base import Data, Drawn, View
from learnmech.data.gaussian import Gaussian
from learnmech.data.teachers import NetworkTeacher
from learnmech.errors import refused
from learnmech.language.parts import part, structure
from learnmech.machine.streams import stream_of


def _drawn(who: str, source: Data) -> Drawn:
    """What the source draws by its own seed; refused where that are no vectors."""
    drawn = source.draw(stream_of(int(source.seed), "data"))
    if not drawn.of_vectors:
        raise refused(who, "vectors of real numbers", drawn.said_of_spaces, "Choose other data")
    return drawn


class GaussianClone(Data):
    """As many samples as `of` draws, from the Gaussian that has the mean and the covariance of its
    training samples, inputs and targets together.

    With `per_class` each class (samples of one target) has a Gaussian of its own for its inputs,
    and every sample keeps its target. A covariance is that over n, of the rank which the
    samples have.  Source: Goldt et al. 2020 for what is asked of such a clone.
    """

    of: Data = part(meaning="the source that is cloned")
    per_class: bool = structure(
        default=False, meaning="whether each class has a Gaussian of its own, and targets are kept"
    )

    def draw(self, rng):
        drawn = _drawn("GaussianClone", self.of)
        views = [view for view in (drawn.train, drawn.test) if view is not None]
        if any(view.weight is not None or view.mask is not None for view in views):
            raise refused(
                "GaussianClone",
                "samples that count the same",
                "weights or a mask",
                "Drop them, or choose other data",
            )
        draw = self._of_classes if self.per_class else self._of_all
        made = [draw(rng, drawn.train, view) for view in views]
        return Drawn(made[0], made[1] if len(made) > 1 else None, drawn.labels)

    def _of_all(self, rng, train, view):
        d, both = train.X.shape[1], np.concatenate([train.X, train.Y], axis=1)
        found = gaussian(rng, both, len(view.X))
        return View(found[:, :d], found[:, d:])

    def _of_classes(self, rng, train, view):
        if too_many(train.Y):
            raise refused(
                "GaussianClone",
                "classes, targets that two samples or more have each on average",
                f"{len(np.unique(train.Y, axis=0))} targets of {len(train.Y)} samples",
                "Drop per_class, which clones targets with the inputs",
            )
        X = np.empty_like(view.X)
        for one in np.unique(view.Y, axis=0):
            among = train.X[(train.Y == one).all(1)]
            if not len(among):
                raise refused(
                    "GaussianClone",
                    "training samples of each class",
                    f"none of target {one.tolist()}",
                    "Draw more samples",
                )
            wanted = (view.Y == one).all(1)
            X[wanted] = gaussian(rng, among, int(wanted.sum()))
        return View(X, view.Y)

    @classmethod
    def example(cls):
        return cls(NetworkTeacher.example())


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
        train, order = drawn.train, rng.permutation(len(drawn.train.X))
        weight, mask = (None if one is None else one[order] for one in (train.weight, train.mask))
        shuffled = View(train.X, train.Y[order], weight, mask)
        return Drawn(shuffled, drawn.test, drawn.labels, drawn.said, drawn.inputs, drawn.targets)

    @classmethod
    def example(cls):
        return cls(Gaussian.example())
