"""From a table to what a network is trained on: one pass learns kinds, parts and preprocessing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.batches import ExampleReader
from deltarule.tables.kinds import Kind, recognise
from deltarule.tables.messages import listing, show, unusable_columns
from deltarule.tables.preprocessing import Examples, rare_below
from deltarule.tables.profile import ColumnProfile, PieceRows
from deltarule.tables.record import ColumnRecord, PreprocessingRecord, Provenance, Task
from deltarule.tables.split import Shares, Split, draw_parts
from deltarule.tables.statistics import DEV_SAMPLE, MEDIAN_SAMPLE, Sample, row_hash
from deltarule.tables.table import Source, Table
from deltarule.tables.target import TargetProfile, class_labels
from deltarule.training.splits import default_fractions
from deltarule.version import __version__

__all__ = ["Plan", "Prepared", "prepare"]

READ_AGAIN = "the table stays in its files and is read again in every epoch (docs/streaming.md)"
LARGE = Shares(0.01, 0.01)
"""Of a table in its files, ``shares=None``: as of tables with more than 10⁴ rows (maths.md, D1)."""
SAMPLE_CELLS = 2**22
"""Numbers that are kept for all medians together, at least 1024 a column and at most 16 384."""
DEV_ROWS = 20_000
"""Training watches at most so many dev rows of a dataset; all are scored at the end."""


@dataclass(frozen=True)
class Plan:
    """What to learn from a table, and from which of its rows.

    Attributes
    ----------
    target : str
        The column to predict.
    task : {"classification", "regression"}, optional
        The task; by default the target decides.
    ignore : tuple of str
        Columns to leave out.
    shares : Shares or None
        The shares held out for dev and test; None for 60/20/20 up to 10⁴ rows and 98/1/1 above
        (of a table in its files, whose rows are not counted beforehand: 98/1/1).
    seed : int
        All other seeds derive from this one.
    """

    target: str
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    shares: Shares | None = field(default=Shares(0.1, 0.0))
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """A table profiled and split, ready for training.

    Attributes
    ----------
    reader : ExampleReader
        Reads the rows of each part as examples.
    reason : str
        Why it is this task.
    dev : Examples
        The dev rows that training watches.
    provenance : Provenance
        Seeds and sizes.
    notes : list of str
        What the user should know.
    """

    reader: ExampleReader
    reason: str
    dev: Examples
    provenance: Provenance
    notes: list[str]

    @property
    def preprocessing(self) -> PreprocessingRecord:
        """What was learned from the training rows."""
        return self.reader.preprocessing


def prepare(source: Source, plan: Plan) -> Prepared:
    """Profile and split a table. The preprocessing is learned from the training rows alone.

    A table in its files is read twice: to profile it, and to take the dev rows to be watched. The
    median of a column, which takes the place of missing numbers, then is that of a uniform sample
    of 16 384 training rows (fewer, but at least 1024, of more than 256 columns); it is exact for
    tables that are smaller or in memory.

    Parameters
    ----------
    source : Source
        From `read_table` or `open_source`.
    plan : Plan
        What to learn.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says what to change.
    """
    seeds = np.random.SeedSequence(plan.seed).generate_state(2)
    split_seed, network_seed = (int(seed) for seed in seeds)
    features, whole = _features(source, plan), source.in_memory
    if whole:
        split = _exact_split(next(source.scan()).table, plan, split_seed)
    else:
        split = Split(plan.shares or LARGE, split_seed)
    size = math.inf if whole else max(1024, min(2**14, SAMPLE_CELLS // len(features)))
    columns = [ColumnProfile(name, size) for name in features]
    target, dev_sample = TargetProfile(plan.target, source.path, hashed=not whole), Sample(DEV_ROWS)
    counts = _profile(source, split, target, columns, dev_sample)
    decision = target.decide(plan.task)
    record = target.record(decision)
    split.check(source, counts)
    training_rows, dev_rows, test_rows = counts.tolist()
    threshold = rare_below(training_rows)
    preprocessing = PreprocessingRecord(
        fill_with="median",
        rare_below=threshold,
        columns=_records(source, columns, threshold),
        target=record,
    )
    reader = ExampleReader(source, preprocessing, split)
    dev = reader.whole_part("dev", 1.0 if whole else dev_sample.limit)
    notes = [] if whole else [READ_AGAIN]
    if sum(counts) < source.rows:
        notes.append(f"{source.rows - sum(counts)} rows without a target were left out")
    counters = [profile.name for profile in columns if profile.only_counts(source.rows)]
    if counters:
        notes.append(f"{listing(counters)} only counts the rows; consider --ignore")
    if len(dev.y) < dev_rows:
        notes.append(f"training watches {len(dev.y)} of the {dev_rows} dev rows, drawn at random")
    provenance = Provenance(
        deltarule=__version__,
        seed=plan.seed,
        split_seed=split_seed,
        network_seed=network_seed,
        training_rows=training_rows,
        dev_rows=dev_rows,
        test_rows=test_rows,
    )
    return Prepared(reader, decision.reason, dev, provenance, notes)


def _features(source: Source, plan: Plan) -> list[str]:
    source.check_column(plan.target)
    for name in plan.ignore:
        source.check_column(name, "given with --ignore")
    left = [name for name in source.names if name not in {plan.target, *plan.ignore}]
    if not left:
        raise TableError(
            f"{source.path} has no column left to learn {show(plan.target)} from; "
            "ignore fewer columns, or add some"
        )
    return left


def _exact_split(table: Table, plan: Plan, seed: int) -> Split:
    """Return the split of a table in memory, with the classes of its target in proportion."""
    target = table.column(plan.target)
    profile = TargetProfile(plan.target, table.path)
    no_rows = PieceRows(np.zeros(table.rows, dtype=bool), np.zeros(table.rows), last=True)
    profile.add(target, no_rows)  # what decides the task is learned from all rows
    rows = np.flatnonzero(target.not_missing)
    labels = None
    if profile.decide(plan.task).task == "classification":
        texts = class_labels(target, rows, numeric=bool(target.is_number[rows].all()))
        labels = np.array(texts.to_pylist(), dtype=np.str_)
    shares = plan.shares or Shares(*default_fractions(len(rows))[1:])
    part = np.full(table.rows, -1, dtype=np.int8)
    part[rows] = draw_parts(len(rows), shares, seed, labels)
    return Split(shares, seed, part)


def _profile(
    source: Source,
    split: Split,
    target: TargetProfile,
    columns: list[ColumnProfile],
    dev_sample: Sample,
) -> NDArray[np.int64]:
    """Add all rows, from first to last, to the profiles; return the number of rows of each part.

    The memory that it takes does not grow with the number of rows.
    """
    counts = np.zeros(3, dtype=np.int64)
    for piece in source.scan():
        table, first = piece
        column = table.column(target.name)
        column.check_supported()
        part = split.parts(piece, column)
        counts += np.bincount(part[part >= 0], minlength=3)
        dev = row_hash(split.seed, DEV_SAMPLE, first, table.rows)[part == 1]
        dev_sample.add(dev, dev)
        hashes = row_hash(split.seed, MEDIAN_SAMPLE, first, table.rows)
        rows = PieceRows(part == 0, hashes, source.in_memory)
        target.add(column, rows)
        for profile in columns:
            profile.add(table.column(profile.name), rows)
    return counts


def _records(source: Source, profiles: list[ColumnProfile], threshold: int) -> list[ColumnRecord]:
    """Return the records of the columns, or refuse all that cannot be used at once."""
    kinds = [recognise(profile) for profile in profiles]
    pairs = list(zip(profiles, kinds, strict=True))
    refused = {profile.name: kind for profile, kind in pairs if isinstance(kind, str)}
    if refused:
        raise unusable_columns(source.path, refused)
    return [
        kind.learn(profile, threshold, source.path)
        for profile, kind in pairs
        if isinstance(kind, Kind)
    ]
