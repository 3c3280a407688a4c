"""PyTorch as a peer, under its own interpreter: SGD on a linear layer that draws a batch of normal
inputs at every step. A task as a line of JSON, then "go" as often as asked."""

import json
import sys

import torch

torch.set_num_threads(1)  # the benchmark is pinned to one core


def usual(task, B):
    """As one writes it: draw, Linear, backward, SGD, step. It records nothing."""
    layer = torch.nn.Linear(task["d"], 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=task["rate"])
    for _ in range(task["steps"]):
        X = torch.randn(task["batch"], task["d"])
        Y = X @ B + task["noise"] * torch.randn(task["batch"], 1)
        optimizer.zero_grad()
        loss = ((layer(X) - Y) ** 2).sum() / (2 * len(X))
        loss.backward()
        optimizer.step()
    return layer.weight.detach()[0]


def lean(task, B):
    """The same with the gradient by hand: the fastest loop that PyTorch eager allows here."""
    weight, off = torch.randn(task["d"], 1) / task["d"] ** 0.5, B
    with torch.no_grad():
        for _ in range(task["steps"]):
            X = torch.randn(task["batch"], task["d"])
            errors = X @ (weight - off) - task["noise"] * torch.randn(task["batch"], 1)
            weight -= task["rate"] / len(X) * (X.T @ errors)
    return weight[:, 0]


def made(task):
    """The work of a task; it gives the population's loss at the end."""
    work = {"usual": usual, "lean": lean}[task["how"]]
    B = torch.randn(task["d"], 1) / task["d"] ** 0.5

    def go():
        off = work(task, B) - B[:, 0]
        return float((off @ off + task["noise"] ** 2) / 2)

    return go


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            if line.strip() == "go":
                print("ok", go(), flush=True)
                continue
            go = made(json.loads(line))
            print("ok", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
