"""The plan of the house: rooms on their floors, found from what each imports: `python -m
learnmech.figures.plan docs/floors.svg`."""

import ast
import sys
from pathlib import Path

import numpy as np

from learnmech.errors import refused
from learnmech.figures.style import sheet, svg

HOUSE = Path(__file__).parents[1]
HALF_WIDTH, HALF_HEIGHT, APART = (
    0.42,
    0.26,
    0.72,
)  # of a box, and of the centers of two on one floor from the middle
NOTES = {"march": "the only room\nthat steps", "comparison": "where runs and\ntheories meet"}

Arrows = dict[str, set[str]]


def files_of(house: Path = HOUSE) -> dict[str, list[Path]]:
    """{room: its files}: a folder, or a file that lies beside them. The package's own `__init__`
    is the face, and `__main__` the handle of the command line: neither is a room."""
    rooms: dict[str, list[Path]] = {}
    for path in sorted(house.rglob("*.py")):
        if path not in (house / "__init__.py", house / "__main__.py"):
            rooms.setdefault(path.relative_to(house).parts[0].removesuffix(".py"), []).append(path)
    return rooms


def caption(room: str, house: Path = HOUSE) -> str:
    """The first paragraph of a room's own docstring, in one line."""
    path = house / room / "__init__.py" if (house / room).is_dir() else house / f"{room}.py"
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split())


def arrows(house: Path = HOUSE) -> Arrows:
    """{room: the rooms that it imports, wherever in its files}."""
    found: Arrows = {}
    for room, files in files_of(house).items():
        words = [
            word
            for path in files
            for word in _imported(ast.parse(path.read_text(encoding="utf-8")))
        ]
        found[room] = {word[1] for word in words if word[0] == "learnmech" and len(word) > 1} - {
            room
        }
    return found


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.split(".") for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ([*node.module.split("."), one.name] for one in node.names)


def floors(drawn: Arrows) -> dict[str, int]:
    """{room: its floor}: 0 where it imports no other, else one above the highest that it
    imports. Refuses a circle."""
    found: dict[str, int] = {}

    def floor(room, below):
        if room in below:
            circle = " -> ".join([*below[below.index(room) :], room])
            raise refused(
                "The house",
                "rooms that import only from lower floors",
                f"a circle, {circle}",
                "Move what they share to a lower floor",
            )
        if room not in found:
            found[room] = max(
                (floor(there, [*below, room]) + 1 for there in drawn[room]), default=0
            )
        return found[room]

    return {room: floor(room, []) for room in drawn}


def shown(drawn: Arrows) -> Arrows:
    """The arrows without those that a longer way leads along as well."""

    beyond: Arrows = {}
    for room in sorted(drawn, key=floors(drawn).__getitem__):
        beyond[room] = drawn[room].union(*(beyond[there] for there in drawn[room]))
    return {
        room: {there for there in lower if not any(there in beyond[other] for other in lower)}
        for room, lower in drawn.items()
    }


def plan(drawn: Arrows) -> str:
    """The floors as SVG text. Every arrow is a line with the id `upper-lower`; one that goes by
    a floor bends around its boxes."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    height = floors(drawn)
    top = max(height.values())
    figure, (axis,) = sheet(width=6.4, height=0.72 * (top + 1))
    axis.set(xlim=(-2.1, 1.75), ylim=(-0.5, top + 0.5))
    axis.axis("off")
    at: dict[str, tuple[float, float]] = {}
    for level in range(top + 1):
        rooms = sorted(room for room in drawn if height[room] == level)
        at |= {
            room: (APART * (2 * place - len(rooms) + 1), level) for place, room in enumerate(rooms)
        }
        axis.axhline(level - 0.5, color="#E3E3E3", linewidth=0.6, zorder=0)
        axis.text(-2.07, level, str(level), fontsize=11, color="#777777", va="center")
    for room, lower in sorted(shown(drawn).items()):
        for there in sorted(lower):
            line = _path(at, room, there)
            axis.add_patch(
                FancyArrowPatch(
                    path=line,
                    arrowstyle="-|>",
                    mutation_scale=12,
                    linewidth=1.1,
                    color="#333333",
                    zorder=1,
                    gid=f"{room}-{there}",
                )
            )
    for room, (x, y) in at.items():
        axis.add_patch(
            FancyBboxPatch(
                (x - HALF_WIDTH, y - HALF_HEIGHT),
                2 * HALF_WIDTH,
                2 * HALF_HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.06",
                linewidth=2.6 if room in NOTES else 1.2,
                facecolor="white",
                edgecolor="black",
                zorder=2,
            )
        )
        axis.text(x, y, room, fontsize=13, ha="center", va="center", zorder=3)
        if room in NOTES:
            side = -1 if x < 0 else 1
            axis.text(
                x + side * (HALF_WIDTH + 0.06),
                y,
                NOTES[room],
                fontsize=10,
                style="italic",
                ha="right" if side < 0 else "left",
                va="center",
            )
    return svg(figure)


def _path(at, room, there):
    """From the lower edge of one box to the upper of another, by the first bend that meets no
    third box."""
    from matplotlib.path import Path as Line

    (x, y), (u, v) = at[room], at[there]
    begin, end = (
        (x + 0.25 * np.sign(u - x) * HALF_WIDTH, y - HALF_HEIGHT),
        (u + 0.25 * np.sign(x - u) * HALF_WIDTH, v + HALF_HEIGHT),
    )
    bends = [((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)]
    bends += [bend for by in (0.6, 0.45, 0.3, 0) for bend in ((u, y - by), (x, v + by))]
    bends += [(side * reach, (y + v) / 2) for reach in (1.6, 2.0, 2.4) for side in (1, -1)]
    t = np.linspace(0, 1, 200)[:, None]
    others = [place for name, place in at.items() if name not in (room, there)]
    for bend in map(np.array, bends):
        line = (1 - t) ** 2 * np.array(begin) + 2 * t * (1 - t) * bend + t**2 * np.array(end)
        if not any(
            (np.abs(line - place) < (HALF_WIDTH + 0.03, HALF_HEIGHT + 0.03)).all(axis=1).any()
            for place in others
        ):
            break
    return Line([begin, tuple(bend), end], [Line.MOVETO, Line.CURVE3, Line.CURVE3])


def counted(drawn: Arrows) -> str:
    """How the house is drawn, in a line: of n rooms n(n - 1)/2 pairs have one that may import the
    other."""
    pairs, few = len(drawn) * (len(drawn) - 1) // 2, sum(map(len, shown(drawn).values()))
    height, many = max(floors(drawn).values()) + 1, sum(map(len, drawn.values()))
    return (
        f"{len(drawn)} rooms on {height} floors, {few} arrows of {pairs} that could be"
        f" ({few / pairs:.0%}); {many} times a room imports another"
    )


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/floors.svg").write_text(
        plan(arrows()), encoding="utf-8"
    )
    print(counted(arrows()))
