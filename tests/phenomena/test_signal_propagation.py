"""Signal propagation: the variance and correlation maps against quadrature by others, their
fixed points against root finders, the limit against networks."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import learnmech as lm
from learnmech import initial, rules, scalings
from learnmech.activations import duals
from learnmech.architectures import DeepLinear, Dialed, Linearized, Mlp, Residual
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian
from learnmech.errors import Refused
from learnmech.instruments.base import Moment
from learnmech.instruments.propagation import Propagation
from learnmech.theories import signals
from learnmech.theories.infinite_width import kernel
from learnmech.theories.phases import (
    chi_1,
    contraction,
    correlation_map,
    critical_line,
    depth_scale,
    edge,
    fixed_correlation,
    fixed_point,
    moments,
    phase,
    variance_map,
)
from learnmech.theories.signals import SignalPropagation

TANH = (np.tanh, lambda u: np.cosh(u) ** -2.0)


def average(function, q):
    """E f(u), u ~ N(0, q), by scipy; piece by piece, since a step at 0 is narrow where q is
    large."""
    density = lambda u: function(u) * math.exp(-u * u / (2 * q)) / math.sqrt(2 * math.pi * q)  # noqa: E731
    ends = [0.0, *(x for x in (1.0, 3.0, 10.0) if x < 9 * math.sqrt(q)), 9 * math.sqrt(q)]
    pieces = [
        scipy.integrate.quad(lambda u: density(u) + density(-u), a, b, epsabs=0, epsrel=1e-13)[0]
        for a, b in zip(ends[:-1], ends[1:], strict=True)
    ]
    return sum(pieces)


# --- the variance


@pytest.mark.parametrize("q", [1e-3, 0.7, 5.0, 200.0])
def test_the_moments_of_tanh_are_those_of_another_quadrature(q):
    s, slope = TANH
    found = moments("tanh", q)
    wanted = (
        average(lambda u: s(u) ** 2, q),
        average(lambda u: slope(u) ** 2, q),
        average(lambda u: -2 * s(u) ** 2 * slope(u), q),
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-11)  # both are good to some 1e-13


@pytest.mark.parametrize(
    "name",
    ["erf", "gelu", "sin", "cos", "softplus", "sigmoid", "gelu-tanh", "leaky-relu:0.3", "cube"],
)
def test_the_variance_rises_at_slope_plus_bend(name):
    q, step = 0.8, 1e-5
    rise = (moments(name, q + step).square - moments(name, q - step).square) / (2 * step)
    there = moments(name, q)
    np.testing.assert_allclose(
        there.slope + there.bend, rise, rtol=1e-7
    )  # central differences: 1e-10 of curvature, 1e-11 of round-off
    np.testing.assert_allclose(
        there.slope, duals.slope(name, q, q, q), rtol=1e-10
    )  # duals sum series to 1e-12 of E s'^2


@pytest.mark.parametrize("sw, sb", [(1.3, 0.3), (2.5, 0.1), (1.05, 0.0), (1.0, 0.5)])
def test_the_fixed_variance_and_chi_1_of_tanh_hold_in_thirty_digits(sw, sb):
    with mpmath.workdps(30):
        density = lambda u, q: mpmath.exp(-u * u / (2 * q)) / mpmath.sqrt(2 * mpmath.pi * q)  # noqa: E731

        def ends(q):
            return (
                [0, 1, 3, 12 * mpmath.sqrt(q)]
                if q > 0.1
                else [0, 6 * mpmath.sqrt(q), 12 * mpmath.sqrt(q)]
            )

        mean = lambda f, q: 2 * mpmath.quad(lambda u: f(u) * density(u, q), ends(q))  # noqa: E731

        def gap(q):
            return (
                mpmath.mpf(sw) ** 2 * mean(lambda u: mpmath.tanh(u) ** 2, q)
                + mpmath.mpf(sb) ** 2
                - q
            )

        found = fixed_point("tanh", sw, sb)
        q = mpmath.findroot(gap, (found * 0.999, found * 1.001), tol=1e-25)
        chi = mpmath.mpf(sw) ** 2 * mean(lambda u: mpmath.sech(u) ** 4, q)
    # round-off of 1e-15 in the map over 1 - its slope, which is 1/10 at sw = 1.05 and relative to a
    # q of 0.05
    assert found == pytest.approx(float(q), rel=1e-12)
    assert chi_1("tanh", sw, sb) == pytest.approx(float(chi), rel=1e-12)


@pytest.mark.parametrize("sw, sb", [(1.5, 0.2), (0.6, 0.4), (3.0, 0.0)])
def test_erf_has_its_closed_form(sw, sb):
    gap = lambda q: sw**2 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + sb**2 - q  # noqa: E731
    q = scipy.optimize.brentq(gap, 1e-3, 100.0, xtol=1e-15)
    assert fixed_point("erf", sw, sb) == pytest.approx(q, rel=1e-12)
    assert chi_1("erf", sw, sb) == pytest.approx(sw**2 * 4 / np.pi / np.sqrt(1 + 4 * q), rel=1e-12)


def test_relu_settles_below_two_keeps_every_variance_at_two_and_grows_above():
    assert fixed_point("relu", 1.2, 0.5) == pytest.approx(0.25 / (1 - 0.72), rel=1e-13)
    assert fixed_point("relu", math.sqrt(2 - 1e-6), 1.0) == pytest.approx(
        2e6, rel=1e-8
    )  # 1 - sw^2/2 keeps ten digits
    assert fixed_point("relu", 1.2, 0.0) == 0.0
    assert fixed_point("relu", math.sqrt(2), 0.0, start=3.7) == 3.7
    assert edge("relu", 0.0) == pytest.approx(math.sqrt(2), rel=1e-15)
    assert [phase("relu", sw, 0.0) for sw in (1.3, math.sqrt(2), 1.5)] == [
        "ordered",
        "critical",
        "chaotic",
    ]
    assert depth_scale("relu", 1.0, 0.5) == pytest.approx(1 / math.log(2), rel=1e-14)
    assert depth_scale("relu", math.sqrt(2), 0.0, "gradient") == math.inf
    for sw, sb in ((1.5, 0.0), (math.sqrt(2), 0.1)):
        with pytest.raises(Refused, match="stays bounded"):
            fixed_point("relu", sw, sb)
    with pytest.raises(Refused, match="at sb = 0.1"):
        edge("relu", 0.1)


def test_signals_die_out_where_weights_are_small_and_biases_none():
    for sw in (0.5, 0.999, 1.0):
        assert fixed_point("tanh", sw, 0.0) == 0.0
        assert chi_1("tanh", sw, 0.0) == pytest.approx(sw**2, rel=1e-14)
    # tanh^2 = u^2 - 2u^4/3: V = sw^2 (q - 2 q^2 + O(q^3)), so q* = (1 - 1/sw^2)/2 (1 + O(q))
    for above in (1e-4, 1e-7):
        assert fixed_point("tanh", math.sqrt(1 + above), 0.0) == pytest.approx(
            above / 2, rel=20 * above + 1e-8
        )
    with pytest.raises(Refused, match="do not die out"):
        correlation_map("tanh", 0.9, 0.0, 0.5)


def test_a_fixed_point_depends_on_the_start_where_there_are_several():
    # z^2: V = 3 sw^2 q^2, fixed at 0 and, unstable, at 1/3
    assert fixed_point("square", 1.0, 0.0, start=0.3) == 0.0
    with pytest.raises(Refused, match="stays bounded"):
        fixed_point("square", 1.0, 0.0, start=0.4)
    # with a bias the lower of 3q^2 - q + sb^2 = 0
    assert fixed_point("square", 1.0, 0.1, start=0.2) == pytest.approx(
        (1 - math.sqrt(1 - 0.12)) / 6, rel=1e-13
    )


@pytest.mark.parametrize(
    "name, sw, sb",
    [
        ("tanh", 1.7, 0.2),
        ("softplus", 1.1, 0.3),
        ("cos", 1.8, 0.1),
        ("sigmoid", 4.0, 0.0),
        ("gelu", 1.3, 0.2),
    ],
)
def test_the_variance_goes_to_its_fixed_point_at_its_own_depth_scale(name, sw, sb):
    q, gaps = 1.3 * fixed_point(name, sw, sb), []
    for _ in range(60):
        gaps.append(abs(float(q) - fixed_point(name, sw, sb)))
        q = variance_map(name, sw, sb, q)
    seen = [gap for gap in gaps if 1e-9 < gap < 1e-5]
    rates = np.diff(np.log(seen))
    # the next order of the map is 1e-5 of this one at most, the gap is known to 1e-15 of 1e-9
    assert -1 / rates[-1] == pytest.approx(depth_scale(name, sw, sb, "variance"), rel=1e-4)


# --- correlations


@pytest.mark.parametrize("sw, sb", [(1.2, 0.3), (1.9, 0.1)])
def test_the_correlation_map_of_tanh_is_a_double_integral(sw, sb):
    q = fixed_point("tanh", sw, sb)
    z, w = np.polynomial.hermite_e.hermegauss(150)
    w = w / np.sqrt(2 * np.pi)
    for c in (-0.8, 0.0, 0.35, 0.99):
        u, v = np.sqrt(q) * z[:, None], np.sqrt(q) * (c * z[:, None] + np.sqrt(1 - c * c) * z)
        wanted = (sw**2 * w @ (np.tanh(u) * np.tanh(v)) @ w + sb**2) / q
        assert float(correlation_map("tanh", sw, sb, c)) == pytest.approx(
            wanted, abs=1e-9
        )  # Gauss's rule on 150 nodes
    cs = np.array([0.0, 0.3, 0.9])
    np.testing.assert_allclose(
        correlation_map("tanh", sw, sb, cs),
        (sw**2 * duals.product("tanh", q, q, cs * q) + sb**2) / q,
        rtol=1e-10,
    )


@pytest.mark.parametrize(
    "name, sw, sb",
    [
        ("tanh", 2.5, 0.3),
        ("tanh", 4.0, 0.5),
        ("erf", 1.5, 0.1),
        ("sin", 1.6, 0.2),
        ("tanh", 1.34, math.sqrt(0.05)),
    ],
)
def test_chaos_has_one_stable_correlation_below_one(name, sw, sb):
    c = fixed_correlation(name, sw, sb)
    assert phase(name, sw, sb) == "chaotic" and 0 < c < 1
    assert float(correlation_map(name, sw, sb, c)) == pytest.approx(c, abs=1e-12)
    grid = np.linspace(0.0, 0.9999, 200)
    excess = np.asarray(correlation_map(name, sw, sb, grid)) - grid
    assert (excess[grid < c - 1e-3] > 0).all() and (
        excess[(grid > c + 1e-3) & (grid < 0.999)] < 0
    ).all()
    assert contraction(name, sw, sb) < 1 < chi_1(name, sw, sb)


def test_odd_activations_without_biases_take_chaos_to_orthogonality():
    assert fixed_correlation("tanh", 1.5, 0.0) == 0.0
    # there u and v are independent: sw^2 (E s')^2
    q = fixed_point("tanh", 1.5, 0.0)
    assert contraction("tanh", 1.5, 0.0) == pytest.approx(
        2.25 * average(TANH[1], q) ** 2, rel=1e-11
    )


@pytest.mark.parametrize(
    "name, sw, sb",
    [
        ("tanh", 1.1, 0.3),
        ("tanh", 2.0, 0.3),
        ("tanh", 4.0, 0.2),
        ("erf", 0.9, 0.3),
        ("erf", 1.6, 0.2),
        ("softplus", 1.1, 0.3),
    ],
)
def test_correlations_go_where_iteration_goes_and_as_fast(name, sw, sb):
    c, goal, gaps = 0.6, fixed_correlation(name, sw, sb), []
    for _ in range(400):
        gaps.append(abs(c - goal))
        c = float(correlation_map(name, sw, sb, c))
        if gaps[-1] < 1e-8:
            break
    assert gaps[-1] < 1e-8
    seen = [gap for gap in gaps if 1e-8 < gap < 1e-4]
    # the curvature of the map is some 1e-4 of its slope at the last two gaps, which are known to
    # 1e-14
    assert -1 / np.log(seen[-1] / seen[-2]) == pytest.approx(depth_scale(name, sw, sb), rel=1e-3)


# --- the edge


def test_the_edge_is_where_chi_1_is_one():
    s, slope = TANH
    steep = lambda q: average(lambda u: slope(u) ** 2, q)  # noqa: E731
    for sb in (0.1, math.sqrt(0.05), 0.6):
        # on its own way: for every q the sw that makes it critical, until the bias fits
        q = scipy.optimize.brentq(
            lambda q, b=sb: q - average(lambda u: s(u) ** 2, q) / steep(q) - b**2,
            1e-2,
            5.0,
            xtol=1e-13,
        )
        assert edge("tanh", sb) == pytest.approx(steep(q) ** -0.5, rel=1e-10)
        assert chi_1("tanh", edge("tanh", sb), sb) == pytest.approx(1, abs=1e-12)
        assert (
            phase("tanh", edge("tanh", sb), sb) == "critical"
            and depth_scale("tanh", edge("tanh", sb), sb) == math.inf
        )
        sw, found = critical_line("tanh", q)
        assert (float(sw), float(found)) == pytest.approx((edge("tanh", sb), sb), rel=1e-9)
    assert edge("tanh", 0.0) == pytest.approx(1.0, rel=1e-14)
    assert edge("erf", 0.0) == pytest.approx(math.sqrt(math.pi) / 2, rel=1e-14)


@pytest.mark.parametrize("name", ["gelu", "softplus", "square"])
def test_activations_whose_variance_runs_away_have_no_edge(name):
    with pytest.raises(Refused, match="signals go to"):
        edge(name, 0.1)


def test_more_weight_is_more_chaos_and_the_depth_scale_peaks_at_the_edge():
    sb = math.sqrt(0.05)
    at = edge("tanh", sb)
    chis = [chi_1("tanh", sw, sb) for sw in np.linspace(0.6, 2.5, 12)]
    assert (np.diff(chis) > 0).all()
    for side in (-1, 1):
        gaps = np.array([0.04, 0.02, 0.01])
        scales = [depth_scale("tanh", at + side * gap, sb) for gap in gaps]
        # xi = 1/(a gap + b gap^2), and b gap/a is a few per cent here
        assert fitted_order(gaps, scales).slope == pytest.approx(-1, abs=0.1)
    ordered, chaotic = (depth_scale("tanh", at + gap, sb) for gap in (-1e-3, 1e-3))
    assert ordered == pytest.approx(
        chaotic, rel=0.02
    )  # slopes of C at 1 and at c* are as far below 1 as above, to first order in the gap


@pytest.mark.parametrize(
    "arguments",
    [
        ("tanh", -1.0, 0.1),
        ("tanh", 1.0, -0.1),
        ("tanh", math.nan, 0.1),
        ("tahn", 1.0, 0.1),
        ("tanh", 1.0, 0.1, 0.0),
    ],
)
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(Refused):
        fixed_point(*arguments)
    with pytest.raises(Refused, match="gradient"):
        depth_scale("tanh", 1.0, 0.1, "loss")


# --- networks

NETWORKS = {
    "tanh": Mlp(hidden=(300,) * 3, scaling=scalings.NTK(weight=1.6, bias=0.3), bias=True),
    "relu": Mlp(hidden=(300,) * 3, activation="relu"),
    "gelu, mup": Mlp(hidden=(300,) * 3, activation="gelu", scaling=scalings.MuP()),
    "relu, residual": Residual(
        width=300, blocks=2, branch=0.7, scaling=scalings.NTK(bias=0.2), bias=True
    ),
    "linear": DeepLinear(hidden=(300,) * 2),
    "dialed": Dialed(Mlp(hidden=(300,) * 2, activation="erf"), alpha=3.0),
}


def experiment(network, scale=1.0, **data):
    parts = {"n": 5, "d": 4, "k": 2} | data
    return lm.Experiment(
        network,
        Gaussian(**parts),
        rules.GradientDescent(rate=0.01),
        lm.Clock(steps=1, every=1),
        initial=initial.Gaussian(scale=scale),
    )


@eqx.filter_jit
def _read(system, state, rule):
    return Propagation().read(
        Moment(system, state, rule, state.params, jnp.zeros(()), state.params, state.params)
    )


def read(start):
    return _read(start.system, start.state, start.rule)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_wide_networks_propagate_as_the_limit_says(name):
    given = experiment(NETWORKS[name], scale=1.2)
    said = SignalPropagation().predict(lm.prepare(given))
    seen = [read(lm.prepare(given.with_value("seed", seed))) for seed in range(12)]
    for quantity in said:
        values = np.array([one[quantity] for one in seen])
        bars, limit = values.std(axis=0, ddof=1) / math.sqrt(12), said[quantity].values[0]
        # four standard errors, and the next order of means, some depth/h of the size
        assert (
            np.abs(values.mean(axis=0) - limit) <= 4 * bars + 3 / 300 * np.abs(limit).max()
        ).all(), quantity


@pytest.mark.parametrize("activation", ["tanh", "relu", "erf"])
def test_signals_are_the_kernels_of_shallower_networks(activation):
    scaling = scalings.NTK(weight=1.4, bias=0.3)
    start = lm.prepare(
        experiment(Mlp(hidden=(8,) * 4, activation=activation, scaling=scaling, bias=True))
    )
    said, X = SignalPropagation().predict(start), start.data.train.X
    for depth in (0, 1, 3):
        shallow = (
            Mlp(hidden=(8,) * depth, activation=activation, scaling=scaling, bias=True)
            if depth
            else None
        )
        K = np.asarray(kernel(shallow, X, get="nngp")) if depth else 1.4**2 * X @ X.T / 4 + 0.09
        cosines = K / np.sqrt(np.outer(np.diag(K), np.diag(K)))
        assert float(said["preactivation_variance"][0, depth]) == pytest.approx(
            np.trace(K) / 5, rel=1e-11
        )  # series of 1e-12 over few layers
        assert float(said["preactivation_correlation"][0, depth]) == pytest.approx(
            (cosines.sum() - 5) / 20, abs=1e-11
        )


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_rows_may_be_taken_a_few_at_a_time(activation, monkeypatch):
    start = lm.prepare(experiment(Residual(width=4, blocks=2, activation=activation, branch=0.5)))
    whole = SignalPropagation().predict(start)["preactivation_correlation"]
    monkeypatch.setattr(signals, "ROWS", 2)
    np.testing.assert_allclose(
        SignalPropagation().predict(start)["preactivation_correlation"], whole, rtol=1e-13
    )


def test_a_scale_of_the_start_is_that_of_weights_and_biases():
    networks = [
        Mlp(hidden=(8,) * 3, scaling=scalings.NTK(weight=w, bias=b), bias=True)
        for w, b in ((1.5, 0.3), (1.95, 0.39))
    ]
    one, two = (
        SignalPropagation().predict(lm.prepare(experiment(net, scale)))
        for net, scale in zip(networks, (1.3, 1.0), strict=True)
    )
    for quantity in one:
        np.testing.assert_allclose(one[quantity], two[quantity], rtol=1e-12)


def test_a_deep_network_goes_to_the_fixed_point_and_multiplies_gradients_by_chi_1():
    sw, sb = 1.8, 0.3
    start = lm.prepare(
        experiment(Mlp(hidden=(2,) * 40, scaling=scalings.NTK(weight=sw, bias=sb), bias=True))
    )
    said = SignalPropagation().predict(start).isel(time=0)
    # forty layers at depth scales of a few layers for the variance, some ten for correlations
    assert float(said["preactivation_variance"][-1]) == pytest.approx(
        fixed_point("tanh", sw, sb), rel=1e-9
    )
    assert float(said["preactivation_correlation"][-1]) == pytest.approx(
        fixed_correlation("tanh", sw, sb), abs=0.02
    )
    ratios = said["back_signal_ratio"].values
    np.testing.assert_allclose(ratios[30:-1] / ratios[31:], chi_1("tanh", sw, sb), rtol=1e-8)


@pytest.mark.parametrize(
    "network",
    [Mlp(hidden=(6, 5, 4), bias=True), Residual(width=5, blocks=2, activation="tanh")],
    ids=["mlp", "residual"],
)
def test_the_instrument_reads_what_numpy_and_jacobians_give(network):
    start = lm.prepare(experiment(network))
    X, params, seen = start.system.train.X, start.state.params, read(start)
    tapped, layers = (
        eqx.filter_jit(network.signals)(params, X),
        [f"layer{index}" for index in range(1, len(params))],
    )
    sizes = []
    for place, layer in enumerate(layers):
        z = np.asarray(tapped[f"{layer}.pre"])
        pairs = [
            z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j])
            for i in range(5)
            for j in range(5)
            if i != j
        ]
        assert float(seen["preactivation_variance"][place]) == pytest.approx(
            np.mean(z**2), rel=1e-13
        )
        assert float(seen["preactivation_correlation"][place]) == pytest.approx(
            np.mean(pairs), abs=1e-13
        )

        def outputs(z, x, name=f"{layer}.pre"):
            return network.forward(
                params, x[None], lambda at, value: z[None] if at == name else value
            )[0]

        slopes = jax.jit(jax.vmap(jax.jacobian(outputs)))(z, X)
        sizes.append(float(np.sum(np.square(slopes))))
    np.testing.assert_allclose(seen["back_signal_ratio"], np.array(sizes) / sizes[-1], rtol=1e-11)


def test_correlations_are_off_the_limit_as_the_inverse_root_of_the_width():
    widths, errors = [16, 64, 256], []
    for width in widths:
        given = experiment(Mlp(hidden=(width,) * 2, activation="erf"))
        said = SignalPropagation().predict(lm.prepare(given))["preactivation_correlation"].values[0]
        seen = [
            read(lm.prepare(given.with_value("seed", seed)))["preactivation_correlation"]
            for seed in range(60)
        ]
        errors.append([np.abs(one - said).max() for one in seen])
    order = fitted_order(widths, errors)
    assert order.standard_error < 0.06
    assert order.slope == pytest.approx(-0.5, abs=3 * order.standard_error)


def test_one_input_has_no_correlation():
    start = lm.prepare(experiment(Mlp(hidden=(4, 4)), n=1))
    assert (
        set(SignalPropagation().predict(start))
        == set(read(start))
        == {"preactivation_variance", "back_signal_ratio"}
    )


def test_where_no_gradient_comes_back_its_ratio_is_zero_on_both_sides():
    start = lm.prepare(experiment(Residual(width=5, blocks=2, branch=0.0)))
    for found in (
        SignalPropagation().predict(start)["back_signal_ratio"][0],
        read(start)["back_signal_ratio"],
    ):
        assert (np.asarray(found) == 0).all()


def test_what_the_limit_does_not_speak_of_is_outside_its_domain():
    plain = experiment(Mlp(hidden=(4, 4)))
    for changes, claim in (
        ({"architecture": Linearized(Mlp(hidden=(4, 4)))}, "dense"),
        ({"architecture": DeepLinear(hidden=())}, "a hidden layer"),
        ({"initial": initial.SmallGaussian()}, "normal"),
        (
            {
                "architecture": Mlp(hidden=(4, 4), scaling=scalings.NTK()),
                "initial": initial.ZeroReadout(),
            },
            "normal",
        ),
    ):
        start = lm.prepare(dataclasses.replace(plain, **changes))
        assert any(
            claim in one.claim for one in SignalPropagation().conditions(start) if not one.holds
        ), claim
        with pytest.raises(Refused, match="SignalPropagation needs"):
            SignalPropagation().predict(start)
