"""For people coming from neural-tangents: its names, signatures and conventions (of 0.6.5) for
dense networks, in float64.

`import learnmech_tangents as nt` in place of `import neural_tangents as nt`. See
docs/from-neural-tangents.md.
"""

from learnmech_tangents import predict, stax
from learnmech_tangents.blocks import batch
from learnmech_tangents.empirical import (
    NtkImplementation,
    empirical_kernel_fn,
    empirical_nngp_fn,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
    linearize,
    taylor_expand,
)
from learnmech_tangents.kernel import Kernel
from learnmech_tangents.sampling import monte_carlo_kernel_fn

__all__ = [
    "Kernel",
    "NtkImplementation",
    "batch",
    "empirical_kernel_fn",
    "empirical_nngp_fn",
    "empirical_ntk_fn",
    "empirical_ntk_vp_fn",
    "linearize",
    "monte_carlo_kernel_fn",
    "predict",
    "stax",
    "taylor_expand",
]
