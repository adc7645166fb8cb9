"""Locks that a thread may take again, and that a forked child does not find taken"""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["ForkSafeLock"]

_forks = 0  # from the first process to this one


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class ForkSafeLock:
    """A reentrant lock; a child forked while another thread held it gets a free one.

    ``with lock.here():`` takes it. What ``here`` returns is locked in C, so that no signal handler
    can come between the lock and the ``with`` block.
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, Any] = {_forks: threading.RLock()}

    def here(self) -> Any:
        """Return the lock of this process."""
        lock = self._locks.get(_forks)
        if lock is None:
            held = [old for old in self._locks.values() if old._is_owned()]
            lock = self._locks.setdefault(_forks, held[0] if held else threading.RLock())
        return lock

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return bool(self.here()._is_owned())
