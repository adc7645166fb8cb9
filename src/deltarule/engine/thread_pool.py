"""How many threads a call may use, and one pool of helper threads for the whole process.

Helpers are Python threads that enter the same kernel as the caller and release Python's lock. There
are never more helpers than cores minus one, however many fits run at the same time: a fit that
finds them all busy continues without helpers, since no tile waits for one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

from deltarule.errors import SpecError
from deltarule.utils.checks import check_positive_integer

__all__ = ["available_cores", "run_together", "thread_ceiling", "yield_thread_address"]


def available_cores() -> int:
    """Return how many cores this process may use, by its affinity and its control group."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _recent_quota()
    return max(1, cores if quota is None else min(cores, quota))


def _recent_quota() -> int | None:
    """Return the quota, as read in the last seconds: reading it takes longer than a short fit."""
    global _read_quota
    now = monotonic()
    if _read_quota is None or _read_quota[1] != _read or now - _read_quota[0] > _QUOTA_SECONDS:
        _read_quota = now, _read, _quota()
    return _read_quota[2]


_QUOTA_SECONDS = 10.0
_read_quota: tuple[float, Callable[..., Any], int | None] | None = None  # when, how, and what


def _quota() -> int | None:
    """Return the control groups' processor quota in whole cores, rounded up; None for no limit."""
    limits = [limit for folder in _control_groups() if (limit := _limit_of(folder)) is not None]
    return min(limits, default=None)


def _control_groups() -> Iterator[Path]:
    """Yield the directories of the control groups that limit the CPU, from our own upwards."""
    root = Path("/sys/fs/cgroup")
    for line in (_read(Path("/proc/self/cgroup")) or "0::/").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root  # version 1, or 2
        group = top / place.lstrip("/")
        yield group
        while group != top:
            group = group.parent
            yield group


def _limit_of(group: Path) -> int | None:
    text = _read(group / "cpu.max")
    if text is None:
        text = f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    try:
        quota, period = map(int, text.split())
    except ValueError:  # "max", or no such files
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None


def forces_threads() -> bool:
    """Return whether a test wants exactly so many threads, also more than there are cores."""
    return bool(os.environ.get("_DELTARULE_FORCE_THREADS"))


def thread_ceiling(n_threads: int | None) -> int:
    """Return the maximum number of threads of a call.

    Raises
    ------
    SpecError
        If ``n_threads``, or the environment variable ``DELTARULE_NUM_THREADS``, is not a whole
        number above 0.
    """
    if forces_threads():
        return int(os.environ["_DELTARULE_FORCE_THREADS"])
    if n_threads is not None:
        return min(check_positive_integer("n_threads", n_threads), available_cores())
    given = os.environ.get("DELTARULE_NUM_THREADS", "").strip()
    if not given:
        return available_cores()
    if not given.isdecimal() or int(given) == 0:
        raise SpecError(
            f"DELTARULE_NUM_THREADS must be a whole number above 0; got {given!r}. Unset it to use "
            "every core."
        )
    return min(int(given), available_cores())


class _Task:
    """A function for one helper to run, unless the caller withdraws it first."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._owner: dict[None, str] = {}  # the first to set it owns the task
        self._ended = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        if self._owner.setdefault(None, "helper") != "helper":
            return
        try:
            self._work()
        except BaseException as error:  # the caller raises it
            self.error = error
        finally:
            self._ended.set()

    def withdraw(self) -> None:
        """Prevent helpers from running it, or wait for the one that does.

        After an interrupt, it can be called again.
        """
        if self._owner.setdefault(None, "caller") == "helper":
            self._ended.wait()


class _ThreadPool:
    """The helper threads of a process."""

    def __init__(self) -> None:
        # A signal handler or a finaliser may interrupt ``request`` and need helpers itself.
        self._lock = threading.RLock()
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._size = 0

    def request(self, task: _Task, helpers: int) -> None:
        """Queue a task; start threads until there are so many helpers, if the system allows it."""
        with self._lock:
            while self._size < helpers:
                self._size += 1
                thread = threading.Thread(
                    target=self._serve, name=f"deltarule-{self._size}", daemon=True
                )
                try:
                    thread.start()
                except (RuntimeError, MemoryError):  # the limit of threads: use those there are
                    self._size -= 1
                    break
        self._tasks.put(task)

    def _serve(self) -> None:
        while True:
            self._tasks.get().run()


_pool = _ThreadPool()


def _forget_helpers() -> None:
    """Start a forked child with an empty pool: it has none of its parent's threads."""
    global _pool
    _pool = _ThreadPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def run_together(work: Callable[[], None], n_threads: int) -> None:
    """Run ``work`` on this thread and, at the same time, on up to n_threads − 1 helpers.

    On return, also by an exception, no helper runs it any more: its memory may be freed.
    """
    tasks = [_Task(work) for _ in range(n_threads - 1)]
    try:
        for task in tasks:
            _pool.request(task, n_threads - 1)
        work()
    finally:
        interrupt: BaseException | None = None
        running = bool(tasks)
        while running:  # inline, because Ctrl-C could come between a call of a function and its try
            try:
                for task in tasks:
                    task.withdraw()
                running = False
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt
    for task in tasks:
        if task.error is not None:
            raise task.error


@cache
def yield_thread_address() -> int:
    """Return the address of the system's ``sched_yield``; 0 if it has none."""
    import ctypes

    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)
