"""Given samples: what is done with those of a file or in hand before a learner sees them, said by
the same knobs for all of them."""

import dataclasses
from typing import Any

import numpy as np

from learnmech.data import samples, transforms
from learnmech.data.base import Data, Drawn, View
from learnmech.data.samples import Samples
from learnmech.errors import refused, unwritten
from learnmech.language.parts import Knob, knob, structure
from learnmech.language.spaces import Space, grid


class Given(Data):
    """Samples that are given, in a file or in hand. Subclasses give `samples`, which are made ready
    here.

    `keep` are the classes that are kept (none: all). `train` takes so many training samples, drawn
    at random (0: all that are not held back). `test` holds back so many, drawn at random; of a test
    set of their own it takes so many (0: all). `stratified`: where there are classes, each has its
    share of what is drawn. `missing` is what becomes of a sample with a missing number: `refuse`
    it, `drop` it, or `mean`, which fills in the mean of that input over the training samples.
    `coding` is how classes become targets: `one-hot`, `signs` (+1 for the own class and -1 for
    every other), or for two classes `sign` (+1 for the first and -1 for the second, in one column).

    Then, in this order: `divide_by` divides the inputs by a number, such as 255. `standardize`
    brings every input to mean 0 and standard deviation 1 over the training samples, an input that
    never varies there to 0; `standardize_targets` does so with the targets. `input_noise` and
    `target_noise` are standard deviations of noise on the training samples, `flipped` is the share
    of them whose class is another, drawn at random. `center` subtracts the training means of X and
    Y. `components` keeps the strongest principal components of the training inputs. `whitened`
    makes S_xx = I within the span of the training inputs. `normalized` brings every sample to
    |x|^2 = d. The test set gets the same transformations and no noise. `grid` says that the inputs
    of a sample lie on a line, (positions, channels), or are an image, (rows, columns, channels), in
    reading order, the channels of each place together: the samples are then X (n, *grid), which
    architectures of grids take, and no vectors any more.
    """

    train: int = structure(
        default=0,
        at_least=0,
        kw_only=True,
        since="0.5",
        meaning="training samples, drawn at random; 0: all that are not held back",
    )
    test: int = structure(
        default=0,
        at_least=0,
        kw_only=True,
        meaning="samples held back as a test set, drawn at random",
    )
    missing: str = structure(
        default="refuse",
        choices=("refuse", "drop", "mean"),
        kw_only=True,
        since="0.5",
        meaning=(
            "what becomes of a sample with a missing number: refused, dropped, or filled with the"
            " training mean"
        ),
    )
    coding: str = structure(
        default="one-hot",
        choices=("one-hot", "signs", "sign"),
        kw_only=True,
        since="0.5",
        meaning=(
            "targets of a class: a 1 in its column, +1 there and -1 elsewhere, or +1 and -1 in one"
            " column for two classes"
        ),
    )
    divide_by: Knob = knob(
        default=1.0,
        above=0,
        kw_only=True,
        since="0.5",
        meaning="what inputs are divided by, such as 255",
    )
    standardize: bool = structure(
        default=False,
        kw_only=True,
        since="0.5",
        meaning=(
            "whether every input is brought to mean 0 and standard deviation 1 over the training"
            " samples"
        ),
    )
    standardize_targets: bool = structure(
        default=False, kw_only=True, since="0.5", meaning="whether every target is, too"
    )
    center: bool = structure(
        default=False,
        kw_only=True,
        meaning="whether the training means of inputs and targets are subtracted",
    )
    whitened: bool = structure(
        default=False,
        kw_only=True,
        meaning="whether S_xx = I within the span of the training inputs",
    )
    keep: tuple[str | int, ...] = structure(
        default=(), kw_only=True, since="0.5", meaning="classes that are kept, by name; none: all"
    )
    stratified: bool = structure(
        default=True,
        kw_only=True,
        since="0.5",
        meaning="whether each class, where there are some, has its share of what is drawn",
    )
    flipped: Knob = knob(
        default=0.0,
        at_least=0,
        at_most=1,
        kw_only=True,
        since="0.5",
        meaning="share of the training samples whose class is another, drawn at random",
    )
    input_noise: Knob = knob(
        default=0.0,
        at_least=0,
        kw_only=True,
        since="0.5",
        meaning="standard deviation of noise on the training inputs, in units of standardized ones",
    )
    target_noise: Knob = knob(
        default=0.0,
        at_least=0,
        kw_only=True,
        since="0.5",
        meaning="standard deviation of noise on the training targets, likewise",
    )
    components: int = structure(
        default=0,
        at_least=0,
        kw_only=True,
        since="0.5",
        meaning="strongest principal components of the training inputs that are kept; 0: no such",
    )
    normalized: bool = structure(
        default=False,
        kw_only=True,
        since="0.5",
        meaning="whether every sample is brought to |x|^2 = d",
    )
    grid: tuple[int, ...] = structure(
        default=(),
        at_least=1,
        kw_only=True,
        since="0.5",
        meaning=(
            "shape of the inputs of a sample, (positions, channels) or (rows, columns, channels);"
            " (): a vector"
        ),
    )

    def coherent(self):
        self._space()

    def samples(self) -> tuple[Samples, Samples | None]:
        """The samples as they were given, and a test set of their own or None."""
        raise unwritten(self, "samples")

    def keeps_bytes(self) -> bool:
        """Whether inputs that are whole numbers of eight bits stay so in a view."""
        return False

    def described(self):
        own = (one for one in self._coded() if one is not None)
        return "; test: ".join("; ".join(one.said) for one in own)

    def draw(self, rng):
        drawn, space = self._drawn(rng), self._space()
        if space is None:
            return drawn
        views = [
            None if view is None else dataclasses.replace(view, held=_laid(view.held, space))
            for view in (drawn.train, drawn.test)
        ]
        said = "; ".join((*filter(None, (drawn.said,)), f"a sample: {space}"))
        return dataclasses.replace(
            drawn, train=views[0], test=views[1], said=said, inputs=space, grid=None
        )

    def _drawn(self, rng):
        train, test = self._parted(rng)
        if self.keeps_bytes() and train.X.dtype == np.uint8 and not self._changes():
            said = "; ".join(train.said)
            other = None if test is None else self._held(test)
            return Drawn(self._held(train), other, train.labels, said, grid=train.grid)
        who = type(self).__name__
        numeric = train.numeric(), None if test is None else test.numeric()
        train, test = samples.filled(who, *numeric)
        noise = transforms.noise(train, float(self.input_noise), float(self.target_noise), rng)
        change = transforms.fitted(who, train, self, noise)
        views: Any = [
            None if one is None else _viewed(change(one.X, one.Y, added), one)
            for one, added in ((train, noise), (test, None))
        ]
        said = "; ".join((*train.said, *change.said))
        layout = None if self.components or self.whitened else train.grid
        return Drawn(views[0], views[1], train.labels, said, grid=layout)

    def _space(self) -> Space | None:
        """Of the inputs, where they lie on a grid."""
        if self.grid and (self.whitened or self.components):
            raise refused(
                type(self).__name__,
                "vectors, to be whitened or to have components",
                f"grid = {self.grid}",
                "Drop grid, or do not whiten nor set components",
            )
        return grid(self.grid) if self.grid else None

    def _coded(self):
        who, given = type(self).__name__, [one for one in self.samples() if one is not None]
        if self.keep:
            given = [samples.kept(who, one, self.keep) for one in given]
        given = samples.coded(
            who, [samples.complete(who, one, self.missing) for one in given], self.coding
        )
        return given[0], given[1] if len(given) > 1 else None

    def _parted(self, rng):
        """The training samples, with some classes flipped, and the test samples or None."""
        who, (held, own) = type(self).__name__, self._coded()
        space = self._space()
        if space is not None and held.X.shape[1] != space.size:
            raise refused(
                who,
                f"{space.size} inputs, as many as grid = {self.grid} has",
                held.X.shape[1],
                "Change grid, or the inputs",
            )
        train, test = samples.split(who, held, own, self.train, self.test, rng, self.stratified)
        train = samples.flipped(who, train, float(self.flipped), self.coding, rng)
        return train.telling(
            f"{len(train)} for training"
            + (f", {len(test)} for the test" if test is not None else "")
        ), test

    def _changes(self):
        """Whether more is done with the inputs or targets than dividing the inputs."""
        flags = ("standardize", "standardize_targets", "center", "whitened", "normalized")
        numbers = (self.components, float(self.input_noise), float(self.target_noise))
        return any(getattr(self, name) for name in flags) or any(numbers)

    def _held(self, one):
        """A view whose inputs stay the whole numbers that they are."""
        unit = np.full(len(one), float(self.divide_by))
        return View(one.X, np.asarray(one.Y, np.float64), _weight(one), unit=unit)


def _laid(X, space):
    return X.reshape(-1, *space.shape)


def _viewed(sides, one):
    X, Y = sides
    return View(X, Y, _weight(one))


def _weight(given):
    return None if given.weight is None else np.broadcast_to(given.weight, given.Y.shape).copy()
