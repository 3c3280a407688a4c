"""Twins: how far they are apart, against numpy alone; how fast they part, against closed forms;
and where a kick is felt."""

import dataclasses

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, interventions, rules
from learnmech.errors import Refused


def experiment(architecture, rule=None, clock=None, **knobs):
    return lm.Experiment(
        architecture,
        data.Gaussian(n=30, d=4, k=2, noise=0.1),
        rule or rules.Adam(rate=0.02),
        clock or lm.Clock(steps=24, every=4),
        **knobs,
    )


@pytest.fixture(scope="module")
def pair():
    """A run of a tanh network under Adam, and a fork of it with one weight kicked and the labels
    dealt anew later."""
    record = lm.run(experiment(architectures.Mlp(hidden=(5, 3), bias=True)))
    events = (
        interventions.Perturb("layer2.weight[1,2]", value=0.3),
        interventions.Relabel(shuffle=1, at=16),
    )
    return record, lm.fork(record, 8, events)


def forward(params, X):
    """Every signal of a tanh network and its outputs, by numpy."""
    signals, h = {}, X
    for layer, held in params.items():
        pre = h @ np.asarray(held["weight"]).T + np.asarray(held["bias"])
        h = np.tanh(pre)
        signals |= {f"{layer}.pre": pre, f"{layer}.post": h}
    del signals[f"{layer}.post"]
    return signals, signals[f"{layer}.pre"]


def slopes(params, X, Y):
    """{layer: its gradient as one vector} of the half mean of squared errors, backwards by hand."""
    signals, outputs = forward(params, X)
    back, found, layers = (outputs - Y) / len(X), {}, list(params)
    for place in reversed(range(len(layers))):
        into = X if place == 0 else signals[f"{layers[place - 1]}.post"]
        found[layers[place]] = np.concatenate([(back.T @ into).ravel(), back.sum(0)])
        if place:
            back = (back @ np.asarray(params[layers[place]]["weight"])) * (1 - into**2)
    return found


def rms(x):
    return np.sqrt(np.mean(np.sum(x**2, axis=-1)))


@pytest.mark.parametrize("step", [8, 13, 24])
def test_distances_are_those_of_numpy_from_both_states(pair, step):
    far = lm.twins(*pair, [step]).isel(time=0)
    params = [
        {layer: dict(held) for layer, held in sorted(record.at(step).params.items())}
        for record in pair
    ]
    X = np.asarray(pair[0].start.system.train.X)
    targets = [
        np.asarray(pair[0].start.system.train.Y),
        np.asarray(pair[1].timeline.systems[2 if step >= 16 else 1].train.Y),
    ]
    weights = [
        np.concatenate([np.ravel(np.asarray(held[name])) for name in ("weight", "bias")])
        for p in params
        for held in p.values()
    ]
    apart = np.array(
        [np.linalg.norm(two - one) for one, two in zip(weights[:3], weights[3:], strict=True)]
    )
    one, two = (slopes(p, X, Y) for p, Y in zip(params, targets, strict=True))
    (here, f), (there, g) = (forward(p, X) for p in params)
    expected = {
        "weight_distance": apart,
        "distance": np.sqrt(np.sum(apart**2)),
        "weight_share": apart**2 / np.sum(apart**2),
        "gradient_distance": [np.linalg.norm(two[layer] - one[layer]) for layer in one][::-1],
        "signal_distance": [rms(there[name] - here[name]) for name in here],
        "function_distance": rms(g - f),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(far[name], values, rtol=1e-9, atol=1e-13, err_msg=name)
    assert (
        far["signal"].values.tolist()
        == list(here)
        == ["layer1.pre", "layer1.post", "layer2.pre", "layer2.post", "layer3.pre"]
    )
    assert float(far["weight_share"].sum()) == pytest.approx(1, rel=1e-14)


def test_before_the_kick_twins_run_from_the_start_are_exactly_one(pair):
    kicked = lm.run(dataclasses.replace(pair[0].experiment, events=pair[1].experiment.events))
    far = lm.twins(pair[0], kicked)
    before = far["step"].values < 8
    assert far["step"].values.tolist() == list(range(0, 25, 4))
    for name in (
        "distance",
        "weight_distance",
        "gradient_distance",
        "signal_distance",
        "function_distance",
    ):
        assert not far[name].values[before].any() and far[name].values[~before].any(), name
    assert (
        np.isnan(far["growth_rate"].values[: before.sum() + 1]).all()
        and np.isfinite(far["growth_rate"].values[before.sum() + 1 :]).all()
    )
    assert far.isel(time=slice(2, None)).identical(lm.twins(*pair))


@pytest.mark.parametrize("flows", [False, True])
def test_twins_apart_along_an_eigenvector_of_the_hessian_part_at_the_rate_of_its_eigenvalue(flows):
    rule, clock = (
        (rules.GradientFlow(rtol=1e-11, atol=1e-13), lm.Clock(time=2.0, marks=5))
        if flows
        else (rules.GradientDescent(rate=0.3), lm.Clock(steps=8, marks=5))
    )
    record = lm.run(experiment(architectures.DeepLinear(hidden=()), rule, clock))
    X = np.asarray(record.start.system.train.X)
    values, vectors = np.linalg.eigh(X.T @ X / len(X))  # the Hessian of each output's row
    for h, v in ((values[0], vectors[:, 0]), (values[-1], vectors[:, -1])):
        at = 0.5 if flows else 2
        far = lm.twins(
            record,
            lm.fork(
                record,
                at,
                (interventions.Perturb("layer1.weight", values=np.outer([0.6, -0.8], v)),),
            ),
        )
        assert float(far["distance"][0]) == pytest.approx(1, rel=1e-12) and float(
            far["gradient_distance"][0, 0]
        ) == pytest.approx(h, rel=1e-9)
        np.testing.assert_allclose(
            far["growth_rate"][1:], -h if flows else np.log(abs(1 - 0.3 * h)), rtol=1e-9
        )


def test_runs_that_cannot_be_set_side_by_side_are_refused(pair):
    flow = lm.run(
        experiment(
            architectures.Mlp(hidden=(5, 3), bias=True),
            rules.GradientFlow(),
            lm.Clock(time=1.0, marks=3),
        )
    )
    for other in (
        lm.run(experiment(architectures.Mlp(hidden=(5, 4), bias=True))),
        lm.run(experiment(architectures.Mlp(hidden=(5, 3)))),
        flow,
    ):
        with pytest.raises(
            Refused, match=r"^twins needs two runs .*, but got .*\. Compare a run with its fork\.$"
        ):
            lm.twins(pair[0], other)
    with pytest.raises(Refused, match="a whole step from 8 to 24, but got 4"):
        lm.twins(*pair, [4])


def test_one_weight_kicked_in_layer_3_of_18_changes_the_gradient_of_every_layer_at_once():
    record = lm.run(experiment(architectures.Mlp(hidden=(6,) * 17)))
    far = lm.twins(
        record, lm.fork(record, 12, (interventions.Perturb("layer3.weight[2,5]", value=0.1),))
    ).isel(time=0)
    layers = [f"layer{place}" for place in range(1, 19)]
    assert far["layer"].values.tolist() == layers and (far["gradient_distance"] > 0).all()
    assert (
        far["signal"].values.tolist()
        == [f"{layer}.{side}" for layer in layers for side in ("pre", "post")][:-1]
    )
    assert far["weight_share"].values.tolist() == [float(layer == "layer3") for layer in layers]
    assert (far["signal_distance"].values > 0).tolist() == [
        place >= 4 for place in range(35)
    ]  # nothing is felt upstream
