"""Watching: what a run reads at its marks, as given by instruments, by their kinds or by
addresses, and what the readings weigh."""

from collections.abc import Iterable

import jax
import numpy as np

from learnmech.errors import refused
from learnmech.experiment.recipe import Start
from learnmech.experiment.tables import laid_out
from learnmech.instruments.base import Instrument
from learnmech.instruments.losses import Loss, PopulationLoss, ProbeLoss, TestLoss
from learnmech.instruments.signals import Watch
from learnmech.language import catalog, text, trees
from learnmech.language.faults import unfit
from learnmech.language.quantity import Quantity
from learnmech.march.reading import shapes_of


def asked(one: Instrument | str | dict) -> Instrument:
    """The instrument meant by itself, by its kind (`loss`), by its table, or by the address of
    an array (`layer1.weight[2,5]`)."""
    if isinstance(one, Instrument):
        return one
    kinds = catalog.members("instruments")
    addressed = (
        isinstance(one, str)
        and one not in kinds
        and (any(sign in one for sign in ".[") or one == "output" or one.startswith("layer"))
    )
    return Watch(str(one)) if addressed else text.part_of(Instrument, one)


def watched(
    watch: tuple[Instrument | str, ...] | None, start: Start, later: Iterable[Start] = ()
) -> tuple[Instrument, ...]:
    """What is watched: what is asked for, else the loss, and the test loss where there is a test
    view. It must exist at `later` starts, after events, too."""
    fresh = getattr(start.rule, "sampling", "").startswith("fresh")
    if watch is None:
        known = PopulationLoss() if start.system.knows_its_population else ProbeLoss()
        first = known if fresh else Loss()
        return (first,) if start.system.test is None else (first, TestLoss())
    chosen = tuple(asked(one) for one in watch)
    if fresh and any(isinstance(one, Loss) for one in chosen):
        raise refused(
            "Loss",
            "samples to which steps come back",
            "sampling=fresh, under which each is seen once",
            "Watch batch-loss, the step's own, population-loss, or probe-loss",
        )
    names: set[str] = set()
    for instrument in chosen:
        instrument.check(start.system)
        given = instrument.quantities(start.system, start.state.params)
        said = tuple(given) if isinstance(given, Iterable) else (given,)
        if not all(isinstance(one, Quantity) for one in said):
            raise unfit(instrument, "quantities", "a tuple of Quantity", trees.kind_of(given))
        for quantity in said:
            if quantity.name in names:
                raise refused(
                    "watch",
                    "every quantity once",
                    repr(quantity.name),
                    f"Drop one of the instruments that read {quantity.name}",
                )
            names.add(quantity.name)
        for after in later:
            instrument.check(after.system)
            instrument.quantities(after.system, start.state.params)
            if shapes_in(after, (instrument,)) != shapes_in(start, (instrument,)):
                remedy = "Watch a reduction of it (norm, mean), or keep the number of samples"
                raise refused(
                    "watch",
                    f"readings of one size all along of {type(instrument).__name__}",
                    "another size after an event",
                    remedy,
                )
    quantities_in(start, chosen)
    return chosen


def quantities_in(start: Start, watch: tuple[Instrument, ...]) -> tuple[Quantity, ...]:
    """All that is read, laid out so that it fits into one table; refuses what cannot."""
    shapes = {
        name: one.shape for group in shapes_in(start, watch).values() for name, one in group.items()
    }
    return laid_out(
        (q for i in watch for q in i.quantities(start.system, start.state.params)), shapes
    )


def shapes_in(
    start: Start, watch: tuple[Instrument, ...]
) -> dict[int, dict[str, jax.ShapeDtypeStruct]]:
    """{every: {name: shape and type of one reading}}, cadences ascending."""
    found: dict[int, dict] = {
        every: {} for every in sorted({instrument.every for instrument in watch})
    }
    for instrument, shapes in zip(
        watch, shapes_of(start.system, start.rule, start.state, watch), strict=True
    ):
        found[instrument.every] |= shapes
    return found


def mark_bytes(start: Start, watch: tuple[Instrument, ...]) -> int:
    """Bytes of all readings of one mark."""
    return sum(
        int(np.prod(s.shape)) * s.dtype.itemsize
        for group in shapes_in(start, watch).values()
        for s in group.values()
    )
