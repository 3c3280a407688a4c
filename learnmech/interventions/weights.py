"""Interventions on the state: weights and memories kicked, set, scaled, transplanted, rescaled
along a symmetry."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util

from learnmech.curvature.eigenpairs import top_curvature
from learnmech.errors import refused
from learnmech.interventions.base import Intervention, check_values, edited, one_of
from learnmech.language import trees
from learnmech.language.parts import Knob, Numbers, array, knob, structure
from learnmech.system import state as states


class Perturb(Intervention):
    """Add to, set or scale what is at an address: one value for every entry, or `values` of the
    shape that is there."""

    path: str = structure(
        default="", meaning="address of what is changed: a layer, an array or entries of one"
    )
    how: str = structure(
        default="add",
        choices=("add", "set", "scale"),
        meaning="whether the value is added, set, or multiplied by",
    )
    value: Knob | None = knob(default=None, meaning="one number for every entry")
    values: Numbers | None = array(default=None, meaning="numbers of the shape that is there")

    def coherent(self):
        one_of("Perturb", {"value": self.value, "values": self.values})

    def check(self, system, rule, state):
        check_values("Perturb", self.path, states.arrays_of(state), self.values)

    def state(self, system, rule, frozen, state):
        by = np.asarray(self.value if self.values is None else self.values)
        change = {
            "add": lambda w: w + by.astype(w.dtype),
            "set": lambda w: np.broadcast_to(by, w.shape),
            "scale": lambda w: w * by.astype(w.dtype),
        }
        return edited(state, self.path, change[self.how])

    @classmethod
    def example(cls):
        return cls(at=8, path="layer1.weight[0,0]", value=0.1)


class Noise(Intervention):
    """Add Gaussian noise of Euclidean norm `size` to what is at an address, or to all parameters
    that gradients move where none is given."""

    path: str = structure(
        default="", meaning="address of what it is added to; none: all parameters"
    )
    size: Knob = knob(
        default=0.1,
        above=0,
        meaning="Euclidean norm of all that is added, in units of the parameters",
    )
    seed: Knob = knob(default=0, whole=True, at_least=0, meaning="of the noise")

    def check(self, system, rule, state):
        if self.path:
            check_values("Noise", self.path, states.arrays_of(state), None)

    def state(self, system, rule, frozen, state):
        rng = np.random.default_rng([int(self.seed), zlib.crc32(b"noise")])
        paths = (
            [self.path]
            if self.path
            else list(trees.leaves_by_path(system.architecture.learned(state.params)))
        )
        drawn: list[np.ndarray] = []

        def noted(w):
            drawn.append(rng.standard_normal(np.shape(w)))
            return w

        for path in paths:
            edited(state, path, noted)
        scale = float(self.size) / np.sqrt(sum(np.sum(noise**2) for noise in drawn))
        steps = iter(drawn)
        for path in paths:
            state = edited(state, path, lambda w: w + (scale * next(steps)).astype(w.dtype))
        return state

    @classmethod
    def example(cls):
        return cls(at=8, path="layer1")


class Push(Intervention):
    """Move all parameters by `size` along a unit direction: the top eigenvector of the Hessian,
    the gradient, or `values` (in the order of `ravel_pytree`)."""

    direction: str = structure(
        default="top-hessian",
        choices=("top-hessian", "gradient", "given"),
        meaning="the top eigenvector of the Hessian, the gradient, or the values that are given",
    )
    size: Knob = knob(
        default=0.1, meaning="how far all parameters move along it, in units of the parameters"
    )
    values: Numbers | None = array(
        default=None,
        meaning="the direction, an entry for every parameter in the order of `ravel_pytree`",
    )

    def coherent(self):
        if (self.direction == "given") != (self.values is not None):
            raise refused(
                "Push",
                "values where the direction is given, and only there",
                self.direction,
                'Set direction = "given" with values, or drop both',
            )
        if self.values is not None and not np.any(self.values):
            raise refused("Push", "a direction that is not zero", "zeros", "Give other values")

    def check(self, system, rule, state):
        flat = flatten_util.ravel_pytree(state.params)[0]
        if self.values is not None and self.values.shape != flat.shape:
            raise refused(
                "Push",
                f"values of shape {flat.shape}, one for every parameter",
                f"shape {self.values.shape}",
                "Ravel the parameters in their order",
            )

    def state(self, system, rule, frozen, state):
        flat, unflatten = flatten_util.ravel_pytree(state.params)
        if self.direction == "top-hessian":
            along = flatten_util.ravel_pytree(top_curvature(system, state.params)[1])[0]
        elif self.direction == "gradient":
            along = flatten_util.ravel_pytree(system.value_and_gradient(state.params)[1])[0]
        else:
            along = jnp.asarray(self.values, flat.dtype)
        along = along / jnp.maximum(jnp.linalg.norm(along), jnp.finfo(along.dtype).tiny)
        return states.State(
            unflatten(flat + jnp.asarray(self.size, flat.dtype) * along),
            state.memory,
            state.step,
            state.time,
            state.key,
        )

    @classmethod
    def example(cls):
        return cls(at=8, direction="gradient")


class Transplant(Intervention):
    """Put the weights of another run or of another step in place of what is at an address.
    `source` says where they come from."""

    path: str = structure(meaning="address of what is replaced")
    values: Numbers = array(meaning="what it is replaced by, of the shape that is there")
    source: str = structure(default="", meaning="where the values come from, in words")

    def check(self, system, rule, state):
        check_values("Transplant", self.path, states.arrays_of(state), self.values)

    def state(self, system, rule, frozen, state):
        return edited(state, self.path, lambda w: np.broadcast_to(self.values, w.shape))

    @classmethod
    def example(cls):
        return cls(at=8, path="layer1.weight[0,0]", values=np.array(0.25))


class Rescale(Intervention):
    """Multiply what is at one address by `factor` and what is at another by 1/factor: a
    symmetry, which leaves the function as it is."""

    up: str = structure(default="layer1", meaning="address of what is multiplied")
    down: str = structure(default="layer2.weight", meaning="address of what is divided")
    factor: Knob = knob(
        default=2.0, above=0, meaning="what the one is multiplied by and the other divided by"
    )

    def check(self, system, rule, state):
        for path in (self.up, self.down):
            check_values("Rescale", path, trees.leaves_by_path(state.params), None)
        rng = np.random.default_rng(
            0
        )  # anywhere: at the start biases or a readout may be zero, and hide that it is none
        anywhere = jax.tree.map(
            lambda w: (
                w
                + jnp.asarray(
                    rng.standard_normal(w.shape) / np.sqrt(max(w.shape[-1:], default=1)), w.dtype
                )
            ),
            state.params,
        )
        state = states.State(anywhere, state.memory, state.step, state.time, state.key)
        here, there = (
            np.asarray(system.outputs(s.params, system.train.X))
            for s in (state, self.state(system, rule, None, state))
        )
        scale, eps = np.abs(here).max(), np.finfo(here.dtype).eps
        if np.abs(there - here).max() > 1e3 * eps * max(scale, eps):
            moved = f"one that moves the outputs by {np.abs(there - here).max():.3g}"
            raise refused(
                "Rescale",
                f"a symmetry of the network in {self.up} and {self.down}",
                moved,
                "Choose two layers in sequence with an activation between of degree 1",
            )

    def state(self, system, rule, frozen, state):
        factor = float(self.factor)
        return edited(
            edited(state, self.up, lambda w: w * w.dtype.type(factor)),
            self.down,
            lambda w: w * w.dtype.type(1 / factor),
        )

    @classmethod
    def example(cls):
        return cls(at=8)


class ResetMemory(Intervention):
    """The rule forgets: its memory, or the part of it at an address below `memory.`, is as at
    the start."""

    path: str = structure(
        default="", meaning="address of the memory that is reset; none: all of it"
    )

    def check(self, system, rule, state):
        if self.path:
            check_values(
                "ResetMemory",
                self.path,
                {
                    name: leaf
                    for name, leaf in states.arrays_of(state).items()
                    if name.startswith("memory.")
                },
                None,
            )

    def state(self, system, rule, frozen, state):
        fresh = states.State(
            state.params,
            trees.cast(rule, jax.tree.leaves(state.params)[0].dtype).init(state.params),
            state.step,
            state.time,
            state.key,
        )
        if not self.path:
            return fresh
        forgotten = states.arrays_of(fresh)
        names = [
            name
            for name in states.arrays_of(state)
            if name == self.path or name.startswith(self.path + ".")
        ]
        return states.replaced(state, {name: forgotten[name] for name in names})

    @classmethod
    def example(cls):
        return cls(at=8)
