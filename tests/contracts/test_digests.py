"""Digests: own code counts by what it computes. An edit of any value that it uses is another
digest; a comment above it, another folder and another process are not."""

import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, rules
from learnmech.errors import Refused
from learnmech.language.digest import code_digest, digest_of
from learnmech.language.guests import code_of

SHARE = """
class Share:
    def __init__(self, share):
        self.share = share
    def __call__(self, x):
        return self.share * x
"""
# What stands in a module of one's own as HELD, with 0.5 in it that an edit makes 0.25.
HELD = {
    "an object of an own class": f"{SHARE}HELD = Share(0.5)",
    "a list of such objects": f"{SHARE}HELD = [Share(0.5)]",
    "a method of such an object": f"{SHARE}HELD = Share(0.5).__call__",
    "an object that holds itself": f"{SHARE}HELD = Share(0.5)\nHELD.me = [HELD]",
    "an object with slots": (
        "class Share:\n    __slots__ = ('__share', 'empty')\n"
        "    def __init__(self):\n        self.__share = 0.5\nHELD = Share()"
    ),
    "a list that holds itself": "HELD = [0.5]\nHELD.append(HELD)",
    "a partial": "import functools\nHELD = functools.partial(pow, 0.5)",
    "a dictionary of partials": "import functools\nHELD = {'a': functools.partial(pow, 0.5)}",
    "a partial of JAX": "import jax\nHELD = jax.tree_util.Partial(pow, 0.5)",
    "a structure of a tree": "import jax\nHELD = jax.tree.structure({'0.5': 1})",
    "a fraction": "import fractions\nHELD = fractions.Fraction('0.5')",
    "a decimal": "import decimal\nHELD = decimal.Decimal('0.5')",
    "a deque": "import collections\nHELD = collections.deque([0.5])",
    "a time": "import datetime\nHELD = datetime.timedelta(seconds=0.5)",
    "an array of Python": "import array\nHELD = array.array('d', [0.5])",
    "bytes that may change": "HELD = bytearray(b'0.5')",
    "a polynomial": "import numpy\nHELD = numpy.polynomial.Polynomial([0, 0.5])",
    "a file of settings": (
        "import configparser\nHELD = configparser.ConfigParser()\nHELD.read_string('[a]\\ns = 0.5')"
    ),
    "a read-only dictionary": "import types\nHELD = types.MappingProxyType({'a': 0.5})",
    "a view of memory": "import array\nHELD = memoryview(array.array('d', [0.5]))",
    "a variable of a context": (
        "import contextvars\nHELD = contextvars.ContextVar('held', default=0.5)"
    ),
    "a namespace of a thread": "import threading\nHELD = threading.local()\nHELD.share = 0.5",
    "a dictionary's default": "import collections\nHELD = collections.defaultdict(lambda: 0.5)",
    "text in memory": "import io\nHELD = io.StringIO('0.5')",
    "the seed of a generator": "import numpy\nHELD = numpy.random.default_rng(int(0.5 * 100))",
    "a masked array": "import numpy\nHELD = numpy.ma.array([1, 2], mask=[0.5 < 0.4, True])",
    "an array of objects": "import numpy\nHELD = numpy.array([0.5, None], dtype=object)",
    "a float of eight bits": (
        "import jax.numpy as jnp\nHELD = jnp.zeros("
        "    2, [jnp.float8_e4m3b11fnuz, jnp.float8_e4m3fn][0.5 > 0.4])"
    ),
    "a function under jit": "import jax\nHELD = jax.jit(lambda x: 0.5 * x)\nHELD(1.0)",
    "a function by the type of what it is given": (
        "import functools\n@functools.singledispatch\ndef HELD(x):\n    return x\n"
        "@HELD.register\ndef _(x: int):\n    return 0.5 * x\nHELD(1)"
    ),
    "a method with an argument filled in": (
        "import functools\nclass Share:\n    def by(self, share, x):\n        return share * x\n"
        "    half = functools.partialmethod(by, 0.5)\nHELD = Share()"
    ),
    "a method of a member": (
        "import enum\nclass Shade(enum.Enum):\n    ONE = 1\n    def by(self, x):\n"
        "        return 0.5 * x\nHELD = Shade.ONE"
    ),
    "a method of a named tuple": (
        "import typing\nclass Pair(typing.NamedTuple):\n    a: float\n    def by(self, x):\n"
        "        return 0.5 * x\nHELD = Pair(1.0)"
    ),
    **{
        f"a method of an own {kind.__name__}": (
            f"class Own({kind.__name__}):\n    def by(self, x):\n        return 0.5 * x\n"
            f"HELD = Own()\nHELD.more = 1"
        )
        for kind in (dict, list, set, float, str)
    },
    "an attribute of an own array": (
        "import numpy\nclass Own(numpy.ndarray):\n    share = 0.5\nHELD = numpy.ones(2).view(Own)"
    ),
    "what a module answers by": "def __getattr__(name):\n    return 0.5",
    "a name of a module between bars": "__share__ = 0.5",
    "a name of a class between bars": "class HELD:\n    __share__ = 0.5",
    "what a field makes of its value": (
        "import equinox as eqx\nclass HELD(eqx.Module):\n"
        "    share: float = eqx.field(converter=lambda x: 0.5 * x)"
    ),
    "how two objects are compared": (
        "class HELD:\n    def __eq__(self, other):\n        return 0.5 > 0.4"
    ),
    "how a method is bound": (
        "class HELD:\n    @staticmethod  # 0.5\n    def by(x):\n        return x"
    ),
    "a metaclass": (
        "class Meta(type):\n    @property\n    def share(cls):\n        return 0.5\n"
        "class HELD(metaclass=Meta):\n    pass"
    ),
}


def module_of(folder, name, monkeypatch, source):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"{source}\n")
    monkeypatch.syspath_prepend(str(folder))
    return __import__(name)


USER = "\nclass User:\n    def by(self):\n        return HELD"


def digests(tmp_path, monkeypatch, sources, alone=False):
    """The digest of a module of each of these sources, each of another name and folder, or
    (`alone`) of a class of it which uses what it calls HELD; held to be the same when it is asked
    again."""
    found = []
    for index, source in enumerate(sources):
        name = f"held_{index}_{abs(hash(str(tmp_path)))}"
        module = module_of(tmp_path / str(index), name, monkeypatch, source + alone * USER)
        what = module.User if alone else (module,)
        found.append(code_digest(what))
        assert code_digest(what) == found[-1]
    return found


@pytest.mark.parametrize(
    ("what", "alone"),
    [*((what, False) for what in HELD), *((what, True) for what in HELD if "HELD" in HELD[what])],
)
def test_whatever_own_code_holds_counts_by_its_content(tmp_path, monkeypatch, what, alone):
    source = HELD[what]
    edited = source.replace("@staticmethod  # 0.5", "@classmethod").replace("0.5", "0.25", 1)
    sources = [source, f"# a comment\n\n{source}", edited]
    first, same, other = digests(tmp_path, monkeypatch, sources, alone)
    assert first == same != other


@pytest.mark.parametrize("how", ["import {inner}", "from {inner} import T"])
def test_the_order_of_a_dictionary_counts(tmp_path, monkeypatch, how):
    inner = module_of(tmp_path, f"ordered_{how[0]}", monkeypatch, "T = {'a': abs, 'b': max}")
    used = "{inner}.T" if how.startswith("import") else "T"
    source = f"{how}\nclass Own:\n    def by(self):\n        return list({used})\n"
    source = source.replace("{inner}", inner.__name__)
    own = module_of(tmp_path, f"outer_{how[0]}", monkeypatch, source).Own
    before, first = code_digest(own), inner.T.pop("a")
    inner.T["a"] = first
    assert code_digest(own) != before
    inner.T["b"] = inner.T.pop("b")
    assert code_digest(own) == before
    assert digest_of({"a": 1, "b": 2}) != digest_of({"b": 2, "a": 1})
    assert digest_of({"a", "b"}) == digest_of({"b", "a"})


OWN = """
import dataclasses, functools, threading, logging
import jax
from learnmech.rules import GradientDescent
from {inner} import scaled

class Share:
    def __init__(self, share):
        self.share, self.lock = share, threading.Lock()
    @functools.cached_property
    def twice(self):
        return 2 * self.share

@dataclasses.dataclass
class Told:
    share: float = 0.5

SHARE, TOLD, LOG = Share(0.5), Told(), logging.getLogger(__name__)
NAMES = {{"one", "two", "three", "four"}}

class Owner(GradientDescent):
    "Own."

    def update(self, system, gradient, memory, params):
        update, memory = super().update(system, gradient, memory, params)
        share = SHARE.twice * TOLD.share * len(NAMES) / 4
        return jax.tree.map(lambda u: scaled(share * u), update), memory
"""
JITTED = "import jax\n\n@jax.jit\ndef scaled(u):\n    return u\n"


def test_a_part_that_uses_own_objects_and_compiled_functions_is_kept_and_found_again(
    tmp_path, monkeypatch
):
    module_of(tmp_path, "own_jitted", monkeypatch, JITTED)
    owner = module_of(tmp_path, "own_owner", monkeypatch, OWN.format(inner="own_jitted")).Owner
    experiment = lm.Experiment(
        architectures.DeepLinear(hidden=(2,)),
        data.Gaussian(n=8, d=2),
        owner(rate=0.1),
        lm.Clock(steps=4, every=2),
    )
    run = lm.run(experiment, folder=tmp_path / "run")
    again = lm.load(tmp_path / "run").read("loss", [3])["loss"]
    assert np.array_equal(again, run.read("loss", [3])["loss"])
    assert code_of({("rules", "owner"): owner}).guests[0].digest == code_digest(owner)


def test_another_process_finds_the_same_digest(tmp_path):
    (tmp_path / "own_jitted.py").write_text(JITTED)
    (tmp_path / "own_owner.py").write_text(OWN.format(inner="own_jitted"))
    told = (
        "import own_owner; from learnmech.language.digest import code_digest;"
        " print(code_digest(own_owner.Owner))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", told],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{Path(lm.__file__).parents[1]}", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1] and len(found[0].strip()) == 64


def test_what_serves_and_computes_nothing_counts_by_its_type(tmp_path, monkeypatch):
    source = (
        "import argparse, concurrent.futures, logging, os, threading\n"
        "LOG, LOCK = logging.getLogger(__name__), threading.Lock()\n"
        "EVENT, POOL = threading.Event(), concurrent.futures.ThreadPoolExecutor(1)\n"
        "PLACES, PARSER = os.environ, argparse.ArgumentParser(str(id(LOCK)))\n"
    )
    first, same = digests(tmp_path, monkeypatch, [source, f"# again\n{source}"])
    assert first == same


@pytest.mark.parametrize(
    "held", ["(one for one in ())", "numpy.frompyfunc(lambda x: 0.5 * x, 1, 1)"]
)
def test_what_cannot_be_told_by_its_content_is_refused_by_its_name(tmp_path, monkeypatch, held):
    with pytest.raises(Refused, match="Own code needs values that can be told .* as HELD"):
        digests(tmp_path, monkeypatch, [f"import numpy\nHELD = {held}"])


FACTOR, TABLE = 0.5, np.array([0.5])


def begun(key):
    return {"w": jnp.ones((2, 1))}


def by_a_global(params, X):
    return X @ params["w"] * FACTOR


def by_an_array(params, X):
    return X @ params["w"] * TABLE


def by_a_default(params, X, factor=0.5):
    return X @ params["w"] * factor


class Net(eqx.Module):
    w: jax.Array
    table: np.ndarray = eqx.field(static=True)

    def __call__(self, x):
        return self.w @ x * self.table[0]


IN_HAND = {
    "a global": by_a_global,
    "an array in place": by_an_array,
    "a default argument": by_a_default,
    "a static field in place": None,
}


@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
@pytest.mark.parametrize("what", IN_HAND)
def test_a_model_in_hand_that_was_changed_is_not_taken_for_what_it_was(tmp_path, monkeypatch, what):
    apply, table = IN_HAND[what], np.array([0.5])
    model = (begun, apply) if apply is not None else Net(jnp.ones((1, 2)), table)

    def made():
        return lm.Experiment(
            architectures.Wrapped(model, batched=apply is not None),
            data.Gaussian(n=8, d=2),
            rules.GradientDescent(rate=0.05),
            lm.Clock(steps=8, every=4),
        )

    def change(factor):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        by_a_default.__defaults__ = (factor,)
        table[0] = TABLE[0] = factor

    experiment = made()
    record = lm.run(experiment, folder=tmp_path / "run")
    seen = record.read("loss", [3])["loss"].values
    try:
        change(0.9)
        loaded = lm.load(tmp_path / "run")
        assert any("a model in hand, is another now" in note for note in loaded.notes)
        for make in (
            lambda: loaded.read("loss", [3]),
            lambda: record.read("loss", [3]),
            lambda: lm.fork(record, 4, ()),
            lambda: lm.run(experiment),
            lambda: lm.run(experiment, folder=tmp_path / "another"),
        ):
            with pytest.raises(Refused, match="as it was handed over"):
                make()
        anew = made()
        assert anew.fingerprint != experiment.fingerprint
        assert not np.array_equal(lm.run(anew).read("loss", [3])["loss"].values, seen)
    finally:
        change(0.5)
    assert np.array_equal(record.read("loss", [3])["loss"].values, seen)
