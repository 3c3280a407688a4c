"""The commands that take a run up again: fork, resume, read, twins; and interventions as they
are typed."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from learnmech import interventions, report
from learnmech.comparison import divergence
from learnmech.comparison.domains import applying, survey
from learnmech.comparison.verdicts import compare
from learnmech.errors import Refused, refused
from learnmech.figures import apart
from learnmech.figures.curves import curves
from learnmech.gallery.base import Exhibit, Shown
from learnmech.interventions.base import Intervention
from learnmech.interventions.weights import Transplant
from learnmech.language import text, trees
from learnmech.language.addresses import Address
from learnmech.language.display.results import ends
from learnmech.record.base import Record
from learnmech.record.folder import facts, load
from learnmech.record.sealed import check_absent, check_new, written
from learnmech.record.writing import conclude
from learnmech.runs.running import fork as forked
from learnmech.runs.running import resume as resumed
from learnmech.system.state import arrays_of
from learnmech.verbs import folders
from learnmech.verbs.folders import dataset_out
from learnmech.verbs.foretelling import brief
from learnmech.verbs.phases import Phasing, silent
from learnmech.verbs.works import comparison_of, quantities_of, ready, whole

DRAWN = (".png", ".svg", ".pdf")


def events_of(
    said: list[tuple[str, str]], at: float, memory: str, parent: Path
) -> tuple[tuple[Intervention, ...], dict]:
    """(events at `at`, changes of the clock) of what was typed: (option, value) in its order."""
    events, clock = [], {}
    for option, value in said:
        if option == "set" and value.startswith("clock."):
            path, typed = _last_assignment(option, value)
            clock[path] = text.value_of(typed)
        elif option == "transplant":
            events += _transplants(value, at, parent)
        else:
            events.append(_event(option, value, at, memory))
    return tuple(events), clock


def _event(option, value, at, memory) -> Intervention:
    if option == "event":
        table = {"at": at, **_table(value)}
        if table["at"] == 0 < at:
            raise refused(
                "--event", f"at = {at:g} or later", "at = 0", "Fork earlier, or leave at away"
            )
        return text.part_of(Intervention, table)
    if option in ("freeze", "thaw", "reset-memory", "ablate", "linearize"):
        named = {
            "freeze": interventions.Freeze,
            "ablate": interventions.Patch,
            "reset-memory": interventions.ResetMemory,
        }
        if option == "linearize":
            return interventions.Linearize(at=at)
        if option == "thaw":
            return interventions.Thaw(value, memory, at=at)
        return named[option](value, at=at)
    if option == "relabel":
        return text.part_of(
            Intervention, {"kind": "relabel", "at": at, "shuffle": text.value_of(value)}
        )
    path, typed = _last_assignment(option, value)
    if option == "perturb":
        how = "add" if typed[:1] in "+-" else "scale" if typed[:1] == "*" else "set"
        return interventions.Perturb(path, how, _number(option, typed.lstrip("*=")), at=at)
    if option == "patch":
        return interventions.Patch(path, _number(option, typed), at=at)
    if option == "noise":
        return interventions.Noise("" if path == "all" else path, _number(option, typed), at=at)
    if option == "push":
        return interventions.Push(path, _number(option, typed), at=at)
    if option == "rescale":
        up, _, down = path.partition(",")
        return interventions.Rescale(up, down, _number(option, typed), at=at)
    part = {"rule": "rule", "loss": "loss", "data": "source"}.get(path)
    if part is not None:
        return text.part_of(Intervention, {"kind": "swap", "at": at, part: text.value_of(typed)})
    return interventions.Change(path, _plain(text.value_of(typed)), at=at)


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def _table(value):
    found = text.value_of(value)
    if not isinstance(found, dict):
        raise refused(
            "--event",
            "an inline table",
            repr(value),
            'Write for example {kind = "noise", path = "layer1", size = 0.1}',
        )
    return found


def _last_assignment(option, value):
    """(path, value); the indices of an address may hold = too, as in layer2.post[unit=7]=0.5."""
    found = re.fullmatch(r"((?:[^=\[\]]|\[[^\]]*\])+)=(.+)", value)
    if found is None:
        raise refused(
            f"--{option}",
            "a path and a value",
            repr(value),
            f"Write for example {EXAMPLES[option]}",
        )
    return found[1].strip(), found[2].strip()


EXAMPLES = {
    "perturb": "'layer3.weight[2,5]=+0.1' (+ and - add, * scales, a bare number sets)",
    "patch": "'layer2.post[unit=7]=0.5'",
    "noise": "layer1=0.1, or all=0.1",
    "push": "top-hessian=0.1, or gradient=0.1",
    "rescale": "layer1,layer2.weight=2",
    "set": "rule.rate=0.2",
    "transplant": "layer2=runs/other@500",
}


def _number(option, typed):
    try:
        return float(typed)
    except ValueError:
        raise refused(
            f"--{option}", "a number", repr(typed), f"Write for example {EXAMPLES[option]}"
        ) from None


def _transplants(value, at, parent):
    path, source = _last_assignment("transplant", value)
    run, found, step = source.rpartition("@")
    if not found:
        raise refused(
            "--transplant",
            "a run and a step",
            repr(source),
            f"Write for example {EXAMPLES['transplant']}",
        )
    donor = whole(parent if run in ("", "self") else run)
    arrays = arrays_of(donor.at(_number("transplant", step)))
    address = Address.parse(path)
    for name in address.among(arrays):
        where = f"{name}[{address.index}]" if address.index else name
        index = address.selection(
            np.shape(arrays[name]), trees.axes_of(name, np.ndim(arrays[name]))
        )
        yield Transplant(
            where,
            np.asarray(arrays[name])[index],
            f"{donor.experiment.fingerprint[:16]} at {step}",
            at=at,
        )


def fork(
    parent, said, at, memory, until, watch, out, keep_data=None, phases: Phasing = silent
) -> dict:
    """A twin of a run that goes on with interventions."""
    ready()
    record = whole(parent)
    events, clock = events_of(said, at, memory, parent)
    named = Path(parent) if Path(parent).name not in ("", "..") else Path(parent).resolve()
    target = folders.free(named.with_name(f"{named.name}-fork")) if out is None else Path(out)
    check_new(target)
    watching = (*record.watch, *watch) or None
    with phases(target.name) as told:
        told.enter("running")
        made = forked(
            record,
            at,
            events,
            watching,
            until,
            _settled(told),
            target,
            changes=clock,
            keep_data=keep_data,
        )
        changed = [event.name for event in events] + [
            f"{path} = {value}" for path, value in clock.items()
        ]
        return _concluded(made, target, record, changed, told)


def _settled(told):
    """Progress of a run, whose first word says that what was asked for is possible."""

    def show(progress):
        told.settle()
        told.show(progress)

    return show


def _concluded(made: Record, target: Path, parent: Record | None, events: list[str], told) -> dict:
    told.settle()
    told.enter("looking which theories apply", "which theories apply")
    claim = (
        f"At {made.provenance['parent']['at']:g}: {', '.join(events)}"
        if events
        else f"{target.name}, gone on"
    )
    surveyed = survey(made.start)
    comparisons = tuple(
        compare(made, theory) for theory in applying(made.start, made.watch, surveyed)
    )
    drawn: dict[str, Any] = {}
    result: dict[str, Any] = {
        "name": target.name,
        "claim": claim,
        "source": "",
        "folder": str(target),
        "holds": True,
        "checks": [],
        "reason": "",
    }
    if parent is not None:
        told.enter("laying it beside its parent")
        try:
            distances = divergence.twins(parent, made)
            result["twins"] = twins_of(distances)
            drawn = {"draw": lambda shown: apart.apart(distances, shown.exhibit.claim)}
        except Refused as refusal:  # no marks in common
            result["twins"] = {"said": str(refusal)}
    interrupted = any(note.startswith("interrupted") for note in made.notes)
    result |= {
        "comparisons": [comparison_of(one) for one in comparisons],
        "notes": list(made.notes),
        "interrupted": interrupted,
    }
    result["data"] = made.provenance.get("data_read", "")
    result |= {"wall_seconds": made.provenance["wall_seconds"], "quantities": quantities_of(made)}
    conclude(target, result)
    told.enter("writing the report", "report")
    exhibit = Exhibit(
        claim=claim, source="", experiment=lambda: made.experiment, watch=made.watch, **drawn
    )
    report.write(Shown(exhibit, made.experiment, made, comparisons), target, surveyed)
    return result | {"domain": brief(surveyed)}


def drawn_out(figure, file: Path) -> None:
    """A figure to a file, which must not exist yet."""
    check_absent("--out", file)
    with written("--out", file):
        figure.savefig(file)


def resume(folder, phases: Phasing = silent) -> dict:
    """A run that was stopped, gone on with to its end."""
    ready()
    found = facts(folder, "resume").progress
    with phases(Path(folder).resolve().name) as told:
        if found["status"] == "finished" and not found.get("result") and not load(folder).damaged:
            return _concluded(
                whole(folder), Path(folder), None, [], told
            )  # all was run, but it was stopped before anything was concluded
        told.enter("running")
        made = resumed(folder, _settled(told))
        if (
            found["status"] == "finished" and made.result
        ):  # it had ended, and only what was damaged was read again
            return made.result | {"notes": list(made.notes)}
        return _concluded(made, Path(folder), None, [], told)


def read(folder, what, when, out) -> dict:
    """What nobody thought of watching, replayed."""
    ready()
    record = whole(folder)
    dataset = record.read(what, steps_of(when, record))
    if out is not None and Path(out).suffix in DRAWN:
        drawn_out(curves(dataset, f"{what} of {folder}"), Path(out))
    elif out is not None:
        dataset_out(dataset, Path(out))
    quantities = {}
    for name, variable in dataset.data_vars.items():
        quantities[str(name)] = ends(variable) | {
            "values": variable.values.tolist() if variable.size <= 1000 else None
        }
    at = dataset["step" if "step" in dataset.coords else "time"].values.tolist()
    return {
        "folder": str(folder),
        "at": at,
        "quantities": quantities,
        "file": None if out is None else str(out),
    }


def steps_of(written: str | None, record: Record) -> list[float]:
    """The steps of `10,20,30`, of `0:100:10` (its end included), or the last one."""
    if written is None:
        return [
            record.timeline.time_at(record.position) if record.timeline.flows else record.position
        ]
    steps: list[float] = []
    for part in written.split(","):
        try:
            numbers = [float(number) for number in part.split(":")]
            begin, end, stride = (
                (*numbers, 1.0)[:3] if len(numbers) in (2, 3) else (*numbers, *numbers, 1.0)
            )
            count = np.floor((end - begin) / stride + 1e-9)
            if not count <= 1e6:
                raise ValueError
            steps += [begin + stride * index for index in range(int(count) + 1)]
        except (ValueError, TypeError, ZeroDivisionError):
            raise refused(
                "--steps", "steps", repr(part), "Write for example 10,20,30 or 0:100:10"
            ) from None
    return steps


def twins(one, other, when, out) -> dict:
    """How far two runs are apart."""
    ready()
    first = whole(one)
    distances = divergence.twins(
        first, whole(other), None if when is None else steps_of(when, first)
    )
    if out is not None and Path(out).suffix in DRAWN:
        drawn_out(apart.apart(distances, f"{other} beside {one}"), Path(out))
    elif out is not None:
        dataset_out(distances, Path(out))
    return {
        "name": f"{other} beside {one}",
        "file": None if out is None else str(out),
        "twins": twins_of(distances),
    }


def twins_of(distances) -> dict:
    """Twins at their first mark apart and at their last, as plain data."""
    apart_at = np.flatnonzero(distances["distance"].values > 0)
    first, last = (
        distances.isel(time=int(apart_at[0]) if len(apart_at) else 0),
        distances.isel(time=-1),
    )
    mark = "step" if "step" in distances.coords else "time"
    layers = {}
    for layer in distances["layer"].values:
        pick = {"layer": layer}
        layers[str(layer)] = {
            f"{name}_{when}": float(at[name].sel(pick))
            for name in ("weight_distance", "gradient_distance")
            for when, at in (("first", first), ("last", last))
        } | {"share": float(last["weight_share"].sel(pick))}
    ends_at = {"first": float(first[mark]), "last": float(last[mark]), "axis": mark}
    totals = {
        name: [float(first[name]), float(last[name])] for name in ("distance", "function_distance")
    }
    return (
        ends_at
        | totals
        | {
            "growth_rate": float(last["growth_rate"]),
            "growth_units": distances["growth_rate"].attrs["units"],
            "layers": layers,
        }
    )
