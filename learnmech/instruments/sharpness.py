"""Sharpness: how strongly the landscape bends where the learner stands, of all weights, under the
rule's preconditioner and layer by layer.

A number that has not converged is NaN, and its residual stands beside it.
"""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.curvature.copies import ends_with_copies
from learnmech.curvature.lanczos import extremes, is_formed
from learnmech.curvature.operators import (
    balanced,
    columns,
    count_of,
    flattened,
    precision_of,
    product_of,
)
from learnmech.errors import refused
from learnmech.instruments.base import OfCurvature
from learnmech.language import trees
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


def _drawn(key, params):
    return jax.random.normal(key, (count_of(params),), precision_of(params))


def _positive(instrument):
    if not 0 < instrument.tolerance < 1:
        raise refused(
            type(instrument).__name__,
            "a tolerance between 0 and 1",
            instrument.tolerance,
            "Give for example 1e-6",
        )


class Sharpness(OfCurvature):
    """The `k` largest and `bottom` lowest eigenvalues of the Hessian (or another curvature) of the
    training loss, and their residuals |Hv - lambda v|.

    By Lanczos with every vector orthogonalized against all others, to residuals of `tolerance`
    times the largest eigenvalue in size (100 round-offs where that is more) within `iterations`
    products, from a vector drawn by the state's key and step. Where more than one is asked of an
    end, copies of repeated eigenvalues are searched for from further vectors, each search within
    `iterations` products; what this leaves open is NaN. Source: Cohen et al. 2021, sec. 2; Lanczos
    1950.
    """

    k: int = structure(default=1, at_least=1, meaning="largest eigenvalues that are read")
    bottom: int = structure(default=0, at_least=0, meaning="lowest eigenvalues that are read")
    iterations: int = structure(
        default=100, at_least=1, meaning="the most products of a search for an eigenvalue"
    )
    tolerance: float = structure(
        default=1e-6, meaning="largest residual, relative to the largest eigenvalue in size"
    )

    def coherent(self):
        _positive(self)
        if self.iterations < self.k + self.bottom:
            raise refused(
                "Sharpness",
                f"iterations >= {self.k + self.bottom}, one for each eigenvalue",
                self.iterations,
                "Raise iterations",
            )

    def quantities(self, system, params):
        if self.k + self.bottom > count_of(params):
            raise refused(
                "Sharpness",
                f"k + bottom <= {count_of(params)}, the parameters",
                self.k + self.bottom,
                "Lower k or bottom",
            )
        start = "" if self.of == "hessian" else f"{self.name}_"
        found = [
            Quantity(
                f"{start}sharpness", (), self.unit, "λ_1", f"largest eigenvalue of the {self.of}"
            ),
            Quantity(
                f"{start}sharpness_residual",
                (),
                self.unit,
                "|Hv - λ_1 v|",
                "residual of the largest eigenvalue",
            ),
        ]
        for count, end, what in (
            (self.k if self.k > 1 else 0, "eigenvalue", "largest"),
            (self.bottom, "lowest", "lowest"),
        ):
            if count:
                axis = f"{self.name}_mode" if end == "eigenvalue" else f"{self.name}_low_mode"
                labels = ((axis, tuple(range(1, count + 1))),)
                found.append(
                    Quantity(
                        f"{self.name}_{end}",
                        (axis,),
                        self.unit,
                        "λ_i",
                        f"{what} eigenvalues of the {self.of}",
                        labels,
                    )
                )
                found.append(
                    Quantity(
                        f"{self.name}_{end}_residual",
                        (axis,),
                        self.unit,
                        "|Hv - λ_i v|",
                        f"residuals of the {what} eigenvalues",
                        labels,
                    )
                )
        return tuple(found)

    def read(self, moment):
        params, key = moment.state.params, self.key(moment)

        def drawn(index):
            return _drawn(
                key if isinstance(index, int) and index == 0 else jax.random.fold_in(key, index),
                params,
            )

        found = ends_with_copies(
            self.product(moment), drawn, self.k, self.bottom, self.iterations, self.tolerance
        )
        values, residuals = found.said, found.residuals
        start = "" if self.of == "hessian" else f"{self.name}_"
        seen = {f"{start}sharpness": values[0], f"{start}sharpness_residual": residuals[0]}
        if self.k > 1:
            seen |= {
                f"{self.name}_eigenvalue": values[: self.k],
                f"{self.name}_eigenvalue_residual": residuals[: self.k],
            }
        if self.bottom:
            seen |= {
                f"{self.name}_lowest": values[self.k :],
                f"{self.name}_lowest_residual": residuals[self.k :],
            }
        return seen


class PreconditionedSharpness(OfCurvature):
    """The largest eigenvalue of P^-1 H, H the Hessian (or another curvature) and P the rule's own
    preconditioner held fixed, and its residual.

    P^-1 is what multiplies the gradient in the step, weight by weight, beside the rate: the
    scaling's factors, for Adam also 1/(sqrt(nu) + eps). Steps are stable below 2/rate (RMSProp) and
    2(1 + b1)/((1 - b1) rate) (Adam: 38/rate at b1 = 0.9). Found as that of the symmetric P^(-1/2) H
    P^(-1/2), whose residual is given. Its units are those of H times those of P^-1. NaN where the
    rule has no P yet, as before the first step of Adam.  Source: Cohen et al. 2022.
    """

    iterations: int = structure(
        default=100, at_least=1, meaning="the most products of a search for an eigenvalue"
    )
    tolerance: float = structure(
        default=1e-6, meaning="largest residual, relative to the largest eigenvalue in size"
    )
    coherent = _positive

    def quantities(self, system, params):
        start = "" if self.of == "hessian" else f"{self.name}_"
        return (
            Quantity(
                f"{start}preconditioned_sharpness",
                (),
                self.unit,
                "λ_1(P^-1 H)",
                f"largest eigenvalue of the {self.of} under the rule's preconditioner",
            ),
            Quantity(
                f"{start}preconditioned_sharpness_residual",
                (),
                self.unit,
                "|Mv - λ_1 v|",
                "residual of the largest preconditioned eigenvalue",
            ),
        )

    def read(self, moment):
        params, key = moment.state.params, self.key(moment)
        find = getattr(moment.rule, "preconditioner", None)
        multipliers = None if find is None else find(moment.system, moment.state.memory, params)
        if multipliers is None:
            remedy = "Watch Sharpness instead"
            raise refused(
                "PreconditionedSharpness",
                "a rule that multiplies each weight's gradient",
                type(moment.rule).__name__,
                remedy,
            )
        multipliers = trees.cast(multipliers, precision_of(params))
        product = flattened(
            balanced(product_of(moment.system, params, self.of), multipliers), params
        )
        found = extremes(product, _drawn(key, params), 1, 0, self.iterations, self.tolerance)
        start = "" if self.of == "hessian" else f"{self.name}_"
        return {
            f"{start}preconditioned_sharpness": found.said[0],
            f"{start}preconditioned_sharpness_residual": found.residuals[0],
        }


def _within(params):
    """(layers, p) whether each parameter, in the order of `ravel_pytree`, is of the layer."""
    names = tuple(trees.layers_of(params))
    place = np.concatenate(
        [np.full(count_of(layer), names.index(name)) for name, layer in sorted(params.items())]
    )
    return place == np.arange(len(names))[:, None]


class LayerSharpness(OfCurvature):
    """The largest eigenvalue of every layer's own diagonal block of the Hessian (or another
    curvature), and its residual; searched for as Sharpness is."""

    iterations: int = structure(
        default=100, at_least=1, meaning="the most products of a search for an eigenvalue"
    )
    tolerance: float = structure(
        default=1e-6, meaning="largest residual, relative to the largest eigenvalue in size"
    )
    coherent = _positive

    def quantities(self, system, params):
        labels = (("layer", tuple(trees.layers_of(params))),)
        start = "" if self.of == "hessian" else f"{self.name}_"
        return (
            Quantity(
                f"{start}layer_sharpness",
                ("layer",),
                self.unit,
                "λ_1(H_ll)",
                f"largest eigenvalue of each layer's block of the {self.of}",
                labels,
            ),
            Quantity(
                f"{start}layer_sharpness_residual",
                ("layer",),
                self.unit,
                "|H_ll v - λ_1 v|",
                "residual of each layer's largest eigenvalue",
                labels,
            ),
        )

    def read(self, moment):
        params, key = moment.state.params, self.key(moment)
        product, size, inside = self.product(moment), count_of(params), _within(params)
        if is_formed(size, self.iterations):
            matrix = columns(product, size, precision_of(params))
            blocks = [matrix[np.ix_(*2 * (np.flatnonzero(mask),))] for mask in inside]
            ends = [
                extremes(
                    functools.partial(operator.matmul, block),
                    jnp.ones(len(block), matrix.dtype),
                    1,
                    0,
                    size,
                    self.tolerance,
                )
                for block in blocks
            ]
            values, residuals = (
                jnp.stack([getattr(end, part)[0] for end in ends]) for part in ("said", "residuals")
            )
        else:

            def top(mask):
                end = extremes(
                    lambda v: mask * product(mask * v),
                    mask * _drawn(key, params),
                    1,
                    0,
                    self.iterations,
                    self.tolerance,
                    within=mask,
                )
                return end.said[0], end.residuals[0]

            values, residuals = jax.lax.map(top, jnp.asarray(inside, precision_of(params)))
        start = "" if self.of == "hessian" else f"{self.name}_"
        return {f"{start}layer_sharpness": values, f"{start}layer_sharpness_residual": residuals}
