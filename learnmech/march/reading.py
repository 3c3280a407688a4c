"""Reading: what instruments show at the marks of a segment, each in a buffer made beforehand."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from learnmech.instruments.base import Instrument, Moment, Sound
from learnmech.language import trees
from learnmech.language.trees import Array
from learnmech.rules.base import Rule
from learnmech.system.landscape import System
from learnmech.system.state import State

Buffers = dict[int, dict[str, Array]]
"""{every: {name: (slots, ...)}}: what is read by instruments that look at each `every`-th mark."""


class Reader:
    """Instruments by cadence, and the slot in which each writes at a mark.

    Lives only while the march is traced: `first` is the index of the segment's first mark in the
    run, `marks` how many the segment has room for.
    """

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        shapes: tuple[dict[str, jax.ShapeDtypeStruct], ...],
        first: Int[Array, ""],
        marks: int,
    ):
        pairs = list(zip(instruments, shapes, strict=True))
        cadences = sorted({instrument.every for instrument in instruments})
        self.groups = {k: [pair for pair in pairs if pair[0].every == k] for k in cadences}
        self.first, self.marks = first, marks
        # how many marks of each cadence lie before this segment
        self.before = {every: -(-first // every) for every in cadences}

    def blank(self) -> Buffers:
        """Buffers of NaN, with room for what each cadence reads, whatever the first mark is."""
        buffers: Buffers = {}
        for every, group in self.groups.items():
            slots = self.marks if every == 1 else -(-self.marks // every) + 1
            buffers[every] = {
                name: jnp.full((slots, *one.shape), jnp.nan, one.dtype)
                for _, shapes in group
                for name, one in shapes.items()
            }
        return buffers

    def read(
        self, moment: Moment, mark: Int[Array, ""], at_mark: Bool[Array, ""], buffers: Buffers
    ) -> tuple[Buffers, Sound]:
        """The buffers with what is due at this mark, and whether the state is made of numbers
        (which is looked at, and otherwise said to be so, where there is a mark)."""
        sound = jax.lax.cond(
            at_mark,
            lambda: Sound.of(moment.state.params, moment.loss),
            lambda: Sound(jnp.array(True), jnp.array(True)),
        )
        filled: Buffers = {}
        for every, group in self.groups.items():
            index = self.first + mark
            due = at_mark if every == 1 else at_mark & (index % every == 0)
            slot = mark if every == 1 else index // every - self.before[every]
            filled[every] = {}
            for instrument, shapes in group:
                own = {name: buffers[every][name] for name in shapes}

                def write(own, instrument=instrument, shapes=shapes, slot=slot):
                    return jax.tree.map(
                        lambda rows, row: jax.lax.dynamic_update_index_in_dim(rows, row, slot, 0),
                        own,
                        instrument.seen(moment, sound, shapes),
                    )

                # A condition of its own for each: so a reading is compiled the same whatever else
                # is read, and replay reads the same bits. It costs 3% at most.
                filled[every] |= jax.lax.cond(due, write, lambda own: own, own)
        return filled, sound


def shapes_of(
    system: System, rule: Rule, state: State, instruments: tuple[Instrument, ...]
) -> tuple[dict[str, jax.ShapeDtypeStruct], ...]:
    """For each instrument {name: shape and type of one reading}, without computing any."""
    return trees.shapes_of(_looked, system, rule, state, instruments)


def _looked(system, rule, state, instruments):
    rule = trees.cast(rule, jax.tree.leaves(state.params)[0].dtype)
    # the gradient and the update have the shapes of the parameters: neither need be traced
    moment = Moment(
        system, state, rule, state.params, system.loss(state.params), state.params, state.params
    )
    return tuple(instrument.shapes(moment) for instrument in instruments)
