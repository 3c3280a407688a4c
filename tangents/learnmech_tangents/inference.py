"""Inference: what a Gaussian process of a kernel says after seeing the training set, and wide
networks trained for ever."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from learnmech.errors import refused
from learnmech.language.trees import Array
from learnmech_tangents.kernel import given, wanted
from learnmech_tangents.outputs import Outputs, flat, regularized, solver, zipped
from learnmech_tangents.predicting import KINDS, broadcasting, once, part, targets


class Gaussian(NamedTuple):
    """Mean, of the shape of the outputs, and covariance, of the shape of their kernel."""

    mean: Float[Array, "..."]
    covariance: Float[Array, "..."]


def gp_inference(
    k_train_train,
    y_train: Float[Array, "..."],
    diag_reg: float = 0.0,
    diag_reg_absolute_scale: bool = False,
    trace_axes=(-1,),
):
    """predict_fn(get=None, k_test_train=None, k_test_test=None): mean, or with k_test_test
    Gaussian(mean, covariance), of

    nngp: the posterior of the Gaussian process of covariance K, A = (K + reg)^-1: K_sd A y,
    K_ss - K_sd A K_ds; ntk: the ensemble of wide networks trained for ever, S = T_sd (T + reg)^-1:
    S y, K_ss + S K S' - S K_ds - K_sd S'; ntkgp: the posterior of covariance T. reg = diag_reg
    mean(diag), or diag_reg if absolute. get=None is ("nngp", "ntk"). Without k_test_train, of the
    training set: y, and no covariance left. Kernels come as `Kernel`, namedtuples, or arrays where
    one name suffices.
    """
    y = targets(y_train)
    outputs = Outputs.of(y, trace_axes)
    train = once(lambda name: outputs.matrix(part(k_train_train, name)))
    solve = once(
        lambda name: solver(
            regularized(train(name), diag_reg, diag_reg_absolute_scale),
            "gp_inference",
            train(name).dtype,
        )
    )

    def one(name, k_test_train, k_test_test):
        kind = "ntk" if name == "ntkgp" else name
        if k_test_train is None:
            # refuses a singular kernel: trained for ever it does not come to rest at y
            solve(kind)
            if k_test_test is None:
                return y
            m = len(train(kind))
            return Gaussian(y, zipped(jnp.zeros((m, m)), outputs.sizes))
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
        raw = jnp.asarray(part(k_test_train, kind))
        sizes, across = outputs.others(raw), outputs.matrix(raw, name="k_test_train")
        mean = outputs.back(across @ solve(kind)(outputs.rows(y)), sizes)
        if k_test_test is None:
            return mean
        test = flat(jnp.asarray(part(k_test_test, "ntk" if name == "ntkgp" else "nngp")))
        answer = solve(kind)(across.T)
        if name == "ntk":
            other = (
                outputs.matrix(jnp.asarray(part(k_test_train, "nngp")), name="k_test_train")
                @ answer
            )
            covariance = test + answer.T @ train("nngp") @ answer - other - other.T
        else:
            covariance = test - across @ answer
        return Gaussian(mean, zipped(covariance, sizes))

    @broadcasting
    def predict_fn(get=None, k_test_train=None, k_test_test=None):
        names = wanted("gp_inference", get, ("nngp", "ntk", "ntkgp"), KINDS)
        return given(get, names, (one(name, k_test_train, k_test_test) for name in names))

    return predict_fn
