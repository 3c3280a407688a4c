"""The peer of the training benchmarks: full-batch gradient descent in PyTorch eager, recording nothing."""

import itertools

import numpy as np
import torch


def _single(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values, np.float32))


def _layers(params: dict) -> list[torch.Tensor]:
    return [_single(params[f"layer{i}"]["weight"]) for i in range(1, len(params) + 1)]


def trained(params: dict, X, Y, rate: float, steps: int, activation: type[torch.nn.Module] | None = None) -> list[np.ndarray]:
    """The weights after so many steps on |f - Y|^2 / 2n in float32 from the given ones, as one writes it: Sequential, backward, SGD, step."""
    dense = [torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False) for weight in _layers(params)]
    for layer, weight in zip(dense, _layers(params), strict=True):
        layer.weight.data = weight
    between = [] if activation is None else [activation() for _ in dense[1:]]
    network = torch.nn.Sequential(*(part for pair in itertools.zip_longest(dense, between) for part in pair if part is not None))
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    X, Y = _single(X), _single(Y)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((network(X) - Y) ** 2).sum() / (2 * len(X))
        loss.backward()
        optimizer.step()
    return [layer.weight.detach().numpy() for layer in dense]


def trained_leanly(params: dict, X, Y, rate: float, steps: int, activation=torch.tanh) -> list[np.ndarray]:
    """The same with no module and no optimizer: the fastest loop that PyTorch eager allows here."""
    weights = [weight.requires_grad_() for weight in _layers(params)]
    X, Y = _single(X), _single(Y)
    for _ in range(steps):
        h = X
        for weight in weights[:-1]:
            h = activation(h @ weight.T)
        loss = ((h @ weights[-1].T - Y) ** 2).sum() / (2 * len(X))
        loss.backward()
        with torch.no_grad():
            for weight in weights:
                weight -= rate * weight.grad
                weight.grad = None
    return [weight.detach().numpy() for weight in weights]
