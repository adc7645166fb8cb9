"""Outputs and losses of rows that are measured again and again, as after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.engine.inputs import Inputs
from deltarule.engine.prediction import Lane, Prediction
from deltarule.program import State
from deltarule.utils.addresses import address_of

__all__ = ["Evaluation"]


class Evaluation:
    """A function of a state: outputs (n, k) and losses (n,) of rows that were checked before.

    Parameters
    ----------
    prediction : Prediction
        The forward pass, in the mode LOSSES or EVALUATION.
    inputs : Inputs
        The rows.
    y : (n, n_outputs) array
        Their targets.
    width : int
        k, the outputs of a row that are wanted: all or none.
    check : callable
        Raises unless a state fits the network.
    """

    def __init__(
        self,
        prediction: Prediction,
        inputs: Inputs,
        y: npt.NDArray[Any],
        width: int,
        check: Callable[[State], None],
    ) -> None:
        self._prediction, self._inputs, self._y, self._check = prediction, inputs, y, check
        self._n, self._width = len(y), width
        self._y_at, self._x_at = address_of(y), 0 if inputs.sparse else address_of(inputs.values)

    def __call__(self, state: State) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the outputs and the losses of a state."""
        self._check(state)
        outputs, losses = self._arrays()
        losses_at = address_of(losses)

        def others(c: Any) -> None:
            self._write_rows(c)
            c.output_losses = losses_at

        if self._n:
            outputs_at = address_of(outputs) if self._width else 0
            self._prediction.run(state, self._n, outputs_at, self._x_at, others=others)
        return outputs, losses

    def _arrays(self, *epochs: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        n, dtype = self._n, self._y.dtype
        return np.empty((*epochs, n, self._width), dtype), np.empty((*epochs, n), dtype)

    def _write_rows(self, c: Any) -> None:
        if self._inputs.sparse:
            self._inputs.write_addresses(c)
        c.y = self._y_at

    # --- in runs of epochs -----------------------------------------------------------------------

    def begin_run(self, epochs: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Return arrays for outputs and losses after each epoch; None if one thread is too few."""
        if self._n == 0 or not self._prediction.fits_one_thread(self._n):
            return None
        return self._arrays(epochs)

    def take_lane(self, state: State) -> Lane:
        """Return a context of this evaluation for one thread, to be given back after the run."""
        lane = self._prediction.take_lane(state, self._n, self._x_at)
        self._write_rows(lane.context)
        return lane

    def give_back(self, lane: Lane) -> None:
        """Let other calls use the context."""
        self._prediction.give_back(lane)
