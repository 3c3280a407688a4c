"""What has been learned, by degree, by frequency, by mode of a kernel and by class, against numpy,
scipy and scikit-learn."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

import learnmech as lm
from learnmech import architectures, data, initial, instruments, losses, rules
from learnmech.errors import Refused
from learnmech.instruments.harmonics import hermite_products

RNG = np.random.default_rng(11)


def looked(instrument, experiment):
    """What an instrument reads at the start of an experiment."""
    return lm.run(experiment, (instrument,)).dataset.isel(time=0)


def of_arrays(X, Y, network=None, loss=None, **more):
    """One step of these samples."""
    return lm.Experiment(
        architectures.DeepLinear() if network is None else network,
        data.Arrays(X, Y, **more),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=1),
        loss=losses.Squared() if loss is None else loss,
    )


def test_products_of_hermite_degrees_are_sums_over_all_polynomials_of_the_degree():
    X = RNG.standard_normal((5, 3))
    he = np.stack(
        [
            np.polynomial.hermite_e.hermeval(X, np.eye(5)[k]) / np.sqrt([1, 1, 2, 6, 24][k])
            for k in range(5)
        ]
    )
    found = hermite_products(jnp.asarray(X), 4)
    for degree in range(5):
        said = np.zeros((5, 5))
        for powers in np.ndindex(5, 5, 5):
            if sum(powers) == degree:
                h = np.prod([he[p, :, i] for i, p in enumerate(powers)], axis=0)
                said += np.outer(h, h)
        np.testing.assert_allclose(found[degree], said, rtol=1e-10, atol=1e-11)


def test_the_power_by_degree_is_that_of_the_coefficients_within_its_error():
    powers = np.array([0.3, 0.0, -0.8, 0.5]) ** 2
    plain = lm.Experiment(
        architectures.SingleIndex((0.3, 0.0, -0.8, 0.5)),
        data.Gaussian(n=1500, d=4),
        rules.GradientDescent(rate=0.01),
        lm.Clock(steps=1),
    )
    read = looked(instruments.HermitePower(degree=4), plain)
    off = np.abs(read["hermite_power"].values - [*powers, 0.0])
    error = read["hermite_power_error"].values
    assert np.all(off < 4 * error) and np.all(error < 0.12)
    # of targets that are linear, all in degree 1
    read = looked(instruments.HermitePower(of="targets", samples=1000), plain)
    power = read["target_hermite_power"].values
    assert power.argmax() == 1 and abs(power[[0, 2, 3, 4]]).max() < 0.1 * power[1]
    with pytest.raises(Refused, match="HermitePower needs inputs that are standard normal"):
        looked(
            instruments.HermitePower(),
            of_arrays(3 * RNG.standard_normal((200, 2)), np.ones((200, 1))),
        )


def test_the_power_by_frequency_is_that_of_a_polynomial_on_the_circle():
    class Waves(architectures.DeepLinear):
        """Two outputs of known waves."""

        def forward(self, params, X, tap=lambda name, value: value):
            t = jnp.arctan2(X[:, 1], X[:, 0])
            f = jnp.stack([2 + jnp.cos(t) - 3 * jnp.sin(4 * t), jnp.cos(4 * t + 1.0)], axis=1)
            return tap("output", f + 0 * params["layer1"]["weight"][0, 0])

    X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal((6, 2))
    start = lm.prepare(of_arrays(X, Y))
    system = dataclasses.replace(start.system, architecture=Waves(), reduced=None)
    moment = type("M", (), {"system": system, "state": start.state})
    power = np.asarray(instruments.FourierPower(frequencies=6).read(moment)["fourier_power"])
    np.testing.assert_allclose(power, [4, 0.5, 0, 0, 4.5 + 0.5, 0, 0], atol=1e-12)
    with pytest.raises(Refused, match="FourierPower needs two inputs"):
        looked(instruments.FourierPower(), of_arrays(RNG.standard_normal((6, 3)), Y))
    with pytest.raises(Refused, match="more than 16 points"):
        instruments.FourierPower(points=16)


def test_what_is_learned_of_a_mode_is_the_share_that_descent_has_fitted_of_a_kernel_that_stands_still():
    X, Y = RNG.standard_normal((7, 4)), RNG.standard_normal((7, 2))
    plain = dataclasses.replace(
        of_arrays(X, Y, X_test=RNG.standard_normal((5, 4)), Y_test=RNG.standard_normal((5, 2))),
        initial=initial.Gaussian(scale=0.0),
        clock=lm.Clock(steps=30, every=30),
    )
    record = lm.run(plain, (instruments.Learnability(count=4, on="train"),))
    lam = np.linalg.eigvalsh(X @ X.T)[::-1][:4]
    np.testing.assert_allclose(record["mode_eigenvalue"].values[0], lam / 7, rtol=1e-9)
    said = 1 - (1 - 0.1 * lam / 7) ** 30
    np.testing.assert_allclose(record["learnability"].values[-1], said, rtol=1e-9)
    # on the pool: by the outputs and the targets of all samples
    read = lm.run(plain, (instruments.Learnability(count=4),)).dataset.isel(time=-1)
    start = record.start
    both = [
        np.concatenate([getattr(v, side) for v in (start.data.train, start.data.test)])
        for side in "XY"
    ]
    u = np.linalg.eigh(both[0] @ both[0].T)[1][:, ::-1][:, :4]
    f = both[0] @ np.asarray(record.final["layer1.weight"]).T
    wanted = u.T @ both[1]
    np.testing.assert_allclose(
        read["learnability"], ((u.T @ f) * wanted).sum(1) / (wanted**2).sum(1), rtol=1e-8
    )
    with pytest.raises(Refused, match="Learnability needs count <= 12"):
        lm.run(plain, (instruments.Learnability(count=13),))


@pytest.mark.parametrize("coding", ["one-hot", "signs", "ids"])
def test_classes_are_told_apart_as_scikit_learn_tells_it(coding):
    own = RNG.integers(0, 3, 40)
    if coding == "ids":
        X, Y = RNG.integers(0, 5, (40, 2)), own
        source, network = data.Ids(X, Y), architectures.Embedding()
        loss = losses.CrossEntropy()
    else:
        X, Y = RNG.standard_normal((40, 4)), np.eye(3)[own] * (2 if coding == "signs" else 1)
        Y, network = Y - (coding == "signs"), architectures.Mlp(hidden=(5,))
        source = data.Arrays(X, Y)
        loss = losses.CrossEntropy() if coding == "one-hot" else losses.Squared()
    plain = lm.Experiment(
        network, source, rules.GradientDescent(rate=0.1), lm.Clock(steps=1), loss=loss
    )
    watch = (instruments.TestByClass(), instruments.Confusion(), instruments.Calibration(bins=7))
    record = lm.run(plain, (*watch, "outputs", "loss"))
    read, f = record.dataset.isel(time=0), record["outputs"].values[0].reshape(40, 3)
    given = f.argmax(1)
    said = metrics.confusion_matrix(own, given, normalize="true")
    np.testing.assert_allclose(read["confusion"], said, atol=1e-12)
    np.testing.assert_allclose(read["class_accuracy"], np.diag(said), atol=1e-12)
    shares = np.bincount(own) / 40
    assert float(read["class_loss"].values @ shares) == pytest.approx(float(read["loss"]), rel=1e-9)
    if coding == "signs":
        sure = f.max(1).clip(0, 1)
    else:
        sure = np.exp(f - f.max(1, keepdims=True)).max(1) / np.exp(f - f.max(1, keepdims=True)).sum(
            1
        )
    edges, error = np.linspace(0, 1, 8), 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        among = (sure > low) & (sure <= high) | ((low == 0) & (sure == 0))
        if among.any():
            error += among.mean() * abs((given == own)[among].mean() - sure[among].mean())
    assert float(read["calibration_error"]) == pytest.approx(error, abs=1e-12)
    assert float(read["bin_share"].sum()) == pytest.approx(1)


def test_of_one_output_the_classes_are_its_signs_and_its_confidence_the_sigmoid():
    X = RNG.standard_normal((30, 3))
    Y = np.where(X[:, :1] > 0, 1.0, -1.0)
    plain = of_arrays(X, Y, architectures.Mlp(hidden=(4,)), losses.Logistic())
    record = lm.run(plain, (instruments.Confusion(), instruments.Calibration(bins=1), "outputs"))
    f = record["outputs"].values[0][:, 0]
    said = metrics.confusion_matrix(Y[:, 0] < 0, f <= 0, normalize="true")
    np.testing.assert_allclose(record["confusion"].values[0], said, atol=1e-12)
    sure = 1 / (1 + np.exp(-np.abs(f)))
    gap = abs(np.mean((f > 0) == (Y[:, 0] > 0)) - sure.mean())
    assert float(record["calibration_error"].values[0]) == pytest.approx(gap, abs=1e-12)
    with pytest.raises(Refused, match="Accuracy needs targets that are classes"):
        lm.run(of_arrays(X, RNG.standard_normal((30, 2))), (instruments.TestByClass(),))
