"""Mean squared error: outputs under flow on it, in closed form, and the rate below which descent
converges."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech_tangents.empirical import axes_of
from learnmech_tangents.outputs import Outputs, eigen, flat, regularized, solver
from learnmech_tangents.predicting import broadcasting, once, targets


def gradient_descent_mse(
    k_train_train: Float[Array, "..."],
    y_train: Float[Array, "..."],
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes=(-1,),
):
    """predict_fn(t=None, fx_train_0=0., fx_test_0=None, k_test_train=None): outputs at step t, of
    the training set, or (train, test) with fx_test_0.

    With K = k_train_train + diag_reg mean(diag) I (or + diag_reg I if absolute),
    E = exp(-learning_rate t/y.size K): f_train = y + E (f_0 - y), f_test = g_0 + k_test_train K^-1
    (1 - E)(y - f_0). fx_train_0=None leaves the training set out (and f_0 = 0). The kernel has two
    indices for every axis of y_train but trace_axes, (n, n) or with trace_axes=() (n, n, k, k).
    """
    y = targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    K = regularized(outputs.matrix(k_train_train), diag_reg, diag_reg_absolute_scale)
    kind = jnp.asarray(k_train_train).dtype
    parts = once(
        lambda name: eigen(K, kind) if name == "eigen" else solver(K, "gradient_descent_mse", kind)
    )

    @broadcasting
    def predict_fn(t=None, fx_train_0=0.0, fx_test_0=None, k_test_train=None):
        if fx_test_0 is not None and k_test_train is None:
            raise refused(
                "predict_fn",
                "k_test_train for predictions on a test set",
                "None",
                "Give kernel_fn(x_test, x_train, 'ntk')",
            )
        gap = outputs.rows(
            y - jnp.broadcast_to(0.0 if fx_train_0 is None else jnp.asarray(fx_train_0), y.shape)
        )
        if t is None:
            # a singular kernel does not come to rest at the targets, nor does it say where
            # elsewhere
            left, moved = jnp.zeros_like(gap), parts("solver")(gap)
        else:
            values, vectors = parts("eigen")
            time = jnp.asarray(t, float) * learning_rate / y.size
            kept, filled = decayed(values, time)
            along = vectors.T @ gap
            left, moved = vectors @ (kept[..., None] * along), vectors @ (filled[..., None] * along)
        train = None if fx_train_0 is None else outputs.back(outputs.rows(y) - left, outputs.sizes)
        if fx_test_0 is None:
            return train
        sizes = outputs.others(k_test_train)
        change = outputs.back(
            outputs.matrix(jnp.asarray(k_test_train), name="k_test_train") @ moved, sizes
        )
        test = jnp.broadcast_to(jnp.asarray(fx_test_0), outputs.shaped(sizes)) + change
        return test if train is None else (train, test)

    return predict_fn


def decayed(values, time):
    """e^{-w time} and (1 - e^{-w time})/w for every time and eigenvalue w; at w = 0, where
    nothing moves, 1 and 0."""
    live = values > 0
    exponent = -jnp.where(live, values, 1) * time[..., None]
    return jnp.where(live, jnp.exp(exponent), 1), jnp.where(
        live, -jnp.expm1(exponent) / jnp.where(live, values, 1), 0
    )


def max_learning_rate(
    ntk_train_train: Float[Array, "..."],
    y_train_size: int | None = None,
    momentum: float = 0.0,
    eps: float = 1e-12,
) -> float:
    """2 (1 + momentum) y_train_size/(largest eigenvalue + eps): descent on the loss 1/(2 y.size)
    sum (f - y)^2 converges below it.

    y_train_size = n k is to be given for a traced kernel (n, n); None takes the size of the kernel,
    n, or n k for (n, n, k, k). Heavy-ball momentum. In `learnmech` units, loss half-mean: k times
    smaller.
    """
    K = np.asarray(ntk_train_train, float)
    axes_of((), K.ndim, "max_learning_rate")
    if K.ndim % 2 or K.shape[::2] != K.shape[1::2]:
        raise refused(
            "max_learning_rate",
            "a kernel of shape (n, n) or (n, n, k, k)",
            f"shape {K.shape}",
            "Give kernel_fn(x_train, None, 'ntk')",
        )
    matrix = flat(K)
    size = len(matrix) if y_train_size is None else y_train_size
    return float(2 * (1 + momentum) * size / (np.linalg.eigvalsh(matrix)[-1] + eps))
