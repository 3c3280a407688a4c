"""Curvature: how the landscape bends along all directions together, the density of its eigenvalues
and their sums, every number beside its error."""

from learnmech.curvature.operators import count_of, precision_of
from learnmech.curvature.spectrum import density, measures, sums
from learnmech.errors import refused
from learnmech.instruments.base import OfCurvature
from learnmech.instruments.sharpness import LayerSharpness as LayerSharpness
from learnmech.instruments.sharpness import PreconditionedSharpness as PreconditionedSharpness
from learnmech.instruments.sharpness import Sharpness as Sharpness
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


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
                count_of(params),
                precision_of(params),
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
            count_of(params),
            precision_of(params),
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
