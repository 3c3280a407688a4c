"""Resolution: the size up to which an eigenvalue of a kernel is 0 to round-off."""

import numpy as np
from jaxtyping import Float

# Of eigenvalues that are 0 round-off leaves up to 0.4 n eps of the largest (of the kernels of
# thousands of repeated inputs, through four layers)
MARGIN = 10


def resolved_eigenvalue(
    values: Float[np.ndarray, " n"], precision: np.dtype | type = np.float64
) -> float:
    """The size up to which an eigenvalue is 0 to round-off, 10 n eps of the largest in size, eps
    that of the precision the kernel came in.

    The rank of a kernel is how many are larger: what is decided by it does not hang on whether a
    factorization happens to pass.
    """
    kind = np.dtype(precision)
    eps = float(np.finfo(kind if kind.kind == "f" else np.float64).eps)
    return MARGIN * len(values) * eps * float(np.abs(values).max(initial=0.0))
