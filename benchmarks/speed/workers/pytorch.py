"""PyTorch: eager or compiled, fused Adam, rows selected by a permutation, no DataLoader."""

from __future__ import annotations

import os
import time
from typing import Any

os.environ.setdefault(
    "TORCHINDUCTOR_COMPILE_THREADS", "1"
)  # no process pool, which would use other cores

import torch
from torch import nn

from speed.cases import Case
from speed.worker import Repetition


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that trains an existing network for ``epochs`` passes."""
    compiled = spec.pop("compiled", False)
    case = Case.of(spec)
    inputs, classes = case.data()
    X, y = torch.from_numpy(inputs), torch.from_numpy(classes)
    torch.manual_seed(0)
    model = _network(case).to(X.dtype)
    measure: nn.Module = nn.CrossEntropyLoss()
    if case.widths[-1] == 1:
        y, measure = y.to(X.dtype)[:, None], nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def loss_of(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = measure(model(x), target)
        return loss

    loss = torch.compile(loss_of) if compiled else loss_of

    def epoch() -> None:
        for rows in torch.randperm(case.rows).split(case.batch):
            optimizer.zero_grad(set_to_none=True)
            loss(X.index_select(0, rows), y.index_select(0, rows)).backward()
            optimizer.step()

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        torch.set_num_threads(message["threads"])
        start = time.perf_counter()
        for _ in range(message["epochs"]):
            epoch()
        return {"seconds": time.perf_counter() - start, "steps": message["epochs"] * case.steps}

    return repetition


def _network(case: Case) -> nn.Sequential:
    layers: list[nn.Module] = []
    for p, q in case.layers:
        layers += [nn.Linear(p, q), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
