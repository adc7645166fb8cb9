"""Predictions and scores of a table in its files, a piece at a time."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from deltarule.errors import OutputError, TableError
from deltarule.storage import check_writable, write_atomically
from deltarule.tables.evaluation import Evaluation
from deltarule.tables.model import TableModel, inputs_of
from deltarule.tables.output import check_clashes, csv_header, csv_rows
from deltarule.tables.preprocessing import Surprises, Unseen
from deltarule.tables.record import PreprocessingRecord
from deltarule.tables.streaming.scores import Scores
from deltarule.tables.streaming.source import Source
from deltarule.tables.table import Table, show
from deltarule.tables.targets import encode

__all__ = ["StreamedPredictions", "check_test", "evaluate_stream", "write_pieces"]


class StreamedPredictions:
    """A CSV file of predictions that is made as it is read; iterate once to get its bytes.

    Parameters
    ----------
    model : TableModel
        What predicts.
    source : Source
        The table.
    unseen : {"other", "error"}, default="other"
        What to do with a category that was not in training.
    keep : bool, default=False
        Whether the table's columns come first.
    escape : bool, default=False
        As of `predictions_csv`, whose bytes these are.

    Attributes
    ----------
    rows : int
        Rows predicted so far.
    surprises : Surprises
        What was surprising about them.
    """

    def __init__(
        self,
        model: TableModel,
        source: Source,
        unseen: Unseen = "other",
        *,
        keep: bool = False,
        escape: bool = False,
    ) -> None:
        self._model, self._source, self._unseen = model, source, unseen
        self._keep, self._escape = keep, escape
        self.rows, self.surprises = 0, Surprises()

    def __iter__(self) -> Iterator[bytes]:
        labels = getattr(self._model.target, "labels", [])
        kept = self._source.names if self._keep else []
        check_clashes(kept, labels)
        header = csv_header(kept, labels, escape=self._escape)
        for table, _ in self._source.scan():
            X, surprises = self._model.inputs(table, np.arange(table.rows), self._unseen)
            predictions = self._model.respond(X)
            self.surprises.merge(surprises)
            self.rows += table.rows
            body = csv_rows(predictions, table if self._keep else None, escape=self._escape)
            yield header + body
            header = b""


def evaluate_stream(model: TableModel, source: Source, unseen: Unseen = "other") -> Evaluation:
    """Score a model on the rows of a table that have a target, a piece at a time.

    The scores are those of `TableModel.evaluate`. What the evaluation keeps for pictures are the
    first 10 000 rows.

    Raises
    ------
    TableError
        If a column is missing, a cell is not what its column held in training, or no row has a
        target.
    """
    scores, surprises, dropped = Scores(model.target), Surprises(), 0
    name = model.target.name
    source.check_column(name, "the model's target")
    for table, _ in source.scan():
        y, rows = encode(model.target, table, some=True)
        dropped += table.rows - len(rows)
        X, strange = model.inputs(table, rows, unseen)
        surprises.merge(strange)
        if len(rows):
            scores.add(model.respond(X), y)
    if dropped == source.rows:
        raise TableError(f"{source.path}: the target {show(name)} is empty in every row")
    notes = [f"{dropped} rows without a target were left out"] if dropped else []
    return scores.evaluation(notes + surprises.sentences())


def check_test(record: PreprocessingRecord, test: Table | Source) -> None:
    """Refuse a table that a model with this record could not be scored on, before it is trained.

    Every cell of a table in memory is looked at; of one in its files the first piece, which shows
    a column that is missing or of another kind.

    Raises
    ------
    TableError
        As `TableModel.evaluate` would raise it.
    """
    whole = isinstance(test, Table)
    piece = test if isinstance(test, Table) else next(test.scan()).table
    _, rows = encode(record.target, piece, some=not whole)
    inputs_of(record, piece, rows)


def write_pieces(path: Path, pieces: Iterable[bytes], *, overwrite: bool = False) -> Path:
    """Write a file of any size, whole or not at all, from pieces that are made on the way.

    They are gathered in a nameless file beside the target: if making one of them fails, or the
    process is killed, nothing is left of it. Then the file is written as `write_atomically` does.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and `overwrite` is false.
    """
    check_writable(path, overwrite=overwrite)
    try:
        gathered = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _cannot_write(path, error) from error
    with gathered:
        for piece in pieces:
            try:
                gathered.write(piece)
            except OSError as error:
                raise _cannot_write(path, error) from error
        try:
            gathered.flush()
            if os.fstat(gathered.fileno()).st_size == 0:
                return write_atomically(path, b"", overwrite=overwrite)
            with mmap.mmap(gathered.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return write_atomically(path, cast(Any, data), overwrite=overwrite)
        except OutputError:
            raise
        except OSError as error:
            raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or type(error).__name__}")
