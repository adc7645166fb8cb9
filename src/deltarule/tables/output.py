"""Write predictions as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from deltarule.errors import TableError
from deltarule.tables.cells import check_usable, is_numeric, number_texts
from deltarule.tables.model import Predictions
from deltarule.tables.table import Table, listing

__all__ = ["check_clashes", "csv_header", "csv_rows", "predictions_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    """
    kept = [] if keep is None else list(keep.columns)
    check_clashes(kept, predictions.labels)
    header = csv_header(kept, predictions.labels, escape=escape)
    return header + csv_rows(predictions, keep, escape=escape)


def check_clashes(kept: Iterable[str], labels: Iterable[str]) -> None:
    """Refuse a table that has columns of the names that predictions get."""
    clashes = [name for name in _results(labels) if name in set(kept)]
    if clashes:
        raise TableError(f"the table already has columns {listing(clashes)}; rename them")


def csv_header(kept: Iterable[str], labels: Iterable[str], *, escape: bool = False) -> bytes:
    """Return the first line of a file of predictions."""
    return _lines([[*kept, *_results(labels)]], escape=escape)


def csv_rows(predictions: Predictions, keep: Table | None = None, *, escape: bool = False) -> bytes:
    """Return the lines of some rows."""
    columns: list[list[str]] = []
    if keep is not None:
        for name, column in keep.columns.items():
            check_usable(keep, name)
            texts = number_texts(column) if is_numeric(column) else column
            columns.append([text or "" for text in texts.to_pylist()])
    columns.append([_text(value) for value in predictions.values.tolist()])
    if predictions.probabilities is not None:
        columns += [[repr(p) for p in column.tolist()] for column in predictions.probabilities.T]
    return _lines(zip(*columns, strict=True), escape=escape)


def _results(labels: Iterable[str]) -> list[str]:
    return ["prediction", *(f"probability_{label}" for label in labels)]


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
