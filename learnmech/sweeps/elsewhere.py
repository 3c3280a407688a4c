"""Elsewhere: runs performed by an engine, each landing in a folder where the workers see it."""

import contextlib
import dataclasses
import functools
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax

from learnmech.engines import Engine, performed
from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, prepare
from learnmech.instruments.base import Instrument
from learnmech.record import bounds, locks, sealed
from learnmech.record.base import Record
from learnmech.runs.parcels import Parcel
from learnmech.sweeps.jobs import CLIENT, ELSEWHERE, LANDED, Landing, perform, record_of
from learnmech.sweeps.kept import POINTS, Kept, identity_of

if TYPE_CHECKING:
    import xarray as xr

# Seconds between two looks at what another process on the same folder has finished, and for which
# a point may be on its way from a worker's disk to this one.
WAIT, ARRIVES = 0.2, 30.0


def shape_of(point: Experiment) -> Any:
    """What decides which program a point is, as far as it is known without drawing its data: all
    but its numbers and its seeds."""
    dynamic, static = eqx.partition(dataclasses.replace(point, seed=0), eqx.is_array)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(dynamic))
    return jax.tree.structure(dynamic), shapes, repr(jax.tree.leaves(static))


def shaped(points: Mapping[Any, Experiment]) -> list[list]:
    """The keys of points, those of one program together."""
    groups: dict[Any, list] = {}
    for key, point in points.items():
        groups.setdefault(shape_of(point), []).append(key)
    return list(groups.values())


@contextlib.contextmanager
def landing_in(folder: str | Path | None, who: str = "sweep") -> Iterator[Landing | None]:
    """A folder made ready for runs to land in, which one process at a time gives to an engine."""
    if folder is None:
        yield None
        return
    folder = Path(folder)
    with sealed.said_if_it_fails(str(folder), "Choose another folder"):
        (folder / POINTS).mkdir(parents=True, exist_ok=True)
    words = (
        f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        f"; {secrets.token_hex(16)}"
    )
    file = bounds.inside(folder, CLIENT)
    with locks.claim(bounds.inside(folder, f"{CLIENT}.lock")) as held:
        if not held:
            holder = "another process"
            with contextlib.suppress(OSError):
                holder = file.read_text(encoding="utf-8").partition(";")[0]
            raise refused(
                who,
                "a folder whose points no other process gives to an engine",
                f"{folder}, held by {holder}",
                "Wait for it, stop it, or choose another folder",
            )
        sealed.put(folder, CLIENT, words.encode())
        try:
            yield Landing(str(folder.resolve()), words)
        finally:
            file.unlink(missing_ok=True)


def computed_elsewhere(
    points: Mapping[Any, Experiment],
    watch: tuple[Instrument, ...] | None,
    engine: Engine,
    landing: Landing | None,
    done: "Callable[[Any, xr.Dataset, bool], None]",
    who: str = "sweep",
) -> None:
    """The points performed by an engine; `done(key, table, kept)` is called as they come, with
    whether the worker has kept it. The first of each program is prepared here, so that what cannot
    be run is refused before anything is."""
    groups, left = shaped(points), set(points)
    for group in groups:
        prepare(points[group[0]])

    @functools.cache
    def identity(key) -> Any:
        return None if landing is None else identity_of(points[key], watch)

    def given(key):
        parcel = Parcel.of(points[key], *(watch or ()), who=f"{who} on an engine")
        return parcel, watch is not None, identity(key), landing

    def taken(key, found):
        if isinstance(found, str) and landing is not None:
            if found == ELSEWHERE:
                return
            done(key, _arrived(landing.kept(identity(key))), True)
        else:
            done(key, found, False)
        left.discard(key)

    def there(key):
        return landing is not None and landing.kept(identity(key)).named(0)

    while left:
        waiting = [[key for key in group if key in left] for group in groups]
        performed(engine, perform, [one for one in waiting if one], given, taken, there, who)
        for key in list(left):  # another process was at it, or it landed before its worker died
            if there(key):
                taken(key, LANDED)
        if left:
            time.sleep(WAIT)


def _arrived(kept: Kept) -> "xr.Dataset":
    """What a worker has kept: on a disk of many machines it appears here a little later."""
    until = time.monotonic() + ARRIVES
    while True:
        found = kept.find(0)
        if found is not None:
            return found[1]
        if time.monotonic() > until:
            raise refused(
                "A sweep on an engine",
                "the point that a worker has kept",
                f"none after {ARRIVES:g} s in {kept.folder}",
                "Give the same again, in a folder on a disk that all see",
            )
        time.sleep(WAIT)


def records(
    points: Mapping[Any, Experiment],
    watch: tuple[Instrument, ...] | None,
    engine: Engine,
    landing: Landing | None,
    done: Callable[[Any, Record], None],
    who: str,
) -> None:
    """The record of every point, performed by an engine, `done(key, record)` as they come; what has
    landed in the folder before is not run again."""

    def made(key, table, kept):
        if landing is not None and not kept:
            landing.kept(identity_of(points[key], watch)).store(0, table, "map")
        done(key, record_of(prepare(points[key]), watch, table))

    computed_elsewhere(points, watch, engine, landing, made, who)
