"""Fast predictions for one row or a few rows per call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from deltarule.network.backend import interpreter_of
from deltarule.network.data import check_inputs
from deltarule.program import Block, State
from deltarule.program.folding import fold_batch_norm
from deltarule.program.lowering import lower
from deltarule.spec import NetworkSpec
from deltarule.utils.arrays import aligned, to_numpy

__all__ = ["Predictor"]


class Predictor:
    """A function from rows to the outputs of a network at one state.

    Batch norm is folded into the weights, dropout is left out, and θ is copied, so that training
    the state further does not change the predictions. Several threads may share one predictor.

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    state : State
        Its parameters and statistics.
    n_threads : int or None, default=None
        The maximum number of threads for many rows, as in ``train``; a few rows use one thread.
    """

    def __init__(self, spec: NetworkSpec, state: State, *, n_threads: int | None = None) -> None:
        bare = replace(spec, layers=spec.predicting_layers, penalties=(), constraints=())
        folded, moved = state.read(lambda state: fold_batch_norm(bare, state))
        self._spec = folded
        self._dtype, self._width = np.dtype(spec.dtype), (spec.n_inputs,)
        self._state = State(aligned(to_numpy(moved.theta), self._dtype))
        self._interpreter = interpreter_of(lower(folded), n_threads=n_threads)

    def __call__(self, X: Any) -> Any:
        """Return the outputs (n, k) for the rows of X (n, d), an array or a CSR matrix."""
        if type(X) is np.ndarray and X.dtype is self._dtype and X.shape[1:] == self._width:
            outputs = self._interpreter.forward(self._state, Block(X), if_finite=True)
            if outputs is not None:
                return outputs
        return self._interpreter.forward(self._state, Block(check_inputs(self._spec, X)))
