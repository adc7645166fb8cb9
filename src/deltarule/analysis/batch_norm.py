"""Batch norm at prediction: exact population statistics (item N3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from deltarule.errors import DataError
from deltarule.network import Network
from deltarule.network.data import check_inputs, check_weight
from deltarule.program import Block, GradientSums, State
from deltarule.program.folding import fold_batch_norm
from deltarule.program.state_checks import check_theta
from deltarule.reference import Reference
from deltarule.reference.batch_norm_statistics import accumulate, batch_moments
from deltarule.spec import check_network
from deltarule.training.batches import batch_bounds
from deltarule.utils.arrays import Array
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import check_positive_integer

__all__ = ["fold_batch_norm", "recompute_batch_norm"]


@one_blas_thread()
def recompute_batch_norm(
    net: Network, state: State, X: Array, *, batch_size: int = 256, sample_weight: Any = None
) -> None:
    """Recompute the population statistics with the final θ, in one pass over the batches.

    They are the means, weighted by batch size, of μ_k and of b_k/(b_k − 1) σ²_k over consecutive
    batches (Ioffe & Szegedy 2015, Algorithm 2). Training accumulates them while θ still changes;
    this function gives the exact values and writes them into ``state``. It affects only
    ``BatchNorm(inference_statistics="population")``: running averages stay unchanged.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters; its statistics are changed.
    X : (n, d) array
        Inputs.
    batch_size : int, default=256
        The rows of a batch.
    sample_weight : (n,) array, optional
        Weights of the rows.
    """
    check_network(net)
    check_positive_integer("batch_size", batch_size)
    x = check_inputs(net, X)
    check_theta(state, net.tape)
    if x.shape[0] == 0:
        raise DataError("X has no rows. Give at least one example.")
    weight = check_weight(net, sample_weight, int(x.shape[0]))
    reference = Reference(net.tape)
    population = replace(state, buffers=dict(state.buffers))
    population.restart_population_statistics()
    present = None if weight is None else weight > 0
    bounds = batch_bounds(x.shape[0], batch_size, present, net.tape.min_rows)
    for start, stop in pairwise(bounds):
        batch = Block(x, None, weight).take(slice(int(start), int(stop)))
        trace = reference.trace(state, batch.x, reference.training_pass(state, batch, int(start)))
        moments = batch_moments(net.tape, trace.contents, batch.weight)
        total = float(stop - start) if batch.weight is None else float(np.sum(batch.weight))
        accumulate(net.tape, population, GradientSums(0.0, total, state.theta, moments))
    for i, norm in enumerate(net.tape.normalizations):
        if not norm.running:
            for name in ("mean", "variance", "weight"):
                state.buffers[f"{i}.{name}"] = population.buffers[f"{i}.{name}"]
