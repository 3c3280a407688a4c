"""Imports: the modules that a source names."""

import ast

from learnmech.errors import refused
from learnmech.machine.syntax import parsed


def parents_of(name: str) -> list[str]:
    """The packages in which a module stands, the outermost first."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def imports_in(source: str | bytes, name: str, package: bool) -> list[str]:
    """Every module that a source imports, wherever in it. Refuses one that no longer parses: a
    file that was edited after its module had been imported."""
    found = set()
    base = name.split(".") if package else name.split(".")[:-1]
    try:
        tree = parsed(source)
    except SyntaxError as error:
        file = f"{name.rpartition('.')[2]}.py"
        got = (
            f"{file}, line {error.lineno}: {error.msg}" if error.lineno else f"{file}: {error.msg}"
        )
        raise refused("Own code", "Python files that parse", got, f"Mend {file}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = base[: len(base) - node.level + 1] if node.level else []
            root = ".".join([*above, *([node.module] if node.module else [])])
            found |= {root} | {f"{root}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Call) and getattr(
            node.func, "attr", getattr(node.func, "id", "")
        ) in ("import_module", "__import__"):
            found |= {
                one.value
                for one in node.args[:1]
                if isinstance(one, ast.Constant)
                and isinstance(one.value, str)
                and one.value[:1] != "."
            }
    return sorted({one for each in found if each for one in (*parents_of(each), each)})
