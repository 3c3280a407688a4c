"""Doors: what things of lower floors offer of higher ones, as a record its picture; they are
hung by the face, which knows every floor."""

import importlib

_DOORS: dict[str, str] = {}


def hang(**doors: str) -> None:
    """{name: "module:function"}: what is behind each door; it is imported when someone goes
    through."""
    _DOORS.update(doors)


def offered(module: str):
    """`__getattr__` of a room that offers the names of one of its modules."""

    def found(name):
        if name.startswith("__"):
            raise AttributeError(name)
        whole = importlib.import_module(module)
        if not hasattr(whole, name):
            raise AttributeError(f"{module.rpartition('.')[0]} has no {name!r}")
        return getattr(whole, name)

    return found


def through(name: str, *arguments, **keywords):
    """What the function behind a door gives."""
    module, _, function = _DOORS[name].partition(":")
    return getattr(importlib.import_module(module), function)(*arguments, **keywords)
