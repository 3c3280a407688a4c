"""PyTorch as a peer, under its own interpreter: one task as a line of JSON, then "go" as often
as asked. It imports nothing of learnmech."""

import itertools
import json
import sys

import numpy as np
import torch

torch.set_num_threads(
    1
)  # in networks so small a second thread finds no work, and on a busy machine waits in a loop
FOUND = []


def loaded(task):
    """(weights, inputs, targets) of each of the files that the task names."""
    for file in task["files"]:
        held = np.load(file)
        yield (
            [torch.tensor(held[f"weight{i}"]) for i in range(task["layers"])],
            torch.tensor(held["X"]),
            torch.tensor(held["Y"]),
        )


def usual(task, weights, X, Y):
    """Full-batch gradient descent on |f - Y|^2 / 2n as one writes it: Sequential, backward, SGD,
    step. It records nothing."""
    dense = [torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False) for weight in weights]
    for layer, weight in zip(dense, weights, strict=True):
        layer.weight.data = weight.clone()
    between = [torch.nn.Tanh() for _ in dense[1:]] if task["bent"] else []
    network = torch.nn.Sequential(
        *(
            part
            for pair in itertools.zip_longest(dense, between)
            for part in pair
            if part is not None
        )
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=task["rate"])
    for _ in range(task["steps"]):
        optimizer.zero_grad()
        loss = ((network(X) - Y) ** 2).sum() / (2 * len(X))
        loss.backward()
        optimizer.step()
    return [layer.weight.detach().numpy() for layer in dense]


def lean(task, weights, X, Y):
    """The same with no module and no optimizer: the fastest loop that PyTorch eager allows here."""
    weights = [weight.clone().requires_grad_() for weight in weights]
    for _ in range(task["steps"]):
        h = X
        for weight in weights[:-1]:
            h = torch.tanh(h @ weight.T)
        loss = ((h @ weights[-1].T - Y) ** 2).sum() / (2 * len(X))
        loss.backward()
        with torch.no_grad():
            for weight in weights:
                weight -= task["rate"] * weight.grad
                weight.grad = None
    return [weight.detach().numpy() for weight in weights]


def training(task):
    """One run after the other; the last weights of each are kept."""
    work, made = {"usual": usual, "lean": lean}[task["how"]], list(loaded(task))

    def go():
        FOUND[:] = [work(task, *one) for one in made]
        return float(FOUND[-1][-1][0, 0])

    return go


def kernel(task):
    """The traced tangent kernel by Jacobian contraction in torch.func, as its documentation
    writes it: per-sample Jacobians, then one einsum per parameter."""
    from torch.func import functional_call, jacrev, vmap

    torch.set_num_threads(task["threads"])
    weights, X, _ = next(loaded(task))
    layers = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
    network = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.Tanh())))[
        :-1
    ]
    for layer, w in zip(layers, weights, strict=True):
        layer.weight.data = w / w.shape[1] ** 0.5
    scale, leaves = (
        [float(w.shape[1]) for w in weights],
        {name: leaf.detach() for name, leaf in network.named_parameters()},
    )

    def go():
        jacobian = vmap(
            jacrev(lambda p, one: functional_call(network, p, (one[None],))[0]), (None, 0)
        )(leaves, X)
        blocks = (j.flatten(2) for j in jacobian.values())
        # the weights here are the ntk scaling's over sqrt(fan_in), so that the kernel of each layer
        # is divided by it
        return float(
            sum(torch.einsum("Naf,Maf->NM", j, j) / s for j, s in zip(blocks, scale, strict=True))[
                0, 1
            ]
            / weights[-1].shape[0]
        )

    return go


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            if line.strip() == "go":
                print("ok", work(), flush=True)
                continue
            if line.startswith("keep "):
                name = line.strip().removeprefix("keep ")
                np.savez(
                    name,
                    **{
                        f"{run}-{layer}": w
                        for run, weights in enumerate(FOUND)
                        for layer, w in enumerate(weights)
                    },
                )
                print("ok", flush=True)
                continue
            task = json.loads(line)
            work = {"training": training, "kernel": kernel}[task["kind"]](task)
            print("ok", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
