"""A split by time: the last rows are for test, those before them for dev, the rest for training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.messages import in_shell, show
from deltarule.tables.record import TimeSplit
from deltarule.tables.split import Shares, Split, part_sizes, times_of
from deltarule.tables.statistics import TIME_SAMPLE, Sample, row_hash
from deltarule.tables.table import Source
from deltarule.tables.understand_columns import understand
from deltarule.tables.understanding import ReadOptions, Understanding, Understood
from deltarule.training.splits import default_fractions

__all__ = ["split_by_time"]

SAMPLE_ROWS = 2**16
"""Of a table in its files, the times of so many rows decide; a part's share is then within one per
cent of the one asked for, except with a probability of 4 in a million (see `Sample`)."""

MANY = 0.1
"""If more than this share of the rows has no time, a note would not be enough."""


def split_by_time(
    source: Source,
    name: str,
    *,
    target: str,
    shares: Shares | None,
    seed: int,
    understood: Understanding,
    reading: ReadOptions,
    marks: bool,
) -> tuple[Split, int]:
    """Return the split of a table by the times in a column, and how many rows have no time.

    It takes a pass over the rows. Those without a time are in no part, as those without a target.
    The boundaries are times: rows of one time are in one part, and a part begins with the time that
    brings it nearest to its share (of two as near, the later). Without `shares` they are 60/20/20
    up to 10⁴ rows and 98/1/1 above. `marks` says that marks such as "?" are missing targets.

    Raises
    ------
    TableError
        If many rows have no time, or there are too few different times.
    """
    column = _time_column(source, name, target, understood, reading)
    assert column.notation is not None
    missing = reading.missing
    sample, count, gaps = Sample(np.inf if source.in_memory else SAMPLE_ROWS), 0, 0
    first: TableError | None = None
    for table, start in source.scan():
        parsed, wanted = (table.column(each, missing=missing) for each in (name, target))
        rows = np.flatnonzero(wanted.usable if marks else wanted.not_missing)
        times = times_of(parsed, column.notation)[rows]
        without = np.isnan(times)
        if without.any() and first is None:
            first = parsed.fault(int(rows[np.argmax(without)]), "the time is missing")
        gaps += int(without.sum())
        # The same sample for every seed: the split depends on the times alone.
        hashes = row_hash(0, TIME_SAMPLE, start, table.rows)[rows]
        sample.add(times[~without], hashes[~without])
        count += len(rows)
    if first is not None and gaps > MANY * count:
        option = in_shell(f"time:{name}")
        raise TableError(
            f"{first}, as in {gaps} of {count} rows, which --split {option} cannot place; write "
            "the times into the cells, remove the rows, or leave --split out"
        )
    shares = shares or Shares(*default_fractions(count)[1:])
    found = _boundaries(np.sort(sample.values), shares)
    if found is None:
        raise TableError(
            f"{source.path}: the time column {show(column.name)} has too few different times to "
            "hold out whole ones; name a column with finer times, or leave --split out"
        )
    dev_from, test_from = found
    time = TimeSplit(
        column=column.name, notation=column.notation, dev_from=dev_from, test_from=test_from
    )
    return Split(shares, seed, marks=marks, time=time, missing=missing), gaps


def _time_column(
    source: Source, name: str, target: str, understood: Understanding, reading: ReadOptions
) -> Understood:
    """Return what the time column is taken for, even if nothing is learned from it."""
    source.check_column(name, "given with --split")
    if name == target:
        raise TableError(
            f"{source.path}: {show(name)} is the target, and cannot order the rows (--split); name "
            "another column"
        )
    column = understood.columns.get(name)
    if column is None or column.notation is None:  # --ignore, --no-dates
        others = [other for other in source.names if other != name]
        column = understand(source, replace(reading, dates=True), ignore=others).columns[name]
    if column.kind not in ("date", "number"):
        what, typed = column.reason, in_shell(name)
        ways = "name another column, or leave --split out"
        if column.kind != "left out":
            what = f"is taken for {column.in_words}"
            ways = (
                f"correct its cells (--date {typed} or --number {typed} says which are wrong), "
                f"{ways}"
            )
        raise TableError(
            f"{source.path}: the time column {show(name)} {what}, and --split time:COL needs dates "
            f"or numbers; {ways}"
        )
    return column


def _boundaries(times: NDArray[np.float64], shares: Shares) -> tuple[float, float | None] | None:
    """Return the times with which dev and test begin; None if there are too few."""
    values, starts = np.unique(times, return_index=True)
    dev, test = part_sizes(len(times), shares)
    begin_test, last = len(values), None
    if test:
        begin_test = _nearest(starts, len(times) - test, 2, len(values))
        if begin_test < 0:
            return None
        last = float(values[begin_test])
    begin_dev = _nearest(starts, len(times) - test - dev, 1, begin_test)
    return None if begin_dev < 0 else (float(values[begin_dev]), last)


def _nearest(starts: NDArray[np.intp], rows: int, least: int, end: int) -> int:
    """Return which of the times least, ..., end - 1 has about so many rows before it, else -1."""
    if least >= end:
        return -1
    apart = np.abs(starts[least:end] - rows)
    return least + int(np.flatnonzero(apart == apart.min())[-1])
