"""Pictures of ``scaling.py``: logarithmic axes, units, one colour per engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator

__all__ = ["Line", "Panel", "draw"]

COLORS = {
    "deltarule": "#2b6cb0",
    "scikit-learn": "#c05621",
    "BLAS baseline": "#718096",
    "S": "#2b6cb0",
    "S2": "#2c9a8f",
    "M": "#c05621",
    "L": "#805ad5",
}
QUIET = "#718096"


@dataclass(frozen=True)
class Line:
    """One curve; a dashed curve is a bound or an ideal, not a measurement."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    xlabel: str
    ylabel: str
    lines: Sequence[Line]
    unit: str = ""  # "s": the y axis says µs, ms, s
    base: int = 2  # of the logarithmic x axis; 1: a linear axis
    from_zero: bool = False  # a linear y axis that starts at zero


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw the panels side by side."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 4.0), layout="constrained", squeeze=False
    )
    for ax, panel in zip(axes[0], panels, strict=True):
        _panel(ax, panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(ax: Any, panel: Panel) -> None:
    for line in panel.lines:
        style = {"linestyle": "--"} if line.dashed else {"marker": "o", "markersize": 4}
        ax.plot(line.x, line.y, color=COLORS.get(line.name, QUIET), label=line.name, **style)
    if panel.base > 1:
        ax.set_xscale("log", base=panel.base)
    places = sorted({x for line in panel.lines for x in line.x})
    ax.set_xticks(places)
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.tick_params(axis="x", labelsize=8)
    if panel.from_zero:
        ax.set_ylim(0, 1.15 * max(y for line in panel.lines for y in line.y))
    else:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5)))
        ax.yaxis.set_minor_formatter("")
    ax.yaxis.set_major_formatter(EngFormatter("s") if panel.unit else FuncFormatter(_short))
    ax.set_title(panel.title, fontsize=10)
    ax.set_xlabel(panel.xlabel)
    ax.set_ylabel(panel.ylabel)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=8)


def _short(value: float, _: int) -> str:
    """Return 10k for 10 000 and 10M for ten million; small numbers unchanged."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
