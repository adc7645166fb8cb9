"""Schedules that change the rate from step to step, within epochs too."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from deltarule.schedules.interface import EpochSchedule, Rates
from deltarule.schedules.position import Position
from deltarule.utils.checks import check_between, check_count, check_name

__all__ = ["Cosine", "CosineLog", "FlatCosine", "OneCycle", "WarmUp"]


@dataclass(frozen=True)
class WarmUp(EpochSchedule):
    """Linear warm-up to η₀, then a constant rate (Goyal et al. 2017, §2.2).

    Step k = 0, 1, … of the first W steps has the rate η₀ (k + 1)/(W + 1) (PyTorch's ``LinearLR``
    with ``start_factor`` 1/(W + 1), called after every step). ``Cosine`` reduces the rate after its
    warm-up.

    Parameters
    ----------
    epochs : float, default=1.0
        Length of the warm-up, also a fraction: W = epochs · (steps per epoch), rounded.
    """

    epochs: float = 1.0

    def __post_init__(self) -> None:
        check_between("epochs", self.epochs, 0.0, inf, open_high=True)

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return η₀ min((k + 1)/(W + 1), 1)."""
        return initial * _warmth(_steps_of_epoch(position, n_steps), _steps(self.epochs, n_steps))


@dataclass(frozen=True)
class Cosine(EpochSchedule):
    """Cosine annealing from η₀ to ``min_lr``, after a linear warm-up.

    With N steps in the run and W in the warm-up (see ``WarmUp``), step k ≥ W has the rate
    η_min + ½(η₀ − η_min)(1 + cos(π(k − W)/(N − W))) (Loshchilov & Hutter 2017, eq. 5, one cycle;
    PyTorch's ``CosineAnnealingLR``).

    Parameters
    ----------
    warm_up : float, default=0.0
        Length of the warm-up, in epochs.
    min_lr : float, default=0.0
        η_min ≥ 0, the rate that the step after the last one would have.
    """

    warm_up: float = 0.0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_between("warm_up", self.warm_up, 0.0, inf, open_high=True)
        check_between("min_lr", self.min_lr, 0.0, inf, open_high=True)
        check_between("min_lr", self.min_lr, 0.0, 1e300)

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the rates of the epoch's steps."""
        k = _steps_of_epoch(position, n_steps)
        warm = _steps(self.warm_up, n_steps)
        part = (k - warm) / max(position.total_steps(n_steps) - warm, 1)
        falling = _cosine(initial, self.min_lr, np.clip(part, 0.0, 1.0))
        return np.where(k < warm, initial * _warmth(k, warm), falling)


@dataclass(frozen=True)
class FlatCosine(EpochSchedule):
    """A constant rate, and then a cosine to 0: "flat and anneal".

    The first ``flat`` of the N steps of a run have the rate η₀; step k after them has
    ½η₀(1 + cos(π(k − F)/(N − F))), F = flat · N (RealMLP's ``flat_cos`` with ½; Holzmüller,
    Grinsztajn & Steinwart 2024).

    Parameters
    ----------
    flat : float, default=0.5
        The part of the steps whose rate is constant, in [0, 1).

    Examples
    --------
    >>> from deltarule.schedules import FlatCosine, Position
    >>> FlatCosine().rates(1.0, Position(planned_epochs=1), 4).round(3).tolist()
    [1.0, 1.0, 1.0, 0.5]
    """

    flat: float = 0.5

    def __post_init__(self) -> None:
        check_between("flat", self.flat, 0.0, 1.0, open_high=True)

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the rates of the epoch's steps."""
        total = position.total_steps(n_steps)
        flat = self.flat * total
        part = (_steps_of_epoch(position, n_steps) - flat) / max(total - flat, 1)
        return _cosine(initial, 0.0, np.clip(part, 0.0, 1.0))


@dataclass(frozen=True)
class CosineLog(EpochSchedule):
    """Cosines whose periods double: from 0 to η₀ and back, several times in a run.

    At the part t of a run the rate is ½η₀(1 − cos(2π log₂(1 + (2^m − 1)t))), m = ``cycles``: cycle
    j ends at t = (2^j − 1)/(2^m − 1), where the rate is 0. Four cycles are RealMLP's ``coslog4``
    (Holzmüller, Grinsztajn & Steinwart 2024). The best epoch is often at the end of a cycle, so
    that early stopping needs no run to the end.

    Parameters
    ----------
    cycles : int, default=4
        m ≥ 1.

    Examples
    --------
    >>> from deltarule.schedules import CosineLog, Position
    >>> CosineLog(2).rates(1.0, Position(planned_epochs=1), 3).round(3).tolist()
    [0.0, 0.0, 0.93]
    """

    cycles: int = 4

    def __post_init__(self) -> None:
        check_count("cycles", self.cycles, least=1, below=64)

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the rates of the epoch's steps."""
        part = _steps_of_epoch(position, n_steps) / max(position.total_steps(n_steps), 1)
        turns = np.log2(1 + (2.0**self.cycles - 1) * np.clip(part, 0.0, 1.0))
        return initial * (1 - np.cos(2 * np.pi * turns)) / 2


@dataclass(frozen=True)
class OneCycle(EpochSchedule):
    """One-cycle schedule: the rate rises to η₀ and then falls far below its start.

    (Smith & Topin 2018.) As PyTorch's ``OneCycleLR`` with two phases and ``max_lr`` = η₀: from
    η₀/start up to η₀ during the first part of the run, then down to η₀/(start · end). The momentum
    is not changed; the paper, and PyTorch by default, changes it in the opposite direction.

    Parameters
    ----------
    rise : float, default=0.3
        Fraction of the steps during which the rate rises, in [0, 1].
    start, end : float, default=25.0, 1e4
        Ratios ≥ 1 of η₀ to the first rate, and of the first rate to the last.
    shape : {"cosine", "linear"}, default="cosine"
        Shape of both phases.
    """

    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    shape: str = "cosine"

    def __post_init__(self) -> None:
        check_between("rise", self.rise, 0.0, 1.0)
        check_between("start", self.start, 1.0, inf, open_high=True)
        check_between("end", self.end, 1.0, inf, open_high=True)
        check_name("shape", self.shape, ("cosine", "linear"))

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the rates of the epoch's steps."""
        k = _steps_of_epoch(position, n_steps)
        last = position.total_steps(n_steps) - 1
        top = self.rise * (last + 1) - 1  # where it is highest, perhaps between two steps
        lowest = initial / self.start
        between = _cosine if self.shape == "cosine" else _line
        rising = between(lowest, initial, np.clip(k / top, 0.0, 1.0) if top > 0 else k * 0.0)
        part = (k - top) / (last - top) if last > top else k * 0.0
        falling = between(initial, lowest / self.end, np.clip(part, 0.0, 1.0))
        return np.where((k <= top) & (top > 0), rising, falling)


def _steps_of_epoch(position: Position, n_steps: int) -> Rates:
    return np.arange(position.steps, position.steps + n_steps, dtype=np.float64)


def _steps(epochs: float, n_steps: int) -> int:
    """Return the number of steps in some epochs: an exact float, so that it can be compared."""
    return round(min(float(epochs) * n_steps, 2.0**52))


def _warmth(k: Rates, warm: int) -> Rates:
    return np.minimum((k + 1) / (warm + 1), 1.0)


def _cosine(begin: float, end: float, part: Rates) -> Rates:
    return end + (begin - end) * (1 + np.cos(np.pi * part)) / 2


def _line(begin: float, end: float, part: Rates) -> Rates:
    return begin + (end - begin) * part
