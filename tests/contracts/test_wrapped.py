"""Wrapped models: against loops written by hand, under their addresses, in text, and what is
refused."""

import dataclasses
import functools
import hashlib
import json
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learnmech as lm
from learnmech import architectures, data, initial, instruments, interventions, rules
from learnmech.architectures import models
from learnmech.cli.app import call
from learnmech.errors import Refused
from learnmech.language import catalog, text, trees
from learnmech.march.loop import march

SHAPE = re.compile(r"^\S.* needs \S.*, but got .+\. [A-Z].*[.?]$", re.DOTALL)
D, K = 3, 2
GAUSSIAN = data.Gaussian(n=12, d=D, k=K, noise=0.1, test=5)


class Blocks(eqx.Module):
    """Linear maps in a nested list, an array of its own, whole numbers and a static activation."""

    blocks: list
    gain: jax.Array
    order: jax.Array
    activation: callable = eqx.field(static=True)

    def __init__(self, key, d=D, k=K, activation=jax.nn.gelu):
        first, second = jax.random.split(key)
        self.blocks = [
            [eqx.nn.Linear(d, 4, key=first), eqx.nn.LayerNorm(4)],
            [eqx.nn.Linear(4, k, key=second)],
        ]
        self.gain, self.order, self.activation = jnp.full((), 1.5), jnp.arange(d)[::-1], activation

    def __call__(self, x):
        linear, norm = self.blocks[0]
        return self.gain * self.blocks[1][0](self.activation(norm(linear(x[self.order]))))


def dense(width):
    """(init, apply) of one hidden layer, as a stax layer is written."""

    def init(key, d, k):
        first, second = jax.random.split(key)
        return [
            (jax.random.normal(first, (d, width)) / d**0.5, jnp.zeros(width)),
            (jax.random.normal(second, (width, k)) / width**0.5, jnp.zeros(k)),
        ]

    def apply(params, X):
        (W, b), (V, c) = params
        return jnp.tanh(X @ W + b) @ V + c

    return init, apply


def transformed(key):
    """Parameters as haiku names them."""
    return {
        "mlp/~/linear_0": {"w": jax.random.normal(key, (D, K)), "b": jnp.zeros(K)},
        "scale": jnp.ones(()),
    }


def mlp(seed=1, **changes):
    return eqx.nn.MLP(D, K, 4, 2, activation=jnp.tanh, key=jax.random.PRNGKey(seed), **changes)


def experiment(architecture, rule=None, **changes):
    rule = rules.GradientDescent(rate=0.05) if rule is None else rule
    return lm.Experiment(architecture, GAUSSIAN, rule, lm.Clock(steps=40, every=10), **changes)


def refusal(make):
    """The sentence in which something is refused, which must have the one shape."""
    with pytest.raises(Refused) as caught:
        print("accepted:", make())
    assert SHAPE.match(str(caught.value)), str(caught.value)
    return str(caught.value)


def by_hand(model, apply, optimizer, X, Y, steps):
    """The weights of a model after so many steps on 1/(2n) sum |f - y|^2, in the order of its
    leaves."""
    weights, rest = eqx.partition(model, eqx.is_inexact_array)
    memory = optimizer.init(weights)

    @jax.jit
    def step(weights, memory):
        slope = jax.grad(
            lambda w: jnp.sum((apply(eqx.combine(w, rest), X) - Y) ** 2) / (2 * len(X))
        )(weights)
        update, memory = optimizer.update(slope, memory)
        return optax.apply_updates(weights, update), memory

    for _ in range(steps):
        weights, memory = step(weights, memory)
    return [np.asarray(w) for w in jax.tree.leaves(weights)]


def on_batch(model, X):
    return jax.vmap(model)(X)


# the model, as it is wrapped, how it is called, and the addresses of its leaves in their order
LAYER = ["weight", "bias"]
NESTED = [f"blocks.{at}.{name}" for at in ("0.0", "0.1", "1.0") for name in LAYER]
MODELS = {
    "eqx.nn.MLP": (mlp(), {}, on_batch, [f"layers.{i}.{name}" for i in range(3) for name in LAYER]),
    "a module with a nested list": (
        Blocks(jax.random.PRNGKey(3)),
        {},
        on_batch,
        [*NESTED, "model.gain"],
    ),
    "a batched pair": (
        dense(4),
        {"batched": True},
        dense(4)[1],
        ["model.0.0", "model.0.1", "model.1.0", "model.1.1"],
    ),
}


DESCENT, ADAM = (
    (rules.GradientDescent(rate=0.05), optax.sgd(0.05)),
    (rules.Adam(rate=0.01), optax.adam(0.01)),
)


@pytest.mark.parametrize(
    "name, rule, optimizer",
    [*((name, *DESCENT) for name in MODELS), ("a module with a nested list", *ADAM)],
)
def test_a_wrapped_model_learns_as_in_a_loop_written_by_hand(name, rule, optimizer):
    model, how, apply, addresses = MODELS[name]
    start = lm.prepare(experiment(architectures.Wrapped(model, **how), rule))
    drawn = trees.leaves_by_path(start.params)
    assert set(drawn) == set(addresses)
    tree = model[0](jax.random.PRNGKey(0), D, K) if isinstance(model, tuple) else model
    weights, rest = eqx.partition(tree, eqx.is_inexact_array)
    tree = eqx.combine(
        jax.tree.unflatten(
            jax.tree.structure(weights), [jnp.asarray(drawn[path]) for path in addresses]
        ),
        rest,
    )
    if not isinstance(model, tuple):
        assert eqx.tree_equal(tree, model)
    expected = by_hand(tree, apply, optimizer, start.data.train.X, start.data.train.Y, 40)
    record = lm.run(start)
    for path, leaf in zip(addresses, expected, strict=True):
        # the same operations, perhaps fused otherwise: an eps or so in each of 40 steps that do not
        # amplify it, with a margin
        np.testing.assert_allclose(record.final[path], leaf, rtol=1e-12, atol=1e-13, err_msg=path)
    assert float(record["loss"][-1]) < float(record["loss"][0])


def test_a_model_that_was_made_in_single_precision_runs_in_double_and_the_other_way():
    single = jax.tree.map(lambda w: w.astype(jnp.float32) if eqx.is_inexact_array(w) else w, mlp())
    for precision in ("float64", "float32"):
        record = lm.run(experiment(architectures.Wrapped(single), precision=precision))
        assert {leaf.dtype for leaf in record.final.values()} == {np.dtype(precision)}
        assert (
            lm.prepare(record.experiment)
            .system.outputs(
                record.params, GAUSSIAN.draw(np.random.default_rng(0)).train.X.astype(precision)
            )
            .dtype
            == precision
        )
    assert np.array_equal(record.at(0).params["layers.0"]["weight"], single.layers[0].weight)


def test_one_output_without_an_axis_is_one_output():
    scalar = eqx.nn.MLP(D, "scalar", 4, 1, key=jax.random.PRNGKey(0))
    outputs = []
    for wrapped in (
        architectures.Wrapped(scalar),
        architectures.Wrapped((lambda key: scalar, lambda m, X: jax.vmap(m)(X)), batched=True),
    ):
        start = lm.prepare(experiment(wrapped).with_value("data.k", 1))
        outputs.append(start.system.outputs(start.state.params, start.system.train.X))
    assert outputs[0].shape == (12, 1) and np.array_equal(*outputs)


def test_a_tied_array_is_one_parameter():
    class Tied(eqx.Module):
        shared: eqx.nn.Shared

        def __call__(self, x):
            first, second = self.shared()
            return second(jnp.tanh(first(x)))

    pair = (
        eqx.nn.Linear(D, D, key=jax.random.PRNGKey(0)),
        eqx.nn.Linear(D, D, key=jax.random.PRNGKey(1)),
    )
    tied = Tied(eqx.nn.Shared(pair, lambda p: p[1].weight, lambda p: p[0].weight))
    start = lm.prepare(experiment(architectures.Wrapped(tied)).with_value("data.k", D))
    assert sum(path.endswith("weight") for path in trees.leaves_by_path(start.params)) == 1
    outputs = start.system.outputs(start.state.params, start.system.train.X)
    # one matrix product on a batch, or one by one: an eps or so
    np.testing.assert_allclose(outputs, jax.vmap(tied)(start.system.train.X), rtol=1e-13)


def test_the_seed_moves_the_start_of_what_is_drawn_and_of_nothing_else():
    starts = {}
    makers = {
        "make": Blocks,
        "partial": functools.partial(eqx.nn.MLP, D, K, 4, 1),
        "fitted": lambda key, d, k: Blocks(key, d, k),
    }
    for name, model in {"module": mlp(), **makers}.items():
        wrapped = architectures.Wrapped(model)
        starts[name] = [lm.prepare(experiment(wrapped, seed=seed)).params for seed in (0, 0, 1)]
        assert eqx.tree_equal(*starts[name][:2])
        assert bool(eqx.tree_equal(*starts[name][1:])) == (name == "module")
    assert eqx.tree_equal(starts["make"], starts["fitted"])


def test_an_initial_condition_acts_on_the_weights_of_the_model():
    model = mlp()
    wrapped = architectures.Wrapped(model)
    halved = lm.prepare(experiment(wrapped, initial=initial.Gaussian(scale=0.5))).params
    assert np.array_equal(halved["layers.1"]["weight"], 0.5 * np.asarray(model.layers[1].weight))
    moved = lm.run(experiment(wrapped)).params
    again = lm.prepare(experiment(wrapped, initial=initial.Given.of(moved))).params
    assert eqx.tree_equal(again, moved)
    assert (
        lm.prepare(experiment(wrapped, initial=initial.SmallGaussian(std=1e-9)))
        .params["layers.2"]["bias"]
        .max()
        < 1e-7
    )
    refusal(lambda: lm.prepare(experiment(wrapped, initial=initial.ZeroReadout())))


def test_turning_a_knob_compiles_nothing_anew_nor_does_the_same_model_made_again():
    wrapped = architectures.Wrapped(mlp(seed=5))
    lm.run(experiment(wrapped))
    before = march._cached._cache_size()
    lm.run(experiment(wrapped).with_value("rule.rate", 0.01))
    lm.run(
        experiment(architectures.Wrapped(mlp(seed=5)), seed=3, initial=initial.Gaussian(scale=0.5))
    )
    assert march._cached._cache_size() == before


def test_every_array_of_floats_has_an_address_and_nothing_else_has():
    one = jnp.ones(())
    odd = {
        "memory": {"pre": one},
        "weight": one,
        "a": {"w": one},
        "b": {"a": {"w": one}},
        "n": 3,
        "s": "text",
    }
    wrapped = architectures.Wrapped((lambda key: odd | transformed(key), lambda params, x: x[:K]))
    addresses = set(trees.leaves_by_path(lm.prepare(experiment(wrapped)).params))
    # no path is the end of another, nor begins or ends as those of signals and memories do
    assert addresses == {
        "model.memory.pre_",
        "model.weight",
        "model.a.w",
        "b.a.w",
        "mlp_linear_0.w",
        "mlp_linear_0.b",
        "model.scale",
    }


def test_watching_freezing_and_perturbing_go_by_address():
    wrapped = architectures.Wrapped(Blocks(jax.random.PRNGKey(3)))
    watch = (
        "loss",
        "blocks.1.0.weight[1,:]",
        "memory.mu.blocks.0.0.weight",
        "memory.mu.blocks.1.0.weight",
        instruments.Norms(),
    )
    record = lm.run(experiment(wrapped, rules.Adam(rate=0.01)), watch=watch)
    assert record["blocks.1.0.weight[1,:]"].dims == ("time", "blocks.1.0.in")
    assert np.array_equal(
        record["blocks.1.0.weight[1,:]"][-1], record.final["blocks.1.0.weight"][1]
    )
    assert list(record["weight_norm"]["layer"].values) == [
        "blocks.0.0",
        "blocks.0.1",
        "blocks.1.0",
        "model",
    ]
    assert record["memory.mu.blocks.0.0.weight"].shape[1:] == (4, 3) and record[
        "memory.mu.blocks.1.0.weight"
    ].shape[1:] == (2, 4)
    twin = lm.fork(
        record,
        20,
        (
            interventions.Freeze(path="blocks.0"),
            interventions.Perturb(path="blocks.1.0.weight[0,1]", value=0.1),
        ),
    )
    here, there = record.at(20).params, twin.params
    assert eqx.tree_equal(
        [here["blocks.0.0"], here["blocks.0.1"]],
        jax.tree.map(jnp.asarray, [there["blocks.0.0"], there["blocks.0.1"]]),
    )
    moved = np.asarray(twin.at(20).params["blocks.1.0"]["weight"]) - np.asarray(
        here["blocks.1.0"]["weight"]
    )
    assert np.argwhere(moved).tolist() == [[0, 1]] and moved[0, 1] == pytest.approx(0.1, rel=1e-12)
    apart = lm.twins(record, twin)
    assert float(apart["function_distance"][-1]) > 0 and apart.sizes["signal"] == 0


def test_forks_replays_and_resumed_runs_of_a_wrapped_model_are_the_same_to_the_bit(tmp_path):
    plain = experiment(architectures.Wrapped(Blocks), rules.SGD(rate=0.05, batch=4), seed=2)
    whole = lm.run(plain)
    event = interventions.Perturb(path="model.gain", value=0.2, at=15)
    twin = lm.fork(whole, 15, (event,))
    assert eqx.tree_equal(twin.final, lm.run(dataclasses.replace(plain, events=(event,))).final)
    kept = lm.load(whole.save(tmp_path / "kept"))
    assert (
        eqx.tree_equal(kept.at(23), whole.at(23))
        and kept.experiment.fingerprint == plain.fingerprint
    )
    assert eqx.tree_equal(lm.fork(kept, 15, (event,)).final, twin.final)

    def stop(progress):
        raise KeyboardInterrupt

    lm.run(plain, folder=tmp_path / "stopped", progress=stop)
    assert eqx.tree_equal(lm.resume(tmp_path / "stopped").final, whole.final)
    assert call(["export", str(tmp_path / "kept"), str(tmp_path / "out.csv"), "--quiet"]) == 0
    assert (
        call(
            ["read", str(tmp_path / "kept"), "blocks.0.0.weight[0,:]", "--steps", "0,20", "--json"]
        )
        == 0
    )


def test_the_text_of_a_wrapped_model_is_read_back_as_itself():
    for model in (mlp(), Blocks, dense(4)):
        plain = experiment(architectures.Wrapped(model, batched=model is not Blocks))
        back = lm.Experiment.parse(plain.text)
        assert (
            eqx.tree_equal(back, plain)
            and back.text == plain.text
            and back.with_value("rule.rate", 0.2).architecture == plain.architecture
        )


def test_the_fingerprint_is_that_of_the_content():
    def own(scale):
        return lambda key: transformed(
            key
        ), lambda params, x: scale * jnp.tanh(x @ params["mlp/~/linear_0"]["w"])

    model = mlp()
    nudged = eqx.tree_at(
        lambda m: m.layers[1].weight, model, model.layers[1].weight.at[0, 0].multiply(1 + 2**-52)
    )
    bare = eqx.nn.MLP(D, K, 4, 2, activation=jax.nn.relu, key=jax.random.PRNGKey(1))
    order = eqx.tree_at(lambda m: m.order, Blocks(jax.random.PRNGKey(1)), jnp.arange(D))
    blocks = [
        Blocks(jax.random.PRNGKey(1), activation=s)
        for s in (jax.nn.gelu, jax.nn.silu, lambda z: z**2, lambda z: z**3)
    ]
    different = [
        model,
        nudged,
        bare,
        order,
        *blocks,
        Blocks,
        dense(4),
        dense(5),
        own(1.0),
        own(2.0),
        (own(1.0)[0], dense(4)[1]),
    ]
    prints = [text.fingerprint(architectures.Wrapped(one)) for one in different]
    assert len(set(prints)) == len(different)
    again = [
        mlp(),
        *(Blocks(jax.random.PRNGKey(1), activation=s) for s in (jax.nn.gelu, lambda z: z**2)),
        dense(5),
        own(2.0),
    ]
    assert [text.fingerprint(architectures.Wrapped(one)) for one in again] == [
        prints[i] for i in (0, 4, 6, 10, 12)
    ]
    assert text.fingerprint(architectures.Wrapped(model, batched=True)) not in prints


SOURCE = """
import pathlib
import equinox as eqx
import jax
pathlib.Path("ran").touch()
make = lambda key: eqx.nn.MLP(3, 2, 4, 1, key=key)
number = 3
"""
ELSEWHERE = """
import json, pathlib, sys
import learnmech as lm
from learnmech.errors import Refused
def read(written):
    try: return lm.prepare(lm.Experiment.parse(written)).experiment.fingerprint
    except Refused as error: return str(error)
texts = json.load(sys.stdin)
told = [read(written) for written in texts]
ran = pathlib.Path("ran").exists()
lm.catalog.trust()
print(json.dumps([told, ran, [read(written) for written in texts]]))
"""


def test_code_that_a_text_names_is_run_in_another_process_only_with_leave(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    filed = experiment(architectures.Wrapped.of("mine.py:make"))
    assert 'python = "mine.py:make"' in filed.text and lm.Experiment.parse(filed.text) == filed
    given = experiment(architectures.Wrapped(mlp()))
    (tmp_path / "ran").unlink(missing_ok=True)  # not written where the process knows this code
    texts = [filed.text, given.text, experiment(architectures.Wrapped.example()).text]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    told, ran, trusted = json.loads(done.stdout)
    assert (
        SHAPE.match(told[0])
        and "--trust" in told[0]
        and SHAPE.match(told[1])
        and "Wrapped.of(" in told[1]
        and not ran
    )
    assert trusted[0] == filed.fingerprint and (tmp_path / "ran").exists() and trusted[1] == told[1]
    assert trusted[2] == told[2] == experiment(architectures.Wrapped.example()).fingerprint


def test_leave_is_given_on_the_command_line_for_one_command(tmp_path, monkeypatch, capsys):
    source = SOURCE.replace("4, 1", "5, 1")  # a model that this process does not know yet
    (tmp_path / "mine.py").write_text(source)
    sha = hashlib.sha256(source.encode()).hexdigest()
    written = experiment(architectures.Wrapped.example()).text
    written = re.sub(
        r"given = .*\nsha256 = .*", f'python = "mine.py:make"\nsha256 = "{sha}"', written
    ).replace("batched = true", "batched = false")
    (tmp_path / "one.toml").write_text(written)
    monkeypatch.chdir(tmp_path)
    assert call(["run", "one.toml", "--quiet"]) == 2 and not (tmp_path / "ran").exists()
    assert "--trust" in capsys.readouterr().err
    (tmp_path / "mine.py").write_text(source + "# more\n")
    assert call(["run", "one.toml", "--trust", "--quiet"]) == 2 and not (tmp_path / "ran").exists()
    assert "sha256" in capsys.readouterr().err
    (tmp_path / "mine.py").write_text(source)
    assert (
        call(["--trust", "run", "one.toml", "--quiet", "--out", "done"]) == 0
        and (tmp_path / "ran").exists()
    )
    assert not catalog.trusted()
    assert lm.load("done").experiment.fingerprint == lm.Experiment.parse(written).fingerprint


class Twice(eqx.Module):
    """One layer in two places."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __call__(self, x):
        return self.second(self.first(x))


def constant(value):
    """A pair that gives this for every example."""
    return lambda key: jnp.ones(K), lambda params, x: value(params)


LINEAR = eqx.nn.Linear(D, K, key=jax.random.PRNGKey(0))
REFUSED = {
    "a number": (lambda: 3, "Equinox module"),
    "a name": (lambda: "mine.py:model", "Wrapped.of"),
    "a part": (lambda: architectures.Mlp(), "Equinox module"),
    "no floats": (lambda: eqx.nn.Lambda(jnp.tanh), "arrays of floats"),
    "complex": (lambda: eqx.tree_at(lambda m: m.bias, LINEAR, jnp.ones(K) * 1j), "real weights"),
    "shared": (lambda: Twice(LINEAR, LINEAR), "first.weight and second.weight"),
    "dropout": (lambda: eqx.nn.Sequential([LINEAR, eqx.nn.Dropout(0.5)]), "inference_mode"),
    "batch norm": (
        lambda: eqx.nn.make_with_state(eqx.nn.BatchNorm)(D, "batch", mode="batch")[0],
        "without state",
    ),
    "two arguments": (
        lambda: eqx.nn.GRUCell(D, K, key=jax.random.PRNGKey(0)),
        r"model\(x\), but got one of \(input, hidden\)",
    ),
    "a random apply": (lambda: (transformed, lambda params, rng, x: x), "lambda params, x"),
    "an init of two": (lambda: (lambda key, shape: 0, lambda params, x: x), "init"),
    # and what only the data tell
    "other inputs": (lambda: eqx.nn.Linear(D + 1, K, key=jax.random.PRNGKey(0)), "3 inputs"),
    "other outputs": (
        lambda: eqx.nn.Linear(D, K + 1, key=jax.random.PRNGKey(0)),
        "2 outputs, as the data have, but got 3",
    ),
    "a matrix of outputs": (lambda: constant(lambda w: jnp.outer(w, w)), r"\(k,\) or \(\)"),
    "a tuple of outputs": (lambda: constant(lambda w: (w, w)), "one array"),
    "whole numbers": (lambda: constant(lambda w: w.astype(int)), "floats"),
    "a maker of no module": (lambda: lambda key: {"w": jnp.ones(2)}, r"\(init, apply\)"),
    "a maker that fails": (lambda: lambda key: 1 / 0, "ZeroDivisionError"),
    "a maker of a shared array": (lambda: lambda key: Twice(LINEAR, LINEAR), "one place"),
    "drawn whole numbers": (
        lambda: (
            lambda key: {"w": jnp.ones(K), "i": jax.random.randint(key, (9,), 0, 99)},
            lambda p, x: p["w"],
        ),
        "another key",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_trained_or_does_not_fit_the_data_is_refused(name):
    make, says = REFUSED[name]
    assert re.search(says, refusal(lambda: lm.prepare(experiment(architectures.Wrapped(make())))))


def test_a_batched_model_says_so_and_what_is_of_one_example_mixes_nothing():
    assert architectures.Wrapped(dense(4), batched=True, mixes_samples=True).mixes_samples
    refusal(lambda: architectures.Wrapped(dense(4), mixes_samples=True))
    refusal(lambda: lm.prepare(experiment(architectures.Wrapped(mlp(), batched=True))))
    assert "drop batched" in refusal(
        lambda: lm.prepare(experiment(architectures.Wrapped(constant(lambda w: w), batched=True)))
    )


def test_the_dropout_of_a_model_at_inference_is_not_refused():
    model = eqx.nn.inference_mode(eqx.nn.Sequential([LINEAR, eqx.nn.Dropout(0.5)]))
    assert lm.run(experiment(architectures.Wrapped(model))).reached == 5


def test_what_names_no_model_in_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for where in ("mine.py", "model", "missing.py:model", 3):
        refusal(lambda w=where: architectures.Wrapped.of(w))
    (tmp_path / "mine.py").write_text(SOURCE)
    assert "no nothing in it" in refusal(lambda: architectures.Wrapped.of("mine.py:nothing"))
    assert "Equinox module" in refusal(lambda: architectures.Wrapped.of("mine.py:number"))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in refusal(lambda: architectures.Wrapped.of("broken.py:model"))


@catalog.trusting()
def test_the_copy_in_a_run_folder_does_not_stand_for_modules_that_were_edited_since(
    tmp_path, monkeypatch
):
    """What a record was made by, from its folder, and what a text says now, side by side in one
    process."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    source = (
        "import jax\nimport factor_of_it\ndef init(key):\n    return {'w': jax.random.normal(key,"
        " (1, 3))}\n"
    )
    source += (
        "def apply(params, x):\n    return factor_of_it.FACTOR * (params['w'] @ x)\nmodel = (init,"
        " apply)\n"
    )
    (tmp_path / "mine.py").write_text(source)
    knobs = (
        'model = {python = "mine.py:model", sha256 ='
        f' "{hashlib.sha256(source.encode()).hexdigest()}"}}'
    )
    said = (
        'data = {kind = "gaussian", n = 10, d = 3, k = 1}\nrule = {kind = "gradient-descent", rate'
        " = 0.1}\nclock = {steps = 3}\n"
    )
    (tmp_path / "e.toml").write_text(
        f'watch = ["loss"]\narchitecture = {{kind = "wrapped", {knobs}}}\n{said}'
    )

    def fresh(factor):
        """As a process that has seen none of it."""
        (tmp_path / "factor_of_it.py").write_text(f"FACTOR = {factor}\n")
        monkeypatch.setattr(models, "AT_HAND", {})
        for name in [
            name
            for name, module in sys.modules.items()
            if (getattr(module, "__file__", None) or "").startswith(str(tmp_path))
        ]:
            monkeypatch.delitem(sys.modules, name)

    fresh(1.0)
    first = lm.run("e.toml", folder="run")["loss"].values
    fresh(30.5)
    record = lm.load("run")
    np.testing.assert_array_equal(record.read("loss", [2])["loss"].values, first[2:3])
    assert lm.run("e.toml")["loss"].values[0] > 10 * first[0]
    with pytest.raises(Refused, match="is other code"):
        record.read("loss", [2])
