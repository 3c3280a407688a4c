"""The course of the central flow: where it is step after step, and how large the oscillation about
it is."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Bool, Float

from learnmech.curvature.complementarity import complementary, symmetric_basis
from learnmech.curvature.lanczos import extremes
from learnmech.experiment.recipe import Start
from learnmech.language import trees
from learnmech.language.trees import Array
from learnmech.rules.adaptive import RMSProp
from learnmech.system.landscape import System

BLOCK, PARTS = 100, 2
NEAR, ACCURACY = 0.9, 1e-4


class Terms(NamedTuple):
    """The rule in numbers: rate, how fast nu forgets in t, eps, whether it oscillates, the
    scaling's factors, and a direction mixed into each search.

    Descent is a rule that forgets nothing of nu = 1, without eps.
    """

    rate: Float[Array, ""]
    forgets: Float[Array, ""]
    eps: Float[Array, ""]
    held: Bool[Array, ""]
    factors: Float[Array, " p"]
    noise: Float[Array, " p"]


class Place(NamedTuple):
    """Where the flow is: parameters, mean square gradients, and the direction in which the next
    search for eigenpairs begins."""

    w: Float[Array, " p"]
    nu: Float[Array, " p"]
    last: Float[Array, " p"]


class Told(NamedTuple):
    """What the flow says at one step: the loss averaged over the oscillation, without it, the k
    largest preconditioned eigenvalues, tr X, how much the curvature along an oscillation of that
    size differs from one of its ends to its middle, over the edge, and |F| of `complementary`."""

    loss: Float[Array, ""]
    center: Float[Array, ""]
    eigenvalues: Float[Array, " k"]
    spread: Float[Array, ""]
    skew: Float[Array, ""]
    off: Float[Array, ""]


def bends(loss, w: Float[Array, " p"], U: Float[Array, "k p"]) -> Float[Array, "m p"]:
    """The gradients of u_i' H u_j, H the Hessian of the loss, for i <= j in the coordinates of
    `symmetric_basis` (those with i < j times sqrt 2)."""
    rows, columns = np.triu_indices(len(U))

    def curvature(at, u, v):
        return jax.jvp(lambda x: jax.jvp(loss, (x,), (u,))[1], (at,), (v,))[1]

    bent = jax.vmap(lambda u, v: jax.grad(curvature)(w, u, v))(U[rows], U[columns])
    return bent * _weights(len(U))[:, None]


def _weights(k):
    rows, columns = np.triu_indices(k)
    return np.where(rows == columns, 1.0, np.sqrt(2))


def _oscillation(loss, terms, place, gradient, P, values, U, span):
    """(grad<H, S>/2, diag(H S H), tr X, its skew, what F is off by) of the S = U X U' that keeps
    the edge over the coming span."""
    k, edge = len(U), 2 / terms.rate
    E, G = symmetric_basis(k), bends(loss, place.w, U)
    rise, stiff = G @ (gradient / P), G @ (G / P).T / 2
    # of x in these coordinates: diag(H S H), for HU = edge PU, and the rate at which U'PU edge
    # rises with it as nu does
    one, other = (U[side] for side in np.triu_indices(k))
    squares = edge**2 * P**2 * one * other * _weights(k)[:, None]
    root = jnp.sqrt(jnp.where(place.nu > 0, place.nu, jnp.inf))
    lifted = squares * terms.forgets / (2 * terms.factors * root * edge * P**2)
    rise, stiff = rise + lifted @ (gradient**2 - place.nu), stiff + lifted @ squares.T
    Q = jnp.diag(edge - values) + span * jnp.einsum("a,aij->ij", rise, E)
    pair = complementary(Q, span * stiff)
    x = jnp.einsum("aij,ij->a", E, pair.X)
    pull, spread = x @ G / 2, jnp.trace(pair.X)
    skew = 2 * jnp.linalg.norm(U @ pull) / (jnp.sqrt(jnp.where(spread > 0, spread, jnp.inf)) * edge)
    return pull, x @ squares, spread, skew, pair.off


def _moved(system, unflatten, terms, k, place, span):
    w, nu, last = place

    def loss(at):
        return system.loss(unflatten(at))

    value, gradient = jax.value_and_grad(loss)(w)
    P = (jnp.sqrt(nu) + terms.eps) / terms.factors
    root, bent = 1 / jnp.sqrt(P), jax.linearize(jax.grad(loss), w)[1]
    found = extremes(
        lambda v: root * bent(root * v),
        last + 0.03 * terms.noise,
        k,
        0,
        300,
        ACCURACY,
        often=2,
        measured=False,
        held=4 * k + 12,
    )
    still = jnp.zeros_like(w), jnp.zeros_like(w), jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    near = terms.held & (found.values[0] > NEAR * 2 / terms.rate)
    pull, shaken, spread, skew, off = jax.lax.cond(
        near,
        lambda: _oscillation(
            loss, terms, place, gradient, P, found.values, root * found.vectors, span
        ),
        lambda: still,
    )
    told = Told(value + spread / terms.rate, value, found.said, spread, skew, off)
    nu = nu + span * terms.forgets * (gradient**2 + shaken - nu)
    return Place(w - span * (gradient + pull) / P, nu, jnp.sum(found.vectors, axis=0)), told


@eqx.filter_jit
def _stretch(system: System, unflatten, terms, k, parts, place):
    """BLOCK steps of the rule, each in so many parts."""

    def step(place, _):
        place, told = jax.lax.scan(
            lambda here, _: _moved(system, unflatten, terms, k, here, terms.rate / parts),
            place,
            None,
            length=parts,
        )
        return place, jax.tree.map(lambda one: one[0], told)

    return jax.lax.scan(step, place, None, length=BLOCK)


def course(
    start: Start, steps: int, k: int, parts: int = PARTS, held: bool = True, until: float = np.inf
) -> Told:
    """What the central flow says at each of the steps from 0 on, k eigenvalues followed, each step
    taken in so many parts.

    Where it is not held (S = 0) this is the rule's flow without oscillation. It ends where
    the largest eigenvalue has come to `until`. Two parts meet an eigenvalue at the edge with
    1 - (rate/2)(2/rate) = 0: what is off along it is gone after one of them.
    """
    system, unflatten, terms, place = _begun(start, held)
    told = []
    for _ in range(steps // BLOCK + 1):
        place, block = _stretch(system, unflatten, terms, k, parts, place)
        told.append(jax.tree.map(np.asarray, block))
        if not block.eigenvalues[:, 0].max() < until:
            break
    whole = jax.tree.map(lambda *blocks: np.concatenate(blocks)[: steps + 1], *told)
    far = ~(whole.eigenvalues[:, 0] < until)
    if not far.any() or not np.isfinite(until):
        return whole
    return jax.tree.map(lambda one: one[: int(np.argmax(far))], whole)


def _begun(start, held):
    system = trees.cast(start.system, jnp.float64)
    flat, unflatten = flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, start.params))
    rule = start.rule
    factors = flatten_util.ravel_pytree(rule.factors(system, unflatten(flat)))[0]
    noise = np.random.default_rng(0).standard_normal(flat.size)
    unit = jnp.asarray(noise / np.linalg.norm(noise))
    rate, forgets, eps, nu = float(rule.rate), 0.0, 0.0, jnp.ones_like(flat)
    if isinstance(rule, RMSProp):
        # an average that remembers b2 lags behind by b2/(1 - b2) steps; its first step divides by
        # this nu
        forgets, eps = (1 / float(rule.b2) - 1) / rate if rule.b2 > 0 else 0.0, float(rule.eps)
        slope = flatten_util.ravel_pytree(_slope(system, unflatten(flat)))[0]
        nu = (1 - float(rule.b2)) * slope**2
    numbers = [jnp.asarray(one) for one in (rate, forgets, eps, held)]
    return (
        system,
        eqx.Partial(unflatten),
        Terms._make((*numbers, factors, unit)),
        Place(flat, nu, unit),
    )


@eqx.filter_jit
def _slope(system, params):
    return system.value_and_gradient(params)[1]
