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
    if not any(rung["theories"] for rung in (*said["alone"], *steps)):
        return tuple(found)
    rows = [
        (" + ".join(rung["axes"]), ", ".join(rung["theories"]) or "none")
        for rung in (*said["alone"], *steps)
    ]
    return (*found, Table(("off", "theories that apply"), tuple(rows)))


def _left(left: dict) -> list[str]:
    """Of the axes that were not turned off, why."""
    off = [axis for axis, why in left.items() if why.startswith("already ")]
    said = [f"off already: {', '.join(off)}"] if off else []
    return said + [f"left on, {axis}: {why}" for axis, why in left.items() if axis not in off]


def _row(rung, name, quantity):
    if quantity not in rung["distances"]:
        return (name, "", "", "", "", "", Mark("not compared: another quantity"), rung["set"])
    one = rung["distances"][quantity]

    def share(value):
        return "" if math.isnan(value) else "diverged" if math.isinf(value) else f"{value:.1%}"

    last = "" if math.isnan(one["last"]) else f"x {one['last']:.3g}"
    numbers = (one["farthest"], 2 * one["resolution"], one["mean"])
    verdict = Mark(one["verdict"])
    return (name, *map(share, numbers), last, share(one["spread"]), verdict, rung["set"])
