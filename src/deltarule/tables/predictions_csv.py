"""Predictions as CSV: of rows in memory, or of a table of any size, piece by piece."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from deltarule.errors import TableError
from deltarule.tables.columns import number_texts
from deltarule.tables.evaluation import Predictions
from deltarule.tables.kinds import Unseen
from deltarule.tables.messages import listing
from deltarule.tables.model import TableModel
from deltarule.tables.preprocessing import UnseenValues
from deltarule.tables.table import Source, Table

__all__ = ["PredictionsCsv", "predictions_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PredictionsCsv:
    """A CSV file of predictions that is made while it is read; iterate once to get its bytes.

    Parameters
    ----------
    model : TableModel
        The model that predicts.
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
    seen : UnseenValues
        What they held that the training rows did not.
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
        self.rows, self.seen = 0, UnseenValues()

    def __iter__(self) -> Iterator[bytes]:
        header = _header(
            self._source.names if self._keep else [], self._model.labels, escape=self._escape
        )
        for table, _ in self._source.scan():
            predictions = self._model.respond(
                self._model.inputs(table, None, self._unseen, self.seen)
            )
            self.rows += table.rows
            yield header + _rows(predictions, table if self._keep else None, escape=self._escape)
            header = b""


def predictions_csv(
    predictions: Predictions, keep: Table | None = None, *, escape: bool = False
) -> bytes:
    """Return the bytes of a CSV file of predictions.

    Parameters
    ----------
    predictions : Predictions
        What a model said.
    keep : Table, optional
        The table that was predicted; its columns come first.
    escape : bool, default=False
        Put an apostrophe before texts that a spreadsheet would take for a formula: those that
        begin with ``=``, ``+``, ``-`` or ``@`` and are no number.

    Returns
    -------
    bytes
        UTF-8: the kept columns, ``prediction``, then ``probability_<class>`` for each class.
        Numbers have as many digits as it takes to read back the same float.

    Raises
    ------
    TableError
        If the table has columns of these names, or one that is neither numbers nor texts.
    """
    header = _header([] if keep is None else keep.names, predictions.labels, escape=escape)
    return header + _rows(predictions, keep, escape=escape)


def _header(kept: Iterable[str], labels: Iterable[str], *, escape: bool) -> bytes:
    """Return the first line; refuse a table whose columns have the names of the results."""
    kept, results = list(kept), ["prediction", *(f"probability_{label}" for label in labels)]
    clashes = [name for name in results if name in set(kept)]
    if clashes:
        raise TableError(f"the table already has columns {listing(clashes)}; rename them")
    return _lines([[*kept, *results]], escape=escape)


def _rows(predictions: Predictions, keep: Table | None, *, escape: bool) -> bytes:
    """Return the lines of some rows."""
    columns: list[list[str]] = []
    for column in [] if keep is None else map(keep.column, keep.names):
        column.check_supported()
        texts = number_texts(column.cells) if column.stores_numbers else column.cells
        columns.append([text or "" for text in texts.to_pylist()])
    columns.append([_text(value) for value in predictions.values.tolist()])
    if predictions.probabilities is not None:
        columns += [[repr(p) for p in column.tolist()] for column in predictions.probabilities.T]
    return _lines(zip(*columns, strict=True), escape=escape)


def _lines(rows: Iterable[Iterable[str]], *, escape: bool) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    if escape:
        rows = ([_escaped(cell) for cell in row] for row in rows)
    writer.writerows(rows)
    return file.getvalue().encode()


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else repr(value)


def _escaped(text: str) -> str:
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
