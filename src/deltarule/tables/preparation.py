"""From a table to what a network is trained on: kinds of columns, parts of rows, preprocessing.

One pass over all rows understands the columns, a second one learns from the training rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from deltarule.errors import SpecError, TableError
from deltarule.tables.batches import ExampleReader
from deltarule.tables.encoding import STANDARDISED, usual_encoding
from deltarule.tables.folds import choose_folds
from deltarule.tables.messages import listing, show
from deltarule.tables.parallel import together
from deltarule.tables.passes import Learned, Passes, Streams
from deltarule.tables.plan import Plan
from deltarule.tables.preprocessing import Examples, rare_below
from deltarule.tables.profile import Learner, PieceRows, learner
from deltarule.tables.record import (
    Classes,
    ColumnRecord,
    PreprocessingRecord,
    Provenance,
    Quantity,
)
from deltarule.tables.sources.dataset import Dataset
from deltarule.tables.split import ForTraining, Shares, Split, draw_parts, time_text
from deltarule.tables.table import Source, Table
from deltarule.tables.target import TargetProfile, target_column, transformed
from deltarule.tables.target_codes import encode_target
from deltarule.tables.time_split import split_by_time
from deltarule.tables.understand_columns import feature_columns, understand
from deltarule.tables.understanding import Understanding
from deltarule.training.splits import default_fractions
from deltarule.version import __version__

__all__ = ["Prepared", "prepare"]

READ_AGAIN = "the table stays in its files and is read again in every epoch (docs/streaming.md)"
LARGE = Shares(0.01, 0.01)
"""Of a table in its files, ``shares=None``: as of tables with more than 10⁴ rows (maths.md, D1)."""
SAMPLE_CELLS = 2**22
"""Numbers that are kept for all medians together, at least 1024 a column and at most 16 384."""


@dataclass(frozen=True)
class Prepared:
    """A table profiled and split, ready for training.

    Attributes
    ----------
    plan : Plan
        What was to be learned.
    reader : ExampleReader
        Reads the rows of each part as examples.
    reason : str
        Why it is this task.
    dev : Examples
        The dev rows that training watches.
    provenance : Provenance
        Seeds and sizes.
    understanding : Understanding
        What each column was taken for.
    notes : list of str
        What the user should know.
    folds : int
        How many networks are trained; of more than one, each leaves out a fold of the training
        rows, and there is no dev part.
    why_one : str
        Why it is one network, if it is.
    passes : Passes
        Who reads the rows.
    streams : Streams or None
        The chunks of a dataset by shards, if a batch is cut into them.
    """

    plan: Plan
    reader: ExampleReader
    reason: str
    dev: Examples
    provenance: Provenance
    understanding: Understanding
    notes: list[str]
    folds: int = 1
    why_one: str = ""
    passes: Passes = field(default_factory=Passes)
    streams: Streams | None = None

    @property
    def preprocessing(self) -> PreprocessingRecord:
        """What was learned from the training rows."""
        return self.reader.preprocessing


def prepare(source: Source, plan: Plan, passes: Passes | None = None) -> Prepared:
    """Profile and split a table. The preprocessing is learned from the training rows alone.

    For an ensemble all rows but the test rows are training rows; its preprocessing is learned from
    all of them, and of the target only its labels, or its mean and scale.

    A table in its files is read twice: to understand its columns, and to learn from the training
    rows and take the dev rows to be watched. It is read a third time if chance put no row of a
    class into the training part, to which all rows of that class then belong. The median of a
    column, which takes the place of missing numbers and dates, then is that of a uniform sample of
    16 384 training rows (fewer, but at least 1024, of more than 256 columns); it is exact for
    tables that are smaller or in memory.

    Parameters
    ----------
    source : Source
        From `read_table` or `open_source`.
    plan : Plan
        What to learn.
    passes : Passes, optional
        Who reads the rows; by default this process.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says what to change.
    """
    passes = passes or Passes()
    seeds = np.random.SeedSequence(plan.seed).generate_state(2)
    split_seed, network_seed = (int(seed) for seed in seeds)
    source.check_column(plan.target)
    folds = choose_folds(source, plan)
    shares = plan.shares
    if folds.networks > 1 and shares is not None:
        shares = shares._replace(dev=0.0)
    whole, missing = source.in_memory, plan.reading.missing
    understood = understand(
        source, plan.reading, ignore=plan.ignore, target=plan.target, passes=passes
    )
    features = feature_columns(source, plan.target, understood)
    numbers = sum(understood.columns[name].kind == "number" for name in features)
    encoding = usual_encoding(numbers) if folds.networks > 1 else STANDARDISED
    if plan.scaling is not None:
        encoding = encoding._replace(scaling=plan.scaling)
    if plan.bins is not None:
        encoding = encoding._replace(bins=plan.bins)
    column = target_column(understood, plan.target, source.path)
    target = TargetProfile(column, source.path)
    untimed = 0
    if plan.time is not None:
        split, untimed = split_by_time(
            source,
            plan.time,
            target=plan.target,
            shares=plan.shares,
            seed=split_seed,
            understood=understood,
            reading=plan.reading,
            marks=target.marks,
        )
    elif whole:
        split = _exact_split(next(source.scan()).table, plan, shares, split_seed, target)
        target = TargetProfile(column, source.path)
    else:
        split = Split(plan.shares or LARGE, split_seed, marks=target.marks)
    size = math.inf if whole else max(1024, min(2**14, SAMPLE_CELLS // len(features)))

    def learned() -> Learned:
        columns = [learner(understood.columns[name], size, encoding) for name in features]
        found = Learned(target, columns)
        passes.learn(source, split, missing, found)
        return found

    found = learned()
    decision = target.decide(plan.task)
    alone = target.untrained(decision)
    if alone and split.time is not None:
        begin = time_text(split.time.notation, split.time.dev_from)
        raise TableError(
            f"{source.path}: no row of class {listing(alone)} of {show(plan.target)} comes before "
            f"{begin}, where the dev part begins; add rows of it, leave --split out, or hold out "
            "less (--dev, --test)"
        )
    if alone:  # by chance; such a table is read once more
        split = replace(split, trained=ForTraining(alone, target.labels_of))
        target = TargetProfile(column, source.path)
        found = learned()
        decision = target.decide(plan.task)
    record, counts = target.record(decision), found.counts
    if plan.target_transform is not None or folds.networks > 1:
        record = _transformed(record, source, split, plan)
    split.check(source, counts)
    training_rows, dev_rows, test_rows = counts.tolist()
    threshold = rare_below(training_rows)
    preprocessing = PreprocessingRecord(
        fill_with="median",
        file=source.format,
        rare_below=threshold,
        missing=list(missing),
        columns=_records(found.columns, threshold, source),
        target=record,
    )
    reader = ExampleReader(source, preprocessing, split)
    dev = reader.whole_part("dev") if whole else found.dev.examples(preprocessing, reader)
    notes = [*source.notes, *understood.notes, *([] if whole else [READ_AGAIN])]
    notes += target.alike(decision)
    few = [label for label in decision.labels if label in {*alone, *target.single(decision)}]
    if few:
        notes.append(
            f"all rows of class {listing(few)} are for training: they are too few to be held out"
        )
    if untimed:
        notes.append(f"{untimed} rows without a time in {show(str(plan.time))} were left out")
    if sum(counts) + untimed < source.rows:
        dropped = source.rows - sum(counts) - untimed
        notes.append(f"{dropped} rows without a target were left out")
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
        time=split.time,
    )
    streams = None
    if plan.shards is not None:
        streams = _streams(source, found.training, plan.shards)
    return Prepared(
        plan,
        reader,
        decision.reason,
        dev,
        provenance,
        understood,
        notes,
        folds.networks,
        folds.why_one,
        passes,
        streams,
    )


def _transformed(
    record: Classes | Quantity, source: Source, split: Split, plan: Plan
) -> Classes | Quantity:
    """Return the record of the target with its transform, which the training rows decide."""
    asked = plan.target_transform
    if isinstance(record, Classes):
        if asked is not None:
            raise TableError(
                f"{source.path}: the target {show(record.name)} holds classes, which have no "
                f"{asked} (--target-transform); leave the option out, or use --task regression"
            )
        return record
    if not source.in_memory:
        raise TableError(
            f"{source.path}: --target-transform {asked} is for tables in memory, but "
            f"{READ_AGAIN}; leave the option out"
        )
    piece = next(source.scan())
    y, rows = encode_target(record, piece.table, plan.reading.missing)
    column = piece.table.column(record.name, missing=plan.reading.missing)
    trained = split.parts(piece, column)[rows] == 0
    return transformed(record, y[trained], asked)


def _streams(source: Source, training: list[tuple[int, int]], count: int) -> Streams:
    if not isinstance(source, Dataset):
        raise SpecError(
            "shards are for tables that stay in their files; use --stream, or leave --shards out"
        )
    return Streams.of(source, training, count)


def _records(columns: list[Learner], rare: int, source: Source) -> list[ColumnRecord]:
    found: dict[str, ColumnRecord] = {}

    def record(column: Learner) -> None:
        found[column.name] = column.record(rare, source.path)

    together(record, columns, source.rows if source.in_memory else 0)
    return [found[column.name] for column in columns]


def _exact_split(
    table: Table, plan: Plan, shares: Shares | None, seed: int, profile: TargetProfile
) -> Split:
    """Return the split of a table in memory, with the classes of its target in proportion."""
    target = table.column(plan.target, missing=plan.reading.missing)
    no_rows = PieceRows(np.zeros(table.rows, dtype=bool), np.zeros(table.rows))
    profile.add(target, no_rows)  # what decides the task is learned from all rows
    rows = np.flatnonzero(target.usable if profile.marks else target.not_missing)
    labels = None
    if profile.decide(plan.task).task == "classification":
        labels = profile.places_of(target, rows)
    shares = shares or Shares(*default_fractions(len(rows))[1:])
    part = np.full(table.rows, -1, dtype=np.int8)
    part[rows] = draw_parts(len(rows), shares, seed, labels)
    return Split(shares, seed, part, profile.marks)
