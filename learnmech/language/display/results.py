"""Results as tables: each made of plain data, so that the command line, a report and a notebook
show one and the same."""

from learnmech.language.display.plain import DIFFERENT
from learnmech.language.display.table import Mark, Table, number
from learnmech.language.quantity import powers

SIGNS = {"below": "< ", "above": "> ", "within": ""}


def comparison(plain: dict) -> Table:
    """Theory against record: measured and predicted where they differ most, and the verdict."""
    rows = tuple(
        (
            row["quantity"],
            *(number(row[name]) for name in ("measured", "predicted", "time")),
            *("" if row[name] is None else f"{row[name]:.2g}" for name in ("error", "tolerance")),
            # where a theory does not speak of this run its error is no fault of its own
            Mark(
                "not claimed"
                if plain["verdict"] == "outside domain" and row["verdict"] == "beyond"
                else row["verdict"]
            ),
        )
        for row in plain["rows"]
    )
    columns = ("quantity", "measured", "predicted", "at time", "error", "tolerance", "")
    below = () if rows else ("Nothing is predicted here.",)
    return Table(columns, rows, plain["theory"], Mark(plain["verdict"]), plain["source"], below)


def grid_comparison(plain: dict, most: int) -> Table:
    """A theory over the points of a sweep: of each its knobs, the error of every quantity, and
    the verdict with what is missing."""
    names, dims = plain["quantities"], list(plain["rows"][0]["at"])
    rows = []
    for row in plain["rows"][:most]:
        errors = (
            ""
            if row["errors"][name] is None or row["errors"][name] != row["errors"][name]
            else f"{row['errors'][name]:.2g}"
            for name in names
        )
        rows.append(
            (*(number(row["at"][dim]) for dim in dims), *errors, Mark(row["verdict"]), row["why"])
        )
    counted_points = ", ".join(f"{count} {word}" for word, count in plain["verdicts"].items())
    below: tuple[str, ...] = (f"{plain['points']} points: {counted_points}",)
    below += (
        (f"{most} of them are shown; all are in the Dataset.",) if plain["points"] > most else ()
    )
    below += (plain["note"],) if plain["note"] else ()
    words = (f"error of {name}" for name in names)
    return Table(
        (*dims, *words, "", "what is missing"),
        tuple(rows),
        f"{plain['theory']} over the sweep",
        None,
        plain["source"],
        below,
    )


def conditions(plain: list[dict]) -> Table:
    """Conditions and whether each holds; one that was not decided says so."""
    rows = tuple((c["claim"], number(c["value"]), number(c["bound"]), _held(c)) for c in plain)
    return Table(("condition", "value", "bound", "holds"), rows)


def _held(condition) -> Mark:
    return Mark(
        "undecided" if not condition.get("decided", True) else "yes" if condition["holds"] else "no"
    )


def checks(plain: list[dict]) -> Table:
    """Further checks of an exhibit, with their reasons."""
    rows, below = (
        [],
        dict.fromkeys(
            c["words"] for c in plain if c.get("words", c.get("verdict")) != c.get("verdict")
        ),
    )
    for c in plain:
        within = c["bound"] == "within"
        numbers = (
            (f"{c['error']:.2g}", f"{c['tolerance']:.2g}")
            if within and c["error"] is not None
            else ("", "")
        )
        verdict = c.get("verdict") or ("holds" if c["holds"] else "fails")
        rows.append(
            (
                c["claim"],
                number(c["measured"]),
                SIGNS[c["bound"]] + number(c["predicted"]),
                *numbers,
                Mark(verdict),
                c["reason"],
            )
        )
    # one premise is often missing from all of them
    return Table(
        ("check", "measured", "predicted", "error", "tolerance", "", "reason"),
        tuple(rows),
        below=tuple(below),
    )


def quantities(plain: dict[str, dict], title: str = "", below: tuple[str, ...] = ()) -> Table:
    """What was watched: how often, how many entries, from where to where, of many entries their
    norm."""
    rows = []
    for name, q in plain.items():
        sign = "|·| " if q["entries"] > 1 else ""
        ends_shown = (sign + number(q[end]) for end in ("start", "end"))
        rows.append(
            (
                name,
                str(q.get("every", 1)),
                str(q["entries"]),
                *ends_shown,
                powers(q["units"]),
                q.get("meaning", ""),
            )
        )
    return Table(
        ("quantity", "every", "entries", "start", "end", "units", "meaning"),
        tuple(rows),
        title,
        below=below,
    )


def domain(plain: dict[str, dict], count: int = 3) -> Table:
    """Which theories apply, and of the others the nearest: those of which fewest conditions
    fail."""
    applies = [kind for kind, said in plain.items() if said["applies"]]
    rows = [(kind, Mark("applies"), "", plain[kind]["summary"]) for kind in applies]
    for kind in nearest_theories(plain)[:count]:
        failing = failing_conditions(plain[kind])
        rows.append(
            (
                kind,
                Mark("does not apply"),
                counted(len(failing)),
                "; ".join(said_of(c) for c in failing),
            )
        )
    return Table(("theory", "", "", "what it says, or what fails"), tuple(rows))


def failing_conditions(said: dict) -> list[dict]:
    """The conditions of a theory that do not hold."""
    return [c for c in said["conditions"] if not c["holds"]]


def nearest_theories(plain: dict[str, dict]) -> list[str]:
    """The theories that do not apply, those of which fewest conditions fail first."""
    others = [kind for kind, said in plain.items() if not said["applies"]]
    return sorted(others, key=lambda kind: len(failing_conditions(plain[kind])))


def counted(failing: int) -> str:
    """How many conditions fail, in words."""
    return f"{failing} condition{'s' if failing != 1 else ''} fail{'s' if failing == 1 else ''}"


def said_of(condition: dict) -> str:
    """A condition with its value and its bound."""
    return (
        f"{condition['claim']}: {number(condition['value'])} (bound {number(condition['bound'])})"
    )


def order(plain: dict) -> Table:
    """How fast a limit is approached: the error value by value, and the slope of the line
    through them."""
    rows = []
    for row in plain["rows"]:
        slope = (
            "" if row["slope"] is None else give_or_take(row["slope"], row["slope_standard_error"])
        )
        rows.append(
            (number(row["value"]), give_or_take(row["error"], row["standard_error"]), slope)
        )
    fitted = plain["fitted"]
    below = (
        f"error ~ value^slope, slope {give_or_take(fitted['slope'], fitted['standard_error'])}",
    )
    return Table(
        (plain.get("along", "value"), "error", "local slope"),
        tuple(rows),
        below=(*below, *(f"outside the domain at {one}" for one in plain["outside"])),
    )


RELATIVE = "relative: the largest difference over the largest size that either side has"


def difference(said: dict) -> tuple[Table, ...]:
    """What two sides differ in, a side in each column; and of the numbers that both have, from
    which mark on they differ and by how much."""
    rows = tuple(
        (group, one["what"], one["one"], one["other"])
        for name, group in DIFFERENT.items()
        for one in said[name]
    )
    below = () if rows else ("Nothing that they say of themselves differs.",)
    verdict = Mark("same" if said["same"] else "different")
    told = Table(("", "what", said["one"], said["other"]), rows, "Difference", verdict, below=below)
    if not said["numbers"]:
        return (told,)
    cells = []
    for one in said["numbers"]:
        apart = [
            number(one[name]) if one["differ"] else "" for name in ("first", "largest", "relative")
        ]
        cells.append((one["quantity"], str(one["marks"]), *apart, Mark(one["words"])))
    columns = ("quantity", "marks", "first differs at", "largest difference", "relative", "")
    return told, Table(
        columns,
        tuple(cells),
        below=(RELATIVE,) if any(one["differ"] for one in said["numbers"]) else (),
    )


def give_or_take(value: float, error: float) -> str:
    """A number with its standard error where it has one."""
    return f"{value:.4g}" + (f" ± {error:.2g}" if error == error else "")


def ends(variable) -> dict:
    """The first and the last value of a labelled array over time, or their norms."""
    moving = "time" in variable.dims
    entries = 1
    for axis, size in variable.sizes.items():
        entries *= 1 if axis == "time" else int(size)
    facts = {
        "units": variable.attrs.get("units", ""),
        "entries": entries,
        "meaning": variable.attrs.get("long_name", ""),
    }
    if moving and not variable.sizes["time"]:
        return facts | {"start": float("nan"), "end": float("nan")}
    first, last = (
        (variable.isel(time=0), variable.isel(time=-1)) if moving else (variable, variable)
    )
    return facts | {"start": _size(first), "end": _size(last)}


def _size(values) -> float:
    return float(values) if values.ndim == 0 else float((abs(values) ** 2).sum(skipna=False)) ** 0.5


def staircase(plain: dict) -> tuple[Table, ...]:
    """When each mode was learned, and the plateaus of the loss."""
    names = ("strength", "start", "tenth", "half", "ninetieth", "rise")
    rows = []
    for one in plain["modes"]:
        times = ("" if one[name] != one[name] else f"{one[name]:.5g}" for name in names)
        rows.append((str(one["mode"]), *times, str(one["step"] or "")))
    columns = ("mode", "strength", "at start", "at 10 %", "at half", "at 90 %", "rise", "step")
    order = f"order: {', '.join(map(str, plain['order'])) or 'none has come to half'}"
    modes = Table(
        columns,
        tuple(rows),
        plain["title"],
        Mark(plain["verdict"]),
        below=(order, *plain["decided"], *plain["notes"], plain["rule"]),
    )
    rests = tuple(
        (
            *(f"{one[name]:.5g}" for name in ("start", "end")),
            number(one["loss"]),
            f"{one['fall']:.5g}",
        )
        for one in plain["plateaus"]
    )
    below = (
        (plain["plateau_rule"],) if rests else ("The loss has no plateau.", plain["plateau_rule"])
    )
    return modes, Table(("plateau from", "to", "loss", "then 5 % in"), rests, below=below)
