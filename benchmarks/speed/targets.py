"""Targets other than the time per step: layers, members, fits, small calls, starts, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from speed import way_in as way_in_module
from speed.cases import CASES, Case, variants
from speed.fits import FITS, time_fit
from speed.interleaved_timing import Engine, Measured, Worker, WorkerError, time_interleaved, worker
from speed.report import mark

__all__ = ["TARGETS", "Measurement"]

_ROOT = Path(__file__).resolve().parent.parent
_OURS = Engine("ours")


@dataclass(frozen=True)
class Measurement:
    """One measured value and the largest value that meets the target."""

    what: str
    value: float | None  # None: the measurement failed
    most: float | None = None
    unit: str = "×"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.most is None:
            return None
        return self.value is not None and self.value <= self.most

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Row of the table."""
        value = "–" if self.value is None else f"{self.value:.3g}{self.unit}"
        target = "" if self.most is None else f"≤ {self.most:.3g}{self.unit}{mark(self.met)}"
        return self.what, value, target, self.note


def layers(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Other hidden layers on case M, relative to ReLU."""
    most = {"tanh": 1.15, "sigmoid": 1.15, "batch norm": 1.3, "dropout": 1.25}
    entries = {name: (_OURS, case) for name, case in variants(CASES["M"]).items()}
    measured = time_interleaved(entries, rounds, epochs=epochs)
    for name, limit in most.items():
        yield _ratio(f"M with {name}, relative to ReLU", measured[name], measured["relu"], limit)


def shards(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Batches that are cut into 8 shards, as on a cluster, relative to whole ones."""
    for name in ("M", "L"):
        whole = CASES[name]
        entries = {
            "whole": (_OURS, whole),
            "shards": (_OURS, replace(whole, arguments={"shards": 8})),
        }
        measured = time_interleaved(entries, rounds, epochs=epochs)
        what = f"{name} in 8 shards, relative to whole batches"
        yield _ratio(what, measured["shards"], measured["whole"], 1.1)


def members(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Steps of k members with one W, relative to k steps of one; in processor time, on one thread.

    At S the bare products of k members alone take about two thirds of k steps, so that its target
    lies beyond a processor that multiplies at its peak.
    """
    for name, most in (("M", 0.9), ("S", 0.5)):
        rows, batch = 40 * CASES[name].batch, CASES[name].batch
        counts = (1, 8, 16, 32)
        entries = {
            str(k): (
                Engine("members", (1,), {"members": k}),
                replace(CASES[name], rows=rows, batch=batch, epochs=max(1, 32 // k)),
            )
            for k in counts
        }
        measured = time_interleaved(entries, rounds, epochs=epochs)
        one = measured["1"].best
        for k in counts[1:]:
            seen = measured[str(k)]
            what = f"{name}: a step of {k} members, relative to {k} steps of one"
            if one is None or seen.best is None:
                yield Measurement(what, None, most, note=seen.failed or "")
            else:
                note = _times(seen.best, one)
                yield Measurement(what, seen.best / (k * one), most, note=note)


def concurrent_fits(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Concurrent fits of M, and a fit with more threads than cores."""
    case = replace(CASES["M"], epochs=epochs or CASES["M"].epochs)
    request = {"epochs": case.epochs, "threads": 2}
    with worker("ours", case.spec()) as one, worker("ours", case.spec()) as other:
        kinds: dict[str, Callable[[], float]] = {
            "alone": lambda: one.ask(**request)["seconds"],
            "threads": lambda: one.ask(**request, at_once=2)["seconds"],
            "processes": lambda: _both(one, other, request),
            "many": lambda: one.ask(epochs=case.epochs, threads=8)["seconds"],
        }
        for process in (one, other):
            process.ask(epochs=1, threads=2)
        best = dict.fromkeys(kinds, float("inf"))
        for _ in range(rounds):
            for kind, measure in kinds.items():
                best[kind] = min(best[kind], measure())
    alone = best["alone"]
    both = "two concurrent fits of M (2 threads each), relative to one after the other"
    yield Measurement(f"{both}: in one process", best["threads"] / (2 * alone), 1.3)
    yield Measurement(f"{both}: in two processes", best["processes"] / (2 * alone), 1.3)
    yield Measurement("M with n_threads=8, relative to n_threads=2", best["many"] / alone, 1.3)


def _both(one: Worker, other: Worker, request: dict[str, int]) -> float:
    start = time.perf_counter()
    one.send(**request)
    other.send(**request)
    one.receive()
    other.receive()
    return time.perf_counter() - start


def first_fits(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """First fit of a new process on the digits, with an empty and with a full kernel cache."""
    cold, warm = [], []
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_start(folder))
            warm.extend(_start(folder, 5) for _ in range(2))
    note = "import deltarule, then fit"
    yield Measurement("first fit on the digits, empty kernel cache", min(cold), 5.0, " s", note)
    yield Measurement("5 epochs on the digits in a new process", min(warm), 0.6, " s", note)


def _start(cache: str, *arguments: int) -> float:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "speed.start", *map(str, arguments)],
        env={**_environment(), "DELTARULE_CACHE_DIR": cache, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WorkerError((done.stderr.strip().splitlines() or ["no error message"])[-1])
    return float(done.stdout.split()[-1])


def small_calls(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """One row predicted and 32 rows trained, relative to scikit-learn; a predictor's row."""
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
            measured = time_interleaved(entries, rounds, epochs=epochs)
            ours, theirs = measured.values()
            yield _ratio(f"{name}: {text}, relative to scikit-learn", ours, theirs, 1.0)
    case = replace(CASES["S"], rows=64, epochs=20)
    entries = {"predictor": (Engine("latency", options={"what": "predictor"}), case)}
    seen = time_interleaved(entries, rounds, epochs=epochs)["predictor"]
    value = None if seen.best is None else seen.best * 1e6
    what = f"one row through a network {'-'.join(map(str, case.widths))} by Network.predictor"
    yield Measurement(what, value, 25.0, " µs", seen.failed or "")


_NETS = {
    "64-64": (64, 64, 64, 10),
    "256-256-256": (64, 256, 256, 256, 10),
    "M": CASES["M"].widths,
}
_ROWS = (1, 10, 100, 1000, 100_000)


def predictions(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Predictions on 1 and 2 threads: the predictor, predict_proba and ONNX Runtime."""
    for (net, widths), rows, threads in product(_NETS.items(), _ROWS, (1, 2)):
        case = Case(net, widths, rows, rows)
        entries = {
            what: (Engine("predictions", (threads,), {"what": what}), case)
            for what in ("predictor", "predict_proba", "onnxruntime")
        }
        measured = time_interleaved(entries, rounds, epochs=epochs or 5)
        predictor, proba, peer = measured.values()
        text = f"{net}, {rows:,} row{'s' * (rows > 1)}, {threads} thread{'s' * (threads > 1)}"
        yield _ratio(f"{text}: predictor relative to onnxruntime", predictor, peer, 1.0)
        if rows >= 100:
            yield _ratio(f"{text}: predict_proba relative to the predictor", proba, predictor, 1.1)
        if rows >= 1000:
            yield _ratio(f"{text}: predict_proba relative to onnxruntime", proba, peer, 1.0)


def table_rows(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """One row of a table through a fitted tabular estimator, from cells to a prediction."""
    case = Case("one row", (1, 1), 1, 1, 3)
    tables = {"9 columns": (8, 1), "30 columns": (20, 10)}
    for (columns, (numbers, categories)), members in product(tables.items(), (8, 1)):
        options = {"members": members, "numbers": numbers, "categories": categories}
        entries = {
            dress: (Engine("table_row", options={**options, "dress": dress}), case)
            for dress in ("DataFrame", "dict")
        }
        measured = time_interleaved(entries, rounds, epochs=epochs)
        for dress, seen in measured.items():
            value = None if seen.best is None else seen.best * 1e6
            most = {8: 1000.0, 1: 200.0}[members] if columns == "9 columns" else None
            networks = f"{members} network{'s' * (members > 1)}"
            what = f"a row of {columns} as a {dress}, {networks}: predict"
            yield Measurement(what, value, most, " µs", seen.failed or "")


def call_parts(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Where the time of a prediction of one row goes: each line contains those above it."""
    case = Case("64-64", _NETS["64-64"], 1, 1)
    lines = {
        "kernels": "the kernels alone",
        "interpreter": "with the addresses and the array of outputs: Engine.forward",
        "predictor": "with checks of X, NaN included: Network.predictor",
        "predict_proba": "with the estimator's cache and guard of the state: predict_proba",
        "predict": "with the classes: predict",
    }
    entries = {what: (Engine("predictions", (1,), {"what": what}), case) for what in lines}
    measured = time_interleaved(entries, rounds, epochs=epochs or 5)
    for what, text in lines.items():
        seen = measured[what]
        value = None if seen.best is None else seen.best * 1e6
        yield Measurement(f"one row through 64-64-64-10, {text}", value, unit=" µs",
                          note=seen.failed or "")  # fmt: skip


def starts(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """The first predictions of new processes, with a full kernel cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _processes("speed.first_model", [str(folder)], 1)
        told = [str(folder / "table"), str(folder / "ten.csv"), "-o", str(folder / "out.csv")]
        command = ["predict", *told, "--overwrite"]
        shell = min(_timed("deltarule", command) for _ in range(rounds + 1))
        yield Measurement("deltarule predict of ten rows", shell, 0.7, " s", "the whole process")
        kinds = {"a table's model": "table", "an MLPClassifier": "classifier"}
        floor = _first("floor", rounds)
        for kind, file in kinds.items():
            seen = _first(str(folder / file), rounds + 1)
            note = "import, load, predict"
            if file == "classifier":
                note += f"; importing sklearn.base alone {floor['seconds']:.2g} s, "
                note += f"{floor['MiB']:.0f} MiB"
            what = f"load {kind} and predict a row"
            yield Measurement(what, seen["seconds"], 0.5, " s", note)
            yield Measurement(f"{what}: memory of the process", seen["MiB"], 150.0, " MiB")
        bare = min(_timed("deltarule", ["--help"]) for _ in range(rounds))
        yield Measurement("deltarule --help", bare, 0.25, " s")


def _first(file: str, rounds: int) -> dict[str, float]:
    """Return the shortest time and the least memory of first predictions."""
    answers = _processes("speed.first_prediction", [file], rounds)
    return {key: min(answer[key] for answer in answers) for key in ("seconds", "MiB")}


def _processes(module: str, words: list[str], rounds: int) -> list[dict[str, float]]:
    """Return what a module prints as JSON, in so many processes."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    found = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            env={**_environment(), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WorkerError((done.stderr.strip().splitlines() or ["no error message"])[-1])
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def _environment() -> dict[str, str]:
    """Return the variables of a user's process, whose modules' bytecode is kept."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _timed(module: str, words: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WorkerError((done.stderr.strip().splitlines() or ["no error message"])[-1])
    return time.perf_counter() - start


def way_in(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """A table of 10⁶ rows read, prepared and scored, beside other readers."""
    rows = 10**6 if epochs is None else 10**5
    with tempfile.TemporaryDirectory() as folder:
        for path in way_in_module.write_tables(Path(folder), rows):
            kind = "CSV" if path.suffix == ".csv" else "Parquet"
            best: dict[str, tuple[float, float]] = {}
            notes: dict[str, str] = {}
            for _ in range(min(rounds, 3)):
                for name in way_in_module.KINDS:
                    try:
                        found = _module("speed.way_in", name, path)
                    except WorkerError as error:
                        notes[name] = f"skipped: {error}"
                        continue
                    best[name] = min(best.get(name, found), found)
            for name in way_in_module.KINDS:
                time_taken, memory = best.get(name, (None, None))
                ours = name == "deltarule"
                doing = "read, prepared and scored" if ours else "read"
                doing = {
                    "LightGBM": "read and prepared",
                    "deltarule describe": "read and understood",
                }.get(name, doing)
                what = f"{rows:,} rows × 21 columns from {kind}: {doing} by {name}"
                most = {"CSV": 5.0, "Parquet": 3.0}[kind] if ours else None
                yield Measurement(what, time_taken, most, " s", notes.get(name, ""))
                if ours:
                    most = 4 * rows * 21 * 4 / 2**20 + 300
                    yield Measurement(f"{kind}: peak of the process's memory", memory, most, " MB")


def _module(name: str, *arguments: object) -> tuple[float, float]:
    """Return the two numbers that a module of the benchmarks prints in a process of its own."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WorkerError((done.stderr.strip().splitlines() or ["no error message"])[-1])
    first, second = map(float, done.stdout.split()[-2:])
    return first, second


def fits(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Fits as users run them, relative to scikit-learn's."""
    for name, fit in FITS.items():
        what, most = f"fit: {fit.what}, relative to scikit-learn", 1 / fit.target
        try:
            ours, theirs = time_fit(name, rounds, epochs)
        except RuntimeError as error:
            yield Measurement(what, None, most, note=f"failed: {error}")
            continue
        note = f"{theirs / ours:.3g} times as fast: {_times(ours, theirs)}"
        yield Measurement(what, ours / theirs, most, note=note)


def short_epochs(rounds: int, epochs: int | None) -> Iterator[Measurement]:
    """Epochs of one step, in processor time."""
    plain, stopping = _module("speed.epochs", rounds)
    yield Measurement("an epoch of one step, 150 x 4 rows", plain, 25.0, " µs")
    yield Measurement("the same with early stopping", stopping, 50.0, " µs")


def _ratio(what: str, ours: Measured, other: Measured, most: float) -> Measurement:
    if ours.best is None or other.best is None:
        return Measurement(what, None, most, note=ours.failed or other.failed or "")
    return Measurement(what, ours.best / other.best, most, note=_times(ours.best, other.best))


def _times(*seconds: float) -> str:
    return " : ".join(f"{s * 1e6:.3g}" for s in seconds) + " µs"


TARGETS: dict[str, Callable[[int, int | None], Iterator[Measurement]]] = {
    "layers": layers,
    "shards": shards,
    "members": members,
    "concurrent": concurrent_fits,
    "first": first_fits,
    "calls": small_calls,
    "rows": table_rows,
    "predictions": predictions,
    "parts": call_parts,
    "starts": starts,
    "tables": way_in,
    "fits": fits,
    "epochs": short_epochs,
}
