"""Fresh samples: every step sees samples that no step saw, and the finite draw is a probe."""

import jax
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, losses, rules, theories
from learnmech.errors import Refused

COVARIANCE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])


def online(**changes):
    """A linear network on fresh samples of correlated Gaussian inputs."""
    made = {
        "architecture": architectures.DeepLinear(hidden=(4,)),
        "data": data.Gaussian(
            n=500, d=3, k=2, covariance="given", matrix=COVARIANCE, noise=0.1, test=20
        ),
        "rule": rules.SGD(rate=0.05, batch=8, sampling="fresh"),
        "clock": lm.Clock(steps=400, every=100),
    }
    return lm.Experiment(**(made | changes))


SOURCES = {
    "gaussian": data.Gaussian(n=4, d=3, k=2, covariance="given", matrix=COVARIANCE, noise=0.5),
    "linear teacher": data.LinearTeacher(
        strengths=(2.0, 1.0), n=4, d=3, k=2, noise=0.3, whitened=False
    ),
    "network teacher": data.NetworkTeacher(n=4000, d=3, k=2, power=2.0, noise=0.4),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_population_has_the_moments_of_a_large_draw_of_its_source(name):
    source, count = SOURCES[name], 200_000
    population = lm.prepare(online(data=source)).system.population
    view = population.sample(jax.random.PRNGKey(0), count)
    X, Y = np.asarray(view.X), np.asarray(view.Y)
    if name == "gaussian":
        C, B = COVARIANCE, np.asarray(population.map)
    elif name == "linear teacher":
        C, B = np.eye(3), np.asarray(population.map)
        np.testing.assert_allclose(np.linalg.svd(B, compute_uv=False), [2.0, 1.0], rtol=1e-12)
    else:
        C, B = np.eye(3), None
        # the teacher's mean square is 2 on its own draw of 4,000, here to some percent of it
        assert np.mean(Y**2) == pytest.approx(2.0 + 0.4**2, rel=0.1)
    # six standard errors of an entry, each at most sqrt(2) max C / sqrt(count)
    bound = 6 * np.sqrt(2) * 2.0 / np.sqrt(count)
    np.testing.assert_allclose(X.T @ X / count, C, atol=bound)
    if B is not None:
        np.testing.assert_allclose(Y.T @ X / count, B @ C, atol=4 * bound)
        rest = Y - X @ B.T
        assert rest.std() == pytest.approx(float(source.noise), rel=0.01)


def test_the_loss_of_the_population_is_that_of_very_many_samples():
    start = lm.prepare(online(loss=losses.Squared(ridge=0.1)))
    params = start.state.params
    many = start.system.fresh(jax.random.PRNGKey(3), 400_000)
    # each sample's price scatters by about its mean: a standard error of 1/600
    assert float(start.system.population_loss(params)) == pytest.approx(
        float(many.loss(params)), rel=0.01
    )


def test_a_step_sees_samples_that_no_step_saw_and_replays_them_to_the_bit():
    record = lm.run(online(), ("population-loss", "probe-loss", "batch-loss", "test-loss"))
    assert record["population_loss"][-1] < 0.1 * record["population_loss"][0]
    # what cannot be learned is the noise, 2 outputs of variance 0.01, half of their mean square
    assert record["population_loss"][-1] > 0.01
    start, state = record.start, record.at(137)
    views = [
        np.asarray(start.rule.view(start.system, at).train.X) for at in (state, record.at(138))
    ]
    assert not np.intersect1d(*views).size and views[0].shape == (8, 3)
    half = lm.run(online(clock=lm.Clock(steps=137, every=137)))
    for path, leaf in half.final.items():
        layer, name = path.split(".")
        assert np.array_equal(leaf, state.params[layer][name])
    # the probe is of 500 samples whose prices scatter by about their mean
    assert record["probe_loss"][-1] == pytest.approx(float(record["population_loss"][-1]), rel=0.5)


def test_what_is_watched_unless_asked_otherwise_is_known_of_the_population():
    assert lm.run(online()).names == ["population_loss", "test_loss"]
    assert lm.run(online(architecture=architectures.Mlp(hidden=(4,)))).names[0] == "probe_loss"


@pytest.mark.parametrize(
    "changes, watch, sentence",
    [
        ({}, ("loss",), "Loss needs samples to which steps come back"),
        ({"data": data.Digits(train=50)}, None, "SGD needs data with a population to draw from"),
        ({"data": data.Gaussian(n=9, d=3, whitened=True)}, None, "with a population"),
        ({"rule": rules.Adam(rate=0.1, sampling="fresh")}, None, "Adam needs a batch"),
        (
            {"architecture": architectures.Mlp(hidden=(3,))},
            ("population-loss",),
            "PopulationLoss needs a mean squared loss of a linear network",
        ),
        ({"loss": losses.Squared(scaling="sum")}, ("population-loss",), "PopulationLoss needs"),
    ],
)
def test_what_has_no_population_is_refused_in_a_sentence(changes, watch, sentence):
    with pytest.raises(Refused, match=sentence):
        lm.run(online(**changes), watch)


def test_theories_of_the_training_samples_say_that_steps_do_not_come_back_to_them():
    conditions = theories.SgdMoments().conditions(lm.prepare(online()))
    assert any("come back to the training samples" in one.claim for one in conditions)
