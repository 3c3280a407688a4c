"""Processed: the samples of any source, made ready as given ones are."""

import numpy as np

from learnmech.data.base import Data
from learnmech.data.gaussian import Gaussian
from learnmech.data.given import Given
from learnmech.data.samples import Samples
from learnmech.errors import refused
from learnmech.language.parts import part
from learnmech.language.trees import Array
from learnmech.machine.streams import stream_of


class Processed(Given):
    """The samples that another source draws, with all that can be done with given ones: classes
    kept, a split, noise, scaling, components, whitening.

    Where its targets are classes (a 1 in one column, or +1 and -1), they are coded anew by
    `coding`. It has no population: what is done hangs on the samples.
    """

    of: Data = part(meaning="the source whose samples are made ready")

    def samples(self):
        drawn = self.of.draw(stream_of(int(self.of.seed), "data"))
        views = [view for view in (drawn.train, drawn.test) if view is not None]
        if not drawn.of_vectors or any(view.mask is not None for view in views):
            got = drawn.said_of_spaces if not drawn.of_vectors else "a mask"
            raise refused("Processed", "vectors of real numbers", got, "Choose other data")
        codes = [classes_in(view.Y) for view in views]
        count = 2 if views[0].Y.shape[1] == 1 else views[0].Y.shape[1]
        known = drawn.labels if len(drawn.labels) == count else tuple(map(str, range(count)))
        made = []
        for view, code, side in zip(views, codes, ("training", "test")):
            classed = all(one is not None for one in codes)
            X = np.asarray(view.X, np.float64)
            name = f"{type(self.of).__name__}, its {side} samples (rows from 0)"
            made.append(
                Samples(
                    name,
                    X,
                    None if classed else np.asarray(view.Y, np.float64),
                    range(len(X)),
                    tuple(f"input {place}" for place in range(X.shape[1])),
                    tuple(drawn.labels)
                    if not classed and len(drawn.labels) == view.Y.shape[1]
                    else ("class",)
                    if classed
                    else tuple(f"target {place}" for place in range(view.Y.shape[1])),
                    np.array(known, object)[code] if classed else None,
                    weight=None if view.weight is None else np.asarray(view.weight),
                    labels=known if classed else (),
                    grid=drawn.grid,
                    said=tuple(filter(None, (drawn.said,))) if side == "training" else (),
                )
            )
        return made[0], made[1] if len(made) > 1 else None

    @classmethod
    def example(cls):
        return cls(Gaussian.example(), standardize=True, input_noise=0.1)


def classes_in(Y: Array | np.ndarray) -> np.ndarray | None:
    """The class of each sample, where targets (n, k) are classes: a 1 or +1 in one column and 0 or
    -1 in the others, or +1 (the first class) and -1 in one column. None where they are not."""
    Y = np.asarray(Y)
    if Y.ndim != 2 or Y.shape[0] < 2:
        return None
    if Y.shape[1] == 1:
        column = Y[:, 0]
        both = set(np.unique(column).tolist()) == {-1.0, 1.0}
        return np.where(column > 0, 0, 1) if both else None
    own = Y.argmax(axis=1)
    for low in (0.0, -1.0):
        if np.array_equal(Y, np.where(np.arange(Y.shape[1]) == own[:, None], 1.0, low)):
            return own
    return None
