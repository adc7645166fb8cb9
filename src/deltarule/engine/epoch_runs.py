"""Runs of epochs: whole epochs of a small network in one call of the driver.

An epoch of one step takes some microseconds, and what Python does around a call takes ten times as
long. So where nobody looks on between two epochs, several of them run in one call, which keeps the
state after each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltarule.engine.compiler import caller, kernel_address
from deltarule.engine.evaluation import Evaluation
from deltarule.engine.optimizers import Averages, Update
from deltarule.engine.records import EPOCHS, structure_of
from deltarule.program import State
from deltarule.utils.addresses import address_of
from deltarule.utils.arrays import aligned_zeros, all_finite

if TYPE_CHECKING:
    from deltarule.engine.buffers import Buffers

__all__ = ["EpochMemory", "most_epochs"]

_MOST = 64  # epochs in a run
_MOST_PARAMETERS = 2**18  # in the states that a run keeps

_PLACES = ("rows", "learning_rates", "batch_weights", "losses", "penalty_values")


def most_epochs(n_parameters: int) -> int:
    """Return how many epochs a run takes, at most."""
    return min(_MOST, _MOST_PARAMETERS // max(1, n_parameters))


class EpochMemory:
    """The record of a run, and the memory for the states that its epochs leave.

    Parameters
    ----------
    buffers : Buffers
        Of the training's steps.
    n_arrays : int
        θ and the optimiser's averages.
    """

    def __init__(self, buffers: Buffers, n_arrays: int) -> None:
        self.buffers, self.n_arrays = buffers, n_arrays
        self._held = aligned_zeros(EPOCHS.itemsize // 8, np.int64)
        self._record = structure_of(EPOCHS).from_address(address_of(self._held))
        dtype, p = buffers.tape.dtype, buffers.tape.n_parameters
        self.call = caller(dtype, buffers.address, address_of(self._held))
        n = most_epochs(p)
        self.states = np.empty((n, n_arrays, p), dtype)
        self.taken, self.products = np.empty(n, np.int64), np.empty(n)
        e = self._record
        e.run = kernel_address("run", dtype)
        e.n_parameters, e.n_arrays, e.states = p, n_arrays, address_of(self.states)
        e.steps_taken, e.momentum_products = address_of(self.taken), address_of(self.products)

    def run(
        self,
        state: State,
        rows: npt.NDArray[np.int64],
        rates: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        measured: tuple[Evaluation, npt.NDArray[Any], npt.NDArray[Any]] | None,
    ) -> tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Run an epoch for every order in ``rows``.

        Return how many are whole, and the losses and penalties (epochs, steps).
        """
        e, c = self._record, self.buffers.context
        records = np.zeros((2, *rates.shape))
        e.n_epochs, e.n_steps = rates.shape
        e.n_rows, e.rows = rows.shape[1], address_of(rows)
        e.learning_rates, e.batch_weights = address_of(rates), address_of(weights)
        e.losses = address_of(records)
        e.penalty_values = e.losses + records.nbytes // 2
        e.whole = e.evaluation = 0
        lane, places = None, [getattr(c, name) for name in _PLACES]
        c.begin, c.end = 0, rates.shape[1]
        try:
            if measured is not None:
                evaluation, outputs, losses = measured
                lane = evaluation.take_lane(state)
                e.evaluation = lane.buffers.address
                e.outputs, e.outputs_size = address_of(outputs), outputs.strides[0]
                e.output_losses, e.losses_size = address_of(losses), losses.strides[0]
            self.buffers.run(int(state.step), 1, self.call)
        finally:
            for name, place in zip(_PLACES, places, strict=True):
                setattr(c, name, place)
            if measured is not None and lane is not None:
                measured[0].give_back(lane)
        return int(e.whole), records[0], records[1]

    def finite(self, epochs: int) -> int:
        """Return how many of the first epochs have a finite θ at the end, up to another one."""
        theta = self.states[:epochs, 0]
        if all_finite(theta):
            return epochs
        return int(np.isfinite(theta).all(axis=1).argmin())

    def state_after(self, epoch: int, update: Update, step: int, taken: int, seed: int) -> State:
        """Return the state after an epoch, in memory that the next run changes.

        The first of its epochs began after ``step`` steps of the state, and ``taken`` of the
        optimiser.
        """
        arrays = self.states[epoch]
        now = int(self.taken[epoch])
        averages = Averages(arrays[1], arrays[-1])
        memory = averages.as_state(update, now, float(self.products[epoch]))
        return State(arrays[0], seed, step + now - taken, memory)
