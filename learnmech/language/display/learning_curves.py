"""Learning curves as tables: what was measured beside what was said, and the certificates."""

from learnmech.language.display.table import Mark, Table


def tables(plain: dict) -> tuple[Table, ...]:
    """A row for every ridge and n, of a learning curve as plain data."""
    measured = plain["splits"] > 0
    rows = []
    for one in plain["rows"]:
        said = _brief(one["predicted_test"]), _brief(one["predicted_train"])
        told: tuple[str, ...] = said
        if measured:
            seen = _error(one, "test"), _error(one, "train")
            told = (seen[0], said[0], _off(one, "test"), seen[1], said[1])
        rows.append((f"{one['ridge']:g}", str(one["n"]), *told, _brief(one["kappa"])))
    columns: tuple[str, ...] = ("held-out predicted", "training predicted")
    if measured:
        columns = ("held-out", "predicted", "off by", "training", "predicted")
    below = [f"ridge {one['ridge']:g}: {one['words']}" for one in plain["certificates"]]
    counted = f"{plain['splits']} random training sets" if measured else "nothing measured"
    below.append(f"pool of {plain['pool']}, {counted}; errors: mean |f - y|² over samples ± 1 se")
    return (
        Table(
            ("ridge", "n", *columns, "kappa"),
            tuple(rows),
            plain["title"],
            Mark(plain["verdict"]),
            below=(*below, *plain["notes"]),
        ),
    )


def _brief(value) -> str:
    return f"{value:.4g}"


def _error(one, name) -> str:
    value, error = one[name], one[f"{name}_error"]
    spread = "" if error != error else f" ± {error:.1g}"
    return ("0" if value < 1e-12 else f"{value:.4g}") + ("" if value < 1e-12 else spread)


def _off(one, name) -> str:
    said = one[f"predicted_{name}"]
    return f"{100 * (one[name] / said - 1):+.1f} %" if said > 0 else ""
