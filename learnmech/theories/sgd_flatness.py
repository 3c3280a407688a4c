"""Flatness: how the noise of batches carries SGD along a manifold of minima, down the trace of
the Hessian, and from which minima it is thrown."""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Float

from learnmech.architectures.linear import DeepLinear
from learnmech.data.gaussian import Gaussian
from learnmech.errors import refused
from learnmech.experiment.clock import Clock
from learnmech.experiment.recipe import Experiment, Start, stream_of
from learnmech.experiment.tables import table
from learnmech.initial.given import Given
from learnmech.instruments.curvature import Trace
from learnmech.instruments.losses import Loss
from learnmech.instruments.sharpness import Sharpness
from learnmech.instruments.weights import Weights
from learnmech.language import trees
from learnmech.language.trees import Params, leaves_by_path
from learnmech.machine.late import late
from learnmech.rules.descent import SGD
from learnmech.system.landscape import System
from learnmech.theories.base import Condition, Limit, Theory, need, rule_is
from learnmech.theories.epochs import mean_of_samples, spread_of_batches

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Square = Float[np.ndarray, "p p"]
FLAT = 1e-6
LARGEST = 1_000_000
MOST_ACROSS = 32  # their second moments' map has the fourth power: minutes of 120 weights
TINY = np.finfo(float).tiny


class Basin(NamedTuple):
    """A minimum as SGD feels it, in the order of `ravel_pytree`: the loss, gradient and Hessian,
    and each sample's own gradient and Hessian."""

    loss: float
    gradient: Float[np.ndarray, " p"]
    hessian: Square
    gradients: Float[np.ndarray, "n p"]
    hessians: Float[np.ndarray, "n p p"]

    @property
    def normal(self) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "p q"]]:
        """(curvatures, unit directions) across the manifold: the eigenpairs of the Hessian that
        are not 0."""
        values, vectors = np.linalg.eigh(self.hessian)
        across = np.abs(values) > FLAT * np.abs(values).max()
        return values[across], vectors[:, across]


def _sample_loss(system, unflatten, flat, i):
    return system.at(i[None]).loss(unflatten(flat))


@eqx.filter_jit
def _basin(system, unflatten, flat):
    samples = jnp.arange(system.train.X.shape[0])
    losses = jax.vmap(lambda i: _sample_loss(system, unflatten, flat, i))(samples)
    gradients = jax.vmap(lambda i: jax.grad(_sample_loss, 2)(system, unflatten, flat, i))(samples)
    hessians = jax.vmap(lambda i: jax.hessian(_sample_loss, 2)(system, unflatten, flat, i))(samples)
    return losses.mean(), gradients.mean(0), hessians.mean(0), gradients, hessians


def basin(system: System, params: Params) -> Basin:
    """What SGD feels at these parameters; for small networks, since it holds n Hessians."""
    flat, unflatten = flatten_util.ravel_pytree(params)
    loss, *rest = _basin(system, eqx.Partial(unflatten), flat)
    return Basin(float(loss), *(np.asarray(part) for part in rest))


@eqx.filter_jit
def _bent(system, unflatten, flat, covariance):
    """grad tr(H C) at C held fixed: the third derivative of the loss, contracted twice."""

    def trace(at):
        return jnp.sum(jax.hessian(lambda w: system.loss(unflatten(w)))(at) * covariance)

    return jax.grad(trace)(flat)


def second_moment_map(
    place: Basin, rate: float, spread: float
) -> tuple[Square, Float[np.ndarray, " q2"]]:
    """(A, b) of C+ = A C + b: the second moment C = E dd' of the distance d across the manifold,
    one step later, C raveled in the directions of `normal`.

    C+ = (I - rate H) C (I - rate H) + rate^2 spread [(1/n) sum_i H_i C H_i - H C H + S], S = (1/n)
    sum_i g_i g_i', spread the variance of a batch's mean over a sample's: 1/B with replacement.
    Exact for quadratic samples that share their minimum; S is that of the minimum.
    """
    values, N = place.normal
    n, q = len(place.gradients), len(values)
    own, pulls = np.einsum("pa,npr,rb->nab", N, place.hessians, N), place.gradients @ N
    keep = np.eye(q) - rate * np.diag(values)
    noise = np.einsum("nac,nbd->abcd", own, own).reshape(q * q, q * q) / n - np.kron(
        np.diag(values), np.diag(values)
    )
    return np.kron(keep, keep) + rate**2 * spread * noise, rate**2 * spread * (
        pulls.T @ pulls / n
    ).ravel()


def mean_square_growth_at(place: Basin, rate: float, spread: float) -> float:
    """The largest factor per step by which the second moment across the manifold grows: below 1
    SGD stays, above 1 it is thrown from this minimum."""
    return float(np.abs(np.linalg.eigvals(second_moment_map(place, rate, spread)[0])).max())


def mean_square_edge(place: Basin, spread: float) -> float:
    """The rate above which SGD is thrown from a minimum: there the second moment across the
    manifold begins to grow. Below 2/sharpness.

    In mean square: rare bursts carry the mean, so that where samples are fitted exactly most single
    runs still settle a little above this rate; any noise that is left sets the bursts off again and
    again, and none stays. By bisection to 1e-12. Of samples that are fitted it is
    `sgd_moments.mean_square_threshold` of the slopes of their outputs, one output each. Source: Wu
    et al. 2018; Ma & Ying 2021; Mulayoff & Michaeli 2024.
    """
    top = float(place.normal[0].max(initial=0.0))
    if not top > 0:
        raise refused(
            "mean_square_edge",
            "a minimum across which the loss is curved",
            f"a largest curvature of {top:g}",
            "Give a minimum",
        )
    low, high = 0.0, 2 / top
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if mean_square_growth_at(place, middle, spread) < 1 else (low, middle)
        )
    return low


class SgdFlatness(Theory):
    """SGD among minima that do not fit every sample drifts to flatter ones: down the trace of the
    Hessian, where the noise's covariance is as the Hessian.

    Across a manifold of minima it is blurred by the second moment C of `second_moment_map`,
    from 0 at t = 0, and along it, P the projection on the manifold, dw/dt = -P grad tr(H C)/2, C
    settled and held fixed: for noise S = s^2 H and small rates -(rate s^2/(4B)) P grad tr H. Mean
    loss: L + tr(HC)/2; `sharpness`, `hessian_trace` and weights: those at w. At a fixed slow time
    rate * t, off by O(rate). C is infinite where SGD is not stable in mean square: it is thrown
    from there. Without noise at the minimum (every sample fitted) there is no drift, but this
    threshold stands.  Source: Blanc et al. 2020; Damian, Ma & Lee 2021; Li, Wang & Arora 2022; with
    the batches' own growth of noise (Wu et al. 2018).
    """

    source: ClassVar[str] = "Damian, Ma & Lee 2021; Li, Wang & Arora 2022"
    predicts: ClassVar[tuple[str, ...]] = ("loss", "sharpness", "hessian_trace", "layer*")
    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 1.0, quantity="hessian_trace"),)
    over_seeds: ClassVar[bool] = True
    # in standard errors of the mean, which a limit meets where seeds are few enough for its rate
    # and noise
    tolerance: ClassVar[float] = 4.0

    def known(self, start):
        return rule_is(start, SGD), _fresh_batches(start), _small(start), _one_rate(start)

    def further(self, start):
        yield mean_of_samples(start)
        yield from _at_a_minimum(start)

    def predict(self, start, clock=None):
        need(self, start, *self.domain(start))
        marks, system = start.marked(clock), trees.cast(start.system, jnp.float64)
        rate, spread = float(start.rule.rate), _spread(start)
        path = _drifting(system, start.params, marks.times, rate, spread)
        told: dict[str, Any] = {name: [] for name in ("loss", "sharpness", "hessian_trace")}
        for params, steps in zip(path, marks.steps, strict=True):
            place = basin(system, params)
            values, _ = place.normal
            A, b = second_moment_map(place, rate, spread)
            settled = np.linalg.solve(np.eye(len(A)) - A, b)
            C = (settled - np.linalg.matrix_power(A, int(steps)) @ settled).reshape(len(values), -1)
            told["loss"].append(place.loss + values @ np.diag(C) / 2)
            told["sharpness"].append(values.max())
            told["hessian_trace"].append(values.sum())
        leaves = [leaves_by_path(params) for params in path]
        told |= {name: np.stack([np.asarray(one[name]) for one in leaves]) for name in leaves[0]}
        parts = (Loss(), Sharpness(), Trace(), Weights())
        quantities = tuple(
            q
            for part in parts
            for q in part.quantities(start.system, start.state.params)
            if q.name in told
        )
        return table(quantities, {name: np.array(values) for name, values in told.items()}, marks)

    @classmethod
    def example(cls):
        source = Gaussian(n=10, d=1, map=np.ones((1, 1)), noise=0.1)
        return Experiment(
            DeepLinear(hidden=(1,)),
            source,
            SGD(rate=0.1, batch=2),
            Clock(steps=1200, marks=4),
            unequal_chain(source, 3.0),
        )


def unequal_chain(source: Gaussian, ratio: float) -> Given:
    """Weights (w_1, w_2) of a chain of two numbers, w_1 = ratio * w_2, whose product is the
    least-squares solution of these samples."""
    view = source.draw(stream_of(int(source.seed), "data")).train
    target = float(view.X[:, 0] @ view.Y[:, 0] / (view.X[:, 0] @ view.X[:, 0]))
    if target <= 0:
        raise refused(
            "unequal_chain",
            "samples whose least-squares slope is above 0",
            target,
            "Give a positive map",
        )
    return Given(np.sqrt(target) * np.array([ratio**0.5, ratio**-0.5]))


def drifting_chain(start: Start, times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The trace of the Hessian of a chain w_1 w_2 among its minima under SGD, as the rate vanishes
    at a fixed rate * t: in closed form.

    With q a sample's slope in u = w_1 w_2, each step keeps w_1^2 - w_2^2 but for the factor
    1 - rate^2 q^2, so that K(t) = K_0 e^{-rate t E q^2/B}; the trace is a sqrt(K^2 + 4 u^2),
    a = mean x^2. Half-mean loss, batches with replacement.
    """
    X, Y = start.data.train.X[:, 0], start.data.train.Y[:, 0]
    (first,), (second,) = (start.params[name]["weight"].ravel() for name in ("layer1", "layer2"))
    u, power = first * second, float(np.mean(X**2))
    noise = float(np.mean((X * (X * u - Y)) ** 2)) / int(start.rule.batch)
    K = (first**2 - second**2) * np.exp(-float(start.rule.rate) * noise * times)
    return power * np.sqrt(K**2 + 4 * u**2)


def _drifting(system, params, times, rate, spread):
    flat, unflatten = flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, params))
    back = eqx.Partial(unflatten)

    def drift(t, w):
        place = basin(system, unflatten(jnp.asarray(w)))
        _, N = place.normal
        A, b = second_moment_map(place, rate, spread)
        C = N @ np.linalg.solve(np.eye(len(A)) - A, b).reshape(N.shape[1], -1) @ N.T
        bent = np.asarray(_bent(system, back, jnp.asarray(w), jnp.asarray(C)))
        return -(bent - N @ (N.T @ bent)) / 2

    found = integrate.solve_ivp(
        drift,
        (0.0, float(times[-1])),
        np.asarray(flat),
        method="DOP853",
        t_eval=times,
        rtol=1e-8,
        atol=1e-10,
    )
    return [unflatten(jnp.asarray(w)) for w in found.y.T]


def _spread(start):
    n, rule = start.data.train.X.shape[0], start.rule
    return 1 / rule.batch if rule.sampling == "replacement" else spread_of_batches(n, rule.batch)


def _fresh_batches(start):
    sampling = getattr(start.rule, "sampling", "none")
    return Condition(
        "a batch is drawn afresh at every step",
        sampling,
        "replacement or subset",
        sampling in ("replacement", "subset"),
    )


def _one_rate(start):
    factors = leaves_by_path(start.system.architecture.rate_factors(start.params, "sgd"))
    same = all(float(factor) == 1 for factor in factors.values())
    return Condition(
        "every weight moves at one rate", "one rate" if same else "rates by layer", "one rate", same
    )


def _small(start):
    n, p = start.data.train.X.shape[0], sum(np.size(leaf) for leaf in jax.tree.leaves(start.params))
    return Condition(
        "few parameters p and samples n: n p^2", n * p**2, LARGEST, n * p**2 <= LARGEST
    )


def _at_a_minimum(start):
    system = trees.cast(start.system, jnp.float64)
    rate = float(start.rule.rate)
    spread = _spread(start)
    place = basin(system, start.params)
    size = float(np.linalg.norm(place.hessian, 2))
    lowest = float(np.linalg.eigvalsh(place.hessian)[0])
    values, N = place.normal
    yield Condition(
        "the loss is curved across it: directions that are not flat",
        len(values),
        "1 or more",
        len(values) > 0,
    )
    off = float(
        np.linalg.norm(N @ ((N.T @ place.gradient) / values))
        + np.linalg.norm(place.gradient - N @ (N.T @ place.gradient)) / max(size, TINY)
    )
    yield Condition("it starts at a minimum: the distance to it", off, 1e-6, off <= 1e-6)
    yield Condition(
        "the lowest eigenvalue of the Hessian over the largest is not below 0",
        lowest / max(size, TINY),
        -FLAT,
        lowest >= -FLAT * size,
    )
    along = place.gradients - place.gradients @ N @ N.T
    share = float(np.linalg.norm(along) / max(np.linalg.norm(place.gradients), TINY))
    yield Condition(
        "no sample pulls along the manifold: the share of their slopes that does",
        share,
        1e-6,
        share <= 1e-6,
    )
    yield Condition(
        "few directions across it", len(values), MOST_ACROSS, len(values) <= MOST_ACROSS
    )
    growth = mean_square_growth_at(place, rate, spread)
    yield Condition("SGD is stable there in mean square: growth per step", growth, 1.0, growth < 1)
