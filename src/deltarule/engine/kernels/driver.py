"""The driver: it runs the steps of a call, stage by stage, on one thread or on several.

A step is a sequence of stages, a stage a number of pieces that do not touch each other: rows of
the batch, columns of a layer, or chunks of θ. Every thread walks through the same stages and
takes the next piece that nobody has taken; the thread that ends a stage's last piece does its
epilogue. A thread that was held up finds its pieces taken, and holds nobody up. How many pieces
there are, and where they lie, depends on the work alone: the results do not depend on the threads.
"""

from __future__ import annotations

from deltarule.engine.kernels.memory import (
    add_atomically,
    call,
    inlined,
    load_atomically,
    pass_turn,
    read,
    read_float,
    swap_atomically,
    vector,
)
from deltarule.engine.layout import (
    AXIS,
    BATCH_WEIGHT,
    BEGIN,
    BOUNDS,
    BY_CHUNKS,
    BY_ROWS,
    CONTEXT_FIELDS,
    DONE,
    END,
    EPILOGUE,
    EXTENT,
    GRAIN,
    KERNEL,
    N_PROLOGUE,
    N_STAGES,
    N_THREADS,
    NEXT,
    PASS_TURN,
    STAGE_FIELDS,
    STAGES,
    STOP,
)

__all__ = ["run"]

SPINS = 2000  # looks at a counter before a waiting thread lets another one run


def run(context, one):
    """Run the steps of a call, or help to: every thread calls this with the same context."""
    c = vector(context, CONTEXT_FIELDS, 0)
    base = base_done = read(c[NEXT])  # 0 before the first piece is taken, for whoever comes
    base -= base
    base_done -= base_done
    k = c[BEGIN]
    s = k - k
    while k < c[END]:
        if s >= c[N_PROLOGUE] and read_float(c[BATCH_WEIGHT] + 8 * k) == 0.0:
            k += 1  # a batch that says nothing
            continue
        rows = read(c[BOUNDS] + 8 * (k + 1)) - read(c[BOUNDS] + 8 * k)
        base, base_done = run_stage(context, s, k, rows, base, base_done, one)
        s += 1
        if s > c[N_PROLOGUE] and load_atomically(c[STOP]) <= k:
            return
        if s == c[N_STAGES]:
            s = c[N_PROLOGUE]
            k += 1


@inlined
def run_stage(context, s, k, rows, base, base_done, one):
    """Take part in stage s of step k; return where the counters stand after it."""
    c = vector(context, CONTEXT_FIELDS, 0)
    stage_at = c[STAGES] + 8 * STAGE_FIELDS * s
    stage = vector(stage_at, STAGE_FIELDS, 0)
    extent = stage[EXTENT] if stage[EXTENT] > 0 else rows
    pieces = (extent + stage[GRAIN] - 1) // stage[GRAIN]
    limit, complete = base + pieces, base_done + pieces
    alone, taken, looks = c[N_THREADS] == 1, base, 0
    while True:
        if not alone:
            taken = load_atomically(c[NEXT])
        if taken >= limit:
            break
        if not (alone or swap_atomically(c[NEXT], taken, taken + 1)):
            continue
        run_piece(context, stage_at, k, rows, extent, taken - base, one)
        taken += 1
        done = taken if alone else add_atomically(c[DONE], 1) + 1
        if done == (limit if alone else complete):
            if stage[EPILOGUE] != 0:
                call(stage[EPILOGUE], (context, stage_at, k, rows, one))
            if not alone:
                add_atomically(c[DONE], 1)
    while not alone and load_atomically(c[DONE]) <= complete:
        looks += 1
        if looks > SPINS and c[PASS_TURN] != 0:
            pass_turn(c[PASS_TURN])
    return limit, complete + 1


@inlined
def run_piece(context, stage_at, k, rows, extent, piece, one):
    """Do one piece of a stage."""
    stage = vector(stage_at, STAGE_FIELDS, 0)
    low = piece * stage[GRAIN]
    high = min(low + stage[GRAIN], extent)
    if stage[AXIS] == BY_CHUNKS:
        for i in range(low, high):
            call(stage[KERNEL], (context, stage_at, i, k, rows, one))
    elif stage[AXIS] == BY_ROWS:
        call(stage[KERNEL], (context, stage_at, k, rows, low, high, 0, 0, one))
    else:
        call(stage[KERNEL], (context, stage_at, k, rows, 0, rows, low, high, one))
