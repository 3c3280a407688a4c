"""Skeletons: a model without its weights, the address of each of them, and which models can be
trained as they are."""

import inspect
import re
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from learnmech.errors import Refused, refused, saying
from learnmech.language.parts import Part, show_value

# Words with which other addresses begin (signals, gradients, what a rule remembers), and with which
# those of signals end.
RESERVED, SIGNALS = ("output", "gradient", "update", "memory"), ("pre", "post", "output")


class Skeleton(NamedTuple):
    """A model without its weights: where each belongs, (layer, name); those it was made with;
    how they lie in it; and all the rest."""

    places: tuple[tuple[str, str], ...]
    weights: tuple[np.ndarray, ...]
    structure: Any
    rest: Any

    @classmethod
    def of(cls, tree: Any) -> "Skeleton":
        """The skeleton of a module, or of a tree of parameters."""
        weights, rest = eqx.partition(tree, eqx.is_inexact_array)
        found, lie = jax.tree_util.tree_flatten_with_path(weights)
        return cls(
            _places([keys for keys, _ in found]),
            tuple(np.asarray(leaf, np.float64) for _, leaf in found),
            lie,
            rest,
        )

    def named(self) -> dict:
        """{layer: {name: array}} of the weights it was made with."""
        params: dict = {}
        for (layer, name), leaf in zip(self.places, self.weights, strict=True):
            params.setdefault(layer, {})[name] = leaf
        return params

    def filled(self, params: dict) -> Any:
        """The model, or the tree, with these parameters for its weights."""
        return eqx.combine(
            jax.tree.unflatten(
                self.structure, [params[layer][name] for layer, name in self.places]
            ),
            self.rest,
        )

    def fits(self, other: "Skeleton") -> bool:
        """Whether the two differ in their weights alone."""
        same = self.places == other.places and [w.shape for w in self.weights] == [
            w.shape for w in other.weights
        ]
        ours, theirs = (
            [leaf for leaf in jax.tree.leaves(one.rest) if eqx.is_array_like(leaf)]
            for one in (self, other)
        )
        return (
            same
            and len(ours) == len(theirs)
            and all(bool(eqx.tree_equal(a, b)) for a, b in zip(ours, theirs, strict=True))
        )


def _word(key) -> str:
    return re.sub(
        r"[^\w-]+", "_", str(getattr(key, "name", getattr(key, "idx", getattr(key, "key", key))))
    )


def _places(leaves) -> tuple[tuple[str, str], ...]:
    """(layer, name) of every leaf: `layers[0].weight` is weight of layers.0; below `model` what
    has no layer, or a path that means something else."""
    paths = []
    for keys in leaves:
        words = [_word(key) for key in keys] or ["weight"]
        words[-1] += "_" if words[-1] in SIGNALS else ""
        if len(words) == 1 or not re.match(r"[A-Za-z_]", words[0]) or words[0] in RESERVED:
            words = ["model", *words]
        paths.append(".".join(words))
    # a frozen array is also known by the end of its path (in a rule's memory), so that no path may
    # be the end of another
    paths = [
        f"model.{path}" if any(other.endswith(f".{path}") for other in paths) else path
        for path in paths
    ]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise refused(
            "Wrapped",
            "an address of its own for every array",
            f"two at {twice}",
            "Name its fields in letters, digits and underscores",
        )
    return tuple((layer, name) for layer, _, name in (path.rpartition(".") for path in paths))


def is_pair(model: object) -> bool:
    """Whether it is (init, apply)."""
    return isinstance(model, tuple) and len(model) == 2 and all(map(callable, model))


def is_drawn(model: object) -> bool:
    """Whether its weights are drawn from a key."""
    return not isinstance(model, eqx.Module)


def is_fitted(model: Any) -> bool:
    """Whether it is made for the numbers of inputs and outputs."""
    return is_drawn(model) and len(_asked(model[0] if is_pair(model) else model) or "1") == 3


def check_model(model: Any) -> None:
    """Refuse what is neither an Equinox module of one argument, nor (init, apply), nor a
    function that makes a module from a key."""
    part = isinstance(model, Part) or (isinstance(model, type) and issubclass(model, Part))
    if part or not (is_pair(model) or callable(model)):
        what = (
            "model to be an Equinox module, a pair (init, apply), or a function from a key to a"
            " module"
        )
        got = model.__name__ if isinstance(model, type) else show_value(model)
        raise refused(
            "Wrapped",
            what,
            got,
            "Give one of these as model, what is in a file by Wrapped.of('mine.py:model')",
        )
    if is_pair(model):
        _check_made(model[0], "init")
        _check_called(
            model[1],
            "apply(params, x)",
            2,
            "Give a function of two arguments, as lambda params, x: apply(params, None, x)",
        )
    elif is_drawn(model):
        _check_made(model, "make")
    else:
        _check_tree(model)
        _check_untied(model)
        _check_called(
            model,
            "a call model(x)",
            1,
            "Hold what else it takes in a function: Wrapped((init, apply)) with apply(params, x)",
        )


def _asked(f) -> tuple[inspect.Parameter, ...] | None:
    """The arguments a function must be given; None where it does not say."""
    try:
        arguments = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return None
    return tuple(
        a
        for a in arguments
        if a.default is a.empty and a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)
    )


def _names(arguments):
    return ", ".join(a.name for a in arguments)


def _check_made(make, word):
    asked = _asked(make)
    if asked is not None and len(asked) not in (1, 3):
        got = f"one of ({_names(asked)})"
        raise refused(
            "Wrapped",
            f"model to have {word}(key), or {word}(key, d, k) for d inputs and k outputs",
            got,
            f"Change {word}",
        )


def _check_called(call, form, count, remedy):
    asked = _asked(call)
    if asked is not None and len(asked) != count:
        raise refused("Wrapped", f"model to have {form}", f"one of ({_names(asked)})", remedy)


def made(model: Any, key: jax.Array, d: int, k: int) -> Any:
    """The module, or the tree of parameters, which the model draws from a key for d inputs and k
    outputs."""
    if not is_drawn(model):
        return model
    make, given = model[0] if is_pair(model) else model, (key, d, k) if is_fitted(model) else (key,)
    named = {
        a.name: value
        for a, value in zip(_asked(make) or (), given, strict=False)
        if a.kind is a.KEYWORD_ONLY
    }
    try:
        tree = make(*given[: len(given) - len(named)], **named)
    except Refused:
        raise
    except Exception as error:
        raise refused(
            "Wrapped",
            "a start from its own function",
            said(error),
            "Mend the function, or what it is given",
        ) from error
    if not is_pair(model):
        if not (isinstance(tree, eqx.Module) and callable(tree)) or isinstance(tree, Part):
            raise refused(
                "Wrapped",
                "a function that makes an Equinox module",
                f"a {type(tree).__name__} from it",
                "Give a pair (init, apply) instead",
            )
        check_model(tree)
    _check_tree(tree)
    return tree


def said(error: BaseException) -> str:
    """An error in one line."""
    return saying(error).splitlines()[0].rstrip(".:")


def _check_tree(tree):
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    if not leaves:
        raise refused(
            "Wrapped",
            "a model with arrays of floats",
            "one with none",
            "Give it its weights as jax arrays of floats",
        )
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise refused(
            "Wrapped",
            "a model of real weights",
            "complex ones",
            "Keep real and imaginary parts as two arrays",
        )
    for node in jax.tree.leaves(
        tree, is_leaf=lambda x: isinstance(x, (eqx.nn.Dropout, eqx.nn.StateIndex))
    ):
        if isinstance(node, eqx.nn.StateIndex):
            what, got = "a model without state", "one with state, as BatchNorm has"
            raise refused(
                "Wrapped",
                what,
                got,
                "Use a layer without state, as equinox.nn.LayerNorm or GroupNorm",
            )
        if (
            isinstance(node, eqx.nn.Dropout)
            and not node.inference
            and not (isinstance(node.p, (int, float)) and node.p == 0)
        ):
            raise refused(
                "Wrapped",
                "a model that is called without a key",
                "Dropout in training",
                "Give equinox.nn.inference_mode(model)",
            )


def _check_untied(module):
    met: dict[int, str] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(
        eqx.filter(module, eqx.is_inexact_array)
    )[0]:
        path = ".".join(map(_word, keys))
        if id(leaf) in met:
            remedy = "Tie the two by equinox.nn.Shared, or copy one if they are to part"
            raise refused(
                "Wrapped",
                "every array in one place",
                f"the same one at {met[id(leaf)]} and {path}",
                remedy,
            )
        met[id(leaf)] = path
