"""Simplifications: what is the same of the simpler experiment, what is set for it, and which can
stand together."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, losses, rules, simplifications
from learnmech.architectures import scalings
from learnmech.data.clones import Clone, ShuffledTargets
from learnmech.errors import Refused
from learnmech.kernels import infinite
from learnmech.language import catalog
from learnmech.rules import schedules
from learnmech.simplifications import facts_of
from learnmech.simplifications.orders import ORDER, ordered, simplified

MEMBERS = [catalog.load(one) for one in catalog.own("simplifications")]


def experiment(**changes):
    """A tanh network on digits: nearly every axis is on."""
    parts = {
        "architecture": architectures.Mlp(hidden=(8, 8), activation="tanh", bias=True),
        "data": data.Digits(train=100, components=6),
        "rule": rules.Nesterov(rate=0.02, batch=20, schedule=schedules.WarmUp(steps=10)),
        "clock": lm.Clock(steps=40, marks=5),
        "loss": losses.CrossEntropy(),
        "precision": "float32",
    }
    return lm.Experiment(**(parts | changes))


def plain(**changes):
    """The same without what stands in other axes' way."""
    parts = {
        "architecture": architectures.Mlp(hidden=(8, 8), activation="tanh"),
        "rule": rules.GradientDescent(rate=0.1),
        "loss": losses.Squared(),
        "precision": "float64",
    }
    return experiment(**(parts | changes))


# --- gains


def test_a_gain_is_what_least_squares_leaves_of_the_activation_layer_by_layer():
    full = plain(initial=initial.Gaussian(scale=2.0))
    turned = simplifications.LinearUnits().simplify(full)
    start, h = lm.prepare(full), None
    for index, said in enumerate(turned.tuned.values(), 1):
        weight = start.params[f"layer{index}"]["weight"]
        z = (start.data.train.X if h is None else h) @ weight.T
        slope = np.linalg.lstsq(z.reshape(-1, 1), np.tanh(z).ravel(), rcond=None)[0].item()
        assert said == pytest.approx(slope, rel=1e-12)
        h = slope * z
    assert list(turned.tuned) == ["gain of layer1", "gain of layer2"]
    outputs = lm.prepare(turned.experiment)
    f = outputs.system.outputs(outputs.state.params, outputs.system.train.X)
    np.testing.assert_allclose(f, h @ start.params["layer3"]["weight"].T, rtol=1e-12, atol=1e-13)


def test_a_relu_network_of_small_and_of_large_units_has_the_gain_one_half():
    # sum relu(z) z = sum over z > 0 of z^2: half of it on symmetric z, whatever their size
    symmetric = data.Arrays(np.vstack([X := np.eye(6), -X]), np.ones(12))
    full = plain(architecture=architectures.Mlp((500,), activation="relu"), data=symmetric)
    for scale in (0.01, 1.0, 100.0):
        at = dataclasses.replace(full, initial=initial.Gaussian(scale=scale))
        (gain,) = simplifications.LinearUnits().simplify(at).tuned.values()
        assert gain == pytest.approx(0.5, rel=1e-12)


def test_gains_are_multipliers_of_the_weights_as_a_scaling_has_them():
    linear = simplifications.LinearUnits().apply(
        plain(data=data.Gaussian(n=40, d=4, k=2, whitened=True), loss=losses.Squared())
    )
    start = lm.prepare(linear)
    assert facts_of(start)["linear-in-inputs"] == "yes"
    W = linear.architecture.matrix(start.params)
    f = start.system.outputs(start.state.params, start.system.train.X)
    np.testing.assert_allclose(f, start.data.train.X @ W.T, rtol=1e-12, atol=1e-14)
    # the gradient by W_1 is (what is above it)' (W - S_yx) at S_xx = I
    _, gradient = start.system.value_and_gradient(start.state.params)
    G = W - start.data.train.Y.T @ start.data.train.X / 40
    weights = [start.params[f"layer{i}"]["weight"] for i in (1, 2, 3)]
    g1, g2 = linear.architecture.scaling.gains
    expected = (g2 * weights[2] @ (g1 * weights[1])).T @ G
    np.testing.assert_allclose(gradient["layer1"]["weight"], expected, rtol=1e-10, atol=1e-14)


def test_with_its_gains_a_linear_network_is_nearer_than_without():
    full = plain(initial=initial.Gaussian(scale=1.5), clock=lm.Clock(steps=200, marks=21))
    linear = simplifications.LinearUnits().apply(full)
    bare = dataclasses.replace(linear, architecture=architectures.DeepLinear(hidden=(8, 8)))
    curve, with_gain, without = (lm.run(one)["loss"].values for one in (full, linear, bare))
    assert 3 * np.abs(with_gain - curve).max() < np.abs(without - curve).max()


# --- data


def test_a_clone_has_the_mean_and_the_covariance_of_inputs_and_targets():
    source = data.Digits(train=1000, components=5)
    own = lm.prepare(plain(data=source)).data.train
    both = np.concatenate([own.X, own.Y], 1)
    drawn = np.concatenate(
        [
            np.concatenate([clone.X, clone.Y], 1)
            for seed in range(60)
            for clone in [Clone(source, seed=seed).draw(np.random.default_rng(seed)).train]
        ]
    )
    size, count = np.cov(both.T, bias=True), len(drawn)
    # five standard errors of 60,000 samples, over 15 means and 120 covariances
    off = np.abs(drawn.mean(0) - both.mean(0)) / np.sqrt(np.diag(size) / count)
    assert off.max() < 5
    spread = np.sqrt((size**2 + np.outer(np.diag(size), np.diag(size))) / count)
    assert (np.abs(np.cov(drawn.T) - size) < 5 * spread + 1e-15).all()


def test_a_clone_of_each_class_keeps_the_targets_and_the_means_of_the_classes():
    source = data.Digits(train=1000, components=5)
    own = lm.prepare(plain(data=source)).data
    clone = Clone(source, form="per-class").draw(np.random.default_rng(0))
    np.testing.assert_array_equal(clone.train.Y, own.train.Y)
    np.testing.assert_array_equal(clone.test.Y, own.test.Y)
    for one in range(10):
        among, found = (view.X[view.Y[:, one] == 1] for view in (own.train, clone.train))
        error = among.std(0) * np.sqrt(2 / len(among))
        assert (np.abs(found.mean(0) - among.mean(0)) < 5 * error).all()


def test_the_classes_of_signs_in_one_column_are_told_apart_and_numbers_are_no_classes():
    signs = data.Digits(train=200, classes=(3, 8), targets="sign", components=3)
    own = lm.prepare(plain(data=signs)).data.train
    found = Clone(signs, form="per-class").draw(np.random.default_rng(0)).train
    gap = [
        view.X[view.Y[:, 0] == 1].mean(0) - view.X[view.Y[:, 0] == -1].mean(0)
        for view in (own, found)
    ]
    error = own.X.std(0).max() * np.sqrt(4 / 200)  # of a difference of two means of 100 samples
    np.testing.assert_allclose(gap[1], gap[0], atol=5 * error)
    assert np.abs(gap[0]).max() > 5 * error  # without classes it would be 0
    numbers = plain(data=data.NetworkTeacher.example())
    one = simplifications.GaussianInputs(per_class=True)
    assert one.why_not(numbers).startswith("targets are no classes")


def test_a_network_of_zeros_has_no_gains_and_one_with_gains_of_its_own_keeps_them():
    zero = plain(initial=initial.Gaussian(scale=0.0))
    assert "have no gain" in simplifications.LinearUnits().why_not(zero)
    affine = plain(architecture=architectures.Mlp(hidden=(8,), affine=True))
    assert "norm is some" in simplifications.LinearUnits().why_not(affine)


def test_a_clone_is_drawn_anew_for_every_seed_and_never_moves_with_another():
    full = plain()
    one, two, again = (
        simplifications.GaussianInputs().apply(dataclasses.replace(full, seed=seed))
        for seed in (0, 1, 0)
    )
    assert one.fingerprint == again.fingerprint != two.fingerprint
    first, second = (lm.prepare(each).data.train.X for each in (one, two))
    assert np.abs(first - second).max() > 0.1


def test_shuffled_targets_are_the_targets_and_know_nothing_of_the_inputs():
    own = lm.prepare(plain(data=data.Digits(train=1000))).data
    found = ShuffledTargets(data.Digits(train=1000), seed=3).draw(np.random.default_rng(3))
    np.testing.assert_array_equal(found.train.X, own.train.X)
    np.testing.assert_array_equal(found.test.Y, own.test.Y)
    np.testing.assert_array_equal(found.train.Y.sum(0), own.train.Y.sum(0))
    agree = float(np.mean(found.train.Y.argmax(1) == own.train.Y.argmax(1)))
    assert agree == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 1000))


# --- learning


@pytest.mark.parametrize(
    "rule", [rules.Adam(rate=1e-3), rules.Muon(rate=1e-3), rules.SignDescent(rate=1e-3)], ids=repr
)
def test_descent_in_place_of_another_rule_decreases_the_loss_as_much_in_the_first_step(rule):
    full = plain(rule=rule, clock=lm.Clock(steps=1, marks=2))
    descent = simplifications.PlainDescent().apply(full)
    start = lm.prepare(full)
    _, gradient = start.system.value_and_gradient(start.state.params)
    slopes = []
    for one in (full, descent):
        final = lm.run(one).at(1).params
        slopes.append(
            sum(
                float(
                    np.sum(
                        np.asarray(gradient[layer][leaf])
                        * (np.asarray(w) - start.params[layer][leaf])
                    )
                )
                for layer, held in final.items()
                for leaf, w in held.items()
            )
        )
    # eps of 1e-8 in Adam beside gradients of 1e-3
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    assert slopes[0] < 0


def test_heavy_ball_and_the_descent_in_its_place_agree_as_the_rate_vanishes():
    """Off by O(rate), as a lag of momentum/(1 - momentum) steps is: twice the steps, half of it."""
    gaps = []
    for halves in (1, 2, 4):
        full = plain(
            rule=rules.HeavyBall(rate=0.02 / halves, momentum=0.8),
            clock=lm.Clock(steps=100 * halves, marks=3),
        )
        descent = simplifications.PlainDescent().apply(full)
        assert float(descent.rule.rate) == pytest.approx(0.1 / halves)
        ends = [float(lm.run(one)["loss"][-1]) for one in (full, descent)]
        gaps.append(abs(ends[0] - ends[1]))
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.15)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.1)


def test_descent_and_its_flow_agree_at_the_same_marks_as_the_rate_vanishes():
    gaps = []
    for halves in (1, 2, 4):
        full = plain(
            rule=rules.GradientDescent(rate=0.2 / halves),
            clock=lm.Clock(steps=60 * halves, marks=4),
        )
        flow = simplifications.SmallSteps().apply(full)
        seen, said = lm.run(full), lm.run(flow)
        np.testing.assert_allclose(seen["time"], said["time"], rtol=1e-12)
        gaps.append(np.abs(seen["loss"].values - said["loss"].values).max())
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.15)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.1)


def test_as_many_steps_take_as_much_time_without_the_schedule():
    full = plain(rule=rules.GradientDescent(rate=0.1, schedule=schedules.WarmUp(steps=20)))
    even = simplifications.ConstantRate().apply(full)
    ends = [lm.prepare(one).marks.times[-1] for one in (full, even)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-14)


def test_under_the_squared_loss_an_output_at_zero_is_pulled_to_its_target_as_much():
    """At f = 0 cross-entropy gives softmax - y and the squared loss -y: the same but for what is
    the same of all classes."""
    zero = plain(loss=losses.CrossEntropy(), initial=initial.ZeroReadout())
    squared = simplifications.SquaredLoss().apply(zero)
    pulls = []
    for one in (zero, squared):
        start = lm.prepare(one)
        _, gradient = start.system.value_and_gradient(start.state.params)
        pull = np.asarray(gradient["layer3"]["weight"])
        pulls.append(pull - pull.mean(0))
    np.testing.assert_allclose(pulls[0], pulls[1], rtol=1e-10, atol=1e-14)


# --- together


def applicable(full):
    start = lm.prepare(full)
    return [one for one in (cls.example() for cls in MEMBERS) if not one.off(start)]


def test_every_pair_that_can_stand_together_is_one_experiment_in_whichever_order_it_is_named():
    full, found = experiment(), {}
    # those of the start need two linear layers first, and a wide network takes long to be drawn
    left = ("balance", "alignment", "width")
    chosen = [one for one in applicable(full) if one.axis not in left]
    assert len(chosen) >= 10
    for one, two in itertools.combinations(chosen, 2):
        made = set()
        for pair in ((one, two), (two, one)):
            try:
                made.add((True, simplified(full, *pair).experiment.fingerprint))
            except Refused as refusal:
                made.add((False, str(refusal)))
        assert len(made) == 1, (one, two)
        stand, fingerprint = made.pop()
        if stand:
            found[one.axis, two.axis] = fingerprint
    assert len(found) >= 30 and len(set(found.values())) == len(found)


def test_everything_turned_off_is_a_deep_linear_network_under_flow():
    left = ("labels", "depth", "input spectrum", "data", "features", "width", "scaling", "gains")
    left += ("balance", "alignment", "late features", "infinite width")
    chosen = [one for one in applicable(experiment()) if one.axis not in left]
    turned = simplified(experiment(), *chosen)
    found = facts_of(lm.prepare(turned.experiment))
    wanted = {
        "linear-in-inputs": "yes",
        "bias": "none",
        "all-samples": "yes",
        "rule-kind": "flow",
        "loss-kind": "squared",
        "precision": "float64",
    }
    assert {fact: found[fact] for fact in wanted} == wanted
    assert set(turned.tuned) == {"gain of layer1", "gain of layer2", "rate"}


def test_the_order_names_every_axis_once_and_a_users_own_come_last():
    assert {cls.axis for cls in MEMBERS} == set(ORDER) and len(set(ORDER)) == len(ORDER)

    class Colder(simplifications.Simplification):
        """A user's own."""

        axis = "temperature"

    assert ordered([Colder(), simplifications.AllSamples()])[-1].axis == "temperature"


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (
            lambda: lm.simplified(experiment(), simplifications.LinearUnits()),
            "LinearUnits needs an experiment to which turning off nonlinearity applies, but got one"
            " where bias is some, and not none",
        ),
        (
            lambda: lm.simplified(
                plain(), simplifications.Whitened(), simplifications.GaussianInputs()
            ),
            "simplified needs axes that can stand together, but got input spectrum, which makes"
            " inputs whitened, and data, which makes it gaussian",
        ),
        (
            lambda: lm.simplified(
                plain(), simplifications.Shallow(), simplifications.Shallow(layers=1)
            ),
            "simplified needs each axis once, but got 2 simplifications of depth",
        ),
        (
            lambda: lm.simplified(plain(), "depth"),
            "simplified needs simplifications, but got 'depth'",
        ),
        (
            lambda: simplifications.GaussianInputs().apply(experiment()),
            "the loss needs classes (per_class keeps them)",
        ),
        (
            lambda: lm.prepare(plain(data=Clone(data.ModularArithmetic.example()))),
            "Clone needs vectors of real numbers",
        ),
        (
            lambda: lm.prepare(
                plain(
                    architecture=architectures.DeepLinear(
                        (4, 4), scaling=architectures.scalings.Gained(gains=(0.5,))
                    )
                )
            ),
            "Gained needs a gain behind each of 2 layers, but got 1",
        ),
    ],
    ids=["in the way", "a clash", "twice", "no simplification", "classes", "ids", "gains"],
)
def test_what_cannot_be_turned_off_is_refused_with_the_reason(ask, sentence):
    with pytest.raises(Refused) as refusal:
        ask()
    assert sentence in str(refusal.value)


def test_what_is_off_already_is_left_as_it_is_and_says_so():
    full = plain()
    for one in (
        simplifications.NoBias(),
        simplifications.AllSamples(),
        simplifications.NoDropout(),
    ):
        assert one.apply(full).fingerprint == full.fingerprint
        assert one.why_not(full).startswith("already ")


# --- how weights are written, and where they begin


@pytest.mark.parametrize(
    "rule",
    [
        rules.GradientDescent(rate=0.1),
        rules.SGD(rate=0.1, batch=20),
        rules.HeavyBall(rate=0.05, momentum=0.8),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_sp_written_as_ntk_at_its_width_is_the_same_function_at_every_step(rule):
    full = plain(architecture=architectures.Mlp((8, 5), activation="tanh", bias=True), rule=rule)
    written = simplifications.KernelScaling().apply(full)
    one, other = (lm.run(each, watch=("loss", "test-loss", "outputs")) for each in (full, written))
    for name in ("loss", "test_loss", "outputs"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9, atol=1e-11)
    assert facts_of(lm.prepare(written))["scaling-class"] == "kernel"


def test_a_paced_network_has_the_kernel_at_infinite_width_that_wide_ones_approach():
    """sp's rates of one width, carried to wider networks: their tangent kernels come to the
    limiting one as 1/sqrt(width)."""
    from learnmech.architectures.scalings import Paced
    from learnmech.kernels.infinite import kernel

    X = np.random.default_rng(0).standard_normal((5, 3))
    off = {}
    for width in (64, 1024):
        network = architectures.Mlp((width,), activation="tanh", scaling=Paced((3.0, 8.0)))
        at = lm.Experiment(
            network, data.Arrays(X, np.ones(5)), rules.GradientDescent(), lm.Clock(steps=1)
        )
        seen = []
        for seed in range(6):
            start = lm.prepare(dataclasses.replace(at, seed=seed))
            J = jax.jacrev(lambda p, s=start: s.system.outputs(p, X).ravel())(start.state.params)
            each = [np.asarray(J[name]["weight"]).reshape(5, -1) for name in ("layer1", "layer2")]
            seen.append(3.0 * each[0] @ each[0].T + 8.0 * each[1] @ each[1].T)
        said = kernel(network, X).ntk
        off[width] = np.mean([np.abs(one - said).max() for one in seen]) / np.abs(said).max()
    assert off[1024] < 0.12 and off[1024] < off[64] / 2


def test_gains_go_into_weights_and_rate_and_nothing_changes():
    full = plain(architecture=architectures.Mlp((8, 8), activation="tanh"))
    for rule in (rules.GradientDescent(rate=0.1), rules.HeavyBall(rate=0.05, momentum=0.8)):
        gained = simplifications.LinearUnits().apply(dataclasses.replace(full, rule=rule))
        even = simplifications.EvenGains().apply(gained)
        one, other = (lm.run(each, watch=("loss", "test-loss")) for each in (gained, even))
        for name in ("loss", "test_loss"):
            np.testing.assert_allclose(other[name], one[name], rtol=1e-10)
        assert facts_of(lm.prepare(even))["gains"] == "one"
        assert type(even.architecture.scaling).__name__ == "SP"


def test_an_aligned_start_keeps_what_grows_and_its_modes_learn_as_is_said():
    """The theory of decoupled modes holds from it, and the loss of the random start is nearer to
    its loss than to that of a start matched by the size of the product."""
    white = data.Gaussian(n=60, d=6, k=3, whitened=True)
    full = lm.Experiment(
        architectures.DeepLinear((6,)),
        white,
        rules.GradientFlow(rtol=1e-9, atol=1e-11),
        lm.Clock(time=12.0, marks=25),
        initial.Gaussian(scale=0.02),
    )
    aligned = simplifications.AlignedStart().apply(full)
    theory = lm.theories.Decoupled()
    assert all(one.holds for one in theory.conditions(lm.prepare(aligned)))
    record = lm.run(aligned, watch=("loss",))
    said = lm.predict(aligned, theory)["loss"]
    np.testing.assert_allclose(record["loss"], said, rtol=1e-5)
    product = np.linalg.norm(
        np.linalg.multi_dot([w["weight"] for w in reversed(lm.prepare(full).params.values())])
    )
    other = dataclasses.replace(full, initial=initial.Aligned(strength=product / np.sqrt(3)))
    loss = lm.run(full, watch=("loss",))["loss"].values
    far = [
        np.abs(lm.run(one, watch=("loss",))["loss"].values - loss).max() for one in (aligned, other)
    ]
    assert far[0] < far[1]


def test_a_balanced_start_is_balanced_and_an_aligned_one_of_it_is_that_of_the_first():
    full = plain(architecture=architectures.DeepLinear((12,)), initial=initial.Gaussian(scale=0.1))
    balanced = simplifications.BalancedStart().apply(full)
    first, second = (layer["weight"] for layer in lm.prepare(balanced).params.values())
    np.testing.assert_allclose(second.T @ second, first @ first.T, atol=1e-14)
    aligned = [lm.prepare(simplifications.AlignedStart().apply(one)) for one in (full, balanced)]
    for one, other in zip(*(each.params.values() for each in aligned)):
        np.testing.assert_allclose(one["weight"], other["weight"], rtol=1e-9, atol=1e-13)


def test_a_network_is_as_wide_as_asked_and_no_narrower():
    full = plain(architecture=architectures.Mlp((8, 40), activation="tanh"))
    assert simplifications.Wide(32).apply(full).architecture.hidden == (32, 40)
    assert simplifications.Wide(8).why_not(full) == "already 8 wide"


def test_a_stream_without_its_branches_is_linear():
    full = plain(architecture=architectures.Residual(width=6, activation="relu"))
    bare = lm.prepare(simplifications.NoBranch().apply(full))
    X = np.asarray(bare.data.train.X)
    params = bare.params
    W = params[f"layer{len(params)}"]["weight"] @ params["layer1"]["weight"]
    np.testing.assert_allclose(bare.system.outputs(bare.state.params, X), X @ W.T, atol=1e-12)


def test_a_rule_that_remembers_for_much_of_the_run_has_no_flow_yet():
    """Adam at b2 = 0.999 forgets in 1,000 steps: of 40 it is far from its flow, of 40,000 near."""
    for steps, near in ((40, False), (40_000, True)):
        adam = plain(rule=rules.Adam(rate=1e-3, eps=1e-4), clock=lm.Clock(steps=steps, marks=3))
        why = simplifications.SmallSteps().why_not(adam)
        assert (why == "") is near and ("forgets in" in why) is not near


def test_features_that_stand_still_from_a_step_on_learn_until_then():
    """To the bit as in the full run up to the step, and from there as in a fork which goes on with
    its tangent there."""
    full = plain()
    there = lm.run(full, watch=("loss",))
    found = lm.run(simplifications.FeaturesFrom(step=20).apply(full), watch=("loss",))["loss"]
    forked = lm.fork(there, 20, (lm.interventions.Linearize(at=20),))["loss"]
    until = found["step"].values <= 20
    np.testing.assert_array_equal(found.values[until], there["loss"].values[until])
    np.testing.assert_array_equal(found.values[~until], forked.values[-(~until).sum() :])
    assert np.abs(found.values[-1] - there["loss"].values[-1]) > 1e-6
    assert "the run ends at step 40" in simplifications.FeaturesFrom(step=40).why_not(full)
    late = simplifications.FeaturesFrom(step=20).apply(full)
    assert simplifications.FeaturesFrom(step=20).apply(late).fingerprint == late.fingerprint


def kernel_network(**more):
    return lm.Experiment(
        architecture=architectures.Mlp(
            hidden=(16,), activation="tanh", bias=True, scaling=scalings.NTK(weight=1.5)
        ),
        data=data.Gaussian(n=10, d=4, k=2, test=6),
        rule=rules.GradientDescent(rate=0.2),
        clock=lm.Clock(steps=60, every=20),
        **more,
    )


@pytest.mark.parametrize(
    "rule",
    [
        rules.GradientDescent(rate=0.2),
        rules.HeavyBall(rate=0.05, momentum=0.8),
        rules.SGD(rate=0.2, batch=4),
    ],
    ids=lambda one: type(one).__name__,
)
def test_at_infinite_width_the_outputs_move_by_the_limiting_kernel_from_where_the_network_begins(
    rule,
):
    """f <- f - rate 2c T (f - Y), step by step in function space, on training and test samples."""
    full = lm.prepare(dataclasses.replace(kernel_network(), rule=rule))
    rung = lm.prepare(simplifications.KernelLimit().apply(full))
    for side in ("train", "test"):
        outputs = [
            np.asarray(one.system.outputs(one.state.params, getattr(one.data, side).X))
            for one in (full, rung)
        ]
        np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-10 * np.abs(outputs[0]).max())
    record = lm.run(rung, watch=("loss", "test-loss", "outputs"))
    if isinstance(rule, rules.SGD):
        # batches are drawn by the same stream: nothing else is random
        assert np.isfinite(record["loss"]).all()
        return
    X = np.concatenate([full.data.train.X, full.data.test.X])
    T = np.asarray(infinite.kernel(full.experiment.architecture, X, get="ntk"))
    n = len(full.data.train.X)
    f = np.concatenate(
        [np.asarray(full.system.outputs(full.state.params, x)) for x in (X[:n], X[n:])]
    )
    Y, velocity = np.asarray(full.data.train.Y), 0.0
    decay = float(getattr(rule, "momentum", 0.0))
    for _ in range(60):
        velocity = decay * velocity - T[:, :n] @ (f[:n] - Y) / n
        f = f + float(rule.rate) * velocity
    loss = np.sum((f[:n] - Y) ** 2) / (2 * n)
    assert float(record["loss"][-1]) == pytest.approx(loss, rel=1e-8)
    test = np.sum((f[n:] - np.asarray(full.data.test.Y)) ** 2) / (2 * (len(X) - n))
    assert float(record["test_loss"][-1]) == pytest.approx(test, rel=1e-8)


def test_wide_networks_come_to_their_kernel_limit_as_one_over_the_root_of_the_width():
    far = []
    for width in (64, 1024):
        apart = []
        for seed in range(6):
            full = kernel_network(seed=seed).with_value("architecture.hidden", [width])
            rung = simplifications.KernelLimit().apply(full)
            ends = [lm.run(one, watch=("outputs",))["outputs"].values[-1] for one in (full, rung)]
            apart.append(np.abs(ends[0] - ends[1]).max())
        far.append(np.mean(apart))
    # 16 times the width: 4 times nearer, and between 2 and 8 with six seeds
    assert 2 < far[0] / far[1] < 8


def test_a_network_out_of_the_kernel_class_has_no_such_limit():
    mean_field = dataclasses.replace(
        kernel_network(), architecture=architectures.Mlp(hidden=(16,), scaling=scalings.MeanField())
    )
    assert "scaling-class is" in simplifications.KernelLimit().why_not(mean_field)
    adam = dataclasses.replace(kernel_network(), rule=rules.Adam(rate=0.01))
    assert "scaling-class is other" in simplifications.KernelLimit().why_not(adam)
