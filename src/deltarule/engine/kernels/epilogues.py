"""Epilogues: what the thread that ends a stage's last piece does before anybody goes on.

Each is a kernel ``(context, stage, k, rows, one)``.
"""

from __future__ import annotations

from math import isfinite

from deltarule.engine.kernels.chunks import strength_of
from deltarule.engine.kernels.memory import add_atomically, read, read_float, vector
from deltarule.engine.layout import (
    ABSOLUTES,
    CONTEXT_FIELDS,
    FACTOR,
    LOSS,
    N_PENALTIES,
    NADAM_DECAY,
    NADAM_PRODUCT,
    NUMBERS,
    PENALTIES,
    PENALTY,
    PENALTY_CHUNK_FROM,
    PENALTY_CHUNK_TO,
    PENALTY_CODE,
    PENALTY_FIELDS,
    ROW_LOSSES,
    SQUARES,
    STEP,
    STOP,
    TAKEN,
    UPDATE_CONSTANTS,
    WEIGHT_DECAY,
    WEIGHT_LIMITS,
)
from deltarule.opcodes import PenaltyCode

__all__ = ["end_step", "look_at_loss"]


_L2 = int(PenaltyCode.L2)


def look_at_loss(context, stage_at, k, rows, one):
    """Write down the step's loss and penalty; stop where they are no numbers."""
    c = vector(context, CONTEXT_FIELDS, 0)
    factor, losses = vector(c[FACTOR], rows, one), vector(c[ROW_LOSSES], rows, one)
    loss = penalty = 0.0
    for i in range(rows):
        loss += factor[i] * losses[i]
    for j in range(c[N_PENALTIES]):
        term = vector(c[PENALTIES] + 8 * PENALTY_FIELDS * j, PENALTY_FIELDS, 0)
        parts, half = c[ABSOLUTES], 1.0
        if term[PENALTY_CODE] == _L2:
            parts, half = c[SQUARES], 0.5
        total = 0.0
        for i in range(term[PENALTY_CHUNK_FROM], term[PENALTY_CHUNK_TO]):
            total += read_float(parts + 8 * i)
        penalty += strength_of(c, j, k) * half * total
    vector(c[LOSS], k + 1, 1.0)[k] = loss
    vector(c[PENALTY], k + 1, 1.0)[k] = penalty
    if not isfinite(loss + penalty):
        add_atomically(c[STOP], k - read(c[STOP]))


def end_step(context, stage_at, k, rows, one):
    """Count the step."""
    c = vector(context, CONTEXT_FIELDS, 0)
    t = add_atomically(c[TAKEN], 1) + 1
    add_atomically(c[STEP], 1)
    constants = vector(c[UPDATE_CONSTANTS], WEIGHT_DECAY, 1.0)
    if constants[NADAM_DECAY] >= 0:
        mu = constants[0] * (1.0 - 0.5 * 0.96 ** (t * constants[NADAM_DECAY]))
        vector(c[NUMBERS], WEIGHT_LIMITS, 1.0)[NADAM_PRODUCT] *= mu
