"""Ladders as tables: what each axis was worth, quantity by quantity."""

import math

from learnmech.language.display.table import Mark, Table


def tables(said: dict) -> tuple[Table, ...]:
    """For every quantity what each axis was worth, alone and together, and at the end which
    theories apply on the way; of what a ladder found, as plain data."""
    steps, count = said["together"][1:], len(said["seeds"])
    found = []
    for quantity in said["quantities"]:
        rows = [_row(rung, rung["added"], quantity) for rung in said["alone"]]
        rows += [_row(rung, f"+ {rung['added']}", quantity) for rung in steps]
        title = (
            f"{quantity}, relative to its range, {count} seed{'s' * (count > 1)}, tolerance"
            f" {said['tolerance']:.3g}"
        )
        below = (said["rule"], *_left(said["left"])) if quantity == said["quantities"][-1] else ()
        columns = ("off", "off by", "± 2 se", "over time", "last", "spread", "verdict", "set")
        found.append(Table(columns, tuple(rows), title, below=below))
    rungs = [*said["alone"], *steps]
    found += [
        one
        for one in (_again(rungs), _kept(rungs, said["kept_rule"]), _theories(rungs))
        if one is not None
    ]
    return (*found, *(() if said["design"] is None else design_tables(said["design"])))


def _again(rungs) -> Table | None:
    """Where the rate lost its meaning, how far it is at the best of three rates."""
    rows = [
        (
            " + ".join(rung["axes"]),
            name,
            "" if rung["near_edge"] is None else f"{rung['near_edge']:.2g}",
            _share(rung["distances"][name]["farthest"]),
            f"{one['rate']:g}",
            _share(one["farthest"]),
        )
        for rung in rungs
        for name, one in rung["again"].items()
    ]
    columns = ("off", "quantity", "rate/edge", "off by", "times the rate", "after re-tuning")
    title = "Where the rate has lost its meaning: the best of half, the same and twice the rate"
    return Table(columns, tuple(rows), title) if rows else None


def _kept(rungs, rule) -> Table | None:
    """What was to be kept, rung by rung."""
    names = list(dict.fromkeys(name for rung in rungs for name in rung["kept"]))
    rows: list[tuple[str | Mark, ...]] = [
        (" + ".join(rung["axes"]), *(Mark(rung["kept"].get(name, "")) for name in names))
        for rung in rungs
    ]
    title = "What was to be kept"
    return Table(("off", *names), tuple(rows), title, below=(rule,)) if names else None


def _theories(rungs) -> Table | None:
    """Which theories apply where."""
    if not any(rung["theories"] for rung in rungs):
        return None
    rows = [(" + ".join(one["axes"]), ", ".join(one["theories"]) or "none") for one in rungs]
    return Table(("off", "theories that apply"), tuple(rows))


def _left(left: dict) -> list[str]:
    """Of the axes that were not turned off, why."""
    off = [axis for axis, why in left.items() if why.startswith("already ")]
    said = [f"off already: {', '.join(off)}"] if off else []
    return said + [f"left on, {axis}: {why}" for axis, why in left.items() if axis not in off]


def _row(rung, name, quantity):
    if quantity not in rung["distances"]:
        return (name, "", "", "", "", "", Mark("not compared: another quantity"), rung["set"])
    one = rung["distances"][quantity]
    last = "" if math.isnan(one["last"]) else f"x {one['last']:.3g}"
    numbers = (one["farthest"], 2 * one["resolution"], one["mean"])
    verdict = Mark(one["verdict"])
    return (name, *map(_share, numbers), last, _share(one["spread"]), verdict, rung["set"])


MAINS = ("", "alone", "in the mean", "± 2 se", "p", "after all others", "verdict", "note")
PAIRS = ("", "interaction", "± 2 se", "p", "p in ln", "verdict", "note")


def design_tables(said: dict) -> tuple[Table, ...]:
    """For every quantity what each axis is worth over all combinations, and what each pair adds."""
    found = []
    count, cells = len(said["seeds"]), len(said["cells"])
    part = "" if said["fraction"] == 1 else f", one in {said['fraction']} of all combinations"
    for name, one in said["quantities"].items():
        rows = [_main(each, cells) for each in one["effects"] if len(each["axes"]) == 1]
        pairs = [_pair(each, cells) for each in one["effects"] if len(each["axes"]) == 2]
        below = [f"diverged: {' + '.join(cell) or 'the full one'}" for cell in one["diverged"]]
        title = f"last {name}, {cells} combinations{part}, {count} seed{'s' * (count > 1)}"
        found.append(Table(MAINS, tuple(rows), f"What each axis off adds to the {title}"))
        last = name == list(said["quantities"])[-1]
        below += [said["rule"]] * last
        below += [f"not crossed, {axis}: {why}" for axis, why in said["left"].items()] * last
        found.append(
            Table(PAIRS, tuple(pairs), f"What pairs add to the {title}", below=tuple(below))
        )
    return tuple(found)


def _main(one, cells):
    size, error, _ = one["size"]
    return (
        one["axes"][0],
        _signed(one["alone"][0]),
        _signed(size),
        "" if math.isnan(error) else f"{2 * error:.2g}",
        _chance(one["size"]),
        _signed(one["last"][0]),
        Mark(one["verdict"]),
        _note(one, cells),
    )


def _pair(one, cells):
    size, error, _ = one["size"]
    return (
        " x ".join(one["axes"]),
        _signed(size),
        "" if math.isnan(error) else f"{2 * error:.2g}",
        _chance(one["size"]),
        _chance(one["ln"]),
        Mark(one["verdict"]),
        _note(one, cells),
    )


def _note(one, cells):
    """With what it is confounded, and what its star rests on."""
    words = []
    if one["aliases"]:
        words.append("or " + ", ".join(" x ".join(each) for each in one["aliases"]))
    if one["cells"]:
        # a star that falls with many cells is a weak one, and no cell's fault
        few = len(one["cells"]) < 3
        which = ", ".join(" + ".join(each) or "the full one" for each in one["cells"])
        words.append(f"rests on {which}" if few else f"rests on {len(one['cells'])} of {cells}")
    return "; ".join(words)


def _signed(value):
    return "" if math.isnan(value) else f"{value:+.3g}"


def _chance(contrast):
    if contrast is None or math.isnan(contrast[2]):
        return ""
    star = "*" * (contrast[2] < 0.05)
    return (f"{contrast[2]:.2g}" if contrast[2] > 1e-6 else "< 1e-6") + star


def _share(value):
    return "" if math.isnan(value) else "diverged" if math.isinf(value) else f"{value:.1%}"
