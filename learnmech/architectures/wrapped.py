"""Wrapped: a model written elsewhere, its arrays of floats as parameters under their own paths."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.architectures.base import Architecture, keep
from learnmech.architectures.models import Model, model_of
from learnmech.architectures.skeletons import Skeleton, is_drawn, is_fitted, is_pair, made, said
from learnmech.errors import Refused, refused
from learnmech.language.parts import structure
from learnmech.language.spaces import vector
from learnmech.machine.backend import kept

# How many outputs a model was made for, by its key, its inputs and the shapes of its parameters,
# which do not say it.
_OUTPUTS: dict[tuple, int] = {}
ROWS = 3


class Wrapped(Architecture):
    """Your own Equinox module, a function from a key to one, or a pair (init, apply): its arrays of
    floats are the parameters.

    `model` is one of
    - an Equinox module, called as model(x): its own weights are the start, whatever the seed;
    - make(key), or make(key, d, k) for d inputs and k outputs, which gives such a module: the seed
      draws the start;
    - a pair of init(key), or init(key, d, k), which gives a tree of parameters, and apply(params,
      x).

    It acts on one example x (d,), or on ids or a grid of the shape that the data have, and so on
    each of a batch; if `batched`, on a batch (n, d). It gives (k,) outputs, or one without axis,
    per example. `mixes_samples` says of a batched model that what it gives for an example depends
    on the others. `Wrapped.of("mine.py:model")` takes it from a file. Every array of floats is a
    parameter: `layers[0].weight` has the address `layers.0.weight`, an array w of the model itself
    `model.w`. All else stays inside.
    """

    model: Model = eqx.field(
        converter=Model.of,
        metadata={
            "meaning": "an Equinox module, a function from a key to one, or a pair (init, apply)"
        },
    )
    batched: bool = structure(
        default=False,
        kw_only=True,
        meaning="whether the model takes a batch (n, d), not one example (d,)",
    )
    mixes_samples: bool = structure(  # type: ignore[misc]  # of the kind in others, of the model here
        default=False,
        kw_only=True,
        meaning="whether what a batched model gives for an example depends on the others",
    )

    def coherent(self):
        if self.mixes_samples and not self.batched:
            raise refused(
                "Wrapped",
                "batched where it mixes_samples",
                "a model of one example",
                "Set batched, or drop mixes_samples",
            )

    @classmethod
    def of(cls, where: str, *, batched: bool = False, mixes_samples: bool = False) -> "Wrapped":
        """The model of that name in a Python file, `mine.py:model`, which is run now."""
        return cls(Model.in_file(where), batched=batched, mixes_samples=mixes_samples)

    def init(self, rng, d, k):
        return self.begun(rng, vector(d, "input"), vector(k, "output"))

    def begun(self, rng, inputs, outputs):
        model, d, k = self.model.at_hand, inputs.size, outputs.shape[-1]
        skeleton = _skeleton(self.model.key, *((d, k) if is_fitted(model) else (0, 0)))
        _check_fit(self.model.key, self.batched, skeleton, inputs, outputs)
        _OUTPUTS[self._made_for(skeleton.named(), d)] = k
        if not is_drawn(model):
            return skeleton.named()
        drawn = Skeleton.of(made(model, jax.random.PRNGKey(int(rng.integers(2**32))), d, k))
        if not drawn.fits(skeleton):
            what, got = (
                "a model whose key moves its arrays of floats alone",
                "another structure, or other whole numbers, under another key",
            )
            raise refused(
                "Wrapped",
                what,
                got,
                "Draw what else is drawn from a key of its own, outside the function",
            )
        return drawn.named()

    def forward(self, params, X, tap=keep):
        d = math.prod(X.shape[1:])
        made_for: tuple[int, int | None] = (0, 0)
        if is_fitted(self.model.at_hand):
            made_for = d, _OUTPUTS.get(self._made_for(params, d))
            if made_for[1] is None:
                raise refused(
                    "Wrapped",
                    "parameters as its own start has",
                    "others",
                    "Draw a start by init(rng, d, k) first",
                )
        return tap(
            "output",
            _outputs(self.model.key, self.batched, _skeleton(self.model.key, *made_for), params, X),
        )

    def _made_for(self, params, d):
        return (
            self.model.key,
            d,
            tuple(
                (layer, name, np.shape(leaf))
                for layer, leaves in sorted(params.items())
                for name, leaf in sorted(leaves.items())
            ),
        )

    @classmethod
    def example(cls):
        return cls(Model.of((_draw, _apply)), batched=True)


@kept
@functools.lru_cache(maxsize=256)
def _skeleton(key, d, k):
    with jax.ensure_compile_time_eval():
        return Skeleton.of(made(model_of(key), jax.random.PRNGKey(0), d, k))


def _outputs(key, batched, skeleton, params, X):
    """(n, k) outputs of the model filled with these parameters."""
    model: Any = model_of(key)
    tree = skeleton.filled(params)
    call = functools.partial(model[1], tree) if is_pair(model) else tree
    f = call(X) if batched else jax.vmap(call)(X)
    form = "(n, k) or (n,) for a batch" if batched else "(k,) or () for an example"
    if not isinstance(f, (jax.Array, np.ndarray)) or not jnp.issubdtype(f.dtype, jnp.floating):
        got = f.dtype if hasattr(f, "dtype") else f"a {type(f).__name__}"
        raise refused(
            "Wrapped",
            f"a model that gives one array of floats, {form}",
            got,
            "Change what it returns",
        )
    if (
        f.ndim < 1
        or f.shape[0] != X.shape[0]
        or (f.ndim > 2 and X.ndim == 2 and not jnp.issubdtype(X.dtype, jnp.integer))
    ):
        got = f"{f.shape} for a batch of {X.shape[0]}" if batched else f"{f.shape[1:]}"
        remedy = (
            "Change what it returns, or drop batched"
            if batched
            else "Flatten what it returns, or set batched"
        )
        raise refused("Wrapped", f"a model that gives outputs {form}", got, remedy)
    f = f if f.ndim > 1 else f[:, None]
    return f.astype(jax.tree.leaves(params)[0].dtype)


def _check_fit(key, batched, skeleton, inputs, outputs):
    """Refuse data of another size than the model's, before anything is computed."""
    params = jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, w.dtype), skeleton.named())
    try:
        found = _shapes(key, batched, skeleton, params, inputs).shape[1:]
    except Refused:
        raise
    except Exception as error:
        taken = f"{inputs.size} inputs" if inputs.is_vector else str(inputs)
        what = (
            f"a model that takes {'batches of examples' if batched else 'examples'} of {taken}, as"
            " the data have"
        )
        raise refused(
            "Wrapped", what, said(error), "Make it for so many inputs, or change the data"
        ) from error
    if found != outputs.shape:
        wanted, got = (
            shape[0] if len(shape) == 1 else " x ".join(map(str, shape))
            for shape in (outputs.shape, found)
        )
        raise refused(
            "Wrapped",
            f"a model of {wanted} outputs, as the data have",
            f"{got}",
            "Make it for so many outputs, or change the data",
        )


def _shapes(key, batched, skeleton, params, inputs):
    dtype = np.float64 if inputs.vocabulary is None else np.int32
    sample = jax.ShapeDtypeStruct((ROWS, *inputs.shape), dtype)
    return jax.eval_shape(lambda p, X: _outputs(key, batched, skeleton, p, X), params, sample)


def _draw(key, d, k):
    """The two layers of the example."""
    first, second = jax.random.split(key)
    return {
        "hidden": {"weight": jax.random.normal(first, (4, d)) / d**0.5},
        "readout": {"weight": jax.random.normal(second, (k, 4)) / 2},
    }


def _apply(params, X):
    return jnp.tanh(X @ params["hidden"]["weight"].T) @ params["readout"]["weight"].T


# So that the text of the example can be read in any process.
Wrapped.example()
