"""Architectures made of another, its tangent and its dial: against the Jacobian, against each
other, and wherever a run can take them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, initial, instruments, interventions, rules
from learnmech.architectures import DeepLinear, Diagonal, Dialed, Linearized, Mlp, Residual
from learnmech.errors import Refused
from learnmech.gallery.contracts import gradient_error
from learnmech.language import trees
from learnmech.language.trees import flat_of, shaped
from learnmech.sweeps import sweep
from learnmech.theories.deep_linear import plain_layers

X = np.random.default_rng(1).standard_normal((6, 3))
NETWORKS = {
    "mlp": Mlp(hidden=(4, 5), bias=True, activation="softplus"),
    "residual": Residual(width=4, blocks=2, activation="tanh", branch=0.3),
    "deep-linear": DeepLinear(hidden=(4, 2)),
    "diagonal": Diagonal(),
    "tangent of a tangent": Linearized(Mlp(hidden=(4,))),
    "dial of a dial": Dialed(Mlp(hidden=(4,)), alpha=3.0),
}
every_network = pytest.mark.parametrize("of", NETWORKS.values(), ids=list(NETWORKS))


def two(of, k=1):
    """The parameters of a start and others, away from it."""
    rng = np.random.default_rng(5)
    start = jax.tree.map(lambda w: jnp.asarray(rng.standard_normal(w.shape)), of.init(rng, 3, k))
    return start, jax.tree.map(lambda w: w + 0.3 * rng.standard_normal(w.shape), start)


def experiment(architecture, rule=None, **more):
    parts = {"clock": lm.Clock(steps=20, every=4)} | more
    return lm.Experiment(
        architecture,
        lm.data.Gaussian(n=12, d=3, k=1, test=4),
        rule or rules.GradientDescent(rate=0.05),
        **parts,
    )


@eqx.filter_jit
def computed(function, *arguments):
    """What a function gives, as one compiled program."""
    return function(*arguments)


def ends_alike(one, other):
    return all(np.array_equal(one.final[path], other.final[path]) for path in one.final)


# --- what they are


@every_network
def test_every_signal_of_the_tangent_is_the_first_order_of_the_network(of):
    start, params = two(of)
    of = of.anchored(start)
    tangent = Linearized(of).anchored(start)
    order = []

    def both(of, tangent, start, params):
        order[:] = (list(one.signals(params, X)) for one in (of, tangent))
        return tangent.signals(params, X), of.signals(start, X), tangent.forward(params, X)

    seen, plain, outputs = computed(both, of, tangent, start, params)
    assert order[0] == order[1]
    slopes = computed(
        jax.jacobian(lambda flat: of.signals(shaped(flat, start), X)), jnp.asarray(flat_of(start))
    )
    moved = flat_of(params) - flat_of(start)
    for name, value in seen.items():
        # round-off of sums over some fifty parameters
        np.testing.assert_allclose(
            value, plain[name] + np.asarray(slopes[name]) @ moved, rtol=1e-12, atol=1e-12
        )
    assert np.array_equal(outputs, seen["output"])
    assert tangent.is_linear == of.is_linear
    if of.is_linear:
        np.testing.assert_allclose(
            X @ tangent.matrix(params).T, seen["output"], rtol=1e-12, atol=1e-12
        )


@every_network
def test_the_dial_multiplies_what_the_outputs_moved_and_nothing_before_them(of):
    start, params = two(of)
    of = of.anchored(start)
    dialed, named = (
        Dialed(of, **knob).anchored(start) for knob in ({"alpha": 4.0}, {"gamma": 0.25})
    )
    plain, seen = of.signals(params, X), []
    outputs = dialed.forward(params, X, lambda name, value: seen.append((name, value)) or value)
    assert [name for name, _ in seen] == list(plain)
    assert all(np.array_equal(value, plain[name]) for name, value in seen[:-1])
    np.testing.assert_allclose(outputs, 4 * (plain["output"] - of.forward(start, X)), rtol=1e-14)
    assert np.array_equal(outputs, named.forward(params, X)) and np.array_equal(
        outputs, seen[-1][1]
    )
    assert not np.any(np.asarray(dialed.forward(start, X)))
    np.testing.assert_allclose(
        Dialed(of, alpha=4.0, centered=False).forward(params, X), 4 * plain["output"], rtol=1e-15
    )
    if of.is_linear:
        np.testing.assert_allclose(X @ dialed.matrix(params).T, outputs, rtol=1e-12, atol=1e-12)
    for family, power in (("sgd", 2), ("adam", 1)):
        for factor, whole in zip(
            jax.tree.leaves(dialed.rate_factors(params, family)),
            jax.tree.leaves(of.rate_factors(params, family)),
            strict=True,
        ):
            assert float(factor) == whole / 4**power


@every_network
def test_gradients_on_a_tangent_and_under_a_dial_are_those_of_the_loss(of):
    for architecture in (Linearized(of), Dialed(of, alpha=3.0)):
        assert (
            gradient_error(experiment(architecture)) < 1e-6
        )  # central differences of step 1e-5, with a margin for curvature


def test_where_it_touches_the_tangent_has_the_gradient_of_the_network():
    of = NETWORKS["mlp"]
    plain, tangent = (lm.prepare(experiment(architecture)) for architecture in (of, Linearized(of)))
    one, other = (
        computed(start.system.value_and_gradient, start.state.params) for start in (plain, tangent)
    )
    assert all(
        np.allclose(a, b, rtol=1e-13, atol=1e-15)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_descent_on_the_tangent_is_descent_on_its_fixed_kernel(rate):
    given = experiment(Linearized(Mlp(hidden=(6,), bias=True)), rules.GradientDescent(rate=rate))
    start = lm.prepare(given)
    at = jnp.asarray(flat_of(start.params))

    def outputs(flat):
        return start.system.outputs(shaped(flat, start.params), start.data.train.X)[:, 0]

    begun, J = map(
        np.asarray, computed(lambda flat: (outputs(flat), jax.jacobian(outputs)(flat)), at)
    )
    residual, Theta = begun - start.data.train.Y[:, 0], J @ J.T
    seen = (
        lm.run(start, (instruments.Outputs(),))["outputs"].values[..., 0] - start.data.train.Y[:, 0]
    )
    said = np.stack(
        [
            np.linalg.matrix_power(np.eye(12) - rate * Theta / 12, step) @ residual
            for step in range(0, 21, 4)
        ]
    )
    # exact at every step: round-off over twenty steps
    np.testing.assert_allclose(seen, said, rtol=1e-11, atol=1e-12 * np.abs(said).max())


def test_on_a_tangent_the_dial_changes_nothing_that_the_outputs_show():
    of = Linearized(Mlp(hidden=(6,), bias=True))
    seen = [
        lm.run(experiment(Dialed(of, alpha=alpha)), (instruments.Outputs(),))["outputs"].values
        for alpha in (1.0, 100.0, 0.01)
    ]
    for other in seen[1:]:
        np.testing.assert_allclose(
            other, seen[0], rtol=1e-10, atol=1e-13
        )  # round-off of alpha (f - f_0), with 1/alpha of it at the parameters


def test_the_first_step_of_the_outputs_is_the_same_at_every_alpha_under_adam_too():
    first = [
        lm.run(
            experiment(
                Dialed(Mlp(hidden=(6,)), alpha=alpha),
                rules.Adam(rate=1e-6, eps=0.0),
                clock=lm.Clock(steps=1),
            ),
            (instruments.Outputs(),),
        )
        for alpha in (1.0, 50.0)
    ]
    one, other = (record["outputs"].values[1] for record in first)
    np.testing.assert_allclose(
        one, other, rtol=1e-4
    )  # the second order of a step of 1e-6, some ten parameters deep


@pytest.mark.parametrize("kind", [Linearized, lambda of: Dialed(of, gamma=0.5)])
def test_single_precision_is_kept(kind):
    start = lm.prepare(experiment(kind(NETWORKS["mlp"]), precision="float32"))
    params = jax.tree.map(jnp.asarray, start.state.params)
    seen = jax.eval_shape(
        lambda: (
            start.system.value_and_gradient(params),
            start.system.architecture.signals(params, jnp.asarray(X, "float32")),
        )
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(seen)} == {np.dtype("float32")}
    assert lm.run(start).final["layer1.weight"].dtype == np.float32


def test_theories_of_deep_linear_networks_do_not_speak_of_their_tangent():
    for start in (initial.Gaussian(), initial.ZeroReadout()):
        assert plain_layers(lm.prepare(experiment(DeepLinear(hidden=(3,)), initial=start))).holds
        assert not plain_layers(
            lm.prepare(experiment(Linearized(DeepLinear(hidden=(3,))), initial=start))
        ).holds
    assert plain_layers(
        lm.prepare(experiment(Linearized(DeepLinear())))
    ).holds  # one layer is its own tangent


# --- where a run can take them


MOVING = {
    "mlp": Mlp(hidden=(5,), bias=True),
    "dialed": Dialed(Mlp(hidden=(5,)), alpha=0.5),
    "deep-linear": DeepLinear(hidden=(3,)),
}


@pytest.mark.parametrize(
    "of, at", [(MOVING["mlp"], 0), *((of, 8) for of in MOVING.values())], ids=["mlp at 0", *MOVING]
)
def test_the_tangent_at_a_step_is_the_run_that_was_linearized_there(of, at, tmp_path):
    record = lm.run(experiment(of))
    forked = lm.fork(record, at, (interventions.Linearize(),), watch=("outputs",))
    alone = record.linearized(at)
    seen = lm.run(dataclasses.replace(alone, clock=lm.Clock(steps=20 - at, every=4)), ("outputs",))
    # the same arithmetic in two programs
    np.testing.assert_allclose(seen["outputs"], forked["outputs"], rtol=1e-12, atol=1e-14)
    assert not np.allclose(seen["outputs"][-1], record.read("outputs", 20)["outputs"][0], rtol=1e-6)
    alone.save(tmp_path)
    back = lm.Experiment.parse((tmp_path / "experiment.toml").read_text(), tmp_path)
    assert eqx.tree_equal(back, alone) and back.fingerprint == alone.fingerprint


def test_the_tangent_of_a_flow_is_taken_at_the_time_of_a_mark():
    record = lm.run(
        experiment(Mlp(hidden=(5,)), rules.GradientFlow(), clock=lm.Clock(time=4.0, marks=5))
    )
    forked = lm.fork(record, 2.0, (interventions.Linearize(),), watch=("outputs",))
    seen = lm.run(
        dataclasses.replace(record.linearized(2.0), clock=lm.Clock(time=2.0, marks=3)), ("outputs",)
    )
    np.testing.assert_allclose(
        seen["outputs"], forked["outputs"], rtol=1e-10, atol=1e-12
    )  # the same solver over the same marks


def test_a_tangent_is_taken_behind_a_kick_and_refused_behind_another_landscape():
    of = Mlp(hidden=(5,))
    kicked = lm.run(
        experiment(of, events=(interventions.Perturb("layer2.weight[0,1]", value=0.3, at=4),))
    )
    assert np.array_equal(kicked.linearized(8).architecture.anchor, flat_of(kicked.at(8).params))
    frozen = lm.run(experiment(of, events=(interventions.Freeze("layer1", at=4),)))
    assert frozen.linearized(3).rule == frozen.experiment.rule
    with pytest.raises(Refused, match="fork with interventions.Linearize"):
        frozen.linearized(8)


PAIRS = [
    (Linearized, rules.SGD(rate=0.05, batch=4)),
    (lambda of: Dialed(of, alpha=3.0), rules.Adam(rate=0.01)),
]


@pytest.mark.exact
@pytest.mark.parametrize("kind, rule", PAIRS, ids=["linearized sgd", "dialed adam"])
def test_rules_instruments_and_interventions_work_on_them(kind, rule):
    events = (
        interventions.Freeze("layer1", at=8),
        interventions.Relabel(shuffle=3, at=8),
        interventions.Linearize(at=8),
    )
    plain, watch = (
        experiment(kind(Mlp(hidden=(5,))), rule),
        ("loss", "norms", "distance", "layer1.post", "gradient.layer1.pre"),
    )
    whole, bare = lm.run(dataclasses.replace(plain, events=events), watch), lm.run(plain)
    assert ends_alike(whole, lm.fork(bare, 8, events, watch))
    assert np.array_equal(whole.final["layer1.weight"], bare.at(8).params["layer1"]["weight"])
    assert all(np.isfinite(whole[name].values).all() for name in whole.names)


def test_what_a_network_holds_of_its_start_survives_a_change_of_the_data():
    # Aligned starts are drawn from the data, so that new data would give another start
    given = experiment(
        Dialed(DeepLinear(hidden=(3,)), alpha=2.0),
        initial=initial.Aligned(),
        events=(interventions.Change("data.seed", 5, at=8),),
    )
    timeline = lm.run(given).timeline
    held = [
        flat_of(timeline.start.params),
        *(system.architecture.anchor for system in timeline.systems),
    ]
    assert len(held) == 3 and all(np.array_equal(one, held[0]) for one in held)
    assert not np.array_equal(timeline.systems[1].train.X, timeline.systems[0].train.X)


def test_a_run_on_a_tangent_is_kept_replayed_and_read_from_its_folder(tmp_path):
    record = lm.run(experiment(Linearized(Mlp(hidden=(5,)))), folder=tmp_path / "run")
    loaded = lm.load(tmp_path / "run")
    assert eqx.tree_equal(loaded.at(13), record.at(13))
    assert np.array_equal(loaded.read("loss", [0, 8])["loss"], record["loss"][[0, 2]])


@pytest.mark.parametrize("backend", ["map", "vmap"])
def test_every_seed_of_a_sweep_is_anchored_to_its_own_start(backend):
    for architecture in (Linearized(Mlp(hidden=(4,))), Dialed(Mlp(hidden=(4,)), alpha=2.0)):
        given = experiment(architecture)
        grid = sweep(
            given,
            {"rule.rate": [0.02, 0.05]},
            seeds=3,
            watch=(instruments.Outputs(),),
            backend=backend,
        )
        for seed in range(3):
            alone = lm.run(given.with_value("seed", seed), (instruments.Outputs(),))["outputs"]
            np.testing.assert_allclose(
                grid["outputs"].sel({"rule.rate": 0.05, "seed": seed}),
                alone,
                rtol=1e-11,
                atol=1e-13,
            )


def test_turning_alpha_compiles_nothing_anew():
    from learnmech.march.loop import march

    given = experiment(Dialed(Mlp(hidden=(5,)), alpha=1.0))
    lm.run(given)
    before = march._cached._cache_size()
    for alpha in (0.1, 2.0, 30.0):
        lm.run(given.with_value("architecture.alpha", alpha))
    assert march._cached._cache_size() == before


def test_balanced_starts_see_through_the_dial():
    start = lm.prepare(
        experiment(Dialed(DeepLinear(hidden=(3,)), alpha=2.0), initial=initial.Balanced())
    )
    W_1, W_2 = (layer["weight"] for layer in trees.layers_of(start.params).values())
    np.testing.assert_allclose(W_2.T @ W_2, W_1 @ W_1.T, atol=1e-15)


# --- what they refuse

MISTAKES = {
    "both names": (lambda: Dialed(Mlp(), alpha=2.0, gamma=0.5), "one of alpha and gamma"),
    "no start": (
        lambda: Linearized(Mlp(hidden=(4,))).forward(two(Mlp(hidden=(4,)))[0], X),
        "anchored to, but got none",
    ),
    "another network's anchor": (
        lambda: lm.prepare(experiment(Linearized(Mlp(hidden=(4,)), np.zeros(3)))),
        "an anchor of 16 numbers",
    ),
    "patched": (
        lambda: lm.run(experiment(Linearized(Mlp()), events=(interventions.Patch(),))),
        "Patch before it is linearized",
    ),
    "patched under a dial": (
        lambda: lm.run(experiment(Dialed(Linearized(Mlp())), events=(interventions.Patch(),))),
        "Patch before it is linearized",
    ),
    "no step": (
        lambda: lm.run(experiment(Mlp(hidden=(4,)))).linearized(30),
        "a whole step from 0 to 20",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_in_one_sentence(mistake):
    make, said = MISTAKES[mistake]
    with pytest.raises(Refused, match=said):
        make()


def test_a_given_anchor_is_kept():
    given = np.linspace(-0.5, 0.5, 16)
    for architecture in (
        Linearized(Mlp(hidden=(4,)), given),
        Dialed(Mlp(hidden=(4,)), alpha=2.0, anchor=given),
    ):
        start = lm.prepare(experiment(architecture))
        assert np.array_equal(start.system.architecture.anchor, given)
        tangent = Linearized(architecture).anchored(start.params)
        assert np.array_equal(tangent.of.anchor, given) and np.array_equal(
            tangent.anchor, flat_of(start.params)
        )


def test_both_are_in_the_catalogue():
    assert {"Linearized", "Dialed"} <= set(dir(architectures))
