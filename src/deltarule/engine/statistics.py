"""The statistics of batch norm, between a state and the buffers of a call (items N1-N3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.engine.buffers import Buffers
from deltarule.program import Block, GradientSums, State

__all__ = ["load_statistics", "moments_of", "save_statistics"]


def load_statistics(buffers: Buffers, state: State, moments: GradientSums | None = None) -> None:
    """Load the statistics from the state; (0, 1) if it has seen no batch yet."""
    number = np.dtype(buffers.tape.dtype).type
    for i, norm in enumerate(buffers.normalizations):
        norm.population_moments[0] = state.buffers.get(f"{i}.mean", 0.0)
        norm.population_moments[1] = state.buffers.get(f"{i}.variance", 1.0)
        norm.population.weight_seen = float(state.buffers.get(f"{i}.weight", 0.0))
        norm.population.is_corrected = 0
        if not buffers.mode.trains:
            norm.batch[0] = norm.population_moments[0]
            norm.batch[2] = 1 / np.sqrt(norm.population_moments[1] + number(norm.epsilon))
        if moments is not None:  # a step along given sums uses theirs
            norm.batch[0] = moments.moments[2 * i] / moments.weight
            norm.batch[1] = moments.moments[2 * i + 1] / moments.weight
            norm.population.is_corrected = 1


def save_statistics(buffers: Buffers, state: State) -> None:
    """Write the statistics into the state, as new arrays."""
    for i, norm in enumerate(buffers.normalizations):
        state.buffers[f"{i}.mean"] = norm.population_moments[0].copy()
        state.buffers[f"{i}.variance"] = norm.population_moments[1].copy()
        if not buffers.tape.normalizations[i].running:
            state.buffers[f"{i}.weight"] = np.asarray(norm.population.weight_seen)


def moments_of(buffers: Buffers, part: Block, weight: float) -> tuple[Any, ...]:
    """Return W μ and W b/(b − 1) σ² of every normalisation, W the batch's weight."""
    if not buffers.normalizations:
        return ()
    b = part.n_rows if part.weight is None else int(np.count_nonzero(part.weight))
    found: list[Any] = []
    for norm in buffers.normalizations:
        found += [weight * norm.batch[0], weight * b / (b - 1) * norm.batch[1]]
    return tuple(found)
