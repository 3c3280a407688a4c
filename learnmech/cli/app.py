"""A command from what was typed to its exit status. Nothing heavy is imported until a command
needs it."""

import argparse
import json
import logging
import math
import os
import sys
import traceback
from pathlib import Path

from learnmech.cli.commands import understood
from learnmech.cli.terminal import any_letter, shown, tell, told
from learnmech.errors import Refused, nearest, plain, refused, saying
from learnmech.language import catalog
from learnmech.language.faults import blamed
from learnmech.machine.logs import LOG

REPORT_TO = "the maintainers of learnmech"


GALLERY = ("gallery", "exhibits")


def _list(family: str | None) -> dict:
    families, family = [*catalog.FAMILIES, "gallery"], "gallery" if family in GALLERY else family
    if family is not None and family not in families:
        raise refused("list", "a family of the catalogue", repr(family), nearest(family, families))
    found = {}
    for name in [family] if family else families:
        if name == "gallery":
            found[name] = {entry.name: entry.claim for entry in catalog.exhibits().values()}
        else:
            found[name] = {kind: member.summary for kind, member in catalog.members(name).items()}
    return found


def _print_list(found: dict) -> None:
    width = max((len(kind) for entries in found.values() for kind in entries), default=0)
    for name, entries in found.items():
        print(name)
        for kind, summary in entries.items():
            print(f"  {kind:<{width}}  {summary}")


def _perform(a: argparse.Namespace):
    """(result as plain data, how it looks)."""
    if a.command == "list" and a.kind is None:
        return _list(a.family), _print_list
    from learnmech.cli import looks
    from learnmech.cli.phases import on_stderr
    from learnmech.verbs import (
        cards,
        curves,
        diffs,
        exhibits,
        foretelling,
        forks,
        grids,
        ladders,
        limits,
        maps,
        pages,
        stairs,
        works,
    )
    from learnmech.verbs.phases import silent

    phases = silent if a.quiet or a.json else on_stderr
    calls = {
        "list": lambda: (
            (exhibits.exhibit(a.kind), looks.exhibit)
            if a.family in GALLERY
            else (works.describe(a.family, a.kind), looks.description)
        ),
        "data": lambda: (
            cards.data(a.subject, a.changes, a.kernel, a.ridge, a.out),
            looks.data,
        ),
        "run": lambda: (
            works.run(a.subject, a.changes, a.until, a.out, a.small, a.keep_data, phases),
            looks.run,
        ),
        "predict": lambda: (
            foretelling.predict(a.subject, a.changes, a.theory, a.out, a.small),
            looks.predict,
        ),
        "sweep": lambda: (
            grids.sweep(
                a.subject, a.changes, a.seeds, a.backend, a.out, a.small, a.shard, a.on, phases
            ),
            looks.sweep,
        ),
        "limit": lambda: (
            limits.limit(
                a.theory,
                a.words,
                a.along,
                a.seeds,
                a.quantity,
                a.out,
                a.small,
                a.on,
                a.store,
                phases,
            ),
            looks.limit,
        ),
        "ladder": lambda: (
            ladders.climb(
                a.subject,
                a.changes,
                a.axes,
                a.seeds,
                a.tolerance,
                a.keep,
                a.combinations,
                a.theories,
                a.out,
                a.small,
                a.on,
                a.store,
                phases,
            ),
            looks.ladder,
        ),
        "map": lambda: (
            maps.mapped(
                a.theory,
                a.subject,
                a.changes,
                a.quantity,
                a.size,
                a.seeds,
                a.tolerance,
                a.islands,
                a.out,
                a.small,
                a.on,
                a.store,
                phases,
            ),
            looks.error_map,
        ),
        "explain": lambda: (
            ladders.explained(
                a.subject,
                a.changes,
                a.theory,
                a.quantity,
                a.seeds,
                a.near,
                a.out,
                a.small,
                a.on,
                a.store,
                phases,
            ),
            looks.budget,
        ),
        "compare": lambda: _compared(a, phases),
        "fork": lambda: (
            forks.fork(
                a.run, a.events or [], a.at, a.memory, a.until, a.watch, a.out, a.keep_data, phases
            ),
            looks.run,
        ),
        "resume": lambda: (forks.resume(a.run, phases), looks.run),
        "read": lambda: (forks.read(a.run, a.what, a.steps, a.out), looks.reading),
        "twins": lambda: (forks.twins(a.run, a.other, a.steps, a.out), looks.twins),
        "diff": lambda: (diffs.diff(a.one, a.other, a.small), looks.diff),
        "show": lambda: (
            (grids.show(a.run), looks.grid)
            if grids.is_sweep(a.run)
            else (works.show(a.run), looks.show)
        ),
        "staircase": lambda: (stairs.stairs(a.run, a.modes, a.out), looks.staircase),
        "curve": lambda: (
            curves.curve(
                a.subject,
                a.changes,
                a.kernel,
                a.view,
                a.n,
                a.ridge,
                a.splits,
                a.at,
                a.out,
                a.small,
            ),
            looks.learning_curve,
        ),
        "export": lambda: (
            grids.export(a.run, a.file) if grids.is_sweep(a.run) else works.export(a.run, a.file),
            looks.written,
        ),
        "runs": lambda: (works.runs(a.folder or a.out or Path("runs"), a.delete), looks.runs),
        "report": lambda: (
            (
                grids.page_again(a.run, a.out)
                if grids.is_sweep(a.run)
                else pages.report_again(a.run, a.out)
            ),
            looks.written,
        ),
        "theories": lambda: (
            foretelling.theories(a.subject, a.changes, a.small) | {"long": a.long},
            looks.theories,
        ),
        "check": lambda: (works.check(a.names, a.small, a.on, phases), looks.check),
        "lab": lambda: (_lab(a), lambda result: None),
    }
    return calls[a.command]()


def _compared(a, phases):
    from learnmech.cli import looks
    from learnmech.verbs import grids, works

    if grids.is_sweep(a.run):
        return grids.compare(a.run, a.other, a.tolerance, phases), looks.grid_comparison
    return works.compare(a.run, a.other, a.tolerance), looks.comparison


def _lab(a) -> dict:
    """The lab, until it is ended."""
    from learnmech.lab import opening
    from learnmech.verbs import works

    works.ready()
    opening.opened(a.subject, a.changes, a.small, a.host, a.port, not a.no_browser, a.out, tell)
    return {"ended": True}


def _spoken(value):
    """The value as JSON knows it: NaN and infinity, which it does not, are null."""
    if isinstance(value, dict):
        return {str(name): _spoken(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spoken(one) for one in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return float(value) if math.isfinite(float(value)) else None


def call(argv: list[str]) -> int:
    """One command; its exit status: 0, 1 where a check or a limit fails or a diff finds something,
    2 for a refusal, 3 for a fault of learnmech's own, 130 when interrupted."""
    before, level = catalog.trusted(), LOG.level
    handler: logging.Handler | None = None
    try:
        arguments = understood(argv)
        if arguments.verbose or arguments.more_verbose:
            handler = told()
            LOG.addHandler(handler)
            LOG.setLevel(logging.INFO)
        catalog.trust(before or arguments.trust or arguments.more_trust)
        for file in [*arguments.guests, *arguments.more_guests]:
            catalog.add_source(file)
        result, look = _perform(arguments)
        if arguments.json:
            print(json.dumps(_spoken(result)))
        else:
            look(shown(result))
        if arguments.command in ("check", "limit", "diff") and not result["holds"]:
            return 1
        return 130 if result.get("interrupted") is True else 0
    except Refused as refusal:
        return _ended(argv, plain(refusal), 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # the disk's, the name's or the permission's fault
        if (own := blamed(error)) is not None:
            return _blamed(argv, own, error)
        if "--traceback" in argv:
            tell(traceback.format_exc())
        what = (
            f"{error.strerror or error}: {error.filename}"
            if error.filename
            else error.strerror or str(error)
        )
        return _ended(
            argv,
            str(
                refused(
                    "learnmech",
                    "files that it can read and write",
                    what,
                    "Choose another name or place, or give permission",
                )
            ),
            2,
        )
    except MemoryError as error:
        return _ended(
            argv,
            str(
                refused(
                    "learnmech",
                    "more memory",
                    str(error) or "no more",
                    "Lower widths, samples or marks",
                )
            ),
            2,
        )
    except BaseException as error:  # a part of one's own may end the process, or raise anything
        if (own := blamed(error)) is not None:
            return _blamed(argv, own, error)
        if not isinstance(error, Exception):  # the parser's, which has said what was asked for
            raise
        return _ended(argv, _fault(error, argv), 3)
    finally:
        catalog.trust(before)
        if handler is not None:
            LOG.removeHandler(handler)
        LOG.setLevel(level)


def _ended(argv, said: str, status: int) -> int:
    if "--json" in argv:
        print(json.dumps({"error": said}))
    tell(said)
    return status


def _blamed(argv, refusal: Refused, error: BaseException) -> int:
    """The end of a command that the user's own code did not let go on."""
    if _asks_for_traceback(argv):
        tell("".join(traceback.format_exception(error)))
    return _ended(argv, plain(refusal), 2)


def _asks_for_traceback(argv) -> bool:
    return "--traceback" in argv or bool(os.environ.get("LEARNMECH_TRACEBACK"))


def _fault(error: Exception, argv) -> str:
    """A fault of learnmech's own: never hidden, and no excuse for a mistake of the user's that
    could have been said before."""
    frames = traceback.extract_tb(error.__traceback__)
    own = next(
        (frame for frame in reversed(frames) if "learnmech" in Path(frame.filename).parts),
        frames[-1],
    )
    if _asks_for_traceback(argv):
        tell("".join(traceback.format_exception(error)))
        remedy = f"Please send the lines above and the command to {REPORT_TO}"
    else:
        remedy = (
            f"Please give the same command with --traceback, and send what it says to {REPORT_TO}"
        )
    return str(
        refused(
            "learnmech",
            "mending, for no command should end like this",
            f"{saying(error)} ({Path(own.filename).name}, line {own.lineno})",
            remedy,
        )
    )


def main() -> None:
    """The entry point of the command `learnmech`."""
    any_letter()
    sys.exit(call(sys.argv[1:]))
