"""Limits: how fast a theory becomes exact, measured with seeds and error bars and held against
the order it declares."""

import json

import numpy as np
import pytest
import xarray as xr

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.cli.app import call
from learnmech.comparison import orders
from learnmech.comparison.orders import fitted_order, judged, measured_order
from learnmech.errors import Refused
from learnmech.gallery import contracts
from learnmech.language import catalog, text
from learnmech.theories import Flow, SgdMoments
from learnmech.theories.base import Limit
from learnmech.verbs.grids import axis_values

GUESTS = '''
"""Limits to be measured: one in a width, and one that declares the wrong order."""

from typing import ClassVar

import numpy as np

from learnmech.architectures.mlp import Mlp
from learnmech.experiment.clock import Clock
from learnmech.data.gaussian import Gaussian
from learnmech.experiment.recipe import Experiment
from learnmech.instruments.losses import Loss
from learnmech.rules.descent import GradientDescent
from learnmech.architectures.scalings import MeanField
from learnmech.experiment.tables import table
from learnmech.theories.base import Condition, Limit, Theory, constant
from learnmech.theories.flow import Flow


class Silence(Theory):
    """A mean-field network of infinite width says nothing at its start, f = (1/h) sum_i a_i s(w_i.x) = 0: the loss is c |Y|^2, off by O(h^-1/2)."""

    source: ClassVar[str] = "the law of large numbers"
    predicts: ClassVar[tuple[str, ...]] = ("loss",)
    limits: ClassVar[tuple[Limit, ...]] = (Limit("architecture.width", -0.5),)

    def domain(self, start):
        scaling = type(start.system.architecture.scaling).__name__
        return (Condition("the scaling is mean-field", scaling, "MeanField", scaling == "MeanField"),)

    def predict(self, start, clock=None):
        marks = start.marked(clock)
        first = marks._replace(times=marks.times[:1], steps=marks.steps[:1])
        loss = constant(start) * float((np.asarray(start.data.train.Y) ** 2).sum())
        return table(Loss().quantities(start.system, start.state.params), {"loss": np.array([loss])}, first)

    @classmethod
    def example(cls):
        return Experiment(Mlp(hidden=(64,), scaling=MeanField()), Gaussian(n=4, d=3, k=1), GradientDescent(rate=0.01), Clock(steps=1, marks=2))


class Hasty(Flow):
    """Descent follows its flow to second order in the rate, it is said, wrongly."""

    limits: ClassVar[tuple[Limit, ...]] = (Limit("rule.rate", 2.0),)
'''
QUICK = ["clock={time = 1.0, marks = 5}", "data.n=6", "architecture.hidden=[3]"]


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """The file of guests, in the catalogue for these tests alone."""
    before = list(catalog.GUESTS)
    path = tmp_path_factory.mktemp("guests") / "limits_of_mine.py"
    path.write_text(GUESTS.replace("class Hasty(Flow)", "class Hasty(Flow, Theory)"))
    catalog.add_source(path)
    yield path
    catalog.GUESTS[:] = before


@pytest.fixture
def asked(capsys, tmp_path, monkeypatch):
    """The JSON of `learnmech limit ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def ask(*words):
        status = call(["limit", *map(str, words), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return ask


@pytest.fixture(scope="module")
def widened(guests):
    """The order of the loss at the start of a mean-field net, over 24 starts at each of five
    widths."""
    kind = catalog.find("theories", "silence")
    return measured_order(
        kind.example(), kind(), "architecture.width", [16, 64, 256, 1024, 4096], seeds=24
    )


# --- the knob


@pytest.mark.parametrize(
    "architecture",
    [architectures.Mlp(hidden=(4, 8, 2)), architectures.DeepLinear(hidden=(4, 8, 2))],
    ids=lambda a: type(a).__name__,
)
def test_the_width_of_a_net_is_that_of_every_hidden_layer(architecture):
    experiment = lm.Experiment(
        architecture,
        data.Gaussian(n=6, d=3, k=1),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=3),
    )
    assert experiment.with_value("architecture.width", 16).architecture.hidden == (16, 16, 16)
    assert text.value_at(experiment, "architecture.width") == 2  # the narrowest
    wide = experiment.with_value(
        "architecture", {"kind": "dialed", "of": architecture, "alpha": 2.0}
    ).with_value("architecture.of.width", 5)
    assert wide.architecture.of.hidden == (5, 5, 5) and float(wide.architecture.alpha) == 2


def test_a_sweep_over_the_width_is_that_over_its_hidden_widths():
    experiment = lm.Experiment(
        architectures.Mlp(hidden=(4, 4)),
        data.Gaussian(n=6, d=3, k=1),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=3),
    )
    grid = lm.sweep(experiment, {"architecture.width": [3, 6]})
    assert grid["loss"].dims[0] == "architecture.width" and grid[
        "architecture.width"
    ].values.tolist() == [3, 6]
    assert np.array_equal(
        grid["loss"].sel({"architecture.width": 6}).squeeze(),
        lm.run(experiment.with_value("architecture.hidden", [6, 6]))["loss"],
    )


@pytest.mark.parametrize(
    "path, value",
    [
        ("architecture.widht", 4),
        ("architecture.width", 2.5),
        ("architecture.width", 0),
        ("architecture.width.x", 4),
    ],
)
def test_a_width_that_is_none_is_refused(path, value):
    experiment = lm.Experiment(
        architectures.Mlp(),
        data.Gaussian(n=6, d=3, k=1),
        rules.GradientDescent(rate=0.1),
        lm.Clock(steps=3),
    )
    with pytest.raises(Refused, match="architecture.width|hidden") as caught:
        experiment.with_value(path, value)
    assert "but got" in str(caught.value)


# --- the order and its error bars


@pytest.mark.parametrize(
    "together", [False, True], ids=["independent seeds", "seeds that move all errors together"]
)
def test_the_error_bar_of_a_slope_is_the_scatter_of_repeated_measurements(together):
    rng, values, slopes, bars = np.random.default_rng(0), np.array([1.0, 2.0, 5.0, 10.0]), [], []
    for _ in range(400):
        noise = rng.lognormal(0, 0.3, (1 if together else 4, 12))
        found = fitted_order(values, values[:, None] ** -0.5 * np.broadcast_to(noise, (4, 12)))
        slopes.append(found.slope)
        bars.append(found.from_seeds)
    # 400 repeats give a standard deviation to 3.5%, the jackknife of ratios of 12 is biased by a
    # few percent
    assert np.mean(bars) == pytest.approx(np.std(slopes), rel=0.15, abs=1e-12)
    assert np.mean(slopes) == pytest.approx(-0.5, abs=4 * max(np.std(slopes) / 20, 1e-15))


def test_a_net_of_random_features_is_silent_to_the_order_of_one_over_the_root_of_its_width(widened):
    assert widened.samples.shape == (5, 24) and np.allclose(widened.errors, widened.samples.mean(1))
    assert abs(widened.slope + 0.5) < 3 * widened.standard_error < 0.25
    verdict = judged(widened, Limit("architecture.width", -0.5))
    assert verdict.verdict == "holds" and verdict.tenfold is not None


def test_a_wrong_order_fails_and_a_bound_holds_where_the_error_vanishes_faster(widened):
    verdicts = {
        (order, bound): judged(widened, Limit("architecture.width", order, bound)).verdict
        for order in (-1.0, -0.25)
        for bound in (False, True)
    }
    assert verdicts == {
        (-1.0, False): "fails",
        (-1.0, True): "fails",
        (-0.25, False): "fails",
        (-0.25, True): "holds",
    }


def test_each_seed_is_held_against_what_the_theory_says_of_its_own_start():
    experiment = Flow.example().with_value("clock", {"time": 1.0, "marks": 5})
    found = measured_order(experiment, Flow(), "rule.rate", [0.05, 0.025], seeds=[3, 5])
    for column, seed in enumerate((3, 5)):
        alone = measured_order(
            experiment.with_value("seed", seed), Flow(), "rule.rate", [0.05, 0.025]
        )
        # the same runs, laid over the same flow
        assert np.array_equal(found.samples[:, column], alone.errors)


# --- the rule


def test_the_tenfold_check_needs_values_that_span_ten():
    assert fitted_order([1, 2, 4, 8], [1.0, 2.0, 4.0, 8.0]).tenfold() is None
    wide = fitted_order([0.4, 0.1, 0.02], [0.16, 0.01, 0.0004]).tenfold()
    # from 0.02 to 0.4 exactly square: ten times the knob is a hundred times the error
    assert wide.slope == pytest.approx(2, rel=1e-12) and wide.factor[0] == pytest.approx(
        100, rel=1e-12
    )


def test_an_error_that_stops_falling_near_the_limit_fails_though_its_mean_slope_is_right():
    values = np.array([0.1, 0.2, 0.5, 1.0])
    falling, floored = values, np.array([0.125, 0.2, 0.5, 1.05])
    assert judged(fitted_order(values, falling), Limit("rule.rate", 1)).verdict == "holds"
    found = fitted_order(values, floored)
    verdict = judged(found, Limit("rule.rate", 1))
    assert (
        abs(found.slope - 1) < verdict.allowed
        and abs(verdict.last.slope - 1) > verdict.last_allowed
        and verdict.verdict == "fails"
    )


def test_seeds_too_few_to_tell_leave_the_order_undecided():
    rng, values = np.random.default_rng(1), np.array([64.0, 128, 320, 640])
    noisy = values[:, None] ** -0.5 * rng.lognormal(0, 1.0, (4, 4))
    found = fitted_order(values, noisy)
    assert 3 * found.from_seeds > 0.25
    assert judged(found, Limit("architecture.width", -0.5)).verdict == "undecided"


@pytest.mark.parametrize(
    "values, errors",
    [
        ([1, 2], [0.0, 1.0]),
        ([1, 2], [np.inf, 1.0]),
        ([1], [1.0]),
        ([-1, 2], [1.0, 1.0]),
        ([2, 2], [1.0, 1.0]),
    ],
)
def test_an_order_of_what_has_no_logarithm_is_refused(values, errors):
    with pytest.raises(Refused, match="needs .*, but got"):
        fitted_order(values, errors)


def test_a_theory_of_means_is_not_held_against_single_runs():
    with pytest.raises(Refused, match="compare_means"):
        measured_order(SgdMoments.example(), SgdMoments(), "rule.rate", [0.1, 0.05])


def test_a_limit_keeps_the_contracts_of_its_family_and_a_wrong_one_does_not(guests):
    checks = {
        name: contracts.of_part(catalog.members("theories")[name]) for name in ("silence", "hasty")
    }
    assert [check.claim for check in checks["silence"] if not check.holds] == []
    broken = [check.claim for check in checks["hasty"] if not check.holds]
    assert broken and all("the error of loss goes as rule.rate^2" in claim for claim in broken)


# --- the command


@pytest.mark.parametrize("kind, order", [("flow", 1.0), ("modified-flow", 2.0)])
def test_the_limit_of_small_rates_is_measured_to_its_order(asked, kind, order, tmp_path):
    status, said = asked(kind, "--seeds", 2, *QUICK)
    assert status == 0 and said["holds"] and said["declared"] == {"order": order, "bound": False}
    # what the next order bends over a factor of 10
    assert said["fitted"]["slope"] == pytest.approx(order, abs=0.08)
    assert (
        said["tenfold"]["factor"] == pytest.approx(10**order, rel=0.2)
        and said["tenfold"]["declared"] == 10**order
    )
    assert [row["value"] for row in said["rows"]] == pytest.approx(
        [0.005, 0.01, 0.025, 0.05]
    ) and said["rows"][0]["slope"] is None
    assert (tmp_path / said["file"]).read_bytes()[:4] == b"\x89PNG" and said["file"].startswith(
        "runs/limit-"
    )


def test_a_wrong_order_ends_in_status_one_and_is_printed_as_failing(guests, capsys, tmp_path):
    words = [
        "limit",
        "hasty",
        "--along",
        "rule.rate=0.04,0.02",
        "--seeds",
        "2",
        "--quiet",
        "--out",
        str(tmp_path / "hasty.svg"),
        *QUICK,
    ]
    assert call(words) == 1
    said = capsys.readouterr().out
    assert "fails" in said.partition("allowed")[2] and "the x10 check could not be made" in said
    assert "predicted, order 2" in (tmp_path / "hasty.svg").read_text()


def test_the_measurement_is_written_as_a_table(asked, tmp_path, guests):
    words = ["silence", "--along", "architecture.width=16,160", "--seeds", 3]
    _, said = asked(*words, "--out", tmp_path / "silence.nc")
    assert said["seeds"] == 3 and said["tenfold"]["standard_error"] > 0
    with xr.open_dataset(tmp_path / "silence.nc") as table:
        assert (
            table["error_by_seed"].shape == (2, 3)
            and table.attrs["slope"] == said["fitted"]["slope"]
        )
        np.testing.assert_allclose(
            table["error_by_seed"].mean("seed"), [row["error"] for row in said["rows"]], rtol=1e-14
        )
    asked(*words, "--out", tmp_path / "silence.csv")
    lines = (tmp_path / "silence.csv").read_text().splitlines()
    assert (
        lines[0] == "value,error,standard_error,error[seed=0],error[seed=1],error[seed=2]"
        and len(lines) == 3
    )


def test_the_width_of_a_net_inside_another_is_that_of_the_declared_limit(asked, guests):
    inside = "{kind = 'mlp', hidden = [8], scaling = {kind = 'mean-field'}}"
    along, seeds = "width=16,160", ("--seeds", 2)
    plain = asked("silence", "--along", f"architecture.{along}", *seeds)[1]
    around = asked(
        "silence",
        f"architecture={{kind = 'dialed', of = {inside}, centered = false}}",
        "--along",
        f"architecture.of.{along}",
        *seeds,
    )[1]
    # the dial at 1 leaves the outputs as they are
    assert [row["error"] for row in around["rows"]] == pytest.approx(
        [row["error"] for row in plain["rows"]], rel=1e-12
    )


def test_outside_its_domain_a_limit_claims_nothing(asked):
    status, said = asked(
        "flow",
        "--along",
        "rule.rate=40,20",
        "--seeds",
        1,
        "data.n=6",
        "architecture.hidden=[3]",
        "clock={time = 40.0, marks = 2}",
    )
    assert (
        status == 1
        and said["verdict"] == "outside domain"
        and "rate below 2/sharpness" in said["outside"][0]
    )


BAD = {
    "decoupled": "a theory of single runs that declares a limit",
    "modified-epochs": "a theory of single runs that declares a limit",
    "flwo": "flow",
    "flow --along rule.rate=0.1": "two or more values",
    "flow --along rule.rate=0.1,0.1": "two or more values",
    "flow --along rule.rate=0.1,-0.1": "above 0",
    "flow --along rule.rate=0.1,fast": "above 0",
    "flow --along rule.rtae=0.1,0.2": "rule.rate",
    "flow --along data.noise=0.1,0.2": "rule.rate",
    "flow --seeds 0": "one seed",
    "flow --quantity lost clock.time=0.2": "layer1.weight",
    "flow --out plot.txt": "ending in",
    "flow clock={steps=10}": "a clock in time",
    "flow none.toml": "none.toml",
    "flow one.toml two.toml": "one experiment",
    "flow rule.rtae=0.1": "rule.rate",
    "silence --along architecture.width=8.5,90": "hidden",
    "silence architecture={kind='deep-linear'}": "architecture.hidden",
}


@pytest.mark.parametrize("words", BAD)
def test_a_mistaken_limit_is_answered_in_one_sentence(guests, capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert call(["limit", *words.split(" "), "--quiet"]) == 2
    sentence = capsys.readouterr().err.strip()
    assert (
        "\n" not in sentence
        and " needs " in sentence
        and "but got" in sentence
        and BAD[words] in sentence
    )
    assert not list(tmp_path.iterdir())


def test_widths_spaced_geometrically_are_whole():
    assert axis_values("geom(16,4096,5)") == [16, 64, 256, 1024, 4096] and all(
        isinstance(value, int) for value in axis_values("geom(16,4096,5)")
    )


def test_the_default_values_go_from_the_own_one_toward_the_limit():
    assert orders.approach(Flow.example(), "rule.rate", 1.0) == pytest.approx(
        [0.05, 0.025, 0.01, 0.005]
    )
    assert orders.approach(Flow.example(), "architecture.width", -0.5) == [4, 8, 16, 32, 64]
