"""The ensemble: mean and covariance over random starts of what flow on the mean squared error makes
of outputs, in closed form."""

import inspect

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech_tangents.inference import Gaussian, gp_inference
from learnmech_tangents.kernel import given, wanted
from learnmech_tangents.mse import decayed
from learnmech_tangents.outputs import Outputs, eigen, flat, regularized, zipped
from learnmech_tangents.predicting import KINDS, broadcasting, is_array, once, part, targets


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
    y = targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    kwargs = dict(kernel_kwargs)
    rate = learning_rate / y.size

    _check_signature(kernel_fn, kwargs)

    def train_kernel(name):
        return jnp.asarray(
            part(kernel_fn(x_train, None, (name,), **kwargs), name, "gradient_descent_mse_ensemble")
        )

    raw = once(train_kernel)
    matrix = once(
        lambda name: outputs.matrix(
            np.asarray(raw(name)), "gradient_descent_mse_ensemble", "k_train_train"
        )
    )
    modes = once(
        lambda name: eigen(
            regularized(matrix(name), diag_reg, diag_reg_absolute_scale), matrix(name).dtype
        )
    )

    def at(name, time, test):
        values, vectors = modes(name)
        kept, filled = decayed(values, time)
        along = vectors.T @ outputs.rows(y)
        if test is None:
            mean = outputs.back(vectors @ ((1 - kept)[..., None] * along), outputs.sizes)
            return mean, lambda: zipped(
                _left(vectors, values, kept, matrix("nngp") if name == "ntk" else None),
                outputs.sizes,
            )
        cross = jnp.asarray(part(test[0], name))
        across, sizes = outputs.matrix(cross, name="k_test_train"), outputs.others(cross)
        mean = outputs.back(across @ vectors @ (filled[..., None] * along), sizes)
        return mean, lambda: zipped(
            _spread(name, across @ vectors, vectors, kept, filled, outputs, test, matrix), sizes
        )

    @broadcasting
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
    if is_array(across) and len(names) > 1:
        remedy = 'Give a namedtuple with nngp and ntk, or ask for get="nngp" alone'
        raise refused(
            "gradient_descent_mse_ensemble",
            f"a kernel_fn that gives {' and '.join(names)}",
            "an array",
            remedy,
        )
    return across, (
        part(kernel_fn(x_test, None, ("nngp",), **merged), "nngp") if compute_cov else None
    )


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
