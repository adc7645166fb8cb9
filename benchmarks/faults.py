"""What goes wrong and what happens then: docs/reliability.md, from tests that just ran.

    make faults                 every row, at full counts, strace included; an hour or two
    make faults FAULTS=short    the short forms, in minutes; the document stays as it is
    make faults FAULTS=again    goes on behind the last file of tests that a run had ended
    make faults FAULTS=write    writes the document from what the last run has left so far

DELTARULE_FUZZ_BATCHES=5 fuzzes with 5 × 10 000 inputs of each kind instead of half a million.

The tests leave their figures in build/faults; here they are added up, row by row, beside what was
asked. A test leaves its figures behind its last assertion: what is counted has passed, and what
fails keeps the document from being written. The fuzzing comes last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TESTS = (
    "test_faults_saving.py",
    "test_faults_reading.py",
    "test_files_model.py",
    "test_files_pipelines.py",
    "test_cli_manners.py",
    "test_onnx_estimators.py",
    "test_engine_threads.py",
    "test_engine_cache.py",
    "test_faults_training.py",
    "test_estimator_checks.py",
    "test_faults_tables.py",
    "test_tables_streaming.py",
    "test_files_fuzz.py",
    "test_tables_fuzz.py",
)
KEPT = ROOT / "build" / "faults"

Figures = list[dict[str, Any]]


class Row(NamedTuple):
    """A row of the table: the faults' numbers, what was asked, and how the figures read."""

    number: str
    fault: str
    behaviour: str
    asked: str
    sources: tuple[str, ...]
    words: Callable[[Figures], str]


def total(figures: Figures, name: str) -> int:
    return sum(figure.get(name, 0) for figure in figures)


def most(figures: Figures, name: str) -> float:
    return max((figure.get(name, 0) for figure in figures), default=0)


ROWS = (
    Row(
        "1", "kill -9 at every system call of a save, by strace",
        "the old file or the new one; the next save leaves no temporary", "0 torn",
        ("killed, by strace",),
        lambda f: f"whole after all {total(f, 'kills')} kills",
    ),
    Row(
        "1", "kill -9 before every call, injected in Python", "the same", "0 torn",
        ("killed, in Python",),
        lambda f: f"whole after all {total(f, 'kills')} kills",
    ),
    Row(
        "2", "ENOSPC, EIO, EDQUOT or EROFS at every call of a save",
        "one line; the old file, unless only the folder's fsync failed", "100 %",
        ("failing calls",),
        lambda f: f"whole after all {total(f, 'tried')} failures",
    ),
    Row(
        "2", "a file system of 1 MB, full", "one line, the old file, no temporary", "0 lost",
        ("full disk",), lambda f: f"kept, {total(f, 'disks')} of them filled",
    ),
    Row(
        "3", "order of durability", "fsync of the file, rename, fsync of the folder",
        "every save", ("order",),
        lambda f: f"all {total(f, 'saves')} saves",
    ),
    Row(
        "4", "a folder of checkpoints that is missing, read-only, no folder, or full at the start",
        "one line before the first epoch", "all", ("checkpoint folders",),
        lambda f: f"{total(f, 'refused')} of {total(f, 'tried')}",
    ),
    Row(
        "5", "kill -9 at ends of epochs and in mid-epoch, then resumed: optimisers, schedules, "
        "dropout, batch norm, augmentation, early stopping, recovery, 1 and 2 threads",
        "weights, optimiser, random numbers, curves and file as undisturbed", "20/20 equal",
        ("killed and resumed",), lambda f: f"{total(f, 'equal')} of {total(f, 'kills')} equal",
    ),
    Row(
        "6", "the newest checkpoint flipped, cut, emptied or foreign",
        "the one before, with a warning", "20/20", ("damaged checkpoints",),
        lambda f: f"{total(f, 'recovered')} of {total(f, 'tried')}",
    ),
    Row(
        "7", "resumed with other data or arguments", "refused, the difference named", "10/10",
        ("other trainings",), lambda f: f"{total(f, 'named')} of {total(f, 'tried')}",
    ),
    Row(
        "8", "Ctrl-C in `fit`, at random moments", "warns, returns the best finite model",
        "≤ 0.5 s, 50/50", ("ctrl-c",),
        lambda f: f"{total(f, 'in_time')} of {total(f, 'tried')} within 0.5 s, "
        f"slowest {most(f, 'slowest'):.2f} s",
    ),
    Row(
        "9", "SIGTERM to `deltarule train`", "a checkpoint, exit 143; resumed to the same file",
        "≤ 2 s, resumable", ("sigterm",),
        lambda f: f"{total(f, 'resumable')} of {total(f, 'tried')} resumable, "
        f"slowest {most(f, 'seconds'):.1f} s",
    ),
    Row(
        "10", "single flipped bits", "`ModelFileError`, one line", "10 000: 0 silent, 0 crashes",
        ("flips",),
        lambda f: f"all {total(f, 'flips')} refused",
    ),
    Row(
        "11", "truncation at every byte", "refused", "100 %, < 10 ms each", ("truncation",),
        lambda f: f"all {total(f, 'cut')} refused, "
        f"slowest {most(f, 'slowest_ms')} ms",
    ),
    Row(
        "11", "forged lengths of the header: 0, 1, 2³¹, 2⁶³, 2⁶⁴−1, 100 MiB + 1",
        "refused before memory is taken", "100 %, < 10 ms each", ("lengths",),
        lambda f: f"all {total(f, 'forged')} refused, "
        f"slowest {most(f, 'slowest_ms')} ms, at most {most(f, 'most_mb')} MB taken",
    ),
    Row(
        "12", "10⁹ units, 10⁶ layers, shapes that overflow, in networks and in pipelines",
        "refused by the arrays' shapes", "50 MB at most", ("giants",),
        lambda f: f"all {total(f, 'forged')} refused, "
        f"at most {most(f, 'most_mb')} MB taken",
    ),
    Row(
        "13", "pickle, joblib, .npy, .npz, Keras and HDF5 files, some with a payload",
        "named, never opened", "payload never runs", ("foreign",),
        lambda f: f"all {total(f, 'files')} refused, none ran",
    ),
    Row(
        "13", "a pipeline that names `os.system`, `eval`, own modules, constructors, methods",
        "refused before anything is imported", "payload never runs", ("attacks",),
        lambda f: f"all {total(f, 'attacks')} refused, none ran",
    ),
    Row(
        "14", "ONNX to an existing file, a link, a folder, `..`", "refused without being told",
        "100 %", ("onnx outputs",), lambda f: f"{total(f, 'kept')} of {total(f, 'tried')} kept",
    ),
    Row(
        "14", "ONNX Runtime beside our predictions, float32",
        "the checker passes; differences, relative above 1", "1e-5", ("onnx numbers",),
        lambda f: f"at most {most(f, 'worst'):.1e} in {total(f, 'models')} models",
    ),
    Row(
        "23", "forks after a fit, and in the middle of other threads' fits", "the same bits",
        "100/100 each", ("forks",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "23", "two and four threads that fit at once", "the same bits", "100/100",
        ("threads at once",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "23", "fits in multiprocessing, and in joblib with loky and with threads",
        "the same bits", "100/100 each", ("pools",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "24", "up to 8 processes that begin on a cold cache of kernels at once",
        "the same bits, one cache", "0 crashes", ("cold cache",),
        lambda f: f"all {total(f, 'processes')} processes",
    ),
    Row(
        "24", "cut, flipped and foreign files among the kernels", "compiled anew",
        "200 runs, 0 crashes", ("damaged cache",),
        lambda f: f"all {total(f, 'runs')} runs",
    ),
    Row(
        "25", "no home folder; a user without name, read-only install",
        "compiles in memory, warns once", "import and fit work", ("no home",),
        lambda f: f"{total(f, 'runs')} fits, {total(f, 'warnings')} warnings",
    ),
    Row(
        "26", "a cache that others own or can write to, with poison in it", "not used",
        "poison never runs", ("poison",),
        lambda f: f"none used of {total(f, 'folders')} folders",
    ),
    Row(
        "fuzz", "mutations of files of every kind, with a digest that is right",
        "a model or `ModelFileError`", "1 000 000 of both: 0 crashes", ("fuzz",),
        lambda f: f"{total(f, 'inputs')}, none crashed",
    ),
    Row(
        "22", "learning rate 10⁶, X × 10³⁰⁰, float32 overflow",
        "stops; restores or raises, and says what to change", "0 non-finite models",
        ("not finite",),
        lambda f: f"all {total(f, 'fits')} fits finite or refused, "
        f"{total(f, 'stopped')} of them stopped",
    ),
    Row(
        "15", "scikit-learn's `check_estimator`", "passes", "all checks",
        ("scikit-learn's checks",), lambda f: f"all {total(f, 'checks')}",
    ),
    Row(
        "15", "NaN, infinity, object, complex, 1-D, empty and other bad input",
        "scikit-learn's messages, word for word", "the same", ("scikit-learn's messages",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "16", "one class; a class with one row under early stopping; float y for a classifier",
        "names the class and the fix", "all", ("classes",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "17", "columns missing, renamed, reordered; a wrong number of them",
        "refused by name; in tables found by name", "100 % caught", ("columns",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "18", "categories that training did not see", "counted, or refused with `--unseen error`",
        "0 silent", ("unseen categories",),
        lambda f: f"{total(f, 'silent')} silent of {total(f, 'tables')} tables",
    ),
    Row(
        "19", "repeated and missing names, ragged rows, open quotes", "error with file and line",
        "20 files, 0 silent", ("headers and rows",),
        lambda f: f"told in all {total(f, 'files')} files",
    ),
    Row(
        "20", "\"oops\", \"1,5\", NUL, 1e999, \"None\" and others in a column of numbers",
        "error with row and column, in training, evaluation and prediction",
        "0 silent type changes", ("odd cells",),
        lambda f: f"told of all {total(f, 'cells')}",
    ),
    Row(
        "21", "header only, byte order mark, Latin-1, UTF-16, 0 rows, 100 000 columns",
        "works, or exit 2 and one line", "exit 2, ≤ 5 s", ("no tables",),
        lambda f: f"{total(f, 'refused')} of {total(f, 'files')}, "
        f"slowest {most(f, 'slowest_s')} s",
    ),
    Row(
        "28", "forged Parquet counts, Parquet and compressed CSV that swell",
        "refused, or read in pieces, by a process of 1 GiB", "< 1 GB", ("bombs",),
        lambda f: f"all {total(f, 'files')} files within it",
    ),
    Row(
        "32", "little memory beyond what imports take", "the result, or exit 2 and one line",
        "0 tracebacks", ("little memory",),
        lambda f: f"a line or the result at all {total(f, 'limits')} limits, "
        f"{total(f, 'told')} of them too low",
    ),
    Row(
        "large", "training on a table of four times the limit on memory", "trains",
        "4 × the limit", ("larger than memory",),
        lambda f: "; ".join(
            f"{one['megabytes']} MB in a limit of {one['limit']} MB" for one in f
        ),
    ),
    Row(
        "fuzz", "mutations of CSV and Parquet files, read whole and in pieces",
        "rows or `TableError`", "1 000 000 of both: 0 crashes", ("fuzz tables",),
        lambda f: f"{total(f, 'inputs')}, none crashed",
    ),
    Row(
        "29", "output to an existing file, a symbolic link, a missing folder",
        "exit 2, nothing written, without `--overwrite`", "100 %", ("outputs",),
        lambda f: f"{total(f, 'kept')} of {total(f, 'tried')} kept",
    ),
    Row(
        "30", "`csv.py`, `numpy.py` and others in the working directory", "not imported",
        "marker never runs", ("shadows",),
        lambda f: f"none imported in {total(f, 'runs')} runs",
    ),
    Row(
        "31", "cells of predictions that begin with = + - @", "quoted with `--escape-formulas`",
        "all", ("formulas",), lambda f: f"{total(f, 'quoted')} of {total(f, 'cells')}",
    ),
    Row(
        "32", "too little memory in training with checkpoints",
        "one line or a note; the old one stays",
        "old checkpoint intact", ("memory",),
        lambda f: f"{total(f, 'intact')} of {total(f, 'tried')} intact",
    ),
    Row(
        "32", "a full disk in training", "a warning each time, the same result", "old one intact",
        ("full disk in training",),
        lambda f: f"{total(f, 'failed')} failed writes, {total(f, 'trained')} of 1 trained",
    ),
)  # fmt: skip


def table(figures: Figures) -> Iterator[str]:
    yield "| # | fault | what happens | asked | reached |"
    yield "|---|---|---|---|---|"
    for row in sorted(ROWS, key=lambda row: int(row.number) if row.number.isdigit() else 99):
        own = [figure for figure in figures if figure["fault"] in row.sources]
        reached = row.words(own) if own else "not run on this machine"
        yield f"| {row.number} | {row.fault} | {row.behaviour} | {row.asked} | {reached} |"


def run_tests(name: str, *, short: bool) -> None:
    """Run a file of tests; their figures go to a file of its name, and how it ended beside it."""
    figures, ended = KEPT / f"{name}.jsonl", KEPT / f"{name}.ended"
    ended.unlink(missing_ok=True)
    figures.write_text("")
    command = [sys.executable, "-m", "pytest", "-q", "-n", os.environ.get("WORKERS", "2")]
    command += ["-m", "not long"] if short else []
    environment = {**os.environ, "DELTARULE_FIGURES": str(figures)}
    path = str(ROOT / "tests" / name)
    code = subprocess.run([*command, path], cwd=ROOT, env=environment, check=False).returncode
    ended.write_text("passed" if code == 0 else "failed")


def verdicts() -> dict[str, str]:
    """Return how each file of tests ended, in this run or in the one that this one goes on with."""
    ends = {name: KEPT / f"{name}.ended" for name in TESTS if (KEPT / f"{name}.jsonl").exists()}
    return {name: end.read_text() if end.exists() else "cut off" for name, end in ends.items()}


def main() -> int:
    words = sys.argv[1:]
    short, again, write = ("short" in words), ("again" in words), ("write" in words)
    KEPT.mkdir(parents=True, exist_ok=True)
    before = verdicts() if again else {}
    for name in [] if write else [name for name in TESTS if before.get(name) != "passed"]:
        run_tests(name, short=short)
    ends = verdicts()
    texts = [(KEPT / f"{name}.jsonl").read_text() for name in ends]
    lines = "\n".join(table([json.loads(line) for text in texts for line in text.splitlines()]))
    if open_ones := [name for name in ends if ends[name] == "cut off"]:
        lines += (
            f"\n\nCut off before the end, and counted as far as it came: {', '.join(open_ones)}."
        )
    failed = [name for name in TESTS if ends.get(name) == "failed"]
    print(lines)
    print(f"failed: {', '.join(failed)}" if failed else "none failed")
    if not failed and not short:
        text = DOCUMENT.read_text(encoding="utf-8")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{head}{BEGIN}\n{lines}\n{END}{tail}", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
