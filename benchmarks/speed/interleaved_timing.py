"""Interleaved timing: worker processes, measured alternately by the parent process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deltarule.engine.thread_pool import available_cores
from speed.cases import Case

__all__ = [
    "ENGINES",
    "Engine",
    "Measured",
    "Worker",
    "WorkerError",
    "time_interleaved",
    "worker",
]

_ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT = 600.0  # seconds to wait for an answer of a worker
_SETTLE = 0.15  # seconds in which the threads of the last repetition become idle
_TRIALS = 2  # rounds that measure every number of threads


class WorkerError(Exception):
    """A worker failed: its engine is not installed, raised an error, or its process ended."""


class Worker:
    """A process that runs repetitions of one case."""

    def __init__(self, module: str, spec: Mapping[str, Any], **environment: str) -> None:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "speed.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )
        try:
            self.ask(worker=module, **spec)
        except BaseException:
            self.close()
            raise

    def ask(self, **message: Any) -> dict[str, Any]:
        """Run a repetition and return the answer."""
        self.send(**message)
        return self.receive()

    def send(self, **message: Any) -> None:
        """Start a repetition."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_error()) from None

    def receive(self) -> dict[str, Any]:
        """Wait until the repetition ends and return the answer."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _TIMEOUT)[0]:
            raise WorkerError(f"no answer in {_TIMEOUT:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_error())
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise WorkerError(answer["failed"])
        return answer

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _last_error(self) -> str:
        self._process.wait(5)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"ended with status {self._process.returncode}"


@contextmanager
def worker(module: str, spec: Mapping[str, Any], **environment: str) -> Iterator[Worker]:
    """Yield a worker; its process ends with the block."""
    made = Worker(module, spec, **environment)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Engine:
    """An engine: a module of ``speed.workers`` and its options, without the case."""

    module: str
    threads: tuple[int | None, ...] = (None,)  # numbers of threads to measure; None: its own choice
    options: dict[str, Any] = field(default_factory=dict)


_EITHER = tuple(sorted({1, available_cores()}))
ENGINES = {
    "deltarule": Engine("ours"),
    "torch eager": Engine("pytorch", _EITHER),
    "torch.compile": Engine("pytorch", _EITHER, {"compiled": True}),
    "JAX scan": Engine("jax_scan"),
    "scikit-learn": Engine("scikit", _EITHER),
    "BLAS baseline": Engine("blas_baseline", _EITHER),
}


@dataclass
class Measured:
    """Measurements of one engine: seconds per step of every repetition, by number of threads."""

    seconds: dict[int | None, list[float]] = field(default_factory=dict)
    failed: str | None = None

    def add(self, threads: int | None, answer: Mapping[str, Any]) -> None:
        """Record a repetition."""
        self.seconds.setdefault(threads, []).append(answer["seconds"] / answer["steps"])

    @property
    def best(self) -> float | None:
        """The shortest time per step, or None without measurements."""
        return min((min(s) for s in self.seconds.values()), default=None)

    @property
    def threads(self) -> int | None:
        """The number of threads of the best repetition."""
        return min(self.seconds, key=lambda threads: min(self.seconds[threads]), default=None)


def time_interleaved(
    entries: Mapping[str, tuple[Engine, Case]],
    rounds: int,
    *,
    epochs: int | None = None,
    seconds: float | None = None,
) -> dict[str, Measured]:
    """Measure engines alternately, round after round, each in one process for all rounds.

    In the first rounds an engine runs one repetition for every number of threads, afterwards only
    with the fastest number. A first repetition of each, which may compile, is not counted.

    Parameters
    ----------
    entries : mapping
        Engine and case, by name.
    rounds : int
        Number of rounds.
    epochs : int, optional
        Epochs of a repetition, instead of the case's.
    seconds : float, optional
        Duration of a repetition, instead: the number of epochs is chosen for each engine.
    """
    measured = {name: Measured() for name in entries}
    with ExitStack() as stack:
        ready = {}
        for name, (engine, case) in entries.items():
            try:
                process = stack.enter_context(worker(engine.module, case.spec() | engine.options))
                _warm_up(process, engine)
                length = epochs or case.epochs
                if seconds is not None:
                    once = process.ask(epochs=1, threads=engine.threads[0])["seconds"]
                    length = max(1, min(1000, round(seconds / once)))
                ready[name] = process, length
            except WorkerError as error:
                measured[name].failed = str(error)
        for number in range(rounds):
            for name, (process, length) in ready.items():
                seen = measured[name]
                choices = entries[name][0].threads if number < _TRIALS else (seen.threads,)
                try:
                    for threads in choices if seen.failed is None else ():
                        time.sleep(_SETTLE)
                        seen.add(threads, process.ask(epochs=length, threads=threads))
                except WorkerError as error:
                    seen.failed = str(error)
    return measured


def _warm_up(process: Worker, engine: Engine) -> None:
    for threads in engine.threads:
        process.ask(epochs=1, threads=threads)
