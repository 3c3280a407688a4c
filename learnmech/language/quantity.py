"""Quantities: what can be seen or said, with its axes, units, symbol and meaning."""

import dataclasses
import re

POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def powers(units: str) -> str:
    """Units as they are shown, in tables, figures and labels of a Dataset alike: `loss/param^2`
    as loss/param²."""
    return re.sub(r"\^(-?\d+)", lambda power: power[1].translate(POWERS), units)


TIME_UNITS = powers("param^2/loss")


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A named quantity. `units` is a product of powers of the natural units, as in
    `loss/param^2`; `labels` names the entries of an axis."""

    name: str
    axes: tuple[str, ...]
    units: str
    symbol: str
    meaning: str
    labels: tuple[tuple[str, tuple], ...] = ()

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes its variable carries in a Dataset, its units as they are shown."""
        return {"long_name": self.meaning, "units": powers(self.units), "symbol": self.symbol}


def exponent(units: str, unit: str) -> int:
    """The power of one natural unit in a product: `exponent("loss/param^2", "param")` is -2, and
    0 where it does not occur."""
    total, sign = 0, 1
    for token in re.findall(r"[*/]|[^*/\s]+", units):
        if token in "*/":
            sign = 1 if token == "*" else -1
            continue
        name, _, power = token.partition("^")
        if name == unit:
            total += sign * int(power or 1)
    return total
