"""From lazy to rich: what the dial does to training, and the instruments that tell where a run
stands, against plain numpy."""

import dataclasses

import equinox as eqx
import numpy as np
import pytest

import learnmech as lm
from learnmech import instruments, interventions, rules, scalings
from learnmech.architectures import DeepLinear, Diagonal, Dialed, Linearized, Mlp, Residual
from learnmech.data import Gaussian
from learnmech.data.base import Drawn, View

INSTRUMENTS = (
    instruments.FeatureMovement(),
    instruments.LinearizationError(),
    instruments.Distance(),
    instruments.Weights(),
)
STEPS = rules.GradientDescent(rate=0.2)


def experiment(architecture, rule=STEPS, steps=40, k=1):
    return lm.Experiment(
        architecture, Gaussian(n=12, d=4, k=k, test=5), rule, lm.Clock(steps=steps, every=10)
    )


@pytest.mark.parametrize(
    "of",
    [
        Mlp(hidden=(7, 5), bias=True),
        Residual(width=6, blocks=2),
        DeepLinear(hidden=(5,)),
        Mlp(hidden=(6,), scaling=scalings.NTK()),
    ],
)
@pytest.mark.parametrize("alpha", [0.3, 20.0])
def test_the_dial_asks_for_less_and_leaves_the_rest_of_training_as_it_is(of, alpha):
    # alpha^2 c |f - f_0 - y/alpha|^2 at rate/alpha^2: the plain network on targets f_0 + y/alpha,
    # to the time
    dialed = lm.run(experiment(Dialed(of, alpha=alpha)))
    plain = lm.prepare(experiment(of))
    train = plain.data.train
    outputs = np.asarray(
        eqx.filter_jit(lambda system, params, X: system.outputs(params, X))(
            plain.system, plain.state.params, train.X
        )
    )
    asked = lm.prepare(plain.experiment, data=Drawn(View(train.X, outputs + train.Y / alpha)))
    alone = lm.run(asked)
    for path, leaf in alone.final.items():
        np.testing.assert_allclose(
            dialed.final[path], leaf, rtol=1e-10, atol=1e-12
        )  # round-off over forty steps
    np.testing.assert_allclose(dialed["loss"], alpha**2 * alone["loss"], rtol=1e-9)
    assert np.array_equal(dialed["time"], alone["time"])


def by_hand(params, X):
    """(features of both layers, outputs) of tanh with biases, in numpy; analytic, so that it
    takes complex numbers."""
    layers = [params[f"layer{index}"] for index in (1, 2, 3)]
    first = np.tanh(X @ layers[0]["weight"].T + layers[0]["bias"])
    second = np.tanh(first @ layers[1]["weight"].T + layers[1]["bias"])
    return first, second, second @ layers[2]["weight"].T + layers[2]["bias"]


def test_features_and_the_tangents_error_are_as_by_hand():
    record = lm.run(experiment(Mlp(hidden=(6, 5), bias=True), k=2), INSTRUMENTS)
    data = record.start.data
    for row, step in enumerate(record["feature_movement"]["step"].values):
        start, params = (record.at(at).params for at in (0, int(step)))
        start, params = (
            {
                layer: {name: np.asarray(leaf) for name, leaf in leaves.items()}
                for layer, leaves in tree.items()
            }
            for tree in (start, params)
        )
        moved = [
            np.linalg.norm(now - then) / np.linalg.norm(then)
            for now, then in zip(
                by_hand(params, data.train.X), by_hand(start, data.train.X), strict=True
            )
        ]
        # round-off of differences of features of size 1
        np.testing.assert_allclose(record["feature_movement"][row], moved, rtol=1e-12, atol=1e-14)
        for name, X in (
            ("linearization_error", data.train.X),
            ("test_linearization_error", data.test.X),
        ):
            # a complex step of 1e-30 is the derivative to round-off
            ahead = {
                layer: {
                    n: start[layer][n] + 1e-30j * (leaf - start[layer][n])
                    for n, leaf in leaves.items()
                }
                for layer, leaves in params.items()
            }
            now, then, tangent = (
                by_hand(params, X)[-1],
                by_hand(start, X)[-1],
                by_hand(ahead, X)[-1].imag / 1e-30,
            )
            said = (
                np.linalg.norm(now - then - tangent) / np.linalg.norm(now - then) if step else 0.0
            )
            np.testing.assert_allclose(record[name][row], said, rtol=1e-10, atol=1e-13)


def test_all_that_moves_inside_falls_as_one_over_alpha():
    ends = []
    for alpha in (100.0, 1000.0):
        record = lm.run(experiment(Dialed(Mlp(hidden=(8,)), alpha=alpha)), INSTRUMENTS)
        one = [
            record[name].values[-1]
            for name in (
                "feature_movement",
                "relative_distance",
                "linearization_error",
                "test_linearization_error",
            )
        ]
        ends.append(np.concatenate([np.atleast_1d(values)[:1] for values in one]))
    # the next order is 1/alpha of it
    np.testing.assert_allclose(ends[0] / ends[1], 10.0, rtol=0.05)


def test_a_lazy_network_trains_as_its_tangent_and_a_rich_one_does_not():
    of = Mlp(hidden=(8,), scaling=scalings.NTK())
    losses = [
        lm.run(experiment(architecture, steps=200))["loss"].values
        for architecture in (Linearized(of), Dialed(of, alpha=1e4), Dialed(of, alpha=0.2))
    ]
    # the tangent of f carries f_0, that of the centered dial does not
    tangent = lm.run(experiment(Linearized(Dialed(of)), steps=200))["loss"].values
    np.testing.assert_allclose(
        losses[1], tangent, rtol=1e-3
    )  # 1/alpha, times what a few hundred steps make of it
    assert np.abs(losses[2] - tangent).max() > 0.05 * tangent[0]
    assert np.abs(losses[0] - tangent).max() > 0.05 * tangent[0]


def test_a_tangent_has_no_error_and_a_frozen_layer_no_movement():
    record = lm.run(experiment(Linearized(Mlp(hidden=(6,)))), INSTRUMENTS)
    assert record["linearization_error"].values.max() < 1e-13  # round-off
    assert record["feature_movement"].values[-1].min() > 1e-3
    still = lm.run(
        dataclasses.replace(
            experiment(Mlp(hidden=(6,))), events=(interventions.Freeze("layer1", at=0),)
        ),
        INSTRUMENTS,
    )
    assert (
        not still["feature_movement"].values[:, 0].any()
        and still["feature_movement"].values[-1, 1] > 1e-3
    )
    # linear in what is left
    assert still["linearization_error"].values.max() < 1e-12


@pytest.mark.parametrize(
    "of",
    [
        Residual(width=5, blocks=1),
        DeepLinear(hidden=(4, 3)),
        Diagonal(),
        Dialed(Mlp(hidden=(5,)), alpha=2.0),
    ],
    ids=lambda of: repr(of)[:8],
)
def test_every_network_can_be_looked_at(of):
    record = lm.run(experiment(of), INSTRUMENTS)
    for name in ("feature_movement", "linearization_error", "test_linearization_error"):
        assert not record[name].values[0].any() and (record[name].values[1:] > 0).all()
    # a diagonal network begins at zero
    assert (
        np.isfinite(record["feature_movement"]).all() == (not isinstance(of, Diagonal))
        and np.isfinite(record["linearization_error"]).all()
    )
    last = record["feature_movement"]["layer"].values[-1]
    assert list(record["feature_movement"]["layer"].values) == [
        f"layer{index}" for index in range(1, int(last[5:]) + 1)
    ]
