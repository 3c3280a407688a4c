"""Coupling: how the layers pull on each other through the Hessian, whose blocks are never
formed."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.addresses import Address
from learnmech.language.parts import structure
from learnmech.language.quantity import Quantity


def _layer_of(params):
    """For every parameter, in the order of `ravel_pytree`, the index of its layer."""
    numbered = {
        name: jax.tree.map(lambda w, i=i: np.full(np.shape(w), i), layer)
        for i, (name, layer) in enumerate(trees.layers_of(params).items())
    }
    return np.concatenate(
        [np.ravel(leaf) for leaf in jax.tree.leaves({name: numbered[name] for name in params})]
    )


def _names(params):
    return tuple(trees.layers_of(params))


class Coupling(Instrument):
    """Cross-layer coupling C_lm = |H_lm|_F, the Frobenius norm of the Hessian's block between two
    layers, and its standard error.

    H_lm = d(gradient of layer m)/d(layer l) of the training loss. Exact, with error 0, by a
    Hessian-vector product for every parameter up to `exact_up_to` of them. Above, by Hutchinson:
    |H_lm|_F^2 = E |H_lm z|^2 over z of independent signs in layer m, and C_lm = C_ml is the mean
    over both orders; `probes` such z, with the standard error of the mean of squares carried over
    to its root, error/(2 C).  Source: Hutchinson 1990.
    """

    probes: int = structure(
        default=32, at_least=2, meaning="random vectors of signs of the estimate beyond"
    )
    exact_up_to: int = structure(
        default=512, at_least=0, meaning="parameters up to which it is exact, by a product for each"
    )
    seed: int = structure(default=0, at_least=0, meaning="of the random vectors")

    def quantities(self, system, params):
        labels = (("layer", _names(params)), ("with_layer", _names(params)))
        axes = ("layer", "with_layer")
        return (
            Quantity(
                "coupling", axes, "loss/param^2", "C_lm", "coupling of two layers, |H_lm|", labels
            ),
            Quantity(
                "coupling_error",
                axes,
                "loss/param^2",
                "se C_lm",
                "standard error of the coupling",
                labels,
            ),
        )

    def read(self, moment):
        params = moment.state.params
        squared, error = self.squares(moment.system, params)
        root = jnp.sqrt(squared)
        return {
            "coupling": root,
            "coupling_error": jnp.where(root == 0, 0, error / (2 * jnp.where(root == 0, 1, root))),
        }

    def squares(self, system, params, key=None):
        """(|H_lm|_F^2, its standard error), each (layer, layer); `key` in place of the seed's
        own."""
        flat, unflatten = flatten_util.ravel_pytree(params)
        layer, count = _layer_of(params), len(_names(params))
        product = system.hessian(params)

        def pulled(v):
            """|H_lm v_m|^2 by l."""
            return jax.ops.segment_sum(
                flatten_util.ravel_pytree(product(unflatten(v)))[0] ** 2, layer, count
            )

        if flat.size <= self.exact_up_to:

            def column(total, index):
                return total.at[jnp.asarray(layer)[index]].add(
                    pulled(jnp.zeros_like(flat).at[index].set(1))
                ), None

            total, _ = jax.lax.scan(
                column, jnp.zeros((count, count), flat.dtype), jnp.arange(flat.size)
            )
            return (total + total.T) / 2, jnp.zeros_like(total)
        within = jnp.asarray(layer == np.arange(count)[:, None], flat.dtype)

        def probe(key):
            signs = jax.random.rademacher(key, flat.shape, flat.dtype)
            seen = jax.lax.map(lambda mask: pulled(mask * signs), within)
            return (seen + seen.T) / 2

        seen = jax.lax.map(
            probe,
            jax.random.split(jax.random.PRNGKey(self.seed) if key is None else key, self.probes),
        )
        return jnp.mean(seen, axis=0), jnp.std(seen, axis=0, ddof=1) / np.sqrt(self.probes)


class KickResponse(Instrument):
    """How the gradient of every layer responds to a unit kick of what is at an address: |(H
    e)_l|, e = 1 there, by one Hessian-vector product."""

    path: str = structure(
        default="layer1.weight[0,0]", meaning="address of the parameters that are kicked"
    )

    def coherent(self):
        Address.parse(self.path)

    def quantities(self, system, params):
        self._kick(params)
        labels = (("layer", _names(params)),)
        return (
            Quantity(
                "kick_response",
                ("layer",),
                "loss/param^2",
                "|(H e)_l|",
                f"response of the gradient to a unit kick of {self.path}",
                labels,
            ),
        )

    def read(self, moment):
        params = moment.state.params
        turned = moment.system.hessian(params)(self._kick(params))
        return {
            "kick_response": jnp.stack(
                [trees.norm(layer) for layer in trees.layers_of(turned).values()]
            )
        }

    def _kick(self, params):
        address, leaves = Address.parse(self.path), trees.leaves_by_path(params)
        meant = address.among(leaves)

        def indicator(keys, leaf):
            name, mask = trees.path_of(keys), np.zeros(np.shape(leaf))
            if name in meant:
                mask[address.selection(np.shape(leaf), trees.axes_of(name, np.ndim(leaf)))] = 1
            return jnp.asarray(mask, leaf.dtype)

        return jax.tree_util.tree_map_with_path(indicator, params)


class GradientChange(Instrument):
    """How far the training loss's gradient of every layer is from that at the start, before any
    event: |g_l(now) - g_l(0)|."""

    def quantities(self, system, params):
        labels = (("layer", _names(params)),)
        return (
            Quantity(
                "gradient_change",
                ("layer",),
                "loss/param",
                "|g_l - g_l(0)|",
                "change of each layer's gradient since the start",
                labels,
            ),
        )

    def read(self, moment):
        gradients = [
            moment.system.value_and_gradient(params)[1]
            for params in (moment.state.params, moment.origin)
        ]
        changed = trees.layers_of(trees.subtract(*gradients))
        return {"gradient_change": jnp.stack([trees.norm(layer) for layer in changed.values()])}
