"""Names made while own code runs: where it finds things that it does not name, all Python files
beside it count, and what it reads of its own text; whatever names what it uses counts as it did."""

import colorsys
import os
import py_compile
import sys
import types

import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.errors import Refused
from learnmech.language import catalog, folders, patches
from learnmech.language.digest import code_digest, model_digest
from learnmech.language.guests import code_of, summoned
from learnmech.machine.means import means_of

HELPER = "S = 0.5\ndef f():\n    'half'\n    return S\n"
# (what stands at the top of a file, what a method returns): the helper is beside it.
FOUND = {
    "eval": ("import own_helper", "eval('own_helper.S')"),
    "eval under another name": ("RUN = eval", "RUN('__import__(\"own_helper\").S')"),
    "exec": ("", "exec('import own_helper')"),
    "globals": ("from own_helper import S", "globals()['S']"),
    "the globals of a function": ("from own_helper import S\ndef g(): pass", "g.__globals__['S']"),
    "a computed import": ("import importlib", "importlib.import_module('own_' + 'helper').S"),
    "a computed import by name": (
        "from importlib import import_module\nNAME = 'own_helper'",
        "import_module(NAME).S",
    ),
    "import_module under another name": (
        "from importlib import import_module as im",
        "im('own_helper').S",
    ),
    "__import__": ("NAME = 'own_helper'", "__import__(NAME).S"),
    "sys.modules": ("import sys, own_helper as _", "sys.modules['own_' + 'helper'].S"),
    "sys.modules within": ("import own_helper", "[sys.modules[n] for n in ()]"),
    "a frame": ("import sys\nfrom own_helper import S", "sys._getframe().f_globals['S']"),
    "the source of a function": ("import inspect, own_helper", "inspect.getsource(own_helper.f)"),
    "subclasses": ("import own_helper\nclass B: pass", "B.__subclasses__()"),
    "a constant that says the name": (
        "from own_helper import S\nAT = '__globals__'\ndef g(): pass",
        "getattr(g, AT)['S']",
    ),
}
OWN = "{head}\nclass Own:\n    def by(self):\n        import sys\n        return {body}\n"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The digest of the class Own of `own_named.py` beside other files, in a folder of its own and
    as a new process would find it."""

    def told(files, digest=lambda module: code_digest(module.Own)):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for name in [one for one in sys.modules if one.startswith("own_")]:
            monkeypatch.delitem(sys.modules, name)
        with monkeypatch.context() as within:
            within.syspath_prepend(str(folder))
            return digest(__import__("own_named"))

    yield told
    for name in [one for one in sys.modules if one.startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize("how", FOUND)
def test_what_is_found_by_a_name_made_while_running_counts(told, how):
    head, body = FOUND[how]
    files = {"own_named.py": OWN.format(head=head, body=body), "own_helper.py": HELPER}
    edited = files | {"own_helper.py": HELPER.replace("0.5", "0.25")}
    assert told(files) == told(files) != told(edited)


PLAIN = {
    "an attribute by its name": ("", "getattr(self, 'share', abs(-1))"),
    "a module by its name": ("import importlib", "importlib.import_module('own_helper').S"),
    "from a module": ("from own_helper import f", "f()"),
    "a method called eval": ("", "self.eval(1) + self.compile()"),
    "a function called eval": ("def eval(x):\n    return x", "eval(1)"),
    "what sys says": ("", "sys.version"),
    "a docstring that is not read": ("'the file'", "[lambda: 0.5][0]()"),
}


@pytest.mark.parametrize("how", PLAIN)
def test_a_file_beside_code_that_names_what_it_uses_does_not_count(told, how):
    head, body = PLAIN[how]
    files = {"own_named.py": OWN.format(head=head, body=body), "own_helper.py": HELPER}
    beside = files | {"own_other.py": "S = 1", "own_helper.py": f"# again\n{HELPER}"}
    assert told(files) == told(beside)


WRITTEN = {
    "a docstring of a class": ("class C:\n    '0.5'", "float(C.__doc__)"),
    "a docstring of a module": ("'0.5'\nimport own_named", "float(own_named.__doc__)"),
    "its own docstring": ("'0.5'", "__doc__"),
    "a docstring by a computed name": ("class C:\n    '0.5'\nAT = '__doc__'", "getattr(C, AT)"),
    "a docstring among all": ("class C:\n    '0.5'", "vars(C)"),
    "a docstring by inspect": ("import inspect\nclass C:\n    '0.5'", "inspect.getdoc(C)"),
    "an annotation": ("def f(x: 0.5): pass", "f.__annotations__['x']"),
    "an annotation of a class": ("class C:\n    x: 0.5", "C.__annotations__['x']"),
    "annotations by typing": ("import typing\ndef f(x: 0.5): pass", "typing.get_type_hints(f)"),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_what_is_written_about_code_counts_where_code_reads_it(told, how):
    head, body = WRITTEN[how]
    files = {"own_named.py": OWN.format(head=head, body=body)}
    edited = {"own_named.py": files["own_named.py"].replace("0.5", "0.25")}
    beside = files | {"own_other.py": "S = 1"}
    assert told(files) == told(beside) != told(edited)


@pytest.mark.parametrize(
    "sets",
    [
        "np.learnmech_probe = 0.5",
        "setattr(np, 'learnmech_probe', 0.5)",
        "setattr(np, 'learnmech_' + 'probe', 0.5)",
        "np.learnmech_probe = lambda x: 0.5 * x",
        "import functools\nnp.learnmech_probe = functools.wraps(np.sin)(lambda x: 0.5 * x)",
        "from numpy import linalg\nlinalg.learnmech_probe = 0.5",
    ],
)
def test_what_a_library_was_set_to_by_an_own_module_counts(told, monkeypatch, sets):
    monkeypatch.setattr(patches, "_SET", set())
    for owner in (np, np.linalg):
        monkeypatch.setattr(owner, "learnmech_probe", None, raising=False)
    own = OWN.format(head="import own_helper, numpy as np", body="np.learnmech_probe")
    files = {"own_named.py": own, "own_helper.py": f"import numpy as np\n{sets}\n"}
    edited = files | {"own_helper.py": files["own_helper.py"].replace("0.5", "0.25")}
    assert told(files) == told(files) != told(edited)


@pytest.mark.parametrize(
    "head, counts",
    [
        ("import numpy as np", False),
        ("import colorsys", True),
        ("from colorsys import rgb_to_hls", True),
    ],
)
def test_what_another_module_sets_in_a_library_counts_where_own_code_names_the_library(
    told, monkeypatch, head, counts
):
    """Workers of an engine have not run the script that sets how its tables are printed."""
    monkeypatch.setattr(patches, "_SET", set())
    monkeypatch.setattr(colorsys, "learnmech_probe", 0.5, raising=False)
    files = {"own_named.py": OWN.format(head=head, body="1.0")}
    before = told(files)
    monkeypatch.setattr(patches, "_SET", {"colorsys.learnmech_probe"})
    assert (told(files) != before) is counts


RULE = """
import importlib
import own_patch
import numpy as np
from learnmech.rules import GradientDescent

NAME, SPARE = "own_helper", 0.5

class Owner(GradientDescent):
    "Own."

    def update(self, system, gradient, memory, params):
        assert np.learnmech_probe(1) == 2
        return super().update(system, gradient, memory, params)

class Seeker(GradientDescent):
    "Own."

    def update(self, system, gradient, memory, params):
        assert importlib.import_module(NAME).S == 0.5
        return super().update(system, gradient, memory, params)
"""
PATCH = """
import numpy as np
before = np.learnmech_probe
np.learnmech_probe = lambda x: before(x) + 1
"""


@pytest.mark.parametrize("cls", ["Owner", "Seeker"])
def test_a_part_that_finds_names_while_it_runs_is_kept_and_made_again(
    told, tmp_path, monkeypatch, cls
):
    monkeypatch.setattr(patches, "_SET", set())
    monkeypatch.setattr(np, "learnmech_probe", np.abs, raising=False)
    files = {"own_named.py": RULE, "own_patch.py": PATCH, "own_helper.py": HELPER}
    if cls == "Seeker":
        files["own_patch.py"] = "import numpy as np\nnp.learnmech_probe = lambda x: x + 1\n"

    def kept(module):
        owner = getattr(module, cls)
        experiment = lm.Experiment(
            architectures.DeepLinear(hidden=(2,)),
            data.Gaussian(n=8, d=2),
            owner(rate=0.1),
            lm.Clock(steps=4, every=2),
        )
        run = lm.run(experiment, folder=tmp_path / "run")
        assert np.learnmech_probe(1) == 2  # the copies wrapped nothing again
        again = lm.load(tmp_path / "run").read("loss", [3])["loss"]
        assert np.array_equal(again, run.read("loss", [3])["loss"])
        code = code_of({("rules", cls.lower()): owner})
        assert ("own_helper.py" in code.files) == (cls == "Seeker")
        arrived = summoned(code.told, code.files)["rules", cls.lower()]
        assert arrived is not owner and code_digest(arrived) == code.guests[0].digest
        if cls == "Seeker":  # what a module holds is not what its file says
            monkeypatch.setattr(module, "SPARE", 0.7)
            with pytest.raises(Refused, match="as their files say"):
                code_of({("rules", "seeker"): owner})

    told(files, kept)


def test_what_is_no_code_beside_it_is_left_alone_and_too_much_is_refused(told, monkeypatch):
    own = OWN.format(head="", body="eval('1')")
    files = {"own_named.py": own, "own_kit/sub.py": HELPER}
    aside = {
        ".hidden/a.py": "1",
        "own_env/a.py": "1",
        "own_env/pyvenv.cfg": "",
        "node_modules/a.py": "1",
        "run/parts/a.py": "1",
        "a-b/a.py": "1",
        "numpy.py": "1",
        "notes.txt": "1",
    }
    assert told(files) == told(files | aside)
    assert told(files) != told(files | {"own_kit/sub.py": "S = 0.25"})
    monkeypatch.setattr(folders, "MOST_FILES", 3)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not folders._searched(one)])
    more = {f"own_{index}.py": "" for index in range(3)}
    with pytest.raises(Refused, match=r"at most 3 Python files .*\(eval\), but got .* more"):
        told(files | more)


def test_code_in_no_file_that_finds_names_while_it_runs_is_refused(monkeypatch):
    cell = types.ModuleType("own_cell")
    monkeypatch.setitem(sys.modules, "own_cell", cell)
    exec("class Own:\n    def by(self):\n        return eval('S')", vars(cell))
    with pytest.raises(Refused, match=r"Own code needs to stand in a folder .*in no file"):
        code_digest(cell.Own)


@pytest.mark.parametrize(
    "head",
    [
        "import importlib\nNAME = 'own_helper'\nS = importlib.import_module(NAME).S",
        "import pathlib\nexec(pathlib.Path(__file__).with_name('own_helper.py').read_text())",
    ],
)
def test_a_model_in_a_file_that_finds_names_counts_what_is_beside_it(tmp_path, monkeypatch, head):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(
        f"{head}\ndef init(key, d, k):\n    return {{'w': S * __import__('jax').numpy.ones((d, k))}}"
        "\ndef apply(params, X):\n    return X @ params['w']\nmodel = (init, apply)\n"
    )
    found = []
    for share in ("0.5", "0.25"):
        (tmp_path / "own_helper.py").write_text(f"S = {share}\n")
        for name in [one for one in sys.modules if one.startswith(("own_", "learnmech_model_"))]:
            monkeypatch.delitem(sys.modules, name)
        made = architectures.Wrapped.of("mine.py:model", batched=True)
        experiment = lm.Experiment(
            made, data.Gaussian(n=8, d=2), rules.GradientDescent(rate=0.1), lm.Clock(steps=2)
        )
        found.append(experiment.fingerprint)
        ((_, module),) = made.model.modules()
        assert model_digest(module) is not None
        lm.run(experiment, folder=tmp_path / share)
        assert (tmp_path / share / "parts" / "own_helper.py").is_file()
    assert found[0] != found[1]


def test_what_a_model_in_a_file_has_read_at_its_top_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nS = float(np.loadtxt('w.txt'))\ndef init(key, d, k):\n"
        "    return {'w': S * np.ones((d, k))}\n"
        "def apply(params, X):\n    return X @ params['w']\nmodel = (init, apply)\n"
    )
    found = []
    for share in ("0.5", "0.5", "0.25"):
        (tmp_path / "w.txt").write_text(share)
        for name in [one for one in sys.modules if one.startswith("learnmech_model_")]:
            monkeypatch.delitem(sys.modules, name)
        made = architectures.Wrapped.of("mine.py:model", batched=True)
        ((_, module),) = made.model.modules()
        found.append(model_digest(module))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("where", ["own_stale.py", "own_helper.py"])
def test_bytecode_of_an_edited_source_is_not_used(tmp_path, monkeypatch, where):
    monkeypatch.setattr(catalog, "GUESTS", [])
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "own_stale.py": "from learnmech.rules import GradientDescent\nfrom own_helper import S\n"
        'class OwnStale(GradientDescent):\n    "Own."\n    def said(self):\n'
        "        from own_late import S as late\n        return (0.5, S, late)\n",
        "own_helper.py": "S = 0.5\n",
        "own_late.py": "S = 0.5\n",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.write_text(text)
        py_compile.compile(str(file))
        if name in (where, "own_late.py"):
            old = file.stat()
            file.write_text(text.replace("0.5", "0.7"))
            os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    (member,) = catalog.add_source(tmp_path / "own_stale.py")
    cls = catalog.load(member)
    code_digest(cls)  # which looks at what its methods import
    assert cls.said(None) == ((0.7, 0.5, 0.7) if where == "own_stale.py" else (0.5, 0.7, 0.7))
    for name in ("own_helper", "own_late"):
        del sys.modules[name]


CALLS = {
    "getattr(x.y['k'], 'name', 'a' + str(x))": False,
    "getattr(x(1, k=2), 'n', None)": False,
    "setattr(x, 'y', n)": False,
    "f(getattr(x, 'y').z(n), 3)": False,
    "getattr(x, n)": True,
    "getattr(x, 'a' + n)": True,
    "getattr(x, n['a'])": True,
    "getattr(x, 'a'.join(n), 'b')": True,
    "getattr(*x)": True,
    "map(getattr, x)": True,
}


@pytest.mark.parametrize("call", CALLS)
def test_an_attribute_by_a_name_that_is_computed_is_told_from_one_by_its_name(call):
    code = compile(f"def f(x, n):\n    return {call}", "own", "exec")
    assert bool(means_of(code, {}).telling) == CALLS[call]
