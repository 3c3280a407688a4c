"""Memory: how much can still be had, and bytes in words."""

import os
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
    """Bytes of memory that can still be had, by this machine and by the bounds set to this process."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        free = next(1024 * int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        bound, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        return min(free, int(bound) - int(used)) if bound.isdigit() else free
    except (OSError, StopIteration, ValueError):
        return free


def check_memory(who: str, needed: int, remedy: str) -> None:
    """Refuse what does not fit into memory, before any of it is taken."""
    free = free_memory()
    if needed > 0.9 * free:
        raise refused(who, f"{said(needed)} of memory", f"{said(free)} free", remedy)
