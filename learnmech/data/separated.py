"""Tables as text: their encoding, separator and decimal mark, found by what is in them; what is
found is said, what cannot be told is asked."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from learnmech.data.cells import MISSING, NUMBER
from learnmech.data.columns import Table
from learnmech.data.header import Asked, is_data, names_over
from learnmech.data.samples import brief, counted
from learnmech.errors import refused

SEPARATORS = {",": ",", ";": ";", "tab": "\t", "|": "|", "space": " "}
SAID = {
    ",": "comma",
    ";": "semicolon",
    "tab": "tab",
    "|": "|",
    "space": "space",
    None: "none, one column",
}
ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252")
MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
NO_TABLES = {
    r"\s*<(!doctype|html|\?xml)": "a web page or XML",
    r'\s*(\{\s*"|\[\s*[\[{])': "JSON",
    r"\s*@relation": "ARFF",
    r"version https://git-lfs": "a pointer of git-lfs to the file",
}
SAMPLE = 1000
"""Rows that are looked at to find the separator and whether there is a header."""
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", re.ASCII)
UNPRINTED = bytes(range(9)) + bytes((11, 12)) + bytes(range(14, 32)) + b"\x7f"


def read(
    who: str, name: str, raw: bytes, asked: Asked, separator=None, decimal=None, encoding=None
) -> Table:
    """The table in the bytes of a file; what is None is found."""
    text, encoded = _decoded(who, name, raw, encoding)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    separator, quoted = _first_line(lines) or separator, '"' in text
    comments, rows = _filled(lines, separator)
    if not rows:
        raise refused(
            who, "at least one row of numbers", f"none in {name}", "Give a table of samples"
        )
    kept = [lines[row - 1] for row in rows]
    sample = _sample(kept)
    separator = separator or _separator(who, name, sample, quoted, decimal)
    if separator == "tab":  # a line of tabs is a row of empty cells
        comments, rows = _filled(lines, separator)
        kept = [lines[row - 1] for row in rows]
        sample = _sample(kept)
    if (
        separator is None
        # so is an empty line of one column, but behind all: targets beside it would be those of
        # other samples
    ):
        rows = list(range(comments[-1] + 1 if comments else 1, rows[-1] + 1))
        kept = [lines[row - 1] for row in rows]
        sample = _sample(kept)
    said, cells = [f"separator: {SAID[separator]}", *encoded], None
    if decimal is None and "," in text and (quoted or separator != ","):
        cells = _split(who, f"{name} ({said[0]})", kept, rows, separator, quoted)
        decimal = _decimal(who, f"{name} ({said[0]})", [one for one, _ in cells])
    decimal = decimal or "."
    said += ["decimal comma"] if decimal == "," else []
    known = f"{name} ({'; '.join(said)})"
    first, *body = [one for one, _ in _cells(sample, separator, quoted, strict=False)]
    named = _named_by_comment(
        who, known, lines, comments, separator, quoted, len(body[0] if body else first)
    )
    above = named is not None and asked.header is not False and is_data(first, body, decimal)
    names = named if above else names_over(who, known, rows[0], first, body, asked, decimal)
    start = 0 if names is None or above else 1
    if len(rows) == start:
        raise refused(
            who,
            "at least one row of numbers",
            f"none under the header of {known}",
            "Give a table of samples",
        )
    said = [
        (
            "no header"
            if names is None
            else f"header: {brief([name or '(no name)' for name in names])}"
        ),
        *said,
    ]
    said += [f"{counted(len(comments), 'line')} of comment in front"] if comments else []
    plain = separator and cells is None and not quoted and decimal == "."
    matrix = _numbers(kept[start:], separator, len(names or first)) if plain else None
    if matrix is not None:
        return Table(name, names, rows[start:], matrix, written=True, said=tuple(said))
    cells = _alike(who, known, (cells or _split(who, known, kept, rows, separator, quoted))[start:])
    return Table(
        name,
        names,
        [row for _, row in cells],
        None,
        list(zip(*(one for one, _ in cells))),
        True,
        decimal,
        tuple(said),
    )


def _filled(lines, separator):
    """(the rows of comment in front, the rows that hold something), counted from 1."""
    blanks = " " if separator == "tab" else None
    rows = [row for row, line in enumerate(lines, 1) if line and line.strip(blanks)]
    count = next(
        (count for count, row in enumerate(rows) if not lines[row - 1].lstrip().startswith("#")),
        len(rows),
    )
    return rows[:count], rows[count:]


def _sample(lines):
    """The first lines, fewer where they are long."""
    size = 0
    for count, line in enumerate(lines[: SAMPLE + 1]):
        size += len(line)
        if size > 2**20 and count > 2:
            return lines[:count]
    return lines[: SAMPLE + 1]


def _decoded(who, name, raw, encoding):
    """(the text in these bytes, what is to be said of its encoding)."""
    marked = next((codec for mark, codec in MARKS if raw.startswith(mark)), None)
    codec = marked or encoding or "utf-8"
    try:
        text = raw.decode(codec).removeprefix("\ufeff")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        where = f"byte {raw[start]:#04x} in row {raw.count(10, 0, start) + 1}"
        remedy = "Set encoding, for example to latin-1 or cp1252, or save the table as UTF-8"
        raise refused(
            who, f"text in {codec.removesuffix('-sig').upper()}", f"{where} of {name}", remedy
        ) from None
    found = next(
        (what for start, what in NO_TABLES.items() if re.match(start, text[:200], re.IGNORECASE)),
        None,
    )
    if found:
        raise refused(
            who,
            "a table as text, .npy, .npz or IDX",
            f"{found} in {name}",
            "Download the file itself, or save it as csv",
        )
    encoded = text.encode(errors="replace")
    bad = len(encoded.translate(None, UNPRINTED)) < len(encoded) and re.search(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text
    )
    bad = bad or (not text.isascii() and re.search(r"[\x80-\x9f]", text))
    if bad:
        row = text.count("\n", 0, bad.start()) + 1
        remedy = "Save it as text in UTF-8, or set encoding (utf-16, cp1252)"
        raise refused(
            who,
            "a table as text, .npy, .npz or IDX",
            f"{bad[0]!r}, which is no text, in row {row} of {name}",
            remedy,
        )
    return text, [] if codec in ("utf-8", "utf-8-sig") else [f"encoding: {codec.upper()}"]


def _first_line(lines):
    """The separator that a first line `sep=;` names, as spreadsheets write it; such a line is
    emptied."""
    found = re.fullmatch(r'"?sep=(.)"?', lines[0].strip(" "))
    names = {mark: name for name, mark in SEPARATORS.items()}
    if not found or found[1] not in names:
        return None
    lines[0] = ""
    return names[found[1]]


def _cells(
    lines: Sequence[str], separator: str | None, quoted: bool, strict: bool
) -> list[tuple[list[str], int]]:
    """(the cells of a row, which line it starts in), for each."""
    if not quoted:
        if separator is None:
            return [([line], place) for place, line in enumerate(lines)]
        mark = None if separator == "space" else SEPARATORS[separator]
        return [(line.split(mark), place) for place, line in enumerate(lines)]
    if separator == "space":
        lines = [line.replace("\t", " ").strip() for line in lines]
    reader = csv.reader(
        (f"{line}\n" for line in lines),
        delimiter=SEPARATORS[separator] if separator else "\x1f",
        skipinitialspace=True,
        strict=strict,
    )
    found, start = [], 0
    try:
        for row in reader:
            found.append((row or [""], start))
            start = reader.line_num
    except csv.Error as error:
        if strict:
            raise csv.Error(f"{error}", start) from None
    return found or [([""], 0)]


def _split(who, known, kept, rows, separator, quoted):
    """(the cells of a row, its place), for each."""
    try:
        return [
            (cells, rows[start]) for cells, start in _cells(kept, separator, quoted, strict=True)
        ]
    except csv.Error as error:
        said, start = error.args
        got = f"{said} in row {rows[start]} of {known}"
        raise refused(
            who, "cells whose quotes open and close", got, "Mend the quotes of that row"
        ) from None


def _alike(who, known, found):
    """Refuse rows of unlike length."""
    widths = Counter(len(cells) for cells, _ in found)
    width = max(widths, key=lambda width: (widths[width], width))
    if len(widths) > 1:
        count, row = next((len(cells), row) for cells, row in found if len(cells) != width)
        raise refused(
            who,
            f"{width} columns in every row",
            f"{count} in row {row} of {known}",
            "Complete or remove that row, or set separator",
        )
    return found


def _separator(who, known, lines, quoted, decimal):
    """What separates cells: what cuts every row alike, and into numbers rather than words; spaces
    only where nothing else does.

    A comma that is told to be the decimal mark separates no cells without quotes.
    """
    best = {}
    for name in [name for name in SEPARATORS if name != "," or decimal != "," or quoted]:
        rows = [cells for cells, _ in _cells(lines, name, quoted, strict=False)]
        widths = Counter(len(row) for row in rows if len(row) > 1)
        if not widths:
            continue
        width = max(widths, key=lambda width: (widths[width], width))
        body = [row for row in rows[1:] if len(row) == width]
        alike = len(body) == len(rows) - 1 and max(
            2 - abs(width - len(rows[0])) if len(rows[0]) <= width else 0, 0
        )
        cells = [cell.strip() for row in body or rows[:1] for cell in row]
        cells = [cell for cell in cells if cell not in MISSING]
        numbers = sum(
            any(form.fullmatch(cell) for form in (NUMBER["."], NUMBER[","], GROUPED))
            for cell in cells
        )
        best[name] = (alike, numbers / max(len(cells), 1), widths[width])
    spaces = best.pop("space", (0, 0.0, 0))
    if not any(alike for alike, _, _ in best.values()) and spaces[1] > 0:
        best["space"] = spaces
    chosen = max(best, key=lambda name: best[name]) if best else None
    if chosen not in (None, "space") and spaces[0] and spaces[1] == 1 > best[chosen][1]:
        got = (
            f"{lines[-1].strip()[:60]!r} in {known}, which spaces cut into numbers and a"
            f" {SAID[chosen]} does not"
        )
        raise refused(
            who,
            "to be told what separates its cells",
            got,
            "Set separator, and decimal where it is the comma",
        )
    return chosen


def _decimal(who, known, rows):
    """The decimal mark: a comma where cells can mean nothing else, and no cell has a point."""
    commas = [cell.strip() for row in rows for cell in row if "," in cell]
    commas = [cell for cell in commas if NUMBER[","].fullmatch(cell) or GROUPED.fullmatch(cell)]
    if not commas:
        return "."
    grouped = next((cell for cell in commas if GROUPED.fullmatch(cell)), None)
    sure = next((cell for cell in commas if not GROUPED.fullmatch(cell)), None)
    if sure is None:
        what, remedy = (
            "to be told what a comma in a number is",
            (
                "Set decimal = ',' where it is the decimal mark, or write numbers without thousands"
                " separators"
            ),
        )
        raise refused(who, what, f"{grouped!r} in {known}", remedy)
    point = next(
        (
            cell
            for row in rows[1:]
            for cell in map(str.strip, row)
            if "." in cell and NUMBER["."].fullmatch(cell)
        ),
        None,
    )
    if point is not None:
        raise refused(
            who,
            "one decimal mark in a table",
            f"{sure!r} and {point!r} in {known}",
            "Write all numbers alike, or set decimal or separator",
        )
    return ","


def _numbers(lines, separator, width):
    """A table of nothing but numbers as a matrix, or None where something else is in it, or rows
    are unlike."""
    mark = SEPARATORS[separator]
    if "".join(lines).encode(errors="replace").translate(None, b"0123456789+-.eE " + mark.encode()):
        return None
    try:
        matrix = np.loadtxt(
            lines, delimiter=None if separator == "space" else mark, comments=None, ndmin=2
        )
    except ValueError:
        return None
    return matrix if matrix.shape == (len(lines), width) and np.isfinite(matrix).all() else None


def _named_by_comment(who, known, lines, comments, separator, quoted, width):
    """Names over the columns in the last line of a comment in front, as numpy.savetxt writes
    them; None where it holds none."""
    cells = []
    for row in comments:
        cells = [
            cell.strip()
            for cell in _cells(
                [lines[row - 1].strip().lstrip("# ")], separator, quoted, strict=False
            )[0][0]
        ]
        numbers = sum(NUMBER["."].fullmatch(cell) is not None for cell in cells)
        if len(cells) == width and 2 * numbers >= width:
            got = f"row {row} of {known}, which starts with #"
            raise refused(
                who, "to be told whether a row of numbers is a comment", got, "Remove it, or its #"
            )
    return tuple(cells) if len(cells) == width and len({*cells, ""}) == width + 1 else None
