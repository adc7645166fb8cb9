"""Sample weights as repetitions: a row of weight 2 counts as two rows, one of weight 0 as none."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.program import BatchSchedule, Block, Interpreter, State, StepLog
from deltarule.utils.arrays import Array

__all__ = ["Repeating"]


class Repeating:
    """Interpreter for which sample weights are repetitions in batch norm, too, with full batches.

    The statistics for prediction hold b/(b − 1) σ², where b is the number of rows in the batch.
    With weights whose sum exceeds b, b is replaced by Σw. Weights with a smaller sum do not lower
    it, and class weights do not count.

    Parameters
    ----------
    interpreter : Interpreter
        Takes the steps.
    sample_weight : array of shape (n,)
        Weights of the rows, without class weights.
    """

    def __init__(self, interpreter: Interpreter, sample_weight: Array) -> None:
        self._interpreter, self._sample_weight = interpreter, sample_weight

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take the steps; correct the statistics that the epoch's only batch left."""
        seen = self._interpreter.train_steps(state, block, order, steps)
        if order.n_batches > 1 or seen.diverged:
            return seen
        present = np.asarray(block.weight) > 0
        rows = int(np.count_nonzero(present))
        repeated = float(np.sum(self._sample_weight[present], dtype=np.float64))
        if repeated > rows:
            factor = (repeated / (repeated - 1)) / (rows / (rows - 1))
            for name in state.buffers:
                if name.endswith(".variance"):
                    old = state.buffers[name]
                    state.buffers[name] = (factor * old).astype(old.dtype)
        return seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)
