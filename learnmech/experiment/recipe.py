"""The experiment: architecture, data, loss, rule, clock and seed, and how it is made ready."""

import dataclasses
import hashlib
import html
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.data.base import Data, Drawn, View, finite
from learnmech.errors import Refused, refused
from learnmech.experiment.clock import Clock, Marks
from learnmech.initial.base import InitialCondition, named_arrays
from learnmech.initial.gaussian import Gaussian
from learnmech.interventions.base import Intervention
from learnmech.language import catalog, text, trees
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.language.faults import unfit
from learnmech.language.parts import Knob, Part, knob, part, structure
from learnmech.losses import Loss, Squared
from learnmech.machine.streams import stream_of
from learnmech.rules.base import Rule
from learnmech.rules.schedules import Constant
from learnmech.system.landscape import System, landscape
from learnmech.system.state import State

KEPT_BYTES = 10_000_000
"""Data files up to this size in all are copied into a run folder, unless it is said otherwise."""


class Experiment(Part):
    """What is to be run: a frozen value. Its identity is `fingerprint`; what is watched is no part
    of it.

    `seed` moves the start and the rule's batches; the data have a seed of their own. `events` are
    what is changed on the way.
    """

    architecture: Architecture = part(meaning="the map from inputs and parameters to outputs")
    data: Data = part(meaning="training samples and perhaps test samples")
    rule: Rule = part(meaning="how parameters move")
    clock: Clock = part(meaning="when it is looked at, and when it ends")
    initial: InitialCondition = part(default=Gaussian(), meaning="how parameters start")
    loss: Loss = part(default=Squared(), meaning="the price on outputs that is made small")
    seed: Knob = knob(
        default=0,
        whole=True,
        at_least=0,
        meaning="of the random numbers of the start and of the rule",
    )
    precision: str = structure(
        default="float64",
        choices=("float64", "float32"),
        meaning="of floats in the run; data and start are drawn in float64",
    )
    events: tuple[Intervention, ...] = part(default=(), meaning="what is changed on the way")

    @property
    def fingerprint(self) -> str:
        """sha256 of what it is: its canonical text, the content of the files it reads, and the
        user's own code it runs."""
        return text.fingerprint(self)

    @property
    def text(self) -> str:
        """The canonical text (TOML)."""
        return text.to_text(self)[0]

    def with_value(self, path: str, value) -> "Experiment":
        """The experiment with one knob changed, by its dotted path."""
        return text.with_value(self, path, value)

    def save(self, folder: str | Path, keep_data: bool | None = None) -> Path:
        """Write experiment.toml and the arrays it names into a folder, with a copy of the data
        files it reads.

        `keep_data`: whether they are copied; None: where they are at most 10 MB. Where they are
        not, the text names where they lie now. The text holds their sha256 in any case.
        """
        written, arrays = text.to_text(self, _carried(self, Path(folder), keep_data))
        for name, values in arrays.items():
            np.save(Path(folder) / name, values)
        path = Path(folder) / "experiment.toml"
        path.write_text(written, encoding="utf-8")
        return path

    def tables(self) -> tuple[Table, ...]:
        """The experiment as a table: each part with the knobs that are not at their defaults,
        and its identity."""
        rows = []
        for field in dataclasses.fields(self):
            part = getattr(self, field.name)
            if isinstance(part, Part):
                rows.append((field.name, *_kind_and_knobs(part)))
        for event in self.events:
            rows.append(("event", *_kind_and_knobs(event)))
        rows += [("seed", str(int(self.seed)), ""), ("precision", self.precision, "")]
        return (
            Table(
                ("part", "kind", "knobs"), tuple(rows), "Experiment", source=self.fingerprint[:16]
            ),
        )

    def __str__(self):
        return as_text(*self.tables())

    def _repr_html_(self) -> str:
        written = (
            "<details><summary>as text"
            f" (TOML)</summary><pre>{html.escape(self.text)}</pre></details>"
        )
        return boxed(*map(as_html, self.tables()), written)

    @classmethod
    def parse(
        cls, written: str, folder: str | Path = ".", known: dict | None = None
    ) -> "Experiment":
        """The experiment a text describes; paths in it are relative to `folder`, and what such a
        text says beside it (`watch`, `theories`) is no part of it. `known` are classes that go
        before the catalogue's, {(family, kind): class}."""
        return text.from_text(cls, written, folder, known)

    @classmethod
    def load(cls, path: str | Path) -> "Experiment":
        """The experiment in a TOML file."""
        return _loaded(path)[0]


def _kind_and_knobs(part: Part) -> tuple[str, str]:
    kind, _, knobs = repr(part).partition("(")
    return catalog.kebab(kind), knobs.removesuffix(")")


@dataclasses.dataclass(frozen=True)
class Start:
    """An experiment made ready: the drawn data (float64), the system and the state at t = 0 in
    the experiment's precision, and the marks to look at."""

    experiment: Experiment
    data: Drawn
    system: System
    state: State
    marks: Marks

    @property
    def rule(self) -> Rule:
        """The learning rule."""
        return self.experiment.rule

    @property
    def params(self) -> dict:
        """The parameters at t = 0 as float64 numpy arrays."""
        return jax.tree.map(lambda w: np.asarray(w, np.float64), self.state.params)

    def marked(self, clock: Clock | None) -> Marks:
        """The marks of another clock under this rule (None: the experiment's own)."""
        return self.marks if clock is None else _marked(clock, self.rule)


def _carried(experiment, folder, keep):
    """{sha256: where the text in the folder says that a file lies}; files are copied where they
    are kept, and folders of files (images) stay where they are."""
    files = {one.sha256: one.path for one in text.outside_of(experiment)}
    stay = {sha: path.resolve().as_posix() for sha, path in files.items() if path.is_dir()}
    files = {sha: path for sha, path in files.items() if sha not in stay}
    if keep is None:
        keep = sum(path.stat().st_size for path in files.values() if path.is_file()) <= KEPT_BYTES
    if not keep:
        return stay | {sha: path.resolve().as_posix() for sha, path in files.items()}
    moved = {
        sha: f"data/{sha[:16]}-{path.name.removeprefix(f'{sha[:16]}-')}"
        for sha, path in files.items()
    }
    for sha, path in files.items():
        held = path.read_bytes() if path.is_file() else b""
        found = hashlib.sha256(held).hexdigest()
        if found != sha:
            got = f"sha256 {found[:16]}..." if path.is_file() else "no such file"
            raise refused(
                "The run folder",
                f"{path} with sha256 {sha[:16]}...",
                got,
                f"Restore {path.name}, or make the data anew",
            )
        (folder / "data").mkdir(exist_ok=True)
        (folder / moved[sha]).write_bytes(held)
    return stay | moved


BESIDE = ("watch", "theories")
"""What a TOML file says beside its experiment: what is watched, and which theories are laid over
it."""


def _loaded(path: str | Path) -> "tuple[Experiment, tuple | None]":
    """(the experiment in a TOML file, what it says is watched or None)."""
    path = Path(path)
    if path.suffix != ".toml" or not path.is_file():
        remedy = "Give an Experiment, or the path of an existing .toml file"
        raise refused("The experiment", "an Experiment or its TOML file", repr(str(path)), remedy)
    try:
        written = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise refused(
            "The experiment", "a TOML file in UTF-8", str(path), f"Save it as UTF-8 ({error})"
        ) from None
    table = text.parse(written, str(path))
    watch = table.get("watch")
    if watch is not None and not isinstance(watch, list):
        raise refused("watch", "a list of kinds", repr(watch), 'Write for example watch = ["loss"]')
    return Experiment.parse(written, path.parent), None if watch is None else tuple(watch)


def given(
    experiment: "Experiment | Start | str | Path", watch: tuple | None = None
) -> "tuple[Experiment | Start, tuple | None]":
    """(the experiment that is meant, what is watched): a path is that of a TOML file, which may
    say what to watch; anything else is refused."""
    if isinstance(experiment, (str, Path)):
        experiment, said = _loaded(experiment)
        return experiment, said if watch is None else watch
    if not isinstance(experiment, (Experiment, Start)):
        remedy = (
            "Make one with lm.Experiment(architecture=..., data=..., rule=..., clock=...), or give"
            " the path of a .toml file"
        )
        raise refused(
            "The experiment", "an Experiment or its TOML file", type(experiment).__name__, remedy
        )
    return experiment, watch


def landscape_of(experiment: Experiment) -> str:
    """What experiments on the same landscape share: architecture, data, loss and precision, as
    one text."""
    return (
        "".join(
            text.identity(part)
            for part in (experiment.architecture, experiment.data, experiment.loss)
        )
        + experiment.precision
    )


def _drawn(source):
    data = source.draw(stream_of(source.seed, "data"))
    if not isinstance(data, Drawn) or not isinstance(data.train, View):
        raise unfit(source, "draw", "Drawn(train, test), views of samples", trees.kind_of(data))
    for side, view in (("train", data.train), ("test", data.test)):
        if view is not None:
            finite(type(source).__name__, **{f"{side} inputs": view.X, f"{side} targets": view.Y})
            for name, space, values in zip(
                ("inputs", "targets"), data.spaces, (view.X, view.Y), strict=True
            ):
                space.check(type(source).__name__, f"{side} {name}", values)
    return data


def marks_of(experiment: Experiment) -> Marks:
    """The marks of an experiment's clock, for which nothing need be drawn."""
    return _marked(experiment.clock, experiment.rule)


def _marked(clock, rule):
    if rule.flows:
        return clock.marked(None)
    paced = (
        None
        if isinstance(rule.schedule, Constant)
        else lambda steps: np.asarray(rule.elapsed(steps), np.float64)
    )
    return clock.marked(float(rule.rate), paced)


def prepare(
    experiment: Experiment | Start | str | Path,
    data: Drawn | None = None,
    like: Start | None = None,
) -> Start:
    """Draw the data and the start once, eagerly, in float64, cast to the experiment's precision,
    and check that the parts fit.

    `data`, where given, are samples in place of the source's own, which the experiment's text does
    not know: for theories and tests. `like`, where given, is a start on the same landscape (the
    same architecture, data, loss and precision), whose data and system are shared.
    """
    meant = given(experiment)[0]
    if isinstance(meant, Start):
        return meant
    try:
        return _prepared(meant, data, like)
    except (MemoryError, OverflowError) as error:
        raise _too_large(error) from None
    except ValueError as error:
        if ("dimension" in str(error) or "too big" in str(error)) and not isinstance(
            error, Refused
        ):
            raise _too_large(error) from None
        raise


def _too_large(error):
    return refused(
        "prepare",
        "an experiment that fits into memory",
        str(error).splitlines()[0] or "too large a one",
        "Lower its widths, its samples or its marks",
    )


def _prepared(experiment, data, like):
    dtype = jnp.dtype(experiment.precision)
    marks = _marked(experiment.clock, experiment.rule)
    if like is not None:
        data = like.data
    elif data is None:
        data = _drawn(experiment.data)
    params = experiment.initial.draw(
        experiment.architecture, data, stream_of(experiment.seed, "initial")
    )
    named_arrays(experiment.initial, "draw", params)
    params = jax.tree.map(lambda w: jnp.asarray(w, dtype), params)
    architecture = experiment.architecture.anchored(params)
    if like is None:
        system = landscape(architecture, experiment.loss, data, dtype)
    else:  # on one landscape architectures differ at most in what they hold of their starts
        held = architecture is not experiment.architecture
        system = (
            dataclasses.replace(like.system, architecture=architecture) if held else like.system
        )
    experiment.rule.check(system)
    key = jax.random.fold_in(
        jax.random.PRNGKey(int(experiment.seed)), zlib.crc32(b"rule") & 0x7FFFFFFF
    )
    memory = trees.cast(experiment.rule, dtype).begin(system, params)
    for leaf in jax.tree.leaves(memory):
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            method = "init" if type(experiment.rule).begin is Rule.begin else "begin"
            raise unfit(experiment.rule, method, "a tree of arrays", trees.kind_of(leaf))
    state = State(params, memory, jnp.zeros((), jnp.int64), jnp.zeros((), jnp.float64), key)
    return Start(experiment, data, system, state, marks)
