"""Charges: what a symmetry of the weights is, and what flow keeps, and descent breaks, for it."""

from typing import NamedTuple

import numpy as np

from learnmech.language import trees
from learnmech.language.trees import Array, Params


class Term(NamedTuple):
    """coefficient * <left, right> of two parameter arrays, by path, unit by unit.

    `along`: the `rows` of a weight, and the entries of a bias or gain; its `columns`, one for each
    unit it reads, the last axis of what it reads; `all` entries together; or `entries` one by one.
    In a symmetry of matrices rows are AB' and columns A'B.
    """

    coefficient: float
    left: str
    right: str
    along: str


class Symmetry(NamedTuple):
    """A one-parameter family of moves for each entry of its charge, under which the loss stands
    still.

    `order` 2: theta moves along A theta, A symmetric, and the charge is theta' A D^-1 theta with D
    the factors on the rates: the sum of the terms, each over the factor of its arrays. `order` 1:
    theta moves along a constant v, and the charge is v' theta. `shape` of the charge; `matrix`: the
    moves are all A of GL(h), the charge is a matrix.

    With g the gradient, <g, A theta> = 0: flow keeps the charge Q; a step of descent, of all
    samples or of a batch, which takes the share rate r off every weight takes it to (1 - rate r)^2
    Q + rate^2 <g, D A g>. r is decay; a ridge, and decay that is coupled or scaled, count times the
    factor f which its arrays must then share. A charge of order 1 goes to (1 - rate r) Q.  Source:
    Kunin et al. 2021; Tanaka & Kunin 2021; Du et al. 2018.
    """

    kind: str
    where: str
    order: int
    terms: tuple[Term, ...]
    shape: tuple[int, ...]
    symbol: str
    meaning: str
    matrix: bool = False

    @property
    def name(self) -> str:
        """What it is and, where there may be several, at which layer."""
        return self.kind + self.where

    @property
    def paths(self) -> tuple[str, ...]:
        """The arrays it moves."""
        return tuple(dict.fromkeys(path for term in self.terms for path in (term.left, term.right)))

    def charge(self, params: Params, factors: Params) -> Array:
        """Q, of its shape [param^2, or param at order 1]."""
        return self.product(params, params, factors)

    def product(self, one: Params, other: Params, factors: Params) -> Array:
        """The charge as a product of two trees, of which the first alone counts at order 1."""
        return self._summed(one, other, factors, -1)

    def breaking(self, gradient: Params, factors: Params) -> Array:
        """<g, D A g>, of its shape [loss^2/param^2]: dQ/dt of descent over its rate, to leading
        order; 0 at order 1. g without what comes of a ridge."""
        if self.order == 1:
            return np.zeros(self.shape)
        return self._summed(gradient, gradient, factors, 1)

    def along(self, gradient: Params, params: Params) -> Array:
        """<g, A theta>, or <g, v>, of its shape: 0 where the loss has the symmetry."""
        return self._summed(gradient, params, None, 0)

    def size(self, params: Params, factors: Params) -> Array:
        """What a change of the charge is small beside: the squared norm of its arrays, each over
        its factor; at order 1 the norm of the whole layer."""
        held = trees.leaves_by_path(params)
        if self.order == 1:
            layer = self.paths[0].rpartition(".")[0]
            whole = (leaf for path, leaf in held.items() if path.rpartition(".")[0] == layer)
            return sum((leaf**2).sum() for leaf in whole) ** 0.5
        over = trees.leaves_by_path(factors)
        return sum((held[path] ** 2).sum() / over[path] for path in self.paths)

    def factor(self, factors: Params) -> float | None:
        """The factor on the rates which its arrays share; None where they differ."""
        over = trees.leaves_by_path(factors)
        found = {float(over[path]) for path in self.paths}
        return found.pop() if len(found) == 1 else None

    def _summed(self, one, other, factors, power):
        """The terms between two trees, each times its arrays' factor to this power."""
        over = {} if factors is None else trees.leaves_by_path(factors)
        one, other = trees.leaves_by_path(one), trees.leaves_by_path(other)
        total = 0.0
        for term in self.terms:
            if self.order == 1:
                total = total + term.coefficient * (
                    one[term.left] if term.along == "entries" else one[term.left].sum(axis=0)
                )
                continue
            weight = term.coefficient * (
                (over[term.left] * over[term.right]) ** (power / 2) if power else 1.0
            )
            there = self._between(term.along, one[term.left], other[term.right])
            back = (
                there
                if term.left == term.right
                else self._between(term.along, one[term.right], other[term.left])
            )
            total = total + weight * (there + back) / 2
        return total

    def _between(self, along, a, b):
        if along == "entries":
            return a * b
        if along == "all":
            return (a * b).sum()
        if along == "columns":
            a, b = (w.reshape(-1, self.shape[-1]) for w in (a, b))
            # sums, not products of matrices, for which the gradient would be laid out otherwise and
            # a step that is watched differ in its last bits
            return (
                (a[:, :, None] * b[:, None, :]).sum(axis=0) if self.matrix else (a * b).sum(axis=0)
            )
        a, b = (w.reshape(len(w), -1) for w in (a, b))
        return (b[:, None, :] * a[None, :, :]).sum(axis=2) if self.matrix else (a * b).sum(axis=1)
