"""On how many threads the steps of a training run: for short steps, what took less time decides."""

from __future__ import annotations

from math import inf

__all__ = ["ThreadChoice"]

_SHORT_STEP = 3e7
"""Operations of a step from which on it always has all threads."""
_TRIES = 7
"""Calls before one thread and several are compared: the first starts threads, then in turn."""
_AGAIN = 32
"""Calls after which the other number is tried again: the processor may have become busy."""
_GROWTH = 1.05
"""By how much a shortest time grows with each new one: the processor may have become slower."""
_GAIN = 0.95
"""One thread is better if its steps take less than this part of the time."""


class ThreadChoice:
    """One thread, or several, for the calls of a training.

    Threads share the work of a step, and wait for each other two times or more in each. Whether
    that pays in a step of some microseconds depends on how far apart the cores are, and on what
    else they do; so both are tried. The numbers that are computed do not depend on it.

    Parameters
    ----------
    most : int
        The most threads.
    measures : bool, default=True
        Whether times are compared; without, a step has all threads.
    """

    def __init__(self, most: int, *, measures: bool = True) -> None:
        self._most = most
        self._measures = measures and most > 1
        self._alone = self._together = inf  # seconds of a step, of those measured of late
        self._calls = 0

    @property
    def is_open(self) -> bool:
        """Whether times are still to be compared."""
        return self._measures and self._calls < _TRIES

    @property
    def tries(self) -> bool:
        """Whether the next call is there to be measured: it should be short."""
        return self.is_open or (self._measures and self._calls % _AGAIN == 0)

    @property
    def best(self) -> int:
        """The number of threads whose steps took less time; the most, as long as it is open."""
        if not self._measures or self.is_open:
            return self._most
        return 1 if self._alone < _GAIN * self._together else self._most

    def threads(self, operations: float, most_tiles: int) -> int:
        """Return on how many threads the next call runs.

        Parameters
        ----------
        operations : float
            Multiplications and additions of a step.
        most_tiles : int
            Into how many parts it is cut, at most.
        """
        most = min(self._most, most_tiles)
        if most == 1 or not self._measures or operations >= _SHORT_STEP:
            return most
        if self.is_open:
            return 1 if self._calls % 2 == 0 and self._calls > 0 else most
        best = self.best
        if self.tries:
            return most if best == 1 else 1
        return min(best, most)

    def note(self, threads: int, seconds: float) -> None:
        """Remember how long the steps of a call took, for each."""
        self._calls += 1
        if self._calls == 1:
            return
        if threads == 1:
            self._alone = min(seconds, _GROWTH * self._alone)
        else:
            self._together = min(seconds, _GROWTH * self._together)
