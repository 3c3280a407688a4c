"""What torch.nn.BatchNorm1d computes in training and in eval mode, over 20 steps of SGD with weight
decay.

`python tests/contracts/batch_norm_reference.py` writes batch_norm_reference.json anew; it needs
torch (2.13.0 wrote it), which the tests do not. The network: 3 inputs, hidden layers of 5 and 4
units with biases, a batch norm with gains and shifts and a tanh behind each, 2 outputs; 12 samples.
"""

import json
from pathlib import Path

import numpy as np

KEPT = Path(__file__).with_suffix(".json")
WIDTHS, STEPS, RATE, DECAY, MOMENTUM, EPS = (3, 5, 4, 2), 20, 0.1, 0.05, 0.1, 1e-5


def numbers():
    """(inputs, targets, test inputs, [(weight, bias), ...]), the same on every machine."""
    rng = np.random.default_rng(7)
    X, Y, X_test = (
        rng.standard_normal((12, 3)),
        rng.standard_normal((12, 2)),
        rng.standard_normal((5, 3)),
    )
    layers = [
        (rng.standard_normal((h, d)) / np.sqrt(d), 0.1 * rng.standard_normal(h))
        for d, h in zip(WIDTHS[:-1], WIDTHS[1:])
    ]
    return X, Y, X_test, layers


def computed():
    """{name: values at steps 0, 1, ... 20} of the losses in training mode, of running
    statistics, and of outputs on test inputs in eval mode."""
    import torch

    torch.set_default_dtype(torch.float64)
    X, Y, X_test, layers = numbers()
    X, Y, X_test = map(torch.tensor, (X, Y, X_test))
    modules, norms = [], []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        norms.append(torch.nn.BatchNorm1d(len(weight), eps=EPS, momentum=MOMENTUM))
        modules += [linear, norms[-1], torch.nn.Tanh()]
    network = torch.nn.Sequential(*modules[:-2])
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, weight_decay=DECAY)
    seen = {"loss": [], "test_outputs": []} | {
        f"layer{i}.{name}": [] for i in (1, 2) for name in ("running_mean", "running_variance")
    }

    def loss(rows):
        return ((network(X[rows]) - Y[rows]) ** 2).sum() / (2 * len(rows))

    for _ in range(STEPS + 1):
        network.eval()
        seen["test_outputs"].append(network(X_test).tolist())
        for i, norm in enumerate(norms[:2], 1):
            seen[f"layer{i}.running_mean"].append(norm.running_mean.tolist())
            seen[f"layer{i}.running_variance"].append(norm.running_var.tolist())
        network.train()
        kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
        seen["loss"].append(float(loss(range(12)).detach()))
        for norm, (mean, variance) in zip(norms, kept):  # this look at the loss is no step
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
        optimizer.zero_grad()
        loss(range(12)).backward()
        optimizer.step()
    return seen


if __name__ == "__main__":
    KEPT.write_text(json.dumps(computed()) + "\n")
