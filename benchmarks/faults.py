"""What goes wrong and what happens then: docs/reliability.md, from tests that just ran.

    make faults                 every row, at full counts, strace included
    make faults FAULTS=short    the short forms, in minutes; the document stays as it is

DELTARULE_FUZZ_BATCHES=5 fuzzes with 5 × 10 000 inputs instead of a million, which take an hour.

The tests leave their figures in a file; here they are added up, row by row, beside what was asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TESTS = (
    "test_faults_saving.py",
    "test_faults_reading.py",
    "test_files_fuzz.py",
    "test_files_model.py",
    "test_files_pipelines.py",
    "test_cli_manners.py",
    "test_estimator_checks.py",
    "test_faults_tables.py",
    "test_tables_streaming.py",
    "test_tables_fuzz.py",
)

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
        lambda f: f"{total(f, 'torn')} torn in {total(f, 'kills')} kills",
    ),
    Row(
        "1", "kill -9 before every call, injected in Python", "the same", "0 torn",
        ("killed, in Python",),
        lambda f: f"{total(f, 'torn')} torn in {total(f, 'kills')} kills",
    ),
    Row(
        "2", "ENOSPC, EIO, EDQUOT or EROFS at every call of a save",
        "one line; the old file, unless only the folder's fsync failed", "100 %",
        ("failing calls",),
        lambda f: f"{total(f, 'torn')} torn in {total(f, 'tried')} failures",
    ),
    Row(
        "2", "a file system of 1 MB, full", "one line, the old file, no temporary", "0 lost",
        ("full disk",), lambda f: f"{total(f, 'lost')} lost in {total(f, 'disks')}",
    ),
    Row(
        "3", "order of durability", "fsync of the file, rename, fsync of the folder",
        "every save", ("order",),
        lambda f: f"{total(f, 'in_order')} of {total(f, 'saves')} saves",
    ),
    Row(
        "10", "single flipped bits", "`ModelFileError`, one line", "10 000: 0 silent, 0 crashes",
        ("flips",),
        lambda f: f"{total(f, 'flips')}: {total(f, 'silent')} silent, "
        f"{total(f, 'crashes')} crashes",
    ),
    Row(
        "11", "truncation at every byte", "refused", "100 %, < 10 ms each", ("truncation",),
        lambda f: f"{total(f, 'cut')} cut: {total(f, 'accepted')} accepted, "
        f"slowest {most(f, 'slowest_ms')} ms",
    ),
    Row(
        "11", "forged lengths of the header: 0, 1, 2³¹, 2⁶³, 2⁶⁴−1, 100 MiB + 1",
        "refused before memory is taken", "100 %, < 10 ms each", ("lengths",),
        lambda f: f"{total(f, 'forged')}: {total(f, 'accepted')} accepted, "
        f"at most {most(f, 'most_mb')} MB taken",
    ),
    Row(
        "12", "10⁹ units, 10⁶ layers, shapes that overflow, in networks and in pipelines",
        "refused by the arrays' shapes", "50 MB at most", ("giants",),
        lambda f: f"{total(f, 'forged')}: {total(f, 'accepted')} accepted, "
        f"at most {most(f, 'most_mb')} MB taken",
    ),
    Row(
        "13", "pickle, joblib, .npy, .npz, Keras and HDF5 files, some with a payload",
        "named, never opened", "payload never runs", ("foreign",),
        lambda f: f"{total(f, 'ran')} ran of {total(f, 'files')}",
    ),
    Row(
        "13", "a pipeline that names `os.system`, `eval`, own modules, constructors, methods",
        "refused before anything is imported", "payload never runs", ("attacks",),
        lambda f: f"{total(f, 'ran')} ran of {total(f, 'attacks')}",
    ),
    Row(
        "fuzz", "mutations of files of every kind, with a digest that is right",
        "a model or `ModelFileError`", "1 000 000: 0 crashes", ("fuzz",),
        lambda f: f"{total(f, 'inputs')}: {total(f, 'crashes')} crashes",
    ),
    Row(
        "15", "scikit-learn's `check_estimator`", "passes", "all checks",
        ("scikit-learn's checks",), lambda f: f"{total(f, 'passed')} of {total(f, 'checks')}",
    ),
    Row(
        "15", "NaN, infinity, object, complex, 1-D, empty and other bad input",
        "scikit-learn's messages, word for word", "the same", ("scikit-learn's messages",),
        lambda f: f"{total(f, 'same')} of {total(f, 'cases')}",
    ),
    Row(
        "16", "one class; a class with one row under early stopping; float y for a classifier",
        "names the class and the fix", "all", ("classes",),
        lambda f: f"{total(f, 'named')} of {total(f, 'cases')}",
    ),
    Row(
        "17", "columns missing, renamed, reordered; a wrong number of them",
        "refused by name; in tables found by name", "100 % caught", ("columns",),
        lambda f: f"{total(f, 'caught')} of {total(f, 'cases')}",
    ),
    Row(
        "18", "categories that training did not see", "counted, or refused with `--unseen error`",
        "0 silent", ("unseen categories",),
        lambda f: f"{total(f, 'silent')} silent of {total(f, 'tables')} tables",
    ),
    Row(
        "19", "repeated and missing names, ragged rows, open quotes", "error with file and line",
        "20 files, 0 silent", ("headers and rows",),
        lambda f: f"{total(f, 'silent')} silent of {total(f, 'files')} files",
    ),
    Row(
        "20", "\"oops\", \"1,5\", NUL, 1e999, \"None\" and others in a column of numbers",
        "error with row and column, in training, evaluation and prediction",
        "0 silent type changes", ("odd cells",),
        lambda f: f"{total(f, 'silent')} silent of {total(f, 'cells')}",
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
        lambda f: f"{total(f, 'files')} files: {total(f, 'over')} over",
    ),
    Row(
        "32", "little memory beyond what imports take", "the result, or exit 2 and one line",
        "0 tracebacks", ("little memory",),
        lambda f: f"{total(f, 'tracebacks')} tracebacks at {total(f, 'limits')} limits, "
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
        "rows or `TableError`", "1 000 000: 0 crashes", ("fuzz tables",),
        lambda f: f"{total(f, 'inputs')}: {total(f, 'crashes')} crashes",
    ),
    Row(
        "29", "output to an existing file, a symbolic link, a missing folder",
        "exit 2, nothing written, without `--force`", "100 %", ("outputs",),
        lambda f: f"{total(f, 'kept')} of {total(f, 'tried')} kept",
    ),
    Row(
        "30", "`csv.py`, `numpy.py` and others in the working directory", "not imported",
        "marker never runs", ("shadows",),
        lambda f: f"{total(f, 'ran')} ran in {total(f, 'runs')} runs",
    ),
    Row(
        "31", "cells of predictions that begin with = + - @", "quoted with `--escape-formulas`",
        "all", ("formulas",), lambda f: f"{total(f, 'quoted')} of {total(f, 'cells')}",
    ),
)  # fmt: skip


def table(figures: Figures) -> Iterator[str]:
    yield "| # | fault | what happens | asked | reached |"
    yield "|---|---|---|---|---|"
    for row in ROWS:
        own = [figure for figure in figures if figure["fault"] in row.sources]
        reached = row.words(own) if own else "not run on this machine"
        yield f"| {row.number} | {row.fault} | {row.behaviour} | {row.asked} | {reached} |"


def main() -> int:
    short = "short" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures"
        file.touch()
        tests = [str(ROOT / "tests" / name) for name in TESTS if (ROOT / "tests" / name).exists()]
        command = [sys.executable, "-m", "pytest", "-q", *(["-m", "not long"] if short else [])]
        environment = {**os.environ, "DELTARULE_FIGURES": str(file)}
        done = subprocess.run([*command, *tests], cwd=ROOT, env=environment, check=False)
        figures = [json.loads(line) for line in file.read_text().splitlines()]
    lines = "\n".join(table(figures))
    print(lines)
    if done.returncode == 0 and not short:
        text = DOCUMENT.read_text(encoding="utf-8")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{head}{BEGIN}\n{lines}\n{END}{tail}", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
