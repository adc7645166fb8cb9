"""What one thread does after a stage's last tile, while the others wait.

Each is a kernel ``(context, s, k, rows, one)``: after stage s, in the step of batch k, which has so
many rows.
"""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import (
    add_atomically,
    context_at,
    optimizer_at,
    penalty_at,
    read,
    read_float,
    vector,
)
from deltarule.engine.kernels.parameter_updates import strength_of
from deltarule.program.opcodes import PenaltyCode

__all__ = ["LARGEST", "count_step", "record_loss"]


_L2 = int(PenaltyCode.L2)
LARGEST = 1.7976931348623157e308
"""The largest float64. ``isfinite`` of a sum would subtract it from itself, which the compiler may
simplify to 0 (``FAST``); a comparison means what it says."""


def record_loss(context, s, k, rows, one):
    """Record the step's loss and penalty; stop the call if they are not finite."""
    c = context_at(context)
    n = rows * c.members
    factor, losses = vector(c.factor, n, one), vector(c.row_losses, n, one)
    loss = value = 0.0
    for i in range(n):
        loss += factor[i] * losses[i]
    for j in range(c.n_penalties):
        penalty = penalty_at(c.penalties, j)
        parts, half = c.absolutes, 1.0
        if penalty.code == _L2:
            parts, half = c.squares, 0.5
        total = 0.0
        for i in range(penalty.blocks_from, penalty.blocks_to):
            total += read_float(parts + 8 * i)
        value += strength_of(c, j, k) * half * total
    vector(c.losses, k + 1, 1.0)[k] = loss
    vector(c.penalty_values, k + 1, 1.0)[k] = value
    if not abs(loss + value) <= LARGEST:
        add_atomically(c.stop, k - read(c.stop))


def count_step(context, s, k, rows, one):
    """Count the step, in the optimiser's counter and in the state's."""
    c = context_at(context)
    t = add_atomically(c.steps_taken, 1) + 1
    add_atomically(c.state_step, 1)
    optimizer = optimizer_at(c.optimizer)
    if optimizer.momentum_decay >= 0:
        mu = optimizer.beta1 * (1.0 - 0.5 * 0.96 ** (t * optimizer.momentum_decay))
        optimizer.momentum_product *= mu
