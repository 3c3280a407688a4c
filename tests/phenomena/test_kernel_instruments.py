"""Kernel instruments: what they read of a network as it trains, against plain numpy on its
Jacobian."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import learnmech as lm
from learnmech import instruments, rules, scalings
from learnmech.architectures import DeepLinear, Diagonal, Dialed, Linearized, Mlp, Residual
from learnmech.architectures.base import Architecture, keep
from learnmech.data import Gaussian
from learnmech.errors import Refused
from learnmech.kernels import empirical
from learnmech.kernels.alignment import cka
from learnmech.language.parts import structure

NETWORKS = {
    "mlp": Mlp(hidden=(5, 4), bias=True, scaling=scalings.NTK(weight=1.5, bias=0.7)),
    "residual": Residual(width=4, blocks=2, activation="tanh", branch=0.6, bias=True),
    "deep-linear": DeepLinear(hidden=(4, 3), scaling=scalings.MuP()),
    "diagonal": Diagonal(),
    "dialed": Dialed(
        Mlp(hidden=(5,), bias=True, scaling=scalings.MeanField()), alpha=2.0, centered=False
    ),
    "dialed tangent": Dialed(
        Linearized(Mlp(hidden=(4,), bias=True, scaling=scalings.NTK())), gamma=0.5
    ),
}
WATCH = (
    instruments.TangentKernel(by_layer=True),
    instruments.KernelDrift(),
    instruments.KernelTarget(),
    instruments.KernelSpectrum(count=4),
)
READ_WHOLE = ("mlp", "dialed tangent")
every_network = pytest.mark.parametrize("name", NETWORKS)


class Normed(Architecture):
    """f = w2 tanh(norm(w1 x)), every unit normed over the batch: what it gives for an example
    depends on the others."""

    mixes_samples = True
    hidden: int = structure(default=4, at_least=1)

    def init(self, rng, d, k):
        return {
            "layer1": {"weight": rng.standard_normal((self.hidden, d))},
            "layer2": {"weight": rng.standard_normal((k, self.hidden))},
        }

    def forward(self, params, X, tap=keep):
        z = tap("layer1.pre", X @ params["layer1"]["weight"].T)
        z = (z - z.mean(0)) / jnp.sqrt(z.var(0) + 1e-5)
        return tap(
            "output",
            tap("layer2.pre", tap("layer1.post", jnp.tanh(z)) @ params["layer2"]["weight"].T),
        )


def experiment(architecture, k=2, **more):
    parts = {"rule": rules.GradientDescent(rate=0.2), "clock": lm.Clock(steps=12, every=4)} | more
    return lm.Experiment(architecture, Gaussian(n=6, d=3, k=k, test=4), **parts)


@functools.cache
def trained(name):
    # what is read off a kernel is the same arithmetic whatever network has it: the kernel itself
    # and its drift of all, the rest of two
    return lm.run(
        experiment(NETWORKS[name], k=1 if name == "diagonal" else 2),
        WATCH if name in READ_WHOLE else WATCH[:2],
    )


@eqx.filter_jit
def slopes(architecture, params, X):
    return jax.jacrev(lambda p: architecture.forward(p, X))(params)


def by_hand(architecture, params, X1, X2=None):
    """{layer: T_cc'(x, x') (n, m, k, k)}: the whole Jacobian of the batch, squared with the
    factors on the rates."""
    factors = architecture.rate_factors(params)
    one, two = (
        slopes(architecture, params, jnp.asarray(X)) for X in (X1, X1 if X2 is None else X2)
    )
    shares = {}
    for layer, leaves in one.items():
        shares[layer] = 0.0
        for leaf, J in leaves.items():
            left, right = (
                np.asarray(side).reshape(*side.shape[:2], -1) for side in (J, two[layer][leaf])
            )
            shares[layer] = shares[layer] + float(factors[layer][leaf]) * np.einsum(
                "icp,jgp->ijcg", left, right
            )
    return shares


@functools.cache
def shares_of(name):
    return kernels(trained(name))


def traced(full):
    return np.trace(full, axis1=-2, axis2=-1) / full.shape[-1]


def hand_cka(one, two):
    H = np.eye(len(one)) - 1 / len(one)
    return np.sum((H @ one @ H) * (H @ two @ H)) / (
        np.linalg.norm(H @ one @ H) * np.linalg.norm(H @ two @ H)
    )


def kernels(record):
    """{layer: its share of the traced kernel} at every mark, by hand."""
    start = record.start
    states = [record.at(int(step)) for step in record["tangent_kernel"]["step"].values]
    return [
        {
            name: traced(share)
            for name, share in by_hand(
                start.system.architecture, state.params, start.data.train.X
            ).items()
        }
        for state in states
    ]


# --- readings


@every_network
def test_the_kernel_and_every_layers_share_are_those_of_the_jacobian(name):
    record = trained(name)
    for row, shares in enumerate(shares_of(name)):
        whole = sum(shares.values())
        # round-off of sums over some fifty parameters
        np.testing.assert_allclose(
            record["tangent_kernel"].values[row], whole, rtol=1e-11, atol=1e-12 * abs(whole).max()
        )
        for layer, share in shares.items():
            np.testing.assert_allclose(
                record["layer_kernel"].sel(layer=layer).values[row],
                share,
                rtol=1e-11,
                atol=1e-12 * abs(whole).max(),
            )
    np.testing.assert_allclose(
        record["layer_kernel"].sum("layer"), record["tangent_kernel"], rtol=1e-13, atol=1e-14
    )


@pytest.mark.parametrize("name", ["mlp", "deep-linear", "dialed"])
def test_the_kernel_that_is_read_is_the_one_that_a_small_step_moves_the_outputs_by(name):
    start = trained(name).start
    X, Y = (jnp.asarray(side) for side in (start.data.train.X, start.data.train.Y))
    small = lm.run(
        experiment(
            NETWORKS[name],
            k=Y.shape[1],
            rule=rules.GradientDescent(rate=1e-6),
            clock=lm.Clock(steps=1),
        ),
        (instruments.Outputs(),),
    )
    before, after = small["outputs"].values
    T = eqx.filter_jit(lambda system, params: system.tangent_kernel(params, X, full=True))(
        start.system, start.params
    )
    said = -1e-6 / len(X) * np.einsum("ijcg,jg->ic", T, before - Y)
    np.testing.assert_allclose(
        after - before, said, rtol=1e-4, atol=1e-4 * abs(said).max()
    )  # the second order of a step of 1e-6


@every_network
def test_drift_alignment_and_spectrum_are_those_of_the_kernels_by_hand(name):
    record, Y = trained(name), trained(name).start.data.train.Y
    whole = [sum(shares.values()) for shares in shares_of(name)]
    for row, T in enumerate(whole):
        drift = np.linalg.norm(T - whole[0]) / np.linalg.norm(whole[0])
        np.testing.assert_allclose(record["kernel_drift"][row], drift, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            record["kernel_cka_start"][row], hand_cka(T, whole[0]), rtol=1e-11
        )
        if name not in READ_WHOLE:
            continue
        fit = np.sum(T * (Y @ Y.T)) / (np.linalg.norm(T) * np.linalg.norm(Y @ Y.T))
        np.testing.assert_allclose(record["kernel_target_alignment"][row], fit, rtol=1e-11)
        values = np.sort(np.linalg.eigvalsh(T))[::-1][:4]
        np.testing.assert_allclose(
            record["kernel_eigenvalue"][row], values, rtol=1e-10, atol=1e-12 * values[0]
        )
    assert record["kernel_drift"].values[0] == 0 and record["kernel_cka_start"].values[
        0
    ] == pytest.approx(1, abs=1e-14)


def test_only_a_kernel_that_can_move_drifts_and_that_of_a_tangent_stands_still_to_the_last_bit():
    for name in NETWORKS:
        drift = trained(name)["kernel_drift"].values
        assert (drift[1:] == 0).all() if name == "dialed tangent" else (drift[1:] > 1e-4).all(), (
            name
        )
    bare = lm.run(
        experiment(Linearized(Mlp(hidden=(4, 3), bias=True))), (instruments.KernelDrift(),)
    )
    assert not bare["kernel_drift"].values.any() and not np.array_equal(
        bare.final["layer1.weight"], bare.start.params["layer1"]["weight"]
    )


LIMITED = {
    "residual": Residual(
        width=4, blocks=2, activation="erf", branch=0.6, bias=True, scaling=scalings.NTK()
    ),
    "dialed": Dialed(
        Mlp(hidden=(4,), activation="relu", scaling=scalings.NTK(weight=1.5)), alpha=2.0
    ),
}


@functools.cache
def beside_its_limit(name, precision="float64"):
    given = experiment(LIMITED[name], clock=lm.Clock(steps=4, every=4), precision=precision)
    return lm.run(given, (instruments.TangentKernel(), instruments.InfiniteKernel()))


@pytest.mark.parametrize("name", LIMITED)
def test_the_distance_from_infinite_width_is_that_of_the_kernel_by_hand_from_the_limit(name):
    record = beside_its_limit(name)
    limit = lm.theories.infinite_width.kernel(LIMITED[name], record.start.data.train.X, get="ntk")
    for row, shares in enumerate(kernels(record)):
        T = sum(shares.values())
        # the limit is computed in another program, to some roundings per layer
        np.testing.assert_allclose(
            record["off_infinite_kernel"][row],
            np.linalg.norm(T - limit) / np.linalg.norm(limit),
            rtol=1e-11,
        )
        np.testing.assert_allclose(
            record["kernel_cka_infinite"][row], hand_cka(T, limit), rtol=1e-11
        )


def test_a_network_without_a_limit_is_refused_the_distance_from_it():
    with pytest.raises(Refused, match="limit"):
        lm.run(experiment(Diagonal(), k=1), (instruments.InfiniteKernel(),))


def test_of_a_few_samples_the_corner_of_the_kernel_is_read():
    kinds = (
        instruments.TangentKernel,
        instruments.KernelDrift,
        instruments.KernelTarget,
        instruments.KernelSpectrum,
    )
    record = lm.run(experiment(NETWORKS["mlp"]), tuple(kind(samples=3) for kind in kinds))
    corner, Y = (
        [sum(shares.values())[:3, :3] for shares in shares_of("mlp")],
        record.start.data.train.Y[:3],
    )
    said = {
        "tangent_kernel": corner,
        "kernel_drift": [np.linalg.norm(T - corner[0]) / np.linalg.norm(corner[0]) for T in corner],
        "kernel_cka_start": [hand_cka(T, corner[0]) for T in corner],
        "kernel_target_alignment": [
            np.sum(T * (Y @ Y.T)) / (np.linalg.norm(T) * np.linalg.norm(Y @ Y.T)) for T in corner
        ],
        "kernel_eigenvalue": [np.linalg.eigvalsh(T)[::-1] for T in corner],
    }
    for quantity, values in said.items():
        np.testing.assert_allclose(record[quantity], values, rtol=1e-10, atol=1e-12)
    for kind in kinds:
        with pytest.raises(Refused, match="samples <= 6"):
            lm.run(record.experiment, (kind(samples=7),))


def test_alignment_of_gram_matrices_is_the_linear_cka_of_what_they_are_made_of():
    rng = np.random.default_rng(3)
    X, Y = rng.standard_normal((9, 4)), rng.standard_normal((9, 2)) + 5
    one, two = X - X.mean(0), Y - Y.mean(0)
    said = np.linalg.norm(two.T @ one) ** 2 / (
        np.linalg.norm(one.T @ one) * np.linalg.norm(two.T @ two)
    )
    assert float(cka(X @ X.T, Y @ Y.T)) == pytest.approx(said, rel=1e-12)
    assert float(cka(3 * X @ X.T + 7, X @ X.T)) == pytest.approx(
        1, abs=1e-13
    )  # neither a factor nor a constant counts
    assert float(cka(np.ones((5, 5)), np.eye(5))) == 0


@pytest.mark.parametrize("name", ["mlp", "dialed tangent"])
def test_single_precision_is_kept(name):
    narrow, wide = lm.run(experiment(NETWORKS[name], precision="float32"), WATCH), trained(name)
    for quantity in wide.names:
        assert narrow[quantity].dtype == np.float32, quantity
        # float32's 1.2e-7 over sums of fifty terms and twelve steps
        np.testing.assert_allclose(
            narrow[quantity],
            wide[quantity],
            rtol=2e-4,
            atol=2e-5 * float(np.abs(wide[quantity]).max()),
            err_msg=quantity,
        )


def test_in_single_precision_the_distance_from_infinite_width_is_single_too():
    one, other = (beside_its_limit("dialed", precision) for precision in ("float32", "float64"))
    for quantity in ("off_infinite_kernel", "kernel_cka_infinite"):
        assert one[quantity].dtype == np.float32
        np.testing.assert_allclose(
            one[quantity], other[quantity], rtol=1e-5
        )  # float32's 1.2e-7 over sums of fifty terms


# --- what mixes samples


def test_of_a_network_that_mixes_samples_each_side_is_one_batch():
    network, rng = Normed(), np.random.default_rng(0)
    params = jax.tree.map(jnp.asarray, network.init(rng, 3, 2))
    X1, X2 = (jnp.asarray(rng.standard_normal((n, 3))) for n in (6, 4))
    for others in (None, X2):
        shares = by_hand(network, params, X1, others)
        full, by_layer = (
            eqx.filter_jit(empirical.tangent_kernel)(
                network, params, X1, others, full=True, by_layer=layered
            )
            for layered in (False, True)
        )
        np.testing.assert_allclose(full, sum(shares.values()), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(
            empirical.full_kernel(network, params, X1, others),
            sum(shares.values()),
            rtol=1e-11,
            atol=1e-12,
        )
        for layer, share in shares.items():
            np.testing.assert_allclose(by_layer[layer], share, rtol=1e-11, atol=1e-12)
    single, whole = (empirical.traced_kernel(network, params, X) for X in (X1[:3], X1))
    assert not np.allclose(single, whole[:3, :3], rtol=0.01)  # another batch, another kernel


def test_instruments_read_a_network_that_mixes_samples_and_its_tangent():
    for architecture in (Dialed(Normed(), alpha=2.0), Linearized(Normed())):
        record = lm.run(experiment(architecture), WATCH[:2])
        start = record.start
        plain, at = (
            (start.system.architecture, None)
            if not isinstance(architecture, Linearized)
            else (architecture.of, start.params)
        )
        whole = [
            traced(
                sum(
                    by_hand(
                        plain, record.at(int(step)).params if at is None else at, start.data.train.X
                    ).values()
                )
            )
            for step in record["tangent_kernel"]["step"].values
        ]
        np.testing.assert_allclose(record["tangent_kernel"], whole, rtol=1e-10, atol=1e-12)
        drift = [np.linalg.norm(T - whole[0]) / np.linalg.norm(whole[0]) for T in whole]
        np.testing.assert_allclose(record["kernel_drift"], drift, rtol=1e-9, atol=1e-12)


# --- in blocks


def every_kernel(network, params, X1, X2):
    """{(whether X1 meets X2, whether full): the kernel}, as one program of its own."""
    kinds = [(crossed, full) for crossed in (False, True) for full in (False, True)]

    def all_of(network, params, X1, X2):
        return {
            (crossed, full): empirical.tangent_kernel(
                network, params, X1, X2 if crossed else None, full=full
            )
            for crossed, full in kinds
        }

    return eqx.filter_jit(all_of)(network, params, X1, X2)


@pytest.mark.parametrize("name", ["mlp", "diagonal", "tangent"])
def test_in_blocks_of_rows_the_kernel_is_the_same(name, monkeypatch):
    network = NETWORKS.get(name, Linearized(Mlp(hidden=(4,), bias=True)))
    rng, k = np.random.default_rng(1), 1 if name == "diagonal" else 3
    params = jax.tree.map(jnp.asarray, network.init(rng, 3, k))
    network = network.anchored(params)
    moved = jax.tree.map(lambda w: w + 0.1, params)
    X1, X2 = (jnp.asarray(rng.standard_normal((n, 3))) for n in (7, 5))
    whole = every_kernel(network, moved, X1, X2)
    for block in (1, 600):
        with monkeypatch.context() as small:
            small.setattr(empirical, "BLOCK_BYTES", block)
            # the same sums, perhaps in another order
            for kind, value in every_kernel(network, moved, X1, X2).items():
                np.testing.assert_allclose(value, whole[kind], rtol=1e-12, atol=1e-13)
            for others in (None, X2):
                found = empirical.full_kernel(network, moved, X1, others)
                np.testing.assert_allclose(
                    found, whole[others is not None, True], rtol=1e-12, atol=1e-13
                )
