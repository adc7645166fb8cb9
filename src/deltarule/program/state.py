"""State of a training: parameters, optimiser state, statistics and counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deltarule.utils.arrays import Array, array_namespace

__all__ = ["State"]


@dataclass
class State:
    """Everything that training changes; checkpoints, rollback and "restore the best" copy it."""

    theta: Array  # (p,) every parameter of the network
    seed: int = 0  # key of the dropout masks
    step: int = 0  # number of steps taken, over all epochs
    optimizer_state: Any = None  # state of the optimiser (a NamedTuple); None before its first step
    buffers: dict[str, Array] = field(default_factory=dict)  # statistics of batch normalisation

    def copy(self) -> State:
        """Return a copy that shares no memory with this one."""
        return State(
            _copied(self.theta),
            self.seed,
            self.step,
            _copied(self.optimizer_state),
            {name: _copied(array) for name, array in self.buffers.items()},
        )

    def overwrite(self, other: State) -> None:
        """Copy another state into this one, into the existing arrays if they fit."""
        self.theta = _moved(self.theta, other.theta)
        self.seed, self.step = other.seed, other.step
        self.optimizer_state = _moved(self.optimizer_state, other.optimizer_state)
        self.buffers = {n: _moved(self.buffers.get(n), a) for n, a in other.buffers.items()}

    def restart_population_statistics(self) -> None:
        """Start a new mean of batch statistics; the old one is kept until the first batch."""
        for name in self.buffers:
            if name.endswith(".weight"):
                self.buffers[name] = 0 * self.buffers[name]

    def restore(self, other: State) -> None:
        """Copy another state into this one, θ in place, so that views of θ stay valid."""
        self.theta[...] = other.theta
        self.seed, self.step = other.seed, other.step
        self.optimizer_state = _copied(other.optimizer_state)
        self.buffers = {name: _copied(array) for name, array in other.buffers.items()}


def _copied(value: Any) -> Any:
    if type(value) is np.ndarray:  # the usual case, without the search for a namespace
        return value.copy("K")
    if isinstance(value, tuple):
        return type(value)(*(_copied(item) for item in value))
    if hasattr(value, "shape"):
        return array_namespace(value).asarray(value, copy=True)
    return value


def _moved(mine: Any, theirs: Any) -> Any:
    """Return a copy of ``theirs``, written into ``mine`` if shape and dtype agree."""
    if isinstance(theirs, tuple) and type(mine) is type(theirs):
        return type(theirs)(*(_moved(a, b) for a, b in zip(mine, theirs, strict=True)))
    fits = isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray) and theirs.ndim > 0
    if not fits or mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return _copied(theirs)
    mine[...] = theirs
    return mine
