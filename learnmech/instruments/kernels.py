"""Kernels: the tangent kernel of the network as it stands, how far it has moved, and what it has to
do with the targets and with infinite width.

All are of the traced kernel on the training inputs, the mean over outputs of T_cc(x, x'), with the
factors that the scaling puts on the rate.
"""

import jax.numpy as jnp

from learnmech.instruments.base import OfKernel, refuse_without_modes, relative_size, where_finite
from learnmech.instruments.similarity import ending, enough
from learnmech.kernels.alignment import cka, target_alignment
from learnmech.kernels.empirical import tangent_kernel
from learnmech.kernels.infinite import kernel
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity
from learnmech.language.trees import layers_of


class TangentKernel(OfKernel):
    """The tangent kernel itself, and with `by_layer` each layer's share of it."""

    by_layer: bool = structure(default=False, meaning="whether each layer's share is read as well")

    def quantities(self, system, params):
        axes, units = (self.axis(system), self.axis(system) + "'"), "output^2/param^2"
        whole = Quantity(
            "tangent_kernel", axes, units, "T", "tangent kernel on the training inputs"
        )
        if not self.by_layer:
            return (whole,)
        labels = (("layer", tuple(layers_of(params))),)
        return whole, Quantity(
            "layer_kernel",
            ("layer", *axes),
            units,
            "T_l",
            "each layer's share of the tangent kernel",
            labels,
        )

    def read(self, moment):
        if not self.by_layer:
            return {"tangent_kernel": self.now(moment)}
        params = moment.state.params
        shares = tangent_kernel(
            moment.system.architecture, params, self.inputs(moment.system), by_layer=True
        )
        stacked = jnp.stack([shares[name] for name in layers_of(params)])
        return {"tangent_kernel": jnp.sum(stacked, axis=0), "layer_kernel": stacked}


DEBIASED = (
    "whether alignment is by the estimate without bias (`kernels.alignment.cka`), then read as"
    " kernel_cka_..._debiased"
)


class KernelDrift(OfKernel):
    """How far the tangent kernel is from the start's: |T - T_0|_F/|T_0|_F, and their centered
    alignment (CKA), 1 where only the scale has moved.

    The drift is infinite where a kernel that began at zero has moved. `debiased` alignment has no
    bias from few samples.
    """

    debiased: bool = structure(default=False, since="0.5", meaning=DEBIASED)

    def check(self, system):
        super().check(system)
        enough(self, self.inputs(system).shape[0])

    def quantities(self, system, params):
        return (
            Quantity(
                "kernel_drift",
                (),
                "1",
                "|T - T_0|/|T_0|",
                "change of the tangent kernel since the start",
            ),
            Quantity(
                f"kernel_cka_start{ending(self)}",
                (),
                "1",
                "CKA(T, T_0)",
                "alignment of the tangent kernel with the start's",
            ),
        )

    def read(self, moment):
        here, there = self.now(moment), self.now(moment, moment.origin)
        return {
            "kernel_drift": relative_size(here - there, there),
            f"kernel_cka_start{ending(self)}": cka(here, there, self.debiased),
        }


class KernelTarget(OfKernel):
    """Kernel-target alignment <T, YY'>/(|T|_F |YY'|_F): how much of the kernel is spent on the
    targets.  Source: Cristianini et al. 2001."""

    def check(self, system):
        refuse_without_modes("KernelTarget", system)
        super().check(system)

    def quantities(self, system, params):
        return (
            Quantity(
                "kernel_target_alignment",
                (),
                "1",
                "<T, YY'>/|T||YY'|",
                "alignment of the tangent kernel with the targets",
            ),
        )

    def read(self, moment):
        return {
            "kernel_target_alignment": target_alignment(
                self.now(moment), moment.system.train.Y[: self.samples or None]
            )
        }


class KernelSpectrum(OfKernel):
    """The strongest `count` eigenvalues of the tangent kernel (0: all), the largest first."""

    count: int = structure(
        default=10, at_least=0, meaning="eigenvalues that are read, the largest first; 0: all"
    )

    def quantities(self, system, params):
        n = self.inputs(system).shape[0]
        labels = (("eigenmode", tuple(range(1, min(self.count or n, n) + 1))),)
        return (
            Quantity(
                "kernel_eigenvalue",
                ("eigenmode",),
                "output^2/param^2",
                "λ(T)",
                "eigenvalues of the tangent kernel",
                labels,
            ),
        )

    def read(self, moment):
        here = self.now(moment)
        # LAPACK makes some numbers of a matrix with one NaN
        return {
            "kernel_eigenvalue": where_finite(
                jnp.linalg.eigvalsh(here)[::-1][: self.count or None], here
            )
        }


class InfiniteKernel(OfKernel):
    """How far the tangent kernel is from that of the infinitely wide network:
    |T - T_inf|_F/|T_inf|_F, and their centered alignment (CKA).

    `debiased` alignment has no bias from few samples.
    """

    debiased: bool = structure(default=False, since="0.5", meaning=DEBIASED)

    def check(self, system):
        super().check(system)
        refuse_without_modes(type(self).__name__, system)
        enough(self, self.inputs(system).shape[0])
        system.architecture.limit(system.train.X.shape[1])

    def quantities(self, system, params):
        return (
            Quantity(
                "off_infinite_kernel",
                (),
                "1",
                "|T - T_inf|/|T_inf|",
                "distance of the tangent kernel from that of infinite width",
            ),
            Quantity(
                f"kernel_cka_infinite{ending(self)}",
                (),
                "1",
                "CKA(T, T_inf)",
                "alignment of the tangent kernel with that of infinite width",
            ),
        )

    def read(self, moment):
        here, X = self.now(moment), self.inputs(moment.system)
        there = kernel(moment.system.architecture, X, get="ntk").astype(here.dtype)
        off = jnp.linalg.norm(here - there) / jnp.linalg.norm(there)
        return {
            "off_infinite_kernel": off,
            f"kernel_cka_infinite{ending(self)}": cka(here, there, self.debiased),
        }

    @classmethod
    def example(cls):
        return cls(samples=3)
