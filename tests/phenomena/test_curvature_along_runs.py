"""Curvature along runs: what instruments and a tracker read, against dense matrices at the same
states."""

import jax
import numpy as np
import pytest
from jax import flatten_util

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules
from learnmech.curvature.slices import between
from learnmech.errors import Refused
from learnmech.language import trees
from learnmech.march.tracking import Tracker, tracked
from learnmech.system.landscape import hessian_matrix

# of 96 parameters, which are searched, and of 37, which are formed
WIDE = {
    "architecture": architectures.Mlp(hidden=(16,)),
    "data": data.Gaussian(n=30, d=4, k=2),
    "rule": rules.GradientDescent(rate=0.05),
}
SMALL = {
    "architecture": architectures.Mlp(hidden=(5,), bias=True),
    "data": data.Gaussian(n=12, d=4, k=2),
    "rule": rules.Adam(rate=0.01),
}


def made(parts):
    """A tanh network with a ridge, ready."""
    return lm.prepare(
        lm.Experiment(**parts, loss=losses.Squared(ridge=0.3), clock=lm.Clock(steps=24, every=3))
    )


def raveled(tree):
    return np.asarray(flatten_util.ravel_pytree(tree)[0])


SEARCHED = instruments.Sharpness(k=3, bottom=1, iterations=26)


@pytest.fixture(scope="module")
def run():
    """Watched so briefly that the lower ones of the largest eigenvalues have not converged."""
    return lm.run(made(WIDE), (SEARCHED, instruments.LayerSharpness(every=8)))


@pytest.fixture(scope="module")
def adam():
    return lm.run(
        made(SMALL),
        (instruments.PreconditionedSharpness(every=8), instruments.LayerSharpness(every=8)),
    )


def hessian_at(record, step):
    return hessian_matrix(record.start.system, record.at(step).params)


def test_a_reading_is_that_of_the_dense_matrix_or_nan_beside_its_residual(run):
    converged = 0
    for place, step in ((0, 0), (8, 24)):
        spectrum = np.linalg.eigvalsh(hessian_at(run, step))
        seen = {
            end: (run[f"hessian_{end}"].values[place], run[f"hessian_{end}_residual"].values[place])
            for end in ("eigenvalue", "lowest")
        }
        for (values, residuals), exact in zip(
            seen.values(), (spectrum[::-1][:3], spectrum[:1]), strict=True
        ):
            good = np.isfinite(values)
            # residuals of 1e-6, squared over a gap
            np.testing.assert_allclose(values[good], exact[good], atol=1e-9 * spectrum[-1])
            np.testing.assert_array_equal(good, residuals <= 1e-6 * spectrum[-1])
            assert np.isfinite(residuals).all()
            converged += good.sum()
        assert (
            np.array_equal(run["sharpness"].values[place], seen["eigenvalue"][0][0])
            and run["sharpness_residual"].values[place] == seen["eigenvalue"][1][0]
        )
    assert 2 <= converged < 8


def test_a_reading_that_was_searched_is_replayed_to_the_bit(run):
    again = run.read(SEARCHED, [0, 24])
    for name in again.data_vars:
        np.testing.assert_array_equal(
            again[name].values, run[str(name)].values[[0, -1]], err_msg=str(name)
        )


def test_the_sharpness_of_a_layer_is_that_of_its_own_block(run, adam):
    for record in (run, adam):
        H = hessian_at(record, 24)
        cuts = np.cumsum(
            [0, *(raveled(layer).size for layer in trees.layers_of(record.params).values())]
        )
        expected = [
            np.linalg.eigvalsh(H[a:b, a:b])[-1] for a, b in zip(cuts[:-1], cuts[1:], strict=True)
        ]
        np.testing.assert_allclose(
            record["layer_sharpness"].values[-1], expected, rtol=1e-9
        )  # as above


def test_preconditioned_sharpness_is_that_of_the_hessian_between_the_roots_of_adams_multipliers(
    adam,
):
    assert np.isnan(
        adam["preconditioned_sharpness"].values[0]
    )  # before the first step there is nothing to divide by
    memory = adam.at(24).memory[0]
    D = 1 / (np.sqrt(raveled(memory.nu) / (1 - 0.999**24)) + 1e-8)
    expected = np.max(np.linalg.eigvals(D[:, None] * hessian_at(adam, 24)).real)
    assert adam["preconditioned_sharpness"].values[-1] == pytest.approx(expected, rel=1e-9)


def test_preconditioned_sharpness_refuses_a_rule_that_multiplies_no_gradient():
    for rule in (rules.GradientFlow(), rules.Lion(rate=0.003)):
        clock = {"time": 1.0, "marks": 3} if rule.flows else {"steps": 3, "every": 1}
        start = lm.prepare(
            lm.Experiment(
                architectures.Mlp(hidden=(5,), bias=True),
                data.Gaussian(n=12, d=4, k=2),
                rule,
                lm.Clock(**clock),
            )
        )
        with pytest.raises(
            Refused,
            match="PreconditionedSharpness needs a rule that multiplies each weight's gradient",
        ):
            lm.run(start, (instruments.PreconditionedSharpness(),))


def test_a_tracker_follows_the_sharpest_direction_along_the_run_in_fewer_products_and_is_no_record(
    run,
):
    seen = tracked(run.start, every=9)
    assert seen["step"].values.tolist() == [0, 9, 18, 24] and seen["time"].values.tolist() == [
        0,
        9 * 0.05,
        18 * 0.05,
        24 * 0.05,
    ]
    exact = [np.linalg.eigvalsh(hessian_at(run, int(step)))[-1] for step in seen["step"]]
    # to the square of a residual of 1e-2 over the gap to the next
    np.testing.assert_allclose(seen["sharpness"].values[:, 0], exact, rtol=1e-3)
    products = seen["products"].values
    assert products[1:].max() < products[0]
    assert not Tracker.replayable and seen.attrs["replayable"].startswith("no")


def test_the_way_between_two_states_begins_at_one_and_ends_at_the_other(run):
    system, ends = run.start.system, [run.at(step).params for step in (0, 24)]
    seen = between(system, *ends, np.array([0, 0.5, 1.0]))["loss"].values
    middle = jax.tree.map(lambda p, q: (np.asarray(p) + np.asarray(q)) / 2, *ends)
    np.testing.assert_allclose(
        seen, [float(system.loss(p)) for p in (ends[0], middle, ends[1])], rtol=1e-13
    )
