"""neural-tangents as a peer, under its own interpreter: one task as a line of JSON, then "go" as
often as asked. It imports nothing of learnmech."""

import json
import sys

import jax
import numpy as np


def network(stax, task):
    """A dense network in that library's words."""
    bias = task["bias_std"] if task["bias"] else None
    activations = {
        "relu": stax.Relu,
        "erf": stax.Erf,
        "gelu": stax.Gelu,
        "sin": stax.Sin,
        "tanh": lambda: stax.ElementwiseNumerical(jax.numpy.tanh, deg=25),
    }
    layers = []
    for width in task["hidden"]:
        layers += [
            stax.Dense(width, W_std=task["weight_std"], b_std=bias),
            activations[task["activation"]](),
        ]
    return stax.serial(*layers, stax.Dense(task["outputs"], W_std=task["weight_std"], b_std=bias))


def infinite(task):
    """Both kernels of infinite width on one batch, compiled as a whole."""
    from neural_tangents import stax

    kernel_fn = network(stax, task)[2]
    X = jax.numpy.asarray(np.random.default_rng(0).standard_normal((task["n"], task["d"])))
    compiled = jax.jit(
        lambda x: tuple(
            getattr(kernel_fn(x, None, ("nngp", "ntk")), name) for name in ("nngp", "ntk")
        )
    )

    def go():
        found = jax.block_until_ready(compiled(X))
        return float(found[1][0, 1])

    return go


def empirical(task):
    """The traced tangent kernel of a finite tanh network, by Jacobian contraction or by
    structured derivatives."""
    import neural_tangents as nt

    rng = np.random.default_rng(0)
    widths = [task["d"], *task["hidden"], task["outputs"]]
    # (in, out), since its structured derivatives do not see through a transpose
    weights = [
        jax.numpy.asarray(rng.standard_normal((b, a)).T, task["dtype"])
        for a, b in zip(widths[:-1], widths[1:])
    ]
    X = jax.numpy.asarray(rng.standard_normal((task["n"], task["d"])), task["dtype"])

    def apply(params, x):
        h = x
        for index, weight in enumerate(params):
            h = h @ weight / np.sqrt(weight.shape[0]).astype(task["dtype"])
            h = jax.numpy.tanh(h) if index < len(params) - 1 else h
        return h

    implementation = getattr(nt.NtkImplementation, task["implementation"])
    kernel_fn = nt.empirical_ntk_fn(
        apply, trace_axes=(-1,), vmap_axes=0, implementation=implementation
    )
    compiled = jax.jit(lambda x, params: kernel_fn(x, None, params))

    def go():
        return float(jax.block_until_ready(compiled(X, weights))[0, 1])

    return go


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            if line.strip() == "go":
                print("ok", work(), flush=True)
                continue
            task = json.loads(line)
            jax.config.update("jax_enable_x64", task["dtype"] == "float64")
            work = {"infinite": infinite, "empirical": empirical}[task["kind"]](task)
            work()
            print("ok", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
