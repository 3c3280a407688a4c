"""Sample by sample: gradients of single samples and slopes of single outputs, against sums,
single batches, differences and PyTorch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, losses, rules
from learnmech.curvature import samplewise
from learnmech.errors import Refused
from learnmech.language import trees

MLP = lm.Experiment(
    architectures.Mlp(hidden=(4,), activation="tanh", bias=True),
    data.Gaussian(n=7, d=3, k=2),
    rules.GradientDescent(rate=0.05),
    lm.Clock(steps=4),
)


@pytest.fixture(scope="module")
def record():
    return lm.run(MLP, ("loss", instruments.GradientNoise()))


def flat(tree):
    """{path: array} as numpy arrays."""
    return {path: np.asarray(leaf) for path, leaf in trees.leaves_by_path(tree).items()}


def test_gradients_of_samples_are_those_of_batches_of_one_and_their_mean_is_the_gradient(record):
    state, system = record.at(2), record.start.system
    found = flat(record.sample_gradients(2))
    whole = flat(system.value_and_gradient(state.params)[1])
    for path, each in found.items():
        np.testing.assert_allclose(each.mean(0), whole[path], rtol=1e-12, atol=1e-15)
    for i in (0, 6):
        alone = flat(system.at(np.array([i])).value_and_gradient(state.params)[1])
        for path, each in found.items():
            np.testing.assert_allclose(each[i], alone[path], rtol=1e-12, atol=1e-15)
    few = flat(record.sample_gradients(2, [6, 1]))
    for path, each in found.items():
        np.testing.assert_allclose(few[path], each[[6, 1]], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("scaling, whole", [("mean", np.mean), ("sum", np.sum)])
def test_where_the_loss_is_a_sum_over_samples_their_sum_is_the_gradient_and_a_ridge_is_left_out(
    scaling, whole
):
    start = lm.prepare(dataclasses.replace(MLP, loss=losses.Squared(scaling=scaling, ridge=0.3)))
    system, params = start.system, start.params
    gradient = trees.subtract(system.value_and_gradient(params)[1], trees.scale(0.3, params))
    found = flat(samplewise.sample_gradients(system, params))
    for path, leaf in flat(gradient).items():
        np.testing.assert_allclose(whole(found[path], axis=0), leaf, rtol=1e-12, atol=1e-14)


def test_a_jacobian_is_that_by_differences_and_contracts_to_the_tangent_kernel(record):
    state, system = record.at(4), record.start.system
    J, X = flat(record.jacobian(4)), system.train.X
    assert J["layer2.weight"].shape == (7, 2, 2, 4)
    kernel = (
        sum(np.einsum("ncp,mcp->nm", j.reshape(7, 2, -1), j.reshape(7, 2, -1)) for j in J.values())
        / 2
    )
    np.testing.assert_allclose(kernel, system.tangent_kernel(state.params, X), rtol=1e-12)
    step = 1e-6
    for path, place in {"layer1.weight": (1, 2), "layer2.bias": (0,)}.items():

        def moved(by, path=path, place=place):
            params = jax.tree_util.tree_map_with_path(
                lambda k, w: w.at[place].add(by) if trees.path_of(k) == path else w, state.params
            )
            return system.outputs(params, X + 0)

        slope = (moved(step) - moved(-step)) / (2 * step)
        np.testing.assert_allclose(
            J[path][(slice(None), slice(None), *place)], slope, rtol=1e-8, atol=1e-9
        )
    elsewhere = flat(record.jacobian(4, np.asarray(X[2:4])))
    np.testing.assert_allclose(elsewhere["layer1.weight"], J["layer1.weight"][2:4], rtol=1e-13)


def test_in_blocks_the_gradients_slopes_and_the_noise_are_the_same(record, monkeypatch):
    system, params = record.start.system, record.at(4).params
    whole, slopes = (
        flat(samplewise.sample_gradients(system, params)),
        flat(samplewise.jacobian(system, params)),
    )
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(params)) * 8
    monkeypatch.setattr(
        samplewise, "BLOCK_BYTES", 6 * size
    )  # 6 of 7 samples at once, and of slopes and of the noise 3
    assert (
        samplewise.rows_at_once(system, params) == 6
        and samplewise.rows_at_once(system, params, 2) == 3
    )
    for path, each in flat(samplewise.sample_gradients(system, params)).items():
        np.testing.assert_allclose(each, whole[path], rtol=1e-13, atol=1e-16)
    for path, each in flat(samplewise.jacobian(system, params)).items():
        np.testing.assert_allclose(each, slopes[path], rtol=1e-13, atol=1e-16)
    again = record.read(
        instruments.GradientNoise(every=2), [4]
    )  # another instrument, so that it is compiled anew
    np.testing.assert_allclose(
        again["sample_gradient_norm"][0], record["sample_gradient_norm"][4], rtol=1e-13
    )


def test_noise_is_the_scatter_of_the_gradients_and_a_batch_of_its_scale_scatters_as_much_as_the_gradient(
    record,
):
    for step in (0, 4):
        rows = np.concatenate(
            [each.reshape(7, -1) for each in flat(record.sample_gradients(step)).values()], axis=1
        )
        np.testing.assert_allclose(
            record["sample_gradient_norm"][step], np.linalg.norm(rows, axis=1), rtol=1e-12
        )
        spread = np.trace(np.cov(rows.T))
        np.testing.assert_allclose(record["gradient_noise"][step], spread, rtol=1e-12)
        np.testing.assert_allclose(
            record["gradient_noise_scale"][step], spread / np.sum(rows.mean(0) ** 2), rtol=1e-12
        )
    draws = np.random.default_rng(0).integers(0, 7, (20_000, 3))
    variance = np.sum(np.var(rows[draws].mean(1), axis=0))
    said = 6 / 7 * float(record["gradient_noise"][4]) / 3
    assert (
        abs(variance / said - 1) < 0.03
    )  # five standard errors of 20,000 draws, sqrt(2/20000) each


def test_after_an_event_they_are_of_the_landscape_in_force():
    forked = lm.run(
        dataclasses.replace(MLP, events=(interventions.Relabel(at=2, shuffle=3),)), ("loss",)
    )
    stage = forked.timeline.systems[1]
    found = flat(forked.sample_gradients(3))
    whole = flat(stage.value_and_gradient(forked.at(3).params)[1])
    assert all(
        np.allclose(found[path].mean(0), leaf, rtol=1e-11, atol=1e-14)
        for path, leaf in whole.items()
    )


def test_weights_of_samples_and_single_precision_are_kept():
    system = lm.prepare(dataclasses.replace(MLP, precision="float32")).system
    params = lm.prepare(dataclasses.replace(MLP, precision="float32")).params
    params = trees.cast(params, np.float32)
    weight = np.zeros((7, 2), np.float32)
    weight[3] = 2
    weighted = dataclasses.replace(
        system, train=dataclasses.replace(system.train, weight=jnp.asarray(weight))
    )
    bare, found = (flat(samplewise.sample_gradients(one, params)) for one in (system, weighted))
    for path, each in found.items():
        assert each.dtype == np.float32 and not each[[0, 1, 2, 4, 5, 6]].any()
        np.testing.assert_allclose(each[3], 2 * bare[path][3], rtol=1e-5)


def test_what_has_no_gradient_of_its_own_or_is_asked_amiss_is_refused(record):
    normed = lm.prepare(
        dataclasses.replace(MLP, architecture=architectures.Mlp(hidden=(4,), norm="batch"))
    )
    for ask in (samplewise.sample_gradients, samplewise.jacobian):
        with pytest.raises(Refused, match="treats samples one by one"):
            ask(normed.system, normed.params)
    with pytest.raises(Refused, match="one by one"):
        lm.run(normed, (instruments.GradientNoise(),))
    for places in ([7], [-1], [0.5], []):
        with pytest.raises(Refused, match="places of training samples"):
            record.sample_gradients(0, places)
    with pytest.raises(Refused, match=r"inputs \(n, 3\)"):
        record.jacobian(0, np.zeros((2, 4)))


def test_gradients_and_slopes_are_those_of_pytorch(record):
    torch = pytest.importorskip("torch")
    func, system = torch.func, record.start.system
    params = {path: torch.tensor(leaf) for path, leaf in flat(record.at(4).params).items()}
    X, Y = (torch.tensor(np.asarray(part)) for part in (system.train.X, system.train.Y))

    def outputs(p, x):
        return (
            torch.tanh(x @ p["layer1.weight"].T + p["layer1.bias"]) @ p["layer2.weight"].T
            + p["layer2.bias"]
        )

    def price(p, x, y):
        return 0.5 * ((outputs(p, x) - y) ** 2).sum()

    theirs = (
        func.vmap(func.grad(price), (None, 0, 0))(params, X, Y),
        func.vmap(func.jacrev(outputs), (None, 0))(params, X),
    )
    for ours, said in zip((record.sample_gradients(4), record.jacobian(4)), theirs, strict=True):
        for path, each in flat(ours).items():
            np.testing.assert_allclose(each, said[path].numpy(), rtol=1e-11, atol=1e-13)
