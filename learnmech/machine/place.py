"""The place: where programs run, and what of it the last bits of a number depend on."""

import os
import platform

import jax

import learnmech.machine.backend  # noqa: F401  (it sets how exact matrix products are)
from learnmech.machine.memory import said


def surroundings() -> dict:
    """The device, its cores, and on an accelerator how exact its matrix products are; of a CPU
    they always are."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return {"device": f"cpu {platform.machine()}", "cores": os.cpu_count()}
    return {"device": device.device_kind, "cores": os.cpu_count(), "products": products()}


def products() -> str:
    """The precision of matrix products: `highest` unless JAX_DEFAULT_MATMUL_PRECISION asks for
    another.

    Recent cards multiply float32 in TF32 by themselves, of which three digits are right.
    """
    return str(getattr(jax.config, "jax_default_matmul_precision", "of the device"))


def told() -> str:
    """The place in a line, as provenance and commands tell it: the device, how many of it, its
    memory where it has one of its own."""
    devices = jax.devices()
    first = devices[0]
    if first.platform == "cpu":
        return f"cpu {platform.machine()}, {os.cpu_count()} cores"
    stats = first.memory_stats() or {}
    held = f", {said(stats['bytes_limit'])} of memory" if "bytes_limit" in stats else ""
    return (
        f"{first.device_kind}{f' (one of {len(devices)})' if len(devices) > 1 else ''}{held},"
        f" matrix products {products()}"
    )
