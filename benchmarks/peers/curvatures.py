"""PyHessian and curvlinops as peers, under their own interpreter: one task as a line of JSON,
then "go" as often as asked. It imports nothing of learnmech."""

import json
import sys

import numpy as np
import torch

FOUND = {}


def loaded(task):
    """(network, loss, inputs, targets) of the file that the task names."""
    held = np.load(task["file"])
    weights = [torch.tensor(held[f"weight{i}"]) for i in range(task["layers"])]
    dense = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
    for layer, weight in zip(dense, weights, strict=True):
        layer.weight.data = weight
    between = [part for layer in dense for part in (layer, torch.nn.Tanh())][:-1]
    X, Y = torch.tensor(held["X"]), torch.tensor(held["Y"])
    return torch.nn.Sequential(*between), lambda f, y: ((f - y) ** 2).sum() / (2 * len(X)), X, Y


def residual(apply, values, vectors):
    """The largest |Hv - lambda v|."""
    return max(
        float(np.linalg.norm(apply(v) - value * v))
        for value, v in zip(values, vectors, strict=True)
    )


def kept(values, apply, vectors):
    """Remember what was found, to be told when asked."""
    FOUND.update(values=[float(v) for v in values], residual=residual(apply, values, vectors))
    return float(values[0])


def pyhessian(task):
    """Power iteration with deflation, to the tolerance and within the iterations that the task
    gives."""
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    network, loss, X, Y = loaded(task)

    def go(keep=False):
        held = hessian(network, loss, data=(X, Y), cuda=False)
        values, vectors = held.eigenvalues(
            maxIter=task["iterations"], tol=task["tolerance"], top_n=task["k"]
        )
        if keep:
            flat = [
                np.concatenate([np.ravel(part.detach().numpy()) for part in vector])
                for vector in vectors
            ]

            def apply(v):
                cuts = np.cumsum([0] + [w.numel() for w in held.params])
                tree = [
                    torch.tensor(v[a:b], dtype=torch.float32).reshape(w.shape)
                    for a, b, w in zip(cuts[:-1], cuts[1:], held.params, strict=True)
                ]
                return np.concatenate(
                    [
                        np.ravel(part.detach().numpy())
                        for part in hessian_vector_product(held.gradsH, held.params, tree)
                    ]
                )

            kept(values, apply, flat)
        return float(values[0])

    return go


def curvlinops(task):
    """Its Hessian as a scipy operator, and scipy's eigsh."""
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    network, loss, X, Y = loaded(task)

    operator = HessianLinearOperator(
        network, torch.nn.MSELoss(), list(network.parameters()), [(X, Y)], check_deterministic=False
    )
    factor = (
        Y.shape[1] / 2
    )  # half the mean over samples, from the mean over samples and outputs which that library knows
    scipied = operator.to_scipy()

    def go(keep=False):
        values, vectors = eigsh(scipied, k=task["k"], which="LA", tol=task["tolerance"])
        values = values[::-1] * factor
        if keep:
            kept(values, lambda v: factor * (scipied @ v.astype(np.float32)), vectors.T[::-1])
        return float(values[0])

    return go


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            if line.strip() == "go":
                print("ok", work(), flush=True)
                continue
            if line.strip() == "told":
                print("ok", json.dumps([FOUND["values"], FOUND["residual"]]), flush=True)
                continue
            task = json.loads(line)
            work = {"pyhessian": pyhessian, "curvlinops": curvlinops}[task["kind"]](task)
            work(keep=True)
            print("ok", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
