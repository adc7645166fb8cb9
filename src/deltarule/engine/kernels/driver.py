"""The driver: it runs the steps of a call, stage by stage, on one thread or on several.

A step is a sequence of stages. A stage is cut into tiles that do not touch each other: rows of the
batch, columns of a layer, or blocks of θ. Every thread goes through the same stages and claims one
tile after another; the thread that finishes a stage's last tile runs the stage's ``on_stage_end``.
Tiles are claimed dynamically, so a delayed thread never blocks the others. How many tiles there
are, and where they lie, depends only on the work: results do not depend on the number of threads.
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


def run(context, one):
    """Run the steps of a call: every thread of the call enters here with the same context."""
    c = context_at(context)
    tiles_before = done_before = 0
    s, k = 0, c.begin
    while k < c.end:
        if s >= c.n_prologue and read_float(c.batch_weights + 8 * k) == 0.0:
            k += 1  # all weights are 0: no step
            continue
        rows = read(c.bounds + 8 * (k + 1)) - read(c.bounds + 8 * k)
        tiles_before, done_before = run_stage(context, s, k, rows, tiles_before, done_before, one)
        s += 1
        if s > c.n_prologue and load_atomically(c.stop) <= k:
            return
        if s == c.n_stages:
            s = c.n_prologue
            k += 1


@inlined
def run_stage(context, s, k, rows, tiles_before, done_before, one):
    """Claim and run tiles of stage s in step k; return the counters' values at the stage's end.

    The counters only grow during a call: ``tiles_before`` and ``done_before`` are what they count
    when the stage begins. Each stage adds its tiles to the first, and its tiles and 1 (for its end)
    to the second.
    """
    c = context_at(context)
    stage = stage_at(c.stages, s)
    extent = stage.extent if stage.extent > 0 else rows
    tiles = (extent + stage.tile_size - 1) // stage.tile_size
    limit, complete = tiles_before + tiles, done_before + tiles
    alone, tile, looks = c.n_threads == 1, tiles_before, 0
    while True:
        if not alone:
            tile = load_atomically(c.next_tile)
        if tile >= limit:
            break
        if not (alone or swap_atomically(c.next_tile, tile, tile + 1)):
            continue
        run_tile(context, s, k, rows, extent, tile - tiles_before, one)
        tile += 1
        done = tile if alone else add_atomically(c.tiles_done, 1) + 1
        if done == (limit if alone else complete):
            if stage.on_stage_end != 0:
                call(stage.on_stage_end, (context, s, k, rows, one))
            if not alone:
                add_atomically(c.tiles_done, 1)
    while not alone and load_atomically(c.tiles_done) <= complete:
        looks += 1
        if looks > SPINS and c.yield_thread != 0:
            yield_thread(c.yield_thread)
    return limit, complete + 1


@inlined
def run_tile(context, s, k, rows, extent, tile, one):
    """Run one tile of a stage."""
    c = context_at(context)
    stage = stage_at(c.stages, s)
    low = tile * stage.tile_size
    high = min(low + stage.tile_size, extent)
    if stage.axis == BY_BLOCKS:
        for i in range(low, high):
            call(stage.kernel, (context, s, i, k, rows, one))
    elif stage.axis == BY_ROWS:
        call(stage.kernel, (context, s, k, rows, low, high, 0, 0, one))
    else:
        call(stage.kernel, (context, s, k, rows, 0, rows, low, high, one))
