"""A record as a mapping, a grid by the last words of its knobs, and progress that shows itself."""

import pickle
from collections.abc import Mapping

import numpy as np
import pytest
import rich.console

import learnmech as lm
from learnmech.errors import Refused, RefusedKey
from learnmech.runs import bars


@pytest.fixture(scope="module")
def experiment():
    network = lm.architectures.Mlp(hidden=(3,))
    return lm.Experiment(
        network,
        lm.data.LinearTeacher(n=8, d=3, k=2, strengths=(1.0,)),
        lm.rules.GradientDescent(0.05),
        lm.Clock(steps=4, every=1),
    )


@pytest.fixture(scope="module")
def record(experiment):
    return lm.run(experiment)


@pytest.fixture(scope="module")
def grid(experiment):
    return lm.sweep(experiment, {"rule.rate": [0.01, 0.05], "seed": [0, 1]})


def test_a_record_is_a_mapping_of_names_to_what_was_read(record):
    assert (
        isinstance(record, Mapping)
        and list(record) == list(record.keys()) == record.names
        and len(record) == len(record.names) > 0
    )
    for (name, values), same in zip(record.items(), record.values(), strict=True):
        assert (
            name in record
            and values.identical(record[name])
            and same.identical(values)
            and values.name == name
        )
    assert (
        record.get("loss").identical(record["loss"])
        and record.get("sharpness") is None
        and "sharpness" not in record
    )


def test_an_unknown_name_of_a_record_is_refused_in_a_sentence_and_is_a_key_error(record):
    with pytest.raises(
        RefusedKey,
        match="^The record needs a quantity that was watched, but got 'los'. Did you mean loss",
    ) as caught:
        record["los"]
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, Refused)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is RefusedKey and str(again) == str(caught.value)


def test_a_record_is_still_a_dataclass_that_equals_itself(record):
    import dataclasses

    assert (
        record == record
        and dataclasses.replace(record, notes=("more",)).notes == ("more",)
        and record.__hash__ is not None
    )


def test_a_knob_of_a_grid_goes_by_its_last_word(grid):
    assert grid["loss"].dims[:2] == ("rule.rate", "seed")
    assert grid.sel(rate=0.05)["loss"].identical(grid.sel({"rule.rate": 0.05})["loss"])
    assert grid.sel(rate=0.05, seed=1)["loss"].dims == ("mark",) or grid.sel(rate=0.05, seed=1)[
        "loss"
    ].dims == ("time",)


def test_knobs_that_share_a_last_word_go_by_their_paths_alone(grid):
    from learnmech.sweeps.gathered import by_last_word

    plain = (
        grid.drop_vars("rate")
        .rename({"seed": "data.seed"})
        .assign_coords({"loss.rate": 0.0})
        .expand_dims("loss.rate")
    )
    assert "rate" not in by_last_word(plain, ["rule.rate", "loss.rate"])
    assert "seed" in by_last_word(plain, ["data.seed"]).xindexes


class _Terminal:
    """A terminal that remembers what was written on it."""

    def __init__(self, monkeypatch, terminal):
        self.consoles = []
        real = rich.console.Console

        def console(*, stderr):
            import io

            assert stderr
            self.consoles.append(real(file=io.StringIO(), force_terminal=terminal, width=120))
            return self.consoles[-1]

        monkeypatch.setattr(rich.console, "Console", console)

    @property
    def written(self):
        return "".join(console.file.getvalue() for console in self.consoles)


def test_a_run_shows_its_progress_in_a_terminal(monkeypatch, experiment, tmp_path):
    terminal = _Terminal(monkeypatch, True)
    record = lm.run(experiment, progress=True, folder=tmp_path / "run")
    assert (
        "run" in terminal.written
        and f"step 4, loss {float(record['loss'][-1]):.4g}" in terminal.written
    )
    lm.fork(record, 2, (), progress=True)
    assert "fork" in terminal.written


def test_a_run_that_was_finished_before_shows_no_bar(monkeypatch, experiment, tmp_path):
    lm.run(experiment, folder=tmp_path / "run")
    terminal = _Terminal(monkeypatch, True)
    lm.run(experiment, folder=tmp_path / "run", progress=True)
    assert not terminal.consoles


def test_a_sweep_shows_its_progress_in_a_terminal(monkeypatch, experiment):
    terminal = _Terminal(monkeypatch, True)
    lm.sweep(experiment, {"rule.rate": [0.01, 0.05]}, progress=True)
    assert "2 of 2 points" in terminal.written


def test_progress_is_not_drawn_into_a_file(monkeypatch, experiment):
    terminal = _Terminal(monkeypatch, False)
    lm.run(experiment, progress=True)
    assert terminal.consoles and terminal.written.strip() == ""


def test_a_callable_is_told_of_progress_as_it_is_and_false_is_no_progress(experiment):
    heard = []
    lm.run(experiment, progress=heard.append)
    assert heard and heard[-1].reached == heard[-1].marks == 5 and np.isfinite(heard[-1].loss)
    with bars.told(False, "run", tuple) as tell:
        assert tell is None
    lm.run(experiment, progress=False)


def test_an_interrupted_run_goes_on_with_a_bar(monkeypatch, experiment, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    lm.run(experiment, folder=tmp_path / "run", progress=stop)
    terminal = _Terminal(monkeypatch, True)
    assert lm.resume(tmp_path / "run", progress=True).reached == 5
    assert "resume" in terminal.written
