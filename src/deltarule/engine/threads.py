"""How many threads a call may use, and the threads themselves: one crew for the whole process.

Helpers are Python threads that enter the same kernel as the caller and leave the interpreter's
lock behind. However many fits run at once, there are never more of them than cores, less one:
a fit that finds them all busy goes on alone, since no piece of work waits for a helper.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from deltarule.checks import check_positive_integer
from deltarule.errors import SpecError

__all__ = ["available_cores", "pass_turn_address", "run_together", "thread_ceiling"]


def available_cores() -> int:
    """Return the cores that this process may use, by affinity and by its control group."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return max(1, cores if quota is None else min(cores, quota))


def _quota() -> int | None:
    """Return the control group's processor quota in whole cores, rounded up; None for no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        limit = int(quota)
        return None if limit <= 0 else -(-limit // int(period))
    except ValueError:  # "max"
        return None


def thread_ceiling(n_threads: int | None) -> int:
    """Return the most threads that a call may use.

    Raises
    ------
    SpecError
        If ``n_threads``, or the environment variable ``DELTARULE_NUM_THREADS``, is not a whole
        number above 0.
    """
    if os.environ.get("_DELTARULE_FORCE_THREADS"):  # for tests: more threads than cores
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
    """One call's request for help: taken by a helper at most once, or withdrawn."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.claim = threading.Lock()  # held by the helper that took it, or by the caller
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        if not self.claim.acquire(blocking=False):
            return  # withdrawn
        try:
            self.work()
        except BaseException as error:  # the caller raises it
            self.error = error
        finally:
            self.ended.set()

    def withdraw(self) -> None:
        """Wait for the helper that runs it, or make sure that none will."""
        if not self.claim.acquire(blocking=False):
            self.ended.wait()


class _Crew:
    """The helpers of a process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tasks: SimpleQueue[_Task] = SimpleQueue()
        self.size = 0

    def request(self, work: Callable[[], None], helpers: int) -> list[_Task]:
        with self.lock:
            while self.size < helpers:
                self.size += 1
                thread = threading.Thread(
                    target=self._serve, name=f"deltarule-{self.size}", daemon=True
                )
                thread.start()
        tasks = [_Task(work) for _ in range(helpers)]
        for task in tasks:
            self.tasks.put(task)
        return tasks

    def _serve(self) -> None:
        while True:
            self.tasks.get().run()


_crew = _Crew()


def _forget_helpers() -> None:
    """A forked child has none of its parent's threads: it begins with a crew of its own."""
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def run_together(work: Callable[[], None], n_threads: int) -> None:
    """Run ``work`` on this thread, and on up to n_threads − 1 helpers as long as it lasts."""
    tasks = _crew.request(work, n_threads - 1) if n_threads > 1 else []
    try:
        work()
    finally:
        for task in tasks:
            task.withdraw()
    for task in tasks:
        if task.error is not None:
            raise task.error


def pass_turn_address() -> int:
    """Return the address of the system's ``sched_yield``; 0 if it has none."""
    import ctypes

    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)
