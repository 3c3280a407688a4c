"""Curvature: how sharp the landscape is where the learner stands, and along which layers; every
number beside its residual or its error.

A number that has not converged is NaN, and its residual stands beside it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from learnmech.curvature.copies import ends_with_copies
from learnmech.curvature.lanczos import extremes, is_formed
from learnmech.curvature.operators import balanced, columns, flattened, product_of
from learnmech.curvature.spectrum import density, measures, sums
from learnmech.errors import refused
from learnmech.instruments.base import OfCurvature
from learnmech.language import trees
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


def _count(params) -> int:
    return sum(np.size(leaf) for leaf in jax.tree.leaves(params))


def _precision(params):
    return jax.tree.leaves(params)[0].dtype


def _drawn(key, params):
    return jax.random.normal(key, (_count(params),), _precision(params))


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
        if self.k + self.bottom > _count(params):
            raise refused(
                "Sharpness",
                f"k + bottom <= {_count(params)}, the parameters",
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


def _positive(instrument):
    if not 0 < instrument.tolerance < 1:
        raise refused(
            type(instrument).__name__,
            "a tolerance between 0 and 1",
            instrument.tolerance,
            "Give for example 1e-6",
        )


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
        multipliers = trees.cast(multipliers, _precision(params))
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
        [np.full(_count(layer), names.index(name)) for name, layer in sorted(params.items())]
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
        product, size, inside = self.product(moment), _count(params), _within(params)
        if is_formed(size, self.iterations):
            matrix = columns(product, size, _precision(params))
            blocks = [matrix[np.ix_(*2 * (np.flatnonzero(mask),))] for mask in inside]
            ends = [
                extremes(
                    lambda v, B=block: B @ v,
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

            values, residuals = jax.lax.map(top, jnp.asarray(inside, _precision(params)))
        start = "" if self.of == "hessian" else f"{self.name}_"
        return {f"{start}layer_sharpness": values, f"{start}layer_sharpness_residual": residuals}


class SpectrumDensity(OfCurvature):
    """The density of all eigenvalues of the Hessian (or another curvature), by stochastic Lanczos
    quadrature, with its standard error over probes.

    phi(x), integrating to 1, smoothed by a normal of standard deviation `width` times the range of
    the spectrum, at `points` places between its ends, from `probes` vectors of independent signs
    and `iterations` products each.  Source: Ghorbani, Krishnan & Xiao 2019.
    """

    probes: int = structure(
        default=8, at_least=2, meaning="random vectors over which it is averaged"
    )
    iterations: int = structure(
        default=40, at_least=1, meaning="products for each probe, and so points of its quadrature"
    )
    points: int = structure(
        default=200,
        at_least=2,
        meaning="places between the ends of the spectrum at which the density is read",
    )
    width: float = structure(
        default=0.01,
        meaning="standard deviation of the normal that smooths it, over the range of the spectrum",
    )

    def coherent(self):
        if not 0 < self.width < 1:
            raise refused(
                "SpectrumDensity",
                "a width between 0 and 1, of the range",
                self.width,
                "Give for example 0.01",
            )

    def quantities(self, system, params):
        axis = f"{self.name}_point"
        labels, inverse = ((axis, tuple(range(self.points))),), "/".join(self.unit.split("/")[::-1])
        return (
            Quantity(
                f"{self.name}_spectrum_at",
                (axis,),
                self.unit,
                "λ",
                f"eigenvalues of the {self.of} at which its density is given",
                labels,
            ),
            Quantity(
                f"{self.name}_density",
                (axis,),
                inverse,
                "φ(λ)",
                f"density of the eigenvalues of the {self.of}",
                labels,
            ),
            Quantity(
                f"{self.name}_density_error",
                (axis,),
                inverse,
                "se φ",
                "standard error of the density",
                labels,
            ),
        )

    def read(self, moment):
        params = moment.state.params
        found = density(
            *measures(
                self.product(moment),
                _count(params),
                _precision(params),
                self.key(moment),
                self.probes,
                self.iterations,
            ),
            self.points,
            self.width,
        )
        return {
            f"{self.name}_spectrum_at": found.at,
            f"{self.name}_density": found.value,
            f"{self.name}_density_error": found.error,
        }

    @classmethod
    def example(cls):
        return cls(probes=2, points=20, width=0.1)


class Trace(OfCurvature):
    """The trace and the Frobenius norm of the Hessian (or another curvature), with standard errors.

    Exact, with error 0, by a product for every parameter up to `exact_up_to` of them; above by
    `probes` vectors z of independent signs, as E z'Hz and the root of E |Hz|^2. Source: Hutchinson
    1990.
    """

    probes: int = structure(
        default=32, at_least=2, meaning="random vectors of signs of the estimate beyond"
    )
    exact_up_to: int = structure(
        default=512, at_least=0, meaning="parameters up to which it is exact, by a product for each"
    )

    def quantities(self, system, params):
        return (
            Quantity(f"{self.name}_trace", (), self.unit, "tr H", f"trace of the {self.of}"),
            Quantity(
                f"{self.name}_trace_error", (), self.unit, "se tr H", "standard error of the trace"
            ),
            Quantity(
                f"{self.name}_norm", (), self.unit, "|H|_F", f"Frobenius norm of the {self.of}"
            ),
            Quantity(
                f"{self.name}_norm_error",
                (),
                self.unit,
                "se |H|_F",
                "standard error of the Frobenius norm",
            ),
        )

    def read(self, moment):
        params = moment.state.params
        found = sums(
            self.product(moment),
            _count(params),
            _precision(params),
            self.key(moment),
            self.probes,
            self.exact_up_to,
        )
        parts = {
            "trace": found.trace,
            "trace_error": found.trace_error,
            "norm": found.norm,
            "norm_error": found.norm_error,
        }
        return {f"{self.name}_{part}": value for part, value in parts.items()}
