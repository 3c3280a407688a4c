"""The reference: every function of the face and every part of the catalogue, in its own words:
`python -m learnmech.verbs.reference docs/reference`."""

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

import learnmech
from learnmech.experiment.recipe import prepare
from learnmech.gallery.trials import visible_to
from learnmech.language import catalog
from learnmech.language.quantity import powers
from learnmech.machine.syntax import parsed
from learnmech.verbs.works import describe

WIDE = 88  # characters of a signature on one line
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
        return [*lines, _signature(name, node), _words(node), *_refusals(node)]
    lines.append(_words(node))
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            if ast.get_docstring(one):
                lines += [f"### `.{one.name}`\n", _signature(f".{one.name}", one), _words(one)]
                lines += _refusals(one)
    return lines


def _signature(name, node: ast.FunctionDef) -> str:
    if any(getattr(one, "id", "") == "property" for one in node.decorator_list):
        given = ""
    else:
        args = node.args
        args.args = [one for one in args.args if one.arg not in ("self", "cls")]
        given = f"({ast.unparse(args)})"
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if len(name + given + back) > WIDE:  # an argument a line, as a formatter would
        lines = "".join(f"    {one},\n" for one in _arguments(node.args))
        given = f"(\n{lines})"
    return f"```python\n{name}{given}{back}\n```\n"


def _arguments(args: ast.arguments) -> list[str]:
    """Every argument by itself, with its type and default, stars among them."""
    plain, found = [*args.posonlyargs, *args.args], []
    defaults: list[Any] = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    for one, default in zip(plain, defaults, strict=True):
        found.append(_argument(one, default))
    if args.vararg or args.kwonlyargs:
        found.append("*" + (ast.unparse(args.vararg) if args.vararg else ""))
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        found.append(_argument(one, default))
    return found + ([f"**{ast.unparse(args.kwarg)}"] if args.kwarg else [])


def _argument(one: ast.arg, default) -> str:
    said = ast.unparse(one)
    if default is None:
        return said
    return (
        f"{said} = {ast.unparse(default)}" if one.annotation else f"{said}={ast.unparse(default)}"
    )


def _refusals(node) -> list[str]:
    """What is refused where it is not so, as `refused` in its own lines says it: what it needs."""
    found: dict[str, None] = {}
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "refused":
            said = call.args[1] if len(call.args) > 1 else None
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                found[said.value] = None
            elif isinstance(said, ast.JoinedStr):
                found["".join(map(_piece, said.values))] = None
    words = "; ".join(" ".join(one.split()) for one in found)
    return [f"Error (`lm.Refused`) without what it needs: {words}.\n"] if found else []


def _piece(one) -> str:
    """A piece of a formatted text; of a value its name, where it has one."""
    if isinstance(one, ast.Constant):
        return str(one.value)
    named = isinstance(one.value, (ast.Name, ast.Attribute))
    return f"`{ast.unparse(one.value).replace('self.', '')}`" if named else "..."


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
        lines += _beside(family, kind)
    return "\n".join(lines) + "\n"


def _beside(family, kind) -> list[str]:
    """What there is to say of a part beside its words and knobs: what an instrument reads, what a
    theory predicts, and what each refuses."""
    cls = catalog.find(family, kind)
    lines = _read(cls) if family == "instruments" else []
    if family == "theories":
        named = ", ".join(f"`{name}`" for name in cls.predicts)
        limits = "; ".join(f"error ~ `{one.knob}`^{one.order:g}" for one in cls.limits)
        limits = f", in the limit {limits}" if limits else ""
        lines.append(f"Predicts {named}{limits}. Source: {cls.source}.\n")
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    return lines + _refusals(node)


def _read(cls) -> list[str]:
    """The quantities of an instrument, as it has them of a tiny network."""
    example = cls.example()
    start = prepare(visible_to(example))
    lines = ["| reads | over | units | symbol | meaning |", "|---|---|---|---|---|"]
    for one in example.quantities(start.system, start.state.params):
        cells = (f"`{one.name}`", ", ".join(one.axes), powers(one.units), one.symbol, one.meaning)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return [*lines, ""]


def _range(one):
    return ", ".join(part for part in (one["choices"], one["bounds"]) if part)


def _cell(words):
    return " ".join(str(words).split()).replace("|", "\\|")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, page in pages().items():
        (folder / file).write_text(page, encoding="utf-8")
