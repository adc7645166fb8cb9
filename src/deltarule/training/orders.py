"""The orders of epochs: which rows are in which batch, and the learning rate of each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block, EpochOrders
from deltarule.schedules import EpochSchedule, Position, Rates, Schedule
from deltarule.training.batches import Rows, batch_bounds
from deltarule.training.config import TrainingConfig
from deltarule.training.data import EpochData
from deltarule.utils.arrays import to_numpy

__all__ = ["Orders", "bounds_of", "first_order", "inherits"]


class Orders:
    """The order of every epoch, and the positions of the training before and after it.

    Parameters
    ----------
    block : Block or EpochData
        The rows.
    config : TrainingConfig

    Attributes
    ----------
    bounds : (n_batches + 1,) array or None
        Of the batches, once an epoch has begun, if they are the same in every epoch.
    """

    def __init__(self, block: Block | EpochData, config: TrainingConfig) -> None:
        self._block, self._config = block, config
        self.bounds: Rows | None = None
        self._rows: Rows | None = None  # in their order, if that is the order of every epoch
        self._rates: tuple[float, int, Rates] | None = None  # of the last epoch with one rate
        self._has_one_rate = inherits(config.schedule, "rates")

    def next(self, position: Position, n_epochs: int) -> tuple[Position, BatchSchedule]:
        """Return the position at which an epoch begins, and its batches with their rates.

        ``n_epochs`` are the epochs before it that the history holds then.
        """
        config, planned = self._config, self._config.planned_epochs
        order_before, rate = position.order, position.learning_rate
        rows = self._first_rows() if order_before is None else order_before
        if config.shuffle is not None:
            rows = config.shuffle(rows)
            order_before = rows
        rows.flags.writeable = False  # a user's schedule is shown them
        if planned is None:
            planned = position.epochs - n_epochs + config.epochs
        position = Position(
            position.epochs,
            position.steps,
            position.examples,
            planned,
            config.learning_rate if rate is None else rate,
            position.schedule_state,
            position.stopping_state,
            order_before,
        )
        return position, self._order(rows, position)

    def several(
        self, position: Position, n_epochs: int, count: int
    ) -> tuple[list[Position], EpochOrders]:
        """Return the positions at which the next epochs begin, and their batches.

        Their bounds must be the same, and their rates must depend on counts alone.
        """
        begun, rows, rates = [], [], []
        for ahead in range(count):
            position, order = self.next(position, n_epochs + ahead)
            begun.append(position)
            rows.append(order.rows)
            rates.append(order.learning_rates)
            position = self.after(position, order)
        return begun, EpochOrders(np.array(rows), order.bounds, np.array(rates))

    def after(
        self,
        position: Position,
        order: BatchSchedule,
        decided: tuple[float, Any, Any] | None = None,
    ) -> Position:
        """Return the position after an epoch; ``decided`` are rate and states, if known."""
        if decided is None:
            rate = float(order.learning_rates[-1])
            decided = (rate, position.schedule_state, position.stopping_state)
        return Position(
            position.epochs + 1,
            position.steps + order.n_batches,
            position.examples + self._block.n_rows,
            position.planned_epochs,
            *decided,
            position.order,
        )

    def _first_rows(self) -> Rows:
        """Return the rows in their order, as a new array if it will be shuffled."""
        if self._rows is not None:
            return self._rows
        rows = first_order(self._block)
        if self._config.shuffle is None:
            self._rows = rows
        return rows

    def _order(self, rows: Rows, position: Position) -> BatchSchedule:
        """Return an epoch's rows cut into batches, with the schedule's rate for each batch."""
        config, block, bounds = self._config, self._block, self.bounds
        if bounds is None:
            bounds = bounds_of(rows, block, config)
            if _has_same_bounds(block, config):
                self.bounds = bounds
        return BatchSchedule(rows, bounds, self._rates_of(len(bounds) - 1, position))

    def _rates_of(self, n_steps: int, position: Position) -> Rates:
        """Return the schedule's rates for an epoch, checked."""
        config, schedule = self._config, self._config.schedule
        if self._has_one_rate and isinstance(schedule, EpochSchedule):
            rate = schedule.rate(config.learning_rate, position)
            known = self._rates
            if known is not None and known[0] == rate and known[1] == n_steps:
                return known[2]
            rates = np.full(n_steps, rate, dtype=float)
            if isinstance(rate, float):
                rates.flags.writeable = False
                self._rates = (rate, n_steps, rates)
        else:  # a copy: the schedule may keep its array
            rates = np.array(schedule.rates(config.learning_rate, position, n_steps), dtype=float)
        if rates.shape != (n_steps,) or not ((rates >= 0) & np.isfinite(rates)).all():
            raise SpecError(
                f"schedule must give {n_steps} rates of at least 0, one for each step; got "
                f"{rates}. See what {type(config.schedule).__name__}.rates returns."
            )
        return rates


def first_order(block: Block | EpochData) -> Rows:
    """Return the rows in their order; no row numbers for data that order them."""
    return np.arange(0 if isinstance(block, EpochData) else block.n_rows, dtype=np.int64)


def bounds_of(rows: Rows, block: Block | EpochData, config: TrainingConfig) -> Rows:
    """Return the bounds of the batches of an order of rows."""
    if isinstance(block, EpochData):
        return block.bounds(config.batch_size)
    same = _has_same_bounds(block, config)
    present = None if same else to_numpy(block.weight)[rows] > 0
    return batch_bounds(block.n_rows, config.batch_size, present, config.min_rows)


def _has_same_bounds(block: Block | EpochData, config: TrainingConfig) -> bool:
    """Return whether batches are cut alike in every order of the rows."""
    return isinstance(block, EpochData) or block.weight is None or config.min_rows <= 1


def inherits(schedule: Schedule, method: str) -> bool:
    """Return whether a schedule has the method of ``EpochSchedule``, and not its own."""
    return getattr(type(schedule), method, None) is getattr(EpochSchedule, method) and (
        method not in getattr(schedule, "__dict__", {})
    )
