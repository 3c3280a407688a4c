"""Exports: the experiment of a branch as a text, a program, a command or a link; its run as a
folder."""

import base64
import shlex
import zlib

from learnmech.errors import nearest, refused
from learnmech.gallery.pages import written
from learnmech.lab.branches import Branch
from learnmech.lab.frames import Message
from learnmech.lab.telling import text_of
from learnmech.language import catalog, text
from learnmech.language.parts import show_value

FORMS = ("toml", "python", "command", "link", "folder")
LINK_MOST = 8000
"""Characters of a link at most: more is cut off by programs that pass links on."""


def exported(branch: Branch, form: str) -> Message:
    """A branch in one of FORMS, as the message `exported`. None of them holds the lab's token."""
    if form not in FORMS:
        raise refused("export", "a known form", repr(form)[:80], nearest(form[:80], FORMS))
    said: Message = {"is": "exported", "branch": branch.name, "as": form}
    if form == "folder":
        if branch.folder is None or not branch.folder.is_dir():
            remedy = "Play it first, or take the experiment as a text"
            raise refused("export", "a run in a folder", "one that is in none", remedy)
        return said | {"folder": str(branch.folder)}
    made = {"toml": as_toml, "python": as_python, "command": as_command, "link": as_link}
    return said | {"text": made[form](branch)}


def as_toml(branch: Branch) -> str:
    """The experiment's text, with what is watched beside. Refused where arrays stand in files."""
    _, arrays = text.to_text(branch.experiment)
    if arrays:
        remedy = "Take the folder, which holds them"
        raise refused(
            "export", "an experiment whose arrays stand in its text", ", ".join(arrays), remedy
        )
    return text_of(branch)


def as_python(branch: Branch) -> str:
    """A program that makes the same experiment, to its fingerprint, and runs it."""
    used: set = set()
    made = written(branch.experiment, used)
    if made is None:
        remedy = "Take the folder, and lm.Experiment.load its experiment.toml"
        raise refused("export", "arrays short enough for a program", "longer ones", remedy)
    watch = [written(one, used) for one in branch.watch]
    arrays = "import numpy as np\n\n" if "numpy" in used else ""
    families = ", ".join(sorted(used - {"numpy"}))
    seen = "" if None in watch else f", watch=({', '.join(map(str, watch))},)"
    return (
        f"{arrays}import learnmech as lm\nfrom learnmech import {families}\n\n"
        f"experiment = {made}\nrecord = lm.run(experiment{seen})\n"
    )


def as_command(branch: Branch) -> str:
    """The command that makes the same run: of an exhibit by its name and the knobs that were
    turned, of a fork of a run in a folder by what was done, of anything else by its text in a
    file."""
    parent, about = branch.parent, branch.about
    if parent is not None and parent.folder is not None and branch.experiment.events:
        tables = [_inline(text.table_of(one)) for one in branch.experiment.events[-1:]]
        at = branch.experiment.events[-1].at
        words = ["learnmech", "fork", str(parent.folder), "--at", show_value(at)]
        return shlex.join([*words, *(part for one in tables for part in ("--event", one))])
    name, changes = str(about.get("subject") or about.get("name") or ""), about.get("changes") or {}
    if name in catalog.exhibits() and parent is None:
        exhibit = catalog.exhibit(name)
        twin = exhibit.twin if about.get("small") else {}
        if exhibit.changed({**twin, **changes}).fingerprint == branch.experiment.fingerprint:
            turned = [f"{path}={_typed(value)}" for path, value in changes.items()]
            small = ["--small"] if about.get("small") else []
            return shlex.join(["learnmech", "run", name, *turned, *small])
    return "learnmech run experiment.toml   # with the text of the experiment in that file"


def _typed(value) -> str:
    return _inline(value) if isinstance(value, (dict, list)) else show_value(value).strip("'")


def _inline(value) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value.tolist() if hasattr(value, "tolist") else value)


def as_link(branch: Branch) -> str:
    """What stands behind the address of a lab, `#text=...`: the experiment's text, which only fills
    the editor of whoever opens it, and never runs by itself."""
    packed = (
        base64.urlsafe_b64encode(zlib.compress(as_toml(branch).encode(), 9)).decode().rstrip("=")
    )
    if len(packed) > LINK_MOST:
        remedy = "Take the experiment as a text"
        raise refused(
            "export", f"a text of at most {LINK_MOST} characters, packed", len(packed), remedy
        )
    return f"#text={packed}"


def text_of_link(link: str) -> str:
    """The text in a link."""
    packed = link.partition("#text=")[2]
    return zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).decode()
