"""Things show themselves: as text, in a notebook, as figures and on a page."""

import csv
import dataclasses
import io
import re

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, rules, theories
from learnmech.cli.app import call
from learnmech.comparison.orders import fitted_order
from learnmech.data.cards import card
from learnmech.errors import Refused
from learnmech.figures import grid as grids
from learnmech.figures.curves import drawn_names
from learnmech.figures.legends import _covers, _drawn, cleared, laid_out
from learnmech.figures.panels import band_of, in_order, oscillates
from learnmech.figures.style import TIME, label, sheet
from learnmech.figures.symbols import math
from learnmech.language import catalog
from learnmech.language.quantity import exponent, powers

WATCH = ("loss", "mode-strengths", instruments.Sharpness(k=2, every=5))


@pytest.fixture(scope="module")
def experiment():
    return lm.Experiment(
        architecture=architectures.DeepLinear(hidden=(6,)),
        data=data.Gaussian(n=20, d=4, k=2, whitened=True, test=8),
        initial=initial.Aligned(strength=1e-2),
        rule=rules.GradientDescent(rate=0.05),
        clock=lm.Clock(steps=200, every=10),
    )


@pytest.fixture(scope="module")
def record(experiment):
    return lm.run(experiment, watch=WATCH)


@pytest.fixture(scope="module")
def grid(experiment):
    return lm.sweep(
        experiment, {"rule.rate": [0.02, 0.05], "initial.strength": [1e-2, 1e-1, 1.0]}, seeds=2
    )


def test_a_figure_is_a_picture_without_pyplot_or_a_backend(record, grid):
    for figure in (
        lm.show(record),
        lm.show(lm.compare(record, theories.Decoupled())),
        lm.show(grid),
    ):
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_what_is_in_hand_shows_itself_as_a_table_in_text_and_in_html(experiment, record):
    comparison = lm.compare(record, theories.Decoupled())
    order = fitted_order([0.1, 0.2, 0.4], [1.0, 2.0, 4.0])
    for one, words in (
        (experiment, ("deep-linear", "gradient-descent", experiment.fingerprint[:8])),
        (record, ("mode_strength", "sharpness", "training loss")),
        (comparison, ("measured", "predicted", "Decoupled", "holds", "balanced at t = 0")),
        (card(record.start.data.train), ("S_xx eigenvalues", "20 samples")),
        (order, ("local slope", "slope 1")),
    ):
        shown = one._repr_html_()
        assert "<table>" in shown and "array(" not in str(one)
        for word in words:
            assert word in str(one) and word.replace("'", "&#x27;") in shown, (word, type(one))
    assert "data:image/png;base64," in record._repr_html_()
    assert repr(comparison) == str(comparison) and len(str(comparison)) < 3600


def test_a_notebook_is_shown_no_markup_of_others(record):
    shown = dataclasses.replace(record, notes=("<img src=x>",))._repr_html_()
    assert "<img src=x>" not in shown and "&lt;img src=x&gt;" in shown


def test_a_report_draws_all_that_was_watched_and_says_why_no_theory_is_laid_over(
    experiment, tmp_path
):
    wild = (
        experiment.with_value("architecture", {"kind": "mlp", "hidden": [5]})
        .with_value("rule", {"kind": "sgd", "rate": 0.05, "batch": 4})
        .with_value("initial", {"kind": "gaussian"})
    )
    record = lm.run(wild, watch=("weights", "loss", "test-loss", "norms", "outputs", "sharpness"))
    page = record.report(tmp_path / "own.html").read_text(encoding="utf-8")
    names, summaries = drawn_names(record), ", ".join(re.findall(r"<summary>(.*?)</summary>", page))
    assert set(names) == set(in_order(record.names)) and len(names) > 8
    # the first six are the page's own figure, all others are folded
    drawn = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert summaries == ", ".join(names[6:]) and drawn.count("<svg") == 1 + -(-len(names[6:]) // 6)
    assert "sharpness_residual" not in summaries
    assert "No theory is laid over this run" in page and "condition" in page
    assert (
        page.count("<h1>own</h1>") == 1
        and "prefers-color-scheme: dark" in page
        and page.count("<script") == 2  # its data, and the module that shows them
    )
    with pytest.raises(Refused, match="does not exist yet"):
        record.report(tmp_path / "own.html")
    with pytest.raises(Refused, match="ending in .html"):
        record.report(tmp_path / "own.pdf")


def test_a_sweep_has_a_page_with_every_point(grid, tmp_path):
    page = lm.report.save(grid, tmp_path / "grid.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2  # the loss and the test loss over both knobs
    assert len(re.findall(r"<tr><td >0\.0[25]</td>", page)) == 6 and "±" in page
    assert (
        lm.report.write_grid(grid, tmp_path, title="Rates").name == "report.html"
        and (tmp_path / "figure.svg").is_file()
    )


def test_a_grid_draws_error_bars_over_one_knob_and_a_map_over_two(grid):
    over = grids.draw(grid, "loss", "initial.strength")
    assert "mean over rule.rate" in over.get_suptitle()
    bars = [line for axis in over.axes for line in axis.containers]
    assert bars and len(over.axes) == 2
    mapped = grids.draw(grid, "loss")
    assert len(mapped.axes) == 3 and mapped.axes[-1].get_ylabel().startswith(
        "at the end"
    )  # curves, the map and its colors
    with pytest.raises(Refused, match="quantity of the sweep"):
        grids.draw(grid, "lose")
    with pytest.raises(Refused, match="knob that was swept"):
        grids.draw(grid, "loss", "rule.rat")


def test_a_run_that_diverged_has_no_last_value_and_a_shorter_clock_has_its_own(experiment):
    grid = lm.sweep(experiment, {"rule.rate": [0.05, 30.0]}, watch=("loss",))
    ends = grids.last_values(grid, "loss").values.squeeze()
    assert np.isfinite(ends[0]) and not np.isfinite(ends[1])
    clocks = lm.sweep(experiment, {"clock.steps": [50, 200]}, watch=("loss",))
    ends = grids.last_values(clocks, "loss").values.squeeze()
    alone = [
        lm.run(experiment.with_value("clock.steps", steps), watch=("loss",))["loss"].values[-1]
        for steps in (50, 200)
    ]
    assert ends.tolist() == alone


def test_entries_are_named_and_those_left_out_are_said(record):
    figure = lm.show(
        lm.run(record.experiment, watch=("loss", "mode-strengths", "end-to-end", "weights"))
    )
    legends = [axis.get_legend() for axis in figure.axes if axis.get_legend() is not None]
    assert "mode" in [legend.get_title().get_text() for legend in legends]
    notes = [axis.get_title(loc="right") for axis in figure.axes]
    assert "6 of 8 entries shown" in notes


def test_residuals_are_bands_and_a_sharpness_has_the_edge_of_its_rule(record):
    assert (
        band_of("sharpness_residual", record.names) == "sharpness"
        and band_of("linearization_error", ["linearization_error"]) is None
    )
    figure = lm.show(record)
    words = [axis.get_title(loc="right") for axis in figure.axes] + [
        axis.get_ylabel() for axis in figure.axes
    ]
    assert any("band: ± residual" in one for one in words) and not any(
        "residual of" in one for one in words
    )
    assert any("2/rate = 40" in one for one in words)  # far above: said, not drawn
    near = lm.run(record.experiment.with_value("rule.rate", 0.6), watch=("sharpness",))
    labels = [line.get_label() for axis in lm.show(near).axes for line in axis.get_lines()]
    assert any(one.startswith("the edge, 2/rate = 3.33") for one in labels)


def test_what_oscillates_is_drawn_with_its_mean():
    x = np.arange(100.0)
    assert (
        oscillates(np.exp(-x / 30) * (1 + 0.3 * (-1) ** x))
        and not oscillates(np.exp(-x / 30))
        and not oscillates(np.full(100, np.nan))
    )


def test_every_symbol_is_set_as_mathematics_and_no_underscore_is_left():
    start = lm.prepare(lm.Experiment.parse(SMALL))
    seen = 0
    for kind in catalog.members("instruments"):
        instrument = catalog.find("instruments", kind).example()
        try:
            instrument.check(start.system)
            quantities = instrument.quantities(start.system, start.params)
        except Refused:
            continue
        for quantity in quantities:
            if "." in quantity.symbol and quantity.symbol.startswith(("layer", "norm layer")):
                continue
            written = math(quantity.symbol)
            assert written.startswith("$") and written.endswith("$"), (quantity.name, written)
            seen += 1
    assert seen > 30
    assert (
        math("λ_1") == r"$\lambda _{1}$"
        and math("L_test") == r"$L_{\mathrm{test}}$"
        and math("|dw_l|") == r"$|\Delta w_{l}|$"
    )
    assert math("layer1.weight[2,5]") == "layer1.weight[2,5]" and math("a$b") == r"a\$b"
    assert "param²" in label("λ_1", "loss/param^2") and "^" not in label(
        "λ_1", "loss/param^2"
    ).replace("$", "")


SMALL = """
watch = ["loss"]
theories = ["decoupled"]
[architecture]
kind = "deep-linear"
hidden = [4]
[data]
kind = "gaussian"
n = 12
d = 3
k = 2
test = 5
[rule]
kind = "gradient-descent"
[clock]
steps = 4
"""


def test_a_legend_covers_nothing_also_where_the_axes_are_full():
    rng = np.random.default_rng(0)
    figure, (axis,) = sheet()
    axis.plot(rng.uniform(size=2000), rng.uniform(size=2000), "o", label="points everywhere")
    axis.legend()
    cleared(figure)
    assert not _covers(axis.get_legend().get_window_extent(), _drawn(axis))
    assert axis.get_legend().get_window_extent().x0 > axis.bbox.x1 - 5


def test_a_legend_that_fits_until_another_makes_all_axes_narrower_is_moved_too():
    rng = np.random.default_rng(0)
    figure, (first, second) = sheet(1, 2)
    first.set_xlim(0, 1)
    first.plot([], [], "o", label="fits")
    first.legend(loc="upper left")
    laid_out(figure)
    free = (first.get_legend().get_window_extent().x1 - first.bbox.x0 + 6) / first.bbox.width
    first.plot(rng.uniform(free, 1, size=2000), rng.uniform(size=2000), "o")
    second.plot(
        rng.uniform(size=2000),
        rng.uniform(size=2000),
        "o",
        label="a long word of points everywhere",
    )
    second.legend()
    cleared(figure)
    assert not any(
        _covers(axis.get_legend().get_window_extent(), _drawn(axis)) for axis in (first, second)
    )


def test_a_text_with_what_stands_beside_it_is_an_experiment_and_so_is_the_path_of_its_file(
    tmp_path,
):
    (tmp_path / "e.toml").write_text(SMALL)
    parsed, loaded = lm.Experiment.parse(SMALL), lm.Experiment.load(tmp_path / "e.toml")
    assert parsed.fingerprint == loaded.fingerprint
    assert lm.run(tmp_path / "e.toml").names == ["loss"] and lm.run(
        str(tmp_path / "e.toml"), watch=("test-loss",)
    ).names == ["test_loss"]
    assert lm.prepare(tmp_path / "e.toml").experiment.fingerprint == parsed.fingerprint
    assert dict(lm.sweep(tmp_path / "e.toml", {"rule.rate": [0.1, 0.2]}).sizes)["rule.rate"] == 2
    for wrong in ("none.toml", tmp_path, 3, None, {"architecture": 1}):
        for ask in (
            lm.run,
            lm.prepare,
            lambda one: lm.sweep(one, {}),
            lm.estimate,
            lambda one: lm.predict(one, theories.Decoupled()),
        ):
            with pytest.raises(Refused, match="needs an Experiment or its TOML file"):
                ask(wrong)


def test_an_export_is_read_by_numpy_and_by_a_csv_reader_alike(tmp_path, capsys):
    written = SMALL.replace(
        'watch = ["loss"]', 'watch = ["loss", "layer1.weight[0,:]", "layer2.weight[:,1:3]"]'
    ).replace('theories = ["decoupled"]', "")
    (tmp_path / "e.toml").write_text(written)
    assert call(["run", str(tmp_path / "e.toml"), "--quiet", "--out", str(tmp_path / "r")]) == 0
    assert call(["export", str(tmp_path / "r"), str(tmp_path / "r.csv")]) == 0
    capsys.readouterr()
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert len({line.count(",") for line in lines}) == 1 and lines[0].split(",") == next(
        csv.reader(io.StringIO(lines[0]))
    )
    table = np.genfromtxt(tmp_path / "r.csv", delimiter=",", names=True)
    assert len(table.dtype.names) == lines[0].count(",") + 1 and np.isfinite(table["loss"]).all()


def test_a_run_says_its_phases_and_at_the_end_what_was_found(tmp_path, capsys):
    (tmp_path / "e.toml").write_text(
        SMALL.replace('theories = ["decoupled"]', "").replace(
            'watch = ["loss"]', 'watch = ["loss", "norms"]'
        )
    )
    assert call(["run", str(tmp_path / "e.toml"), "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr()
    phases = ["compiling", "running", "writing the report"]
    assert [told.err.index(f": {phase}") for phase in phases] == sorted(
        told.err.index(f": {phase}") for phase in phases
    )
    assert re.search(r"e: about [\d.]+ s \(.*compiling", told.err)
    assert (
        "weight_norm" in told.out and "theories that apply:" in told.out and "nearest:" in told.out
    )
    assert re.search(r"s \(.*running.*\) ->", " ".join(told.out.split()))
    assert call(["theories", str(tmp_path / "e.toml")]) == 0
    short = capsys.readouterr().out
    assert call(["theories", str(tmp_path / "e.toml"), "--all"]) == 0
    whole = capsys.readouterr().out
    assert len(short.splitlines()) < 60 < len(whole.splitlines()) and "--all" in short
    assert all(kind in whole for kind in catalog.members("theories"))


@pytest.mark.parametrize(
    "rule",
    [rules.GradientDescent(rate=0.01), rules.SGD(rate=0.01, batch=4)],
    ids=["all samples", "batches"],
)
def test_an_estimate_names_its_parts_and_moves_no_bit(experiment, rule):
    experiment = experiment.with_value("rule", rule)
    plain = lm.run(experiment, watch=("loss",))
    said = lm.estimate(experiment, watch=("loss", "sharpness"))
    assert dict(said.parts).keys() == {
        "compiling",
        "steps",
        "instruments",
    } and said.seconds == pytest.approx(sum(dict(said.parts).values()))
    assert 0.01 < dict(said.parts)["compiling"] < 600 and "compiling" in str(said)
    again = lm.run(experiment, watch=("loss",))
    assert all(np.array_equal(plain.final[path], again.final[path]) for path in plain.final)


def test_a_reading_that_costs_more_is_said_to(experiment):
    wide = experiment.with_value("architecture.hidden", [60]).with_value("data.n", 200)
    few, many = (
        dict(lm.estimate(wide, watch=("loss", instruments.Sharpness(every=every))).parts)[
            "instruments"
        ]
        for every in (20, 1)
    )
    assert many > 2 * few


def test_units_are_spelled_alike_in_labels_of_a_dataset_in_tables_and_in_figures(record):
    assert (
        record["loss"]["time"].attrs["units"] in TIME
        and record["loss"]["time"].attrs["units"] == "param²/loss"
    )
    sharp = record.read("sharpness", [0])["sharpness"]
    assert sharp.attrs["units"] == "loss/param²" and "^" not in str(record)
    assert (
        exponent("loss/param^2", "param") == -2
        and powers(powers("loss^2/param^-2")) == "loss²/param⁻²"
    )
