"""The shape of a trained network, and how its training ended."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Summary", "summary_of"]


class Summary(NamedTuple):
    """The shape of a network and how its training ended; epochs count from 1, and 0 is none."""

    widths: list[int]
    parameters: int
    epochs: int
    best_epoch: int


def summary_of(network: Any, *, by_loss: bool) -> Summary:
    """Return the shape of a network, and its best epoch by its dev loss or its dev score."""
    weights, biases = network.coefs_, network.intercepts_
    curve = network.validation_loss_curve_ if by_loss else network.validation_scores_
    curve = curve or []  # of another's file: it may have none
    sign = -1 if by_loss else 1
    best = max(range(len(curve)), key=lambda i: (curve[i] == curve[i], sign * curve[i]), default=-1)
    return Summary(
        widths=[len(weights[0]), *(len(bias) for bias in biases)],
        parameters=sum(array.size for array in [*weights, *biases]),
        epochs=len(curve),
        best_epoch=best + 1,
    )
