"""What is asked of deltarule beside its time a step: layers, neighbours, starts, small calls."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from speed.cases import CASES, variants
from speed.report import mark
from speed.turns import Engine, Measured, Worker, WorkerError, take_turns, worker

__all__ = ["PROMISES", "Figure"]

_ROOT = Path(__file__).resolve().parent.parent
_OURS = Engine("ours")


@dataclass(frozen=True)
class Figure:
    """One figure: what it says of what, and the most that it may be."""

    what: str
    value: float | None  # None: it could not be measured
    most: float | None = None
    unit: str = "×"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is within what is asked, if something is."""
        if self.most is None:
            return None
        return self.value is not None and self.value <= self.most

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Its line in the table."""
        value = "–" if self.value is None else f"{self.value:.3g}{self.unit}"
        asked = "" if self.most is None else f"≤ {self.most:g}{self.unit}{mark(self.met)}"
        return self.what, value, asked, self.note


def layers(rounds: int, epochs: int | None) -> Iterator[Figure]:
    """Other hidden layers on M, against ReLU's."""
    most = {"tanh": 1.15, "sigmoid": 1.15, "batch norm": 1.3, "dropout": 1.25}
    entries = {name: (_OURS, case) for name, case in variants(CASES["M"]).items()}
    measured = take_turns(entries, rounds, epochs=epochs)
    for name, limit in most.items():
        yield _ratio(f"M with {name}, against ReLU", measured[name], measured["relu"], limit)


def neighbours(rounds: int, epochs: int | None) -> Iterator[Figure]:
    """Fits of M beside each other, and with more threads than cores."""
    case = replace(CASES["M"], epochs=epochs or CASES["M"].epochs)
    turn = {"epochs": case.epochs, "threads": 2}
    with worker("ours", case.spec()) as one, worker("ours", case.spec()) as other:
        kinds: dict[str, Callable[[], float]] = {
            "alone": lambda: one.ask(**turn)["seconds"],
            "threads": lambda: one.ask(**turn, at_once=2)["seconds"],
            "processes": lambda: _both(one, other, turn),
            "many": lambda: one.ask(epochs=case.epochs, threads=8)["seconds"],
        }
        for process in (one, other):
            process.ask(epochs=1, threads=2)
        best = dict.fromkeys(kinds, float("inf"))
        for _ in range(rounds):
            for kind, measure in kinds.items():
                best[kind] = min(best[kind], measure())
    alone = best["alone"]
    both = "two fits of M at once (2 threads each), against one after the other"
    yield Figure(f"{both}: in one process", best["threads"] / (2 * alone), 1.3)
    yield Figure(f"{both}: in two processes", best["processes"] / (2 * alone), 1.3)
    yield Figure("M with n_threads=8, against n_threads=2", best["many"] / alone, 1.3)


def _both(one: Worker, other: Worker, turn: dict[str, int]) -> float:
    start = time.perf_counter()
    one.send(**turn)
    other.send(**turn)
    one.receive()
    other.receive()
    return time.perf_counter() - start


def starts(rounds: int, epochs: int | None) -> Iterator[Figure]:
    """The first fit of a fresh process on the digits: no kernels on disk, and all of them."""
    cold, warm = [], []
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_start(folder))
            warm.extend(_start(folder, 5) for _ in range(2))
    note = "import deltarule and fit"
    yield Figure("first fit on the digits, empty kernel cache", min(cold), 5.0, " s", note)
    yield Figure("5 epochs on the digits in a fresh process", min(warm), 0.6, " s", note)


def _start(cache: str, *arguments: int) -> float:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "speed.start", *map(str, arguments)],
        env={**os.environ, "DELTARULE_CACHE_DIR": cache, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WorkerError((done.stderr.strip().splitlines() or ["no error message"])[-1])
    return float(done.stdout.split()[-1])


def small_calls(rounds: int, epochs: int | None) -> Iterator[Figure]:
    """One row predicted and 32 rows learned, beside scikit-learn; one row by a predictor."""
    for name in ("S", "M"):
        case = replace(CASES[name], rows=64, batch=32, epochs=10)
        for what, text in (
            ("predict_proba", "predict_proba of one row"),
            ("partial_fit", "partial_fit of 32 rows"),
        ):
            entries = {
                library: (Engine("latency", options={"what": what, "library": library}), case)
                for library in ("deltarule", "scikit-learn")
            }
            measured = take_turns(entries, rounds, epochs=epochs)
            ours, theirs = measured.values()
            yield _ratio(f"{name}: {text}, against scikit-learn's", ours, theirs, 1.0)
    case = replace(CASES["S"], rows=64, epochs=20)
    entries = {"predictor": (Engine("latency", options={"what": "predictor"}), case)}
    seen = take_turns(entries, rounds, epochs=epochs)["predictor"]
    value = None if seen.best is None else seen.best * 1e6
    what = f"one row through {'-'.join(map(str, case.widths))} by Network.predictor"
    yield Figure(what, value, 25.0, " µs", seen.failed or "")


def _ratio(what: str, ours: Measured, other: Measured, most: float) -> Figure:
    if ours.best is None or other.best is None:
        return Figure(what, None, most, note=ours.failed or other.failed or "")
    return Figure(what, ours.best / other.best, most, note=_times(ours.best, other.best))


def _times(*seconds: float) -> str:
    return " : ".join(f"{s * 1e6:.3g}" for s in seconds) + " µs"


PROMISES: dict[str, Callable[[int, int | None], Iterator[Figure]]] = {
    "layers": layers,
    "neighbours": neighbours,
    "starts": starts,
    "calls": small_calls,
}
