"""Thresholds: where each rule's steps begin to grow, against steps by hand, against runs, and
against the ends of two toys."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules, scalings, schedules
from learnmech.errors import Refused
from learnmech.gallery import contracts
from learnmech.language import catalog
from learnmech.rules.base import SteppingRule
from learnmech.rules.flow import GradientFlow
from learnmech.rules.recurrence import Recurrence
from learnmech.theories import EdgeOfStability, EdgeToy, LinearRules, Regression
from learnmech.theories.edge_toys import descended, edge_end, sharpness_at
from learnmech.theories.regression import ridge_solution
from learnmech.theories.scalar import minimum_sharpness, two_layers
from learnmech.theories.stability import affine_steps, growth, threshold

LINE = lm.Experiment(
    architectures.DeepLinear(),
    data.Gaussian(n=12, d=3, k=2, noise=0.3),
    rules.GradientDescent(),
    lm.Clock(steps=40, every=1),
)
START = lm.prepare(LINE)
X, Y = np.asarray(START.data.train.X), np.asarray(START.data.train.Y)
H, W_0 = X.T @ X / 12, np.asarray(START.params["layer1"]["weight"])
TOP = np.linalg.eigvalsh(H)[-1]

MOMENTA = (0.0, 0.3, 0.9, 0.99)
LINEAR = [
    rules.GradientDescent(),
    rules.SGD(),
    rules.Langevin(),
    *(
        kind(momentum=b)
        for kind in (rules.HeavyBall, rules.Nesterov, rules.MovingAverage)
        for b in MOMENTA
    ),
]
ADAPTIVE = [rules.RMSProp(), *(kind(b1=b) for kind in (rules.Adam, rules.AdamW) for b in MOMENTA)]


class Doubled(SteppingRule):
    """Of a user: along the velocity and half the gradient, what is remembered a third of before."""

    def init(self, params):
        return jax.tree.map(jnp.zeros_like, params)

    @property
    def recurrence(self):
        return Recurrence(1 / 3, 1.0, 1.0, 0.5, "8/(5 {h})")

    def limit(self):
        return GradientFlow(), self.recurrence.push

    def update(self, system, gradient, memory, params):
        memory = jax.tree.map(lambda v, g: v / 3 + g, memory, gradient)
        return jax.tree.map(lambda v, g: -self.rate * (v + g / 2), memory, gradient), memory


def test_a_rule_of_ones_own_that_says_what_it_is_has_its_edge_its_steps_and_its_limit():
    rule = Doubled(rate=0.1)
    assert rule.edge(TOP)[1] == pytest.approx(8 / (5 * TOP), rel=1e-12)
    # the recursion by itself, from its own numbers: just below the edge it falls, above it grows
    for share, grows in ((0.99, False), (1.01, True)):
        v, w = 0.0, 1.0
        for _ in range(4000):
            v, w = v / 3 + w, w - share * 1.6 * (v / 3 + w + w / 2)
        assert (abs(w) > 1) == grows
    edge = rule.edge(TOP)[1]
    for rate in (0.5 * edge, 1.05 * edge):
        record = ran(at(rule, rate=rate))
        shown = lm.compare(record, LinearRules())
        assert shown.verdict == "holds", shown
    flown = dataclasses.replace(LINE, rule=at(rule, rate=1e-3), clock=lm.Clock(steps=400, every=50))
    said = lm.compare(lm.run(flown), lm.theories.Flow())
    assert said.verdict == "holds" and rule.limit()[1] == pytest.approx(2.0), said


def at(rule, **knobs):
    return dataclasses.replace(rule, **knobs)


def ran(rule, clock=None):
    return lm.run(
        dataclasses.replace(LINE, rule=rule, clock=clock or LINE.clock),
        (instruments.EndToEnd(), instruments.Loss()),
    )


def by_hand(rule, steps):
    """Maps W along `steps` steps on the whole of the data, written out for each kind."""
    W, V, rate, b = W_0, np.zeros_like(W_0), float(rule.rate), float(getattr(rule, "momentum", 0.0))
    decay, found = float(rule.decay or 0.0), [W_0]
    for _ in range(steps):
        g = (W @ X.T - Y.T) @ X / len(X) + (decay * W if rule.coupled else 0)
        V = b * V + (1 - b) * g if isinstance(rule, rules.MovingAverage) else b * V + g
        step = g + b * V if isinstance(rule, rules.Nesterov) else V
        W = W - rate * step - (0 if rule.coupled else rate * decay * W)
        found.append(W)
    return np.array(found)


REMEMBERING = [
    rules.HeavyBall(rate=0.2, momentum=0.7, decay=0.3),
    rules.Nesterov(rate=0.1, momentum=0.8, decay=0.3, coupled=True),
    rules.MovingAverage(rate=0.5, momentum=0.6),
]


def critical(rule):
    """The rate at which the sharpest direction is at the rule's threshold; decay moves it, and
    what is coupled bends that direction too."""
    bent = TOP + (float(rule.decay or 0.0) if rule.coupled else 0.0)
    return optimize.brentq(lambda rate: threshold(at(rule, rate=rate)) - bent, 1e-3, 20, xtol=1e-14)


@pytest.fixture(scope="module", params=REMEMBERING, ids=lambda rule: type(rule).__name__)
def moved(request):
    """A rule and its run."""
    return request.param, ran(request.param)


def test_steps_by_hand_runs_and_theory_are_one(moved):
    rule, seen = moved
    said, hand = LinearRules().predict(seen.start), by_hand(rule, 40)
    for other in (said["end_to_end"].values, hand):
        # round-off of 40 steps
        np.testing.assert_allclose(seen["end_to_end"].values, other, atol=1e-13)
    np.testing.assert_allclose(seen["loss"].values, said["loss"].values, rtol=1e-13)


def test_runs_begin_to_grow_at_the_threshold_of_their_rule(moved):
    rule, _ = moved
    wanted = critical(rule)

    def grows(rate):
        said = ran(at(rule, rate=rate), lm.Clock(steps=400, every=100))["end_to_end"].values
        steps = np.linalg.norm(np.diff(said, axis=0).reshape(4, -1), axis=1)
        return not steps[3] < max(steps[2], 1e-9)  # below that it has long converged, to round-off

    low, high = wanted / 1.5, wanted * 1.5
    for _ in range(9):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if grows(middle) else (middle, high)
    # 1.5 squared, halved nine times in its logarithm, is 0.16%
    assert low / 1.002 < wanted < high * 1.002


def test_above_its_threshold_the_loss_grows_by_the_squared_radius_of_a_step(moved):
    rule, _ = moved
    fast = at(rule, rate=1.05 * critical(rule))
    loss = ran(fast, lm.Clock(steps=400, every=100))["loss"].values
    said = growth(fast, np.array([TOP]))[0]
    # other directions are left behind by a factor a step, 300 and 400 steps behind
    assert said > 1 and (loss[4] / loss[3]) ** (1 / 200) == pytest.approx(said, rel=1e-9)


@pytest.mark.parametrize(
    "rule, near",
    [(rules.Adam(b1=0.9, eps=1e60), 1e-3), (rules.RMSProp(eps=1e60), 1e-2)],
    ids=["Adam", "RMSProp"],
)
def test_adaptive_rules_grow_where_curvature_under_their_preconditioner_passes_the_threshold(
    rule, near
):
    # an eps far above all gradients holds the preconditioner fixed at 1/eps
    edge = 1e60 * threshold(at(rule, rate=1.0)) / TOP
    below, above = (
        ran(at(rule, rate=share * edge), lm.Clock(steps=200, every=50))["loss"].values
        for share in (1 - near, 1 + near)
    )
    assert below[4] < below[3] and above[4] > above[3]


def test_at_its_threshold_every_rules_step_has_radius_one_and_it_is_the_rate_that_the_rule_calls_its_edge():
    for rule in [*LINEAR, *ADAPTIVE]:
        for decay, coupled in ((None, False), (0.2, False), (0.2, True)):
            one = at(rule, rate=0.3, decay=decay, coupled=coupled)
            h = threshold(one) - (0.2 if coupled else 0.0)
            below, here, above = growth(one, h * np.array([0.99, 1.0, 1.01]))
            # 2(1+b)/(1-b) is 398 at b = 0.99, times 1e-16, under the root of a nearly double
            # eigenvalue
            assert below < 1 < above and here == pytest.approx(1, abs=1e-10), one
        if rule in LINEAR:
            words, rate = rule.edge(7.0)
            assert (
                threshold(at(rule, rate=rate)) == pytest.approx(7.0, rel=1e-14)
                and "sharpness" in words
            )


def test_adam_at_its_usual_momentum_is_stable_up_to_38_over_its_rate_and_rmsprop_up_to_2():
    assert (
        threshold(rules.Adam(rate=0.5)) == pytest.approx(76, rel=1e-14)
        and threshold(rules.RMSProp(rate=0.5)) == 4
    )
    assert threshold(rules.AdamW(rate=0.5, decay=0.1)) == pytest.approx(19 * (4 - 0.1), rel=1e-14)


def test_rules_whose_steps_do_not_shrink_with_the_gradient_have_no_threshold_and_flutter_by_their_rate():
    for rule in (rules.SignDescent(), rules.Lion(), rules.Muon(), rules.SpectralDescent()):
        assert threshold(rule) is None and rule.edge(1.0) is None
    W_inf = (np.linalg.pinv(X) @ Y).T
    for rate in (1e-2, 1e2):
        late = ran(rules.SignDescent(rate=rate), lm.Clock(steps=1000, every=1))[
            "end_to_end"
        ].values[-10:]
        # each weight within a few steps of the minimum, at any rate, and half a step away from it
        # or more at every other step
        assert 0.5 * rate < np.abs(late - W_inf).max() < 5 * rate


def test_regression_tells_descent_and_heavy_ball_alike():
    for rule in (
        rules.GradientDescent(rate=0.3),
        rules.HeavyBall(rate=0.1, momentum=0.9),
        rules.HeavyBall(rate=2.5 / TOP, momentum=0.2),
    ):
        start = lm.prepare(dataclasses.replace(LINE, rule=rule))
        ours, theirs = LinearRules().predict(start), Regression().predict(start)
        for name in ("end_to_end", "loss", "outputs"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, err_msg=name)


def test_decoupled_decay_of_heavy_ball_is_a_ridge_of_what_one_gradient_does_not_undo():
    rule = rules.HeavyBall(rate=0.1, momentum=0.8, decay=0.5)
    start = lm.prepare(dataclasses.replace(LINE, rule=rule, clock=lm.Clock(steps=3000, every=3000)))
    np.testing.assert_allclose(
        LinearRules().predict(start)["end_to_end"][-1],
        ridge_solution(X, Y, 1 / 24, 0.5 * (1 - 0.8)),
        rtol=1e-11,
    )


def test_the_recursion_speaks_of_linear_rules_at_a_constant_rate_alone():
    for rule in (
        rules.Adam(),
        rules.SGD(batch=3),
        rules.Nesterov(batch=3),
        rules.Nesterov(clip=1.0),
        rules.Nesterov(schedule=schedules.Cosine(steps=9)),
    ):
        start = lm.prepare(dataclasses.replace(LINE, rule=rule))
        assert [c.holds for c in LinearRules().conditions(start)].count(False) == 1
        with pytest.raises(Refused, match="the rule is linear"):
            LinearRules().predict(start)
    assert affine_steps(rules.Nesterov(), np.ones(5)).shape == (5, 3, 3)


def above(over, rate, layers):
    """(x, y) 2% off the minimum whose sharpness is `over` times 2/rate."""
    total = over * 2 / rate * 2 / layers
    y = np.sqrt((total - np.sqrt(total**2 - 4)) / 2)
    return 1 / y, 1.02 * y


def ends(over, rate, layers, steps=8000):
    x, y = descended(*above(over, rate, layers), layers, rate, steps)
    return sharpness_at(x[-1], y[-1], layers)


def test_two_scalars_end_anywhere_below_their_edge_and_four_close_under_it():
    two, four = ([ends(over, 0.1, layers) for over in (1.05, 1.2, 1.4)] for layers in (2, 4))
    assert max(two) < 20 and np.ptp(two) > 10
    # wherever they begin; 4 rate^3 is the next order of the gap
    assert np.ptp(four) < 1e-9 and four[0] == pytest.approx(edge_end(0.1), abs=5e-3)


def test_the_gap_of_four_scalars_to_their_edge_is_half_the_rate_up_to_its_third_power():
    rates = np.array([0.1, 0.07, 0.05])
    off = [ends(1.1, rate, 4) - edge_end(rate) for rate in rates]
    slope = np.polyfit(np.log(rates), np.log(off), 1)[0]
    assert slope == pytest.approx(3, abs=0.1)  # the next order over a factor of 2


def test_two_scalars_end_about_as_far_below_their_edge_as_they_began_above():
    for over in (1.02, 1.05):
        # at second order in how far: 0.7 of it
        assert 1 - ends(over, 0.05, 2) / 40 == pytest.approx(over - 1, rel=2 * (over - 1))


def test_flow_of_scalars_ends_at_the_sharpness_of_what_it_conserves():
    given, flow = (
        initial.Given(np.array([1.7, 1.7, 0.3, 0.3])),
        rules.GradientFlow(rtol=1e-10, atol=1e-12, solver="dopri8"),
    )
    source = data.Gaussian(n=6, d=1, map=np.array([[1.5]]))
    made = lm.Experiment(
        architectures.DeepLinear(hidden=(1, 1, 1)),
        source,
        flow,
        lm.Clock(time=60.0, marks=4),
        given,
    )
    comparison = lm.compare(lm.run(made, (instruments.Sharpness(),)), EdgeToy(), 1e-7)
    assert comparison.verdict == "holds", comparison
    # of two: the closed form of the whole timeline, long after
    end = two_layers(1.7, 0.3, 1.0, 1.0, np.array([50.0]))
    assert sharpness_at(1.7, 0.3, 2) == pytest.approx(
        minimum_sharpness(np.ravel(end), 1.0, 1.0), rel=1e-12
    )


def test_a_toy_says_nothing_of_two_scalars_under_descent_nor_from_below_the_edge():
    good = EdgeToy.example()
    turned = [("rule.rate", 0.05), ("rule.rate", 0.12), ("architecture.hidden", (1,))]
    turned += [
        ("initial.flat", np.array(w))
        for w in ([4.0, 3.9, 0.4, 0.4], [4.0, 4.0, 0.5, 0.5], [4.0, 4.0, -0.4, -0.4])
    ]
    for path, value in turned:
        changed = good.with_value(path, value)
        if path == "architecture.hidden":
            changed = changed.with_value("initial.flat", np.array([4.0, 0.4]))
        with pytest.raises(Refused, match="EdgeToy needs"):
            EdgeToy().predict(lm.prepare(changed))


@pytest.mark.parametrize("kind", ["linear-rules", "edge-of-stability", "edge-toy"])
def test_what_is_said_of_edges_keeps_the_contracts_of_theories(kind):
    checks = contracts.of_part(catalog.members("theories")[kind])
    assert [(check.claim, check.measured) for check in checks if not check.holds] == []


def test_nothing_is_said_of_the_sharpness_of_a_run_that_does_not_come_to_its_edge():
    slow = EdgeOfStability.example().with_value("rule.rate", 0.02)
    comparison = lm.compare(
        lm.run(slow, (instruments.Sharpness(), instruments.PreconditionedSharpness())),
        EdgeOfStability(),
    )
    assert comparison.verdict == "outside domain" and [
        c.claim[:28] for c in comparison.conditions if not c.holds
    ] == ["the sharpness has come to the"[:28]]
    for rule in (
        rules.Lion(),
        rules.SGD(batch=4),
        rules.GradientDescent(decay=0.1, coupled=True),
        rules.Langevin(),
    ):
        with pytest.raises(Refused, match="that has a threshold"):
            EdgeOfStability().predict(lm.prepare(slow.with_value("rule", rule)))


def test_under_its_own_preconditioner_alone_a_rule_or_a_scaling_with_rates_of_its_own_comes_to_its_edge():
    network = architectures.Mlp(hidden=(8,), scaling=scalings.MeanField())
    for rule, architecture in (
        (rules.RMSProp(rate=0.01), LINE.architecture),
        (rules.GradientDescent(rate=0.01), network),
    ):
        start = lm.prepare(dataclasses.replace(LINE, rule=rule, architecture=architecture))
        said = EdgeOfStability().predict(start)
        assert set(said.data_vars) == {"preconditioned_sharpness"} and float(
            said["preconditioned_sharpness"]
        ) == pytest.approx(200, rel=1e-14)
