"""The mean-field linear network: its moments against every weight integrated or stepped by hand,
and its limit against quadrature and many units."""

import dataclasses

import numpy as np
import pytest
import scipy.integrate

import learnmech as lm
from learnmech import initial, rules, scalings
from learnmech.architectures import DeepLinear, Dialed, Mlp
from learnmech.comparison.orders import fitted_order
from learnmech.data import Gaussian
from learnmech.data.base import Drawn, View
from learnmech.losses import Squared
from learnmech.losses.base import CONSTANTS
from learnmech.theories import MeanFieldLinear, MeanFieldMoments

FLOW, STEPS = rules.GradientFlow(), rules.GradientDescent(rate=0.3)
DATA = Gaussian(n=15, d=3, k=1, covariance="power-law", noise=0.3, test=6)
WHITE = Gaussian(n=15, d=3, k=1, whitened=True)


def experiment(rule, width=5, alpha=0.7, centered=True, scaling="half-mean", **more):
    network = Dialed(
        DeepLinear(hidden=(width,), scaling=scalings.MeanField()), alpha=alpha, centered=centered
    )
    parts = {
        "data": DATA,
        "clock": lm.Clock(time=5.0, marks=9) if rule.flows else lm.Clock(steps=40, every=5),
    } | more
    return lm.Experiment(
        network, parts.pop("data"), rule, parts.pop("clock"), loss=Squared(scaling=scaling), **parts
    )


def by_hand(start, alpha, centered, c, a=None, w=None):
    """beta (m, d) of F = (alpha/N)(sum_i a_i w_i - its start).x under L = c sum (F - y)^2 at
    rate N/alpha^2: every weight, in numpy or by DOP853."""
    w = np.array(start.params["layer1"]["weight"]) if w is None else w
    a = np.array(start.params["layer2"]["weight"][0]) if a is None else a
    X, y, N, origin = start.data.train.X, start.data.train.Y[:, 0], len(a), a @ w * centered

    def slope(a, w):
        pull = -2 * c * X.T @ (X @ (alpha / N * (a @ w - origin)) - y)
        return N / alpha**2 * (alpha / N) * (w @ pull), N / alpha**2 * (alpha / N) * np.outer(
            a, pull
        )

    def beta(a, w):
        return alpha / N * (a @ w - origin)

    if start.marks.steps is None:

        def packed(t, z):
            return np.concatenate([part.ravel() for part in slope(z[:N], z[N:].reshape(w.shape))])

        times = start.marks.times
        solved = scipy.integrate.solve_ivp(
            packed,
            (0, times[-1]),
            np.concatenate([a, w.ravel()]),
            "DOP853",
            times,
            rtol=1e-12,
            atol=1e-14,
        )
        return np.array([beta(z[:N], z[N:].reshape(w.shape)) for z in solved.y.T])
    seen = []
    for step in range(int(start.marks.steps[-1]) + 1):
        if step in start.marks.steps:
            seen.append(beta(a, w))
        da, dw = slope(a, w)
        a, w = a + float(start.rule.rate) * da, w + float(start.rule.rate) * dw
    return np.array(seen)


CASES = [
    ("half-mean", 0.7, True, 5),
    ("mean", 3.0, True, 1),
    ("half-mean", 0.2, False, 4),
    ("half-sum", 1.5, True, 2),
    ("sum", 0.6, False, 3),
]


@pytest.mark.parametrize("flows", [True, False], ids=["flow", "descent"])
@pytest.mark.parametrize("scaling, alpha, centered, width", CASES)
def test_any_width_closes_on_three_moments(scaling, alpha, centered, width, flows):
    c = CONSTANTS[scaling](15)
    # the same physical time for every c: 2cn t up to 5
    speed = 2 * c * 15
    rule, clock = (
        (FLOW, lm.Clock(time=5.0 / speed, marks=9))
        if flows
        else (rules.GradientDescent(rate=0.1 / speed), lm.Clock(steps=40, every=5))
    )
    start = lm.prepare(experiment(rule, width, alpha, centered, scaling, clock=clock))
    said, seen = MeanFieldMoments().predict(start), by_hand(start, alpha, centered, c)
    # two solvers at 1e-11 and 1e-12 a step; steps are exact but for round-off
    np.testing.assert_allclose(
        said["end_to_end"][:, 0], seen, rtol=1e-8 if flows else 1e-11, atol=1e-9 if flows else 1e-13
    )
    for name, view in (("loss", start.data.train), ("test_loss", start.data.test)):
        lost = [
            CONSTANTS[scaling](len(view.X)) * np.sum((view.X @ beta - view.Y[:, 0]) ** 2)
            for beta in seen
        ]
        np.testing.assert_allclose(said[name], lost, rtol=1e-7 if flows else 1e-10)


@pytest.mark.parametrize("centered", [True, False])
def test_a_run_is_its_moments_at_a_rate_that_is_not_small(centered):
    given = experiment(STEPS, centered=centered)
    start = lm.prepare(given)
    record = lm.run(start, ("end-to-end",))
    seen = by_hand(start, 0.7, centered, 1 / 30)
    np.testing.assert_allclose(
        record["end_to_end"][:, 0], seen, rtol=1e-11, atol=1e-13
    )  # round-off over forty steps
    assert lm.compare(record, MeanFieldMoments(), 1e-11).verdict == "holds"
    flow = MeanFieldMoments().predict(
        lm.prepare(dataclasses.replace(given, rule=FLOW, clock=lm.Clock(time=12.0, marks=9)))
    )
    assert (
        np.abs(flow["end_to_end"][:, 0] - seen).max() > 1e-2
    )  # the second order in the rate is there to be seen


def test_outputs_may_be_undialed():
    network = DeepLinear(hidden=(4,), scaling=scalings.MeanField())
    start = lm.prepare(dataclasses.replace(experiment(STEPS), architecture=network))
    np.testing.assert_allclose(
        MeanFieldMoments().predict(start)["end_to_end"][:, 0],
        by_hand(start, 1.0, False, 1 / 30),
        rtol=1e-11,
        atol=1e-13,
    )


def test_a_diverging_descent_is_said_to_diverge():
    said = MeanFieldMoments().predict(lm.prepare(experiment(rules.GradientDescent(rate=30.0))))
    assert not np.isfinite(said["loss"].values[-1])


# --- the limit


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
@pytest.mark.parametrize(
    "start_at, K",
    [
        (initial.Gaussian(scale=0.8), 1.28),
        (initial.ZeroReadout(scale=0.8), 0.64),
        (initial.SmallGaussian(std=0.1), 0.02),
        (initial.GaussianPerLayer(std=(0.6, 0.8)), 1.0),
        (initial.GaussianPerLayer(gain=(0.5,), layers=("layer2",)), 1.25),
    ],
)
def test_flow_on_whitened_inputs_reaches_a_strength_when_its_equation_says(alpha, start_at, K):
    start = lm.prepare(
        experiment(
            FLOW, alpha=alpha, data=WHITE, initial=start_at, clock=lm.Clock(time=3.0, marks=7)
        )
    )
    said = MeanFieldLinear().predict(start)["end_to_end"].values[:, 0]
    target = start.data.train.Y[:, 0] @ start.data.train.X / 15
    s = np.linalg.norm(target)
    # along the target and nowhere else, to round-off
    np.testing.assert_allclose(said, np.outer(said @ target / s**2, target), atol=1e-12)
    for time, beta in zip(start.marks.times[1:], said[1:], strict=True):
        b = beta @ target / s / alpha
        if b < (1 - 1e-6) * s / alpha:
            reached, _ = scipy.integrate.quad(
                lambda x: 1 / (np.sqrt(K**2 + 4 * x**2) * (s / alpha - x)),
                0,
                b,
                epsabs=0,
                epsrel=1e-11,
                limit=400,
            )
            assert reached == pytest.approx(
                time, rel=1e-8
            )  # the integrand is 1e6 steep at its end, where b is known to 1e-15


@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_the_closed_form_is_the_flow_of_the_moments(alpha):
    white = lm.prepare(experiment(FLOW, alpha=alpha, data=WHITE))
    # a hair off whiteness, beyond the bound of 1e-6, takes the other way
    bent = white.data.train.X * (1 + 2e-6)
    other = lm.prepare(white.experiment, data=Drawn(View(bent, white.data.train.Y)))
    one, two = (MeanFieldLinear().predict(start)["end_to_end"].values for start in (white, other))
    np.testing.assert_allclose(one, two, atol=2e-4 * np.abs(one).max())
    assert np.abs(one).max() > 0.1


@pytest.mark.parametrize("rule", [FLOW, STEPS], ids=["flow", "descent"])
@pytest.mark.parametrize(
    "start_at, spread",
    [
        (initial.Gaussian(scale=0.8), (0.8, 0.8)),
        (initial.ZeroReadout(), (0.0, 1.0)),
        (initial.SmallGaussian(std=0.5), (0.5, 0.5)),
    ],
)
def test_a_very_wide_network_goes_where_the_limit_says(rule, start_at, spread):
    start, N = lm.prepare(experiment(rule, initial=start_at)), 4_000 if rule.flows else 100_000
    rng = np.random.default_rng(3)
    a, w = spread[0] * rng.standard_normal(N), spread[1] * rng.standard_normal((N, 3))
    said = MeanFieldLinear().predict(start)["end_to_end"].values[:, 0]
    # fluctuations of means over N units: five of N^-1/2
    np.testing.assert_allclose(said, by_hand(start, 0.7, True, 1 / 30, a, w), atol=5 / np.sqrt(N))
    assert np.abs(said).max() > 0.3


def test_a_finite_width_is_off_the_limit_as_its_inverse_root():
    widths, errors = [32, 128, 512], []
    for width in widths:
        starts = [lm.prepare(experiment(STEPS, width, seed=seed)) for seed in range(60)]
        said = MeanFieldLinear().predict(starts[0])["end_to_end"].values
        errors.append(
            [
                np.abs(MeanFieldMoments().predict(start)["end_to_end"].values - said).max()
                for start in starts
            ]
        )
    order = fitted_order(widths, errors)
    assert order.standard_error < 0.05
    assert order.slope == pytest.approx(-0.5, abs=3 * order.standard_error)


def test_a_large_alpha_is_exponential_at_the_rate_of_the_kernel():
    gaps, alphas = [], [10.0, 20.0, 40.0]
    for alpha in alphas:
        start = lm.prepare(experiment(FLOW, alpha=alpha, data=WHITE))
        said = MeanFieldLinear().predict(start)["end_to_end"].values[:, 0]
        target = start.data.train.Y[:, 0] @ start.data.train.X / 15
        gaps.append(np.abs(said - np.outer(-np.expm1(-2 * start.marks.times), target)).max())
    # sqrt(K^2 + 4 b^2) = K (1 + 2 b^2/K^2), b at most s/alpha: order 2, the next is 4
    assert fitted_order(alphas, gaps).slope == pytest.approx(-2, abs=0.02)


def test_a_small_alpha_waits_and_then_learns_at_once():
    # rich: b grows at rate 2 s/alpha from K alpha/(4 s), so the wait to half is ln(4 s/(K
    # alpha))/(2 s/alpha), up to its K alpha/s
    alpha = 1e-4
    start = lm.prepare(
        experiment(FLOW, alpha=alpha, data=WHITE, clock=lm.Clock(time=alpha * 60, marks=12001))
    )
    strength = MeanFieldLinear().predict(start)["mode_strength"]
    s = float(np.linalg.norm(start.data.train.Y[:, 0] @ start.data.train.X / 15))
    tenth, half, most = np.interp(s * np.array([0.1, 0.5, 0.9]), strength[:, 0], strength["time"])
    assert half == pytest.approx(np.log(2 * s / alpha) / (2 * s / alpha), rel=1e-3)
    # the middle of a logistic curve of that rate
    assert most - tenth == pytest.approx(2 * np.log(9) / (2 * s / alpha), rel=1e-3)


# --- where it does not speak


def test_what_is_no_such_network_is_outside_the_domain():
    plain = experiment(STEPS)
    deep, sp = DeepLinear(hidden=(4,), scaling=scalings.NTK()), DeepLinear(hidden=(4,))
    others = {
        "one hidden layer in mean-field scaling": [
            Dialed(deep, alpha=2.0),
            sp,
            Dialed(Mlp(hidden=(4,), activation="linear", scaling=scalings.MeanField())),
        ],
    }
    for claim, architectures in others.items():
        for architecture in architectures:
            failing = [
                one.claim
                for one in MeanFieldMoments().conditions(
                    lm.prepare(dataclasses.replace(plain, architecture=architecture))
                )
                if not one.holds
            ]
            assert len(failing) == 1 and claim in failing[0]
    for changes, claim in (
        ({"data": Gaussian(n=15, d=3, k=2)}, "one output"),
        ({"rule": rules.Adam()}, "the rule is"),
        ({"loss": Squared(ridge=0.1)}, "no ridge"),
        ({"initial": initial.Given(np.linspace(-1, 1, 20))}, "independent and normal"),
        (
            {"architecture": dataclasses.replace(plain.architecture, anchor=np.linspace(0, 1, 20))},
            "centered at the start",
        ),
    ):
        start = lm.prepare(dataclasses.replace(plain, **changes))
        assert [
            one.claim
            for one in MeanFieldLinear().conditions(start)
            if not one.holds and claim in one.claim
        ], claim


def test_an_anchor_elsewhere_only_shifts_the_moments():
    anchor = np.linspace(-1, 1, 20)
    start = lm.prepare(
        dataclasses.replace(
            experiment(STEPS),
            architecture=dataclasses.replace(experiment(STEPS).architecture, anchor=anchor),
        )
    )
    record = lm.run(start, ("end-to-end", "loss"))
    assert lm.compare(record, MeanFieldMoments(), 1e-11).verdict == "holds"
