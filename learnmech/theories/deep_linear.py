"""Deep linear networks as their theories read them: weights, correlations, and the conditions
that they share."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from learnmech.data.base import View, singular_modes
from learnmech.experiment.clock import Marks
from learnmech.experiment.recipe import Start
from learnmech.experiment.tables import table
from learnmech.instruments.losses import Loss, TestLoss
from learnmech.instruments.modes import EndToEnd, ModeStrengths, SingularValues
from learnmech.language import trees
from learnmech.machine.late import late
from learnmech.system.landscape import Reduced
from learnmech.theories.base import Condition, constant, resolved

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = late("xarray")

BALANCED = ("balanced", "aligned")
Matrix = Float[np.ndarray, "rows columns"]


def plain_layers(start: Start) -> Condition:
    """The condition f = W_L ... W_1 x with nothing but weights: no biases, no multipliers, one
    rate for all layers."""
    params = start.params
    layers = trees.layers_of(params)
    name = type(start.system.architecture).__name__
    linear = start.system.architecture.is_linear and all(
        set(layer) == {"weight"} for layer in layers.values()
    )
    factors = (
        {
            float(factor)
            for factor in trees.leaves_by_path(
                start.system.architecture.rate_factors(params)
            ).values()
        }
        if linear
        else set()
    )
    if linear:
        # at the start and away from it: a tangent of such a network agrees with it where it touches
        linear = factors == {1.0} and all(
            _multiplies(start, at) for at in (params, jax.tree.map(lambda w: w + 1.0, params))
        )
    bends = not start.system.architecture.is_linear
    return Condition(
        "the network is deep linear in sp scaling",
        name,
        "DeepLinear, sp",
        bool(linear),
        # a linear network is not plain by what multiplies its layers
        fact="linear-in-inputs" if bends else "gains",
        wants=("yes",) if bends else ("one",),
    )


def _multiplies(start, params):
    W = product([layer["weight"] for layer in trees.layers_of(params).values()])
    return np.abs(start.system.architecture.matrix(params) - W).max() <= 1e-12 * np.abs(W).max()


def weights(start: Start) -> list[Matrix]:
    """W_1, ..., W_L of a network for which `plain_layers` holds."""
    return [layer["weight"] for layer in trees.layers_of(start.params).values()]


def product(layers: list[Matrix]) -> Matrix:
    """W = W_L ... W_1."""
    W = layers[0]
    for layer in layers[1:]:
        W = layer @ W
    return W


def correlations(view: View) -> tuple[Matrix, Matrix]:
    """S_xx = X'X/n (d, d) and S_yx = Y'X/n (k, d)."""
    X, Y = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64)
    return X.T @ X / len(X), Y.T @ X / len(X)


def loss_along(view: View, c: float, W: Float[np.ndarray, "m k d"]) -> Float[np.ndarray, " m"]:
    """c sum_i |W x_i - y_i|^2 for every map in W; with n > d through X = QR, so that nothing
    cancels near the minimum."""
    X, Y, floor = np.asarray(view.X, np.float64), np.asarray(view.Y, np.float64), 0.0
    if len(X) > X.shape[1]:
        reduced = Reduced.of(view)
        X, Y, floor = np.asarray(reduced.X), np.asarray(reduced.Y), float(reduced.floor)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging map has a diverging loss
        return np.array([c * (np.sum((X @ w.T - Y) ** 2) + floor) for w in W])


def imbalance(layers: list[Matrix], lam: float = 0.0) -> float:
    """max over l of |W_{l+1}'W_{l+1} - W_l W_l' - lam I|_F, relative to the largest |W_l|_F^2."""
    gaps = [_gap(before, after, lam) for before, after in zip(layers[:-1], layers[1:])]
    size = max(np.sum(layer**2) for layer in layers)
    return float(max(gaps, default=0.0) / size) if size else 0.0


def _gap(before, after, lam):
    """|after'after - before before' - lam I|_F; for a wide interface through QR of [after',
    before], so that nothing of width^2 is formed."""
    h, sides = len(before), np.concatenate([after.T, before], axis=1)
    signs = np.concatenate([np.ones(len(after)), -np.ones(before.shape[1])])
    if h <= sides.shape[1]:
        return np.linalg.norm((sides * signs) @ sides.T - lam * np.eye(h))
    R: Any = np.linalg.qr(sides, mode="r")  # the stubs know of the pair (Q, R) alone
    return np.hypot(
        np.linalg.norm((R * signs) @ R.T - lam * np.eye(len(R))), abs(lam) * np.sqrt(h - len(R))
    )


def balanced(start: Start) -> Condition:
    """The condition W_{l+1}'W_{l+1} = W_l W_l' at t = 0."""
    claim = "balanced at t = 0: W_{l+1}'W_{l+1} = W_l W_l', relative"
    tolerance = resolved(start, 1e-9)
    if not plain_layers(start).holds:
        found = "of no deep linear network"
        return Condition(claim, found, tolerance, False, fact="start", wants=BALANCED)
    off = imbalance(weights(start))
    return Condition(claim, off, tolerance, off <= tolerance, fact="start", wants=BALANCED)


OF_MAPS = ("end_to_end", "mode_strength", "singular_value", "loss", "test_loss")


def said_of_maps(
    start: Start, marks: Marks, W: Float[np.ndarray, "m k d"], **values
) -> "xr.Dataset":
    """What a trajectory of end-to-end maps says: the maps, their strengths on the target's modes,
    singular values, training and test loss.

    `values` replace those that are known more exactly.
    """
    U, _, V = singular_modes(start.data.train)
    finite = np.isfinite(W).all(axis=(1, 2))
    singular = np.full((len(W), min(W.shape[1:])), np.nan)
    singular[finite] = np.linalg.svd(W[finite], compute_uv=False)
    told = {
        "end_to_end": W,
        "mode_strength": np.einsum("km,tkd,dm->tm", U, W, V),
        "singular_value": singular,
        "loss": loss_along(start.data.train, constant(start), W),
    }
    instruments = [EndToEnd(), ModeStrengths(), SingularValues(), Loss()]
    if start.data.test is not None:
        told["test_loss"] = loss_along(
            start.data.test, start.experiment.loss.constant(len(start.data.test.X)), W
        )
        instruments.append(TestLoss())
    quantities = tuple(
        q for one in instruments for q in one.quantities(start.system, start.state.params)
    )
    return table(quantities, told | values, marks)
