"""Interventions that make weights stand still, and let them go again."""

import jax
import numpy as np
from jax import flatten_util

from learnmech.errors import refused
from learnmech.interventions.base import Intervention, addressed
from learnmech.language import trees
from learnmech.language.parts import Numbers, array, structure
from learnmech.language.trees import Array
from learnmech.system import state as states
from learnmech.system.freezing import Frozen, orthonormal


class Freeze(Intervention):
    """What is at an address stands still, to the bit: a layer, an array, or a slice of one. The
    rule does not see a whole array that is frozen."""

    path: str = structure(
        default="layer1",
        meaning="address of what stands still: a layer, an array or entries of one",
    )

    def check(self, system, rule, state):
        addressed(self.path, trees.leaves_by_path(state.params))

    def frozen(self, frozen, state):
        leaves, masks = set(frozen.leaves), dict(frozen.entries)
        arrays = trees.leaves_by_path(state.params)
        for name, index in addressed(self.path, arrays).items():
            mask = np.array(masks.get(name, np.zeros(arrays[name].shape, bool)))
            mask[index] = True
            if mask.all():
                leaves.add(name)
                masks.pop(name, None)
            elif name not in leaves:
                masks[name] = mask
        return Frozen(tuple(sorted(leaves)), masks, frozen.directions)

    @classmethod
    def example(cls):
        return cls(at=8)


class FreezeSubspace(Intervention):
    """All parameters stand still along the rows of `directions` (m, p), in the order of
    `ravel_pytree`; to round-off."""

    directions: Numbers = array(
        meaning="directions (m, p) along which nothing moves, in the order of `ravel_pytree`"
    )

    def check(self, system, rule, state):
        size = flatten_util.ravel_pytree(state.params)[0].size
        if (
            self.directions.ndim != 2
            or self.directions.shape[1] != size
            or not np.any(self.directions)
        ):
            raise refused(
                "FreezeSubspace",
                f"directions of shape (m, {size}), not all zero",
                f"shape {self.directions.shape}",
                "Give a row of p numbers for each",
            )

    def frozen(self, frozen, state):
        rows = (
            self.directions
            if frozen.directions is None
            else np.concatenate([frozen.directions, self.directions])
        )
        return Frozen(frozen.leaves, frozen.entries, orthonormal(rows))

    @classmethod
    def example(cls):
        return cls(at=8, directions=np.eye(1, 20))


class Thaw(Intervention):
    """What is at an address moves again; everything frozen where none is given. The rule's
    memory of it is taken up as it was held, or begun anew."""

    path: str = structure(
        default="", meaning="address of what moves again; none: all that stands still"
    )
    memory: str = structure(
        default="hold",
        choices=("hold", "reset"),
        meaning=(
            "what of the rule's memory goes on: as it was, or as of a rule that has seen nothing"
        ),
    )

    def check(self, system, rule, state):
        if self.path:
            addressed(self.path, trees.leaves_by_path(state.params))

    def _loosened(self, frozen, params):
        """{array: mask of what moves again}."""
        arrays = trees.leaves_by_path(params)
        still = {name: np.ones(arrays[name].shape, bool) for name in frozen.leaves} | {
            name: np.asarray(mask) for name, mask in frozen.entries.items()
        }
        if not self.path:
            return still, still
        meant = {}
        for name, index in addressed(self.path, arrays).items():
            mask = np.zeros(arrays[name].shape, bool)
            mask[index] = True
            if name in still:
                meant[name] = mask & still[name]
        return still, meant

    def frozen(self, frozen, state):
        still, loosened = self._loosened(frozen, state.params)
        left = {
            name: mask & ~loosened[name] if name in loosened else mask
            for name, mask in still.items()
        }
        leaves = tuple(sorted(name for name, mask in left.items() if mask.all()))
        entries = {name: mask for name, mask in left.items() if mask.any() and not mask.all()}
        return Frozen(leaves, entries, frozen.directions if self.path else None)

    def state(self, system, rule, frozen, state):
        if self.memory == "hold" or frozen is None:
            return state
        fresh = states.State(
            state.params,
            trees.cast(rule, jax.tree.leaves(state.params)[0].dtype).init(state.params),
            state.step,
            state.time,
            state.key,
        )
        begun = states.arrays_of(fresh)
        changed: dict[str, Array] = {}
        for name, mask in self._loosened(frozen, state.params)[1].items():
            for address, leaf in states.arrays_of(state).items():
                if (
                    address.startswith("memory.")
                    and address.endswith("." + name)
                    and np.shape(leaf) == mask.shape
                ):
                    changed[address] = np.where(mask, begun[address], leaf)
        return states.replaced(state, changed)

    @classmethod
    def example(cls):
        return cls(at=12)
