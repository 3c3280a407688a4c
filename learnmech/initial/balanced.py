"""Balanced starts: adjacent layers share their singular values, and keep sharing them under
flow."""

import numpy as np

from learnmech.architectures.base import Architecture
from learnmech.architectures.dense import layer_scales
from learnmech.data.base import Drawn, singular_modes
from learnmech.errors import refused
from learnmech.initial.base import InitialCondition, template
from learnmech.language.parts import Knob, knob


def _orthonormal(rng: np.random.Generator, rows: int, columns: int):
    """A uniformly random (rows, columns) matrix with orthonormal columns (or rows, where it is
    wide)."""
    tall = max(rows, columns), min(rows, columns)
    Q, R = np.linalg.qr(rng.standard_normal(tall))
    Q = Q * np.sign(np.diag(R))
    return Q if rows >= columns else Q.T


def linear_shapes(
    who: str, architecture: Architecture, data: Drawn, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Shapes of the weights of a deep linear network without multipliers; refuses any other."""
    params = template(architecture, data, rng)
    plain = architecture.is_linear and all(set(layer) == {"weight"} for layer in params.values())
    if not plain or any(
        float(scale.weight) != 1 for scale in layer_scales(architecture.scaling, params).values()
    ):
        raise refused(
            who,
            "a deep linear network in sp scaling",
            repr(architecture),
            "Use architectures.DeepLinear with scaling sp, or another initial condition",
        )
    return [params[f"layer{index}"]["weight"].shape for index in range(1, len(params) + 1)]


def _factored(left, strengths, right, shapes, rng):
    """Balanced layers whose product is left diag(strengths) right': each carries strengths^(1/L)
    on random inner frames."""
    depth, modes = len(shapes), len(strengths)
    root = np.diag(strengths ** (1 / depth))
    frames = [right, *(_orthonormal(rng, shape[0], modes) for shape in shapes[:-1]), left]
    return {
        f"layer{i}": {"weight": frames[i] @ root @ frames[i - 1].T} for i in range(1, depth + 1)
    }


def _modes(shapes):
    return min(shapes[0][1], *(shape[0] for shape in shapes))


class Orthogonal(InitialCondition):
    """Each weight `gain` times a random matrix with orthonormal rows or columns.  Source: Saxe
    et al. 2014."""

    gain: Knob = knob(default=1.0, above=0, meaning="singular values of every weight")

    def draw(self, architecture, data, rng):
        shapes = (
            linear_shapes("Orthogonal", architecture, data, rng) if architecture.is_linear else None
        )
        params = template(architecture, data, rng)
        if shapes is None and any(np.ndim(layer.get("weight")) != 2 for layer in params.values()):
            raise refused(
                "Orthogonal",
                "layers with weight matrices",
                repr(architecture),
                "Use another initial condition",
            )
        return {
            name: {
                leaf: float(self.gain) * _orthonormal(rng, *w.shape) if leaf == "weight" else w
                for leaf, w in layer.items()
            }
            for name, layer in params.items()
        }

    @classmethod
    def example(cls):
        return cls(gain=0.5)


class Balanced(InitialCondition):
    """W_{l+1}'W_{l+1} = W_l W_l' for every pair of layers.

    The end-to-end map is `scale` times a random normal (k, d) matrix, cut to the rank of the
    narrowest width.
    """

    scale: Knob = knob(
        default=0.1,
        above=0,
        meaning="what multiplies the standard normal entries of the end-to-end map",
    )

    def draw(self, architecture, data, rng):
        shapes = linear_shapes("Balanced", architecture, data, rng)
        U, s, Vt = np.linalg.svd(
            float(self.scale) * rng.standard_normal((shapes[-1][0], shapes[0][1]))
        )
        modes = _modes(shapes)
        return _factored(U[:, :modes], s[:modes], Vt[:modes].T, shapes, rng)


class LambdaBalanced(InitialCondition):
    """W_2'W_2 - W_1W_1' = lam I for two layers, with random frames and an end-to-end map of size
    `scale`.

    lam > 0 needs k >= h and lam < 0 needs d >= h, since a Gram matrix of the thinner side cannot be
    lam I.  Source: Domine et al. 2024.
    """

    lam: Knob = knob(default=0.0, meaning="lambda in W_2'W_2 - W_1W_1' = lambda I, in param^2")
    scale: Knob = knob(
        default=0.1,
        above=0,
        meaning="what multiplies the standard normal entries of the end-to-end map",
    )

    def draw(self, architecture, data, rng):
        shapes = linear_shapes("LambdaBalanced", architecture, data, rng)
        if len(shapes) != 2:
            raise refused("LambdaBalanced", "two layers", f"{len(shapes)}", "Give one hidden width")
        (h, d), k, lam = shapes[0], shapes[1][0], float(self.lam)
        if (lam > 0 and k < h) or (lam < 0 and d < h):
            raise refused(
                "LambdaBalanced",
                f"a hidden width of at most {k if lam > 0 else d} for this sign of lam",
                f"{h}",
                "Narrow the hidden layer, or change the sign of lam",
            )
        product = np.zeros(h)
        modes = min(h, d, k)
        product[:modes] = np.linalg.svd(
            float(self.scale) * rng.standard_normal((k, d)), compute_uv=False
        )[:modes]
        outer, inner = (
            np.sqrt(np.maximum((np.sqrt(lam**2 + 4 * product**2) + sign * lam) / 2, 0))
            for sign in (1, -1)
        )
        outer, inner = (
            np.where(product > 0, side, np.sqrt(max(sign * lam, 0.0)))
            for side, sign in ((outer, 1), (inner, -1))
        )
        frame = _orthonormal(rng, h, h)
        left, right = np.zeros((k, h)), np.zeros((h, d))
        left[:, : min(k, h)], right[: min(d, h)] = (
            _orthonormal(rng, k, min(k, h)),
            _orthonormal(rng, min(d, h), d),
        )
        return {
            "layer1": {"weight": frame @ (inner[:, None] * right)},
            "layer2": {"weight": (left * outer) @ frame.T},
        }


class Aligned(InitialCondition):
    """Balanced, and aligned with the data's modes.

    The end-to-end map is U diag(strength) V' on the singular vectors of S_yx = U S V', as many of
    them as the narrowest width. Source: Saxe et al. 2014.
    """

    strength: Knob = knob(
        default=1e-3, above=0, meaning="singular values of the end-to-end map, all the same"
    )

    def draw(self, architecture, data, rng):
        shapes = linear_shapes("Aligned", architecture, data, rng)
        U, _, V = singular_modes(data.train)
        modes = _modes(shapes)
        return _factored(
            U[:, :modes], np.full(modes, float(self.strength)), V[:, :modes], shapes, rng
        )

    @classmethod
    def example(cls):
        return cls(strength=0.01)
