"""Learning in function space: kernel learners against solvers, plain loops, 60 digits and
scikit-learn; the theories against runs of linearized networks."""

import equinox as eqx
import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

import learnmech as lm
from learnmech import rules
from learnmech.architectures import Diagonal, Dialed, Linearized, Mlp, Residual
from learnmech.architectures.scalings import NTK, SP, MeanField, MuP
from learnmech.data import Gaussian
from learnmech.errors import Refused
from learnmech.initial import Gaussian as GaussianStart
from learnmech.instruments import Loss, Outputs, TestLoss
from learnmech.kernels import decay
from learnmech.kernels.learner import KernelLearner
from learnmech.kernels.posterior import posterior
from learnmech.losses import Squared
from learnmech.sweeps import sweep
from learnmech.theories.infinite_width import EnsembleMean, InfiniteWidth, ensemble, kernel
from learnmech.theories.tangent import Lazy

SENTENCE = r"^[^.]* needs .+, but got .+\. .+[.?]$"
C = {
    "half-mean": lambda n: 1 / (2 * n),
    "mean": lambda n: 1 / n,
    "half-sum": lambda n: 1 / 2,
    "sum": lambda n: 1.0,
}
N, Q, K = 6, 4, 2
every_scaling = pytest.mark.parametrize("scaling", C)
every_kernel = pytest.mark.parametrize("kind", ["full rank", "repeated inputs", "low rank"])


def drawn(kind):
    """A kernel between N + Q inputs, the first N those trained on, targets there (N, K), and
    starts everywhere."""
    rng = np.random.default_rng(3)
    features = rng.standard_normal((N + Q, 3 if kind == "low rank" else 12))
    if kind == "repeated inputs":
        features[1] = features[0]  # with unlike targets: a direction which nothing can fit
    return features @ features.T / 4, rng.standard_normal((N, K)), rng.standard_normal((N + Q, K))


def learner_of(kind, c):
    T, Y, start = drawn(kind)
    return KernelLearner.of(T[:N, :N], Y, c, start[:N])


def told(learner, kind, decayed):
    """What it says of all inputs at every mark."""
    T, _, start = drawn(kind)
    return np.concatenate(
        [learner.outputs(decayed), learner.elsewhere(T[N:, :N], start[N:], decayed)], axis=1
    )


WIDE = Mlp(hidden=(16,), scaling=NTK(), bias=True)


def experiment(architecture, rule=None, k=1, test=4, **more):
    rule = rule or rules.GradientDescent(rate=0.3)
    clock = lm.Clock(time=6.0, marks=4) if rule.flows else lm.Clock(steps=20, every=5)
    return lm.Experiment(architecture, Gaussian(n=7, d=3, k=k, test=test), rule, clock, **more)


# --- trajectories of outputs


@every_kernel
@every_scaling
def test_flow_of_all_outputs_is_that_of_a_solver_at_any_time(kind, scaling):
    (T, Y, start), c = drawn(kind), C[scaling](N)
    learner = learner_of(kind, c)
    times = np.array([0.0, 1e-9, 0.3, 2.0, 30.0]) / learner.rates[-1]

    def slope(_, f):
        f = f.reshape(N + Q, K)
        return (-2 * c * T[:, :N] @ (f[:N] - Y)).ravel()

    solved = scipy.integrate.solve_ivp(
        slope, (0, times[-1]), start.ravel(), "DOP853", times, rtol=1e-12, atol=1e-13
    ).y.T.reshape(-1, N + Q, K)
    # the solver's 1e-12 per step over some hundred steps
    np.testing.assert_allclose(
        told(learner, kind, decay.flow(learner.rates, times)), solved, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        learner.residual(decay.flow(learner.rates, times)), solved[:, :N] - Y, rtol=1e-9, atol=1e-9
    )


@every_kernel
@every_scaling
def test_flow_on_the_training_inputs_is_a_matrix_exponential(kind, scaling):
    (T, Y, start), c = drawn(kind), C[scaling](N)
    learner = learner_of(kind, c)
    for time in np.array([0.0, 1e-6, 1.0, 40.0, 1e4]) / learner.rates[-1]:
        said = Y + scipy.linalg.expm(-2 * c * T[:N, :N] * time) @ (start[:N] - Y)
        # round-off of scaling and squaring, 1e-16 times |T| t, at most 1e4
        np.testing.assert_allclose(
            learner.outputs(decay.flow(learner.rates, [time]))[0], said, rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize(
    "share, momentum",
    [
        (0.3, 0.0),
        (1.0, 0.0),
        (1.9, 0.0),
        (2.05, 0.0),
        (0.5, 0.9),
        (3.5, 0.8),
        ((1 - 0.8**0.5) ** 2, 0.8),
    ],
)
@every_kernel
@every_scaling
def test_descent_and_heavy_ball_move_all_outputs_as_a_plain_loop_does(
    kind, scaling, share, momentum
):
    (T, Y, start), c = drawn(kind), C[scaling](N)
    learner = learner_of(kind, c)
    rate, steps = share / learner.rates[-1], np.array([0, 1, 2, 7, 60])
    f, v, path = start, np.zeros_like(start), []
    for _ in range(steps[-1] + 1):
        path.append(f)
        v = momentum * v + 2 * c * T[:, :N] @ (f[:N] - Y)
        f = f - rate * v
    if momentum:
        decayed = decay.heavy_ball(learner.rates, rate, momentum, steps)
    else:
        decayed = decay.descent(learner.rates, rate, steps)
    seen = np.array(path)[steps]
    # round-off over sixty steps, of outputs that grow some tenfold where the rate is above the
    # stable one
    np.testing.assert_allclose(
        told(learner, kind, decayed), seen, rtol=1e-10, atol=1e-11 * np.abs(seen).max()
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_ill_conditioned_kernel_is_followed_to_60_digits(momentum):
    exponents, rate, steps = range(0, 13, 2), 0.9, [0, 1, 10, 1000]
    with mpmath.workdps(60):
        left, gain = [], []
        for e in exponents:
            h = mpmath.mpf(10) ** -e
            A = mpmath.matrix(
                [[1 - rate * h, -mpmath.mpf(rate) * momentum, rate], [h, momentum, -1], [0, 0, 1]]
            )
            powers = [A**k if k else mpmath.eye(3) for k in steps]
            left.append([float(P[0, 0]) for P in powers])
            gain.append([float(P[0, 2]) for P in powers])
    h = 10.0 ** -np.array(exponents)
    found = (
        decay.heavy_ball(h, rate, momentum, np.array(steps))
        if momentum
        else decay.descent(h, rate, np.array(steps))
    )
    # a rate of 1e-12 is 1e-4 of round-off beside 1, so that the gain by plain powers would keep
    # four digits; 1,000 steps of round-off
    np.testing.assert_allclose(found.left.T, left, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found.gain.T, gain, rtol=1e-11)


def test_a_direction_of_no_rate_gains_time_and_one_of_little_rate_almost():
    flow, steps = (
        decay.flow(np.array([0.0, 1e-20]), [0.0, 3.0]),
        decay.descent(np.array([0.0, 1e-20]), 0.5, np.array([0, 6])),
    )
    ball = decay.heavy_ball(np.array([0.0, 1e-20]), 0.5, 0.5, np.array([0, 6]))
    assert (
        np.array_equal(flow.left, np.ones((2, 2)))
        and np.array_equal(steps.left, np.ones((2, 2)))
        and np.array_equal(ball.left, np.ones((2, 2)))
    )
    np.testing.assert_allclose(flow.gain, [[0, 0], [3, 3]], rtol=1e-15)
    np.testing.assert_allclose(steps.gain, [[0, 0], [3, 3]], rtol=1e-15)
    # of a unit force after k steps at momentum b: rate sum_j (1 - b^j)/(1 - b) = rate (k - b (1 -
    # b^k)/(1 - b))/(1 - b)
    np.testing.assert_allclose(
        ball.gain, [[0, 0], [(6 - (1 - 0.5**6)) * 0.5 / 0.5] * 2], rtol=1e-14
    )


# --- infinite time, ridge, posterior


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_at_infinite_time_it_is_scikit_learns_kernel_ridge(ridge):
    T, Y, start = drawn("full rank")
    learner = learner_of("full rank", 0.25)
    fitted = KernelRidge(alpha=ridge, kernel="precomputed").fit(T[:N, :N], Y - start[:N])
    # round-off times the condition number of the kernel, about 1e2
    np.testing.assert_allclose(
        learner.limit(T[N:, :N], start[N:], ridge),
        start[N:] + fitted.predict(T[N:, :N]),
        rtol=1e-11,
        atol=1e-12,
    )
    if not ridge:
        said = told(learner, "full rank", decay.forever(learner.rates))[0]
        np.testing.assert_allclose(said[:N], Y, atol=1e-13)
        np.testing.assert_allclose(
            said[N:], learner.limit(T[N:, :N], start[N:]), rtol=1e-12, atol=1e-12
        )
        late = told(learner, "full rank", decay.flow(learner.rates, [1e6 / learner.rates[0]]))[0]
        np.testing.assert_allclose(late, said, rtol=1e-12, atol=1e-12)


def test_a_ridge_on_the_movement_of_weights_ends_where_its_gradient_vanishes():
    rng, c, rho = np.random.default_rng(0), 0.2, 0.7
    J, Y, f = rng.standard_normal((5, 9)), rng.standard_normal((5, 1)), rng.standard_normal((5, 1))
    moved = np.linalg.solve(2 * c * J.T @ J + rho * np.eye(9), 2 * c * J.T @ (Y - f))
    learner = KernelLearner.of(J @ J.T, Y, c, f)
    # two solves of condition number below 1e3
    np.testing.assert_allclose(
        learner.limit(J @ J.T, f, rho / (2 * c)), f + J @ moved, rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["repeated inputs", "low rank"])
def test_a_singular_kernel_ends_where_the_pseudoinverse_says(kind):
    T, Y, start = drawn(kind)
    learner = learner_of(kind, 0.5)
    said = start + T[:, :N] @ np.linalg.pinv(T[:N, :N], rcond=1e-12, hermitian=True) @ (
        Y - start[:N]
    )
    # round-off times the condition number within the range, about 1e2
    np.testing.assert_allclose(
        told(learner, kind, decay.forever(learner.rates))[0], said, rtol=1e-11, atol=1e-11
    )
    assert learner.condition_number == np.inf and np.sum(learner.values == 0) == (
        1 if kind == "repeated inputs" else 3
    )


@pytest.mark.parametrize("noise", [0.0, 0.1, 2.0])
def test_the_posterior_is_scikit_learns_gaussian_process(noise):
    rng, rbf = np.random.default_rng(1), RBF(0.4)
    X, other, Y = (
        np.sort(rng.uniform(-2, 2, (7, 1)), axis=0),
        rng.uniform(-3, 3, (5, 1)),
        rng.standard_normal((7, 2)),
    )
    mean, cov = (
        GaussianProcessRegressor(rbf, alpha=noise**2, optimizer=None)
        .fit(X, Y)
        .predict(other, return_cov=True)
    )
    said = posterior(rbf(X), Y, rbf(other, X), rbf(other), noise)
    condition = np.linalg.cond(rbf(X) + noise**2 * np.eye(7))
    # round-off times the condition number, of two ways to solve
    np.testing.assert_allclose(said.mean, mean, rtol=1e-14 * condition, atol=1e-14 * condition)
    np.testing.assert_allclose(said.cov, cov[..., 0], atol=1e-14 * condition)
    assert said.condition_number == pytest.approx(condition, rel=1e-12 * condition)


# --- over random starts


@every_kernel
def test_the_ensemble_is_the_sample_mean_and_covariance_of_learners_from_random_starts(kind):
    T, Y, _ = drawn(kind)
    rng, count = np.random.default_rng(5), 4000
    G = np.random.default_rng(6).standard_normal((N + Q, 15))
    nngp, steps = G @ G.T / 15, np.array([0, 3, 40])
    starts = rng.standard_normal((count, 15)) @ G.T / np.sqrt(15)  # f_0 ~ N(0, nngp)
    at_rest = KernelLearner.of(T[:N, :N], Y, 0.3)
    decayed = decay.heavy_ball(at_rest.rates, 0.8 / at_rest.rates[-1], 0.5, steps)
    said = at_rest.ensemble(decayed, nngp[:N, :N], T[N:, :N], nngp[N:, :N], nngp[N:, N:])
    # every start is one output of one learner
    many = KernelLearner.of(T[:N, :N], np.repeat(Y[:, :1], count, 1), 0.3, starts[:, :N].T)
    seen = np.concatenate(
        [many.outputs(decayed), many.elsewhere(T[N:, :N], starts[:, N:].T, decayed)], axis=1
    )
    mean = np.concatenate([said.train_mean, said.mean], axis=1)[..., 0]
    for mark in range(len(steps)):
        for part, cov in ((slice(0, N), said.train_cov[mark]), (slice(N, None), said.cov[mark])):
            f, size = seen[mark, part], np.diag(cov)
            # standard errors of means and of covariances of Gaussians; the largest of some hundred
            # stays below 4.5. Directions already fitted: round-off
            assert np.all(
                np.abs(f.mean(1) - mean[mark, part]) <= 4.5 * np.sqrt(size / count) + 1e-12
            )
            assert np.all(
                np.abs(np.cov(f) - cov)
                <= 4.5 * np.sqrt((cov**2 + np.outer(size, size)) / (count - 1)) + 1e-12
            )


def test_the_ensemble_ends_at_the_closed_formula_and_with_its_own_kernel_at_the_posterior():
    T, Y, _ = drawn("full rank")
    nngp = T + np.eye(N + Q) * 0.5
    learner = KernelLearner.of(T[:N, :N], Y, 0.3)
    said = learner.ensemble(
        decay.forever(learner.rates), nngp[:N, :N], T[N:, :N], nngp[N:, :N], nngp[N:, N:]
    )
    A = T[N:, :N] @ np.linalg.inv(T[:N, :N])
    # round-off times condition numbers of about 1e2
    np.testing.assert_allclose(said.mean[0], A @ Y, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        said.cov[0],
        nngp[N:, N:] + A @ nngp[:N, :N] @ A.T - A @ nngp[:N, N:] - nngp[N:, :N] @ A.T,
        rtol=1e-10,
        atol=1e-11,
    )
    np.testing.assert_allclose(said.train_cov[0], 0, atol=1e-25)
    np.testing.assert_allclose(said.train_mean[0], Y, atol=1e-13)
    own = learner.ensemble(
        decay.forever(learner.rates), T[:N, :N], T[N:, :N], T[N:, :N], T[N:, N:]
    )  # readouts alone are trained
    bayes = posterior(T[:N, :N], Y, T[N:, :N], T[N:, N:])
    np.testing.assert_allclose(own.mean[0], bayes.mean, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(own.cov[0], bayes.cov, rtol=1e-10, atol=1e-12)


# --- rates and times


@every_scaling
@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9])
def test_descent_converges_just_below_the_stable_rate_and_diverges_just_above(scaling, momentum):
    (T, Y, _), c = drawn("full rank"), C[scaling](N)
    edge = learner_of("full rank", c).stable_rate(momentum)
    for share, grows in ((0.98, False), (1.02, True)):
        f, v = np.zeros((N, K)), 0.0
        top = np.linalg.eigh(T[:N, :N])[1][:, -1]
        sizes = []
        for _ in range(1500):
            sizes.append(np.abs(top @ (f - Y)).max())
            v = momentum * v + 2 * c * T[:N, :N] @ (f - Y)
            f = f - share * edge * v
        assert (sizes[-1] > 10 * sizes[0]) if grows else (sizes[-1] < 0.1 * sizes[0])


def test_the_times_and_steps_to_fit_are_those_at_which_a_mode_is_fitted():
    learner = KernelLearner.of(np.diag([0.05, 0.4, 1.0]), np.ones((3, 1)), 0.5)
    assert learner.condition_number == pytest.approx(20, rel=1e-13)
    times = learner.fit_times(0.9)
    left = np.array([learner.residual(decay.flow(learner.rates, times))[i, i, 0] for i in range(3)])
    np.testing.assert_allclose(left, -0.1, rtol=1e-13)
    steps = learner.fit_steps(1.3, 0.9)
    for i, h in enumerate(learner.rates):
        residual, count = 1.0, 0
        while abs(residual) > 0.1:
            residual, count = residual - 1.3 * h * residual, count + 1
        assert np.ceil(steps[i]) == count


def test_a_null_direction_is_never_fitted():
    learner = learner_of("repeated inputs", 0.5)
    assert np.isposinf(learner.fit_times()[0]) and np.isfinite(learner.fit_times()[1:]).all()


# --- refusals

RANDOM = np.random.default_rng(0)
T6, Y6 = drawn("full rank")[0][:N, :N], drawn("full rank")[1]
MISTAKES = {
    "wrong shapes": lambda: KernelLearner.of(T6[:, :4], Y6, 0.5),
    "targets of other inputs": lambda: KernelLearner.of(T6, Y6[:4], 0.5),
    "targets without an axis": lambda: KernelLearner.of(T6, Y6[:, 0], 0.5),
    "NaN": lambda: KernelLearner.of(T6 * np.nan, Y6, 0.5),
    "infinite targets": lambda: KernelLearner.of(T6, Y6 * np.inf, 0.5),
    "asymmetric": lambda: KernelLearner.of(T6 + np.triu(np.ones((N, N)), 1), Y6, 0.5),
    "negative eigenvalues": lambda: KernelLearner.of(T6 - np.eye(N) * T6.max(), Y6, 0.5),
    "singular at infinity": lambda: learner_of("repeated inputs", 0.5).limit(T6),
    "negative ridge": lambda: learner_of("full rank", 0.5).limit(T6, ridge=-0.1),
    "rate above the stable one": lambda: learner_of("full rank", 0.5).fit_steps(
        1.01 * learner_of("full rank", 0.5).stable_rate()
    ),
    "rate of 0": lambda: learner_of("full rank", 0.5).fit_steps(0.0),
    "share of 1": lambda: learner_of("full rank", 0.5).fit_times(1.0),
    "share of 0": lambda: learner_of("full rank", 0.5).fit_steps(1e-3, 0.0),
    "negative noise": lambda: posterior(T6, Y6, T6, T6, -1.0),
    "posterior of repeated inputs": lambda: posterior(
        drawn("repeated inputs")[0][:N, :N], Y6, T6, T6
    ),
    "an ensemble without a test view": lambda: ensemble(
        lm.prepare(experiment(Mlp(hidden=(8,), scaling=NTK()), test=0))
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_in_one_sentence(mistake):
    with pytest.raises(Refused, match=SENTENCE):
        MISTAKES[mistake]()


def test_a_singular_posterior_has_one_with_noise_and_says_how_ill_conditioned_it_is():
    T = drawn("repeated inputs")[0]
    said = posterior(T[:N, :N], Y6, T[N:, :N], T[N:, N:], 0.1)
    assert said.condition_number == pytest.approx(
        np.linalg.cond(T[:N, :N] + 0.01 * np.eye(N)), rel=1e-9
    )


# --- mistakes, and the ends of the range

WRONG = {
    "a start of another shape": lambda: KernelLearner.of(T6, Y6, 0.5, np.zeros((N, 1))),
    "a start of NaN": lambda: KernelLearner.of(T6, Y6, 0.5, np.full((N, K), np.nan)),
    "a cross kernel of other inputs": lambda: learner_of("full rank", 0.5).limit(T6[:, :4]),
    "a ridge of NaN": lambda: learner_of("full rank", 0.5).limit(T6, ridge=np.nan),
    "a posterior of a kernel that is not square": lambda: posterior(T6[:, :4], Y6, T6, T6),
    "a posterior of variances alone": lambda: posterior(np.ones(N), Y6, T6, T6, 1.0),
    "an ensemble under Adam": lambda: ensemble(lm.prepare(experiment(WIDE, rules.Adam(rate=0.1)))),
    "an ensemble of batches": lambda: ensemble(
        lm.prepare(experiment(WIDE, rules.SGD(rate=0.1, batch=3)))
    ),
    "an ensemble with a ridge": lambda: ensemble(
        lm.prepare(experiment(WIDE, loss=Squared(ridge=0.1)))
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_has_no_meaning_is_refused(mistake):
    with pytest.raises(Refused, match=SENTENCE):
        WRONG[mistake]()


def test_descent_never_fits_a_null_direction_and_fits_a_slow_one_late():
    learner = KernelLearner.of(np.diag([0.0, 1e-13, 1.0]), np.ones((3, 1)), 0.5)
    steps = learner.fit_steps(1e-5)
    assert np.isposinf(steps[0])
    np.testing.assert_allclose(
        steps[1:], [np.log(100) * 1e18, -np.log(100) / np.log1p(-1e-5)], rtol=1e-12
    )


def test_what_is_left_after_very_many_steps_keeps_its_digits():
    h, k = 1e-12, 10**12
    with mpmath.workdps(50):
        left = float((1 - mpmath.mpf(h)) ** k)
    assert decay.descent(np.array([h]), 1.0, np.array([k])).left[0, 0] == pytest.approx(
        left, rel=1e-12
    )


def test_repeated_inputs_are_no_trouble_at_very_late_times_either():
    learner = learner_of("repeated inputs", 0.5)
    late, end = (
        told(learner, "repeated inputs", one)[0]
        for one in (decay.flow(learner.rates, [1e14]), decay.forever(learner.rates))
    )
    np.testing.assert_allclose(late, end, rtol=1e-9, atol=1e-9)


# --- the theories


NETWORKS = {
    "ntk with biases": Mlp(hidden=(9, 8), bias=True, scaling=NTK(weight=1.3, bias=0.4)),
    "sp": Mlp(hidden=(6,), bias=True),
    "mean-field": Mlp(hidden=(6,), scaling=MeanField(), activation="softplus"),
    "mup": Mlp(hidden=(5, 6), scaling=MuP(), bias=True),
    "dialed": Dialed(Mlp(hidden=(6,), scaling=NTK(), bias=True), alpha=3.0),
    "dialed, not centered": Dialed(Mlp(hidden=(6,), scaling=NTK()), gamma=0.5, centered=False),
    "residual": Residual(width=5, blocks=2, activation="tanh", branch=0.5),
    "diagonal": Diagonal(),
}
RULES = {
    "descent": rules.GradientDescent(rate=0.02),
    "heavy ball": rules.HeavyBall(rate=0.02, momentum=0.8),
    "flow": rules.GradientFlow(rtol=1e-11, atol=1e-13),
}


RUNS = [
    *[("ntk with biases", rule) for rule in RULES],
    *[(name, ("descent", "heavy ball")[place % 2]) for place, name in enumerate(NETWORKS) if place],
]


@pytest.mark.parametrize("name, rule", RUNS)
def test_lazy_is_exact_for_the_tangent_of_a_network(name, rule):
    given = experiment(
        Linearized(NETWORKS[name]),
        RULES[rule],
        k=1 if name == "diagonal" else 2,
        loss=Squared(scaling="mean"),
    )
    start = lm.prepare(given)
    record, said = lm.run(start, (Outputs(), Loss(), TestLoss())), Lazy().predict(start)
    assert [c.claim for c in Lazy().domain(start) if not c.holds] == []
    moved = np.abs(said["outputs"][-1] - said["outputs"][0]).max()
    assert moved > 0.01
    # steps: round-off over twenty of them; a flow: the solver's 1e-11 a step
    close = {"rtol": 1e-8, "atol": 1e-9} if rule == "flow" else {"rtol": 1e-11, "atol": 1e-12}
    for quantity in ("outputs", "test_outputs", "loss", "test_loss"):
        np.testing.assert_allclose(said[quantity], record[quantity], **close)


def held(theory, architecture, rule=None, **more):
    """{claim: whether it holds}."""
    return {
        c.claim: c.holds for c in theory.domain(lm.prepare(experiment(architecture, rule, **more)))
    }


def test_a_rate_above_that_at_which_the_kernel_diverges_is_outside_the_domain():
    for theory in (Lazy(), InfiniteWidth(), EnsembleMean()):
        edge = next(
            c
            for c in theory.domain(lm.prepare(experiment(WIDE)))
            if c.claim.startswith("rate below")
        ).bound
        for share in (0.99, 1.01):
            for momentum, rule in (
                (0.0, rules.GradientDescent),
                (0.5, lambda rate: rules.HeavyBall(rate=rate, momentum=0.5)),
            ):
                held_here = held(theory, WIDE, rule(rate=share * edge * (1 + momentum)))
                assert next(
                    holds for claim, holds in held_here.items() if claim.startswith("rate below")
                ) == (share < 1)


@pytest.mark.parametrize(
    "theory", [Lazy(), InfiniteWidth(), EnsembleMean()], ids=lambda one: type(one).__name__
)
def test_batches_other_rules_and_a_ridge_are_outside_the_domain(theory):
    assert not held(theory, WIDE, rules.SGD(rate=0.1, batch=3))["the rule sees all samples"]
    assert not held(theory, WIDE, rules.Adam(rate=0.1))[
        "the rule is GradientFlow or GradientDescent or HeavyBall"
    ]
    assert not held(theory, WIDE, loss=Squared(ridge=0.1))["no ridge in the loss"]
    for broken in ({"rule": rules.SGD(rate=0.1, batch=3)}, {"loss": Squared(ridge=0.1)}):
        with pytest.raises(Refused, match=SENTENCE):
            theory.predict(lm.prepare(experiment(WIDE, **broken)))


def test_the_infinitely_wide_network_moves_by_its_kernel_only_in_the_kernel_class():
    still = "the limiting kernel stands still (kernel class, or linearized)"
    for scaling, kernel_class in ((NTK(), True), (MuP(), False), (MeanField(), False)):
        assert held(InfiniteWidth(), Mlp(hidden=(16,), scaling=scaling))[still] == kernel_class
        assert held(InfiniteWidth(), Linearized(Mlp(hidden=(16,), scaling=scaling)))[still]
    assert not held(InfiniteWidth(), WIDE, initial=GaussianStart(scale=0.5))[
        "the start is Gaussian at scale 1"
    ]


def test_an_architecture_without_a_limit_says_why():
    start = lm.prepare(experiment(Mlp(hidden=(16, 16), scaling=SP())))
    said = next(
        c
        for c in InfiniteWidth().domain(start)
        if c.claim == "the tangent kernel has a limit at infinite width"
    )
    assert not said.holds and "grows as h^1" in said.value
    for make in (
        lambda: InfiniteWidth().predict(start),
        lambda: ensemble(start),
        lambda: ensemble(lm.prepare(experiment(Diagonal()))),
    ):
        with pytest.raises(Refused, match=SENTENCE):
            make()


ALIKE = {
    "ntk": WIDE,
    "residual": Residual(width=8, blocks=2, scaling=NTK(), activation="tanh", branch=0.5),
    "dialed": Dialed(WIDE, alpha=2.0),
}


@eqx.filter_jit
def outputs_of(system, params, X):
    return system.outputs(params, X)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "architecture",
    [*ALIKE.values(), Linearized(Mlp(hidden=(16,), scaling=MuP()))],
    ids=[*ALIKE, "tangent of mup"],
)
def test_at_infinite_width_outputs_move_by_the_limiting_kernel(architecture, rule):
    start = lm.prepare(experiment(architecture, RULES[rule], k=2))
    X, Y, test, n = start.data.train.X, start.data.train.Y, start.data.test.X, 7
    T = kernel(architecture, np.concatenate([X, test]), get="ntk")[:, :n]
    f = np.asarray(outputs_of(start.system, start.state.params, np.concatenate([X, test])))
    said = InfiniteWidth().predict(start)
    told = np.concatenate([said["outputs"], said["test_outputs"]], axis=1)
    if rule == "flow":
        for mark, t in enumerate(start.marks.times):
            M = scipy.linalg.expm(
                np.block([[-T / n * t, T @ Y / n * t], [np.zeros((2, n + 2))]])[
                    np.r_[:n, n + 4 : n + 6]
                ][:, np.r_[:n, n : n + 2]]
            )
            np.testing.assert_allclose(
                told[mark, :n], M[:n] @ np.concatenate([f[:n], np.eye(2)]), rtol=1e-10, atol=1e-11
            )  # round-off of expm
        return
    v, path, momentum = np.zeros_like(f), [], 0.8 if rule == "heavy ball" else 0.0
    for _ in range(21):
        path.append(f)
        v = momentum * v + T @ (f[:n] - Y) / n
        f = f - 0.02 * v
    np.testing.assert_allclose(
        told, np.array(path)[::5], rtol=1e-11, atol=1e-12
    )  # round-off over twenty steps


def test_seeds_of_wide_linearized_networks_are_the_ensemble():
    network = Linearized(
        Mlp(hidden=(1024,), scaling=NTK(weight=1.5, bias=0.7), bias=True, activation="erf")
    )
    given = experiment(
        network, rules.HeavyBall(rate=0.2, momentum=0.5), loss=Squared(scaling="mean")
    )
    count, start = 200, lm.prepare(given)
    grid, said, mean_said = (
        sweep(given, {}, count, (Outputs(),), backend="vmap"),
        ensemble(start),
        EnsembleMean().predict(start),
    )
    assert all(condition.holds for condition in EnsembleMean().domain(start))
    np.testing.assert_allclose(
        mean_said["outputs"], said.train_mean, rtol=1e-12, atol=1e-13
    )  # round-off
    np.testing.assert_allclose(mean_said["test_outputs"], said.mean, rtol=1e-12, atol=1e-13)
    for quantity, mean, cov in (
        ("outputs", said.train_mean, said.train_cov),
        ("test_outputs", said.mean, said.cov),
    ):
        for mark in range(grid.sizes["time"]):
            f, size = grid[quantity].values[:, mark, :, 0], np.diag(cov[mark])
            # standard errors over the seeds, of which the largest of some hundred stays below 4.5,
            # and 3% for what a width of 1024 is off: h^-1/2
            assert np.all(np.abs(f.mean(0) - mean[mark, :, 0]) <= 4.5 * np.sqrt(size / count))
            spread = np.sqrt((cov[mark] ** 2 + np.outer(size, size)) / (count - 1))
            assert np.all(
                np.abs(np.cov(f.T) - cov[mark])
                <= 4.5 * spread + 0.03 * np.sqrt(np.outer(size, size))
            )
