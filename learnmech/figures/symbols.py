"""Symbols: what a quantity is called in text, `lambda_1`, `|dw_l|`, `loss/param^2`, as
mathematics is set."""

import functools
import re

from learnmech import errors

GREEK = (
    "alpha beta gamma delta epsilon eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi"
    " omega"
).split()
LETTERS = dict(zip("αβγδεηθκλμνξπρστφχψωΔΣ", [*GREEK, "Delta", "Sigma"], strict=True))
# Words that are no product of letters stand upright; what is written in text for a sign becomes it.
SIGNS = {"inf": r"\infty", "sum": r"\sum", "<": r"\langle ", ">": r"\rangle "}
ADDRESS = re.compile(r"[A-Za-z_]\w+\.\w+|\[[^\]]*[:=,\d][^\]]*\]|:")
TOKEN = re.compile(r"[A-Za-zα-ωΔΣ]+|\d+(?:\.\d+)?|\s+|.", re.S)


def plain(text: object) -> str:
    """A text of anybody's as it is, where matplotlib would otherwise read mathematics or leave
    it out of a legend."""
    shown = errors.plain(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


@functools.lru_cache(maxsize=4096)
def math(symbol: str) -> str:
    """A symbol as mathematics for matplotlib; an address of an array (`layer1.weight[2,5]`), and
    what cannot be set, as it is."""
    if ADDRESS.search(symbol) or "$" in symbol or "\\" in symbol:
        return plain(symbol)
    written = f"${_set(symbol)}$"
    return written if _can_be_set(written) else plain(symbol)


def _set(symbol: str) -> str:
    tokens, out, at = TOKEN.findall(re.sub(r"\s*([-+=])\s*", r"\1", symbol)), [], 0
    while at < len(tokens):
        token = tokens[at]
        if token in "_^" and at + 1 < len(tokens):
            end = at + 2
            if tokens[at + 1] in "-(":  # a power as ^-1, as ^(1/2)
                close = (
                    tokens.index(")", at)
                    if tokens[at + 1] == "(" and ")" in tokens[at:]
                    else at + 2
                )
                end = close + 1
            inside = "".join(_one(t, script=True) for t in tokens[at + 1 : end])
            out.append(f"{token}{{{inside}}}")
            at = end
            continue
        moved = token in ("dw", "dW", "dg", "df", "dh") and tokens[at + 1 : at + 2] != [
            "/"
        ]  # but df/dz
        out.append(rf"\Delta {token[1]}" if moved else _one(token))
        at += 1
    return "".join(out)


def _one(token: str, script: bool = False) -> str:
    if token in SIGNS:
        return SIGNS[token]
    if token.isspace():
        return r"\ "
    if token in GREEK:
        return rf"\{token} "
    if len(token) > 1 and set(token) <= set(LETTERS):
        return "".join(rf"\{LETTERS[one]} " for one in token)
    if token in LETTERS:
        return rf"\{LETTERS[token]} "
    if token == ".":
        return r"\cdot "
    if token == "*":
        return r"\,"
    if token.isalpha() and (
        len(token) > 2 or (len(token) == 2 and token in ("se", "of", "on", "at", "tr"))
    ):
        return rf"\mathrm{{{token}}}"
    if token in "#%&{}~":
        return f"\\{token}"
    return token


@functools.cache
def _reader():
    from matplotlib.mathtext import MathTextParser

    return MathTextParser("agg")


def _can_be_set(written: str) -> bool:
    try:
        _reader().parse(written)
    except (ValueError, RuntimeError):
        return False
    return True
