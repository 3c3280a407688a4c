"""Norms as they are in use elsewhere: with an eps, and with running statistics, against PyTorch
and by hand."""

import dataclasses
import json
import tomllib

import batch_norm_reference as torch_has
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import data, initial, interventions, losses, rules, theories
from learnmech.activations import duals
from learnmech.architectures import Conv, Dialed, Dropout, Linearized, Mlp, Residual, Wrapped
from learnmech.errors import Refused
from learnmech.kernels.infinite import kernel
from learnmech.system.symmetries import symmetries

FINGERPRINT = "53e4260f50ba9ffc86eb3fadcb0590e280bc688309a3e6febee9d9561e82ef21"
RUNNING = ("layer1.running_mean", "layer1.running_variance")
signals_of = eqx.filter_jit(lambda one, params, inputs: one.signals(params, inputs))


def kept(**changes):
    return Mlp(**({"hidden": (4,), "norm": "batch", "running_momentum": 0.1} | changes))


def experiment(architecture=None, steps=12, rule=None, **changes):
    source = data.Gaussian(n=12, d=3, k=2, noise=0.3, test=5)
    rule, clock = rule or rules.SGD(rate=0.1, batch=6), lm.Clock(steps=steps, every=1)
    return lm.Experiment(
        architecture or kept(), source, rule, lm.Clock(time=1.0) if rule.flows else clock, **changes
    )


def ran(one, watch=("weights", "test-loss"), **how):
    return lm.run(one, watch=watch, **how)


@pytest.fixture(scope="module")
def record():
    return ran(experiment())


# --- running statistics


def test_twenty_steps_with_running_statistics_are_those_of_pytorch():
    X, Y, X_test, layers = torch_has.numbers()
    architecture = Mlp(
        hidden=(5, 4),
        bias=True,
        norm="batch",
        affine=True,
        eps=torch_has.EPS,
        running_momentum=torch_has.MOMENTUM,
    )
    plain = {
        f"layer{i}": {"weight": weight, "bias": bias} for i, (weight, bias) in enumerate(layers, 1)
    }
    norms = {
        f"layer{i}": {
            "gain": np.ones(h),
            "shift": np.zeros(h),
            "running_mean": np.zeros(h),
            "running_variance": np.ones(h),
        }
        for i, h in ((1, 5), (2, 4))
    }
    start = initial.Given.of({name: layer | norms.get(name, {}) for name, layer in plain.items()})
    source = data.Arrays(X=X, Y=Y, X_test=X_test, Y_test=np.zeros((5, 2)))
    rule = rules.GradientDescent(rate=torch_has.RATE, decay=torch_has.DECAY, coupled=True)
    found = lm.run(
        lm.Experiment(
            architecture, source, rule, lm.Clock(steps=torch_has.STEPS, every=1), initial=start
        ),
        watch=("loss", "outputs", "weights"),
    )
    for name, values in json.loads(torch_has.KEPT.read_text()).items():
        # twenty steps of sums of twelve: some tens of round-offs
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-13)


def test_running_statistics_are_averages_of_those_of_the_batches_and_test_outputs_go_by_them(
    record,
):
    start = lm.prepare(experiment())
    assert [
        float(v)
        for path in RUNNING
        for v in (record[path].values[0].min(), record[path].values[0].max())
    ] == [0, 0, 1, 1]
    mean, variance = np.zeros(4), np.ones(4)
    for step in range(12):
        state = record.at(step)
        rows = np.asarray(start.rule.indices(12, state))
        z = np.asarray(start.data.train.X)[rows] @ np.asarray(state.params["layer1"]["weight"]).T
        mean, variance = 0.9 * mean + 0.1 * z.mean(0), 0.9 * variance + 0.1 * z.var(0, ddof=1)
        np.testing.assert_allclose(
            record[RUNNING[0]].values[step + 1], mean, rtol=1e-12, atol=1e-14
        )
        np.testing.assert_allclose(record[RUNNING[1]].values[step + 1], variance, rtol=1e-12)
    weights = record.at(12).params
    z = np.asarray(start.data.test.X) @ np.asarray(weights["layer1"]["weight"]).T
    f = np.tanh((z - mean) / np.sqrt(variance)) @ np.asarray(weights["layer2"]["weight"]).T
    assert float(record["test_loss"].values[-1]) == pytest.approx(
        np.sum((f - start.data.test.Y) ** 2) / 10, rel=1e-12
    )


def test_an_array_of_the_parameters_has_the_units_of_its_role(record):
    """A running statistic is a signal's, also within wrappers; of an array of that name which
    gradients move, in a model of one's own, the units are those of any parameter."""
    assert {record[path].units for path in RUNNING} == {"1"}
    assert record["layer1.weight"].units == "param"
    watched = [f"{part}layer1.running_mean" for part in ("", "update.", "gradient.")]
    masked = ran(experiment(Dropout(kept(hidden=(4, 4)), rate=0.5)), watch=tuple(watched))
    found = {str(name): masked[name].units for name in masked if "running" in str(name)}
    assert found == {
        "layer1.running_mean": "1",
        "update.layer1.running_mean": "1",
        "gradient.layer1.running_mean": "loss",
    }
    own = Wrapped((_started, _applied), batched=True)
    start = lm.prepare(experiment(own, initial=lm.initial.Gaussian(scale=2.0)))
    found = ran(start, watch=("weights",))
    (path,) = (str(name) for name in found if "running_mean" in str(name))
    assert found[path].units == "param"
    np.testing.assert_array_equal(found[path].values[0], 2 * np.ones((2, 3)))


def _started(key, d, k):
    return {"layer1": {"running_mean": jnp.ones((k, d))}}


def _applied(params, X):
    return X @ params["layer1"]["running_mean"].T


def test_running_statistics_leave_the_run_itself_as_it_was(record):
    plain = ran(experiment(kept(running_momentum=None)))
    assert np.array_equal(plain["layer1.weight"], record["layer1.weight"])
    assert not np.allclose(plain["test_loss"], record["test_loss"])


def test_what_conv_and_dropout_keep_is_of_what_the_step_saw():
    conv = Conv(channels=(3,), shape=(3,), kernel=2, norm="batch", running_momentum=0.5)
    start = lm.prepare(experiment(conv, rule=rules.GradientDescent(rate=0.1)))
    found = ran(start, watch=("weights",))
    z = np.asarray(signals_of(conv, start.params, start.data.train.X)["layer1.pre"]).reshape(-1, 3)
    assert len(z) == 36  # of every position of every sample
    np.testing.assert_allclose(
        found["layer1.running_variance"].values[1], 0.5 + 0.5 * z.var(0, ddof=1), rtol=1e-12
    )
    masked = Dropout(kept(hidden=(4, 4)), rate=0.5)
    start = lm.prepare(experiment(masked, rule=rules.GradientDescent(rate=0.1)))
    seen = start.system.at_step(start.state.key, 0)
    z = np.asarray(signals_of(seen.architecture, start.params, start.data.train.X)["layer2.pre"])
    assert np.any(
        z != np.asarray(signals_of(masked.of, start.params, start.data.train.X)["layer2.pre"])
    )
    np.testing.assert_allclose(
        ran(start, watch=("weights",))["layer2.running_mean"].values[1],
        0.1 * z.mean(0),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": rules.AdamW(rate=0.01, decay=0.3)},
        {"loss": losses.Squared(ridge=0.5)},
        {"initial": initial.SmallGaussian(std=0.7)},
    ],
)
def test_no_decay_ridge_or_start_touches_running_statistics(changes):
    start = lm.prepare(
        experiment(rule=changes.pop("rule", rules.GradientDescent(rate=0.1)), **changes)
    )
    found = ran(start, watch=("loss", "weights", "norms", "distance"))
    z = np.asarray(start.data.train.X) @ start.params["layer1"]["weight"].T
    np.testing.assert_allclose(found[RUNNING[0]].values[1], 0.1 * z.mean(0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        found[RUNNING[1]].values[1], 0.9 + 0.1 * z.var(0, ddof=1), rtol=1e-12
    )
    # nor are they in what is said of the parameters
    assert float(found["weight_norm"].values[-1][0]) == pytest.approx(
        np.linalg.norm(found["layer1.weight"].values[-1]), rel=1e-12
    )
    assert float(found["distance"].values[-1][0]) == pytest.approx(
        np.linalg.norm(np.ptp(found["layer1.weight"].values[[0, -1]], axis=0)), rel=1e-12
    )
    ridge = start.experiment.loss.ridge
    if ridge is not None:
        squares = sum(np.sum(layer["weight"] ** 2) for layer in start.params.values())
        plain = dataclasses.replace(start.experiment, loss=losses.Squared())
        assert float(found["loss"].values[0]) == pytest.approx(
            float(lm.prepare(plain).system.loss(start.state.params)) + 0.25 * squares, rel=1e-12
        )


@pytest.mark.exact
def test_states_with_running_statistics_are_replayed_resumed_and_forked_to_the_bit(
    record, tmp_path
):
    whole = ran(experiment(), folder=tmp_path / "whole")
    for path in RUNNING:
        assert np.array_equal(whole[path], record[path])
    state = whole.at(7)
    assert np.array_equal(state.params["layer1"]["running_variance"], record[RUNNING[1]].values[7])
    still = lm.fork(
        whole, 5, (interventions.Freeze(path="layer1.running_mean"),), folder=tmp_path / "fork"
    )
    assert np.array_equal(still[RUNNING[0]].values[-1], record[RUNNING[0]].values[5])
    assert not np.array_equal(still[RUNNING[1]].values[-1], record[RUNNING[1]].values[5])
    set_ = lm.fork(
        whole,
        5,
        (interventions.Perturb(path="layer1.running_variance", how="set", value=4.0),),
        folder=tmp_path / "set",
    )
    assert np.array_equal(set_["layer1.weight"].values[-1], record["layer1.weight"].values[-1])
    gap = set_[RUNNING[1]].values[-1] - record[RUNNING[1]].values[-1]
    np.testing.assert_allclose(gap, 0.9**7 * (4 - record[RUNNING[1]].values[5]), rtol=1e-12)
    kicked = interventions.Noise(at=3, size=0.5)
    event = kicked.state(lm.prepare(experiment()).system, None, None, state)
    assert np.array_equal(
        event.params["layer1"]["running_mean"], state.params["layer1"]["running_mean"]
    )


def test_points_of_a_sweep_keep_their_own_statistics(record):
    grid = lm.sweep(experiment(), {"rule.rate": [0.1, 0.02]}, watch=("weights",), backend="vmap")
    # a batched program rounds in another order
    np.testing.assert_allclose(grid[RUNNING[1]].values[0].squeeze(), record[RUNNING[1]], rtol=1e-12)
    assert not np.allclose(grid[RUNNING[1]].values[1].squeeze()[-1], record[RUNNING[1]].values[-1])


@pytest.mark.parametrize(
    "make, sentence",
    [
        (
            lambda: lm.prepare(experiment(rule=rules.GradientFlow())),
            "GradientFlow needs a network in which gradients move everything",
        ),
        (
            lambda: Linearized(kept()),
            "Linearized needs a network in which gradients move everything",
        ),
        (
            lambda: Dialed(kept(), alpha=2.0),
            "Dialed needs a network in which gradients move everything",
        ),
        (
            lambda: ran(experiment(events=(interventions.Linearize(at=4),))),
            "Linearized needs a network in which gradients move everything",
        ),
        (
            lambda: kernel(kept(), np.eye(3)),
            "The infinite-width limit of a batch norm needs kernels of one pair",
        ),
        (
            lambda: Mlp(norm="layer", running_momentum=0.1),
            "Mlp needs norm='batch' for running_momentum",
        ),
        (lambda: Mlp(eps=1e-5), "Mlp needs a norm to whose variance eps is added"),
        (lambda: Residual(norm="rms", eps=0.0), "Residual needs eps > 0, but got 0.0"),
        (
            lambda: ran(
                experiment(
                    kept(running_momentum=None),
                    events=(
                        interventions.Change(at=4, path="architecture.running_momentum", value=0.1),
                    ),
                )
            ),
            "Change",
        ),
    ],
)
def test_where_running_statistics_or_an_eps_have_no_place_a_sentence_says_so(make, sentence):
    with pytest.raises(Refused) as refusal:
        make()
    assert str(refusal.value).startswith(sentence)


def test_theories_of_what_running_statistics_decide_are_outside_their_domain():
    start = lm.prepare(experiment(rule=rules.GradientDescent(rate=0.01)))
    for theory, bound in ((theories.Flow(), True), (theories.ScaleEquilibrium(), False)):
        said = [one.claim for one in theory.conditions(start) if not one.holds]
        assert ("gradients move everything (no running statistics)" in said) == bound


# --- eps


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_an_eps_is_added_to_the_variance(norm):
    architecture = Mlp(hidden=(4,), norm=norm, eps=0.3)
    params = architecture.init(np.random.default_rng(0), 3, 2)
    X = np.random.default_rng(1).standard_normal((6, 3))
    z = X @ params["layer1"]["weight"].T
    axis = 0 if norm == "batch" else 1
    mean = 0 if norm == "rms" else z.mean(axis, keepdims=True)
    expected = (z - mean) / np.sqrt(((z - mean) ** 2).mean(axis, keepdims=True) + 0.3)
    np.testing.assert_allclose(
        signals_of(architecture, params, X)["layer1.normed"], expected, rtol=1e-13, atol=1e-14
    )
    # one that does not vary is 0, without a division by 0
    assert np.all(
        np.asarray(
            signals_of(architecture, jax.tree.map(np.zeros_like, params), X)["layer1.normed"]
        )
        == 0
    )


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_with_an_eps_the_scale_before_a_norm_is_no_symmetry_and_what_it_takes_off_still_is(norm):
    def found(eps):
        network = Mlp(hidden=(4,), norm=norm, bias=True, eps=eps)
        return {
            one.kind
            for one in symmetries(
                network, losses.Squared(), network.init(np.random.default_rng(0), 3, 2)
            )
        }

    assert found(None) - found(1e-5) == {"scale"} and found(1e-5) and found(1e-5) < found(None)
    start = lm.prepare(
        experiment(
            Mlp(hidden=(4,), norm=norm, eps=1e-5), rule=rules.GradientDescent(rate=0.1, decay=0.1)
        )
    )
    (failing,) = (
        one
        for one in theories.ScaleEquilibrium().conditions(start)
        if one.claim.startswith("weights whose scale")
    )
    assert not failing.holds and failing.value == "none"


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_the_kernels_of_a_norm_with_an_eps_are_those_of_wide_networks(activation):
    X = 0.6 * np.random.default_rng(2).standard_normal((3, 4))

    def make(width):
        return Mlp(
            hidden=(width,), norm="rms", eps=0.4, activation=activation, scaling=lm.scalings.NTK()
        )

    said = kernel(make(8), X)
    # by hand: the inputs' kernel over what the norm divides by
    k = X @ X.T / 4
    size = np.sqrt(np.diag(k) + 0.4)
    unit = k / np.outer(size, size)
    a, b = np.meshgrid(np.diag(unit), np.diag(unit), indexing="ij")
    product, slope = duals.product(activation, a, b, unit), duals.slope(activation, a, b, unit)
    np.testing.assert_allclose(said.nngp, product, rtol=1e-9)
    np.testing.assert_allclose(said.ntk, product + slope * unit, rtol=1e-9)
    wide, h = make(1024), 1024
    f = np.stack(
        [
            signals_of(wide, wide.init(np.random.default_rng(seed), 4, 1), X)["layer1.post"]
            for seed in range(4)
        ]
    )
    # the mean of h entries a start, four starts: 4 standard errors of entries of variance up to 2
    np.testing.assert_allclose(
        np.einsum("snh,smh->nm", f, f) / (4 * h), said.nngp, atol=4 * 2 / np.sqrt(4 * h)
    )


def test_texts_without_an_eps_or_running_statistics_are_as_before():
    written = tomllib.loads(experiment(kept(running_momentum=None)).text)["architecture"]
    assert set(written) == {"kind", "scaling", "hidden", "activation", "bias", "norm", "affine"}
    one = experiment(kept(eps=1e-5))
    assert tomllib.loads(one.text)["architecture"] == written | {
        "eps": 1e-5,
        "running_momentum": 0.1,
    }
    assert lm.Experiment.parse(one.text).fingerprint == one.fingerprint
    # of 0.4, before there were any of these knobs
    assert experiment(kept(running_momentum=None)).fingerprint == FINGERPRINT
