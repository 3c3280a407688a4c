"""Coupling and response: against dense Hessians, finite differences and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

import learnmech as lm
from learnmech import architectures, data, initial, instruments, interventions, rules
from learnmech.errors import Refused
from learnmech.language import trees

MLP = lm.Experiment(
    architectures.Mlp(hidden=(4, 3)),
    data.Gaussian(n=12, d=3, k=2),
    rules.GradientDescent(rate=0.05),
    lm.Clock(steps=6),
)
LINEAR = dataclasses.replace(MLP, architecture=architectures.DeepLinear(hidden=(3,)))


def blocks(start):
    """{(layer, layer): Frobenius norm} from the dense Hessian of the loss written anew."""
    X, Y = start.data.train.X, start.data.train.Y
    flat, unflatten = flatten_util.ravel_pytree(start.params)

    def loss(v):
        h, layers = X, list(trees.layers_of(unflatten(v)).values())
        for place, layer in enumerate(layers):
            h = h @ layer["weight"].T
            h = (
                jnp.tanh(h)
                if place < len(layers) - 1 and not start.system.architecture.is_linear
                else h
            )
        return jnp.sum((h - Y) ** 2) / (2 * len(X))

    H = np.asarray(jax.jit(jax.hessian(loss))(flat))
    sizes = np.cumsum(
        [0, *(layer["weight"].size for layer in trees.layers_of(start.params).values())]
    )
    return np.array(
        [
            [np.linalg.norm(H[a:b, c:d]) for c, d in zip(sizes[:-1], sizes[1:])]
            for a, b in zip(sizes[:-1], sizes[1:])
        ]
    )


@pytest.mark.parametrize("experiment", [MLP, LINEAR], ids=["tanh", "linear"])
def test_the_coupling_of_a_small_net_is_that_of_the_dense_hessian(experiment):
    start = lm.prepare(experiment)
    record = lm.run(start, ("coupling",))
    np.testing.assert_allclose(record["coupling"].values[0], blocks(start), rtol=1e-10)
    assert not record["coupling_error"].values.any()


def test_hutchinson_is_unbiased_and_its_error_bar_is_the_error_it_makes():
    start, seeds = lm.prepare(MLP), 400
    truth = blocks(start) ** 2

    @jax.jit
    def estimated(key):
        one = instruments.Coupling(probes=16, exact_up_to=0)
        return one.squares(start.system, start.state.params, key)

    seen, error = jax.vmap(estimated)(jax.random.split(jax.random.PRNGKey(1), seeds))
    spread = np.std(seen, axis=0, ddof=1)
    assert np.all(np.abs(np.mean(seen, axis=0) - truth) <= 4 * spread / np.sqrt(seeds))
    # the mean of 400 estimated variances of 16 draws each is good to some 10% unless the tails are
    # heavy
    np.testing.assert_allclose(np.sqrt(np.mean(np.asarray(error) ** 2, axis=0)), spread, rtol=0.25)


def test_what_is_estimated_is_read_with_its_error_and_is_symmetric():
    record = lm.run(MLP, (instruments.Coupling(exact_up_to=0, probes=200),))
    seen, error = record["coupling"].values[0], record["coupling_error"].values[0]
    assert np.array_equal(seen, seen.T) and np.all(error > 0)
    assert np.all(np.abs(seen - blocks(lm.prepare(MLP))) <= 5 * error)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_a_learned_chain_couples_every_pair_of_layers_alike(depth):
    s = 1.7
    weights = {f"layer{i + 1}": {"weight": np.full((1, 1), s ** (1 / depth))} for i in range(depth)}
    source = data.Gaussian(n=1, d=1, k=1, map=np.array([[s]]))
    start = lm.prepare(
        lm.Experiment(
            architectures.DeepLinear(hidden=(1,) * (depth - 1)),
            source,
            rules.GradientDescent(),
            lm.Clock(steps=1),
        )
    )
    x = float(start.data.train.X[0, 0])
    state = dataclasses.replace(start.state, params=jax.tree.map(jnp.asarray, weights))
    squared, _ = jax.jit(instruments.Coupling().squares)(start.system, state.params)
    np.testing.assert_allclose(np.sqrt(squared), x**2 * s ** (2 - 2 / depth), rtol=1e-12)


def test_the_response_to_a_kick_is_the_central_difference_of_the_gradient():
    start, step = lm.prepare(MLP), 1e-5
    seen = lm.run(start, (instruments.KickResponse("layer2.weight[1,:]"),))["kick_response"].values[
        0
    ]

    slope = jax.jit(lambda params: start.system.value_and_gradient(params)[1])

    def gradient(by):
        params = jax.tree.map(np.array, start.params)
        params["layer2"]["weight"][1, :] += by
        return slope(params)

    turned = jax.tree.map(
        lambda a, b: (np.asarray(a) - b) / (2 * step), gradient(step), gradient(-step)
    )
    np.testing.assert_allclose(
        seen,
        [np.linalg.norm(turned[layer]["weight"]) for layer in trees.layers_of(turned)],
        rtol=1e-8,
    )


def test_the_prediction_by_the_hessian_is_of_first_order_in_the_kick():
    errors, sizes = [], 0.2 * 4.0 ** -np.arange(4)
    for size in sizes:
        kicked = dataclasses.replace(
            MLP, events=(interventions.Perturb("layer1.weight[0,1]", value=size),)
        )
        record = lm.run(kicked, ("gradient-change",))
        seen, said = (
            record["gradient_change"].values[0],
            lm.predict(kicked, lm.theories.HessianResponse())["gradient_change"].values[0],
        )
        assert np.all(seen > 0)
        errors.append(np.abs(seen - said).max() / said.max())
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert abs(slope - 1) < 0.1


def test_a_run_without_a_kick_or_with_a_rough_activation_is_outside_its_domain():
    rough = dataclasses.replace(
        MLP,
        architecture=architectures.Mlp(hidden=(4,), activation="leaky-relu:0.2"),
        events=(interventions.Noise(size=0.01),),
    )
    assert not all(c.holds for c in lm.theories.HessianResponse().conditions(lm.prepare(rough)))
    assert not all(c.holds for c in lm.theories.HessianResponse().conditions(lm.prepare(MLP)))
    late = dataclasses.replace(MLP, events=(interventions.Noise(size=0.01, at=3),))
    with pytest.raises(Refused, match="at the start"):
        lm.predict(late, lm.theories.HessianResponse())


def test_other_theories_say_that_they_do_not_speak_of_a_changed_run():
    start = dataclasses.replace(
        LINEAR,
        initial=initial.Aligned(strength=0.1),
        events=(interventions.Noise(size=0.01, at=3),),
    )
    assert (
        lm.compare(lm.run(start, ("mode-strengths",)), lm.theories.Decoupled()).verdict
        == "outside domain"
    )


def test_coupling_is_read_in_single_precision_too():
    single = lm.run(MLP.with_value("precision", "float32"), ("coupling",))["coupling"]
    assert single.dtype == np.float32
    np.testing.assert_allclose(
        single.values[0], lm.run(MLP, ("coupling",))["coupling"].values[0], rtol=1e-4
    )
