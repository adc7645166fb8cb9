"""Write predictions as CSV."""

from __future__ import annotations

import csv
import io

from deltarule.errors import TableError
from deltarule.tables.cells import is_numeric, number_texts
from deltarule.tables.model import Predictions
from deltarule.tables.table import Table, listing

__all__ = ["predictions_csv"]

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
    columns: dict[str, list[str]] = {}
    if keep is not None:
        for name, column in keep.columns.items():
            texts = number_texts(column) if is_numeric(column) else column
            columns[name] = [text or "" for text in texts.to_pylist()]
    results = {"prediction": [_text(value) for value in predictions.values.tolist()]}
    if predictions.probabilities is not None:
        for label, column in zip(predictions.labels, predictions.probabilities.T, strict=True):
            results[f"probability_{label}"] = [repr(p) for p in column.tolist()]
    clashes = [name for name in results if name in columns]
    if clashes:
        raise TableError(f"the table already has columns {listing(clashes)}; rename them")
    columns |= results
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    guard = _escaped if escape else str
    writer.writerow([guard(name) for name in columns])
    writer.writerows([guard(cell) for cell in row] for row in zip(*columns.values(), strict=True))
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
