"""The record itself: what was seen, as Datasets over step and time, and from where any state can
be replayed."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learnmech.errors import RefusedKey, nearest, refused
from learnmech.experiment.clock import Marks
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.experiment.tables import joined, table
from learnmech.instruments.base import Instrument
from learnmech.language import catalog, doors, trees
from learnmech.language.display import results
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late
from learnmech.march.timeline import Timeline
from learnmech.march.watching import quantities_in
from learnmech.record import identity
from learnmech.record.checkpoints import InMemory, OnDisk
from learnmech.system.state import State

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
else:
    xr = late("xarray")


@dataclasses.dataclass(frozen=True)
class Record(Mapping[str, "xr.DataArray"]):
    """What was seen: a mapping of the names of quantities to what was read of each.

    `tables` holds one Dataset per cadence of watching ({every: Dataset}); `notes` say what a reader
    must know. `final` are the parameters where the run ended, {path: array}; `result` is what was
    concluded when it was written, as plain data. `watch` are the instruments that read; `reached`
    how many marks were reached, and `kept` the checkpoints.
    """

    experiment: Experiment
    tables: "dict[int, xr.Dataset]"
    final: dict[str, np.ndarray]
    provenance: dict
    notes: tuple[str, ...] = ()
    result: dict = dataclasses.field(default_factory=dict)
    watch: tuple[Instrument, ...] = ()
    reached: int = 0
    kept: InMemory | OnDisk = dataclasses.field(default_factory=InMemory)
    folder: Path | None = None
    prepared: list = dataclasses.field(default_factory=list, repr=False)

    def __getitem__(self, name: str) -> "xr.DataArray":
        found = next((table for table in self.tables.values() if name in table), None)
        if found is not None:
            return found[name]
        known = [str(n) for table in self.tables.values() for n in table.data_vars]
        raise refused(
            "The record",
            "a quantity that was watched",
            repr(name),
            nearest(str(name), known),
            RefusedKey,
        )

    def __contains__(self, name: object) -> bool:
        return any(name in table for table in self.tables.values())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self.names))

    def __len__(self) -> int:
        return len(set(self.names))

    @property
    def names(self) -> list[str]:
        """Every quantity seen."""
        return [str(name) for table in self.tables.values() for name in table.data_vars]

    @property
    def dataset(self) -> "xr.Dataset":
        """All tables on one time axis; marks at which a quantity was not read are NaN."""
        # a model that is not at hand has no timeline, and is not needed for what was read
        return (
            joined(self.tables.values())
            if self.tables
            else dataset_of(self.timeline, self.tables, self.first, self.reached)
        )

    @property
    def params(self) -> dict:
        """The final parameters as a tree."""
        tree: dict = {}
        for path, leaf in self.final.items():
            layer, name = path.rsplit(".", 1)
            tree.setdefault(layer, {})[name] = leaf
        return tree

    @property
    def timeline(self) -> Timeline:
        """The run as it was laid out: its marks, events and stages."""
        identity.check_code(
            self.provenance, self.experiment
        )  # each time: code may be edited while a record is in hand
        if not self.prepared:
            self.prepared.append(Timeline(prepare(self.experiment)))
        return self.prepared[0]

    @property
    def course(self) -> Timeline:
        """The timeline, by its name up to 0.4."""
        return self.timeline

    @property
    def start(self) -> Start:
        """What the run began with: its drawn data, landscape, state at t = 0 and marks."""
        return self.timeline.start

    @property
    def first(self) -> int:
        """The first mark that was read: 0, or for a fork the first at or after where it left."""
        return int(
            np.searchsorted(
                self.timeline.positions, (self.provenance.get("parent") or {}).get("place", 0)
            )
        )

    @property
    def position(self) -> int:
        """How far the run came: the step; for flows the index of the mark."""
        begun = (self.provenance.get("parent") or {}).get("place", 0)
        return max(begun, int(self.timeline.positions[max(self.reached, 1) - 1]))

    @property
    def damaged(self) -> bool:
        """Whether something of its folder was left out because it is damaged."""
        return any(note.startswith("damaged: ") for note in self.notes)

    def at(self, when: float) -> State:
        """The state at a step (for flows at the time of a mark), to the bit: replayed from the
        nearest checkpoint before it."""
        from learnmech.record import replay

        return replay.at(self, when)

    def read(self, what: Instrument | str, when) -> "xr.Dataset":
        """A quantity that need not have been watched, at these steps (for flows times of marks):
        an instrument, or the address of an array."""
        from learnmech.record import replay

        return replay.read(self, what, when)

    def sample_gradients(
        self, when: float, samples: "np.ndarray | list[int] | None" = None
    ) -> dict:
        """The gradient of each training sample's own loss at a step (for flows the time of a
        mark), {layer: {name: (n, *shape)}} (`samplewise`)."""
        from learnmech.record import replay

        return replay.sample_gradients(self, when, samples)

    def jacobian(self, when: float, X: "np.ndarray | None" = None) -> dict:
        """The slope of each output of each sample at a step (for flows the time of a mark),
        {layer: {name: (n, k, *shape)}} (`samplewise`)."""
        from learnmech.record import replay

        return replay.jacobian(self, when, X)

    def linearized(self, at: float = 0) -> Experiment:
        """An experiment like the run's on the tangent of the network at a step (for flows at the
        time of a mark), from the parameters there.

        The run itself goes on with it from there by `fork(record, at,
        (interventions.Linearize(),))`, its rule keeping its memory and its batches.
        """
        from learnmech.record import replay

        return replay.linearized(self, at)

    def tables_shown(self) -> tuple[Table, ...]:
        """What was watched, as the table that `learnmech show` prints."""
        said = {}
        for every, shown in self.tables.items():
            for name, variable in shown.data_vars.items():
                said[str(name)] = {"every": every, **results.ends(variable)}
        kinds = [
            catalog.kebab(type(getattr(self.experiment, name)).__name__)
            for name in ("architecture", "data", "rule")
        ]
        title = f"Record: {kinds[0]} on {kinds[1]} under {kinds[2]}, {self.reached} marks"
        read = self.provenance.get("data_read")
        return (
            results.quantities(said, title, (*self.notes, *([f"data: {read}"] if read else ()))),
        )

    def __str__(self):
        return as_text(*self.tables_shown())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        picture = doors.through("picture", self)
        return boxed(*map(as_html, self.tables_shown()), picture)

    def report(self, file: str | Path, theories: "tuple | None" = None, title: str = "") -> Path:
        """Write one self-contained page: everything that was watched, drawn, and theory laid over
        it.

        `theories` are those laid over it (None: all that apply and speak of what was watched).
        Refuses a file that exists.
        """
        return doors.through("report", self, file, theories=theories, title=title)

    def show(self, title: str = "", paths: str | tuple[str, ...] = ()) -> "Figure":
        """The record as a figure, as `lm.show(record)` gives it."""
        return doors.through("show", self, title, paths)

    def explore(self):
        """The record in the lab, as a widget for a notebook: its curves, any state of its past,
        theory over it, and changes at any step as branches in memory."""
        return doors.through("explore", self)

    def save(self, folder: str | Path, keep_data: bool | None = None) -> Path:
        """Write the run folder, as a run that streamed to it would have: killed under way it
        says how far it is, and `resume` goes on. `keep_data` as of `Experiment.save`. Refuses a
        record of which something is damaged: in the copy nothing would tell what is missing."""
        from learnmech.record import writing

        if self.damaged:
            broken = next(note for note in self.notes if note.startswith("damaged: ")).split("; ")[
                0
            ]
            raise refused(
                "save",
                "a whole record",
                broken,
                f"Run learnmech resume {self.folder}, which reads it again, and load it",
            )
        return writing.save(self, folder, keep_data)


def tabulated(
    timeline: Timeline, watch: tuple[Instrument, ...], readings: dict, first: int, reached: int
) -> "dict[int, xr.Dataset]":
    """The readings of marks `first` to `reached` - 1 as one Dataset per cadence."""
    tables, marks = {}, timeline.marks
    for every, values in readings.items():
        due = due_marks(every, first, reached)
        at = Marks(marks.times[due], None if marks.steps is None else marks.steps[due])
        tables[every] = table(
            quantities_of(timeline, watch, every),
            {name: np.asarray(value)[: len(due)] for name, value in values.items()},
            at,
        )
    return tables


def dataset_of(
    timeline: Timeline, tables: "dict[int, xr.Dataset]", first: int, reached: int
) -> "xr.Dataset":
    """Tables of several cadences on one time axis; where nothing was watched, the marks `first`
    to `reached` - 1 alone."""
    if tables:
        return joined(tables.values())
    due = due_marks(1, first, reached)
    return table(
        (),
        {},
        Marks(
            timeline.marks.times[due],
            None if timeline.marks.steps is None else timeline.marks.steps[due],
        ),
    )


def due_marks(every: int, first: int, reached: int) -> np.ndarray:
    """The marks from `first` to `reached` - 1 at which a cadence reads."""
    return np.arange(-(-first // every) * every, reached, every)


def quantities_of(timeline: Timeline, watch: tuple[Instrument, ...], every: int) -> tuple:
    """What a cadence reads, on axes that do not clash with those of any other."""
    read = {
        q.name
        for i in watch
        if i.every == every
        for q in i.quantities(timeline.start.system, timeline.start.state.params)
    }
    return tuple(q for q in quantities_in(timeline.start, watch) if q.name in read)


def final_of(state: State) -> dict[str, np.ndarray]:
    """{path: array} of a state's parameters."""
    return {path: np.asarray(leaf) for path, leaf in trees.leaves_by_path(state.params).items()}
