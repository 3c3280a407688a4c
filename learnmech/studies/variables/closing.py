"""Closing: whether a few variables move by themselves, or what else the start holds decides them
too."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

from learnmech.errors import refused
from learnmech.experiment.recipe import Experiment, Start, prepare
from learnmech.language import trees
from learnmech.language.display import collapses
from learnmech.language.display.table import Table, as_html, as_text, boxed
from learnmech.machine.late import late
from learnmech.rules.descent import GradientDescent
from learnmech.rules.flow import GradientFlow

if TYPE_CHECKING:
    from scipy import integrate
else:
    integrate = late("scipy.integrate")

Variables = Callable[[Any, Any], Any]
MOST = 400
RULE = (
    "index = sup_t |J P_null| / sup_t |J P_row|, J(t) = d variables(t)/d w_0, P_row the projection"
    " on the rows of J(0): 0 is closed, 1 no better than nothing; to first order about this start"
)


@dataclasses.dataclass(frozen=True)
class Closure:
    """How far variables are from moving by themselves: the `index`, beside that of as many random
    functionals of the outputs, and at each mark |J P_row| and |J P_null|."""

    names: tuple[str, ...]
    index: float
    random: float
    times: np.ndarray
    rows: np.ndarray
    others: np.ndarray

    def plain(self) -> dict:
        """As plain data."""
        return {
            "variables": list(self.names),
            "index": self.index,
            "random": self.random,
            "times": self.times.tolist(),
            "rows": self.rows.tolist(),
            "others": self.others.tolist(),
            "rule": RULE,
        }

    def tables(self) -> tuple[Table, ...]:
        """The index, and its two parts at a few marks."""
        return collapses.closing(self.plain())

    def __str__(self):
        return as_text(*self.tables())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return boxed(*map(as_html, self.tables()))


def closure(
    experiment: Experiment | Start | Any, variables: Variables, names: tuple[str, ...] = ()
) -> Closure:
    """Whether variables suffice: whether what they are later depends on the start by what they are
    at the start alone.

    `variables(system, params)` gives an array of numbers, differentiable by JAX. J(t) = d
    variables(t)/d w_0 is carried along the run; a direction of w_0 that does not move the variables
    at the start, but moves them later, is one that they leave out. With P_row the projection on the
    rows of J(0) and P_null the rest, in operator norms and in the units of the variables,

        index = sup_t |J P_null| / sup_t |J P_row|.

    A set that is closed only on a manifold of starts is closed to first order on it. For gradient
    descent on all samples and gradient flow, of 400 parameters at most. A record stands for its
    experiment. Random functionals of the outputs, as many, are measured beside it.
    """
    meant = getattr(experiment, "experiment", experiment)
    start = experiment if isinstance(experiment, Start) else prepare(meant)
    if not isinstance(start.rule, (GradientDescent, GradientFlow)) or not (
        start.rule.flows or start.rule.plain
    ):
        name = type(start.rule).__name__
        remedy = "Simplify the rule first"
        raise refused("closure", "plain gradient descent or gradient flow", name, remedy)
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(start.params))
    if size > MOST:
        raise refused("closure", f"at most {MOST} parameters", size, "Narrow the network")
    system = trees.cast(start.system, jnp.float64)
    params = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), start.params)
    flat, back = flatten_util.ravel_pytree(params)
    path, sensitivity = _carried(start, system, flat, eqx.Partial(back))

    def seen(w):
        return jnp.ravel(jnp.asarray(variables(system, back(w)), jnp.float64))

    count = len(seen(flat))
    if not count:
        raise refused("closure", "one variable or more", "none", "Return an array of numbers")
    outputs = np.asarray(system.outputs(params, system.train.X)).size
    mix = np.random.default_rng(0).standard_normal((count, outputs)) / np.sqrt(outputs)

    def drawn(w):
        return jnp.asarray(mix) @ jnp.ravel(system.outputs(back(w), system.train.X))

    rows, others = _parts(seen, path, sensitivity)
    own = _parts(drawn, path, sensitivity)
    return Closure(
        names or tuple(f"variable {i}" for i in range(1, count + 1)),
        _index(rows, others),
        _index(*own),
        np.asarray(start.marks.times),
        rows,
        others,
    )


def _index(rows, others) -> float:
    top = rows.max()
    return float(others.max() / top) if top else float("inf")


def _parts(variables, path, sensitivity):
    """(|J P_row|, |J P_null|) at each mark."""
    slope = jax.jit(jax.jacrev(variables))
    J = [np.asarray(slope(jnp.asarray(w))) @ S for w, S in zip(path, sensitivity, strict=True)]
    _, s, Vt = np.linalg.svd(J[0], full_matrices=False)
    frame = Vt[s > 1e-10 * max(s.max(), np.finfo(float).tiny)]
    rows = np.array([np.linalg.norm(one @ frame.T, 2) for one in J])
    rest = np.array([np.linalg.norm(one - one @ frame.T @ frame, 2) for one in J])
    return rows, rest


@eqx.filter_jit
def _slopes(system, back, factors, w, S):
    """(F g, F H S): the gradient, and the Hessian on the columns of the sensitivity."""

    def gradient(w):
        g = jax.grad(lambda v: system.loss(back(v)))(w)
        return factors * g

    g, product = jax.linearize(gradient, w)
    return g, jax.vmap(product, in_axes=1, out_axes=1)(S)


def _carried(start: Start, system, flat, back):
    """(weights, d weights/d w_0) at every mark."""
    factors, _ = flatten_util.ravel_pytree(
        jax.tree.map(
            lambda w, f: jnp.broadcast_to(jnp.asarray(f, jnp.float64), np.shape(w)),
            start.params,
            system.architecture.rate_factors(start.params, "sgd"),
        )
    )
    count = len(flat)
    w, S = np.asarray(flat), np.eye(count)
    if start.rule.flows:

        def moving(t, y):
            g, HS = _slopes(
                system,
                back,
                factors,
                jnp.asarray(y[:count]),
                jnp.asarray(y[count:].reshape(count, -1)),
            )
            return -np.concatenate([np.asarray(g), np.asarray(HS).ravel()])

        times = np.asarray(start.marks.times)
        found = integrate.solve_ivp(
            moving,
            (0.0, float(times[-1])),
            np.concatenate([w, S.ravel()]),
            method="DOP853",
            t_eval=times,
            rtol=1e-10,
            atol=1e-13,
        )
        return found.y[:count].T, found.y[count:].T.reshape(-1, count, count)
    rate, path, carried = float(start.rule.rate), [w], [S]
    for steps in np.diff(np.asarray(start.marks.steps)):
        for _ in range(int(steps)):
            g, HS = _slopes(system, back, factors, jnp.asarray(w), jnp.asarray(S))
            w, S = w - rate * np.asarray(g), S - rate * np.asarray(HS)
        path.append(w)
        carried.append(S)
    return path, carried
