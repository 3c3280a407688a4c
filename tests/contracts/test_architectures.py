"""Architectures and the landscape they make, against plain numpy and finite differences."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

import learnmech as lm
from learnmech import architectures, data, initial, rules, scalings
from learnmech.activations.functions import ACTIVATIONS, activation
from learnmech.curvature.eigenpairs import sharpness
from learnmech.data.base import Drawn, View
from learnmech.errors import Refused
from learnmech.language import trees
from learnmech.losses import Squared
from learnmech.system.landscape import hessian_matrix, landscape

ERF = np.vectorize(math.erf)
# each activation as numpy writes it
FORMULAS = {
    "linear": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky-relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "leaky-relu:0.2": lambda z: np.where(z > 0, z, 0.2 * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "erf": ERF,
    "gelu": lambda z: z * (1 + ERF(z / np.sqrt(2))) / 2,
    "gelu-tanh": lambda z: z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2,
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "hardtanh": lambda z: np.clip(z, -1, 1),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "swish": lambda z: z / (1 + np.exp(-z)),
    "sin": np.sin,
    "cos": np.cos,
    "square": lambda z: z**2,
    "cube": lambda z: z**3,
    "monomial:4": lambda z: z**4,
}
Z = np.linspace(
    -2.9, 3.1, 13
)  # keeps half a tenth away from the kink at 0, where a derivative is a convention
SCALINGS = {
    "sp": scalings.SP(),
    "ntk": scalings.NTK(weight=1.3, bias=0.7),
    "mean-field": scalings.MeanField(),
    "mup": scalings.MuP(),
}


# as they are before any test adds one of its own
KNOWN = tuple(ACTIVATIONS)


def test_every_activation_has_a_formula_here():
    assert set(KNOWN) <= set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_is_its_formula(name):
    # round-off of a few operations on numbers up to 3.1^4
    np.testing.assert_allclose(
        activation(name)(jnp.asarray(Z)), FORMULAS[name](Z), rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_the_derivative_of_an_activation_is_its_slope(name):
    step = 1e-5
    slope = (FORMULAS[name](Z + step) - FORMULAS[name](Z - step)) / (2 * step)
    # central differences: step^2 f'''/6 <= 2e-9 and eps |f|/step <= 2e-9 up to z^4 at 3.1
    np.testing.assert_allclose(
        jax.vmap(jax.grad(activation(name)))(jnp.asarray(Z)), slope, atol=1e-8
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_keeps_single_precision(name):
    assert activation(name)(jnp.asarray(Z, jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize(
    "name", ["tahn", "monomial:0", "monomial:x", "relu:2", "leaky-relu:steep", ""]
)
def test_an_unknown_activation_is_refused(name):
    with pytest.raises(Refused, match=r"^An activation needs a known name, but got .*\. .*[.?]$"):
        activation(name)


def multipliers(scaling, index, depth, fan_in, fan_out):
    """(weight, bias) multipliers of a layer, written from the definitions of the scalings."""
    if scaling == "ntk":
        return 1.3 / np.sqrt(fan_in), 0.7
    if scaling == "mean-field":
        return (1.0, 1.0) if index == 1 else (1 / fan_in, 1.0)
    if scaling == "mup":
        if index == depth:
            return 1 / np.sqrt(fan_in), 1.0
        return (np.sqrt(fan_out), np.sqrt(fan_out)) if index == 1 else (1.0, np.sqrt(fan_in))
    return 1.0, 1.0


def numpy_signals(kind, scaling, params, X, s, branch=1.0):
    """Every signal of a forward pass, by hand: {name: array}."""
    depth, h, seen = len(params), X, {}
    for index in range(1, depth + 1):
        layer = params[f"layer{index}"]
        fan_out, fan_in = layer["weight"].shape
        p, q = multipliers(scaling, index, depth, fan_in, fan_out)
        z = p * h @ layer["weight"].T + q * layer.get("bias", 0.0)
        seen[f"layer{index}.pre"] = z
        if kind == "residual":
            h = z if index in (1, depth) else h + branch * s(z)
        else:
            h = z if index == depth else s(z)
        seen["output" if index == depth else f"layer{index}.post"] = h
    return seen


def some_params(architecture, d=3, k=2):
    """Normal entries in every array, biases included."""
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda w: rng.standard_normal(w.shape), architecture.init(rng, d, k))


X = np.random.default_rng(1).standard_normal((6, 3))
DENSE = [
    (
        "mlp",
        lambda s: architectures.Mlp(hidden=(4,), bias=True, scaling=s),
        np.tanh,
        "sp ntk mean-field mup",
    ),
    (
        "mlp",
        lambda s: architectures.Mlp(hidden=(4, 5), bias=True, activation="softplus", scaling=s),
        FORMULAS["softplus"],
        "sp ntk mup",
    ),
    ("mlp", lambda s: architectures.Mlp(hidden=(4,), scaling=s), np.tanh, "sp ntk mean-field mup"),
    (
        "residual",
        lambda s: architectures.Residual(
            width=4, blocks=2, activation="tanh", branch=0.3, bias=True, scaling=s
        ),
        np.tanh,
        "sp ntk mup",
    ),
    ("deep-linear", lambda s: architectures.DeepLinear(scaling=s), FORMULAS["linear"], "sp ntk"),
    (
        "deep-linear",
        lambda s: architectures.DeepLinear(hidden=(4,), scaling=s),
        FORMULAS["linear"],
        "sp ntk mean-field mup",
    ),
    (
        "deep-linear",
        lambda s: architectures.DeepLinear(hidden=(4, 1, 5), scaling=s),
        FORMULAS["linear"],
        "sp ntk mup",
    ),
]
CASES = [(kind, make, s, scaling) for kind, make, s, names in DENSE for scaling in names.split()]


@pytest.mark.parametrize(
    "kind, make, s, scaling",
    CASES,
    ids=[f"{kind}-{scaling}-{i}" for i, (kind, _, _, scaling) in enumerate(CASES)],
)
def test_every_signal_of_a_forward_pass_is_as_by_hand(kind, make, s, scaling):
    architecture = make(SCALINGS[scaling])
    params = some_params(architecture)
    expected = numpy_signals(kind, scaling, params, X, s, branch=0.3)
    signals = architecture.signals(params, jnp.asarray(X))
    assert list(signals) == list(expected)
    for name, value in expected.items():
        # sums of up to 5 products, through up to 4 layers
        np.testing.assert_allclose(signals[name], value, rtol=1e-13, atol=1e-13)
    assert np.array_equal(architecture.forward(params, jnp.asarray(X)), signals["output"])
    if architecture.is_linear:
        np.testing.assert_allclose(
            X @ np.asarray(architecture.matrix(params)).T,
            expected["output"],
            rtol=1e-13,
            atol=1e-13,
        )


def test_a_diagonal_network_is_the_difference_of_squares():
    architecture = architectures.Diagonal()
    params = some_params(architecture, k=1)
    u, v = params["layer1"]["u"], params["layer1"]["v"]
    signals = architecture.signals(params, jnp.asarray(X))
    assert set(signals) == {"layer1.pre", "output"}
    np.testing.assert_allclose(
        signals["output"][:, 0],
        sum((u[i] ** 2 - v[i] ** 2) * X[:, i] for i in range(3)),
        rtol=1e-13,
        atol=1e-13,
    )
    with pytest.raises(Refused, match="one output"):
        architecture.init(np.random.default_rng(0), 3, 2)


def test_what_a_tap_returns_is_what_the_next_layer_sees():
    architecture = architectures.Mlp.example()
    params = some_params(architecture)
    ablated = architecture.forward(
        params, jnp.asarray(X), lambda name, value: 0 * value if name == "layer1.post" else value
    )
    assert np.array_equal(ablated, np.broadcast_to(params["layer2"]["bias"], (6, 2)))


def samples(n=12, d=3, k=2, rank=None, noise=0.1):
    """Training samples alone, with inputs of a given rank."""
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((n, rank or d)) @ rng.standard_normal((rank or d, d))
    return Drawn(
        View(inputs, inputs @ rng.standard_normal((d, k)) + noise * rng.standard_normal((n, k)))
    )


def experiment(architecture, k=2, **changes):
    return lm.Experiment(
        architecture,
        data.Gaussian(n=12, d=3, k=k, noise=0.1),
        rules.GradientDescent.example(),
        lm.Clock(steps=1, marks=2),
        **changes,
    )


LANDSCAPES = {
    "mlp": experiment(
        architectures.Mlp(hidden=(4, 3), activation="gelu", bias=True, scaling=scalings.MuP()),
        loss=Squared(scaling="sum", ridge=0.3),
    ),
    "residual": experiment(
        architectures.Residual(width=4, blocks=2, activation="softplus", bias=True),
        loss=Squared(scaling="mean"),
    ),
    "deep-linear": experiment(
        architectures.DeepLinear(hidden=(4, 3), scaling=scalings.NTK()),
        loss=Squared(scaling="half-sum", ridge=0.3),
    ),
    "diagonal": experiment(architectures.Diagonal(), k=1, initial=initial.SmallGaussian(std=0.5)),
}


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_gradient_is_how_the_loss_changes_and_the_hessian_how_the_gradient_does(name):
    start = lm.prepare(LANDSCAPES[name])
    flat, unflatten = flatten_util.ravel_pytree(start.state.params)
    here = jax.jit(
        lambda w: [
            flatten_util.ravel_pytree(x)[0] for x in start.system.value_and_gradient(unflatten(w))
        ]
    )
    gradient, matrix, step = (
        np.asarray(here(flat)[1]),
        hessian_matrix(start.system, start.state.params),
        1e-5,
    )
    # round-off of second derivatives summed in two orders
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12 * abs(matrix).max())
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(flat.size)
        (up, ahead), (down, behind) = (
            map(np.asarray, here(flat + sign * step * direction)) for sign in (1, -1)
        )
        # central differences of step 1e-5: round-off eps/step = 2e-11 and curvature step^2 = 1e-10,
        # relative, with a margin
        assert float((up - down)[0]) / (2 * step) == pytest.approx(
            gradient @ direction, abs=1e-7 * np.linalg.norm(gradient) * np.linalg.norm(direction)
        )
        np.testing.assert_allclose(
            matrix @ direction,
            (ahead - behind) / (2 * step),
            atol=1e-7 * abs(matrix @ direction).max(),
        )


# residuals of 1e-10 and of 100 round-offs, squared over a gap, and round-off; with a margin
@pytest.mark.parametrize(
    "hidden, precision, tolerance",
    [((4,), "float64", 1e-9), ((16,), "float64", 1e-9), ((16,), "float32", 1e-4)],
)
def test_sharpness_is_the_largest_eigenvalue_of_the_dense_hessian(hidden, precision, tolerance):
    start = lm.prepare(experiment(architectures.Mlp(hidden=hidden, bias=True), precision=precision))
    flat, unflatten = flatten_util.ravel_pytree(start.state.params)
    assert (flat.size > 64) == (hidden == (16,))  # formed below, searched above
    dense = jax.jit(jax.hessian(lambda w: start.system.loss(unflatten(w))))(flat)
    assert sharpness(start.system, start.state.params) == pytest.approx(
        np.linalg.eigvalsh(np.asarray(dense, np.float64))[-1], rel=tolerance
    )


@eqx.filter_jit
def on_samples(system, params):
    return jax.value_and_grad(
        lambda p: system.loss_on(p, system.train) + system.loss_function.penalty(p)
    )(params)


@eqx.filter_jit
def as_reduced(system, params):
    return system.value_and_gradient(params)


@pytest.mark.parametrize("rank", [3, 2, 1])
@pytest.mark.parametrize(
    "loss", [Squared(), Squared(scaling="sum", ridge=0.3)], ids=["half-mean", "sum-ridge"]
)
def test_the_reduced_loss_is_the_loss_on_the_samples(rank, loss):
    architecture = architectures.DeepLinear.example()
    drawn = samples(rank=rank)
    assert np.linalg.matrix_rank(drawn.train.X) == rank
    system = landscape(architecture, loss, drawn, jnp.float64)
    assert system.reduced is not None
    params = some_params(architecture)
    (one, slope), (two, other) = on_samples(system, params), as_reduced(system, params)
    # an orthogonal factor is applied and taken off again: a few eps
    assert float(two) == pytest.approx(float(one), rel=1e-13)
    for path, leaf in trees.leaves_by_path(slope).items():
        np.testing.assert_allclose(trees.leaves_by_path(other)[path], leaf, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("rank", [3, 2])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_reduced_loss_at_its_minimum_is_what_the_samples_leave_and_never_negative(
    dtype, rank, noise
):
    drawn = samples(n=40, rank=rank, noise=noise)
    system = landscape(architectures.DeepLinear(), Squared(scaling="sum"), drawn, dtype)
    best = np.linalg.lstsq(drawn.train.X, drawn.train.Y, rcond=1e-10)[0].T
    for scale in (0.0, 1e-9, 1e-8):
        nudge = scale * np.random.default_rng(3).standard_normal(best.shape)
        seen = float(system.loss({"layer1": {"weight": jnp.asarray(best + nudge, dtype)}}))
        left = np.sum((drawn.train.Y - drawn.train.X @ best.T) ** 2)
        assert seen >= 0
        # the square of errors of a few eps in numbers of size 10, plus the floor to a few eps
        assert seen == pytest.approx(
            left,
            rel=20 * float(jnp.finfo(dtype).eps),
            abs=40 * 80 * (100 * float(jnp.finfo(dtype).eps) + 1e-8) ** 2,
        )


def test_no_more_samples_than_inputs_and_weighted_samples_are_not_reduced():
    architecture, drawn = architectures.DeepLinear.example(), samples(n=3)
    assert landscape(architecture, Squared(), drawn, jnp.float64).reduced is None
    weighted = Drawn(View(*(np.ones((12, c)) for c in (3, 2, 2))))
    assert landscape(architecture, Squared(), weighted, jnp.float64).reduced is None
    assert landscape(architectures.Mlp.example(), Squared(), samples(), jnp.float64).reduced is None


@pytest.mark.parametrize(
    "kind, make, s, scaling",
    CASES,
    ids=[f"{kind}-{scaling}-{i}" for i, (kind, _, _, scaling) in enumerate(CASES)],
)
def test_a_system_in_single_precision_stays_in_it(kind, make, s, scaling):
    architecture = make(SCALINGS[scaling])
    system = landscape(architecture, Squared(ridge=0.1), samples(), jnp.float32)
    params = jax.tree.map(lambda w: jnp.asarray(w, jnp.float32), some_params(architecture))
    loss, gradient = jax.eval_shape(system.value_and_gradient, params)
    assert {loss.dtype, *(leaf.dtype for leaf in jax.tree.leaves(gradient))} == {
        jnp.dtype("float32")
    }
    assert all(
        signal.dtype == jnp.float32
        for signal in jax.eval_shape(architecture.signals, params, system.train.X).values()
    )
