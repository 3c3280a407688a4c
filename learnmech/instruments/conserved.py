"""Conserved: what gradient flow keeps, on a deep linear network and wherever the loss has a
symmetry."""

import jax
import jax.numpy as jnp

from learnmech.errors import refused
from learnmech.instruments.base import Instrument
from learnmech.language import trees
from learnmech.language.quantity import Quantity
from learnmech.language.trees import Params
from learnmech.system.charges import Symmetry, Term
from learnmech.system.landscape import System
from learnmech.system.symmetries import KNOWN, bare, symmetries


class Balance(Instrument):
    """W_{l+1}'W_{l+1} - W_l W_l' of adjacent layers: conserved by gradient flow, broken at order of
    the rate by descent.

    `balance1`, `balance2`, ... are the matrices; `balance_drift` is how far each has moved from its
    start, in Frobenius norm, over the squared size of its two layers now: infinite where they are 0
    and began with another balance. Source: Fukumizu 1998; Arora et al. 2018; Du et al. 2018.
    """

    def check(self, system):
        if not _chain(system.architecture):
            raise refused(
                "Balance",
                "a deep linear network",
                repr(system.architecture),
                "Use architectures.DeepLinear, or drop Balance",
            )

    def quantities(self, system, params):
        layers = trees.layers_of(params)
        found = []
        for index in range(1, len(layers)):
            axes = (f"unit{index}", f"unit{index}'")
            symbol = f"W_{index + 1}'W_{index + 1} - W_{index} W_{index}'"
            found.append(
                Quantity(
                    f"balance{index}",
                    axes,
                    "param^2",
                    symbol,
                    f"balance of layers {index} and {index + 1}",
                )
            )
        interfaces = (
            ("interface", tuple(f"layer{i}-layer{i + 1}" for i in range(1, len(layers)))),
        )
        return (
            *found,
            Quantity(
                "balance_drift",
                ("interface",),
                "1",
                "|B - B_0|/|W|^2",
                "change of the balance over the size of its layers",
                interfaces,
            ),
        )

    def rests_on(self, quantity):
        return "params"

    def read(self, moment):
        weights = [layer["weight"] for layer in trees.layers_of(moment.state.params).values()]
        now, origin = (_balances(params) for params in (moment.state.params, moment.origin))
        sizes = [
            jnp.sum(before**2) + jnp.sum(after**2)
            for before, after in zip(weights[:-1], weights[1:], strict=True)
        ]
        moved = [jnp.linalg.norm(b - b0) for b, b0 in zip(now, origin, strict=True)]
        drift = [jnp.where(far == 0, 0, far / size) for far, size in zip(moved, sizes, strict=True)]
        seen = {f"balance{index}": b for index, b in enumerate(now, 1)}
        return seen | {"balance_drift": jnp.stack(drift) if drift else jnp.zeros((0,))}


class Charges(Instrument):
    """The charge of every symmetry of this architecture under this loss
    (`learnmech.system.symmetries`): kept by gradient flow, broken by descent.

    `charge_rescaling1`, ... are the charges Q, `breaking_rescaling1`, ... the rates at which
    descent breaks those that are quadratic: each step changes Q by rate^2 times it, decay aside.
    `charge_drift` is how far each has moved from its start, over the size of what it is made of at
    the start (`Symmetry.size`). Source: Kunin et al. 2021; Tanaka & Kunin 2021.
    """

    def check(self, system):
        if not isinstance(bare(system.architecture)[0], KNOWN):
            raise refused(
                "Charges",
                "an architecture whose symmetries are known",
                repr(system.architecture),
                "Use Mlp, DeepLinear, Residual or Conv",
            )

    def quantities(self, system, params):
        found = symmetries(system.architecture, system.loss_function, params)
        read = []
        for one in found:
            units = "param^2" if one.order == 2 else "param"
            read.append(
                Quantity(f"charge_{one.name}", axes_of_charge(one), units, one.symbol, one.meaning)
            )
            if one.order == 2:
                meaning = f"what a step of descent adds to the {one.meaning}, over its squared rate"
                read.append(
                    Quantity(
                        f"breaking_{one.name}",
                        axes_of_charge(one),
                        "loss^2/param^2",
                        "<g, A g>",
                        meaning,
                    )
                )
        names = (("symmetry", tuple(one.name for one in found)),)
        return (
            *read,
            Quantity(
                "charge_drift",
                ("symmetry",),
                "1",
                "|Q - Q_0|/size",
                "change of each charge over the size of what it is made of at the start",
                names,
            ),
        )

    def rests_on(self, quantity):
        return "outputs" if quantity.startswith("breaking_") else "params"

    def read(self, moment):
        system, params = moment.system, moment.state.params
        found = symmetries(system.architecture, system.loss_function, params)
        factors = system.architecture.rate_factors(params, "sgd")
        gradient = without_ridge(system, moment.gradient, params)
        seen = {f"charge_{one.name}": one.charge(params, factors) for one in found}
        seen |= {
            f"breaking_{one.name}": one.breaking(gradient, factors)
            for one in found
            if one.order == 2
        }
        drift = [
            _relative(
                seen[f"charge_{one.name}"] - one.charge(moment.origin, factors),
                one.size(moment.origin, factors),
            )
            for one in found
        ]
        return seen | {"charge_drift": jnp.stack(drift) if drift else jnp.zeros((0,))}


class Turning(Instrument):
    """Size and turning of the weights whose scale does not matter: those written into a norm, by
    unit for a batch norm and by layer for the others; without norms, of each layer.

    `scale_norm` is |w|, in the norm in which every array is divided by the root of its factor on
    the rates; `angular_step` the angle between w and w plus its update (for flows: the angle per
    time); `turning` -ln cos of it, whose mean along a run of many steps is -ln(1 - rate decay),
    whatever the gradients (`theories.ScaleEquilibrium`); `unit_gradient` |w||g|, the gradient's
    norm where |w| = 1. Source: van Laarhoven 2017; Kosson et al. 2024.
    """

    def quantities(self, system, params):
        labels = (("group", tuple(_group_names(system, params))),)
        return (
            Quantity(
                "scale_norm",
                ("group",),
                "param",
                "|w|",
                "size of the weights written into a norm",
                labels,
            ),
            Quantity(
                "angular_step",
                ("group",),
                "1",
                "Δ",
                "angle by which a step turns them, in radians",
                labels,
            ),
            Quantity("turning", ("group",), "1", "-ln cos Δ", "turning of a step", labels),
            Quantity(
                "unit_gradient",
                ("group",),
                "loss",
                "|w||g|",
                "norm of their gradient at unit size",
                labels,
            ),
        )

    def rests_on(self, quantity):
        return "params" if quantity == "scale_norm" else "outputs"

    def read(self, moment):
        system, params, update = moment.system, moment.state.params, moment.update
        groups, factors = _groups(system, params), system.architecture.rate_factors(params, "sgd")

        def each(measure):
            return jnp.concatenate([jnp.atleast_1d(measure(one)) for one in groups])

        square = each(lambda one: one.charge(params, factors))
        size = each(lambda one: one.charge(update, factors))
        between = each(lambda one: one.product(params, update, factors))
        pull = each(
            lambda one: one.breaking(without_ridge(system, moment.gradient, params), factors)
        )
        across = jnp.sqrt(jnp.maximum(square * size - between**2, 0))
        ahead = square if moment.rule.flows else square + between
        angle = across / ahead if moment.rule.flows else jnp.arctan2(across, ahead)
        turning = jnp.log1p((across / ahead) ** 2) / 2
        return {
            "scale_norm": jnp.sqrt(square),
            "angular_step": angle,
            "turning": turning,
            "unit_gradient": jnp.sqrt(square * pull),
        }


def axes_of_charge(symmetry: Symmetry) -> tuple[str, ...]:
    """The names of the axes of its charge."""
    return tuple(f"{symmetry.name}.unit{chr(39) * place}" for place in range(len(symmetry.shape)))


def _relative(moved, size):
    """The norm of a charge's change over the size of what it is made of; 0 where nothing
    changed, infinite where something came from nothing."""
    far = jnp.linalg.norm(jnp.ravel(moved))
    return jnp.where(far == 0, 0, far / size)


def without_ridge(system: System, gradient: Params, params: Params) -> Params:
    """The gradient of the loss on the outputs alone."""
    ridge = getattr(system.loss_function, "ridge", None)
    return (
        gradient
        if ridge is None
        else jax.tree.map(lambda g, p: g - jnp.asarray(ridge, p.dtype) * p, gradient, params)
    )


def scale_groups(system: System, params: Params) -> tuple[Symmetry, ...]:
    """The symmetries of scale at norms."""
    return tuple(
        one
        for one in symmetries(system.architecture, system.loss_function, params)
        if one.kind == "scale"
    )


def _groups(system, params):
    """The symmetries of scale; where there are none, every layer as if it were one."""
    layers = trees.layers_of(system.architecture.learned(params))
    whole = tuple(
        Symmetry(
            "",
            name,
            2,
            tuple(Term(1.0, f"{name}.{leaf}", f"{name}.{leaf}", "all") for leaf in layers[name]),
            (),
            "",
            "",
        )
        for name in layers
    )
    return scale_groups(system, params) or whole


def _group_names(system, params):
    for one in _groups(system, params):
        layer = one.name.replace("scale", "layer")
        yield from ([f"{layer}[{unit}]" for unit in range(one.shape[0])] if one.shape else [layer])


def _chain(architecture) -> bool:
    return architecture.is_linear and hasattr(architecture, "hidden")


def _balances(params):
    weights = [layer["weight"] for layer in trees.layers_of(params).values()]
    return [
        after.T @ after - before @ before.T
        for before, after in zip(weights[:-1], weights[1:], strict=True)
    ]
