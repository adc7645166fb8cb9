"""Runs of epochs: several short epochs in one call of the interpreter, where nobody looks on.

What an epoch leaves is decided as ``loop`` decides it, from what the interpreter kept of it. A run
never goes beyond the epoch at which training may end, except after a divergence.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, isfinite
from typing import Any

import numpy as np

from deltarule.program import Block, EpochRun, State
from deltarule.schedules import EpochSchedule
from deltarule.training.batches import Rows
from deltarule.training.config import TrainingConfig
from deltarule.training.data import EpochData
from deltarule.training.divergence import has_jumped
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.means import epoch_means, mean_of_one

__all__ = ["Generator", "RunOfEpochs", "allows_runs", "longest_run"]

_FAR = 1000
"""Epochs whose orders may be drawn again: reading a generator's place takes as long as ten."""


def allows_runs(interpreter: Any, block: Block | EpochData, config: TrainingConfig) -> bool:
    """Return whether nothing looks on between two epochs that could tell a run from them."""
    validation, report = config.validation, config.on_epoch
    return (
        hasattr(interpreter, "train_epochs")
        and not isinstance(block, EpochData)
        and config.checkpointer is None
        and config.epoch_block is None
        and config.on_epoch_begin is None
        and (report is None or getattr(report, "only_records", False))
        and (validation is None or getattr(validation, "evaluation", None) is not None)
        and Generator.is_known(config.shuffle)
        and type(config.stopping) in (EarlyStopping, type(None))
        and _is_foreseeable(config.schedule)
    )


def _is_foreseeable(schedule: Any) -> bool:
    """Return whether a schedule's rates depend on counts alone, until a plateau."""
    kind = type(schedule)
    return (
        kind.__module__.startswith(EpochSchedule.__module__.rpartition(".")[0] + ".")
        and isinstance(schedule, EpochSchedule)
        and kind.observe is EpochSchedule.observe
        and kind.rates is EpochSchedule.rates
    )


def longest_run(config: TrainingConfig, n_epochs: int, stopping_state: Any) -> int:
    """Return after how many epochs training may end, if it does not diverge."""
    left, rule = config.epochs - n_epochs, config.stopping
    if rule is None or not isfinite(rule.patience):
        return left
    stale = 0 if stopping_state is None else stopping_state.stale
    return min(left, floor(rule.patience) - stale + 1)


class Generator:
    """The generator of the orders, which can return to an earlier place.

    Parameters
    ----------
    shuffle : callable or None
        Its method ``permutation``; None if orders are not drawn.
    n_epochs : int
        The epochs whose orders are drawn by now.
    """

    def __init__(self, shuffle: Callable[[Rows], Rows] | None, n_epochs: int) -> None:
        self._shuffle = shuffle
        self._owner: Any = getattr(shuffle, "__self__", None)
        self._is_old = type(self._owner) is np.random.RandomState
        self._keep_place(n_epochs)

    @staticmethod
    def is_known(shuffle: Callable[[Rows], Rows] | None) -> bool:
        """Return whether orders are drawn by a generator of NumPy's, or not at all."""
        owner = getattr(shuffle, "__self__", None)
        known = type(owner) in (np.random.RandomState, np.random.Generator)
        return shuffle is None or (known and getattr(shuffle, "__name__", "") == "permutation")

    def keep_place(self, n_epochs: int) -> None:
        """Note the place after so many epochs, unless one not long before is known."""
        if n_epochs - self._n_epochs >= _FAR:
            self._keep_place(n_epochs)

    def return_to(self, n_epochs: int, rows: Rows) -> None:
        """Return to the place after so many epochs, whose orders are of so many rows."""
        if self._shuffle is None:
            return
        if self._is_old:
            self._owner.set_state(self._place)
        else:
            self._owner.bit_generator.state = self._place
        for _ in range(n_epochs - self._n_epochs):
            self._shuffle(rows)

    def _keep_place(self, n_epochs: int) -> None:
        self._n_epochs, self._place = n_epochs, None
        if self._shuffle is not None:
            old, owner = self._is_old, self._owner
            self._place = owner.get_state(legacy=False) if old else owner.bit_generator.state


class RunOfEpochs:
    """What a run's epochs mean for the training, before any of it is recorded.

    Parameters
    ----------
    ran : EpochRun
        What the interpreter kept of them.
    config : TrainingConfig

    Attributes
    ----------
    n_epochs : int
        Those that have ended, one that diverged included.
    finite : bool
        Whether all of them left finite numbers.
    loss, penalty, metrics : list
        What the history records of each.
    best : int or None
        The number of the newest best epoch in the run, from 0.
    returns_before : bool
        Whether the steps of the best epoch have caused a divergence.
    stopping_state : StoppingState or None
    """

    def __init__(self, ran: EpochRun, config: TrainingConfig) -> None:
        begun = len(ran.steps.loss)
        self._ran = ran
        self.finite = ran.finite == begun
        self.n_epochs = ran.finite + (not self.finite)
        self.loss, self.penalty = _means(ran, self.n_epochs, config.loss_scale)
        self.metrics: list[Any] = []
        if ran.outputs is not None and ran.losses is not None:
            measure: Any = config.validation
            self.metrics = measure.measure_all(ran.outputs[: ran.finite], ran.losses[: ran.finite])
        self.best: int | None = None
        self.returns_before = False
        self.stopping_state: Any = None

    def decide(
        self, rule: EarlyStopping, config: TrainingConfig, stopping_state: Any, cost: float | None
    ) -> None:
        """Find the best epochs; ``cost`` is that of the epoch before, if it is the best so far."""
        steps, by_cost = self._ran.steps, config.validation is None
        firsts = (steps.loss[:, 0] + steps.penalty[:, 0]).tolist() if by_cost else []
        best_cost = cost if by_cost else None
        for number in range(self.n_epochs):
            if best_cost is not None and has_jumped(firsts[number], best_cost):
                self.returns_before = True
            if number == self._ran.finite:
                break
            if by_cost:
                metric = self.loss[number] + self.penalty[number]
            else:
                metric = config.watched(self.metrics[number])
            stopping_state, is_best = rule.observe(stopping_state, metric)
            best_cost = None
            if is_best:
                self.best, self.returns_before = number, False
                best_cost = metric if by_cost else None
        self.stopping_state = stopping_state

    def states(self, entered: State, copy: Callable[[State, State], State]) -> tuple[State, State]:
        """Return the states before and after the best epoch, by ``copy(state, not_into)``.

        ``entered`` is the state before the first epoch.
        """
        assert self.best is not None
        before = entered
        if self.best > 0:
            before = copy(self._ran.states(self.best - 1), entered)
        return before, copy(self._ran.states(self.best), before)


def _means(ran: EpochRun, n_epochs: int, scale: float) -> tuple[list[float], list[float]]:
    """Return what the history records of every epoch: its loss and penalty."""
    steps = ran.steps
    if len(steps.rows) > 1:
        pairs = [epoch_means(ran.log(i), diverged=i == ran.whole) for i in range(n_epochs)]
        return [scale * loss for loss, _ in pairs], [penalty for _, penalty in pairs]
    weights, losses, penalties = (column[:n_epochs, 0].tolist() for column in steps[1:])
    pairs = [
        mean_of_one(*values, diverged=i == ran.whole)
        for i, values in enumerate(zip(losses, penalties, weights, strict=True))
    ]
    return [scale * loss for loss, _ in pairs], [penalty for _, penalty in pairs]
