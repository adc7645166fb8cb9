"""Batch norm at prediction: exact population statistics, and folding (item N3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from deltarule.arrays import Array, array_namespace
from deltarule.checks import check_positive_integer
from deltarule.errors import SpecError
from deltarule.inputs import check_inputs
from deltarule.network import Network
from deltarule.opcodes import Op
from deltarule.parts import Dense
from deltarule.program import Block, State, Sums
from deltarule.reference import Reference
from deltarule.reference.statistics import accumulate, batch_moments
from deltarule.training.batches import batch_bounds

__all__ = ["fold_batch_norm", "refresh_statistics"]


def refresh_statistics(
    net: Network, state: State, X: Array, *, batch_size: int = 256, sample_weight: Any = None
) -> None:
    """Measure the population statistics anew with the final θ: one pass over the batches.

    The size-weighted mean of μ_k and of b_k/(b_k − 1) σ²_k over batches as they stand (Ioffe &
    Szegedy 2015, Algorithm 2). Training accumulates them while θ still moves; this is the exact
    form. Only for ``BatchNorm(statistics="population")``: running averages stay as they are.
    """
    check_positive_integer("batch_size", batch_size)
    x = check_inputs(net, X)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=net.dtype)
    reference = Reference(net.tape)
    population = replace(state, buffers=dict(state.buffers))
    population.forget_population()
    present = None if weight is None else weight > 0
    bounds = batch_bounds(x.shape[0], batch_size, present, net.tape.least_rows)
    for start, stop in pairwise(bounds):
        batch = Block(x, None, weight).take(slice(int(start), int(stop)))
        trace = reference.trace(state, batch.x, reference.passage(state, batch, int(start)))
        moments = batch_moments(net.tape, trace.contents, batch.weight)
        total = float(stop - start) if batch.weight is None else float(np.sum(batch.weight))
        accumulate(net.tape, population, Sums(0.0, total, state.theta, moments))
    for i, norm in enumerate(net.tape.normalizations):
        if not norm.running:
            for name in ("mean", "variance", "weight"):
                state.buffers[f"{i}.{name}"] = population.buffers[f"{i}.{name}"]


def fold_batch_norm(net: Network, state: State) -> tuple[Network, State]:
    """Return the same function at prediction as a network without batch norm.

    Each normalisation is the affine map x ↦ a x + c, a = γ/√(σ² + ε), c = β − a μ. Before the
    activation it is folded into the layer's own W a and b a + c; after it, into the next layer's
    diag(a) W and b + c W (Matt R §9; Ioffe & Szegedy 2015).

    Raises
    ------
    SpecError
        If a normalisation after an activation has a dropout behind it before the next layer.
    """
    layers = tuple(
        replace(layer, batch_norm=None) if isinstance(layer, Dense) else layer
        for layer in net.layers
    )
    folded = replace(net, layers=layers)
    reference = Reference(net.tape)
    xp = array_namespace(state.theta)
    theta = xp.zeros(folded.tape.n_parameters, dtype=state.theta.dtype)
    places = {p.name: slice(p.start, p.stop) for p in folded.tape.parameters}
    after: tuple[Array, Array] | None = None  # the map to be folded into the next layer
    number = 0
    lines = net.tape.instructions
    for here, line in enumerate(lines):
        if line.op == Op.DROPOUT and after is not None:
            raise SpecError(
                "a dropout stands between a normalisation after an activation and the next layer; "
                "what it drops cannot be folded. Put the dropout elsewhere, or normalise before."
            )
        if line.op != Op.AFFINE:
            continue
        number += 1
        w, b = reference.parameters(line, state.theta)
        b = xp.zeros(line.n_out, dtype=w.dtype) if b is None else b
        if after is not None:
            a, c = after
            b, w, after = b + c @ w, a[:, None] * w, None
        follower = lines[here + 1]
        if follower.op == Op.NORMALIZE:
            a, c = _affine_of(reference, follower, state)
            w, b = w * a, b * a + c
        elif here + 2 < len(lines) and lines[here + 2].op == Op.NORMALIZE:
            after = _affine_of(reference, lines[here + 2], state)
        for name, value in ((f"W{number}", w), (f"b{number}", b)):
            theta[places[name]] = xp.reshape(value, (-1,))
    return folded, State(theta, seed=state.seed)


def _affine_of(reference: Reference, line: Any, state: State) -> tuple[Array, Array]:
    """Return (a, c) of a normalisation at prediction: its values at x = 1 and x = 0."""
    gamma, beta = reference.parameters(line, state.theta)
    mu = state.buffers.get(f"{line.code}.mean", 0 * gamma)
    sigma2 = state.buffers.get(f"{line.code}.variance", 0 * gamma + 1)
    a = gamma / array_namespace(gamma).sqrt(sigma2 + line.constant)
    return a, beta - a * mu
