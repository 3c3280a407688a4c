"""Blocks: norms, residual depth, dropout and convolutions against plain numpy, and the
symmetries they bring."""

import dataclasses
import zlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import architectures, data, instruments, interventions, rules, scalings
from learnmech.architectures import Conv, Dialed, Dropout, Linearized, Mlp, Residual
from learnmech.errors import Refused
from learnmech.kernels.empirical import traced_kernel
from learnmech.kernels.infinite import kernel
from learnmech.kernels.recursion import tables

RNG = np.random.default_rng(0)
X, TEST = RNG.standard_normal((8, 3)), RNG.standard_normal((5, 3))
NORMS = ("batch", "layer", "rms")
# whole programs, since operations one by one take as long to compile each
signals_of = eqx.filter_jit(lambda one, params, inputs: one.signals(params, inputs))
elsewhere = eqx.filter_jit(lambda one, params, inputs, among: one.elsewhere(params, inputs, among))
priced = eqx.filter_jit(
    lambda system, params: (system.value_and_gradient(params), system.test_loss(params))
)
BIASED = scalings.NTK(weight=1.2, bias=0.7)


def drawn(architecture, d=3, k=2):
    """Normal entries in every array, gains and shifts included."""
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda w: rng.standard_normal(w.shape), architecture.init(rng, d, k))


def unit(norm, z, by=None):
    """z brought to unit size by hand; `by`: by the statistics of other samples."""
    by = z if by is None else by
    if norm == "batch":
        return (z - by.mean(0)) / by.std(0)
    z = z - z.mean(1, keepdims=True) if norm == "layer" else z
    return z / np.sqrt((z**2).mean(1, keepdims=True))


def by_hand(norm, params, x, affine, by=None):
    """Signals of a net of two hidden layers in the scaling BIASED, tanh; where samples mix,
    mixed as among those of `by`."""
    h, g, seen = x, x if by is None else by, {}
    for index in (1, 2, 3):
        layer, name = params[f"layer{index}"], f"layer{index}"
        z, y = (
            1.2 / np.sqrt(side.shape[1]) * side @ layer["weight"].T + 0.7 * layer["bias"]
            for side in (h, g)
        )
        seen[f"{name}.pre"] = z
        if index == 3:
            return seen | {"output": z}
        z, y = unit(norm, z, y), unit(norm, y)
        z, y = (layer["gain"] * side + 0.7 * layer["shift"] if affine else side for side in (z, y))
        h, g = np.tanh(z), np.tanh(y)
        seen |= {f"{name}.normed": z, f"{name}.post": h}


def normed(norm, affine=False, **changes):
    return Mlp(
        **(
            {"hidden": (4, 4), "norm": norm, "affine": affine, "bias": True, "scaling": BIASED}
            | changes
        )
    )


# --- norms


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_every_signal_of_a_normed_network_is_as_by_hand(norm, affine):
    architecture = normed(norm, affine)
    params = drawn(architecture)
    signals = signals_of(architecture, params, X)
    for name, value in by_hand(norm, params, X, affine).items():
        np.testing.assert_allclose(
            signals[name], value, rtol=1e-12, atol=1e-12
        )  # a few sums of 8, through three layers
    assert architecture.mixes_samples == (norm == "batch")


def test_elsewhere_a_batch_norm_takes_its_statistics_of_the_training_inputs():
    start = lm.prepare(experiment(normed("batch", True)))
    params, train, test = (
        start.params,
        np.asarray(start.data.train.X),
        np.asarray(start.data.test.X),
    )
    expected = by_hand("batch", params, test, True, by=train)
    seen = eqx.filter_jit(
        lambda s, p: s.signals(p, s.test.X) | {"one": s.outputs(p, s.test.X[:1])}
    )(start.system, params)
    for name in ("layer2.normed", "output"):
        np.testing.assert_allclose(seen[name], expected[name], rtol=1e-12, atol=1e-12)
    # one input at a time is the same, as there is no batch for it to be part of
    np.testing.assert_allclose(seen["one"], expected["output"][:1], rtol=1e-12, atol=1e-12)
    assert float(priced(start.system, start.state.params)[1]) == pytest.approx(
        0.5 / 5 * np.sum((expected["output"] - start.data.test.Y) ** 2), rel=1e-12
    )
    # and what is made of it goes by the same statistics
    dialed, linearized = (
        make(normed("batch", True)).anchored(params)
        for make in (lambda of: Dialed(of, alpha=2.0), Linearized)
    )
    moved = jax.tree.map(lambda w: w + 0.1, params)
    gap = by_hand("batch", moved, test, True, by=train)["output"] - expected["output"]
    np.testing.assert_allclose(
        elsewhere(dialed, moved, test, train), 2 * gap, rtol=1e-12, atol=1e-12
    )
    step = 1e-6
    ahead, behind = (
        by_hand("batch", jax.tree.map(lambda w, s=s: w + s * step, params), test, True, by=train)[
            "output"
        ]
        for s in (1, -1)
    )
    # central differences of step 1e-6: eps/step = 2e-10 and its square, with a margin
    np.testing.assert_allclose(
        elsewhere(linearized, moved, test, train),
        expected["output"] + 0.1 * (ahead - behind) / (2 * step),
        atol=1e-8,
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["mlp", "residual", "conv"])
def test_a_layer_before_a_norm_can_be_rescaled_and_feels_no_force_along_itself(norm, kind):
    """<w, grad> = 0 for what a batch norm takes unit by unit, for a layer norm as a whole;
    without epsilon, to round-off."""
    make = {
        "mlp": lambda: Mlp(hidden=(4, 4), norm=norm, activation="tanh"),
        "residual": lambda: Residual(width=4, blocks=2, norm=norm, activation="tanh"),
        "conv": lambda: Conv(channels=(4, 4), norm=norm, activation="tanh", padding="circular"),
    }
    architecture = make[kind]()
    params = drawn(architecture)
    invariant = ["layer2", "layer3"] if kind == "residual" else ["layer1", "layer2"]
    target = RNG.standard_normal((8, 2))
    priced = jax.jit(
        jax.value_and_grad(lambda p: jnp.mean((architecture.forward(p, X) - target) ** 2))
    )
    loss, slope = priced(params)
    scaled = params | {name: {"weight": 7.3 * params[name]["weight"]} for name in invariant}
    other, shrunk = priced(scaled)
    assert float(other) == pytest.approx(float(loss), rel=1e-13)
    for name in invariant:
        w, g = params[name]["weight"], np.asarray(slope[name]["weight"])
        along = (w * g).sum(axis=1) if norm == "batch" else (w * g).sum()
        # sums of 8 samples by 4 units that cancel, relative to their parts
        assert np.abs(along).max() < 1e-13 * np.linalg.norm(w) * np.linalg.norm(g) * 10
        np.testing.assert_allclose(
            np.asarray(shrunk[name]["weight"]) * 7.3,
            g,
            rtol=1e-10,
            atol=1e-13 * np.abs(g).max() * 10,
        )


def test_descent_lengthens_scale_invariant_weights_by_pythagoras_and_a_small_rate_keeps_them():
    """|w+|^2 = |w|^2 + rate^2 |g|^2, exactly."""
    record = lm.run(
        experiment(Mlp(hidden=(4,), norm="batch")),
        (instruments.Loss(), instruments.Watch("layer1.weight")),
    )
    start = lm.prepare(record.experiment)
    w, g = (
        np.asarray(tree["layer1"]["weight"])
        for tree in (start.params, priced(start.system, start.state.params)[0][1])
    )
    after = record["layer1.weight"].values[1]
    assert np.sum(after**2) == pytest.approx(np.sum(w**2) + 0.05**2 * np.sum(g**2), rel=1e-14)
    assert np.all(np.diff((record["layer1.weight"].values ** 2).sum(axis=(1, 2))) > 0)


def test_what_does_not_vary_is_zero_and_has_a_slope():
    still = np.ones((4, 3))
    for norm in NORMS[:2]:
        architecture = Mlp(hidden=(4,), norm=norm)
        params = architecture.init(np.random.default_rng(0), 3, 1)
        params["layer1"]["weight"][:] = 0 if norm != "batch" else params["layer1"]["weight"]
        f, slope = jax.jit(jax.value_and_grad(lambda p, a=architecture: a.forward(p, still).sum()))(
            params
        )
        assert float(f) == 0 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope)), (
            norm
        )


def test_gains_and_shifts_have_addresses_and_learn_as_biases_of_the_scaling_do():
    for scaling, expected in (
        (scalings.SP(), 1.0),
        (scalings.NTK(), 1.0),
        (scalings.MeanField(), 6.0),
        (scalings.MuP(), 6.0),
    ):
        architecture = Mlp(hidden=(6,), norm="rms", affine=True, scaling=scaling)
        params = architecture.init(np.random.default_rng(0), 3, 1)
        assert np.array_equal(params["layer1"]["gain"], np.ones(6)) and np.array_equal(
            params["layer1"]["shift"], np.zeros(6)
        )
        factors = architecture.rate_factors(params)
        # by its own multiplier q and factor r a shift moves the pre-activation by q^2 r, and a
        # gain, which has no multiplier, by as much
        assert factors["layer1"]["gain"] == pytest.approx(expected, rel=1e-14)
        assert set(factors["layer1"]) == {"weight", "gain", "shift"} and set(factors["layer2"]) == {
            "weight"
        }
    events = (interventions.Freeze("layer1.gain", at=3),)
    record = lm.run(
        dataclasses.replace(experiment(normed("layer", True)), events=events),
        (instruments.Watch("layer1.gain"), instruments.Watch("layer2.shift")),
    )
    gains, shifts = record["layer1.gain"].values, record["layer2.shift"].values
    assert (
        np.array_equal(gains[-1], gains[3])
        and not np.any(gains[3] == gains[0])
        and not np.any(shifts[-1] == shifts[3])
    )


def test_the_tangent_kernel_of_a_normed_network_is_the_same_layer_by_layer_and_by_its_jacobian():
    architecture = normed("layer")
    params = drawn(architecture)
    J = jax.jit(jax.jacrev(lambda p: architecture.forward(p, X)))(params)
    flat = np.concatenate(
        [np.asarray(leaf).reshape(8, 2, -1) for leaf in jax.tree.leaves(J)], axis=2
    )
    dense = np.einsum("ncp,mcp->nm", flat, flat) / 2
    assert architecture.dense_layers(params) is not None
    np.testing.assert_allclose(
        traced_kernel(architecture, params, X), dense, rtol=1e-11, atol=1e-11
    )
    assert normed("layer", True).dense_layers(params) is None


def test_a_wide_normed_network_has_the_kernels_of_its_limit():
    """NNGP and tangent kernel of layer norm, means over starts, within five standard errors;
    inputs of unlike norms."""
    inputs = X[:4] * np.array([[0.3], [1.0], [2.0], [5.0]])
    for make in (
        lambda h: normed("layer", hidden=(h, h), activation="relu"),
        lambda h: Residual(width=h, norm="rms", branch=0.7, scaling=BIASED),
    ):
        architecture, nngp, ntk = make(256), [], []
        seen = jax.jit(
            lambda p, a=architecture: (a.forward(p, inputs), traced_kernel(a, p, inputs))
        )
        for seed in range(40):
            f, t = seen(architecture.init(np.random.default_rng(seed), 3, 32))
            nngp.append(np.asarray(f) @ np.asarray(f).T / 32)
            ntk.append(np.asarray(t))
        limit = kernel(architecture, inputs)
        for found, said in ((nngp, limit.nngp), (ntk, limit.ntk)):
            error = np.abs(np.mean(found, axis=0) - said)
            assert np.all(
                error < 5 * np.std(found, axis=0) / np.sqrt(40) + 0.02 * np.abs(said).max()
            )  # the next order, 1/h, is of a few 1/256
            assert np.all(error < 0.15 * np.abs(said).max())
        if isinstance(architecture, Mlp):  # every input has become of one size
            assert np.ptp(np.diag(limit.nngp)) < 1e-12


def test_limits_that_are_not_known_are_refused_with_the_reason():
    cases = {
        "whole batch": Mlp(norm="batch"),
        "gains": Residual(norm="rms", affine=True, scaling=BIASED),
        "pooling by a mean": Conv(pooling="max"),
    }
    for reason, architecture in cases.items():
        with pytest.raises(Refused, match=reason):
            kernel(architecture, X)


def test_a_batch_norm_of_one_sample_is_refused():
    with pytest.raises(Refused, match=r"^A batch norm needs two samples or more"):
        lm.prepare(experiment(Mlp(norm="batch"), n=1))
    with pytest.raises(Refused, match=r"^A batch norm needs two samples or more"):
        lm.run(experiment(Mlp(norm="batch"), rule=rules.SGD(rate=0.1, batch=1)))
    with pytest.raises(Refused, match="two units or more"):
        Mlp(hidden=(4, 1), norm="layer")


def experiment(architecture, n=8, rule=None, **changes):
    source = data.Gaussian(n=n, d=3, k=2, test=5, noise=0.1)
    return lm.Experiment(
        architecture,
        source,
        rule or rules.GradientDescent(rate=0.05),
        lm.Clock(steps=6, every=1),
        **changes,
    )


# --- residual


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_branch_is_divided_by_a_power_of_the_number_of_blocks(power):
    architecture = Residual(width=4, blocks=3, branch=0.6, depth_power=power, activation="tanh")
    params, beta = drawn(architecture), 0.6 * 3**-power
    h = X @ params["layer1"]["weight"].T
    for index in (2, 3, 4):
        h = h + beta * np.tanh(h @ params[f"layer{index}"]["weight"].T)
    np.testing.assert_allclose(
        signals_of(architecture, params, X)["output"],
        h @ params["layer5"]["weight"].T,
        rtol=1e-13,
        atol=1e-13,
    )
    same = dataclasses.replace(architecture, branch=beta, depth_power=0.0)
    for one, other in zip(
        *(dataclasses.replace(a, scaling=BIASED).limit(3) for a in (architecture, same)),
        strict=True,
    ):
        assert jax.tree.all(jax.tree.map(lambda a, b: abs(a - b) < 1e-15, one, other))


def test_a_deep_stream_grows_exponentially_unless_branches_fall_with_depth():
    """Linear branches of unit variance: |h|^2 grows by 1 + beta^2 a block, 2^L, to e at
    1/sqrt(L), and not at all at 1/L."""
    size = {}
    for power in (0.0, 0.5, 1.0):
        for blocks in (8, 32):
            deep = Residual(
                blocks=blocks, depth_power=power, activation="linear", scaling=scalings.NTK()
            )
            size[power, blocks] = float(tables(deep.limit(3), np.ones(1))[-1].after.variance[0])
    for (power, blocks), found in size.items():
        assert found == pytest.approx((1 + blocks ** (-2 * power)) ** blocks, rel=1e-12)
    assert (
        size[0.0, 32] == pytest.approx(2**32)
        and size[0.5, 32] < np.e < size[0.5, 32] * 1.05
        and size[1.0, 32] < 1.05
    )


# --- dropout


def test_dropout_is_off_outside_steps_and_a_step_draws_by_the_key_and_the_step_alone():
    of = Mlp(hidden=(50,))
    start = lm.prepare(experiment(Dropout(of, rate=0.3)))
    system, params, key = start.system, start.state.params, start.state.key
    plain = lm.prepare(experiment(of))
    assert float(priced(system, params)[0][0]) == float(priced(plain.system, params)[0][0])
    assert plain.system.at_step(key, 3) is plain.system
    seen = [
        np.asarray(
            signals_of(system.at_step(key, step).architecture, params, system.train.X)[
                "layer1.post"
            ]
        )
        for step in (3, 3, 4)
    ]
    post = np.asarray(signals_of(system.architecture, params, system.train.X)["layer1.post"])
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])
    for one in seen:
        kept = one != 0
        np.testing.assert_allclose(one[kept], post[kept] / 0.7, rtol=1e-15)
        assert abs(kept.mean() - 0.7) < 4 * np.sqrt(
            0.21 / kept.size
        )  # four standard errors of 400 draws


def test_a_step_under_dropout_is_the_step_by_hand():
    start = lm.prepare(experiment(Dropout(Mlp(hidden=(6,)), rate=0.3)))
    params, (X, Y) = start.params, (np.asarray(start.data.train.X), np.asarray(start.data.train.Y))
    own = jax.random.fold_in(
        jax.random.fold_in(start.state.key, zlib.crc32(b"architecture") & 0x7FFFFFFF), 5
    )
    mask = (
        np.asarray(
            jax.random.bernoulli(
                jax.random.fold_in(own, zlib.crc32(b"layer1.post") & 0x7FFFFFFF), 0.7, (8, 6)
            )
        )
        / 0.7
    )
    h = np.tanh(X @ params["layer1"]["weight"].T)
    off = ((h * mask) @ params["layer2"]["weight"].T - Y) / 8
    loss, slope = priced(start.system.at_step(start.state.key, 5), start.state.params)[0]
    assert float(loss) == pytest.approx(4 * np.sum(off**2), rel=1e-13)
    np.testing.assert_allclose(
        slope["layer2"]["weight"], off.T @ (h * mask), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        slope["layer1"]["weight"],
        ((off @ params["layer2"]["weight"]) * mask * (1 - h * h)).T @ X,
        rtol=1e-12,
        atol=1e-14,
    )


def test_a_run_under_dropout_is_its_steps_one_by_one_and_reads_the_whole_loss():
    made = lm.Experiment(
        Dropout(Mlp(hidden=(6,)), rate=0.3),
        data.Gaussian(n=8, d=3, k=2),
        rules.SGD(rate=0.1, batch=4),
        lm.Clock(steps=6, every=1),
    )
    start = lm.prepare(made)
    record = lm.run(start, (instruments.Loss(), instruments.BatchLoss(), instruments.Weights()))
    slope = eqx.filter_jit(lambda system, params: system.value_and_gradient(params))
    state, losses = start.state, []
    for step in range(6):
        now = dataclasses.replace(state, step=jnp.asarray(step))
        seen = start.rule.view(start.system, now).at_step(now.key, now.step)
        loss, gradient = slope(seen, now.params)
        losses.append(float(loss))
        state = dataclasses.replace(
            now, params=jax.tree.map(lambda p, g: p - 0.1 * g, now.params, gradient)
        )
    # round-off of six steps
    np.testing.assert_allclose(
        record["layer1.weight"].values[6], state.params["layer1"]["weight"], rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(record["batch_loss"].values[:6], losses, rtol=1e-12)
    np.testing.assert_allclose(
        record["loss"].values[0], float(start.system.loss(start.state.params)), rtol=1e-13
    )
    with pytest.raises(Refused, match="the same at every moment"):
        lm.prepare(
            lm.Experiment(made.architecture, made.data, rules.GradientFlow(), lm.Clock(time=1.0))
        )


def test_a_batch_of_one_under_batch_norm_is_refused_before_anything_is_computed():
    with pytest.raises(Refused):
        lm.prepare(
            lm.Experiment(
                Mlp(hidden=(6,), norm="batch"),
                data.Gaussian(n=8, d=3, k=2),
                rules.SGD(batch=1),
                lm.Clock(steps=2),
            )
        )


def test_signals_under_a_norm_are_watched_by_address():
    made = lm.Experiment(
        Mlp(hidden=(6,), norm="batch"),
        data.Gaussian(n=8, d=3, k=2, test=5),
        rules.GradientDescent(),
        lm.Clock(steps=2, every=1),
    )
    start = lm.prepare(made)
    watch = (
        instruments.Watch("layer1.normed[unit=1]"),
        instruments.Watch("layer1.normed", view="test"),
    )
    record = lm.run(start, watch)
    z, z_test = (
        np.asarray(x) @ start.params["layer1"]["weight"].T
        for x in (start.data.train.X, start.data.test.X)
    )
    np.testing.assert_allclose(
        record["layer1.normed[unit=1]"].values[0], unit("batch", z)[:, 1], rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(
        record["layer1.normed on test"].values[0], unit("batch", z_test, z), rtol=1e-12, atol=1e-13
    )


def test_no_theory_claims_a_run_with_dropout():
    conditions = lm.theories.Flow().conditions(lm.prepare(experiment(Dropout(Mlp(hidden=(6,))))))
    assert any("dropout" in one.claim and not one.holds for one in conditions)


# --- convolutions

SMALL = {
    "a line": Conv(
        shape=(7,), channels=(3, 2), kernel=3, padding="zero", pooling="none", bias=True
    ),
    "a circle, pooled": Conv(
        shape=(8,), channels=(3,), kernel=2, padding="circular", pooling="max", window=3, bias=True
    ),
    "an image": Conv(shape=(5, 4), channels=(3, 2), kernel=3, stride=2, padding="zero", bias=True),
    "an image, pooled": Conv(
        shape=(6, 5),
        channels=(3,),
        kernel=2,
        padding="none",
        pooling="average",
        window=2,
        readout="average",
        bias=True,
    ),
    "a torus": Conv(
        shape=(4, 5),
        channels=(3,),
        kernel=3,
        padding="circular",
        pooling="max",
        window=2,
        bias=True,
    ),
}


def convolved(one, params, x):
    """A convolutional net of one input with loops over every position and offset: (grid...,
    channels)."""
    grid = one.shape
    h = x.reshape(*grid, -1)
    for index in range(1, len(params)):
        W, b = params[f"layer{index}"]["weight"], params[f"layer{index}"]["bias"]
        W = W.reshape(len(W), *[one.kernel] * len(grid), h.shape[-1])
        before = (one.kernel - 1) // 2 if one.padding != "none" else 0
        reach = 0 if one.padding != "none" else one.kernel - 1
        z = np.zeros((*[(side - reach - 1) // one.stride + 1 for side in h.shape[:-1]], len(W)))
        for p in np.ndindex(z.shape[:-1]):
            z[p] = b
            for o in np.ndindex(W.shape[1:-1]):
                at = [one.stride * i + j - before for i, j in zip(p, o, strict=True)]
                if one.padding == "circular":
                    at = [i % side for i, side in zip(at, h.shape[:-1], strict=True)]
                if all(0 <= i < side for i, side in zip(at, h.shape[:-1], strict=True)):
                    z[p] += W[(slice(None), *o)] @ h[tuple(at)]
        h = np.maximum(z, 0)
        if one.pooling != "none":
            pool, w = {"max": np.max, "average": np.mean}[one.pooling], one.window
            pooled = np.zeros((*[side // w for side in h.shape[:-1]], len(W)))
            for p in np.ndindex(pooled.shape[:-1]):
                pooled[p] = pool(
                    h[tuple(slice(w * i, w * i + w) for i in p)], axis=tuple(range(len(p)))
                )
            h = pooled
    h = h.reshape(-1) if one.readout == "flatten" else h.mean(axis=tuple(range(h.ndim - 1)))
    last = params[f"layer{len(params)}"]
    return last["weight"] @ h + last["bias"]


@pytest.mark.parametrize("name", SMALL)
def test_a_convolution_is_the_same_map_at_every_position(name):
    one, channels = SMALL[name], 2
    d = channels * int(np.prod(one.shape))
    params, inputs = drawn(one, d), RNG.standard_normal((3, d))
    signals = signals_of(one, params, inputs)
    np.testing.assert_allclose(
        signals["output"], [convolved(one, params, x) for x in inputs], rtol=1e-13, atol=1e-13
    )  # sums of at most 30 products
    grid = len(one.shape)
    assert all(
        signals[f"layer1.{kind}"].ndim == grid + 2
        and signals[f"layer1.{kind}"].shape[-1] == one.channels[0]
        for kind in ("pre", "post")
    )
    assert one.signal_axes("layer1.pre", grid + 2) == (
        "sample",
        *(("position",) if grid == 1 else ("row", "column")),
        "channel",
    )
    assert {"layer1.pre", "layer1.post", f"layer{len(params)}.pre", "output"} <= set(signals)


def test_a_circular_convolution_read_by_its_mean_does_not_see_where_a_thing_is():
    one = Conv(
        shape=(6,), channels=(3, 4), padding="circular", readout="average", activation="tanh"
    )
    params, inputs = drawn(one, 12), RNG.standard_normal((3, 6, 2))
    here, there = (
        signals_of(one, params, np.roll(inputs, shift, axis=1).reshape(3, -1))["output"]
        for shift in (0, 2)
    )
    np.testing.assert_allclose(here, there, rtol=1e-13, atol=1e-14)


def test_inputs_that_fill_no_grid_and_layers_without_positions_are_refused():
    for make, what in (
        (
            lambda: Conv(shape=(4, 4)).init(np.random.default_rng(0), 15, 1),
            "a multiple of 16 inputs",
        ),
        (
            lambda: Conv(shape=(4, 4), kernel=5, padding="none").init(
                np.random.default_rng(0), 16, 1
            ),
            "a position or more in every layer",
        ),
        (lambda: Conv(shape=(2, 2, 2)), "one axis or two"),
    ):
        with pytest.raises(Refused, match=what):
            make()


def test_a_small_convolutional_network_learns_digits():
    one = Conv(shape=(8, 8), channels=(4,), stride=2, pooling="average")
    source, rule = data.Digits(train=60, classes=(0, 1)), rules.GradientDescent(rate=1.0)
    record = lm.run(
        lm.Experiment(
            one, source, rule, lm.Clock(steps=40, every=20), loss=lm.losses.CrossEntropy()
        )
    )
    assert record["loss"].values[-1] < 0.2 * record["loss"].values[0]


def test_the_tangent_kernel_of_a_convolutional_network_is_that_of_its_jacobian():
    one, inputs = dataclasses.replace(SMALL["a line"], scaling=BIASED), RNG.standard_normal((4, 7))
    params = drawn(one, 7)
    J = jax.jit(jax.jacrev(lambda p: one.forward(p, inputs)))(params)
    flat = np.concatenate(
        [np.asarray(leaf).reshape(4, 2, -1) for leaf in jax.tree.leaves(J)], axis=2
    )
    np.testing.assert_allclose(
        traced_kernel(one, params, inputs), np.einsum("ncp,mcp->nm", flat, flat) / 2, rtol=1e-11
    )


BLOCKS = [
    normed("batch", True),
    normed("layer"),
    Residual.example(),
    Dropout.example(),
    *SMALL.values(),
    Conv(norm="batch", affine=True),
    Conv(norm="rms"),
]


def test_blocks_stay_in_single_precision():
    for one in BLOCKS:
        d = 2 * int(np.prod(one.shape)) if getattr(one, "shape", ()) else 3
        params, inputs = (
            jax.tree.map(lambda w: jax.ShapeDtypeStruct(np.shape(w), jnp.float32), tree)
            for tree in (drawn(one, d), np.zeros((4, d)))
        )
        for tree in (
            jax.eval_shape(one.signals, params, inputs),
            jax.eval_shape(jax.grad(lambda p, x, a=one: a.forward(p, x).sum()), params, inputs),
        ):
            assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}, one
    assert (
        architectures.Dropout.example().mixes_samples is False
        and Dropout(normed("batch")).mixes_samples is True
    )
