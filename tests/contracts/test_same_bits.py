"""The same bits: states do not depend on what is watched, on blocks or on marks; precision is
kept; ends are told."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, losses, rules, scalings
from learnmech.errors import Refused
from learnmech.runs import blocks
from learnmech.runs import running as runs

pytestmark = pytest.mark.exact
STEPPING = {
    "gradient-descent": rules.GradientDescent.example(),
    "sgd": rules.SGD.example(),
    "heavy-ball": rules.HeavyBall.example(),
    "adam": rules.Adam.example(),
}
LIGHT = (instruments.Loss(),)
HEAVY = (instruments.Loss(), instruments.Norms(every=2), instruments.Outputs(every=3))
each_rule = pytest.mark.parametrize("rule", STEPPING)
each_precision = pytest.mark.parametrize("precision", ["float64", "float32"])


LINE = architectures.DeepLinear()


def experiment(rule, precision="float64", clock=None, architecture=None):
    flows = rule not in STEPPING
    return lm.Experiment(
        architecture=architecture or (LINE if flows else architectures.Mlp.example()),
        data=data.Gaussian.example(),
        rule=rules.GradientFlow(rtol=1e-6) if flows else STEPPING[rule],
        clock=clock or (lm.Clock(time=1.0, marks=7) if flows else lm.Clock(steps=24, every=4)),
        precision=precision,
    )


def same(one, two):
    """Whether two final states are equal in every bit."""
    assert one.final.keys() == two.final.keys()
    return all(
        a.dtype == two.final[path].dtype and a.tobytes() == two.final[path].tobytes()
        for path, a in one.final.items()
    )


@pytest.fixture(scope="module")
def plain():
    """Runs that watch the loss alone, in one block, remembered."""
    seen = {}

    def ran(rule, precision):
        if (rule, precision) not in seen:
            seen[rule, precision] = lm.run(experiment(rule, precision), watch=LIGHT)
        return seen[rule, precision]

    return ran


@each_precision
@each_rule
def test_watching_does_not_move_the_learner_by_a_bit(plain, rule, precision):
    bare = plain(rule, precision)
    assert same(bare, lm.run(experiment(rule, precision), watch=HEAVY))
    assert not np.array_equal(
        bare.final["layer1.weight"],
        lm.prepare(experiment(rule, precision)).state.params["layer1"]["weight"],
    )


@pytest.mark.parametrize("kind", ["Adam", "MovingAverage", "Muon"])
def test_watching_does_not_move_a_learner_whose_gradient_has_a_ridge_in_it(kind):
    one = lm.Experiment(
        architectures.Mlp(hidden=(5, 4), bias=True, scaling=scalings.MuP(base=4)),
        data.Gaussian(n=30, d=3, k=2, noise=0.3),
        getattr(rules, kind)(rate=0.02),
        lm.Clock(steps=12, every=4),
        loss=losses.Squared(ridge=0.13),
    )
    bare = lm.run(one, watch=())
    for watch in (("norms",), ("loss", "gradient.layer2.weight", "update.layer2.weight")):
        assert same(bare, lm.run(one, watch=watch)), watch


@each_precision
@each_rule
def test_where_the_marks_are_does_not_move_the_learner_by_a_bit(plain, rule, precision):
    other = lm.run(
        experiment(rule, precision, lm.Clock(steps=24, marks=7, spacing="log")), watch=LIGHT
    )
    assert other["loss"]["step"].values.tolist() == [0, 1, 2, 4, 7, 13, 24]
    assert same(plain(rule, precision), other)


@each_precision
@each_rule
def test_blocks_do_not_move_the_learner_by_a_bit(plain, rule, precision, monkeypatch):
    monkeypatch.setattr(blocks, "MARKS", 7)
    often = experiment(rule, precision, lm.Clock(steps=24, every=2))
    flushes = list(runs.stream(lm.prepare(often), LIGHT))
    assert [flush.progress.reached for flush in flushes] == [7, 13]
    cut = lm.run(often, watch=LIGHT)
    assert same(plain(rule, precision), cut)
    assert np.array_equal(cut["loss"][::2], plain(rule, precision)["loss"])


def test_every_cadence_sees_the_same_in_blocks_as_in_one(monkeypatch):
    often = experiment("adam", clock=lm.Clock(steps=24, every=2))
    monkeypatch.setattr(blocks, "MARKS", 13)
    whole = lm.run(often, watch=HEAVY)
    monkeypatch.setattr(blocks, "MARKS", 7)
    cut = lm.run(often, watch=HEAVY)
    assert whole.tables.keys() == cut.tables.keys() == {1, 2, 3}
    for every, table in whole.tables.items():
        assert (
            table["step"].values.tolist()
            == cut.tables[every]["step"].values.tolist()
            == list(range(0, 25, 2 * every))
        )
        for name in table.data_vars:
            np.testing.assert_array_equal(cut.tables[every][name], table[name])


@each_precision
def test_watching_and_blocks_do_not_move_a_flow_by_a_bit(plain, precision, monkeypatch):
    whole = plain("flow", precision)
    monkeypatch.setattr(blocks, "MARKS", 3)
    cut = lm.run(experiment("flow", precision), watch=HEAVY)
    assert same(whole, cut)
    np.testing.assert_array_equal(cut["loss"], whole["loss"])


@pytest.mark.parametrize("rule", [*STEPPING, "flow"])
def test_single_precision_stays_single_and_time_double(rule):
    *_, last = runs.stream(lm.prepare(experiment(rule, "float32")), (instruments.Loss(),))
    assert {leaf.dtype for leaf in jax.tree.leaves(last.state.params)} == {jnp.dtype("float32")}
    assert {
        leaf.dtype
        for leaf in jax.tree.leaves(last.state.memory)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    } <= {jnp.dtype("float32")}
    assert last.state.time.dtype == jnp.float64
    record = lm.run(experiment(rule, "float32"), watch=HEAVY)
    assert {
        str(table[name].dtype) for table in record.tables.values() for name in table.data_vars
    } == {"float32"}
    assert {str(leaf.dtype) for leaf in record.final.values()} == {"float32"}
    assert {str(table["time"].dtype) for table in record.tables.values()} == {"float64"}
    if rule != "flow":
        # t = step * rate in closed form, not a sum of 24 rounded rates
        assert float(last.state.time) == 24 * float(STEPPING[rule].rate)


@each_precision
def test_both_precisions_start_from_the_same_draw(precision):
    exact, start = lm.prepare(experiment("adam")), lm.prepare(experiment("adam", precision))
    assert np.array_equal(start.system.train.X, exact.data.train.X.astype(precision))
    assert np.array_equal(
        start.state.params["layer1"]["weight"], exact.params["layer1"]["weight"].astype(precision)
    )


@each_precision
def test_a_record_saved_and_loaded_is_identical(precision, tmp_path):
    kept = lm.run(experiment("adam", precision), watch=HEAVY)
    back = lm.load(kept.save(tmp_path / "run"))
    assert same(kept, back)
    assert (
        back.experiment.fingerprint == kept.experiment.fingerprint == back.provenance["fingerprint"]
    )
    assert (back.notes, back.provenance) == (kept.notes, kept.provenance)
    assert back.tables.keys() == kept.tables.keys()
    for every, table in kept.tables.items():
        assert back.tables[every].identical(table), every
        assert {name: table[name].dtype for name in table.variables} == {
            name: back.tables[every][name].dtype for name in table.variables
        }
    assert same(kept, lm.run(back.experiment, watch=HEAVY))
    with pytest.raises(Refused, match="a path that does not exist yet"):
        kept.save(tmp_path / "run")


def test_a_loaded_record_names_its_quantities_in_the_order_they_were_watched(tmp_path):
    kept = lm.run(experiment("adam"), watch=HEAVY)
    assert lm.load(kept.save(tmp_path / "run")).names == kept.names


def test_marks_at_which_a_quantity_was_not_read_are_nan():
    seen = lm.run(experiment("adam"), watch=HEAVY).dataset
    assert seen["step"].values.tolist() == list(range(0, 25, 4))
    assert np.isfinite(seen["loss"]).all()
    for name, every in (("weight_norm", 2), ("outputs", 3)):
        read = np.isfinite(seen[name]).all(axis=tuple(range(1, seen[name].ndim)))
        assert read.values.tolist() == [mark % every == 0 for mark in range(7)]
        assert np.isnan(seen[name].values[~read]).all()


# --- how a run ends


def test_a_diverging_run_finishes_and_says_where_and_why():
    start = lm.prepare(experiment("gradient-descent", architecture=LINE))
    X = start.data.train.X
    edge = 2 / np.linalg.eigvalsh(X.T @ X / 12)[-1]
    clock = lm.Clock(steps=3000, marks=7)
    record = lm.run(
        experiment("gradient-descent", clock=clock, architecture=LINE).with_value(
            "rule.rate", 1.2 * edge
        )
    )
    note = next(note for note in record.notes if note.startswith("diverged at step "))
    # the error along the top direction grows as 1.4^step, so its square leaves float64 at about
    # step 1050, seen at the next mark
    assert int(re.match(r"diverged at step (\d+)", note)[1]) == record["loss"]["step"][-1] == 1500
    said = float(re.search(r"2/sharpness = ([0-9.e+-]+)", note)[1])
    assert said == pytest.approx(edge, rel=1e-3)  # printed to four digits
    assert f"rate {1.2 * edge:.4g} " in note
    assert np.isfinite(record["loss"][:-1]).all() and not np.isfinite(record["loss"][-1])
    assert record["loss"].values[1] > record["loss"].values[0]
    calm = lm.run(
        experiment("gradient-descent", clock=clock, architecture=LINE).with_value(
            "rule.rate", 0.8 * edge
        )
    )
    assert calm.notes == () and len(calm["loss"]) == 7


def test_until_stops_at_the_first_mark_where_it_is_met(plain, monkeypatch):
    monkeypatch.setattr(blocks, "MARKS", 7)
    often = experiment("gradient-descent", clock=lm.Clock(steps=24, every=2))
    losses = lm.run(often, watch=LIGHT)["loss"].values
    for last in (4, 9):  # in the first block, and in the second
        bound = float(losses[last - 1] + losses[last]) / 2
        stopped = lm.run(often, watch=LIGHT, until=f"loss<{bound!r}")
        assert np.array_equal(stopped["loss"], losses[: last + 1])
        assert stopped.notes == (f"stopped at step {2 * last} because loss<{bound!r} was met",)
        assert same(
            stopped,
            lm.run(
                experiment("gradient-descent", clock=lm.Clock(steps=2 * last, marks=7)), watch=LIGHT
            ),
        )
    never = lm.run(often, watch=LIGHT, until="loss<0")
    assert never.notes == () and same(never, plain("gradient-descent", "float64"))
    at_once = lm.run(often, watch=LIGHT, until=f"loss>{float(losses[0]) / 2!r}")
    assert len(at_once["loss"]) == 1 and np.array_equal(
        at_once.final["layer1.weight"], lm.prepare(often).params["layer1"]["weight"]
    )


@pytest.mark.parametrize("last", [20, 40, 64, 70])
def test_a_run_that_stops_within_a_leg_of_its_walk_or_at_its_end_stops_there(last):
    # 64 steps to a leg: within the first and the second, behind the third, at the last mark
    long, far = (
        experiment("adam", clock=lm.Clock(steps=steps, every=3)) for steps in (210, 3 * last)
    )
    losses = lm.run(long, watch=LIGHT)["loss"].values
    assert np.all(np.diff(losses) < 0)
    stopped = lm.run(
        long, watch=HEAVY, until=f"loss<{float(losses[last - 1] + losses[last]) / 2!r}"
    )
    assert (
        np.array_equal(stopped["loss"], losses[: last + 1])
        and stopped["loss"]["step"][-1] == 3 * last
    )
    assert same(stopped, lm.run(far, watch=LIGHT))
    for one, other in zip(
        *(jax.tree.leaves(record.at(3 * last)) for record in (stopped, lm.run(far))), strict=True
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "until", ["loss", "loss<", "loss<small", "los<1", "weight_norm<1", "outputs>1", "<1", "loss=1"]
)
def test_an_until_that_cannot_be_met_is_refused(until):
    with pytest.raises(Refused, match=r"^until needs .*, but got .*\. .*[.?]$"):
        lm.run(experiment("adam"), watch=HEAVY, until=until)


def test_a_quantity_watched_twice_is_refused():
    with pytest.raises(Refused, match=r"^watch needs every quantity once, but got 'loss'\. .*\.$"):
        lm.run(experiment("adam"), watch=(instruments.Loss(), instruments.Loss(every=2)))
