"""Bundled: the sets of real data that come with scikit-learn."""

import numpy as np

from learnmech.data.given import Given
from learnmech.data.samples import Samples, counted
from learnmech.language.parts import structure

SETS = {
    "digits": ("load_digits", True),
    "wine": ("load_wine", True),
    "breast-cancer": ("load_breast_cancer", True),
    "iris": ("load_iris", True),
    "diabetes": ("load_diabetes", False),
}
"""{name: (what loads it, whether its targets are classes)}."""


class Bundled(Given):
    """Real data at hand everywhere: `digits` (1,797 images of 8 x 8 pixels up to 16, ten classes),
    `wine` (178 by 13, three classes), `breast-cancer` (569 by 30, two), `iris` (150 by 4, three) or
    `diabetes` (442 by 10, a number).  Source: scikit-learn.
    """

    name: str = structure(default="digits", choices=tuple(SETS), meaning="which of them")

    def samples(self):
        from sklearn import datasets

        loader, of_classes = SETS[self.name]
        # the columns of diabetes as they were measured
        held = getattr(datasets, loader)(**({} if of_classes else {"scaled": False}))
        X, n = np.asarray(held.data, np.float64), len(held.data)
        names = [str(one).replace("_", " ") for one in getattr(held, "target_names", ())]
        classes = np.array(names, object)[held.target] if of_classes else None
        found = Samples(
            self.name,
            X,
            None if of_classes else np.asarray(held.target, np.float64)[:, None],
            range(n),
            tuple(str(one) for one in held.feature_names),
            ("class" if of_classes else "progression",),
            classes,
            labels=tuple(names) if of_classes else (),
            grid=(8, 8, 1) if self.name == "digits" else None,
            said=(f"{counted(n, 'sample')}, {counted(X.shape[1], 'input')}",),
        )
        return found, None

    @classmethod
    def example(cls):
        return cls("iris", test=30, standardize=True)
