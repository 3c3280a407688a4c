"""Rules of motion: every rule against its equation by hand, step by step; schedules, decay,
clipping and noise; flows and what they are the limits of."""

import jax
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.linalg

import learnmech as lm
from learnmech import architectures, data, instruments, rules, schedules
from learnmech.comparison.orders import measured_order
from learnmech.errors import Refused
from learnmech.theories import Flow, Regression

DATA = data.Gaussian(n=12, d=4, k=2)
TWO_LAYERS = architectures.DeepLinear(hidden=(3,))
ROUND_OFF = {"rtol": 1e-12, "atol": 1e-14}
STEPS = 5


def slope(weights, X, Y):
    """Gradient of |X (W2 W1)' - Y|^2 / 2n in both weights."""
    W1, W2 = weights
    error = (X @ (W2 @ W1).T - Y).T @ X / len(X)
    return [W2.T @ error, error @ W1.T]


def agree(rule, move, loss_slope=slope):
    """Whether the weights after 1, 2 and 5 steps are those of `move(gradients, memory, weights,
    step) -> (updates, memory)`."""
    experiment = lm.Experiment(TWO_LAYERS, DATA, rule, lm.Clock(steps=STEPS, every=1))
    start = lm.prepare(experiment)
    X, Y = start.data.train.X, start.data.train.Y
    weights, memory, path = (
        [start.params[name]["weight"] for name in ("layer1", "layer2")],
        None,
        [],
    )
    for step in range(STEPS):
        updates, memory = move(loss_slope(weights, X, Y), memory, weights, step)
        weights = [w + u for w, u in zip(weights, updates, strict=True)]
        path.append(weights)
    record = lm.run(experiment, (instruments.Weights(),))
    for step in (1, 2, 5):
        for name, said in zip(("layer1.weight", "layer2.weight"), path[step - 1], strict=True):
            np.testing.assert_allclose(record[name].values[step], said, **ROUND_OFF)
    return record


def test_nesterov_steps_along_the_gradient_and_the_velocity_after_it():
    def move(g, v, w, step):
        v = [0.8 * a + b for a, b in zip(v or [0.0, 0.0], g, strict=True)]
        return [-0.05 * (b + 0.8 * a) for a, b in zip(v, g, strict=True)], v

    agree(rules.Nesterov(rate=0.05, momentum=0.8), move)


def test_a_moving_average_forgets_at_the_rate_it_learns():
    def move(g, m, w, step):
        m = [0.8 * a + 0.2 * b for a, b in zip(m or [0.0, 0.0], g, strict=True)]
        return [-0.1 * a for a in m], m

    agree(rules.MovingAverage(rate=0.1, momentum=0.8), move)


def test_rmsprop_divides_by_the_root_of_a_moving_average_without_correction():
    def move(g, v, w, step):
        v = [0.9 * a + 0.1 * b**2 for a, b in zip(v or [0.0, 0.0], g, strict=True)]
        return [-0.02 * b / (np.sqrt(a) + 1e-3) for a, b in zip(v, g, strict=True)], v

    agree(rules.RMSProp(rate=0.02, b2=0.9, eps=1e-3), move)


def test_lion_takes_the_sign_of_one_average_and_remembers_another():
    def move(g, m, w, step):
        m = m or [0.0, 0.0]
        signs = [np.sign(0.7 * a + 0.3 * b) for a, b in zip(m, g, strict=True)]
        return [-0.01 * s for s in signs], [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]

    agree(rules.Lion(rate=0.01, b1=0.7, b2=0.9), move)


@pytest.mark.parametrize("eps", [0.0, 0.05])
def test_sign_descent_moves_every_weight_by_the_same_amount_up_to_eps(eps):
    agree(
        rules.SignDescent(rate=0.01, eps=eps),
        lambda g, m, w, step: ([-0.01 * x / (np.abs(x) + eps) for x in g], None),
    )


@pytest.mark.parametrize("eps", [0.0, 0.05])
def test_spectral_descent_moves_every_mode_of_the_gradient_by_the_same_amount_up_to_eps(eps):
    def polar(G):
        # two outputs: of three modes the gradient of the first layer has two
        U, s, V = scipy.linalg.svd(G, full_matrices=False)
        return (U[:, :2] * (s[:2] / (s[:2] + eps))) @ V[:2]

    agree(
        rules.SpectralDescent(rate=0.02, eps=eps),
        lambda g, m, w, step: ([-0.02 * polar(x) for x in g], None),
    )


def test_spectral_descent_with_momentum_moves_along_the_polar_factor_of_its_average():
    def polar(G):
        U, s, V = scipy.linalg.svd(G, full_matrices=False)
        return U[:, :2] @ V[:2] if min(G.shape) > 2 and s[2] < 1e-10 * s[0] else U @ V

    def move(g, m, w, step):
        m = [0.8 * p + 0.2 * q for p, q in zip(m or [0.0, 0.0], g, strict=True)]
        return [-0.02 * polar(x) for x in m], m

    agree(rules.SpectralDescent(rate=0.02, momentum=0.8), move)


def test_directions_without_a_gradient_are_not_moved_by_spectral_descent():
    # one sample and one output: each gradient has rank one, and so has every step
    experiment = lm.Experiment(
        TWO_LAYERS,
        data.Gaussian(n=1, d=4, k=1),
        rules.SpectralDescent(rate=0.02),
        lm.Clock(steps=2, every=1),
    )
    weights = lm.run(experiment, (instruments.Weights(),))["layer1.weight"].values
    for one in np.diff(weights, axis=0):
        np.testing.assert_allclose(np.linalg.svd(one, compute_uv=False), [0.02, 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    "shape, nesterov, debiased",
    [("width", True, True), ("rms", False, True), ("width", True, False), ("rms", False, False)],
)
def test_muon_iterates_newton_and_schulz_on_its_momentum(shape, nesterov, debiased):
    a, b, c = 3.4445, -4.7750, 2.0315
    beta = 0.9

    def orthogonalized(G):
        X = G.T if G.shape[0] > G.shape[1] else G
        X = X / (np.linalg.norm(X) + 1e-8)
        for _ in range(5):
            A = X @ X.T
            X = a * X + (b * A + c * A @ A) @ X
        return X.T if G.shape[0] > G.shape[1] else X

    def move(g, m, w, step):
        m = [beta * p + (1 - beta) * q for p, q in zip(m or [0.0, 0.0], g, strict=True)]
        now = [p / (1 - beta ** (step + 1)) for p in m] if debiased else m
        if (
            nesterov and not debiased
        ):  # as torch.optim.Muon: the average and this gradient, as they are
            now = [beta * p + (1 - beta) * q for p, q in zip(m, g, strict=True)]
        elif nesterov:  # the average as it will be a step later, with this gradient once more
            now = [
                beta * p / (1 - beta ** (step + 2)) + (1 - beta) * q / (1 - beta ** (step + 1))
                for p, q in zip(m, g, strict=True)
            ]
        updates = []
        for one in now:
            out, inn = one.shape
            factor = (
                np.sqrt(max(1, out / inn)) if shape == "width" else 0.2 * np.sqrt(max(out, inn))
            )
            updates.append(-0.02 * factor * orthogonalized(one))
        return updates, m

    agree(
        rules.Muon(rate=0.02, momentum=beta, nesterov=nesterov, shape=shape, debiased=debiased),
        move,
    )


def test_vectors_are_moved_by_adam_in_the_form_of_nesterov_under_muon():
    made = {"data": DATA, "clock": lm.Clock(steps=2, every=1)}
    biased = architectures.Mlp(hidden=(3,), bias=True)
    seen = lm.run(
        lm.Experiment(biased, rule=rules.Muon(rate=0.02), **made), (instruments.Weights(),)
    )["layer1.bias"].values
    # the first step is the rate times 0.9 * 0.1/(1 - 0.9^2) + 1, whatever the gradient
    np.testing.assert_allclose(np.abs(seen[1] - seen[0]), 0.02 * (0.09 / 0.19 + 1), rtol=1e-5)


# --- decay, clipping, schedules, noise


def test_decay_is_in_the_gradient_where_coupled_and_beside_the_step_where_not():
    def coupled(g, v, w, step):
        v = [0.8 * a + b + 0.3 * c for a, b, c in zip(v or [0.0, 0.0], g, w, strict=True)]
        return [-0.05 * a for a in v], v

    def apart(g, v, w, step):
        v = [0.8 * a + b for a, b in zip(v or [0.0, 0.0], g, strict=True)]
        return [-0.05 * a - 0.05 * 0.3 * c for a, c in zip(v, w, strict=True)], v

    agree(rules.HeavyBall(rate=0.05, momentum=0.8, decay=0.3, coupled=True), coupled)
    agree(rules.HeavyBall(rate=0.05, momentum=0.8, decay=0.3), apart)


def test_a_clipped_gradient_keeps_its_direction_and_is_no_longer_than_said():
    def move(g, m, w, step):
        norm = np.sqrt(sum(np.sum(x**2) for x in g))
        return [-0.1 * x * min(1.0, 0.4 / norm) for x in g], None

    record = agree(rules.GradientDescent(rate=0.1, clip=0.4), move)
    moved = np.sqrt(
        sum(
            np.sum(np.diff(record[f"layer{i}.weight"].values, axis=0) ** 2, axis=(1, 2))
            for i in (1, 2)
        )
    )
    assert moved[0] == pytest.approx(
        0.04, rel=1e-12
    )  # this start's gradient is longer than the bound


SCHEDULES = {
    "warm-up": (schedules.WarmUp(steps=7), lambda j: min(1.0, (j + 1) / 7)),
    "cosine": (schedules.Cosine(steps=40), optax.cosine_decay_schedule(1.0, 40)),
    "cosine to a part": (
        schedules.Cosine(steps=40, end=0.1),
        optax.cosine_decay_schedule(1.0, 40, alpha=0.1),
    ),
    "warm-up and cosine": (
        schedules.Cosine(steps=40, warmup=5, end=0.1),
        lambda j: (j + 1) / 5 if j < 5 else optax.cosine_decay_schedule(1.0, 35, alpha=0.1)(j - 5),
    ),
    "steps": (
        schedules.Step(every=6, factor_each=0.5),
        optax.exponential_decay(1.0, 6, 0.5, staircase=True),
    ),
    "steps of one": (schedules.Step(every=6, factor_each=1.0), lambda j: 1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_that_of_optax_and_its_time_is_the_sum_of_its_rates(name):
    schedule, said = SCHEDULES[name]
    steps = np.arange(60)
    seen = np.asarray(schedule.factor(steps)) * np.ones(60)
    np.testing.assert_allclose(seen, [float(said(j)) for j in steps], rtol=1e-12, atol=1e-14)
    # sums of up to 60 numbers of order one
    np.testing.assert_allclose(
        np.asarray(schedule.total(np.arange(61))),
        np.concatenate([[0], np.cumsum(seen)]),
        rtol=1e-13,
        atol=1e-13,
    )


def test_a_schedule_paces_the_whole_step_and_the_clock():
    schedule = schedules.Cosine(steps=4, warmup=2, end=0.2)
    factors = np.asarray(schedule.factor(np.arange(STEPS)))

    def move(g, v, w, step):
        v = [0.8 * a + b for a, b in zip(v or [0.0, 0.0], g, strict=True)]
        return [-0.05 * factors[step] * (a + 0.3 * c) for a, c in zip(v, w, strict=True)], v

    record = agree(rules.HeavyBall(rate=0.05, momentum=0.8, decay=0.3, schedule=schedule), move)
    np.testing.assert_allclose(
        record["time"], np.concatenate([[0], np.cumsum(0.05 * factors)]), rtol=1e-14
    )


def test_a_clock_in_time_finds_the_steps_of_a_schedule():
    rule = rules.GradientDescent(rate=0.1, schedule=schedules.WarmUp(steps=10))
    marks = lm.prepare(lm.Experiment(TWO_LAYERS, DATA, rule, lm.Clock(time=1.9, marks=5))).marks
    passed = np.concatenate([[0], np.cumsum(0.1 * np.minimum(1, np.arange(1, 60) / 10))])
    assert list(marks.steps) == [
        int(np.argmin(np.abs(passed - t))) for t in (0, 0.475, 0.95, 1.425, 1.9)
    ]
    np.testing.assert_allclose(marks.times, passed[marks.steps], rtol=1e-12)
    with pytest.raises(Refused, match="a time that the rule's schedule reaches"):
        lm.prepare(
            lm.Experiment(
                TWO_LAYERS,
                DATA,
                rules.GradientDescent(schedule=schedules.Cosine(steps=10)),
                lm.Clock(time=5.0),
            )
        )


def test_theories_of_a_constant_rate_do_not_speak_of_a_schedule_or_decay():
    made = {
        "architecture": architectures.DeepLinear(hidden=()),
        "data": DATA,
        "clock": lm.Clock(steps=5),
    }
    for changed in ({"schedule": schedules.WarmUp(steps=3)}, {"decay": 0.1}, {"clip": 1.0}):
        start = lm.prepare(lm.Experiment(rule=rules.GradientDescent(rate=0.1, **changed), **made))
        assert not all(condition.holds for condition in Regression().conditions(start))
        with pytest.raises(Refused):
            Regression().predict(start)


def test_langevin_settles_at_the_gaussian_of_its_temperature():
    # one weight on a quadratic of curvature h: variance 2 T/(h (2 - rate h)), exact at any rate
    rate, temperature, steps = 0.3, 0.05, 40_000
    experiment = lm.Experiment(
        architectures.DeepLinear(hidden=()),
        data.Gaussian(n=12, d=1, k=1, noise=0.1),
        rules.Langevin(rate=rate, temperature=temperature),
        lm.Clock(steps=steps, every=4),
    )
    X, Y = (getattr(lm.prepare(experiment).data.train, name) for name in ("X", "Y"))
    h, middle = float(np.mean(X**2)), float(np.sum(X * Y) / np.sum(X**2))
    w = lm.run(experiment, (instruments.Weights(),))["layer1.weight"].values[200:, 0, 0]
    variance, kept = 2 * temperature / (h * (2 - rate * h)), (1 - rate * h) ** 4
    # an average over samples with correlation `kept` from one to the next: effective number n (1 -
    # k^2)/(1 + k^2) for squares
    number = len(w) * (1 - kept**2) / (1 + kept**2)
    assert abs(np.mean((w - middle) ** 2) / variance - 1) < 4 * np.sqrt(2 / number)
    assert abs(np.mean(w) - middle) < 4 * np.sqrt(variance * (1 + kept) / (1 - kept) / len(w))


def test_a_batch_above_the_data_and_biases_under_spectral_descent_are_refused():
    made = {"data": DATA, "clock": lm.Clock(steps=5)}
    with pytest.raises(Refused, match="a batch of at most n = 12 samples"):
        lm.prepare(lm.Experiment(TWO_LAYERS, rule=rules.Lion(batch=13), **made))
    for rule, clock in (
        (rules.SpectralDescent(), lm.Clock(steps=5)),
        (rules.SpectralFlow(), lm.Clock(time=1.0)),
    ):
        with pytest.raises(Refused, match="weights that are matrices"):
            lm.prepare(lm.Experiment(architectures.Mlp(hidden=(3,), bias=True), DATA, rule, clock))
    with pytest.raises(Refused, match="a warm-up shorter than the whole"):
        schedules.Cosine(steps=5, warmup=5)


# --- preconditioners and edges


def test_a_preconditioner_is_what_turns_the_gradient_into_the_step():
    for rule in (
        rules.GradientDescent(rate=0.1),
        rules.RMSProp(rate=0.1, eps=1e-2),
        rules.Adam(rate=0.1, eps=1e-2),
    ):
        state = lm.run(lm.Experiment(TWO_LAYERS, DATA, rule, lm.Clock(steps=3))).at(3)
        start = lm.prepare(lm.Experiment(TWO_LAYERS, DATA, rule, lm.Clock(steps=3)))
        seen = jax.tree.leaves(rule.preconditioner(start.system, state.memory, state.params))
        if isinstance(rule, rules.GradientDescent):
            assert all((np.asarray(one) == 1).all() for one in seen)
            continue
        nu = [
            np.asarray(one)
            for one in jax.tree.leaves(optax.tree_utils.tree_get(state.memory, "nu"))
        ]
        seen_share = 1 - 0.999**3 if isinstance(rule, rules.Adam) else 1.0
        for one, v in zip(seen, nu, strict=True):
            np.testing.assert_allclose(one, 1 / (np.sqrt(v / seen_share) + 1e-2), rtol=1e-12)
    assert rules.Muon().preconditioner(start.system, (), start.state.params) is None


@pytest.mark.parametrize(
    "kind", [rules.Nesterov, rules.MovingAverage], ids=lambda kind: kind.__name__
)
def test_momentum_diverges_on_a_quadratic_exactly_above_its_edge(kind):
    made = {
        "architecture": architectures.DeepLinear(hidden=()),
        "data": data.Gaussian(n=12, d=1, k=1, noise=0.1),
        "clock": lm.Clock(steps=400, marks=3),
    }
    X = lm.prepare(lm.Experiment(rule=kind(rate=0.1), **made)).data.train.X
    _, edge = kind(rate=0.1).edge(float(np.mean(X**2)))
    below, above = (
        lm.run(lm.Experiment(rule=kind(rate=edge * part), **made), (instruments.Norms(),))[
            "gradient_norm"
        ].values[:, 0]
        for part in (0.97, 1.03)
    )
    assert below[-1] < below[0] and above[-1] > 10 * above[0]


# --- flows


def test_sign_flow_is_integrated_as_by_another_solver():
    experiment = lm.Experiment(
        TWO_LAYERS,
        DATA,
        rules.SignFlow(eps=0.1, rtol=1e-9, atol=1e-12),
        lm.Clock(time=0.5, marks=3),
    )
    start = lm.prepare(experiment)
    first, second = (start.params[name]["weight"] for name in ("layer1", "layer2"))
    cut = first.size

    def moving(t, flat):
        g = slope(
            [flat[:cut].reshape(first.shape), flat[cut:].reshape(second.shape)],
            start.data.train.X,
            start.data.train.Y,
        )
        return -np.concatenate([np.ravel(x) / (np.abs(np.ravel(x)) + 0.1) for x in g])

    end = scipy.integrate.solve_ivp(
        moving,
        (0, 0.5),
        np.concatenate([first.ravel(), second.ravel()]),
        "DOP853",
        rtol=1e-11,
        atol=1e-13,
    ).y[:, -1]
    final = lm.run(experiment).final
    # a kink where a gradient changes sign costs a solver of high order its order
    np.testing.assert_allclose(
        np.concatenate([final["layer1.weight"].ravel(), final["layer2.weight"].ravel()]),
        end,
        atol=1e-7,
    )


def test_the_flow_of_momentum_is_a_damped_oscillator_on_a_quadratic():
    rate, b = 0.05, 0.9
    experiment = lm.Experiment(
        architectures.DeepLinear(hidden=()),
        data.Gaussian(n=12, d=1, k=1, noise=0.1),
        rules.MomentumFlow(rate=rate, momentum=b, rtol=1e-10, atol=1e-13),
        lm.Clock(time=2.0, marks=9),
    )
    start = lm.prepare(experiment)
    X, Y = start.data.train.X, start.data.train.Y
    h, middle, w0 = (
        float(np.mean(X**2)),
        float(np.sum(X * Y) / np.sum(X**2)),
        float(start.params["layer1"]["weight"][0, 0]),
    )
    record = lm.run(experiment, (instruments.Weights(),))
    mass, friction = rate * (1 + b) / 2, 1 - b
    roots = np.roots([mass, friction, h]).astype(complex)
    t = record["time"].values
    begun = -h / (1 + b)  # its velocity at first, for a distance of one
    first, second = (
        (roots[1] - begun) / (roots[1] - roots[0]),
        (begun - roots[0]) / (roots[1] - roots[0]),
    )
    said = (first * np.exp(roots[0] * t) + second * np.exp(roots[1] * t)).real * (
        w0 - middle
    ) + middle
    np.testing.assert_allclose(record["layer1.weight"].values[:, 0, 0], said, atol=1e-8)


FLOWING = {
    "heavy ball": rules.HeavyBall(momentum=0.6),
    "nesterov": rules.Nesterov(momentum=0.6),
    "moving average": rules.MovingAverage(momentum=0.6),
    "sign descent": rules.SignDescent(eps=0.1),
    "adam": rules.Adam(b1=0.6, b2=0.5, eps=0.1),
    "rmsprop": rules.RMSProp(b2=0.5, eps=0.1),
    "spectral descent": rules.SpectralDescent(eps=0.1),
    "muon": rules.Muon(momentum=0.6, eps=0.1),
}


@pytest.mark.parametrize("name", FLOWING)
def test_steps_become_their_flow_at_first_order_in_the_rate(name):
    experiment = lm.Experiment(TWO_LAYERS, DATA, FLOWING[name], lm.Clock(time=0.4, marks=3))
    found = measured_order(
        experiment, Flow(), "rule.rate", [0.01, 0.005, 0.0025, 0.00125], "layer1.weight"
    )
    # the next order bends the line by about its value at the middle of the range
    assert found.slope == pytest.approx(1, abs=0.1)


def test_heavy_ball_follows_its_oscillator_at_second_order_in_the_rate():
    off = []
    for rate in (0.02, 0.01):
        made = {"architecture": TWO_LAYERS, "data": DATA}
        seen = lm.run(
            lm.Experiment(
                rule=rules.HeavyBall(rate=rate, momentum=0.5),
                clock=lm.Clock(time=1.0, marks=2),
                **made,
            )
        ).final
        flow = rules.MomentumFlow(rate=rate, momentum=0.5, rtol=1e-10, atol=1e-13)
        said = lm.run(lm.Experiment(rule=flow, clock=lm.Clock(time=1.0, marks=2), **made)).final
        off.append(max(np.abs(seen[path] - said[path]).max() for path in seen))
    assert np.log2(off[0] / off[1]) == pytest.approx(2, abs=0.2)
