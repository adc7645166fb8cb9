"""Continuing a training in a later call, to the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import SpecError
from deltarule.program import Interpreter, State
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.history import History
from deltarule.training.state import TrainingState

__all__ = ["ResumePoint", "resume_point", "resumed"]


class ResumePoint(NamedTuple):
    """What a later call needs in addition to the history and the state."""

    training: TrainingState  # with an empty history
    step: int  # of the state that the call left
    n_rows: int
    maximize: bool  # whether early stopping watched a score
    random: Any  # state of the generator of the orders; None if the caller owns the generator


def resume_point(
    ended: TrainingState, state: State, n_rows: int, stopping: EarlyStopping | None, random: Any
) -> ResumePoint | None:
    """Return the resume point of a training that ended; None if it cannot be resumed exactly."""
    if ended.history.stopped_by == "divergence" or not ended.consistent:
        return None
    maximize = stopping is not None and stopping.maximize
    ended.history = History()  # no cycle of references: the history holds the resume point
    return ResumePoint(ended, state.step, n_rows, maximize, random)


def resumed(
    history: History,
    state: State,
    interpreter: Interpreter,
    n_rows: int,
    stopping: EarlyStopping | None,
    rng: np.random.Generator | None,
) -> TrainingState:
    """Return the training state to continue from; move ``state`` and ``rng`` to where they were.

    Raises
    ------
    SpecError
        If the history cannot be resumed, or not with these rows and this state.
    DataError
        If the state does not fit the optimiser.
    """
    point: ResumePoint | None = history.resume_point
    if point is None:
        raise SpecError(
            "resume must be the History of a training by mini-batches that can continue; got one "
            "that diverged, was interrupted inside a step, or is a copy. Leave resume out."
        )
    if n_rows != point.n_rows:
        raise SpecError(
            f"resume needs the {point.n_rows} rows of the earlier call; got {n_rows}. Leave "
            "resume out to train on other rows."
        )
    training = replace(point.training, history=history.copy(), last=None)
    last = point.training.last
    if last is None and state.step != point.step:
        raise SpecError(
            f"resume needs the state that the earlier call left, after step {point.step}; got one "
            f"after step {state.step}."
        )
    interpreter.check(state if last is None else last)
    if last is not None:
        state.restore(last)
    if rng is not None and point.random is not None:
        rng.bit_generator.state = point.random
    if (stopping is not None and stopping.maximize) != point.maximize:  # another metric
        training.position = training.position._replace(stopping_state=None)
    exhausted = stopping is not None and stopping.is_exhausted(training.position.stopping_state)
    if not (training.history.stopped_by == "no improvement" and exhausted):
        training.history.stopped_by = ""
    return training
