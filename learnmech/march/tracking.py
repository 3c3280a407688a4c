"""Tracking: the sharpest directions followed along a run from where they last stood, in a
fraction of the products; not replayable."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

from learnmech.curvature.eigenpairs import Eigenpairs, check_params, fraction
from learnmech.curvature.lanczos import extremes
from learnmech.curvature.operators import check_operator, flattened, product_of
from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.language.parts import whole_number
from learnmech.language.quantity import TIME_UNITS, powers
from learnmech.language.trees import Params
from learnmech.machine.late import late
from learnmech.march.segments import without_marks
from learnmech.march.timeline import Timeline
from learnmech.system.landscape import System

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")


class Tracker:
    """Reads the k largest eigenvalues of a curvature along a run, each time from the vectors of the
    last.

    What it says depends, within its tolerance, on what it was shown before: the same state read by
    another tracker is another number, so that `replayable` is false and nothing of it is part of a
    record; the instrument Sharpness is. A direction that overtakes another is found through the
    share `fresh` of a new random vector that is mixed in each time, after a few readings perhaps. A
    residual of `tolerance` is an error of about its square over the gap.
    """

    replayable = False

    def __init__(
        self,
        k: int = 1,
        of: str = "hessian",
        iterations: int = 100,
        tolerance: float = 1e-2,
        fresh: float = 0.03,
        seed: int = 0,
    ):
        self.k, self.of = whole_number("Tracker", "k", k, 1), of
        self.iterations = whole_number("Tracker", "iterations", iterations, self.k)
        self.tolerance, self.fresh = (
            fraction("Tracker", "tolerance", tolerance),
            fraction("Tracker", "fresh", fresh, "0.03"),
        )
        self.seed, self._count = whole_number("Tracker", "seed", seed, 0, 2**32 - 1), 0
        self._last: Any = None

    def read(self, system: System, params: Params) -> Eigenpairs:
        """The eigenvalues here (NaN where not converged), vectors, residuals and products taken."""
        if self._last is None:
            check_operator(system, self.of)
            check_params("Tracker", system, params)
            flat = flatten_util.ravel_pytree(params)[0]
            if self.k > flat.size:
                raise refused("Tracker", f"k <= {flat.size}, the parameters", self.k, "Lower k")
            self._last = np.zeros_like(flat)
        size, before = sum(np.size(leaf) for leaf in jax.tree.leaves(params)), len(self._last)
        if size != before:
            raise refused(
                "Tracker",
                f"the network that it has followed, of {before} parameters",
                f"one of {size}",
                "Follow each by a Tracker of its own",
            )
        seed = np.array([self.seed, self._count], np.uint32)
        said, vectors, residuals, products, self._last = _followed(
            system,
            params,
            self._last,
            seed,
            self.fresh,
            self.of,
            self.k,
            self.iterations,
            self.tolerance,
        )
        self._count += 1
        return Eigenpairs(np.asarray(said), vectors, np.asarray(residuals), int(products))


@eqx.filter_jit
def _followed(system, params, last, seed, fresh, of, k, iterations, tolerance):
    unflatten = flatten_util.ravel_pytree(params)[1]
    product = flattened(product_of(system, params, of), params)
    noise = jax.random.normal(
        jax.random.fold_in(jax.random.PRNGKey(seed[0]), seed[1]), last.shape, last.dtype
    )
    noise = noise / jnp.linalg.norm(noise)
    start = jnp.where(jnp.all(jnp.isfinite(last)), last, 0) + jnp.asarray(fresh, last.dtype) * noise
    found = extremes(
        product, start, k, 0, iterations, tolerance, often=1, measured=False, held=3 * k + 9
    )
    # the next begins within the space of all of them, should k be more than one
    return (
        found.said,
        tuple(unflatten(row) for row in found.vectors),
        found.residuals,
        found.products,
        jnp.sum(found.vectors, axis=0),
    )


def tracked(
    experiment: Experiment | Start, every: int = 10, tracker: Tracker | None = None
) -> "xr.Dataset":
    """A run walked through once, its eigenvalues read by a tracker each so many steps: `sharpness`
    and `residual` (time, mode), and `products` taken.

    The states are those of `run`, to the bit; the readings are the tracker's own, and the Dataset
    says that it is not replayable. Stops where a residual is no longer finite.
    """
    start = experiment if isinstance(experiment, Start) else prepare(experiment)
    if start.rule.flows:
        raise refused(
            "tracked", "a rule that steps", type(start.rule).__name__, "Watch Sharpness instead"
        )
    every = whole_number("tracked", "every", every, 1)
    tracker, timeline = tracker or Tracker(), Timeline(start)
    stage, position, state, seen = timeline.begin(), 0, start.state, []
    while True:
        while stage.done < len(timeline.events) and timeline.end_of(stage) == position:
            stage, state = timeline.enter(stage, state)
        if position % every == 0 or position == timeline.last:
            found = tracker.read(stage.system, state.params)
            seen.append(
                (
                    position,
                    timeline.time_at(position),
                    found.values,
                    found.residuals,
                    found.products,
                )
            )
        if position == timeline.last or not np.isfinite(seen[-1][3]).all():
            break
        end = min(position + every - position % every, timeline.end_of(stage), timeline.last)
        segment = without_marks(position, end, 1)
        state, position = timeline.march(stage, state, (), segment).state, end
    steps, times, values, residuals, products = map(np.array, zip(*seen, strict=True))
    units, axes = (
        powers("loss^2/param^2" if tracker.of == "empirical-fisher" else "loss/param^2"),
        ("time", "mode"),
    )
    variables = {
        "sharpness": (
            axes,
            values,
            {
                "long_name": f"largest eigenvalues of the {tracker.of}",
                "units": units,
                "symbol": "λ_i",
            },
        ),
        "residual": (
            axes,
            residuals,
            {"long_name": "residuals of the eigenvalues", "units": units, "symbol": "|Hv - λ_i v|"},
        ),
        "products": (
            "time",
            products,
            {
                "long_name": "products of the curvature with vectors",
                "units": "1",
                "symbol": "products",
            },
        ),
    }
    coords = {
        "time": ("time", times, {"units": TIME_UNITS}),
        "step": ("time", steps, {"units": "step"}),
        "mode": np.arange(1, tracker.k + 1),
    }
    return xr.Dataset(
        variables, coords, {"replayable": "no: each reading begins where the last one ended"}
    )
