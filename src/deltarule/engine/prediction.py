"""Predictions: rows through the forward pass of a tape, by calls that are prepared once.

Rows go through the network a few at a time, so that what is between two layers stays in the cache.
A row's outputs depend on no other row, so it does not matter how rows are cut: one thread takes
them all, or several threads take a part after the other, each with buffers of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from deltarule.engine.buffers import Buffers
from deltarule.engine.thread_pool import run_together
from deltarule.engine.work_plan import Mode, make_plan, rows_at_once, work
from deltarule.program import State
from deltarule.program.tape import Tape
from deltarule.utils.addresses import address_of

__all__ = ["Lane", "Prediction"]

_SMALL = 1.5e7  # multiplications and additions below which a second thread comes too late
_PART = 4e6  # of these in a part, at least
_MOST_PARTS = 16
_ROWS_IN_BLOCK = 8  # of a matrix product: parts are whole blocks
_NEVER = 2**62

# --- prepared calls -------------------------------------------------------------------------------


class Lane:
    """A context and its buffers, for one thread at a time."""

    __slots__ = ("buffers", "context", "cut")

    def __init__(self, buffers: Buffers) -> None:
        self.buffers, self.context = buffers, buffers.context
        self.cut: _Cut | None = None  # the last one
        self.context.n_threads = 1
        buffers.counters.stop = _NEVER


class Prediction:
    """The forward pass of a tape in one mode, on rows that are already checked.

    Several threads may call it at the same time, and a signal handler during a call.

    Parameters
    ----------
    tape : Tape
        What is run.
    mode : Mode
        OUTPUTS, LOGITS, LOSSES or EVALUATION.
    sparse : bool
        Whether inputs are CSR.
    n_threads : int
        The most threads; few rows stay on one.
    prepare : callable
        Writes into new buffers what does not depend on a call.
    load : callable
        Copies the statistics of batch norm from a state into buffers.
    """

    def __init__(
        self,
        tape: Tape,
        mode: Mode,
        *,
        sparse: bool,
        n_threads: int,
        prepare: Callable[[Buffers], None],
        load: Callable[[Buffers, State], None],
    ) -> None:
        self._tape, self._mode, self._sparse = tape, mode, sparse
        self._n_threads, self._prepare = n_threads, prepare
        self._load = load if tape.normalizations else None
        self._rows = rows_at_once(tape)
        self._work = work(tape, 1) / 3  # of a row
        self._most = int(_SMALL / self._work)  # rows for one thread
        self._free: list[Lane] = []

    def run(
        self,
        state: State,
        n: int,
        output: int,
        x: int,
        *,
        others: Callable[[Any], None] | None = None,
        if_finite: bool = False,
    ) -> bool:
        """Predict n rows; with ``if_finite`` return whether all inputs are finite.

        Parameters
        ----------
        state : State
        n : int
            At least 1.
        output : int
            The address of the outputs or the logits; 0 for losses alone.
        x : int
            The address of dense inputs, row-major; 0 for sparse ones.
        others : callable, optional
            Writes further addresses into a context: of sparse inputs, of targets and losses.
        """
        given = (state, output, x, others, if_finite)
        if self.fits_one_thread(n):
            cut = _cut(n, self._rows)
            return self._part(cut, 0, cut.batches, *given)
        # Several threads take one part after the other, so that one that comes late takes fewer.
        parts = max(2, min(_MOST_PARTS, int(n * self._work / _PART)))
        cut = _cut(n, min(self._rows, _ROWS_IN_BLOCK * -(-n // (parts * _ROWS_IN_BLOCK))))
        parts = min(parts, cut.batches)
        numbers, finite = count(), [True] * parts

        def take() -> None:
            while (k := next(numbers)) < parts:
                begin, end = k * cut.batches // parts, (k + 1) * cut.batches // parts
                finite[k] = self._part(cut, begin, end, *given)

        run_together(take, min(self._n_threads, parts))
        return all(finite)

    def fits_one_thread(self, n: int) -> bool:
        """Return whether n rows are predicted on one thread."""
        return self._n_threads == 1 or n <= self._most

    def take_lane(self, state: State, n: int, x: int) -> Lane:
        """Return a context for predictions of n rows at address x, which no other call uses."""
        try:
            lane = self._free.pop()
        except IndexError:
            lane = self._new_lane()
        c, cut = lane.context, _cut(n, self._rows)
        if lane.cut is not cut:
            c.bounds, c.batch_weights, lane.cut = cut.bounds_at, cut.weights_at, cut
        c.theta, c.x = address_of(state.theta), x
        c.begin, c.end, c.checks_inputs = 0, cut.batches, 0
        return lane

    def give_back(self, lane: Lane) -> None:
        """Let other calls use a context."""
        self._free.append(lane)

    def _part(
        self,
        cut: _Cut,
        begin: int,
        end: int,
        state: State,
        output: int,
        x: int,
        others: Callable[[Any], None] | None,
        if_finite: bool,
    ) -> bool:
        """Predict batches [begin, end) on this thread."""
        try:
            lane = self._free.pop()
        except IndexError:
            lane = self._new_lane()
        try:
            c = lane.context
            if lane.cut is not cut:
                c.bounds, c.batch_weights, lane.cut = cut.bounds_at, cut.weights_at, cut
            c.theta, c.x, c.output = address_of(state.theta), x, output
            c.begin, c.end, c.checks_inputs = begin, end, if_finite
            if others is not None:
                others(c)
            if self._load is not None:
                self._load(lane.buffers, state)
            lane.buffers.call()
            if c.odd_inputs:
                c.odd_inputs = 0
                return False
            return True
        finally:
            self._free.append(lane)

    def _new_lane(self) -> Lane:
        plan = make_plan(self._tape, self._mode, self._rows)
        buffers = Buffers(self._tape, plan, self._mode, self._rows, sparse=self._sparse)
        self._prepare(buffers)
        return Lane(buffers)


class _Cut(NamedTuple):
    """Rows cut into batches: where each begins and ends, and a weight of 1 for each."""

    batches: int
    bounds_at: int
    weights_at: int
    held: tuple[Any, ...]  # the arrays at these addresses


@lru_cache(maxsize=64)
def _cut(n: int, size: int) -> _Cut:
    """Return runs of ``size`` rows, the last one shorter."""
    bounds = np.append(np.arange(0, n, size), n).astype(np.int64)
    weights = np.ones(len(bounds) - 1)
    return _Cut(len(weights), address_of(bounds), address_of(weights), (bounds, weights))
