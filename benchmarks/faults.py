"""Run the fault-injection tests and write their results into docs/reliability.md.

    make faults                 all rows with full counts, including strace; an hour or two
    make faults FAULTS=short    the short forms, in minutes; the document is not changed
    make faults FAULTS=again    resumes an interrupted run after its last completed test file
    make faults FAULTS=write    writes the document from the results of the last run so far

DELTARULE_FUZZ_BATCHES=5 fuzzes with 5 × 10 000 inputs of each kind instead of half a million.

The tests write their counts to build/faults; this script adds them up, row by row, and prints them
with the targets. A test writes its counts after its last assertion, so that only passed tests are
counted; if a test fails, the document is not written. Fuzzing comes last.
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
    "reliability/test_faults_saving.py",
    "reliability/test_faults_reading.py",
    "storage/test_model_file.py",
    "persistence/test_pipelines.py",
    "cli/test_cli_conventions.py",
    "onnx/test_onnx_estimators.py",
    "engine/test_thread_pool.py",
    "engine/test_kernel_cache.py",
    "reliability/test_faults_training.py",
    "estimators/test_estimator_checks.py",
    "reliability/test_faults_tables.py",
    "tables/test_tables_streaming.py",
    "reliability/test_faults_memory.py",
    "reliability/test_faults_identities.py",
    "reliability/test_faults_live_objects.py",
    "reliability/test_faults_layers.py",
    "reliability/test_faults_numbers.py",
    "reliability/test_faults_values.py",
    "reliability/test_faults_processes.py",
    "reliability/test_faults_messages.py",
    "reliability/test_faults_restored_values.py",
    "storage/test_storage_fuzz.py",
    "tables/test_tables_fuzz.py",
)
RESULTS = ROOT / "build" / "faults"

Counts = list[dict[str, Any]]


class Row(NamedTuple):
    """A row of the table; ``result`` returns the text for the tests' counts."""

    number: str
    fault: str
    behaviour: str
    target: str
    sources: tuple[str, ...]
    result: Callable[[Counts], str]


def total(counts: Counts, name: str) -> int:
    return sum(count.get(name, 0) for count in counts)


def largest(counts: Counts, name: str) -> float:
    return max((count.get(name, 0) for count in counts), default=0)


ROWS = (
    Row(
        "1", "kill -9 at every system call of a save, by strace",
        "the old file or the new one is intact; the next save removes temporary files", "0 torn",
        ("killed, by strace",),
        lambda f: f"intact after all {total(f, 'kills')} kills",
    ),
    Row(
        "1", "kill -9 before every call, simulated in Python", "the same", "0 torn",
        ("killed, in Python",),
        lambda f: f"intact after all {total(f, 'kills')} kills",
    ),
    Row(
        "2", "ENOSPC, EIO, EDQUOT or EROFS at every call of a save",
        "one-line error; the old file is intact, unless only the folder's fsync failed", "100 %",
        ("failing calls",),
        lambda f: f"intact after all {total(f, 'tried')} failures",
    ),
    Row(
        "2", "a file system of 1 MB, full",
        "one-line error; the old file is intact, no temporary file", "0 lost",
        ("full disk",), lambda f: f"intact on {total(f, 'disks')} full disk",
    ),
    Row(
        "3", "order of the durable write", "fsync of the file, rename, fsync of the folder",
        "every save", ("order",),
        lambda f: f"all {total(f, 'saves')} saves",
    ),
    Row(
        "4", "a checkpoint folder that is missing, read-only, not a folder, or full at the start",
        "one-line error before the first epoch", "all", ("checkpoint folders",),
        lambda f: f"{total(f, 'refused')} of {total(f, 'tried')}",
    ),
    Row(
        "5", "kill -9 at the end and in the middle of epochs, then resume: optimisers, schedules, "
        "dropout, batch norm, augmentation, early stopping, recovery, 1 and 2 threads",
        "weights, optimiser, random numbers, curves and file equal those of an uninterrupted run",
        "20/20 equal",
        ("killed and resumed",), lambda f: f"{total(f, 'equal')} of {total(f, 'kills')} equal",
    ),
    Row(
        "6", "the newest checkpoint has flipped bits, is truncated, empty or another format",
        "the previous one is used, with a warning", "20/20", ("damaged checkpoints",),
        lambda f: f"{total(f, 'recovered')} of {total(f, 'tried')}",
    ),
    Row(
        "7", "resume with other data or arguments", "refused; the error names the difference",
        "10/10",
        ("other trainings",), lambda f: f"{total(f, 'named')} of {total(f, 'tried')}",
    ),
    Row(
        "8", "Ctrl-C in `fit`, at random moments", "warns, returns the best finite model",
        "≤ 0.5 s, 50/50", ("ctrl-c",),
        lambda f: f"{total(f, 'in_time')} of {total(f, 'tried')} within 0.5 s, "
        f"slowest {largest(f, 'slowest'):.2f} s",
    ),
    Row(
        "9", "SIGTERM to `deltarule train`",
        "writes a checkpoint, exit code 143; resuming gives the same file",
        "≤ 2 s, resumable", ("sigterm",),
        lambda f: f"{total(f, 'resumable')} of {total(f, 'tried')} resumable, "
        f"slowest {largest(f, 'seconds'):.1f} s",
    ),
    Row(
        "10", "single flipped bits", "`ModelFileError` with a one-line message",
        "10 000: 0 silent, 0 crashes",
        ("flips",),
        lambda f: f"all {total(f, 'flips')} refused",
    ),
    Row(
        "11", "truncation at every byte", "refused", "100 %, < 10 ms each", ("truncation",),
        lambda f: f"all {total(f, 'cut')} refused, "
        f"slowest {largest(f, 'slowest_ms')} ms",
    ),
    Row(
        "11", "forged header lengths: 0, 1, 2³¹, 2⁶³, 2⁶⁴−1, 100 MiB + 1",
        "refused before memory is allocated", "100 %, < 10 ms each", ("lengths",),
        lambda f: f"all {total(f, 'forged')} refused, "
        f"slowest {largest(f, 'slowest_ms')} ms, at most {largest(f, 'most_mb')} MB allocated",
    ),
    Row(
        "12", "10⁹ units, 10⁶ layers, overflowing shapes, in networks and in pipelines",
        "refused because of the arrays' shapes", "50 MB at most", ("giants",),
        lambda f: f"all {total(f, 'forged')} refused, "
        f"at most {largest(f, 'most_mb')} MB allocated",
    ),
    Row(
        "13", "pickle, joblib, .npy, .npz, Keras and HDF5 files, some with a payload",
        "the error names the format; the file is not loaded", "payload never runs", ("foreign",),
        lambda f: f"all {total(f, 'files')} refused, none ran",
    ),
    Row(
        "13",
        "a pipeline that refers to `os.system`, `eval`, its own modules, constructors, methods",
        "refused before anything is imported", "payload never runs", ("attacks",),
        lambda f: f"all {total(f, 'attacks')} refused, none ran",
    ),
    Row(
        "14", "ONNX export to an existing file, a link, a folder, `..`", "refused by default",
        "100 %", ("onnx outputs",), lambda f: f"{total(f, 'kept')} of {total(f, 'tried')} kept",
    ),
    Row(
        "14", "ONNX Runtime's predictions compared with ours, float32",
        "the ONNX checker passes; absolute difference, relative for values above 1", "1e-5",
        ("onnx numbers",),
        lambda f: f"at most {largest(f, 'worst'):.1e} in {total(f, 'models')} models",
    ),
    Row(
        "23", "fork after a fit, and during fits in other threads", "the same bits",
        "100/100 each", ("forks",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "23", "two and four threads that fit concurrently", "the same bits", "100/100",
        ("threads at once",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "23", "fits in multiprocessing and in joblib (loky and threads)",
        "the same bits", "100/100 each", ("pools",),
        lambda f: f"all {total(f, 'times')}",
    ),
    Row(
        "24", "up to 8 processes that start concurrently with an empty kernel cache",
        "the same bits, one cache", "0 crashes", ("cold cache",),
        lambda f: f"all {total(f, 'processes')} processes",
    ),
    Row(
        "24", "truncated, corrupted and foreign files in the kernel cache",
        "the kernel is compiled again",
        "200 runs, 0 crashes", ("damaged cache",),
        lambda f: f"all {total(f, 'runs')} runs",
    ),
    Row(
        "25", "no home folder; a user without a name, a read-only installation",
        "kernels are compiled in memory, one warning", "import and fit work", ("no home",),
        lambda f: f"{total(f, 'runs')} fits, {total(f, 'warnings')} warnings",
    ),
    Row(
        "26", "a cache that other users own or can write to, with malicious files", "not used",
        "malicious code never runs", ("poison",),
        lambda f: f"none used of {total(f, 'folders')} folders",
    ),
    Row(
        "fuzz", "mutated model files of every kind with a correct digest",
        "a model or `ModelFileError`", "1 000 000 of both: 0 crashes", ("fuzz",),
        lambda f: f"{total(f, 'inputs')}, none crashed",
    ),
    Row(
        "22", "learning rate 10⁶, X × 10³⁰⁰, float32 overflow",
        "training stops; it restores the best model or raises, and says what to change",
        "0 non-finite models",
        ("not finite",),
        lambda f: f"all {total(f, 'fits')} fits finite or refused, "
        f"{total(f, 'stopped')} of them stopped",
    ),
    Row(
        "15", "scikit-learn's `check_estimator`", "passes", "all checks",
        ("scikit-learn's checks",), lambda f: f"all {total(f, 'checks')}",
    ),
    Row(
        "15", "NaN, infinity, object, complex, 1-D, empty and other invalid input",
        "scikit-learn's messages, word for word", "the same", ("scikit-learn's messages",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "16", "one class; a class with one row under early stopping; float y for a classifier",
        "the error names the class and the remedy", "all", ("classes",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "17", "missing, renamed or reordered columns; a wrong number of columns",
        "refused, with names; in tables, columns are matched by name", "100 % detected",
        ("columns",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "18", "unseen categories", "counted, or refused with `--unseen error`",
        "0 silent", ("unseen categories",),
        lambda f: f"{total(f, 'silent')} silent of {total(f, 'tables')} tables",
    ),
    Row(
        "19", "duplicate and missing column names, ragged rows, unclosed quotes",
        "error with file and line number",
        "20 files, 0 silent", ("headers and rows",),
        lambda f: f"reported in all {total(f, 'files')} files",
    ),
    Row(
        "20", "\"oops\", \"1,5\", NUL, 1e999, \"None\" and others in a numeric column",
        "error with row and column, in training, evaluation and prediction",
        "0 silent type changes", ("odd cells",),
        lambda f: f"all {total(f, 'cells')} reported",
    ),
    Row(
        "21", "header only, byte order mark, Latin-1, UTF-16, 0 rows, 100 000 columns",
        "works, or exit code 2 and a one-line error", "exit code 2, ≤ 5 s", ("no tables",),
        lambda f: f"{total(f, 'refused')} of {total(f, 'files')}, "
        f"slowest {largest(f, 'slowest_s')} s",
    ),
    Row(
        "28", "forged Parquet counts; Parquet and compressed CSV decompression bombs",
        "refused, or read in chunks, by a process limited to 1 GiB", "< 1 GB", ("bombs",),
        lambda f: f"all {total(f, 'files')} files within the limit",
    ),
    Row(
        "32", "little memory beyond what the imports need",
        "the result, or exit code 2 and a one-line error",
        "0 tracebacks", ("little memory",),
        lambda f: f"error or result at all {total(f, 'limits')} limits, "
        f"{total(f, 'too_low')} of them too low",
    ),
    Row(
        "large", "training on a table four times as large as the memory limit", "training succeeds",
        "4 × the limit", ("larger than memory",),
        lambda f: "; ".join(
            f"{one['megabytes']} MB with a limit of {one['limit']} MB" for one in f
        ),
    ),
    Row(
        "fuzz", "mutated CSV and Parquet files, read as a whole and in chunks",
        "rows or `TableError`", "1 000 000 of both: 0 crashes", ("fuzz tables",),
        lambda f: f"{total(f, 'inputs')}, none crashed",
    ),
    Row(
        "29", "output to an existing file, a symbolic link, a missing folder",
        "without `--overwrite`: exit code 2, nothing is written", "100 %", ("outputs",),
        lambda f: f"{total(f, 'kept')} of {total(f, 'tried')} kept",
    ),
    Row(
        "30", "`csv.py`, `numpy.py` and others in the working directory", "not imported",
        "marker never runs", ("shadows",),
        lambda f: f"none imported in {total(f, 'runs')} runs",
    ),
    Row(
        "31", "predicted cells that start with = + - @", "quoted with `--escape-formulas`",
        "all", ("formulas",), lambda f: f"{total(f, 'quoted')} of {total(f, 'cells')}",
    ),
    Row(
        "32", "out of memory in training with checkpoints",
        "one-line error or warning; the old checkpoint is intact",
        "old checkpoint intact", ("memory",),
        lambda f: f"{total(f, 'intact')} of {total(f, 'tried')} intact",
    ),
    Row(
        "32", "full disk in training", "a warning for each failed write; the result is the same",
        "old checkpoint intact",
        ("full disk in training",),
        lambda f: f"{total(f, 'failed')} failed writes, {total(f, 'trained')} of 1 trained",
    ),
    Row(
        "A", "objects shared by four threads, and entered again from 1 ms signals, callbacks, "
        "finalisers and forks", "the numbers of one state between two steps, or `BusyError`",
        "100 000 calls: 0 wrong, 0 crashes", ("A",),
        lambda f: f"{total(f, 'calls')} calls, {total(f, 'wrong')} wrong",
    ),
    Row(
        "B", "Numba's and matplotlib's files, and modules, in the working directory; nonsense in "
        "variables; threads, locale, time zone; a resume with another engine or processor",
        "the same kernels, plots and bits; nonsense is refused by name; a resume says that bits "
        "may differ, or is refused with `exact=True`", "all",
        ("identities",), lambda f: f"all {total(f, 'runs')}",
    ),
    Row(
        "C", "checkpoints, model files and pipelines with a correct digest and hostile values, "
        "loaded and used", "refused by name, or used without a crash, a raw error or a NaN",
        "110 000: 0 crashes, ≤ 1 s each", ("restored values",),
        lambda f: f"all {total(f, 'files')} handled, slowest {largest(f, 'slowest'):.2f} s",
    ),
    Row(
        "D", "weights whose sum overflows, underflows or is 0", "refused, with the argument's name",
        "all", ("weights",), lambda f: f"all {total(f, 'cases')} refused",
    ),
    Row(
        "D", "NaN in parameters and rows, all activations, both engines",
        "every output and loss that depends on it is NaN", "all", ("NaN",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "D", "squares of gradients overflow an optimiser's memory", "a warning with the remedy",
        "all", ("frozen",), lambda f: f"all {total(f, 'cases')} reported",
    ),
    Row(
        "D", "integers, booleans, float16, lists, Decimal and Fraction in public functions",
        "the values of float64, or refused by name", "all", ("types",),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "E", "copies, pickles and saves while another thread trains; users' functions that work in "
        "place; users' files", "one whole, finite model; arrays and files are unchanged",
        "0 wrong", ("E",),
        lambda f: f"{total(f, 'copies')} copies, {total(f, 'wrong')} wrong; "
        f"{total(f, 'kept')} functions; {total(f, 'files')} files kept",
    ),
    Row(
        "F", "choices that estimators refuse, given to `train`", "refused there, too", "all",
        ("layers",), lambda f: f"all {total(f, 'cases')} refused",
    ),
    Row(
        "F", "label smoothing", "losses and likelihoods are those of the labels", "all",
        ("smoothing",), lambda f: f"all {total(f, 'cases')} equal",
    ),
    Row(
        "G", "few rows of a class, and one class, under early stopping",
        "trains, stratified as nearly as can be", "all", ("held out", "one class"),
        lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "G", "every scorer of scikit-learn as monitor", "works, or refused before the first epoch",
        "all", ("monitors",), lambda f: f"all {total(f, 'cases')}",
    ),
    Row(
        "H", "classes of every dtype, saved and loaded", "the same, or refused by name",
        "0 changed", ("classes in files",),
        lambda f: f"{total(f, 'kept')} kept, {total(f, 'refused')} refused, 0 changed",
    ),
    Row(
        "H", "dates and durations as inputs, targets or weights of the estimators",
        "refused by name, with a remedy", "all", ("dates",),
        lambda f: f"all {total(f, 'refused')} refused",
    ),
    Row(
        "H", "random cells with blanks, cases and odd texts, in ONNX and in `predict`",
        "the same prediction", "0 differ", ("cells in graphs",),
        lambda f: f"{total(f, 'differ')} of {total(f, 'rows')} rows differ",
    ),
    Row(
        "I", "fork in training, a removed checkpoint folder, four threads on a new one, a private "
        "file replaced, memory, 2000 layers",
        "one writer; permissions before bytes; memory as documented; time linear in depth",
        "all, ≤ 3 files", ("processes",),
        lambda f: f"all {total(f, 'tried')}; reading a record or resuming peaks at "
        f"{largest(f, 'files')} files",
    ),
    Row(
        "J", "wrong values for every argument of every public function",
        "an error that names the argument, or a result without NaN", "0 raw errors", ("messages",),
        lambda f: f"all {total(f, 'checked')} named",
    ),
)  # fmt: skip


def table(counts: Counts) -> Iterator[str]:
    yield "| # | fault | behaviour | target | measured |"
    yield "|---|---|---|---|---|"
    for row in sorted(
        ROWS, key=lambda row: (int(row.number), "") if row.number.isdigit() else (99, row.number)
    ):
        own = [count for count in counts if count["fault"] in row.sources]
        measured = row.result(own) if own else "not run on this machine"
        yield f"| {row.number} | {row.fault} | {row.behaviour} | {row.target} | {measured} |"


def run_tests(name: str, *, short: bool) -> None:
    """Run a test file; write its counts and its status to files named after it."""
    counts, status = RESULTS / f"{name}.jsonl", RESULTS / f"{name}.status"
    counts.parent.mkdir(parents=True, exist_ok=True)  # a name has its folder in it
    status.unlink(missing_ok=True)
    counts.write_text("")
    command = [sys.executable, "-m", "pytest", "-q", "-n", os.environ.get("WORKERS", "2")]
    command += ["-m", "not long"] if short else []
    environment = {**os.environ, "DELTARULE_FIGURES": str(counts)}
    path = str(ROOT / "tests" / name)
    code = subprocess.run([*command, path], cwd=ROOT, env=environment, check=False).returncode
    status.write_text("passed" if code == 0 else "failed")


def statuses() -> dict[str, str]:
    """Return the status of each test file, in this run or in the run that it resumes."""
    started = [name for name in TESTS if (RESULTS / f"{name}.jsonl").exists()]
    files = {name: RESULTS / f"{name}.status" for name in started}
    return {n: file.read_text() if file.exists() else "interrupted" for n, file in files.items()}


def main() -> int:
    words = sys.argv[1:]
    short, again, write = ("short" in words), ("again" in words), ("write" in words)
    RESULTS.mkdir(parents=True, exist_ok=True)
    before = statuses() if again else {}
    for name in [] if write else [name for name in TESTS if before.get(name) != "passed"]:
        run_tests(name, short=short)
    ends = statuses()
    texts = [(RESULTS / f"{name}.jsonl").read_text() for name in ends]
    lines = "\n".join(table([json.loads(line) for text in texts for line in text.splitlines()]))
    if unfinished := [name for name in ends if ends[name] == "interrupted"]:
        lines += f"\n\nInterrupted before the end, with partial counts: {', '.join(unfinished)}."
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
