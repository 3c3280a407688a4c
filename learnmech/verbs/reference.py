"""The reference: every function of the face and every part of the catalogue, in its own words:
`python -m learnmech.verbs.reference docs/reference`."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

import learnmech
from learnmech.language import catalog
from learnmech.machine.syntax import parsed
from learnmech.verbs.works import describe

MADE = "Made from the source by `python -m learnmech.verbs.reference docs/reference`.\n"


def pages() -> dict[str, str]:
    """{file name: page as Markdown}."""
    made = {f"{family}.md": _family(family) for family in catalog.FAMILIES}
    return {"README.md": _contents(), "functions.md": _functions()} | made


def _members(family):
    """{kind: member} of the house's own, without what a user or a plug-in has brought."""
    return {member.kind: member for member in catalog.own(family)}


def _contents():
    lines = [
        "# Reference\n",
        MADE,
        "Conventions, units and symbols are on [their page](../conventions.md).\n",
        "- [Functions and types](functions.md): what `import learnmech as lm` gives",
    ]
    for family in catalog.FAMILIES:
        names = ", ".join(_members(family))
        lines.append(f"- [{family}]({family}.md): {names}")
    return "\n".join(lines) + "\n"


def _functions():
    lines = ["# Functions and types\n", "What `import learnmech as lm` gives.\n", MADE]
    for name in sorted(learnmech.__all__, key=str.lower):
        what = getattr(learnmech, name)
        if inspect.isfunction(what) or inspect.isclass(what):
            lines += _told(f"lm.{name}", what)
    return "\n".join(lines) + "\n"


def _told(name, what: Any) -> list[str]:
    """A function with its arguments, or a type with its public methods; both in their own
    words."""
    node: Any = parsed(textwrap.dedent(inspect.getsource(what))).body[0]
    lines = [f"## `{name}`\n"]
    if isinstance(node, ast.FunctionDef):
        return [*lines, _signature(name, node), _words(node)]
    lines.append(_words(node))
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            if ast.get_docstring(one):
                lines += [f"### `.{one.name}`\n", _signature(f".{one.name}", one), _words(one)]
    return lines


def _signature(name, node: ast.FunctionDef) -> str:
    if any(getattr(one, "id", "") == "property" for one in node.decorator_list):
        given = ""
    else:
        args = node.args
        args.args = [one for one in args.args if one.arg not in ("self", "cls")]
        given = f"({ast.unparse(args)})"
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"```python\n{name}{given}{back}\n```\n"


def _words(node) -> str:
    return (ast.get_docstring(node) or "") + "\n"


def _family(family):
    lines = [f"# {family}\n", f"`lm.{family}`. {MADE}"]
    for kind, member in _members(family).items():
        found = describe(family, kind)
        # what a class says of itself, without the list of its knobs, which follow as a table
        lines += [
            f"## `{member.name}`\n",
            f"In texts `{kind}`. {inspect.cleandoc(found['text'])}\n",
        ]
        if found["knobs"]:
            lines += ["| knob | default | may be | meaning |", "|---|---|---|---|"]
            lines += [
                "| "
                + " | ".join(map(_cell, (f"`{knob}`", one["default"], _range(one), one["meaning"])))
                + " |"
                for knob, one in found["knobs"].items()
            ]
            lines.append("")
    return "\n".join(lines) + "\n"


def _range(one):
    return ", ".join(part for part in (one["choices"], one["bounds"]) if part)


def _cell(words):
    return " ".join(str(words).split()).replace("|", "\\|")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, page in pages().items():
        (folder / file).write_text(page, encoding="utf-8")
