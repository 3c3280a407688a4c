"""Gathering: works given to an engine in bundles, and what they give, as it comes."""

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import Any

from learnmech.engines.base import Engine
from learnmech.errors import Refused, refused
from learnmech.machine.backend import relieve
from learnmech.machine.logs import LOG

# Works that one worker takes at a time: a bundle costs some milliseconds to hand over, a run of
# theory scale takes 10 to 50.
LARGEST = 16
# Bundles for each worker, so that the last of them do not wait for one.
SHARES = 4
# Seconds between two looks at the workers.
LOOK = 1.0


@dataclasses.dataclass
class _Bundle:
    keys: list
    tries: int = 0


def performed(
    engine: Engine,
    work: Callable,
    groups: Iterable[Sequence[Hashable]],
    given: Callable[[Any], tuple],
    done: Callable[[Any, Any], None],
    there: Callable[[Any], bool] | None = None,
    who: str = "sweep",
) -> None:
    """Have `work(*given(key))` performed for every key, and `done(key, value)` called here with
    what it gives.

    Keys of one group (works that are one compiled program) go to the same worker as far as all
    workers stay busy. A bundle whose worker died is given again without what is `there` by then; a
    bundle of which nothing was finished three times is refused by its name, and everything else is
    kept. What a work refuses is refused here. On an interrupt or a refusal what was begun is
    cancelled.
    """
    queue = deque(_Bundle(keys) for keys in bundled(engine, [list(one) for one in groups]))
    running: dict[Future, _Bundle] = {}
    most = 2 * engine.width if engine.lasting else len(queue)
    try:
        while queue or running:
            # where one death ends all that runs, nobody knows whose it was: a bundle that was there
            # twice runs alone, and is blamed for no other's
            alone = engine.together and bool(queue) and queue[0].tries > 1
            room = int(not running) if alone else most - len(running)
            some = [queue.popleft() for _ in range(min(len(queue), room))]
            if some:
                many = [(work, [given(key) for key in bundle.keys]) for bundle in some]
                running |= dict(zip(engine.start(carried_out, many), some, strict=True))
                if alone:
                    wait(running)
            ready, _ = wait(running, LOOK, FIRST_COMPLETED)
            engine.look()
            lost = _taken(ready, running, engine, done)
            if lost:
                engine.renew()
                # a pool that lost one process is broken, and has failed all the others by now
                lost += _taken([one for one in running if one.done()], running, engine, done)
                queue.extendleft(_again(lost, engine, there, who)[::-1])
            most = 2 * engine.width if engine.lasting else most
    except BaseException:
        engine.stop(list(running))
        raise


def _taken(
    ready: Iterable[Future], running: dict[Future, _Bundle], engine: Engine, done
) -> list[tuple[_Bundle, BaseException]]:
    """What these bundles gave is handed on; those whose worker died, with the reason."""
    lost: list[tuple[_Bundle, BaseException]] = []
    for future in list(ready):
        bundle = running.pop(future)
        try:
            found = future.result()
        except engine.lost as error:
            lost.append((bundle, error))
            continue
        except (ModuleNotFoundError, AttributeError) as error:
            # what was sent names functions of this version, by their modules
            if "learnmech" not in str(error):
                raise
            raise refused(
                f"The engine {engine.name}",
                "workers with this version of learnmech",
                f"{type(error).__name__}: {error}",
                "Install the same version where they run",
            ) from None
        for key, (ended, value) in zip(bundle.keys, found, strict=True):
            if not ended:
                raise Refused(value)
            done(key, value)
    return lost


def _again(lost, engine: Engine, there, who) -> list[_Bundle]:
    """The bundles to be given again of those that were lost, in order."""
    again: list[_Bundle] = []
    for bundle, why in lost:
        keys = [key for key in bundle.keys if there is None or not there(key)]
        tries = bundle.tries + 1 if len(keys) == len(bundle.keys) else 0
        said = str(why).strip().splitlines() or [type(why).__name__]
        if tries > engine.tries:
            what = "is kept; give the same again to go on"
            raise refused(
                who,
                "workers that live until they have finished",
                f"{tries} lost in the midst of {_named(bundle.keys)}: {said[-1]}",
                f"See what kills them (memory, a limit of time); what was finished {what}",
            )
        if keys:
            LOG.warning(
                "a worker was lost (%s): %d of its works are given again, for the %s time",
                said[-1], len(keys), ("first", "second", "third")[max(tries, 1) - 1],
            )  # fmt: skip
        # the second time each alone, so that one which kills its worker takes no others with it
        again += (
            [_Bundle([key], tries) for key in keys]
            if tries > 1 and engine.lasting
            else [_Bundle(keys, tries)] if keys else []
        )  # fmt: skip
    return again


def _named(keys) -> str:
    shown = ", ".join(map(str, keys[:3])) + (", ..." if len(keys) > 3 else "")
    return f"work {shown}"


def bundled(engine: Engine, groups: list[list]) -> list[list]:
    """Keys in bundles: of one group each where there are groups enough, and else so many that all
    workers are busy until the end. Where each bundle is a job of its own, one for each of those at
    a time, the groups one after another."""
    if not engine.lasting:
        keys = [key for group in groups for key in group]
        size = -(-len(keys) // engine.width) if keys else 1
        return [keys[at : at + size] for at in range(0, len(keys), size)]
    count = sum(map(len, groups))
    size = max(1, min(LARGEST, count // (SHARES * engine.width)))
    return [group[at : at + size] for group in groups for at in range(0, len(group), size)]


def carried_out(work: Callable, many: Sequence[tuple]) -> list[tuple[bool, Any]]:
    """In a worker: what each work gives, or the sentence by which it refuses. A refusal ends the
    bundle's own part alone; whoever gathers decides about the rest."""
    found: list[tuple[bool, Any]] = []
    for one in many:
        try:
            found.append((True, work(*one)))
        except Refused as refusal:
            found.append((False, str(refusal)))
    relieve()
    return found


def over_cores(
    jobs: Iterable[Any], work: Callable[[Any], Any], done: Callable[[Any, Any], None]
) -> None:
    """The same without an engine: each job's work on a core of this process, and `done(job, value)`
    here as they come."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        waiting = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(waiting):
            done(waiting[future], future.result())
    finally:
        pool.shutdown(cancel_futures=True)
