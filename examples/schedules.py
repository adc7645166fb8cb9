"""How should the learning rate change?
====================================

Fast at first and slowly later, by a rule or by what the losses say (O7).

Some schedules follow a formula in the epoch i, such as η₀/(1 + ηi) and η₀ηⁱ; some change in every
step; the last one waits until the loss no longer falls (Mebsout §6; Matt R §7; erratum E-ah).

Run it by::

    python examples/schedules.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.plots import ScheduleDisplay
from deltarule.schedules import (
    Cosine,
    Exponential,
    InverseTime,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)

EPOCHS = 30
SCHEDULES: dict[str, Schedule] = {
    "inverse time": InverseTime(0.2),
    "exponential": Exponential(0.9),
    "step decay": StepDecay(10, 0.3),
    "cosine after a warm-up": Cosine(warm_up=4),
    "one cycle": OneCycle(),
    "reduce on a plateau": ReduceOnPlateau(patience=3),
}


def display(schedule: Schedule, ax: object = None) -> ScheduleDisplay:
    """Return the rates of a training whose loss stops falling after ten epochs."""
    losses = np.maximum(1.0 - 0.1 * np.arange(EPOCHS), 0.0).tolist()
    return ScheduleDisplay.from_schedule(
        schedule, learning_rate=0.1, epochs=EPOCHS, steps_per_epoch=10, metrics=losses, ax=ax
    )


def main(output: Path = Path("examples-output")) -> None:
    """Print the first and last rates, and draw all of them."""
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    for ax, (name, schedule) in zip(figure.subplots(2, 3).ravel(), SCHEDULES.items(), strict=True):
        rates = display(schedule, ax).rates
        print(f"{name}: {rates[0]:.4g} at first, {max(rates):.4g} at most, {rates[-1]:.4g} at last")
        ax.set_title(name, fontsize=10)
    for i in (0, 1, 29):
        print(f"epoch {i}: 0.1/(1 + 0.2 i) = {0.1 / (1 + 0.2 * i):.4g}, 0.1 · 0.9^i = "
              f"{0.1 * 0.9**i:.4g}")  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "schedules.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
