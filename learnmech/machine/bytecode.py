"""Bytecode: what a piece of compiled Python does, which globals it uses and what it imports."""

import dis
import functools
import types
import typing


@functools.lru_cache(maxsize=4096)
def steps_of(code: types.CodeType) -> tuple[str, ...]:
    """Its instructions, spelled alike wherever it was compiled, and where it is when something is
    raised.

    Python calls `jnp.cos` by other instructions where `import jax.numpy as jnp` stands in the same
    text as the call than where it stands in another (the cell above): the two are told as one, and
    jumps by which instruction they lead to.
    """
    found = [
        one
        for one in dis.get_instructions(code)
        if one.opname not in ("CACHE", "PUSH_NULL", "EXTENDED_ARG", "NOP")
    ]
    offsets = [one.offset for one in dis.get_instructions(code)]
    places, place, kept = {}, 0, {one.offset for one in found}
    for offset in offsets:
        places[offset] = place
        place += offset in kept
    jumps = {*dis.hasjrel, *dis.hasjabs}
    told = []
    for one in found:
        to = (
            places.get(one.argval, place)
            if one.opcode in jumps
            else one.argval
            if one.opcode in dis.hasname
            else one.arg
        )
        told.append(f"{'LOAD_ATTR' if one.opname == 'LOAD_METHOD' else one.opname} {to}")
    read: typing.Any = dis.Bytecode(code)  # whose entries no stub of Python's tells of
    for entry in read.exception_entries:
        at = [places.get(offset, place) for offset in (entry.start, entry.end, entry.target)]
        told.append(f"raised {at} {entry.depth} {entry.lasti}")
    return tuple(told)


@functools.lru_cache(maxsize=4096)
def globals_of(code: types.CodeType) -> tuple[str, ...]:
    """The names that it, or a function within it, looks up among the globals."""
    names = {
        one.argval
        for one in dis.get_instructions(code)
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for inner in code.co_consts:
        names |= set(globals_of(inner)) if isinstance(inner, types.CodeType) else set()
    return tuple(sorted(names))


@functools.lru_cache(maxsize=4096)
def imports_of(code: types.CodeType) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
    """(a module as a source names it, with a dot for each package above, and the names that are
    taken from it) of every import in a code, and in the functions within it; no names where it
    is `import_module` that is given the module's."""
    loaded: list[typing.Any] = [0, None]
    found: list[tuple[str, tuple[str, ...] | None]] = []
    for one in dis.get_instructions(code):
        if one.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT")):
            loaded.append(one.argval)
        elif one.opname == "IMPORT_NAME":
            found.append(("." * loaded[-2] + one.argval, loaded[-1] or ()))
    called = {"import_module", "__import__"} & set(code.co_names)
    for one in code.co_consts if called else ():
        if isinstance(one, str) and one and all(word.isidentifier() for word in one.split(".")):
            found.append((one, None if "import_module" in called else ()))
    for inner in code.co_consts:
        found += imports_of(inner) if isinstance(inner, types.CodeType) else ()
    return tuple(found)
