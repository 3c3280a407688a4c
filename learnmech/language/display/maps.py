"""Maps as tables: where the line runs, and how far conditions agree with it."""

from learnmech.language.display.table import Table

ROWS = 9


def tables(said: dict) -> tuple[Table, ...]:
    """The measured line beside that of the conditions, and how many nodes are on either side of
    both; of a map as plain data."""
    first, second = said["knobs"]
    title = (
        f"{said['theory']}: {said['quantity']} within {said['tolerance']:.3g} over {first} and"
        f" {second}"
    )
    agreement = tuple(said["agreement"].items())
    counts = Table(
        ("nodes that were run", "count"),
        tuple((words, str(count)) for words, count in agreement),
        title,
        below=(f"{said['run']} of {said['of']} nodes were run; {said['rule']}",),
    )
    lines = [
        (where, *(f"{value:.4g}" for value in point))
        for where, key in (("error = tolerance", "line"), ("conditions end", "boundary"))
        for point in _some(sorted(said[key]))
    ]
    return (counts, Table(("line", first, second), tuple(lines))) if lines else (counts,)


def _some(points):
    """A few of many, the ends among them."""
    if len(points) <= ROWS:
        return points
    return [points[round(i * (len(points) - 1) / (ROWS - 1))] for i in range(ROWS)]
