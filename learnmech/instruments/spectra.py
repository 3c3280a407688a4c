"""Spectra: how many directions the weights, their updates and the end-to-end map use, and how
layers are aligned."""

import jax.numpy as jnp
import numpy as np

from learnmech.architectures.dense import Dense
from learnmech.errors import refused
from learnmech.instruments.base import Instrument, refuse_without_modes
from learnmech.instruments.weights import layer_quantity, per_layer
from learnmech.language import trees
from learnmech.language.quantity import Quantity


def effective_rank(s):
    """exp of the entropy of singular values as a distribution, p = s/sum s: exp(-sum p log p); 0
    where all are 0."""
    s = trees.leveled(s)
    total = jnp.sum(s)
    p = s / jnp.where(total == 0, 1, total)
    return jnp.where(
        total == 0, 0, jnp.exp(-jnp.sum(jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p)))))
    )


def stable_rank(s):
    """sum s^2/max s^2 of singular values, the largest first: |A|_F^2/|A|_2^2; 0 where all are 0."""
    s = trees.leveled(s)
    return jnp.where(s[0] == 0, 0, jnp.sum(s**2) / jnp.where(s[0] == 0, 1, s[0] ** 2))


def _matrices(params):
    """The weight of each layer that has one."""
    return {name: layer for name, layer in trees.layers_of(params).items() if "weight" in layer}


class Ranks(Instrument):
    """Effective rank (exp of the entropy of the singular values) and stable rank (|A|_F^2/|A|_2^2)
    of weights, updates and the end-to-end map.

    Source: Roy & Vetterli 2007 (effective rank); Arora et al. 2019.
    """

    def check(self, system):
        if not _weighted(system):
            raise refused(
                "Ranks",
                "layers with weight matrices",
                repr(system.architecture),
                "Watch Norms instead",
            )

    def quantities(self, system, params):
        layers = _matrices(params)
        found = [
            layer_quantity(
                f"{of}_{kind}_rank",
                "1",
                f"{kind[:3]} {symbol}",
                f"{kind} rank of each layer's {of}",
                layers,
                params,
            )
            for of, symbol in (("weight", "W"), ("update", "dW"))
            for kind in ("effective", "stable")
        ]
        if system.architecture.is_linear:
            found += [
                Quantity(
                    f"map_{kind}_rank",
                    (),
                    "1",
                    f"{kind[:3]} W",
                    f"{kind} rank of the end-to-end map",
                )
                for kind in ("effective", "stable")
            ]
        return tuple(found)

    def rests_on(self, quantity):
        return "outputs" if quantity.startswith("update_") else "params"

    def read(self, moment):
        seen = {}
        for of, tree in (("weight", moment.state.params), ("update", moment.update)):
            layers = _matrices(tree)
            spectra = {
                name: jnp.linalg.svd(layer["weight"], compute_uv=False)
                for name, layer in layers.items()
            }
            seen[f"{of}_effective_rank"] = per_layer(effective_rank, spectra)
            seen[f"{of}_stable_rank"] = per_layer(stable_rank, spectra)
        if moment.system.architecture.is_linear:
            s = jnp.linalg.svd(
                moment.system.architecture.matrix(moment.state.params), compute_uv=False
            )
            seen |= {"map_effective_rank": effective_rank(s), "map_stable_rank": stable_rank(s)}
        return seen


class Alignment(Instrument):
    """How layers turn to each other and to the data.

    `layer_alignment`: |W_{l+1} W_l|_F/(|W_{l+1}|_F |W_l|_F), 1 where both are of rank one along the
    same direction. `input_alignment` and `output_alignment`: cos^2 between the top right singular
    vector of the first layer and the top input mode of S_yx = U diag(s) V', and between the top
    left singular vector of the last layer and the top output mode. 0 of a layer of zeros, which has
    no direction.  Source: Ji & Telgarsky 2019; Saxe et al. 2014.
    """

    def check(self, system):
        refuse_without_modes("Alignment", system)
        if not _weighted(system):
            raise refused(
                "Alignment",
                "layers with weight matrices",
                repr(system.architecture),
                "Watch Norms instead",
            )

    def quantities(self, system, params):
        shapes = {name: np.shape(layer["weight"]) for name, layer in _matrices(params).items()}
        names = list(shapes)
        if any(
            shapes[after][1] != shapes[before][0] for before, after in zip(names[:-1], names[1:])
        ):
            raise refused(
                "Alignment",
                "weights that are multiplied one by the next",
                str(list(shapes.values())),
                "Watch Norms instead",
            )
        ends = (shapes[names[0]][1], shapes[names[-1]][0])
        sizes = (system.train.X.shape[1], system.train.Y.shape[1])
        if ends != sizes:  # patches of a convolution are no inputs
            got = (
                f"{shapes[names[0]]} and {shapes[names[-1]]} for {sizes[0]} inputs and {sizes[1]}"
                " outputs"
            )
            raise refused(
                "Alignment",
                "a first layer that takes the inputs and a last that gives the outputs",
                got,
                "Watch Norms instead",
            )
        interfaces = (("interface", tuple(f"{a}-{b}" for a, b in zip(names[:-1], names[1:]))),)
        return (
            Quantity(
                "layer_alignment",
                ("interface",),
                "1",
                "|W'W|/|W'||W|",
                "alignment of adjacent layers",
                interfaces,
            ),
            Quantity(
                "input_alignment",
                (),
                "1",
                "(v.v_1)^2",
                "alignment of the first layer with the top input mode of the data",
            ),
            Quantity(
                "output_alignment",
                (),
                "1",
                "(u.u_1)^2",
                "alignment of the last layer with the top output mode of the data",
            ),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        weights = [layer["weight"] for layer in _matrices(moment.state.params).values()]
        pairs = [_share(after, before) for before, after in zip(weights[:-1], weights[1:])]
        modes = moment.system.modes
        # of a matrix with an infinite entry LAPACK looks for singular vectors for ever; under vmap
        # it is given those too which are then laid over
        first, last = (
            jnp.linalg.svd(jnp.where(jnp.isfinite(w), w, 0), full_matrices=False)
            for w in (weights[0], weights[-1])
        )
        return {
            "layer_alignment": jnp.stack(pairs) if pairs else jnp.zeros((0,)),
            "input_alignment": jnp.where(
                jnp.any(weights[0] != 0), jnp.dot(first[2][0], modes.V[:, 0]) ** 2, 0
            ),
            "output_alignment": jnp.where(
                jnp.any(weights[-1] != 0), jnp.dot(last[0][:, 0], modes.U[:, 0]) ** 2, 0
            ),
        }


def _share(after, before):
    after, before = trees.leveled(after), trees.leveled(before)
    size = jnp.linalg.norm(after) * jnp.linalg.norm(before)
    return jnp.where(size == 0, 0, jnp.linalg.norm(after @ before) / jnp.where(size == 0, 1, size))


def _weighted(system) -> bool:
    """Whether every layer holds a weight matrix, as the diagonal network's does not."""
    return isinstance(system.architecture, Dense)
