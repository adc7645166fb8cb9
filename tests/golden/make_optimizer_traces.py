"""Write optimizer_traces.json and schedule_rates.json: PyTorch's numbers, to be compared with ours.

The tests read the two files and need no torch. To make them again, in a separate environment:

    python3.11 -m venv torch-env
    torch-env/bin/pip install torch==2.13.0 numpy
    torch-env/bin/python tests/golden/make_optimizer_traces.py

Optimisers: 20 steps on Rosenbrock's function, in 2 and in 10 dimensions, in float64; the gradients
are PyTorch's own (autograd). Schedules: the rate of every step, as the scheduler gives it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.optim import lr_scheduler as lr

HERE = Path(__file__).resolve().parent
COMMAND = "torch-env/bin/python tests/golden/make_optimizer_traces.py"
STEPS = 20
STARTS = {
    "rosenbrock-2": [-1.2, 1.0],
    "rosenbrock-10": [-1.2, 1.0, 0.5, -0.3, 1.4, 0.0, -0.8, 1.1, 0.2, -0.5],
}
# name -> (class, arguments); the tests say which description of ours it belongs to.
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 1e-4}),
    "sgd-heavy-ball": (torch.optim.SGD, {"lr": 1e-4, "momentum": 0.9}),
    "sgd-nesterov": (torch.optim.SGD, {"lr": 1e-4, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9}),
    "rmsprop-slow": (torch.optim.RMSprop, {"lr": 0.003, "alpha": 0.99, "eps": 1e-6}),
    "adam": (torch.optim.Adam, {}),
    "adam-fast": (torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-7}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw-strong": (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.5}),
    "nadam": (torch.optim.NAdam, {}),
    "nadam-fast": (torch.optim.NAdam, {"lr": 0.03, "betas": (0.8, 0.99), "momentum_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adagrad-fast": (torch.optim.Adagrad, {"lr": 0.2, "eps": 1e-6}),
    "adadelta": (torch.optim.Adadelta, {}),
    "adadelta-slow": (torch.optim.Adadelta, {"lr": 0.5, "rho": 0.95, "eps": 1e-4}),
    "rprop": (torch.optim.Rprop, {}),
    "rprop-bounded": (
        torch.optim.Rprop,
        {"lr": 0.1, "etas": (0.6, 1.3), "step_sizes": (0.05, 0.2)},
    ),
}


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def trace(kind: type[torch.optim.Optimizer], options: dict[str, Any], start: list[float]) -> Any:
    """Return θ after every step. Half of the coordinates decay under AdamW, the rest does not."""
    half = len(start) // 2
    first, second = (
        torch.tensor(part, requires_grad=True) for part in (start[:half], start[half:])
    )
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second]}]
    if kind is torch.optim.AdamW:
        groups[1]["weight_decay"] = 0.0
    optimizer = kind(groups, foreach=False, **options)  # type: ignore[call-arg]
    seen = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        rosenbrock(torch.cat([first, second])).backward()
        optimizer.step()
        seen.append(torch.cat([first, second]).tolist())
    return seen


def optimizer_traces() -> list[dict[str, Any]]:
    return [
        {
            "optimizer": name,
            "torch": f"{kind.__name__}({options})",
            "function": function,
            "start": start,
            "trace": trace(kind, options, start),
        }
        for name, (kind, options) in OPTIMIZERS.items()
        for function, start in STARTS.items()
    ]


def sgd(rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)


def ticked(make: Any, rate: float, ticks: int) -> list[float]:
    """Return the rates of ``ticks`` steps under a scheduler."""
    optimizer = sgd(rate)
    scheduler = make(optimizer)
    seen = []
    for _ in range(ticks):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def warmed_cosine(optimizer: torch.optim.Optimizer) -> lr.LRScheduler:
    rise = lr.LinearLR(optimizer, start_factor=1 / 7, total_iters=6)
    fall = lr.CosineAnnealingLR(optimizer, T_max=24, eta_min=0.002)
    return lr.SequentialLR(optimizer, [rise, fall], milestones=[6])


def watched(figures: list[float], **options: Any) -> list[float]:
    """Return the rates after each of the figures."""
    optimizer = sgd(0.1)
    scheduler = lr.ReduceLROnPlateau(optimizer, **options)
    seen = []
    for figure in figures:
        scheduler.step(figure)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def figures(sign: float) -> list[float]:
    """Return a figure that betters itself, stalls, betters itself a little, and stalls again."""
    values = [2.0, 1.5, 1.2, 1.1, 1.1, 1.15, 1.1, 1.12, 1.0, 0.9999, 0.99985, 0.9998, 0.9998]
    values += [0.95, 0.96, 0.97, 0.94, 0.9399, 0.9399, 0.9398, 0.9398, 0.9398, 0.93, 0.93, 0.93]
    values += [0.93] * 15
    return [3 - v if sign > 0 else v for v in values]


def schedule_rates() -> dict[str, Any]:
    low, high = figures(-1), figures(1)
    warnings.simplefilter("ignore")  # SequentialLR calls its schedulers in a deprecated way
    return {
        "exponential": ticked(lambda o: lr.ExponentialLR(o, gamma=0.95), 0.1, 25),
        "step": ticked(lambda o: lr.StepLR(o, step_size=4, gamma=0.3), 0.1, 25),
        "table": ticked(lambda o: lr.MultiStepLR(o, milestones=[3, 10], gamma=0.1), 0.1, 15),
        "warm-up": ticked(lambda o: lr.LinearLR(o, start_factor=1 / 9, total_iters=8), 0.1, 30),
        "cosine": ticked(lambda o: lr.CosineAnnealingLR(o, T_max=30, eta_min=0.001), 0.1, 30),
        "cosine-warm-up": ticked(warmed_cosine, 0.1, 30),
        "one-cycle": ticked(lambda o: lr.OneCycleLR(o, max_lr=0.1, total_steps=30), 0.1, 30),
        "one-cycle-linear": ticked(
            lambda o: lr.OneCycleLR(
                o,
                max_lr=0.1,
                total_steps=30,
                pct_start=0.45,
                div_factor=10.0,
                final_div_factor=100.0,
                anneal_strategy="linear",
            ),
            0.1,
            30,
        ),
        "plateau": {
            "low": low,
            "high": high,
            "min": watched(low, patience=2),
            "min-absolute": watched(low, patience=1, threshold=0.02, threshold_mode="abs"),
            "min-rest": watched(low, patience=1, factor=0.5, cooldown=3, min_lr=0.02),
            "max": watched(high, mode="max", patience=2, factor=0.2),
        },
    }


def write(name: str, content: Any) -> None:
    record = {"made by": COMMAND, "torch": torch.__version__, "numbers": content}
    (HERE / name).write_text(json.dumps(record) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    write("optimizer_traces.json", optimizer_traces())
    write("schedule_rates.json", schedule_rates())


if __name__ == "__main__":
    main()
