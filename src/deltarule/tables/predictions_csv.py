"""Predictions for a table of any size as CSV, piece by piece."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import chain

from deltarule.errors import TableError
from deltarule.tables.columns import number_texts
from deltarule.tables.kinds import Unseen, UnseenValues
from deltarule.tables.messages import listing
from deltarule.tables.model import TableModel
from deltarule.tables.preprocessing import transform
from deltarule.tables.table import Source, Table

__all__ = ["PredictionsCsv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class PredictionsCsv:
    """A CSV file of predictions that is made while it is read; iterate once to get its bytes.

    It is UTF-8: the kept columns, ``prediction``, then ``probability_<class>`` for each class.
    Numbers have as many digits as it takes to read back the same float.

    Attributes
    ----------
    model : TableModel
        The model that predicts.
    source : Source
        The table.
    unseen : {"other", "error"}, default="other"
        What to do with a category that was not in training.
    keep : bool, default=False
        Whether the table's columns come first. It is an error if they have the names of the
        results, or one of them holds neither numbers nor texts.
    escape : bool, default=False
        Put an apostrophe before texts that a spreadsheet would take for a formula: those that
        begin with ``=``, ``+``, ``-`` or ``@`` and are no number.
    rows : int
        Rows predicted so far.
    seen : UnseenValues
        What they held that the training rows did not.
    """

    model: TableModel
    source: Source
    unseen: Unseen = "other"
    _: KW_ONLY
    keep: bool = False
    escape: bool = False
    rows: int = field(default=0, init=False)
    seen: UnseenValues = field(init=False)

    def __post_init__(self) -> None:
        self.seen = UnseenValues(self.unseen)

    def __iter__(self) -> Iterator[bytes]:
        kept = self.source.names if self.keep else []
        results = ["prediction", *(f"probability_{label}" for label in self.model.labels)]
        clashes = [name for name in results if name in set(kept)]
        if clashes:
            raise TableError(f"the table already has columns {listing(clashes)}; rename them")
        header = [[*kept, *results]]
        for table, _ in self.source.scan():
            rows = chain(header, zip(*self._columns(table, kept), strict=True))
            escaped = ([_escaped(cell) for cell in row] for row in rows) if self.escape else rows
            file = io.StringIO(newline="")
            csv.writer(file, lineterminator="\n").writerows(escaped)
            self.rows += table.rows
            yield file.getvalue().encode()
            header = []

    def _columns(self, table: Table, kept: list[str]) -> Iterator[list[str]]:
        """Yield the cells of each column of the file as texts."""
        record = self.model.preprocessing
        X = transform(record.columns, table, None, self.seen, record.missing)
        predictions = self.model.respond(X)
        for column in map(table.column, kept):
            column.check_supported()
            texts = number_texts(column.cells) if column.stores_numbers else column.cells
            yield [text or "" for text in texts.to_pylist()]
        yield [v if isinstance(v, str) else repr(v) for v in predictions.values.tolist()]
        if predictions.probabilities is not None:
            for column in predictions.probabilities.T:
                yield [repr(p) for p in column.tolist()]


def _escaped(text: str) -> str:
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
