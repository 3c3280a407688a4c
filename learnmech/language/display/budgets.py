"""Budgets as tables: the path, and what the difference between theory and run is made of."""

import numpy as np

from learnmech.language.display.table import Table

SHOWN = 4  # marks, beside the start


def tables(said: dict) -> tuple[Table, ...]:
    """The parts of prediction - run at a few marks, with two standard errors and the range over
    orders; of a budget as plain data."""
    times, seeds = np.asarray(said["times"]), len(said["seeds"])
    full, theory = np.asarray(said["full"]), np.asarray(said["said"])
    whole = theory - full
    marks = np.unique(np.linspace(0, len(times) - 1, SHOWN + 1).round().astype(int))
    columns = ("", *(f"t = {times[at]:.4g}" for at in marks), "± 2 se", "over orders")
    rows = [
        ("the run", *(f"{full[:, at].mean():.4g}" for at in marks), "", ""),
        (said["theory"], *(f"{theory[:, at].mean():.4g}" for at in marks), "", ""),
        _row("difference", whole, marks, None),
    ]
    for place, part in enumerate(said["parts"]):
        own = place == len(said["parts"]) - 1
        name = f"{part['name']}, on the last rung" if own else f"{part['name']} off"
        between = (
            None
            if own or said["orders"] == 1
            else (part["least"][marks[-1]], part["most"][marks[-1]])
        )
        rows.append(_row(f"  {name}", np.asarray(part["values"]), marks, between))
    orders = (
        "one order of more"
        if said["drawn"]
        else f"{said['orders']} order" + "s" * (said["orders"] != 1)
    )
    below = [f"{said['theory']}: {said['path']}"]
    below += [f"set: {said['set']}"] if said["set"] else []
    below += [f"{one['theory']}: {one['words']}" for one in said["others"][:5]]
    below += [_shares(said), f"{said['rule']} ({orders}); ± 2 se and orders at the end"]
    title = (
        f"{said['quantity']}: {said['theory']} - run, {seeds} seed{'s' * (seeds > 1)}, in"
        f" {said['units']}"
    )
    return (Table(columns, tuple(rows), title, below=tuple(one for one in below if one)),)


def _row(name, values, marks, between):
    error = ""
    if len(values) > 1:
        error = f"{2 * values[:, marks[-1]].std(ddof=1) / np.sqrt(len(values)):.2g}"
    return (
        name,
        *(f"{values[:, at].mean():+.3g}" for at in marks),
        error,
        "" if between is None else f"{between[0]:+.3g} to {between[1]:+.3g}",
    )


def _shares(said) -> str:
    """The parts at the end as shares of the whole, where they hardly cancel."""
    ends = {
        part["name"]: float(np.mean([one[-1] for one in part["values"]])) for part in said["parts"]
    }
    total = sum(ends.values())
    if not total or sum(map(abs, ends.values())) > 1.5 * abs(total):
        return "at the end parts cancel, and are no shares of the whole"
    # rounded first, so that none is -0%
    parts = {name: round(value / total, 2) + 0.0 for name, value in ends.items()}
    return "at the end: " + ", ".join(f"{name} {part:.0%}" for name, part in parts.items())
