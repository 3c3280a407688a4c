"""Identity by content: nothing is made of a run again by other data or other code than it was
made by."""

import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.errors import Refused
from learnmech.language import catalog, text
from learnmech.language.digest import code_digest
from learnmech.sweeps import identity_of, sweep

CSV = "a,b,y\n1,2,3\n2,1,4\n0,1,1\n3,1,5\n"
OWN = '''
from learnmech.rules import GradientDescent

FACTOR = 0.5

class Halved(GradientDescent):
    """Descent whose update is a share of descent's."""

    def update(self, system, gradient, memory, params):
        import jax
        update, memory = super().update(system, gradient, memory, params)
        return jax.tree.map(lambda u: FACTOR * u, update), memory
'''


def on(source, rule=None):
    return lm.Experiment(
        architectures.DeepLinear(hidden=(2,)),
        source,
        rule or rules.GradientDescent(rate=0.1),
        lm.Clock(steps=12, every=4),
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


def test_the_fingerprint_is_of_the_content_and_not_of_the_path(table, tmp_path):
    other = tmp_path / "elsewhere.csv"
    other.write_text(CSV)
    assert on(data.File(str(table))).fingerprint == on(data.File(str(other))).fingerprint
    before = on(data.File(str(table))).fingerprint
    table.write_text(CSV.replace("3,1,5", "3,1,50"))
    assert on(data.File(str(table))).fingerprint != before


def test_a_run_folder_carries_its_data_and_is_replayed_when_the_file_is_changed_or_gone(
    table, tmp_path
):
    run = lm.run(on(data.File(str(table))), folder=tmp_path / "run")
    seen = run.read("loss", [7])["loss"].values
    table.write_text(CSV.replace("3,1,5", "3,1,50"))
    again = lm.load(tmp_path / "run")
    assert any(note.startswith("changed: ") and "its own copy" in note for note in again.notes)
    assert np.array_equal(again.read("loss", [7])["loss"].values, seen)
    table.unlink()
    assert np.array_equal(lm.load(tmp_path / "run").read("loss", [7])["loss"].values, seen)


def test_without_a_copy_a_changed_file_is_named_and_nothing_is_replayed_on_it(table, tmp_path):
    lm.run(on(data.File(str(table))), folder=tmp_path / "run", keep_data=False)
    assert not (tmp_path / "run" / "data").exists()
    table.write_text(CSV.replace("3,1,5", "3,1,50"))
    again = lm.load(tmp_path / "run")
    assert np.isfinite(again["loss"]).all()
    for make in (
        lambda: again.at(7),
        lambda: again.read("loss", [7]),
        lambda: lm.fork(again, 4, ()),
    ):
        with pytest.raises(Refused, match="sha256"):
            make()


def test_a_run_that_is_finished_in_its_folder_is_read_and_no_other_is_taken_for_it(table, tmp_path):
    folder, made = tmp_path / "run", on(data.File(str(table)))
    first = lm.run(made, ("loss",), folder=folder)
    again = lm.run(made, ("loss",), folder=folder)
    assert again.provenance["made"] == first.provenance["made"] and np.array_equal(
        again["loss"], first["loss"]
    )
    assert any("not run again" in note for note in again.notes)
    for other in ({"watch": ("loss", "norms")}, {"watch": ("loss",), "until": "loss<1e-9"}):
        with pytest.raises(Refused, match="does not exist yet"):
            lm.run(made, folder=folder, **other)
    table.write_text(CSV.replace("3,1,5", "3,1,50"))
    with pytest.raises(Refused, match="does not exist yet"):
        lm.run(on(data.File(str(table))), ("loss",), folder=folder)


@pytest.mark.parametrize("harm", ["record/every-1.zarr/loss/c.0", "run.json", "final.npz"])
def test_a_finished_run_that_is_damaged_is_not_taken_for_a_whole_one(tmp_path, harm):
    made = on(data.Gaussian(n=8, d=2, k=1))
    lm.run(made, ("loss",), folder=tmp_path / "run")
    file = tmp_path / "run" / harm
    file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(Refused, match="does not exist yet"):
        lm.run(made, ("loss",), folder=tmp_path / "run")


def own_module(tmp_path, name, monkeypatch, source=OWN):
    (tmp_path / f"{name}.py").write_text(source)
    # Python takes what it compiled for a file of the same second and length for that of this one
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


def test_two_classes_of_one_name_and_other_code_are_two_experiments(tmp_path, monkeypatch):
    source = data.Gaussian(n=8, d=2)
    prints = [
        on(
            source,
            own_module(tmp_path, f"own_{index}", monkeypatch, OWN.replace("0.5", factor)).Halved(
                rate=0.1
            ),
        ).fingerprint
        for index, factor in enumerate(("0.5", "0.25", "0.5  # the same"))
    ]
    assert prints[0] != prints[1] and prints[0] == prints[2]


def test_a_part_of_ones_own_is_saved_loaded_and_swept_where_it_was_defined(tmp_path, monkeypatch):
    module = own_module(tmp_path, "own_saved", monkeypatch)
    experiment = on(data.Gaussian(n=8, d=2), module.Halved(rate=0.1))
    run = lm.run(experiment, folder=tmp_path / "run")
    assert (tmp_path / "run" / "parts" / "own_saved.py").read_text() == OWN
    loaded = lm.load(tmp_path / "run")
    assert type(loaded.experiment.rule) is module.Halved
    assert np.array_equal(loaded.read("loss", [7])["loss"], run.read("loss", [7])["loss"])
    alone = sweep(experiment, {"rule.rate": [0.1, 0.2]}, folder=tmp_path / "points")
    with ThreadPoolExecutor(2) as pool:
        assert np.array_equal(
            sweep(experiment, {"rule.rate": [0.1, 0.2]}, on=pool)["loss"], alone["loss"]
        )


def test_a_run_is_not_replayed_by_other_code_of_that_name(tmp_path, monkeypatch):
    module = own_module(tmp_path, "own_changed", monkeypatch, OWN.replace("0.5", "0.3"))
    run = lm.run(on(data.Gaussian(n=8, d=2), module.Halved(rate=0.1)), folder=tmp_path / "run")
    monkeypatch.setattr(module, "FACTOR", 0.25)
    for record in (run, lm.load(tmp_path / "run")):
        with pytest.raises(Refused, match="other code"):
            record.at(7)


SCRIPT = f"""
import sys
import learnmech as lm
from learnmech import architectures, data
{OWN.replace("Halved", "Scripted")}
def main():
    experiment = lm.Experiment(architectures.DeepLinear(hidden=(2,)), data.Gaussian(n=8, d=2), Scripted(rate=0.1), lm.Clock(steps=12, every=4))
    print(repr(float(lm.run(experiment, folder=sys.argv[1]).read("loss", [7])["loss"][0])))

main()
"""


@pytest.mark.parametrize("broken", [b"def share(:\n", b"def share(x):\n", b"\x00\xfd\xff"])
def test_a_module_that_was_broken_after_it_was_imported_is_named_in_a_sentence(
    tmp_path, monkeypatch, broken
):
    name = f"sharing_{len(broken)}"
    (tmp_path / f"{name}.py").write_text("def share(x):\n    return 0.5 * x\n")
    owner = f"owner_{len(broken)}"
    own = OWN.replace("FACTOR * u", f"{name}.share(u)").replace("FACTOR = 0.5", f"import {name}")
    (tmp_path / f"{owner}.py").write_text(own)
    monkeypatch.syspath_prepend(str(tmp_path))
    halved = __import__(owner).Halved
    experiment = on(data.Gaussian(n=8, d=2), halved(rate=0.1))
    (tmp_path / f"{name}.py").write_bytes(broken)
    with pytest.raises(Refused, match=f"Own code needs Python files that parse, but got {name}.py"):
        lm.run(experiment, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_part_defined_in_a_script_is_read_back_in_another_process_by_the_source_that_the_folder_carries(
    tmp_path,
):
    (tmp_path / "script.py").write_text(SCRIPT)
    made = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=True,
    )
    with pytest.raises(Refused, match="--trust"):
        lm.load(tmp_path / "run")
    catalog.trust()
    try:
        seen = lm.load(tmp_path / "run").read("loss", [7])["loss"]
    finally:
        catalog.trust(False)
    assert repr(float(seen[0])) == made.stdout.strip()


def test_what_could_not_be_found_again_is_refused_before_the_run(tmp_path):
    space: dict = {"__name__": "nowhere"}
    exec(OWN, space)
    experiment = on(data.Gaussian(n=8, d=2), space["Halved"](rate=0.1))
    lm.run(experiment)  # in memory nothing has to be found again
    with pytest.raises(Refused, match="source from which it can be made again"):
        lm.run(experiment, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_kept_point_that_is_flipped_cut_or_anothers_is_made_again(tmp_path):
    experiment = on(data.Gaussian(n=8, d=2))
    axes = {"rule.rate": [0.1, 0.2]}
    first = sweep(experiment, axes, folder=tmp_path)
    files = sorted(tmp_path.glob("points/*.point"))
    assert len(files) == 2
    whole = files[0].read_bytes()
    rng = np.random.default_rng(0)
    for bad in [
        files[1].read_bytes(),
        whole[:-7],
        b"",
        *(flipped(whole, int(at)) for at in rng.integers(0, 8 * len(whole), 10)),
    ]:
        files[0].write_bytes(bad)
        again = sweep(experiment, axes, folder=tmp_path)
        assert np.array_equal(again["loss"], first["loss"])
        assert again.attrs["backend"] == "map" and files[0].read_bytes()[:16] == whole[:16]
    assert sweep(experiment, axes, folder=tmp_path).attrs["backend"] == "kept"


def flipped(stored, bit):
    changed = bytearray(stored)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_sweep_on_a_changed_file_is_another_sweep(table, tmp_path):
    axes = {"rule.rate": [0.05]}
    first = sweep(on(data.File(str(table))), axes, folder=tmp_path / "points")
    table.write_text(CSV.replace("3,1,5", "3,1,50"))
    second = sweep(on(data.File(str(table))), axes, folder=tmp_path / "points")
    assert second.attrs["backend"] == "map" and not np.array_equal(first["loss"], second["loss"])


def test_a_point_kept_by_another_version_is_not_read(monkeypatch):
    experiment = on(data.Gaussian(n=8, d=2))
    before = identity_of(experiment, None)
    monkeypatch.setattr("learnmech.record.provenance.VERSION", "0.0.1")
    assert identity_of(experiment, None) != before


def test_identity_says_the_code_and_leaves_out_where_files_lie(table, tmp_path, monkeypatch):
    module = own_module(tmp_path, "own_told", monkeypatch)
    said = text.identity(on(data.File(str(table)), module.Halved(rate=0.1)))
    assert "# rules: halved " in said and str(table) not in said


def test_two_points_by_vmap_on_two_cores_are_two_points():
    grid = sweep(on(data.Gaussian(n=8, d=2)), {}, seeds=2, backend="vmap")
    assert grid["loss"].sizes["seed"] == 2 and np.isfinite(grid["loss"]).all()


INNER = (
    "SHARE = 0.5\nTABLE = {'share': [0.5]}\n\ndef share():\n    return share.held\n\nshare.held ="
    " 0.5\n"
)
USES = {
    "a dictionary of a module": (
        "import {inner}",
        "{inner}.TABLE['share'][0]",
        "TABLE['share'][0] = 0.25",
    ),
    "a module imported late": ("", "__import__('{inner}').SHARE", "SHARE = 0.25"),
    "a constant imported late": ("", "late()", "SHARE = 0.25"),
    "an attribute of a function": ("import {inner}", "{inner}.share()", "share.held = 0.25"),
    "a function that a library's object holds": (
        "import numpy\nimport {inner}",
        "HELD.pyfunc()",
        "share.held = 0.25",
    ),
}


@pytest.mark.parametrize("what", USES)
def test_whatever_own_code_uses_counts_and_is_compiled_anew_when_it_is_edited(
    tmp_path, monkeypatch, what
):
    name = "own_" + what.replace(" ", "_").replace("'", "")
    imports, used, edit = (one.replace("{inner}", f"{name}_inner") for one in USES[what])
    inner = own_module(tmp_path, f"{name}_inner", monkeypatch, INNER)
    late = f"\ndef late():\n    from {name}_inner import SHARE\n    return SHARE\n"
    held = f"\nHELD = numpy.vectorize({name}_inner.share)\n" if "numpy" in imports else ""
    module = own_module(
        tmp_path,
        name,
        monkeypatch,
        imports + OWN.replace("FACTOR * u", f"{used} * u") + late + held,
    )
    made, half = (
        on(data.Gaussian(n=8, d=2), module.Halved(rate=0.1)),
        on(data.Gaussian(n=8, d=2), rules.GradientDescent(rate=0.05)),
    )
    run, before = lm.run(made, folder=tmp_path / "run"), made.fingerprint
    assert np.allclose(run["loss"], lm.run(half)["loss"], rtol=1e-12)
    exec(edit, vars(inner))
    assert made.fingerprint != before
    for make in (
        lambda: run.at(7),
        lambda: lm.fork(run, 4, ()),
        lambda: lm.compare(run, "flow"),
        lambda: lm.run(made, folder=tmp_path / "run"),
    ):
        with pytest.raises(Refused, match="other code|source from which|does not exist yet"):
            make()
    quarter = half.with_value("rule.rate", 0.025)
    assert np.allclose(lm.run(made)["loss"], lm.run(quarter)["loss"], rtol=1e-12)


def test_what_a_copy_imports_late_is_of_the_copy(tmp_path, monkeypatch):
    for factor in ("0.5", "0.25"):
        outer = (
            OWN.replace("FACTOR * u", "late() * u")
            + "\ndef late():\n    from own_inner_late import F\n    return F\n"
        )
        files = {"own_outer.py": outer, "own_inner_late.py": f"F = {factor}\n"}
        for name, source in files.items():
            (tmp_path / name).write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("own_outer", "own_inner_late"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        if factor == "0.5":
            first = lm.run(
                on(data.Gaussian(n=8, d=2), __import__("own_outer").Halved(rate=0.1)),
                folder=tmp_path / "run",
            )["loss"].values
    other = __import__("own_outer").Halved
    catalog.trust()
    try:
        loaded = lm.load(tmp_path / "run")
    finally:
        catalog.trust(False)
    assert type(loaded.experiment.rule) is not other
    assert np.array_equal(loaded.read("loss", [0, 4, 8, 12])["loss"], first)
    assert not np.array_equal(lm.run(on(data.Gaussian(n=8, d=2), other(rate=0.1)))["loss"], first)
    assert text.find("rules", "halved") is other


def test_a_class_is_the_same_code_whether_its_imports_stand_in_its_own_cell_or_in_one_above(
    tmp_path, monkeypatch
):
    imports = "import jax\nimport jax.numpy as jnp\nfrom learnmech.rules import GradientDescent\n"
    rest = (
        OWN.replace("import jax\n        ", "")
        .replace("FACTOR * u", "jnp.multiply(FACTOR, u)")
        .split("import GradientDescent\n")[1]
    )
    found = []
    for cells in ((imports, rest), (imports + rest,)):
        space = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", space)
        space.In = list(cells)
        for cell in cells:
            exec(compile(cell, "<cell>", "exec"), vars(space))
        made = on(data.Gaussian(n=8, d=2), space.Halved(rate=0.1))
        found.append(
            (made.fingerprint, lm.run(made, folder=tmp_path / str(len(cells)))["loss"].values)
        )
    assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])


def test_a_member_of_an_enumeration_counts_by_what_it_stands_for(tmp_path, monkeypatch):
    def digests(source):
        module = own_module(tmp_path, "own_held", monkeypatch, source)
        return code_digest(module.A)

    sources = [
        f"import enum\nclass Shade(enum.Enum):\n    ONE = {one}\nKEPT = Shade.ONE\nclass A:\n   "
        " def f(self):\n        return KEPT.value\n"
        for one in (1, 2)
    ]
    assert digests(sources[0]) != digests(sources[1])


def test_a_class_that_is_made_within_a_function_of_a_script_is_kept(tmp_path, monkeypatch):
    head, body = OWN.split("class Halved")
    inside = "".join(f"    {line}\n" for line in f"class Halved{body}".splitlines())
    (tmp_path / "made.py").write_text(f"{head}def made():\n{inside}    return Halved\n")
    space = types.ModuleType("__main__")
    space.__file__ = str(tmp_path / "made.py")
    monkeypatch.setitem(sys.modules, "__main__", space)
    exec(compile((tmp_path / "made.py").read_text(), space.__file__, "exec"), vars(space))
    lm.run(on(data.Gaussian(n=8, d=2), space.made()(rate=0.1)), folder=tmp_path / "run")
    assert "class Halved" in (tmp_path / "run" / "parts" / "own_halved.py").read_text()
