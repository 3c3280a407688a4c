"""The back-end: double precision allowed, matrix products exact, compiled programs remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax

jax.config.update("jax_enable_x64", True)
if getattr(jax.config, "jax_default_matmul_precision", None) is None:
    # a card's own default, TF32, would break every comparison at 1e-6 in silence
    jax.config.update("jax_default_matmul_precision", "highest")


def remember_compilations(folder: str | Path) -> None:
    """Keep every compiled program in a folder, so that the next process need not compile it
    again."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def compilations() -> str | None:
    """The folder where this process keeps what it compiles, for those that are started from it."""
    known: Any = jax.config  # its stub names no settings
    return known.jax_compilation_cache_dir


Remembering = TypeVar("Remembering", bound=Callable)
_KEPT: list[Any] = []


def kept(remembering: Remembering) -> Remembering:
    """A function that `functools` makes remember what it gave, which depends on code of the
    user's own: forgotten with what is compiled."""
    _KEPT.append(remembering)
    return remembering


def forget() -> None:
    """Forget all that was compiled or traced."""
    for one in _KEPT:
        one.cache_clear()
    jax.clear_caches()


def relieve() -> None:
    """Forget compiled programs where the process holds more than half of the memory mappings that
    Linux allows it: past those, the next program crashes it.

    Every program is some mappings. What is used again is read back from the folder that remembers
    it, or compiled anew.
    """
    try:
        allowed = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as maps:
            held = sum(1 for _ in maps)
    except (OSError, ValueError):  # another system, which says nothing of it
        return
    if held > allowed / 2:
        jax.clear_caches()
