"""One picture per anchor: curves of its runs by epoch, and the published number as a line."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from reproduce.anchor import Anchor, Results

__all__ = ["draw"]

COLORS = ("#2b6cb0", "#c05621", "#2c9a8f", "#805ad5", "#718096")


def draw(anchor: Anchor, results: Results, path: Path) -> None:
    """Draw a thin curve for every seed and a thick one for their mean."""
    key = anchor.curve(results)
    figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for color, (variant, runs) in zip(COLORS, results.items(), strict=False):
        curves = [np.asarray(run[key]) for run in runs]
        for curve in curves if len(curves) > 1 else []:
            ax.plot(np.arange(1, len(curve) + 1), curve, color=color, linewidth=0.6, alpha=0.5)
        length = min(map(len, curves))
        mean = np.mean([curve[:length] for curve in curves], axis=0)
        ax.plot(np.arange(1, length + 1), mean, color=color, linewidth=1.8, label=variant)
        published = anchor.published[variant]
        if key == "test_errors" and not isinstance(published, str):
            label = f"published, {variant}: {published:g} %"
            ax.axhline(published, color=color, linestyle="--", linewidth=1.0, label=label)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    wide = high > 6 * low
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter("")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel("test error (%)" if key == "test_errors" else "training loss")
    ax.set_title(f"{anchor.name}. {anchor.title}", fontsize=10)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
