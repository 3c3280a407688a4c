"""Learnability: how much of the target in each mode of a kernel the network has learned."""

import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Instrument, refuse_without_modes
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


class Learnability(Instrument):
    """L_i = <f, u_i><y, u_i>/<y, u_i>^2, summed over outputs above and below, in the `count`
    leading modes u_i of the tangent kernel on the samples: 0 where nothing of a mode is learned, 1
    where it is.

    On the training and the test samples together, the `pool`, this is the learnability that the
    eigenlearning equations speak of, lam_i/(lam_i + kappa) for a kernel learner; on the training
    samples alone, what has been fitted, 1 - e^{-2c n lam_i t} for flow from outputs of 0 of a
    kernel that stands still. The kernel is that of the `start`, or as it is `now`. Beside it the
    eigenvalues of the kernel over N samples and the target's power in each mode, v_i^2 =
    |u_i'Y|^2/N: where that is small L_i is a ratio of small numbers. An eigendecomposition of N
    samples at every reading.  Source: Simon et al. 2023.
    """

    count: int = structure(
        default=10, at_least=1, meaning="modes that are read, the strongest first"
    )
    on: str = structure(
        default="pool",
        choices=("pool", "train"),
        meaning="samples whose modes: all, or training ones",
    )
    kernel: str = structure(
        default="start", choices=("start", "now"), meaning="when the kernel is taken"
    )

    def check(self, system):
        refuse_without_modes("Learnability", system)
        most = len(system.train.X) + (len(system.test.X) if self._pooled(system) else 0)
        if self.count > most:
            raise refused(
                "Learnability", f"count <= {most}, the samples there are", self.count, "Lower count"
            )

    def _pooled(self, system):
        return self.on == "pool" and system.test is not None

    def quantities(self, system, params):
        axes = ("kernel_mode",)
        return (
            Quantity(
                "learnability", axes, "1", "L_i", "share of the target's mode that is learned"
            ),
            Quantity(
                "mode_eigenvalue", axes, "output^2/param^2", "lam_i", "eigenvalue over N samples"
            ),
            Quantity("mode_power", axes, "output^2", "v_i^2", "power of the target in the mode"),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        system, params = moment.system, moment.state.params
        views = (system.train, system.test) if self._pooled(system) else (system.train,)
        X, Y = (jnp.concatenate([getattr(view, side) for view in views]) for side in ("X", "Y"))
        f = jnp.concatenate([system.outputs(params, view.X) for view in views])
        at = moment.origin if self.kernel == "start" else params
        values, vectors = jnp.linalg.eigh(system.tangent_kernel(at, X))
        modes = vectors[:, ::-1][:, : self.count]
        seen, wanted = modes.T @ f, modes.T @ Y
        power = jnp.sum(wanted * wanted, axis=1)
        return {
            "learnability": jnp.sum(seen * wanted, axis=1) / power,
            "mode_eigenvalue": values[::-1][: self.count] / len(X),
            "mode_power": power / len(X),
        }
