"""The driver: it runs the steps of a call, stage by stage, on one thread or on several.

A step is a sequence of stages. A stage is cut into tiles that do not touch each other: rows of the
batch, columns of a layer, or blocks of θ. Every thread goes through the same stages. Thread t of n
has the tiles t, t + n, …, the same in every step, so that it finds in its caches what it has left
there; when they are done, it takes the others' last ones. So a delayed thread never blocks the
others. The thread that finishes a stage's last tile runs the stage's ``on_stage_end``. What is
computed of a tile depends on no other: results do not depend on the number of threads.
"""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import (
    add_atomically,
    call,
    context_at,
    inlined,
    load_atomically,
    read,
    read_float,
    stage_at,
    swap_atomically,
    yield_thread,
)
from deltarule.engine.records import BY_BLOCKS, BY_ROWS

__all__ = ["run"]

SPINS = 2000  # how often a waiting thread reads a counter before it lets another thread run
_FRONT, _BACK = 1, 2**20  # of a share: a tile taken by its thread, and one taken by another
_TAKEN, _STAGE = _BACK - 1, 40  # bits of both counts, and before them the number of the stage


def run(context, one):
    """Run the steps of a call: every thread of the call enters here with the same context."""
    c = context_at(context)
    me = add_atomically(c.n_entered, 1) if c.n_threads > 1 else 0
    number = done_before = 0
    s, k = 0, c.begin
    while k < c.end:
        if s >= c.n_prologue and read_float(c.batch_weights + 8 * k) == 0.0:
            k += 1  # all weights are 0: no step
            continue
        rows = read(c.bounds + 8 * (k + 1)) - read(c.bounds + 8 * k)
        number += 1
        if c.n_threads == 1:
            run_stage_alone(context, s, k, rows, one)
        else:
            done_before = run_stage(context, s, k, rows, me, number, done_before, one)
        s += 1
        if s > c.n_prologue and load_atomically(c.stop) <= k:
            return
        if s == c.n_stages:
            s = c.n_prologue
            k += 1


@inlined
def run_stage_alone(context, s, k, rows, one):
    """Run all tiles of stage s in step k."""
    stage = stage_at(context_at(context).stages, s)
    extent = stage.extent if stage.extent > 0 else rows
    for low in range(0, extent, stage.tile_size):
        run_tile(context, s, k, rows, low, extent, one)
    if stage.on_stage_end != 0:
        call(stage.on_stage_end, (context, s, k, rows, one))


@inlined
def run_stage(context, s, k, rows, me, number, done_before, one):
    """Claim and run tiles of stage s in step k, the ``number``-th stage of the call.

    Return the value of the counter ``tiles_done`` at the stage's end. It only grows during a call:
    each stage adds its tiles, and 1 for its end.
    """
    c = context_at(context)
    stage = stage_at(c.stages, s)
    extent = stage.extent if stage.extent > 0 else rows
    tiles = (extent + stage.tile_size - 1) // stage.tile_size
    complete, done, looks = done_before + tiles, 0, 0
    for other in range(c.n_threads):
        owner = (me + other) % c.n_threads
        count = (tiles - owner + c.n_threads - 1) // c.n_threads
        while True:
            place = claim(c.shares + 128 * owner, number, count, other > 0)
            if place < 0:
                break
            low = (owner + place * c.n_threads) * stage.tile_size
            run_tile(context, s, k, rows, low, extent, one)
            done += 1
    if done > 0 and add_atomically(c.tiles_done, done) + done == complete:
        if stage.on_stage_end != 0:
            call(stage.on_stage_end, (context, s, k, rows, one))
        add_atomically(c.tiles_done, 1)
    while load_atomically(c.tiles_done) <= complete:
        looks += 1
        if looks > SPINS and c.yield_thread != 0:
            yield_thread(c.yield_thread)
    return complete + 1


@inlined
def claim(share, number, count, from_behind):
    """Claim a tile of a share of so many tiles, from its front or its back; return −1 if none.

    The cell at this address holds what is taken from the front and the back, in the stage with the
    number that it holds, too. It only grows.
    """
    while True:
        seen = load_atomically(share)
        taken = 0
        if seen >> _STAGE > number:  # the stage is over
            return -1
        if seen >> _STAGE == number:
            taken = seen & (2**_STAGE - 1)
        front, back = taken & _TAKEN, taken // _BACK
        if front + back >= count:
            return -1
        following = (number << _STAGE) + taken + (_BACK if from_behind else _FRONT)
        if swap_atomically(share, seen, following):
            return count - 1 - back if from_behind else front


@inlined
def run_tile(context, s, k, rows, low, extent, one):
    """Run the tile of a stage that begins at ``low``."""
    c = context_at(context)
    stage = stage_at(c.stages, s)
    high = min(low + stage.tile_size, extent)
    if stage.axis == BY_BLOCKS:
        for i in range(low, high):
            call(stage.kernel, (context, s, i, k, rows, one))
    elif stage.axis == BY_ROWS:
        call(stage.kernel, (context, s, k, rows, low, high, 0, 0, one))
    else:
        call(stage.kernel, (context, s, k, rows, 0, rows, low, high, one))
