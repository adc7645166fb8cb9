"""Runs of anchors: each in its own process, with its record saved in its own file."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import deltarule
import reproduce
from reproduce.anchor import Anchor
from reproduce.images import uses_substitute

__all__ = ["FOLDER", "Run", "anchors", "pending_runs", "perform", "run_all", "save_record",
           "saved_results"]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "reproduce"


class Run(NamedTuple):
    """Identity of a run; its record is saved in ``file``."""

    anchor: str
    variant: str
    seed: int
    scale: str
    file: Path

    def __str__(self) -> str:
        return f"{self.anchor} {self.variant}, seed {self.seed}"


def anchors() -> dict[str, Anchor]:
    """Return all anchors by name, in order."""
    found = {}
    for module in sorted(each.name for each in pkgutil.iter_modules(reproduce.__path__)):
        if module[0] == "p" and module[1:3].isdigit():
            anchor = importlib.import_module(f"reproduce.{module}").ANCHOR
            found[anchor.name] = anchor
    return found


def fingerprint(anchor: Anchor, scale: str) -> str:
    """Return a digest of the settings of an anchor at a scale.

    It covers the anchor's file, without comments, docstrings, checkpoints and the description of
    the source, and its plan except the seeds. For the smoke form, whose purpose is to find what a
    change broke, it also covers all other code, and whether the digits replace the images.
    """
    tree = ast.parse(Path(inspect.getfile(anchor.fit)).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and _is_description(node.body[0]):
            del node.body[0]
        if isinstance(node, ast.Call):
            node.keywords = [word for word in node.keywords if word.arg != "checkpoint"]
    body = [node for node in tree.body if not _is_description(node)]
    plan = anchor.plans[scale]
    settings = [*map(ast.unparse, body), anchor.data, plan.epochs, plan.rows]
    if scale == "smoke":
        settings += [_code(), uses_substitute(anchor.data)]
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]


@cache
def _code() -> str:
    """Return a digest of the package and of this folder."""
    digest = hashlib.sha256()
    for folder in (Path(deltarule.__file__).parent, Path(__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_description(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ANCHOR"


def runs_of(anchor: Anchor, scale: str, folder: Path = FOLDER) -> Iterator[Run]:
    """Return all runs of an anchor at a scale, ordered by seed."""
    if scale not in anchor.plans:
        return
    key = fingerprint(anchor, scale)
    for seed in anchor.plans[scale].seeds:
        for variant in anchor.variants:
            slug = "".join(c if c.isalnum() else "-" for c in variant).strip("-")
            file = folder / scale / f"{anchor.name}-{slug}-{seed}-{key}.json"
            yield Run(anchor.name, variant, seed, scale, file)


def saved_results(
    anchor: Anchor, scale: str, folder: Path = FOLDER
) -> dict[str, list[dict[str, Any]]]:
    """Return the saved records of an anchor's runs, by variant, without empty variants."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs_of(anchor, scale, folder):
        if run.file.exists():
            record = json.loads(run.file.read_text(encoding="utf-8"))
            found.setdefault(run.variant, []).append(record)
    return found


def perform(anchor: Anchor, run: Run, n_threads: int) -> dict[str, Any]:
    """Train, save and return the record: results, times, and load of the machine.

    The checkpoints of a long run are in a folder next to its file until it ends. An interrupted run
    resumes from there; its times are then unknown.
    """
    checkpoint = run.file.with_suffix("")
    resumed = checkpoint.exists()
    task = anchor.task(run.variant, run.seed, run.scale, n_threads, checkpoint)
    load, begin, spent = os.getloadavg()[0], time.perf_counter(), time.process_time()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    outcome = anchor.fit(task)
    record = {
        "anchor": run.anchor,
        "variant": run.variant,
        "seed": run.seed,
        "scale": run.scale,
        "data": task.images.name,
        "rows": len(task.images.X_train),
        "test_error": outcome.test_error,
        "loss": list(outcome.loss),
        "test_errors": list(outcome.test_errors),
        "epochs": len(outcome.loss),
        "seconds": None if resumed else time.perf_counter() - begin,
        "processor_seconds": None if resumed else time.process_time() - spent,
        "threads": n_threads,
        "load_average": [load, os.getloadavg()[0]],
        "version": deltarule.__version__,
        "ended": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    save_record(run.file, record)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return record


def save_record(file: Path, record: dict[str, Any]) -> None:
    """Write a record atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, file)


def pending_runs(chosen: Iterable[Anchor], scale: str, folder: Path = FOLDER) -> list[Run]:
    """Return the runs that are not saved yet: the first seed of every anchor, then the second, …"""
    runs = [run for anchor in chosen for run in runs_of(anchor, scale, folder)]
    return sorted((r for r in runs if not r.file.exists()), key=lambda run: run.seed)


def run_all(runs: list[Run], jobs: int, n_threads: int) -> int:
    """Run each in its own process, ``jobs`` at a time; return the number that failed."""

    def one(run: Run) -> int:
        command = [
            sys.executable, "-m", "reproduce.worker", run.anchor, run.variant, str(run.seed),
            run.scale, str(n_threads), str(run.file.parent.parent),
        ]  # fmt: skip
        paths = [str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
        limits = {name: str(n_threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
        environment = os.environ | limits | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        return subprocess.run(command, env=environment, check=False).returncode

    with ThreadPoolExecutor(jobs) as pool:
        return sum(code != 0 for code in pool.map(one, runs))
