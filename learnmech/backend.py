"""The back-end: double precision allowed, compiled programs remembered."""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)


def remember_compilations(folder: str | Path) -> None:
    """Keep every compiled program in a folder, so that the next process need not compile it again."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
