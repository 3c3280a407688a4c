"""The adapter for people coming from neural-tangents: its documented dense-network cells,
against references in numpy and scipy and against its own numbers."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import learnmech_tangents as nt
import numpy as np
import pytest
import scipy.special
from learnmech_tangents import predict, stax

from learnmech.architectures import Mlp
from learnmech.architectures.scalings import NTK
from learnmech.errors import Refused
from learnmech.kernels.empirical import tangent_kernel

SENTENCE = r"^[^.]* needs .+, but got .+\. .+[.?]$"
KEY = jax.random.PRNGKey(0)
EXACT = 1e-10  # two exact formulas in float64, through a solve of a kernel of condition 1e4

# The sine regression of that library's cookbook.
X_TRAIN = np.linspace(-3, 2.4, 7)[:, None]
Y_TRAIN = np.sin(X_TRAIN) + 0.1 * np.cos(5 * X_TRAIN)
X_TEST = np.linspace(-3.2, 3.1, 9)[:, None]


def network(activation, depth, width=64, out=1):
    """The cookbook's dense network."""
    layers = [stax.Dense(width, W_std=1.5, b_std=0.05), activation]
    return stax.serial(*layers * depth, stax.Dense(out, W_std=1.5, b_std=0.05))


ERF1, RELU3 = network(stax.Erf(), 1), network(stax.Relu(), 3)


# --- kernels


def erf_duals(a, b, k):
    root = np.sqrt((1 + 2 * a) * (1 + 2 * b))
    return 2 / np.pi * np.arcsin(2 * k / root), 4 / np.pi / np.sqrt(root**2 - 4 * k**2)


def relu_duals(a, b, k):
    theta = np.arccos(np.clip(k / np.sqrt(a * b), -1, 1))
    return np.sqrt(a * b) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi), (
        np.pi - theta
    ) / (2 * np.pi)


def recursed(duals, depth, x1, x2, W=1.5, b=0.05):
    """NNGP and NTK of a dense network from the equations: K' = W^2 E ss' + b^2, T' = K' + W^2 T
    E s's'."""
    triple = [x1 @ x2.T / x1.shape[1], (x1**2).mean(axis=1)[:, None], (x2**2).mean(axis=1)[None]]
    k, p, q = (W**2 * one + b**2 for one in triple)
    t = k
    for _ in range(depth):
        (k, slope), p, q = duals(p, q, k), duals(p, p, p)[0], duals(q, q, q)[0]
        k, p, q = (W**2 * one + b**2 for one in (k, p, q))
        t = k + W**2 * slope * t
    return k, t


@pytest.mark.parametrize(
    "net, duals, depth",
    [(ERF1, erf_duals, 1), (network(stax.Erf(), 3), erf_duals, 3), (RELU3, relu_duals, 3)],
)
def test_kernels_of_dense_networks_are_those_of_the_recursion(net, duals, depth):
    kernel_fn = net[2]
    nngp, ntk = recursed(duals, depth, X_TEST, X_TRAIN)
    both = kernel_fn(X_TEST, X_TRAIN, ("ntk", "nngp"))
    assert both._fields == ("ntk", "nngp")
    # 1e-7: on a line of inputs all angles are near 0, where arccos of the reference keeps half its
    # digits
    tolerance = 1e-7 if duals is relu_duals else 1e-12
    np.testing.assert_allclose(both.nngp, nngp, rtol=tolerance)
    np.testing.assert_allclose(both.ntk, ntk, rtol=tolerance)
    whole = kernel_fn(X_TRAIN)
    np.testing.assert_allclose(whole.cov1, np.diag(whole.nngp), rtol=1e-13)
    assert whole.is_gaussian and whole.x1_is_x2 and whole.cov2 is None and whole.shape1 == (7, 1)
    np.testing.assert_array_equal(whole.ntk, kernel_fn(X_TRAIN, None, "ntk"))


SMOOTH = {
    "erf": (stax.Erf(1.3, 0.7, 0.4), lambda z: 1.3 * scipy.special.erf(0.7 * z) + 0.4),
    "sigmoid": (stax.Sigmoid_like(), lambda z: scipy.special.erf(z / 2.4020563531719796) / 2 + 0.5),
    "gelu": (stax.Gelu(), lambda z: z * scipy.special.ndtr(z)),
    "sin": (stax.Sin(1.2, 0.8), lambda z: 1.2 * np.sin(0.8 * z)),
    "sin-phase": (stax.Sin(1.2, 0.8, 0.3), lambda z: 1.2 * np.sin(0.8 * z + 0.3)),
    "cos-phase": (stax.Cos(1.1, 0.9, 0.5), lambda z: 1.1 * np.cos(0.9 * z + 0.5)),
    "monomial": (stax.Monomial(3), lambda z: z**3),
    "identity": (stax.Identity(), lambda z: z),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_the_kernel_of_an_activation_is_the_gaussian_integral_of_its_function(name):
    layer, s = SMOOTH[name]
    x1, x2 = np.array([[0.8, -0.3, 0.5]]), np.array([[0.2, 0.9, -0.4]])
    a, b, k = (
        float(1.2**2 * (u @ v.T / 3).item() + 0.3**2) for u, v in ((x1, x1), (x2, x2), (x1, x2))
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    u = np.sqrt(a) * nodes[:, None]
    v = k / np.sqrt(a) * nodes[:, None] + np.sqrt(b - k * k / a) * nodes

    def slope(z, step=1e-4):
        return (s(z - 2 * step) - 8 * s(z - step) + 8 * s(z + step) - s(z + 2 * step)) / (12 * step)

    product, bent = (float(weights @ (f(u) * f(v)) @ weights) for f in (s, slope))
    _, apply_fn, kernel_fn = stax.serial(stax.Dense(5, 1.2, 0.3), layer, stax.Dense(1, 0.7))
    found = kernel_fn(x1, x2)
    np.testing.assert_allclose(found.nngp.item(), 0.49 * product, rtol=1e-11)
    # 1e-9: the reference differentiates by differences
    np.testing.assert_allclose(found.ntk.item(), 0.49 * (product + k * bent), rtol=1e-9)
    np.testing.assert_allclose(layer[1]((), nodes), s(nodes), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("a, b", [(0.2, 1.0), (0.5, -1.0), (-1.0, 1.0), (2.0, 0.0), (0.0, 1.0)])
def test_the_kernel_of_a_broken_line_is_its_relu_parts(a, b):
    x1, x2 = np.array([[0.8, -0.3, 0.5]]), np.array([[0.2, 0.9, -0.4]])
    p, q, k = ((u @ v.T / 3).item() for u, v in ((x1, x1), (x2, x2), (x1, x2)))
    (same, bent), (crossed, turned) = relu_duals(p, q, k), relu_duals(p, q, -k)
    # s(z) = b relu(z) - a relu(-z)
    product, slope = (
        (a * a + b * b) * same - 2 * a * b * crossed,
        (a * a + b * b) * bent + 2 * a * b * turned,
    )
    found = stax.serial(stax.Dense(5), stax.ABRelu(a, b), stax.Dense(1))[2](x1, x2)
    np.testing.assert_allclose(
        [found.nngp.item(), found.ntk.item()], [product, product + k * slope], rtol=1e-12
    )


def residual(activation, width=32):
    branch = stax.serial(
        activation, stax.Dense(width, 1.3, 0.2), activation, stax.Dense(width, 1.1, 0.05)
    )
    return stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), branch), stax.FanInSum())


def test_the_kernel_of_a_residual_network_is_the_sum_over_its_branches_block_by_block():
    x = np.random.default_rng(0).standard_normal((5, 3))
    net = stax.serial(
        stax.Dense(32, 1.4, 0.1), residual(stax.Erf()), residual(stax.Erf()), stax.Dense(2, 1.5)
    )
    k = 1.96 * x @ x.T / 3 + 0.01
    t = k

    def dense(k, t, W, b):
        return W**2 * k + b**2, W**2 * (k + t) + b**2

    def erf(k, t):
        p = np.diag(k)
        new, slope = erf_duals(p[:, None], p, k)
        return new, slope * t

    for _ in range(2):
        branch = dense(*erf(*dense(*erf(k, t), 1.3, 0.2)), 1.1, 0.05)
        k, t = k + branch[0], t + branch[1]
    k, t = dense(k, t, 1.5, 0.0)
    found = net[2](x)
    np.testing.assert_allclose(found.nngp, k, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, t, rtol=1e-12)


def test_layers_act_on_kernels_and_may_be_compiled():
    step = stax.serial(stax.Relu(), stax.Dense(1, 1.5, 0.05))
    kernel = stax.Dense(1, 1.5, 0.05)[2](X_TEST, X_TRAIN)
    for _ in range(3):
        kernel = step[2](kernel)
    whole = RELU3[2](X_TEST, X_TRAIN)
    # 1e-7: between layers only covariances are handed on, of which an angle near 0 has half the
    # digits
    np.testing.assert_allclose(kernel.ntk, whole.ntk, rtol=1e-7)
    np.testing.assert_allclose(kernel.cov2, whole.cov2, rtol=1e-13)
    np.testing.assert_allclose(
        jax.jit(RELU3[2], static_argnums=(2,))(X_TEST, X_TRAIN, "ntk"), whole.ntk, rtol=1e-13
    )
    slope = jax.jit(jax.grad(lambda x: RELU3[2](x, X_TRAIN, "ntk").sum()))(jnp.asarray(X_TEST))
    step = 1e-5
    moved = [
        RELU3[2](X_TEST + sign * step * np.eye(9)[:, :1], X_TRAIN, "ntk").sum() for sign in (1, -1)
    ]
    np.testing.assert_allclose(
        slope[0, 0], (moved[0] - moved[1]) / (2 * step), rtol=1e-6
    )  # 1e-6: the error of the difference


def test_kernels_in_blocks_are_those_at_once(monkeypatch):
    net = stax.serial(stax.Dense(32, 1.4, 0.1), residual(stax.Relu()), stax.Dense(2, 1.5))
    rows = X_TEST[:8]
    whole = net[2](rows, X_TRAIN)
    monkeypatch.setattr("learnmech_tangents.infinite.ROWS", 4)
    tiled, square = net[2](rows, X_TRAIN), net[2](X_TRAIN)
    for name in ("nngp", "ntk", "cov1", "cov2"):
        np.testing.assert_allclose(getattr(tiled, name), getattr(whole, name), rtol=1e-14)
    assert square.cov2 is None and square.x1_is_x2
    np.testing.assert_allclose(
        nt.batch(RELU3[2], batch_size=4)(rows, X_TRAIN, "ntk"),
        RELU3[2](rows, X_TRAIN, "ntk"),
        rtol=1e-12,
    )
    stored = nt.batch(RELU3[2], 4, device_count=0, store_on_device=False)(X_TRAIN)
    assert isinstance(stored.ntk, np.ndarray)


def test_images_are_flattened():
    images = np.random.default_rng(0).standard_normal((4, 2, 3))
    init_fn, apply_fn, kernel_fn = stax.serial(stax.Flatten(), RELU3)
    shape, params = init_fn(KEY, (-1, 2, 3))
    assert shape == (-1, 1) and apply_fn(params, images).shape == (4, 1)
    np.testing.assert_array_equal(
        kernel_fn(images, None, "ntk"), RELU3[2](images.reshape(4, 6), None, "ntk")
    )


# --- finite networks


@pytest.mark.parametrize(
    "parameterization, s", [("ntk", (1, 1)), ("standard", (1, 1)), ("standard", (3, 2))]
)
def test_sampled_kernels_are_those_of_infinite_width_within_their_error(parameterization, s):
    kind = {"parameterization": parameterization}
    width = 200
    last = (s[0], 1) if parameterization == "standard" else (1, 1)
    net = stax.serial(
        stax.Dense(width, 1.5, 0.1, s=(1, s[0]), **kind),
        stax.Relu(),
        stax.Dense(2, 1.2, 0.2, s=last, **kind),
    )
    counts = 16 * np.arange(1, 9)
    running = nt.monte_carlo_kernel_fn(net[0], net[1], KEY, counts.tolist(), vmap_axes=0)(
        X_TRAIN[:3], X_TEST[:2]
    )
    totals = [count * np.stack(means) for count, means in zip(counts, running, strict=True)]
    samples = (
        np.diff(totals, axis=0, prepend=[np.zeros_like(totals[0])]) / 16
    )  # eight means of sixteen networks each
    mean, spread = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / math.sqrt(8)
    limit = np.stack([net[2](X_TRAIN[:3], X_TEST[:2], name) for name in ("nngp", "ntk")])
    # 5.5 standard errors of 7 degrees of freedom: below 1e-3 for one entry; one hidden layer has no
    # bias at finite width
    assert (np.abs(mean - limit) < 5.5 * spread + 1e-12).all()
    assert (spread < 0.1 * np.abs(limit).max()).all()


def test_sampling_at_several_numbers_yields_running_means():
    init_fn, apply_fn, _ = ERF1
    single = nt.monte_carlo_kernel_fn(init_fn, apply_fn, KEY, 3)(X_TEST, X_TRAIN, ("ntk",)).ntk
    running = list(
        nt.monte_carlo_kernel_fn(init_fn, apply_fn, KEY, [1, 3], batch_size=4)(
            X_TEST, X_TRAIN, "ntk"
        )
    )
    assert len(running) == 2
    np.testing.assert_allclose(running[1], single, rtol=1e-12)
    assert np.abs(running[0] - single).max() > 1e-3


@pytest.mark.parametrize("vmap_axes", [None, 0])
def test_empirical_kernels_are_those_of_the_same_network_in_the_bench(vmap_axes):
    init_fn, apply_fn, _ = network(stax.Erf(), 2, width=8, out=3)
    x = np.random.default_rng(0).standard_normal((4, 5))
    _, params = init_fn(KEY, (-1, 5))
    mine = {f"layer{i}": {"weight": W.T, "bias": b[0]} for i, (W, b) in enumerate(params[::2], 1)}
    native = Mlp(hidden=(8, 8), activation="erf", bias=True, scaling=NTK(weight=1.5, bias=0.05))
    np.testing.assert_allclose(apply_fn(params, x), native.forward(mine, x), rtol=1e-12)
    full = np.asarray(eqx.filter_jit(tangent_kernel)(native, mine, x, x[:2], full=True))
    forms = {((-1,), ()): "nmkk->nm", ((), ()): "nmkl->nmkl", ((), (-1,)): "nmkk->nmk"}

    @jax.jit
    def compiled(x, params):
        single = [
            nt.empirical_ntk_fn(apply_fn, *axes, vmap_axes)(x, x[:2], params) for axes in forms
        ]
        return single, nt.empirical_kernel_fn(apply_fn, vmap_axes=vmap_axes)(x, x[:2], None, params)

    single, both = compiled(x, params)
    for ((trace, _), form), found in zip(forms.items(), single, strict=True):
        np.testing.assert_allclose(
            found, np.einsum(form, full) / (3 if trace else 1), rtol=EXACT, atol=1e-13
        )
    np.testing.assert_allclose(both.ntk, np.einsum("nmkk->nm", full) / 3, rtol=EXACT)
    f = np.asarray(apply_fn(params, x))
    np.testing.assert_allclose(both.nngp, f @ f[:2].T / 3, rtol=1e-12)
    v = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(
        jax.jit(nt.empirical_ntk_vp_fn(apply_fn, x, x[:2], params))(v),
        np.einsum("nmkl,ml->nk", full, v),
        rtol=EXACT,
    )


def test_taylor_series_end_with_the_degree_of_a_polynomial():
    def f(params, x, power=1):
        return {"y": params["a"] ** 2 * params["b"] * x**power}

    start, other = (
        {"a": jnp.asarray(1.3), "b": jnp.asarray(0.7)},
        {"a": jnp.asarray(0.4), "b": jnp.asarray(-1.1)},
    )
    np.testing.assert_allclose(
        nt.taylor_expand(f, start, 3)(other, 2.0, power=2)["y"], f(other, 2.0, 2)["y"], rtol=1e-13
    )
    da, db = 0.4 - 1.3, -1.1 - 0.7
    linear = 1.3**2 * 0.7 + 2 * 1.3 * 0.7 * da + 1.3**2 * db
    np.testing.assert_allclose(nt.linearize(f, start)(other, 2.0)["y"], 2 * linear, rtol=1e-13)
    second = linear + 0.7 * da**2 + 2 * 1.3 * da * db
    np.testing.assert_allclose(
        nt.taylor_expand(f, start, 2)(other, 2.0)["y"], 2 * second, rtol=1e-13
    )


# --- refusals


def _fan(*branches):
    return stax.serial(
        stax.Dense(4), stax.FanOut(2), stax.parallel(*branches), stax.FanInSum(), stax.Dense(1)
    )[2](X_TRAIN)


BRANCH = stax.serial(stax.Relu(), stax.Dense(4))
REFUSED = [
    lambda: stax.serial(stax.Relu(), stax.Dense(1))[2](X_TRAIN),
    lambda: stax.serial(stax.Dense(1), stax.Erf(), stax.Erf())[2](X_TRAIN),
    lambda: _fan(stax.Identity(), stax.Identity()),
    lambda: _fan(stax.Relu(), stax.Identity()),
    lambda: stax.serial(
        stax.FanOut(2), stax.parallel(stax.Identity(), stax.Dense(1)), stax.FanInSum()
    )[2](X_TRAIN),
    lambda: stax.serial(stax.Dense(4), stax.FanOut(2), stax.Dense(1))[2](X_TRAIN),
    lambda: stax.serial(stax.Dense(4), stax.FanInSum())[2](X_TRAIN),
    lambda: stax.serial(stax.FanOut(3), stax.parallel(BRANCH, BRANCH))[0](KEY, (-1, 1)),
    lambda: stax.serial(
        stax.FanOut(2), stax.parallel(stax.Dense(2), stax.Dense(3)), stax.FanInSum()
    )[0](KEY, (-1, 1)),
    lambda: stax.serial(stax.Dense),
    lambda: stax.ConvLocal(3, (2, 2)),
    lambda: stax.Elementwise(),
    lambda: stax.repeat(BRANCH, 0),
    lambda: stax.repeat(BRANCH, 3)[0](KEY, (-1, 1)),
    lambda: stax.ElementwiseNumerical("tanh", 25),
    lambda: ERF1[2](X_TRAIN, None, ("ntk", "NTK")),
    lambda: ERF1[2](X_TRAIN, None, ()),
    lambda: nt.Kernel(nngp=np.eye(3)[0]),
    lambda: nt.Kernel(nngp=np.eye(3)[:2]),
    lambda: nt.Kernel(nngp=np.eye(3), cov1=np.ones(2)),
    lambda: nt.Kernel(nngp=np.eye(3), is_reversed=True),
    lambda: stax.Dense(3, channel_axis=0),
    lambda: stax.Dense(3, parameterization="mup"),
    lambda: stax.Monomial(7),
    lambda: ERF1[2](X_TRAIN, X_TRAIN, "ntkgp"),
    lambda: ERF1[2](X_TRAIN, np.zeros((3, 2))),
    lambda: ERF1[2](np.zeros(3)),
    lambda: ERF1[2](np.array([[np.nan]])),
    lambda: ERF1[2](X_TRAIN, mask_constant=1.0),
    lambda: ERF1[2]([X_TRAIN, X_TRAIN]),
    lambda: nt.batch(ERF1[2], batch_size=-1),
    lambda: nt.batch(ERF1[2], device_count=10_000),
    lambda: nt.taylor_expand(ERF1[1], [], -1),
    lambda: nt.empirical_nngp_fn(lambda params, x: x, trace_axes=(3,))(X_TRAIN, None, ()),
    lambda: nt.empirical_nngp_fn(lambda params, x: x, trace_axes=(1,), diagonal_axes=(1,))(
        X_TRAIN, None, ()
    ),
    lambda: nt.monte_carlo_kernel_fn(ERF1[0], ERF1[1], KEY, 0),
    lambda: predict.gradient_descent_mse(np.eye(4), Y_TRAIN),
    lambda: predict.gradient_descent_mse(np.eye(7), Y_TRAIN)(1.0, 0.0, 0.0),
    lambda: predict.gradient_descent_mse(np.zeros((7, 7)), Y_TRAIN)(
        None, 0.0, 0.0, np.zeros((3, 7))
    ),
    lambda: predict.gp_inference(np.eye(7), Y_TRAIN)("ntk", np.zeros((3, 7)), np.eye(3)),
    lambda: predict.gp_inference(ERF1[2](X_TRAIN, None, ("nngp",)), Y_TRAIN)(
        "ntk", ERF1[2](X_TEST, X_TRAIN)
    ),
    lambda: predict.gradient_descent(lambda f, y: jnp.sum(f), np.eye(7), Y_TRAIN)(
        np.array([2.0, 1.0])
    ),
    lambda: predict.gradient_descent(lambda f, y: jnp.sum(f), np.eye(7), Y_TRAIN)(
        1.0, predict.ODEState(0.0, None, 0.0)
    ),
    lambda: predict.max_learning_rate(np.zeros((3, 2))),
]


@pytest.mark.parametrize("ask", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_said_in_one_sentence_with_a_remedy(ask):
    with pytest.raises(Refused, match=SENTENCE):
        ask()
