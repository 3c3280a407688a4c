"""Collapses as tables: exponents, curves in their own units, and what variables leave out."""

import math

from learnmech.language.display.table import Mark, Table


def collapse(said: dict) -> tuple[Table, ...]:
    """The exponents with their intervals, beside what is predicted; as plain data."""
    knob = said["knob"]
    rows = []
    for key, words in (("time", "t -> t x^a"), ("size", f"{said['quantity']} -> it x^b")):
        value, half = said[key]
        if said["degenerate"]:
            value = half = math.nan
        told = said["predicted"].get(key)
        rows.append(
            (
                words,
                "" if math.isnan(value) else f"{value:.4g}",
                "" if math.isnan(half) else f"{half:.2g}",
                "" if told is None else f"{told:.4g}",
            )
        )
    floor = "" if math.isnan(said["floor"]) else f", of seeds {said['floor']:.3g}"
    left = f"left of ln {said['quantity']} about the mean: {said['left']:.3g}{floor}"
    title, verdict = f"{said['quantity']} over {knob} = x", Mark(said["verdict"])
    columns = ("", "exponent", "± 95 %", "predicted")
    return (Table(columns, tuple(rows), title, verdict, below=(left, said["rule"])),)


def universality(said: dict) -> tuple[Table, ...]:
    """How far each curve, in its own units, is from the mean of all; as plain data."""
    rows = tuple(
        (name, f"{half:.4g}", f"{far:.1%}", "" if math.isnan(error) else f"{2 * error:.1%}")
        for name, half, (far, error) in zip(
            said["values"], said["halves"], said["distances"], strict=True
        )
    )
    title = f"{said['quantity']} over {said['knob']}, tolerance {said['tolerance']:.3g}"
    columns = (said["knob"], "t_half", "off by", "± 2 se")
    return (Table(columns, rows, title, Mark(said["verdict"]), "", (said["rule"],)),)


def closing(said: dict) -> tuple[Table, ...]:
    """The index, and |J P_row| and |J P_null| at a few marks; as plain data."""
    count = len(said["times"])
    marks = sorted({round(i * (count - 1) / 4) for i in range(5)})
    rows = tuple(
        (f"{said['times'][i]:.4g}", f"{said['rows'][i]:.4g}", f"{said['others'][i]:.3g}")
        for i in marks
    )
    names = ", ".join(said["variables"][:6]) + (", ..." if len(said["variables"]) > 6 else "")
    title = (
        f"closure of {names}: index {said['index']:.3g} (random functionals {said['random']:.3g})"
    )
    return (Table(("time", "by themselves", "by all else"), rows, title, below=(said["rule"],)),)
