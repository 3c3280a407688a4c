"""Pages of exhibits: what each shows and claims, what can be turned, its experiment as text and
in Python, what it takes."""

import dataclasses
import importlib
import inspect

import numpy as np

from learnmech.experiment.recipe import Experiment, prepare
from learnmech.gallery.base import ALWAYS_FREE, Exhibit
from learnmech.gallery.costs import COSTS
from learnmech.language import catalog, text
from learnmech.language.parts import Part, show_value, unchanged

# An array of more numbers is no line of a program.
WRITTEN = 24


def described(name: str) -> dict:
    """The page of one exhibit as plain data; nothing of it is run."""
    entry, exhibit = catalog.exhibits()[name], catalog.exhibit(name)
    experiment = exhibit.experiment()
    return {
        "name": name,
        "shows": inspect.getdoc(importlib.import_module(entry.module)),
        "claim": exhibit.claim,
        "source": exhibit.source,
        "watched": [catalog.kebab(type(one).__name__) for one in exhibit.watch],
        "theories": [_theory(theory, exhibit) for theory in exhibit.theories],
        "seeds": exhibit.seeds,
        "checks": exhibit.verify is not None,
        "reason": exhibit.reason,
        "premises": _premises(exhibit),
        "free": [*ALWAYS_FREE, *exhibit.free],
        "knobs": _knobs(experiment, exhibit.twin),
        "twin": {path: show_value(value) for path, value in exhibit.twin.items()},
        "toml": experiment.text,
        "python": program(name, exhibit),
        "seconds": None if name not in COSTS else COSTS[name]._asdict(),
    }


def _theory(theory, exhibit) -> dict:
    kind = catalog.kebab(type(theory).__name__)
    summary = " ".join((inspect.getdoc(type(theory)) or "").partition("\n\n")[0].split())
    return {
        "kind": kind,
        "summary": summary,
        "source": theory.source,
        "predicts": list(theory.predicts),
        "tolerance": dict(exhibit.tolerance),
    }


def _premises(exhibit: Exhibit) -> list[str]:
    """What its checks take for granted, in words, as it is asked of the twin's start."""
    return (
        []
        if exhibit.premises is None
        else [one.claim for one in exhibit.premises(prepare(exhibit.changed(exhibit.twin)))]
    )


def _knobs(experiment: Experiment, twin: dict) -> list[dict]:
    """Every knob by its dotted path with its value here, and in the twin where that is another."""
    found = []
    for path in text.paths(experiment):
        shown = _shown(text.value_at(experiment, path))
        found.append(
            {"path": path, "value": shown, "twin": show_value(twin[path]) if path in twin else ""}
        )
    return found


def _shown(value) -> str:
    if isinstance(value, Part):
        return catalog.kebab(type(value).__name__)
    if isinstance(value, tuple) and any(isinstance(one, Part) for one in value):
        return ", ".join(map(_shown, value))
    return (
        f"an array {value.shape}"
        if isinstance(value, np.ndarray) and value.ndim
        else show_value(value)
    )


def program(name: str, exhibit: Exhibit) -> str:
    """The exhibit's experiment as a program, which ends in the same fingerprint; where arrays
    are too long to be written, from the gallery."""
    experiment = exhibit.experiment()
    used: set = set()
    called = written(experiment, used)
    if called is None:
        made = f'import learnmech as lm\n\nexperiment = lm.catalog.exhibit("{name}").experiment()\n'
    else:
        arrays = "import numpy as np\n\n" if "numpy" in used else ""
        families = ", ".join(sorted(used - {"numpy"}))
        made = (
            f"{arrays}import learnmech as lm\nfrom learnmech import {families}\n\nexperiment ="
            f" {called}\n"
        )
    return f'{made}record = lm.run(experiment, watch=lm.catalog.exhibit("{name}").watch)\n'


def written(part: Part, used: set, indent: int = 0) -> str | None:
    """A part as the call that makes it, its knobs at their defaults left out; None where an
    array in it is too long."""
    family, cls = text.family_of(type(part)), type(part)
    if family is not None:
        used.add(family)
    called = f"{family}.{cls.__name__}" if family else f"lm.{cls.__name__}"
    given, inner = [], " " * (indent + 4)
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.default is not dataclasses.MISSING and _is_default(value, field.default):
            continue
        if field.init is False:
            return None
        said = _value(value, used, indent + 4)
        if said is None:
            return None
        given.append(f"{field.name}={said}")
    short = f"{called}({', '.join(given)})"
    if isinstance(part, Experiment) or len(short) + indent > 88:
        return f"{called}(\n" + "".join(f"{inner}{one},\n" for one in given) + " " * indent + ")"
    return short


def _is_default(value, default) -> bool:
    if isinstance(value, Part) or isinstance(default, Part):
        return type(value) is type(default) and text.identity(value) == text.identity(default)
    return unchanged(value, default)


def _value(value, used: set, indent: int) -> str | None:
    if isinstance(value, Part):
        return written(value, used, indent)
    if isinstance(value, tuple) and any(isinstance(one, Part) for one in value):
        inner = [written(one, used, indent) for one in value]
        whole = [one for one in inner if one is not None]
        return None if len(whole) < len(inner) else f"({', '.join(whole)},)"
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size > WRITTEN:
            return None
        used.add("numpy")
        return f"np.array({value.tolist()})"
    return repr(value.item() if isinstance(value, (np.ndarray, np.generic)) else value)
