"""Losses on classes against mpmath and closed forms, their labels, and what they do in a run."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules
from learnmech.curvature.operators import product_of
from learnmech.errors import Refused
from learnmech.language import catalog
from learnmech.system.landscape import hessian_matrix

mpmath.mp.dps = 60
RNG = np.random.default_rng(0)
# the same shape throughout: outputs of every size, from undecided to beyond what e^f can hold
OUTPUTS = np.array(
    [[0.3, -0.2, 0.1], [40.0, 0.0, -3.0], [-800.0, 900.0, 0.0], [1.0, 1.0, 1.0], [-2.0, 5.0, 4.0]]
)
ONE_HOT = np.eye(3)[[0, 0, 1, 2, 0]]
SOFT = np.array(
    [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.9, 0.1], [0.25, 0.25, 0.5], [0.0, 0.5, 0.5]]
)
SIGNS = 2 * ONE_HOT - 1
WEIGHT = np.abs(RNG.standard_normal(OUTPUTS.shape))


def softmax_price(f, y, w):
    return sum(
        wc * yc * (mpmath.log(mpmath.fsum(mpmath.exp(g) for g in f)) - fc)
        for fc, yc, wc in zip(f, y, w, strict=True)
    )


def logistic_price(f, y, w):
    return sum(wc * mpmath.log1p(mpmath.exp(-yc * fc)) for fc, yc, wc in zip(f, y, w, strict=True))


def hinge_price(power):
    return lambda f, y, w: sum(
        wc * max(mpmath.mpf(0), 1 - yc * fc) ** power for fc, yc, wc in zip(f, y, w, strict=True)
    )


def softmax_slopes(f, y, w):
    """(w y) summed times p, minus w y; and the same sum times diag p - pp'."""
    total = mpmath.fsum(mpmath.exp(g) for g in f)
    p, mass = (
        [mpmath.exp(g) / total for g in f],
        mpmath.fsum(a * b for a, b in zip(w, y, strict=True)),
    )
    slope = [mass * a - b * c for a, b, c in zip(p, w, y, strict=True)]
    return slope, [
        [mass * (a * (1 - a) if i == j else -a * b) for j, b in enumerate(p)]
        for i, a in enumerate(p)
    ]


def logistic_slopes(f, y, w):
    s = [1 / (1 + mpmath.exp(yc * fc)) for fc, yc in zip(f, y, strict=True)]
    slope = [-wc * yc * sc for yc, wc, sc in zip(y, w, s, strict=True)]
    return slope, [
        [w[i] * s[i] * (1 - s[i]) if i == j else 0 for j in range(len(f))] for i in range(len(f))
    ]


def hinge_slopes(power):
    def slopes(f, y, w):
        short = [max(mpmath.mpf(0), 1 - yc * fc) for fc, yc in zip(f, y, strict=True)]
        slope = [
            -power * wc * yc * (sc ** (power - 1) if sc > 0 else 0)
            for yc, wc, sc in zip(y, w, short, strict=True)
        ]
        return slope, [
            [w[i] * 2 * (power == 2) * (short[i] > 0) if i == j else 0 for j in range(len(f))]
            for i in range(len(f))
        ]

    return slopes


CASES = {
    "cross-entropy": (losses.CrossEntropy(), ONE_HOT, softmax_price, softmax_slopes),
    "cross-entropy of probabilities": (losses.CrossEntropy(), SOFT, softmax_price, softmax_slopes),
    "logistic": (losses.Logistic(), SIGNS, logistic_price, logistic_slopes),
    "hinge": (losses.Hinge(), SIGNS, hinge_price(1), hinge_slopes(1)),
    "squared hinge": (losses.Hinge(squared=True), SIGNS, hinge_price(2), hinge_slopes(2)),
}
each_case = pytest.mark.parametrize("name", CASES)


@jax.jit
def looked_at(loss, outputs, Y, weight):
    """The price, its slope, and the (k, k) bend of every sample; samples do not feel each other."""
    along = jax.vmap(
        lambda v: jax.jvp(
            jax.grad(loss.value),
            (outputs, Y, weight),
            (jnp.broadcast_to(v, outputs.shape), 0 * Y, 0 * weight),
        )[1]
    )
    return (
        loss.value(outputs, Y, weight),
        jax.grad(loss.value)(outputs, Y, weight),
        along(jnp.eye(outputs.shape[1])).transpose(1, 0, 2),
    )


def exact(f, y, w, price, slopes):
    """Price, slopes and bends of every sample in sixty digits, rounded."""
    rows = [
        [[mpmath.mpf(float(x)) for x in one] for one in row] for row in zip(f, y, w, strict=True)
    ]
    found = [(price(*row), *slopes(*row)) for row in rows]
    return [np.array([np.array(one[part], float) for one in found]) for part in range(3)]


@each_case
@pytest.mark.parametrize("weighed", [False, True])
def test_a_price_its_slope_and_its_bend_are_those_of_sixty_digits(name, weighed):
    loss, Y, price, slopes = CASES[name]
    weight = WEIGHT if weighed else np.ones_like(WEIGHT)
    value, slope, bend = map(np.asarray, looked_at(loss, OUTPUTS, Y, weight))
    prices, slopes, bends = exact(OUTPUTS, Y, weight, price, slopes)
    # a few operations each, numbers up to 900, whose exponentials inherit 900 eps
    np.testing.assert_allclose(value, prices.mean(), rtol=1e-14)
    np.testing.assert_allclose(slope, slopes / 5, rtol=2e-13, atol=1e-16)
    np.testing.assert_allclose(bend, bends / 5, rtol=2e-13, atol=1e-16)


def test_what_is_all_but_certain_keeps_its_digits():
    # the price e^-g of a class ahead by g, which 1 + e^-g in float64 has lost beyond 37
    gaps = np.array([1.0, 30.0, 60.0, 300.0, 700.0])
    outputs, weight = np.stack([gaps, 0 * gaps, 0 * gaps - 800], axis=1), np.ones((5, 3))
    _, slope, bend = map(
        np.asarray, looked_at(losses.CrossEntropy(), outputs, np.eye(3)[[0] * 5], weight)
    )
    expected = np.array([float(1 / (1 + mpmath.exp(gap))) for gap in gaps])
    np.testing.assert_allclose(5 * slope[:, 0], -expected, rtol=2e-13)  # 700 eps in the exponential
    np.testing.assert_allclose(5 * slope[:, 1], expected, rtol=2e-13)
    np.testing.assert_allclose(5 * bend[:, 0, 0], expected * (1 - expected), rtol=2e-13)
    _, slope, bend = map(np.asarray, looked_at(losses.Logistic(), outputs, np.ones((5, 3)), weight))
    np.testing.assert_allclose(5 * slope[:, 0], -expected, rtol=2e-13)
    np.testing.assert_allclose(5 * bend[:, 0, 0], expected * (1 - expected), rtol=2e-13)


def test_a_sum_is_n_means_and_a_ridge_is_half_its_square():
    params = {"layer1": {"weight": np.array([[1.0, -2.0]])}}
    for name, (loss, Y, _, _) in CASES.items():
        one, all_of_them = (
            np.asarray(dataclasses.replace(loss, scaling=s).value(OUTPUTS, Y))
            for s in ("mean", "sum")
        )
        assert all_of_them == pytest.approx(5 * one, rel=1e-15), name
        assert dataclasses.replace(loss, ridge=0.3).penalty(params) == pytest.approx(
            0.15 * 5, rel=1e-15
        )
        assert "n = 5" in loss.formula(5) and "0.2" in loss.formula(5)


def test_a_weight_of_whole_samples_is_the_same_for_each_of_their_outputs():
    for loss, Y, _, _ in CASES.values():
        for_samples, for_outputs = (
            loss.value(OUTPUTS, Y, w) for w in (WEIGHT[:, 0], np.repeat(WEIGHT[:, :1], 3, axis=1))
        )
        assert float(for_samples) == float(for_outputs)


def test_two_classes_under_softmax_are_one_logistic_output():
    f = OUTPUTS[:, :2]
    signs = np.array([1.0, -1.0, 1.0, 1.0, -1.0])[:, None]
    two = losses.CrossEntropy().value(
        f, np.concatenate([signs > 0, signs < 0], axis=1).astype(float)
    )
    assert float(two) == pytest.approx(
        float(losses.Logistic().value(f[:, :1] - f[:, 1:], signs)), rel=1e-14
    )


# --- labels


BAD = {
    "one column": (losses.CrossEntropy(), np.ones((4, 1))),
    "numbers of classes": (losses.CrossEntropy(), np.array([[0.0, 3.0], [1.0, 0.0]])),
    "signs for probabilities": (losses.CrossEntropy(), np.array([[1.0, -1.0], [-1.0, 1.0]])),
    "zeros and ones for signs": (losses.Logistic(), np.eye(2)),
    "no label": (losses.Hinge(), np.array([[1.0], [0.0]])),
    "numbers": (losses.Hinge(squared=True), np.array([[1.0], [-1.5]])),
}


@pytest.mark.parametrize("name", BAD)
def test_labels_that_are_not_classes_are_refused_when_the_experiment_is_prepared(name):
    loss, Y = BAD[name]
    source = data.Gaussian(n=len(Y), d=2, k=Y.shape[1])
    one = lm.Experiment(
        architectures.DeepLinear(),
        source,
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=2, every=1),
        loss=loss,
    )
    drawn = source.draw(np.random.default_rng(0))
    for side in ("train", "test"):
        fine = (
            np.tile([1.0] + [0.0] * (Y.shape[1] - 1), (3, 1))
            if isinstance(loss, losses.CrossEntropy)
            else np.ones((3, Y.shape[1]))
        )
        if side == "test" and name == "one column":
            continue
        train, test = (
            dataclasses.replace(drawn.train, X=np.ones((len(y), 2)), Y=y)
            for y in ((Y, fine) if side == "train" else (fine, Y))
        )
        with pytest.raises(
            Refused, match=rf"^{type(loss).__name__} needs .*(classes).*, but got .*\. [A-Z].*\.$"
        ) as caught:
            lm.prepare(one, data=dataclasses.replace(drawn, train=train, test=test))
        assert name == "one column" or f"of the {side} targets" in str(caught.value)


def test_an_event_that_brings_labels_that_are_no_classes_is_refused():
    fine = lm.Experiment(
        architectures.DeepLinear(),
        data.Digits.example(),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=4, every=2),
        loss=losses.CrossEntropy(),
    )
    event = lm.interventions.Relabel(values=np.full((40, 2), 0.7), at=2)
    with pytest.raises(Refused, match="classes"):
        lm.run(dataclasses.replace(fine, events=(event,)))


# --- in a run


def on_digits(loss, targets, **changes):
    parts = {
        "architecture": architectures.Mlp(hidden=(6,)),
        "rule": rules.GradientDescent(rate=0.5),
    } | changes
    source = data.Digits(train=60, classes=(0, 1, 2), components=5, targets=targets)
    return lm.Experiment(data=source, clock=lm.Clock(steps=40, every=20), loss=loss, **parts)


@pytest.fixture(scope="module")
def learned():
    """Cross-entropy on three digits, watched."""
    return lm.run(
        on_digits(losses.CrossEntropy(ridge=1e-3), "one-hot"),
        (instruments.Loss(), instruments.Accuracy(), instruments.TestLoss()),
    )


def test_cross_entropy_begins_near_the_price_of_ignorance_and_falls(learned):
    assert learned["loss"].values[-1] < 0.2 * learned["loss"].values[0]
    flat = losses.CrossEntropy().value(np.zeros((4, 10)), np.eye(10)[:4])
    assert float(flat) == pytest.approx(np.log(10), rel=1e-15)


def test_accuracy_is_the_share_of_samples_in_the_right_class(learned):
    start = lm.prepare(learned.experiment)
    for side, name in ((start.data.train, "accuracy"), (start.data.test, "test_accuracy")):
        outputs = np.asarray(start.system.outputs(learned.params, side.X))
        assert learned[name].values[-1] == pytest.approx(
            np.mean(outputs.argmax(1) == np.asarray(side.Y).argmax(1)), abs=1e-15
        )
    assert learned["accuracy"].values[-1] > 0.9 > 0.8 > learned["accuracy"].values[0]


def test_a_linear_network_is_reduced_for_the_squared_loss_alone():
    for loss, targets, reduced in (
        (losses.Squared(), "one-hot", True),
        (losses.CrossEntropy(), "one-hot", False),
        (losses.Logistic(), "signs", False),
    ):
        start = lm.prepare(on_digits(loss, targets, architecture=architectures.DeepLinear()))
        assert (start.system.reduced is not None) == reduced


def test_the_curvature_of_cross_entropy_splits_into_gauss_newton_and_what_the_network_bends(
    learned,
):
    """H = J'(diag p - pp')J/n + ridge + sum of residuals times the outputs' own curvature, which
    a linear network has none of."""
    start = lm.prepare(
        on_digits(losses.CrossEntropy(), "one-hot", architecture=architectures.DeepLinear())
    )
    W = np.asarray(start.params["layer1"]["weight"])
    X = np.asarray(start.data.train.X)
    f = X @ W.T
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    bend = np.einsum("ia,ab->iab", p, np.eye(3)) - np.einsum("ia,ib->iab", p, p)
    expected = np.einsum("iab,ij,ik->ajbk", bend, X, X).reshape(W.size, W.size) / len(X)
    # sums of 60 products
    np.testing.assert_allclose(
        hessian_matrix(start.system, start.state.params), expected, atol=1e-14
    )
    for of in ("gauss-newton", "fisher"):
        product = jax.jit(
            lambda v, of=of: product_of(start.system, start.state.params, of)(
                {"layer1": {"weight": v}}
            )["layer1"]["weight"]
        )
        v = RNG.standard_normal(W.shape)
        np.testing.assert_allclose(np.asarray(product(v)).ravel(), expected @ v.ravel(), atol=1e-13)


def test_theories_of_the_squared_loss_say_that_this_one_is_not_and_predict_nothing():
    start, asked = (
        lm.prepare(
            on_digits(losses.CrossEntropy(), "one-hot", architecture=architectures.DeepLinear())
        ),
        0,
    )
    ours = [
        kind
        for kind, member in catalog.members("theories").items()
        if member.module.startswith("learnmech.")
    ]  # other tests add their own
    for kind in ours:
        theory = catalog.find("theories", kind)()
        squared = [
            one for one in theory.conditions(start) if one.claim.startswith("the loss is squared")
        ]
        if squared:
            assert [(one.value, one.holds) for one in squared] == [("CrossEntropy", False)], kind
            with pytest.raises(Refused):
                theory.predict(start)
            asked += 1
    assert asked > 5


def test_a_batch_counts_its_own_samples():
    start = lm.prepare(on_digits(losses.CrossEntropy(), "one-hot"))
    chosen = np.array([3, 1, 4, 1])
    batch = start.system.at(jnp.asarray(chosen))
    f, Y = (
        np.asarray(start.system.outputs(start.state.params, start.system.train.X))[chosen],
        np.asarray(start.data.train.Y)[chosen],
    )
    assert float(batch.loss(start.state.params)) == pytest.approx(
        float(losses.CrossEntropy().value(f, Y)), rel=1e-13
    )


@pytest.mark.parametrize("kind", ["cross-entropy", "logistic", "hinge"])
def test_a_price_keeps_single_precision(kind):
    for (name, (loss, *_)), weighed in itertools.product(CASES.items(), (False, True)):
        if name.startswith(kind):
            single = [jax.ShapeDtypeStruct(OUTPUTS.shape, jnp.float32)] * (2 + weighed)
            assert (
                jax.eval_shape(loss.value, *single).dtype
                == jnp.float32
                == jax.eval_shape(jax.grad(loss.value), *single).dtype
            ), name
