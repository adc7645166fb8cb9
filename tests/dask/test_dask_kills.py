"""Workers that die before, in and after each phase of a fit change no bit, and no fit hangs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from deltarule import MLPClassifier, Shards
from deltarule.errors import ClusterError
from support.clusters import connected, cut, sha

pytest.importorskip("distributed")

from distributed import Client, LocalCluster, Status

from deltarule.dask import DaskMLPClassifier, crew
from deltarule.dask.crew import Crew

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*converge.*", "ignore::DeprecationWarning", "ignore:steps of"
    ),
    pytest.mark.timeout(280),
]

RNG = np.random.default_rng(0)
X = RNG.standard_normal((160, 5))
Y = (X[:, 0] + RNG.normal(size=160) > 0).astype(int)
LENGTHS = (50, 30, 40, 40)
FIT: dict[str, Any] = {
    "hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "batch_size": 40,
    "early_stopping": True, "standardize": True, "class_weight": "balanced",
}  # fmt: skip
PHASES = ("describe", "moments", "totals", "shard", "ready", "sums", "scores")


class _Cluster:
    """Two worker processes, which their nannies start again when they die; as a rule.

    A nanny that has failed to, as one of distributed can on a busy machine, costs a new cluster.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._client: Client | None = None

    def whole(self) -> Client:
        """Return a client that has both workers."""
        if self._client is not None:
            try:
                self._client.wait_for_workers(2, timeout=60)
            except TimeoutError:
                self.close()
        if self._client is None:
            self._client = self._stack.enter_context(connected(2, processes=True))
            self._client.wait_for_workers(2, timeout=60)
        return self._client

    def close(self) -> None:
        self._stack.close()
        self._client = None


@pytest.fixture(scope="module")
def cluster() -> Iterator[_Cluster]:
    made = _Cluster()
    yield made
    made.close()


@pytest.fixture
def client(cluster: _Cluster) -> Client:
    return cluster.whole()


def parts(array: Any) -> list[Any]:
    return cut(array, LENGTHS)


@pytest.fixture(scope="module")
def expected() -> str:
    return sha(MLPClassifier(shards=Shards(8, LENGTHS), **FIT).fit(X, Y))


def kill_one(client: Client, which: int) -> None:
    """Kill a worker's process as a crash does, without warning."""
    pids = sorted(client.run(os.getpid, on_error="ignore").values())
    os.kill(pids[which % len(pids)], signal.SIGKILL)


def fit_with_kill(
    client: Client, monkeypatch: pytest.MonkeyPatch, phase: str, moment: str, which: int
) -> Any:
    """Fit, and kill a worker when a phase's first tasks are submitted, run, or are done."""
    killed = threading.Event()
    submit, results = Crew.submit, Crew._wait
    names: set[str] = set()  # of the tasks since the last results

    def kill() -> None:
        if not killed.is_set():
            killed.set()
            kill_one(client, which)

    def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
        if name == phase and moment == "before":
            kill()
        made = submit(self, name, *given, **kwargs)
        if name == phase and moment == "in":
            kill()
        names.add(name)
        return made

    def collecting(self: Crew, futures: list[Any], *patience: Any) -> list[Any]:
        found = results(self, futures, *patience)
        if phase in names and moment == "after":
            kill()
        names.clear()
        return found

    monkeypatch.setattr(Crew, "submit", submitting)
    monkeypatch.setattr(Crew, "_wait", collecting)
    model = DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(Y))
    assert killed.is_set()
    return model


@pytest.mark.parametrize(("phase", "moment"), [("shard", "in"), ("sums", "in")])
def test_a_worker_that_dies_changes_no_bit(
    client: Client, monkeypatch: pytest.MonkeyPatch, expected: str, phase: str, moment: str
) -> None:
    assert sha(fit_with_kill(client, monkeypatch, phase, moment, 0)) == expected


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100))
def test_a_worker_that_dies_anywhere_changes_no_bit(
    client: Client, monkeypatch: pytest.MonkeyPatch, expected: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    phase, moment = rng.choice(PHASES), rng.choice(["before", "in", "after"])
    found = fit_with_kill(client, monkeypatch, str(phase), str(moment), int(rng.integers(2)))
    assert sha(found) == expected


def test_without_any_worker_a_fit_ends_with_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_LOOK", 0.5)
    monkeypatch.setattr(crew, "_GONE", 3.0)
    with connected(1) as client:
        submit = Crew.submit
        closed = threading.Event()

        def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
            if name == "sums" and not closed.is_set():
                closed.set()
                client.cluster.scale(0)
                while client.nthreads():
                    threading.Event().wait(0.05)
            return submit(self, name, *given, **kwargs)

        monkeypatch.setattr(Crew, "submit", submitting)
        with pytest.raises(ClusterError, match="the cluster has had no workers"):
            DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(Y))


@pytest.mark.parametrize("phase", ["shard", "sums"])
def test_the_only_worker_dies_and_a_new_one_takes_its_tasks(
    monkeypatch: pytest.MonkeyPatch, expected: str, phase: str
) -> None:
    monkeypatch.setattr(crew, "_LOOK", 0.5)
    with connected(1, processes=True) as client:
        assert sha(fit_with_kill(client, monkeypatch, phase, "in", 0)) == expected


def test_paused_workers_end_a_fit_with_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as workers whose memory is nearly full, on which no task begins."""
    monkeypatch.setattr(crew, "_LOOK", 0.5)
    monkeypatch.setattr(crew, "_IDLE", 2.0)

    def pause(dask_worker: Any) -> None:
        for callback in dask_worker.periodic_callbacks.values():
            callback.stop()  # of the memory's monitor, which would end the pause
        dask_worker.status = Status.paused

    with connected(1) as client:
        submit = Crew.submit
        paused = threading.Event()

        def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
            if name == "sums" and not paused.is_set():
                paused.set()
                client.run(pause)
            return submit(self, name, *given, **kwargs)

        monkeypatch.setattr(Crew, "submit", submitting)
        with pytest.raises(ClusterError, match="none of them did what the fit asks for"):
            DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(Y))


def test_a_client_that_is_closed_during_a_fit_ends_it_with_a_named_error() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        client = Client(cluster)

        submit, calls = Crew.submit, []

        def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
            made = submit(self, name, *given, **kwargs)
            if name == "sums":
                calls.append(name)
                if len(calls) == 3:
                    client.close()
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Crew, "submit", submitting)
            with pytest.raises(ClusterError, match="closed or restarted during the fit"):
                DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(Y))
