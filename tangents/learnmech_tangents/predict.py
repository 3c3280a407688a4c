"""Predict: what training with a kernel does to outputs, under the names and with the conventions of
neural-tangents' predict.

Loss 1/(2 y.size) sum (f - y)^2, a mean over samples and outputs. Flow with `learning_rate`: at step
t, fractions allowed, f has moved for the time learning_rate * t, df/dt = -learning_rate/y.size K (f
- y). t=None is infinity. Here the loss is c sum (f - y)^2 with c = 1/(2n) by default (half-mean),
so that with k outputs this time is k times longer: learning_rate * t = k * time. Leading axes of t
come first in what is returned.
"""

import functools
import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech_tangents.descent import ODEState, gradient_descent
from learnmech_tangents.empirical import axes_of
from learnmech_tangents.kernel import given, wanted
from learnmech_tangents.outputs import Outputs, eigen, flat, regularized, solver, zipped

__all__ = [
    "Gaussian",
    "ODEState",
    "gp_inference",
    "gradient_descent",
    "gradient_descent_mse",
    "gradient_descent_mse_ensemble",
    "max_learning_rate",
]
KINDS = ("nngp", "ntk")


class Gaussian(NamedTuple):
    """Mean, of the shape of the outputs, and covariance, of the shape of their kernel."""

    mean: Float[Array, "..."]
    covariance: Float[Array, "..."]


def _once(make):
    """A function of one name that remembers what it made."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = make(name)
        return made[name]

    return get


def _broadcasting(function):
    """A function in which arrays broadcast also where the user has forbidden it
    (`jax_numpy_rank_promotion`)."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        with jax.numpy_rank_promotion("allow"):
            return function(*args, **kwargs)

    return called


def _targets(y_train):
    y = jnp.asarray(y_train, float)
    if y.ndim < 1:
        raise refused("predict", "y_train with an axis of samples", "a number", "Give shape (n, k)")
    return y


def _decayed(values, time):
    """e^{-w time} and (1 - e^{-w time})/w for every time and eigenvalue w; at w = 0, where
    nothing moves, 1 and 0."""
    live = values > 0
    exponent = -jnp.where(live, values, 1) * time[..., None]
    return jnp.where(live, jnp.exp(exponent), 1), jnp.where(
        live, -jnp.expm1(exponent) / jnp.where(live, values, 1), 0
    )


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

    With K = k_train_train + diag_reg mean(diag) I (or + diag_reg I if absolute), E =
    exp(-learning_rate t/y.size K): f_train = y + E (f_0 - y), f_test = g_0 + k_test_train K^-1 (1 -
    E)(y - f_0). fx_train_0=None leaves the training set out (and f_0 = 0). The kernel has two
    indices for every axis of y_train but trace_axes, (n, n) or with trace_axes=() (n, n, k, k).
    """
    y = _targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    K = regularized(outputs.matrix(k_train_train), diag_reg, diag_reg_absolute_scale)
    kind = jnp.asarray(k_train_train).dtype
    parts = _once(
        lambda name: eigen(K, kind) if name == "eigen" else solver(K, "gradient_descent_mse", kind)
    )

    @_broadcasting
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
            kept, filled = _decayed(values, time)
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


def _is_array(kernel) -> bool:
    return hasattr(kernel, "shape") and hasattr(kernel, "dtype")


def _part(kernel, name, who="predict"):
    """The kernel of that name, of a Kernel or namedtuple; an array is whatever it is asked for."""
    if _is_array(kernel):
        return kernel
    found = getattr(kernel, name, None)
    if found is None:
        raise refused(
            who,
            f"a kernel with {name}",
            f"a {type(kernel).__name__} without",
            f"Ask kernel_fn for get={KINDS!r}",
        )
    return found


def gp_inference(
    k_train_train,
    y_train: Float[Array, "..."],
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes=(-1,),
):
    """predict_fn(get=None, k_test_train=None, k_test_test=None): mean, or with k_test_test
    Gaussian(mean, covariance), of

    nngp: the posterior of the Gaussian process of covariance K, A = (K + reg)^-1: K_sd A y, K_ss -
    K_sd A K_ds; ntk: the ensemble of wide networks trained for ever, S = T_sd (T + reg)^-1: S y,
    K_ss + S K S' - S K_ds - K_sd S'; ntkgp: the posterior of covariance T. reg = diag_reg
    mean(diag), or diag_reg if absolute. get=None is ("nngp", "ntk"). Without k_test_train, of the
    training set: y, and no covariance left. Kernels come as `Kernel`, namedtuples, or arrays where
    one name suffices.
    """
    y = _targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    train = _once(lambda name: outputs.matrix(_part(k_train_train, name)))
    solve = _once(
        lambda name: solver(
            regularized(train(name), diag_reg, diag_reg_absolute_scale),
            "gp_inference",
            train(name).dtype,
        )
    )

    def one(name, k_test_train, k_test_test):
        kind = "ntk" if name == "ntkgp" else name
        if k_test_train is None:
            solve(
                kind
            )  # which refuses a singular kernel: trained for ever it does not come to rest at y
            m = len(train(kind))
            return (
                y if k_test_test is None else Gaussian(y, zipped(jnp.zeros((m, m)), outputs.sizes))
            )
        if (
            name == "ntk"
            and k_test_test is not None
            and any(hasattr(kernel, "dtype") for kernel in (k_train_train, k_test_train))
        ):
            raise refused(
                "gp_inference",
                "both kernels for the covariance of ntk",
                "an array",
                f"Ask kernel_fn for get={KINDS!r}",
            )
        raw = jnp.asarray(_part(k_test_train, kind))
        sizes, across = outputs.others(raw), outputs.matrix(raw, name="k_test_train")
        mean = outputs.back(across @ solve(kind)(outputs.rows(y)), sizes)
        if k_test_test is None:
            return mean
        test = flat(jnp.asarray(_part(k_test_test, "ntk" if name == "ntkgp" else "nngp")))
        answer = solve(kind)(across.T)
        if name == "ntk":
            other = (
                outputs.matrix(jnp.asarray(_part(k_test_train, "nngp")), name="k_test_train")
                @ answer
            )
            covariance = test + answer.T @ train("nngp") @ answer - other - other.T
        else:
            covariance = test - across @ answer
        return Gaussian(mean, zipped(covariance, sizes))

    @_broadcasting
    def predict_fn(get=None, k_test_train=None, k_test_test=None):
        names = wanted("gp_inference", get, ("nngp", "ntk", "ntkgp"), KINDS)
        return given(get, names, (one(name, k_test_train, k_test_test) for name in names))

    return predict_fn


def gradient_descent_mse_ensemble(
    kernel_fn,
    x_train: Float[Array, "..."],
    y_train: Float[Array, "..."],
    learning_rate: float = 1.0,
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes=(-1,),
    **kernel_kwargs,
):
    """predict_fn(t=None, x_test=None, get=None, compute_cov=False): mean, or Gaussian(mean,
    covariance), over random starts at step t (None: for ever).

    ntk: all layers trained. With T regularized, E = exp(-learning_rate t/y.size T), S = T_sd T^-1
    (1 - E), K the nngp: mean S y, covariance K_ss + S K S' - S K_ds - K_sd S'; of the training set
    (x_test=None) (1 - E) y and E K E. nngp: the last layer alone trained, K in place of T
    throughout (in the covariance regularized): K_ss - K_sd K^-1 (1 - E^2) K_ds; K E^2.
    kernel_kwargs go to kernel_fn(x1, x2, get, ...), for instance params of an empirical one. A
    kernel_fn of your own that gives an array serves where one kernel is asked for; where two are,
    it gives a namedtuple or Kernel with nngp and ntk.
    """
    y = _targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    kwargs = dict(kernel_kwargs)
    rate = learning_rate / y.size

    _check_signature(kernel_fn, kwargs)

    def train_kernel(name):
        return jnp.asarray(
            _part(
                kernel_fn(x_train, None, (name,), **kwargs), name, "gradient_descent_mse_ensemble"
            )
        )

    raw = _once(train_kernel)
    matrix = _once(
        lambda name: outputs.matrix(
            np.asarray(raw(name)), "gradient_descent_mse_ensemble", "k_train_train"
        )
    )
    modes = _once(
        lambda name: eigen(
            regularized(matrix(name), diag_reg, diag_reg_absolute_scale), matrix(name).dtype
        )
    )

    def at(name, time, test):
        values, vectors = modes(name)
        kept, filled = _decayed(values, time)
        along = vectors.T @ outputs.rows(y)
        if test is None:
            mean = outputs.back(vectors @ ((1 - kept)[..., None] * along), outputs.sizes)
            return mean, lambda: zipped(
                _left(vectors, values, kept, matrix("nngp") if name == "ntk" else None),
                outputs.sizes,
            )
        cross = jnp.asarray(_part(test[0], name))
        across, sizes = outputs.matrix(cross, name="k_test_train"), outputs.others(cross)
        mean = outputs.back(across @ vectors @ (filled[..., None] * along), sizes)
        return mean, lambda: zipped(
            _spread(name, across @ vectors, vectors, kept, filled, outputs, test, matrix), sizes
        )

    @_broadcasting
    def predict_fn(t=None, x_test=None, get=None, compute_cov=False, **test_kwargs):
        names = wanted("gradient_descent_mse_ensemble", get, KINDS, KINDS)
        needed = tuple(sorted({*names, *(("nngp",) if compute_cov else ())}))
        test = (
            None
            if x_test is None
            else _of_test(kernel_fn, x_train, x_test, needed, compute_cov, kwargs, test_kwargs)
        )
        if t is None:
            kernels = given(needed, needed, (raw(name) for name in needed))
            posterior = gp_inference(kernels, y, diag_reg, diag_reg_absolute_scale, trace_axes)
            return posterior(
                get if get is not None else names, *(test or (None, True if compute_cov else None))
            )
        found = []
        for name in names:
            mean, covariance = at(name, jnp.asarray(t, float) * rate, test)
            found.append(Gaussian(mean, covariance()) if compute_cov else mean)
        return given(get, names, found)

    return predict_fn


def _of_test(kernel_fn, x_train, x_test, names, compute_cov, kwargs, test_kwargs):
    """(test-train kernels, test-test nngp or None)."""
    merged = {**kwargs, **test_kwargs}
    if any(isinstance(value, tuple) for value in merged.values()):
        raise refused(
            "gradient_descent_mse_ensemble",
            "the same keyword arguments for all inputs",
            "a tuple of them",
            "Bind them to kernel_fn beforehand",
        )
    across = kernel_fn(x_test, x_train, names, **merged)
    if _is_array(across) and len(names) > 1:
        remedy = 'Give a namedtuple with nngp and ntk, or ask for get="nngp" alone'
        raise refused(
            "gradient_descent_mse_ensemble",
            f"a kernel_fn that gives {' and '.join(names)}",
            "an array",
            remedy,
        )
    return across, (
        _part(kernel_fn(x_test, None, ("nngp",), **merged), "nngp") if compute_cov else None
    )


def _check_signature(kernel_fn, kwargs):
    """Refuse a kernel function that cannot be called as kernel_fn(x1, x2, get, ...), before it
    is."""
    try:
        inspect.signature(kernel_fn).bind(None, None, ("nngp",), **kwargs)
    except ValueError:  # its signature cannot be seen
        return
    except TypeError as reason:
        remedy = (
            "Let it take kernel_fn(x1, x2=None, get=None) and give an array, or a namedtuple with"
            " nngp and ntk"
        )
        raise refused(
            "gradient_descent_mse_ensemble",
            "a kernel_fn(x1, x2, get)",
            f"{kernel_fn!r}: {reason}",
            remedy,
        ) from None


def _left(vectors, values, kept, K):
    """E K E in the eigenbasis of T; where K has that basis itself (None), V w e^{-2wt} V'."""
    if K is None:
        return (vectors * (values * kept**2)[..., None, :]) @ vectors.T
    inner = kept[..., :, None] * (vectors.T @ K @ vectors) * kept[..., None, :]
    return vectors @ inner @ vectors.T


def _spread(name, projected, vectors, kept, filled, outputs, test, matrix):
    """The covariance on the test set; `projected` is its kernel with the training set, in the
    eigenbasis."""
    whole = flat(test[1])
    if name == "nngp":
        return whole - (projected * (filled * (1 + kept))[..., None, :]) @ projected.T
    S = (projected * filled[..., None, :]) @ vectors.T
    crossed = S @ outputs.matrix(test[0].nngp, name="k_test_train").T
    return (
        whole
        + S @ matrix("nngp") @ jnp.swapaxes(S, -1, -2)
        - crossed
        - jnp.swapaxes(crossed, -1, -2)
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
