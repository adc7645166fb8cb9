"""The workers of a fit: tasks on them, and their results, whatever dies meanwhile.

Every task is a pure function of its arguments, and the scheduler knows how each argument was made.
So if a worker dies, the scheduler runs what is lost again on another one, with the same bits.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import Any
from uuid import uuid4

import distributed
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.scheduler import KilledWorker

from deltarule.dask.workers import identity
from deltarule.errors import ClusterError, MissingDependencyError, SpecError

__all__ = ["Crew", "client_of"]

_LOOK = 5.0  # seconds of waiting after which the cluster is looked at
_GONE = 30.0  # seconds without any worker after which a fit ends
_IDLE = 30.0  # seconds in which workers do nothing after which tasks are made again
_STARTS = 2  # of tasks that idle workers did not run
_RETRIES = 5  # of tasks whose arguments were lost
_LOST = (FutureCancelledError, CancelledError, ClosedClientError, OSError)
"""What waiting for a future raises if its data, or the cluster, are lost."""


class _IdleError(Exception):
    """There are workers, but none of them does what they were asked for."""


def client_of(given: Any) -> Any:
    """Return the client to compute with: the given one, or Dask's current one.

    Raises
    ------
    SpecError
        If there is none, or it is closed or asynchronous.
    """
    if given is None:
        try:
            given = distributed.get_client()
        except ValueError:
            raise SpecError(
                "client=None means Dask's current client, but there is none. Make one before fit: "
                "client = distributed.Client()."
            ) from None
    if not isinstance(given, distributed.Client):
        raise SpecError(f"client must be a distributed.Client or None; got {given!r:.60}.")
    if given.asynchronous:
        raise SpecError(
            "client is asynchronous, whose calls return coroutines; fit waits for its results. "
            "Give a client made without asynchronous=True."
        )
    if given.status in ("closed", "closing"):
        raise SpecError(f"client is {given.status}. Make a new one: distributed.Client(address).")
    return given


class Crew:
    """A client, and what a fit asks its workers for.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self.client, self.token = client, uuid4().hex
        self._numbers = count()

    # --- before a fit --------------------------------------------------------------------------

    def check(self, *, exact: bool) -> None:
        """Refuse clusters without workers, and workers whose bits would differ from ours.

        Raises
        ------
        ClusterError
            If there are no workers, or if they have another release or, with ``exact``, compute
            other bits.
        """
        if not self.workers() and self.client.cluster is not None:  # which may be starting some
            with suppress(TimeoutError):
                self.client.wait_for_workers(1, timeout=_GONE)
        if not self.workers(_GONE):
            raise ClusterError(
                "the cluster has no workers. Start some, for example with cluster.scale(2) or "
                "`dask worker ADDRESS`."
            )
        ours = identity()
        answers = self.client.run(_worker_identity, on_error="return")
        for address, theirs in answers.items():
            if isinstance(theirs, OSError):  # it has just died, and takes no part
                continue
            if isinstance(theirs, ImportError):
                raise MissingDependencyError(
                    f"worker {address} cannot import deltarule: {theirs}. Install the same release "
                    "on every worker."
                )
            if isinstance(theirs, BaseException):
                raise theirs
            differing = [name for name in ours if theirs.get(name) != ours[name]]
            if not exact and "deltarule" not in differing:
                continue
            if differing:
                name = differing[0]
                remedy = (
                    "Install the same releases everywhere."
                    if name in ("deltarule", "compiler", "engine", "settings")
                    else "Use machines of one kind, or fit(..., exact=False): the result then "
                    "depends on which worker computes what, by rounding."
                )
                raise ClusterError(
                    f"worker {address} differs in {name}: {theirs.get(name)!r:.60}, and here it is "
                    f"{ours[name]!r:.60}. {remedy}"
                )

    def workers(self, patience: float | None = None) -> list[str]:
        """Return the addresses of the workers, in order; none if the scheduler does not answer.

        ``patience`` are the seconds to wait for an answer.
        """
        if self.client.status not in ("running", "connecting"):
            return []
        try:
            found = self.client.sync(
                self.client.scheduler.ncores, callback_timeout=patience or _LOOK
            )
        except (TimeoutError, OSError, CancelledError):
            return []
        return sorted(found)

    # --- tasks ---------------------------------------------------------------------------------

    def submit(
        self, name: str, function: Callable[..., Any], *given: Any, worker: str | None = None
    ) -> Any:
        """Return the future of a task with a key of its own, on a worker if it still lives."""
        place: dict[str, Any] = {}
        if worker is not None:
            place = {"workers": [worker], "allow_other_workers": True}
        key = (f"deltarule-{name}-{self.token}", next(self._numbers))
        return self.client.submit(function, *given, key=key, pure=False, **place)

    def holders(self, futures: Sequence[Any]) -> list[str | None]:
        """Return the worker that holds each future's result; None if none does."""
        held = self.client.who_has(list(futures))
        found = (sorted(held.get(future.key) or ()) for future in futures)
        return [workers[0] if workers else None for workers in found]

    def ask(self, make: Callable[[], list[Any]]) -> list[Any]:
        """Return the results of tasks; make and run them again if their arguments were lost.

        Raises
        ------
        ClusterError
            If no worker is left, or a task's workers die again and again.
        """
        idle = 0
        for _ in range(_RETRIES):
            futures: list[Any] = []
            try:
                futures = make()
                return self._wait(futures)
            except _LOST:
                if self.client.status != "running":
                    break
            except _IdleError:
                self.client.cancel(futures)
                idle += 1
                if idle == _STARTS:
                    raise _idle_error() from None
            except BaseException:  # Ctrl-C, for example: what still runs is of no use
                if self.client.status == "running":
                    self.client.cancel(futures)
                raise
        raise self._lost()

    def results(self, futures: list[Any]) -> list[Any]:
        """Return the results of futures, which are not made again.

        Raises
        ------
        ClusterError
            Likewise, and if data were lost with a worker.
        """
        try:
            return self._wait(futures, _STARTS * _IDLE)
        except _LOST:
            raise self._lost() from None
        except _IdleError:
            raise _idle_error() from None

    def _wait(self, futures: list[Any], patience: float | None = None) -> list[Any]:
        """Wait for the results of futures, for as long as there are workers that do something.

        ``patience`` are the seconds in which they may do nothing.
        """
        patience = _IDLE if patience is None else patience
        gone: float | None = None
        idle: float | None = None
        while True:
            try:
                found: list[Any] = self.client.sync(
                    lambda: self.client.gather(futures, asynchronous=True), callback_timeout=_LOOK
                )
                return found
            except TimeoutError:
                pass
            except KilledWorker as error:
                raise ClusterError(
                    f"{error.allowed_failures + 1} workers died one after another in the same "
                    f"task, the last one {error.last_worker.address}. Most often they had too "
                    "little memory: use smaller partitions, or workers with more memory."
                ) from error
            if self.client.status not in ("running", "connecting"):
                raise self._lost()
            if self.workers():
                gone = None
                idle = None if self._work() else (idle or monotonic())
                if idle is not None and monotonic() - idle > patience:
                    raise _IdleError
                continue
            gone = monotonic() if gone is None else gone
            if monotonic() - gone > _GONE - 2 * _LOOK:
                raise ClusterError(
                    f"the cluster has had no workers for {_GONE:g} seconds. Start some, and fit "
                    "again."
                )

    def _work(self) -> bool:
        """Whether a worker computes, or receives what it needs, as far as the scheduler knows.

        Tasks that wait for a worker that has died are let go to others.
        """
        try:
            return bool(self.client.run_on_scheduler(_works, self.token))
        except (TimeoutError, OSError, CancelledError):
            return True  # nothing is known

    def _lost(self) -> ClusterError:
        return ClusterError(
            "the client or its scheduler was closed or restarted during the fit, or a worker died "
            "with data that only it had (client.scatter). Make a new client, and fit again to data "
            "that Dask can read again."
        )


def _worker_identity() -> dict[str, str]:
    return identity()


def _works(token: str, dask_scheduler: Any) -> bool:
    """Return whether a worker is busy; run on the scheduler.

    If a worker dies while there is no other, the scheduler keeps its tasks for it, although they
    allow others, and a new worker, at another address, gets none of them (distributed 2026.8).
    """
    alive = dask_scheduler.workers
    for task in list(dask_scheduler.unrunnable):
        wanted = task.worker_restrictions
        if wanted and token in str(task.key) and not any(address in alive for address in wanted):
            task.worker_restrictions = None
            dask_scheduler.transitions({task.key: "released"}, "deltarule-let-go")  # and so waiting
    counts = [worker.metrics.get("task_counts") or {} for worker in alive.values()]
    return any(
        one.get(state) for one in counts for state in ("executing", "long-running", "flight")
    )


def _idle_error() -> ClusterError:
    return ClusterError(
        f"the cluster has workers, but for {_STARTS * _IDLE:g} seconds none of them did what the "
        "fit asks for. Look at the dashboard: paused workers have too little memory (use smaller "
        "partitions, or workers with more memory); otherwise restart the cluster, and fit again."
    )
