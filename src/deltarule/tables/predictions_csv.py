"""Predictions as CSV: of rows in memory, or of a table of any size, piece by piece."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain

from deltarule.errors import TableError
from deltarule.tables.columns import number_texts
from deltarule.tables.evaluation import Predictions
from deltarule.tables.kinds import Unseen
from deltarule.tables.messages import listing
from deltarule.tables.model import TableModel
from deltarule.tables.preprocessing import UnseenValues, transform
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
        columns = self._model.preprocessing.columns
        for table, first in self._source.scan():
            X = transform(columns, table, None, self._unseen, self.seen)
            predictions, keep = self._model.respond(X), table if self._keep else None
            self.rows += table.rows
            yield predictions_csv(predictions, keep, escape=self._escape, header=first == 0)


def predictions_csv(
    predictions: Predictions,
    keep: Table | None = None,
    *,
    escape: bool = False,
    header: bool = True,
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
    header : bool, default=True
        Whether the first line names the columns.

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
    kept = [] if keep is None else keep.names
    results = ["prediction", *(f"probability_{label}" for label in predictions.labels)]
    clashes = [name for name in results if name in set(kept)]
    if clashes:
        raise TableError(f"the table already has columns {listing(clashes)}; rename them")
    columns: list[list[str]] = []
    for column in [] if keep is None else map(keep.column, kept):
        column.check_supported()
        texts = number_texts(column.cells) if column.stores_numbers else column.cells
        columns.append([text or "" for text in texts.to_pylist()])
    columns.append([v if isinstance(v, str) else repr(v) for v in predictions.values.tolist()])
    if predictions.probabilities is not None:
        columns += [[repr(p) for p in column.tolist()] for column in predictions.probabilities.T]
    rows: Iterable[Iterable[str]] = zip(*columns, strict=True)
    if header:
        rows = chain([[*kept, *results]], rows)
    if escape:
        rows = ([_escaped(cell) for cell in row] for row in rows)
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def _escaped(text: str) -> str:
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
