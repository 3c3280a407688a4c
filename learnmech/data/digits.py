"""Digits: 1,797 handwritten digits of 8 x 8 pixels, bundled with scikit-learn."""

import numpy as np

from learnmech.data.base import Data, Drawn, View, whiten
from learnmech.errors import refused
from learnmech.language.parts import structure


class Digits(Data):
    """scikit-learn's handwritten digits, pixels divided by 16, split at random into `train` samples
    and a test set.

    `classes` keeps some digits (none: all ten). `targets` is `one-hot`, `signs` (+1 for the own
    class and -1 for every other), or for two classes `sign` (+1 and -1 in one column). `center` and
    `center_targets` subtract the training means. `components` keeps the strongest principal
    components of the training inputs (0: all pixels); `whitened` makes S_xx = I within the span of
    the training inputs. The test set gets the same transformations.
    """

    train: int = structure(
        default=1437, at_least=2, meaning="training samples; the rest of the 1797 are the test set"
    )
    classes: tuple[int, ...] = structure(default=(), meaning="digits that are kept; none: all ten")
    targets: str = structure(
        default="one-hot",
        choices=("one-hot", "sign", "signs"),
        meaning=(
            "a 1 in the column of the own class, +1 there and -1 elsewhere, or +1 and -1 in one"
            " column for two classes"
        ),
    )
    center: bool = structure(
        default=True, meaning="whether the training means of the pixels are subtracted"
    )
    center_targets: bool = structure(
        default=False, meaning="whether the training means of the targets are"
    )
    components: int = structure(
        default=0,
        at_least=0,
        meaning=(
            "strongest principal components of the training inputs that are kept; 0: the pixels as"
            " they are"
        ),
    )
    whitened: bool = structure(
        default=False, meaning="whether S_xx = I within the span of the training inputs"
    )

    def coherent(self):
        if (
            not set(self.classes) <= set(range(10))
            or len(set(self.classes)) != len(self.classes)
            or len(self.classes) == 1
        ):
            raise refused(
                "Digits",
                "two or more different classes from 0 to 9",
                self.classes,
                "Give for example classes=(3, 8), or none for all ten",
            )
        if self.targets == "sign" and len(self.classes) != 2:
            raise refused(
                "Digits",
                "two classes for targets='sign'",
                f"{len(self.classes) or 10}",
                "Give for example classes=(3, 8), or use one-hot",
            )
        if self.components > 64:
            raise refused(
                "Digits",
                "at most 64 components, one per pixel",
                self.components,
                "Lower components",
            )

    def draw(self, rng):
        from sklearn.datasets import load_digits

        X, digits = load_digits(return_X_y=True)
        classes = self.classes or tuple(range(10))
        kept = np.flatnonzero(np.isin(digits, classes))
        if self.train >= len(kept):
            raise refused(
                "Digits",
                f"train < {len(kept)}, the samples of these classes",
                self.train,
                "Lower train, so that a test set remains",
            )
        order = rng.permutation(kept)
        X, Y = X[order] / 16.0, self._targets(digits[order], classes)
        n = self.train
        if self.center:
            X = X - X[:n].mean(0)
        if self.center_targets:
            Y = Y - Y[:n].mean(0)
        X = self._reduced(X)
        return Drawn(View(X[:n], Y[:n]), View(X[n:], Y[n:]), tuple(map(str, classes)))

    def _targets(self, digits, classes):
        hot = (digits[:, None] == np.array(classes)).astype(np.float64)
        return {"one-hot": hot, "signs": 2 * hot - 1, "sign": hot[:, :1] - hot[:, 1:]}[self.targets]

    def _reduced(self, X):
        n = self.train
        if self.components:
            _, s, Vt = np.linalg.svd(X[:n], full_matrices=False)
            rank = int((s > s[0] * max(X[:n].shape) * np.finfo(float).eps).sum())
            if self.components > rank:
                raise refused(
                    "Digits",
                    f"at most {rank} components, the rank of the training inputs",
                    self.components,
                    "Lower components",
                )
            X = X @ Vt[: self.components].T
        return X @ whiten(X[:n])[1] if self.whitened else X

    @classmethod
    def example(cls):
        return cls(train=40, classes=(3, 8), components=4, whitened=True)
