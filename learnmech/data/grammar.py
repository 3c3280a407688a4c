"""A random grammar: strings that a hierarchy of random rules derives from a class."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Population
from learnmech.errors import refused
from learnmech.language.parts import structure
from learnmech.language.spaces import Space
from learnmech.language.trees import Array

LARGEST = 2**24
"""Tuples of symbols from which rules are drawn, at most; and strings that are listed, not drawn."""


def _derived(rules, classes, choices):
    """The strings (n, positions) of classes (n,) and of which rule is taken at each symbol."""
    symbols = classes[:, None]
    for table, chosen in zip(rules, choices, strict=True):
        symbols = table[symbols, chosen].reshape(len(symbols), -1)
    return symbols


class Derived(Population):
    """A class at random, and at each symbol one of its rules at random."""

    rules: tuple[Int[Array, "v m s"], ...]
    unit: Array
    ids: bool = eqx.field(static=True)
    vocabulary: int = eqx.field(static=True)

    def sample(self, key, count):
        first, *keys = jax.random.split(key, len(self.rules) + 1)
        classes = jax.random.randint(first, (count,), 0, self.rules[0].shape[0])
        choices, positions = [], 1
        for table, one in zip(self.rules, keys, strict=True):
            choices.append(jax.random.randint(one, (count, positions), 0, table.shape[1]))
            positions *= table.shape[2]
        strings = _derived(self.rules, classes, choices)
        if self.ids:
            return View(strings.astype(jnp.int32), classes.astype(jnp.int32))
        hot = jax.nn.one_hot(strings, self.vocabulary, dtype=self.unit.dtype)
        return View(
            hot.reshape(count, -1),
            jax.nn.one_hot(classes, self.rules[0].shape[0], dtype=self.unit.dtype),
        )


class RandomHierarchy(Data):
    """The random hierarchy model: each class is derived into a string of branching^levels symbols.
    At every level a symbol becomes `branching` symbols of the next by one of its `synonyms` rules,
    each as likely; the rules are drawn once, and no two share a right side, so that a string has
    one derivation.

    There are classes synonyms^((branching^levels - 1)/(branching - 1)) strings; those drawn are all
    different, and none of the test is among the training strings. `inputs` are `one-hot`,
    flattened, with targets one-hot too; or `ids`, and the class is an id.  Source: Cagnetta et al.
    2024.
    """

    n: int = structure(default=100, at_least=1, meaning="training samples")
    levels: int = structure(default=2, at_least=1, meaning="levels of the hierarchy, L")
    branching: int = structure(default=2, at_least=2, meaning="symbols that each becomes, s")
    vocabulary: int = structure(default=8, at_least=2, meaning="symbols at each level, v")
    synonyms: int = structure(default=4, at_least=1, meaning="rules of each symbol, m")
    classes: int = structure(default=8, at_least=2, meaning="classes, symbols of the first level")
    inputs: str = structure(
        default="one-hot", choices=("one-hot", "ids"), meaning="ones among zeros, or ids"
    )
    test: int = structure(default=0, at_least=0, meaning="test samples")

    def coherent(self):
        who, tuples = "RandomHierarchy", self.vocabulary**self.branching
        if tuples > LARGEST or self.branching**self.levels > 4096:
            raise refused(
                who,
                f"vocabulary^branching <= {LARGEST} and branching^levels <= 4096",
                f"{tuples} and {self.branching**self.levels}",
                "Lower them",
            )
        wanted = self.synonyms * max(self.vocabulary, self.classes)
        if wanted > tuples:
            raise refused(
                who,
                f"at most {tuples} rules at a level, one for each right side",
                f"{wanted}",
                "Lower synonyms or classes",
            )
        if self.n + self.test > self.strings:
            raise refused(
                who,
                f"n + test <= {self.strings}, the strings there are",
                self.n + self.test,
                "Lower n or test",
            )

    @property
    def strings(self) -> int:
        """How many different strings there are."""
        return self.classes * self.synonyms**self._choices

    @property
    def _choices(self):
        return (self.branching**self.levels - 1) // (self.branching - 1)

    def draw(self, rng):
        rules = tuple(
            self._rules(rng, self.classes if level == 0 else self.vocabulary)
            for level in range(self.levels)
        )
        derivations = self._derivations(rng, self.n + self.test)
        classes, rest = derivations[:, 0], derivations[:, 1:]
        choices, at = [], 0
        for level in range(self.levels):
            choices.append(rest[:, at : at + self.branching**level])
            at += self.branching**level
        strings = _derived(rules, classes, choices)
        shown = tuple(map(str, range(self.classes)))
        ids = self.inputs == "ids"
        X, Y = (
            (strings, classes)
            if ids
            else (
                np.eye(self.vocabulary)[strings].reshape(len(strings), -1),
                np.eye(self.classes)[classes],
            )
        )
        views = View(X[: self.n], Y[: self.n]), View(X[self.n :], Y[self.n :])
        positions = self.branching**self.levels
        spaces = (
            (Space((positions,), ("position",), self.vocabulary), Space((), (), self.classes))
            if ids
            else (None, None)
        )
        return Drawn(
            views[0],
            views[1] if self.test else None,
            shown,
            inputs=spaces[0],
            targets=spaces[1],
            population=Derived(rules, np.ones(()), ids, self.vocabulary),
            grid=None if ids else (positions, self.vocabulary, 1),
        )

    def _rules(self, rng, symbols):
        """(symbols, m, s): right sides drawn without repetition."""
        drawn = rng.permutation(self.vocabulary**self.branching)[: symbols * self.synonyms]
        digits = [drawn // self.vocabulary**place for place in range(self.branching)]
        sides = np.stack(digits, axis=1) % self.vocabulary
        return sides.reshape(symbols, self.synonyms, self.branching)

    def _derivations(self, rng, count):
        """So many different ones: the class, and the rule taken at each symbol."""
        if self.strings <= LARGEST:
            rest, digits = rng.permutation(self.strings)[:count], []
            for size in (self.classes, *[self.synonyms] * self._choices):
                digits.append(rest % size)
                rest = rest // size
            return np.stack(digits, axis=1)
        sizes = np.array((self.classes, *[self.synonyms] * self._choices))
        found: dict[bytes, np.ndarray] = {}
        while len(found) < count:
            for one in rng.integers(0, sizes, (count, len(sizes))):
                found.setdefault(one.tobytes(), one)
        return np.stack(list(found.values())[:count])

    @classmethod
    def example(cls):
        return cls(n=12, vocabulary=3, synonyms=2, classes=2, test=4)
