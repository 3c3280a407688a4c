"""Bigrams: which token follows which, as one-hot inputs and one-hot targets."""

import numpy as np

from learnmech.data.base import Data, Drawn, View
from learnmech.data.population import Tokens
from learnmech.errors import refused
from learnmech.language.parts import Knob, Numbers, array, knob, structure


class Bigrams(Data):
    """Pairs of a token and the next as one-hot rows: token i of V with probability p_i, the next
    one with probabilities P_i.

    p_i ~ i^-exponent, and each row P_i is drawn from a Dirichlet distribution of `concentration`:
    near 0 one token follows, at 1 any distribution is as likely. `counts` (V, V), how often j
    follows i in a text, gives both in their place. A linear layer on them is the bigram model.
    Has a population, for sampling=fresh.
    """

    vocabulary: int = structure(default=20, at_least=2, meaning="tokens")
    n: int = structure(default=200, at_least=1, meaning="training pairs")
    exponent: Knob = knob(
        default=1.0, at_least=0, meaning="of the shares of tokens, p_i ~ i^-exponent"
    )
    concentration: Knob = knob(
        default=0.3, above=0, meaning="of the Dirichlet distribution of what follows a token"
    )
    counts: Numbers | None = array(
        default=None, meaning="how often token j follows token i, (V, V), in place of drawn ones"
    )
    test: int = structure(default=0, at_least=0, meaning="test pairs")

    def coherent(self):
        if self.counts is None:
            return
        shape, size = self.counts.shape, self.vocabulary
        if shape != (size, size) or np.any(self.counts < 0) or not self.counts.sum(1).all():
            raise refused(
                "Bigrams",
                f"counts ({size}, {size}), none negative, of tokens that each occur",
                f"shape {shape}, {int(np.sum(self.counts.sum(-1) == 0))} rows of zeros",
                "Set vocabulary to the tokens there are, and leave out those without a successor",
            )

    def draw(self, rng):
        population = Tokens(*self._probabilities(rng))
        train, test = (self._pairs(rng, population, size) for size in (self.n, self.test))
        return Drawn(train, test if self.test else None, population=population)

    def _probabilities(self, rng):
        if self.counts is not None:
            whole = self.counts.sum(1)
            return whole / whole.sum(), self.counts / whole[:, None]
        shares = np.arange(1, self.vocabulary + 1) ** -float(self.exponent)
        drawn = rng.dirichlet(np.full(self.vocabulary, float(self.concentration)), self.vocabulary)
        return shares / shares.sum(), drawn

    def _pairs(self, rng, population, count):
        size = self.vocabulary
        tokens = rng.choice(size, count, p=population.shares)
        sums = np.cumsum(population.following, axis=1)[tokens]
        after = np.minimum((sums < rng.random((count, 1))).sum(1), size - 1)
        return View(np.eye(size)[tokens], np.eye(size)[after])

    @classmethod
    def example(cls):
        return cls(vocabulary=4, n=12, test=5)
