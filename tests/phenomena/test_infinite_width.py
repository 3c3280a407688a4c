"""The infinitely wide network: kernels against the recursion in 50 digits, at degenerate inputs,
and against finite networks drawn wider and wider."""

import functools

import gaussian_reference as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learnmech.architectures import DeepLinear, Diagonal, Mlp, Residual
from learnmech.architectures.scalings import NTK, SP
from learnmech.errors import Refused
from learnmech.theories.infinite_width import kernel

SENTENCE = r"^[^.]* needs .+, but got .+\. .+[.?]$"
# Weights near the edge of chaos of each, so that ten layers neither flatten nor blow up.
WEIGHTS = {
    "linear": 1.0,
    "relu": 1.4,
    "leaky-relu:0.2": 1.4,
    "erf": 1.3,
    "gelu": 1.4,
    "sin": 1.6,
    "cos": 1.6,
}
BIASES = ((1.0, False), (0.3, True))


def dense(name, depth, sw, sb=1.0, bias=False):
    return Mlp(hidden=(64,) * depth, activation=name, bias=bias, scaling=NTK(weight=sw, bias=sb))


def pair(architecture, x1=reference.X1, x2=reference.X2):
    """(nngp, ntk) at one pair of inputs."""
    found = kernel(architecture, np.asarray([x1]), np.asarray([x2]))
    return found.nngp.item(), found.ntk.item()


def inputs(n, d=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("sb, bias", BIASES)
@pytest.mark.parametrize("name", WEIGHTS)
def test_dense_kernels_are_those_of_fifty_digits(name, sb, bias):
    sw, deepest = (
        WEIGHTS[name],
        10 if name in ("relu", "gelu") else 3,
    )  # one of each kind goes deep: an error would have grown there
    exact = [
        reference.depths_nngp_ntk(name, x1, reference.X2, deepest, sw, sb, bias)
        for x1 in (reference.X1, reference.X2)
    ]
    for depth in (1, 2, deepest):
        found = kernel(
            dense(name, depth, sw, sb, bias),
            np.array([reference.X1, reference.X2]),
            np.array([reference.X2]),
        )
        # 1e-10: the promise at generic pairs.
        np.testing.assert_allclose(
            np.hstack(found),
            [[float(value) for value in one[depth]] for one in exact],
            rtol=1e-10,
            atol=0,
        )
    if bias:  # an input with itself alone, where all have one norm
        alone = pair(dense(name, 2, sw, sb, bias), reference.X2, reference.X2)
        np.testing.assert_allclose(
            alone, [float(value) for value in exact[1][2]], rtol=1e-10, atol=0
        )


@pytest.mark.parametrize(
    "case", reference.DEEP, ids=lambda case: f"{case[0]}-{'bias' if case[-1] else 'plain'}"
)
def test_dense_kernels_by_quadrature_are_those_of_fifty_digits(case):
    name, x1, x2, _, *scales = case
    exact = reference.kept("depths_nngp_ntk", *case)
    for depth in (1, 3) if case[-1] else (10,):
        np.testing.assert_allclose(
            pair(dense(name, depth, *scales)),
            [float(value) for value in exact[depth]],
            rtol=1e-10,
            atol=0,
        )


@pytest.mark.parametrize("sb, bias", BIASES)
@pytest.mark.parametrize(
    "name, sw, branch",
    [
        ("relu", 1.2, 0.7),
        ("gelu", 1.1, -0.8),
        ("cos", 1.1, 1.0),
        ("erf", 1.3, 0.5),
        ("linear", 0.9, 0.6),
    ],
)
def test_residual_kernels_are_those_of_fifty_digits(name, sw, branch, sb, bias):
    for blocks in (1, 3):
        architecture = Residual(
            width=64,
            blocks=blocks,
            activation=name,
            branch=branch,
            bias=bias,
            scaling=NTK(weight=sw, bias=sb),
        )
        exact = reference.residual_nngp_ntk(
            name, reference.X1, reference.X2, blocks, sw, sb, bias, branch
        )
        np.testing.assert_allclose(
            pair(architecture), [float(value) for value in exact], rtol=1e-10, atol=0
        )


@pytest.mark.parametrize("case", reference.BLOCKS, ids=lambda case: case[0])
def test_residual_kernels_by_quadrature_are_those_of_fifty_digits(case):
    name, _, _, blocks, sw, sb, bias, branch = case
    architecture = Residual(
        width=64,
        blocks=blocks,
        activation=name,
        branch=branch,
        bias=bias,
        scaling=NTK(weight=sw, bias=sb),
    )
    np.testing.assert_allclose(
        pair(architecture),
        [float(value) for value in reference.kept("residual_nngp_ntk", *case)],
        rtol=1e-10,
        atol=0,
    )


def test_deep_linear_kernels_grow_with_depth_as_counted_by_hand():
    X, sw = inputs(5), 1.3
    for layers in (1, 2, 4):
        found = kernel(DeepLinear(hidden=(64,) * (layers - 1), scaling=NTK(weight=sw)), X)
        nngp = sw ** (2 * layers) * X @ X.T / 4
        # Each of the layers adds the same term to the NTK; a few roundings per layer, relative to
        # the largest entry since X X' cancels.
        np.testing.assert_allclose(found.nngp, nngp, rtol=1e-14, atol=1e-14 * nngp.max())
        np.testing.assert_allclose(
            found.ntk, layers * nngp, rtol=1e-14, atol=1e-14 * layers * nngp.max()
        )


def test_width_does_not_enter():
    X, ntk = inputs(4), NTK()
    pairs = (
        (Mlp(hidden=(3, 5), scaling=ntk), Mlp(hidden=(70, 80), scaling=ntk)),
        (Residual(width=2, scaling=ntk), Residual(width=99, scaling=ntk)),
    )
    for narrow, wide in pairs:
        assert all(np.array_equal(a, b) for a, b in zip(kernel(narrow, X), kernel(wide, X)))


@pytest.mark.parametrize(
    "name, depth", [("relu", 1), ("relu", 3), ("relu", 10), ("leaky-relu:0.2", 3)]
)
def test_rectifiers_are_exact_at_coincident_opposite_and_collinear_inputs(name, depth):
    x = inputs(1, d=5, seed=depth)[0]
    rows = [x, x, -x, 3 * x]
    # Generic inputs beside them, enough for whatever is done only when there are many.
    X = np.concatenate([rows, inputs(300, d=5, seed=9)])
    architecture = dense(name, depth, 1.4)
    for found in (
        kernel(architecture, np.array(rows)),
        kernel(architecture, X),
        kernel(architecture, X, X.copy()),
        kernel(architecture, X[:4], X),
    ):
        for i in range(4):
            for j in range(4):
                nngp, ntk = (
                    float(value) for value in reference.nngp_ntk(name, rows[i], rows[j], depth, 1.4)
                )
                size = np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]) / (x @ x)
                _, top = (float(value) for value in reference.nngp_ntk(name, x, x, depth, 1.4))
                # Opposite inputs add up to 0 in part: relative to the value at coincidence.  A few
                # roundings per layer.
                assert abs(found.nngp[i, j] - nngp) <= 1e-14 * max(1, depth / 3) * top * size, (
                    i,
                    j,
                )
                assert abs(found.ntk[i, j] - ntk) <= 1e-14 * max(1, depth / 3) * top * size, (i, j)


@pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "softplus"])
def test_smooth_activations_are_exact_at_coincident_and_opposite_inputs(name):
    x = np.array(reference.X1)
    rows = [x, x, -x]
    found = kernel(dense(name, 1, 1.3), np.array(rows))
    for i, j in ((0, 0), (0, 1), (1, 0), (0, 2), (2, 1), (2, 2)):
        exact = [float(value) for value in reference.nngp_ntk(name, rows[i], rows[j], 1, 1.3)]
        np.testing.assert_allclose(
            [found.nngp[i, j], found.ntk[i, j]], exact, rtol=2e-12
        )  # twice the stated accuracy of quadrature


@pytest.mark.parametrize("name", ["relu", "gelu", "cos", "erf"])
def test_an_input_of_nothing_has_the_kernels_of_a_constant(name):
    x, nothing = np.array(reference.X1), np.zeros(3)
    for bias in (False, True):
        found = kernel(dense(name, 2, 1.3, 0.4, bias), np.array([x, nothing]))
        for i, j in ((0, 1), (1, 1)):
            exact = [
                float(value)
                for value in reference.nngp_ntk(name, (x, nothing)[i], nothing, 2, 1.3, 0.4, bias)
            ]
            np.testing.assert_allclose(
                [found.nngp[i, j], found.ntk[i, j]], exact, rtol=1e-10, atol=0
            )


def test_many_inputs_at_once_get_the_kernels_of_each_pair():
    depth = 10
    X = inputs(1200, d=6, seed=2) * np.random.default_rng(3).uniform(0.1, 5, (1200, 1))
    found = kernel(dense("relu", depth, 1.4), X)
    for i, j in ((0, 1), (17, 1100), (555, 556), (1199, 3), (600, 600)):
        exact = [float(value) for value in reference.nngp_ntk("relu", X[i], X[j], depth, 1.4)]
        np.testing.assert_allclose([found.nngp[i, j], found.ntk[i, j]], exact, rtol=1e-10)


def test_inputs_of_one_norm_get_the_kernels_of_each_pair():
    X = inputs(300, d=3, seed=4)
    X *= np.linalg.norm(reference.X1) / np.linalg.norm(X, axis=1, keepdims=True)
    X[0], X[1] = reference.X1, reference.X1_TURNED
    name, _, _, depth, *scales = reference.ONE_NORM
    found = kernel(dense(name, depth, *scales), X)
    exact = [
        float(value) for value in reference.kept("depths_nngp_ntk", *reference.ONE_NORM)[depth]
    ]
    np.testing.assert_allclose([found.nngp[0, 1], found.ntk[0, 1]], exact, rtol=1e-10)
    for i, j in ((5, 6), (17, 250), (3, 3)):
        np.testing.assert_allclose(
            [found.nngp[i, j], found.ntk[i, j]],
            pair(dense(name, depth, *scales), X[i], X[j]),
            rtol=1e-10,
        )


def some():
    """One architecture of every kind, with and without biases, by closed forms and by
    quadrature."""
    ntk = NTK(weight=1.3, bias=0.4)
    yield Mlp(hidden=(8, 8), activation="relu", scaling=ntk)
    yield Mlp(hidden=(8, 8), activation="tanh", bias=True, scaling=ntk)
    yield Mlp(hidden=(8,), activation="gelu", bias=True, scaling=ntk)
    yield DeepLinear(hidden=(8,), scaling=ntk)
    yield Residual(width=8, blocks=2, activation="softplus", bias=True, scaling=ntk)
    yield Residual(width=8, blocks=3, activation="relu", branch=-0.7, scaling=ntk)


@pytest.mark.parametrize("architecture", list(some()), ids=lambda part: f"{type(part).__name__}")
def test_kernels_of_a_set_with_itself_are_symmetric_and_positive(architecture):
    X = inputs(40)
    X[7], X[8], X[9] = (
        X[3],
        -X[4],
        0,
    )  # duplicates, opposites and nothing at all make the kernel singular, never indefinite
    for value in kernel(architecture, X):
        assert (
            value.shape == (40, 40) and value.dtype == np.float64 and isinstance(value, np.ndarray)
        )
        assert np.array_equal(value, value.T)
        # of a pair and its mirror a fused multiply-add rounds the two cross terms of a residual
        # stream in another order
        np.testing.assert_allclose(value[7], value[3], rtol=1e-15)
        eigenvalues = np.linalg.eigvalsh(value)
        # The rounding of 40 x 40 entries, or 1e-12 of each by quadrature.
        assert eigenvalues[0] >= -4e-12 * eigenvalues[-1]


@pytest.mark.parametrize("architecture", list(some()), ids=lambda part: f"{type(part).__name__}")
def test_blocks_between_two_sets_are_blocks_of_the_square(architecture):
    X, at = (
        inputs(40, seed=1),
        16 if getattr(architecture, "activation", "") == "relu" else 20,
    )  # closed forms in unequal blocks
    square, block = kernel(architecture, X), kernel(architecture, X[:at], X[at:])
    for whole, part in zip(square, block):
        assert part.shape == (at, 40 - at)
        # A sum in another order: a rounding; quadrature on another grid: 1e-12 of the largest.
        np.testing.assert_allclose(part, whole[:at, at:], rtol=1e-13, atol=2e-12 * whole.max())
    for one, other in zip(kernel(architecture, X[at:], X[:at]), block):
        np.testing.assert_allclose(one, other.T, rtol=1e-13, atol=2e-12 * np.abs(other).max())


def test_one_kernel_asked_alone_is_the_same():
    X, architecture = inputs(6), Mlp(hidden=(8, 8), activation="erf", scaling=NTK())
    both = kernel(architecture, X)
    np.testing.assert_allclose(kernel(architecture, X, get=("nngp",)).nngp, both.nngp, rtol=1e-15)
    np.testing.assert_allclose(kernel(architecture, X, get=("ntk",)).ntk, both.ntk, rtol=1e-15)
    np.testing.assert_allclose(
        kernel(architecture, X, X[:2], get=("ntk", "nngp")).ntk, both.ntk[:, :2], rtol=1e-14
    )


def test_single_precision_inputs_are_computed_in_double():
    X = inputs(5).astype(np.float32)
    for single, double in zip(
        kernel(dense("relu", 2, 1.4), X), kernel(dense("relu", 2, 1.4), X.astype(float))
    ):
        assert single.dtype == np.float64 and np.array_equal(single, double)


def test_the_standard_parametrization_has_the_nngp_and_no_ntk():
    architecture = Mlp(
        hidden=(64, 64), activation="relu", bias=True, scaling=SP()
    )  # its biases start at 0
    found = kernel(architecture, np.array([reference.X1]), np.array([reference.X2]), get=("nngp",))
    exact = float(reference.nngp_ntk("relu", reference.X1, reference.X2, 2, 1.0, 0.0)[0])
    np.testing.assert_allclose(found.nngp.item(), exact, rtol=1e-13)
    for get in (("ntk",), ("nngp", "ntk")):
        with pytest.raises(Refused, match=SENTENCE):
            kernel(architecture, inputs(3), get=get)


FINITE = {
    "dense": lambda h: Mlp(
        hidden=(h, h), activation="relu", bias=True, scaling=NTK(weight=1.4, bias=0.3)
    ),
    "residual": lambda h: Residual(
        width=h,
        blocks=2,
        activation="gelu",
        bias=True,
        branch=0.8,
        scaling=NTK(weight=1.2, bias=0.3),
    ),
}
WIDTHS, SEEDS = (32, 64, 128, 256, 512), 40


@functools.cache
def drawn(kind):
    """The limits (2, n, n), nngp before ntk, and the kernels of networks drawn at WIDTHS:
    (widths, seeds, 2, n, n)."""
    X = inputs(3, d=5, seed=6)
    limit = np.stack(kernel(FINITE[kind](8), X))

    def kernels(architecture, params):
        last = list(params)[-1]
        features = architecture.signals(params, X)[f"layer{len(params) - 1}.post"]
        scaling = architecture.scaling
        nngp = scaling.weight**2 * features @ features.T / features.shape[1] + scaling.bias**2
        assert params[last]["weight"].shape[0] == 1
        J = jax.jacrev(lambda p: architecture.forward(p, X)[:, 0])(params)
        return jnp.stack(
            [nngp, sum(jnp.einsum("i...,j...->ij", leaf, leaf) for leaf in jax.tree.leaves(J))]
        )

    def one_width(width):
        architecture, rng = FINITE[kind](width), np.random.default_rng(width)
        contract = jax.jit(functools.partial(kernels, architecture))
        return [np.asarray(contract(architecture.init(rng, X.shape[1], 1))) for _ in range(SEEDS)]

    return limit, np.array([one_width(width) for width in WIDTHS])


@pytest.mark.parametrize("kind", FINITE)
def test_wider_networks_draw_kernels_closer_to_the_limit_by_the_root_of_their_width(kind):
    limit, found = drawn(kind)
    for which in (0, 1):
        off = np.linalg.norm(found[:, :, which] - limit[which], axis=(-2, -1)) / np.linalg.norm(
            limit[which]
        )
        slope = np.polyfit(np.log(WIDTHS), np.log(np.sqrt((off**2).mean(1))), 1)[0]
        # The root mean square of 40 seeds is known to about 10%, the slope of five such points over
        # a factor 16 to 0.03.
        assert abs(slope + 0.5) < 0.1, (which, slope)


@pytest.mark.parametrize("kind", FINITE)
def test_networks_draw_the_limit_on_average(kind):
    limit, found = drawn(kind)
    for width, seeds in zip(WIDTHS, found):
        error = seeds.std(0, ddof=1) / np.sqrt(SEEDS)
        # Four standard errors, and corrections of relative order depth/width that no number of
        # seeds averages away.
        assert np.all(np.abs(seeds.mean(0) - limit) <= 4 * error + 2 / width * np.abs(limit)), width


@pytest.mark.parametrize(
    "ask",
    [
        lambda net: kernel(net, inputs(3, d=4), inputs(3, d=5)),
        lambda net: kernel(net, inputs(3)[0]),
        lambda net: kernel(net, inputs(3), inputs(3)[0]),
        lambda net: kernel(net, inputs(3)[None]),
        lambda net: kernel(net, np.where(inputs(3) > 0, np.nan, 1.0)),
        lambda net: kernel(net, inputs(3), np.full((2, 4), np.inf)),
        lambda net: kernel(net, inputs(3), get=("nngp", "tangent")),
        lambda net: kernel(net, inputs(3), get=()),
        lambda net: kernel(Diagonal(), inputs(3)),
    ],
    ids=[
        "unlike dimensions",
        "one row bare",
        "second set bare",
        "three axes",
        "nan",
        "infinite",
        "unknown get",
        "nothing asked",
        "no limit",
    ],
)
def test_what_has_no_kernel_is_refused_in_a_sentence(ask):
    with pytest.raises(Refused, match=SENTENCE):
        ask(Mlp(hidden=(8,), scaling=NTK()))
