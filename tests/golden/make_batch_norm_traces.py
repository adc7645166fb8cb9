"""Write batch_norm_traces.json: PyTorch's numbers for batch norm, to be compared with ours.

The tests read the file and need no torch. To make it again, in a separate environment:

    python3.11 -m venv torch-env
    torch-env/bin/pip install torch==2.13.0 numpy
    torch-env/bin/python tests/golden/make_batch_norm_traces.py

For every network: θ and the running averages after every step of plain gradient descent on given
batches (½ squared error, summed over outputs), the outputs at prediction after the last step, and
the Hessian of the first batch's loss at the first θ. Everything is float64, and the derivatives are
PyTorch's own (autograd).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

HERE = Path(__file__).resolve().parent
COMMAND = "torch-env/bin/python tests/golden/make_batch_norm_traces.py"
RATE, EPSILON, MOMENTUM = 0.2, 1e-3, 0.15
D, HIDDEN, K = 3, 4, 2
BATCHES = [5, 4, 7, 2, 6]


def unstack(theta: torch.Tensor, position: str) -> list[torch.Tensor]:
    """Return W1, (b1,) gamma1, beta1, W2, b2: a layer normalised before has no bias."""
    shapes = [
        (D, HIDDEN),
        *([(HIDDEN,)] * (2 if position == "pre_activation" else 3)),
        (HIDDEN, K),
        (K,),
    ]
    sizes = [int(np.prod(shape)) for shape in shapes]
    return [p.reshape(s) for p, s in zip(theta.split(sizes), shapes, strict=True)]


def outputs(
    theta: torch.Tensor, x: torch.Tensor, position: str, statistics: Any, training: bool
) -> torch.Tensor:
    mean, variance = statistics
    w1, *rest, w2, b2 = unstack(theta, position)
    if position == "pre_activation":
        gamma, beta = rest
        z = functional.batch_norm(x @ w1, mean, variance, gamma, beta, training, MOMENTUM, EPSILON)
        return torch.tanh(z) @ w2 + b2
    b1, gamma, beta = rest
    a = torch.tanh(x @ w1 + b1)
    return (
        functional.batch_norm(a, mean, variance, gamma, beta, training, MOMENTUM, EPSILON) @ w2 + b2
    )


def cost(a: torch.Tensor, y: torch.Tensor, loss: str) -> torch.Tensor:
    if loss == "squared_error":
        return 0.5 * ((a - y) ** 2).sum(dim=1).mean()
    return functional.cross_entropy(a, y.softmax(dim=1))


def fresh() -> tuple[torch.Tensor, torch.Tensor]:
    zero = torch.zeros(HIDDEN, dtype=torch.float64)
    return zero, zero + 1


def case(position: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    size = D * HIDDEN + (2 if position == "pre_activation" else 3) * HIDDEN + HIDDEN * K + K
    theta = torch.tensor(rng.normal(0.3, 0.8, size), requires_grad=True)
    batches = [(rng.normal(0.5, 2.0, (b, D)), rng.normal(size=(b, K))) for b in BATCHES]
    tensors = [(torch.tensor(x), torch.tensor(y)) for x, y in batches]
    x0, y0 = tensors[0]
    hessians = {}
    for loss in ("squared_error", "categorical_cross_entropy"):

        def at(t: torch.Tensor, loss: str = loss) -> torch.Tensor:
            return cost(outputs(t, x0, position, fresh(), True), y0, loss)

        hessians[loss] = torch.autograd.functional.hessian(at, theta.detach()).tolist()
    statistics, steps = fresh(), []
    start = theta.detach().tolist()
    for x, y in tensors:
        loss = cost(outputs(theta, x, position, statistics, True), y, "squared_error")
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= RATE * gradient
        steps.append(
            {
                "loss": float(loss.detach()),
                "theta": theta.tolist(),
                "mean": statistics[0].tolist(),
                "variance": statistics[1].tolist(),
            }
        )
    predicted = outputs(theta.detach(), x0, position, statistics, False)
    return {
        "position": position,
        "theta": start,
        "batches": [{"x": x.tolist(), "y": y.tolist()} for x, y in batches],
        "soft_targets": y0.softmax(dim=1).tolist(),
        "steps": steps,
        "predicted": predicted.tolist(),
        "hessians": hessians,
    }


def main() -> None:
    written = {
        "made by": COMMAND,
        "torch": torch.__version__,
        "rate": RATE,
        "epsilon": EPSILON,
        "momentum": MOMENTUM,
        "widths": [D, HIDDEN, K],
        "cases": [case("pre_activation", 0), case("post_activation", 1)],
    }
    (HERE / "batch_norm_traces.json").write_text(json.dumps(written) + "\n")


if __name__ == "__main__":
    main()
