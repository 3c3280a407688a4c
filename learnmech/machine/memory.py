"""Memory: how much can still be had, and bytes in words."""

import ctypes
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

from learnmech.errors import refused

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def said(count: float) -> str:
    """Bytes in words: 3.2 MB."""
    place = 0
    while count >= 1000 and place < len(UNITS) - 1:
        count, place = count / 1000, place + 1
    return f"{count:.3g} {UNITS[place]}"


def free_memory() -> int:
    """Bytes of memory that can still be had, by this machine and by the bounds set to this
    process; without bound where no system says."""
    for ask in (on_linux, on_macos, on_windows, by_pages):
        try:
            return ask()
        except (
            OSError,
            StopIteration,
            ValueError,
            AttributeError,
            LookupError,
            ImportError,
            subprocess.SubprocessError,
        ):
            continue
    return sys.maxsize


def on_linux() -> int:
    """What the kernel says can be had without swapping, and what is left of a control group's
    bound."""
    free = next(
        1024 * int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    try:
        bound, used = (
            Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current")
        )
        return min(free, int(bound) - int(used)) if bound.isdigit() else free
    except (OSError, ValueError):
        return free


def on_macos() -> int:
    """What is free, and what the system gives up when it is asked for: pages that were not used
    for a while, or hold files."""
    said = subprocess.run(
        ["/usr/bin/vm_stat"], capture_output=True, text=True, check=True, timeout=5
    ).stdout
    (page,) = map(int, re.findall(r"page size of (\d+) bytes", said)[:1])
    pages = dict(re.findall(r"^Pages ([a-z]+):\s+(\d+)\.$", said, re.M))
    return page * sum(int(pages[kind]) for kind in ("free", "inactive", "speculative"))


def on_windows() -> int:
    """GlobalMemoryStatusEx: ullAvailPhys, the physical memory that is not in use."""
    said = ctypes.create_string_buffer((64).to_bytes(4, "little"), 64)
    windows: typing.Any = ctypes  # which has `windll` on Windows alone
    if not windows.windll.kernel32.GlobalMemoryStatusEx(said):
        raise OSError("no memory status")
    return int.from_bytes(said.raw[16:24], "little")


def by_pages() -> int:
    """The pages that nothing uses, where no better is known."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(who: str, needed: int, remedy: str) -> None:
    """Refuse what does not fit into memory, before any of it is taken."""
    free = free_memory()
    if needed > 0.9 * free:
        raise refused(who, f"{said(needed)} of memory", f"{said(free)} free", remedy)
