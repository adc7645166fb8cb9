"""Numbers and arrays as text and as LaTeX; long ones are cut with an ellipsis, never silently."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["latex_array", "text_array"]

COLUMNS, ROWS = 6, 4
"""The most columns and rows of an array that are shown; the last one is always among them."""


def latex_array(value: Any, digits: int = 4) -> str:
    """Return a number, or an array as a matrix in brackets."""
    array = np.asarray(value)
    if array.ndim == 0:
        return _latex_number(array.item(), digits)
    rows = _cut(_matrix(array))
    cells = [
        " & ".join(r"\cdots" if x is None else _latex_number(x, digits) for x in row)
        if row is not None
        else r" & ".join([r"\vdots"] * len(rows[0] or ()))
        for row in rows
    ]
    return r"\begin{bmatrix} " + r" \\ ".join(cells) + r" \end{bmatrix}"


def text_array(value: Any, digits: int = 4) -> list[str]:
    """Return the lines of a number or of an array in plain text, columns aligned."""
    array = np.asarray(value)
    if array.ndim == 0:
        return [_number(array.item(), digits)]
    rows = _cut(_matrix(array))
    cells = [
        ["…" if x is None else _number(x, digits) for x in row]
        if row is not None
        else ["⋮"] * len(rows[0] or ())
        for row in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return [
        "[ " + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + " ]"
        for row in cells
    ]


def _matrix(array: Any) -> Any:
    """Return an array as a matrix: a vector is a row, and matrices stand below each other."""
    return np.atleast_2d(array) if array.ndim < 3 else array.reshape(-1, array.shape[-1])


def _cut(array: Any) -> list[list[Any] | None]:
    """Return the rows that are shown; None stands for those left out, in rows and in columns."""
    rows: list[list[Any] | None] = [_cut_row(row.tolist(), COLUMNS) for row in array]
    if len(rows) <= ROWS:
        return rows
    return [*rows[: ROWS - 2], None, rows[-1]]


def _cut_row(row: list[Any], most: int) -> list[Any]:
    return row if len(row) <= most else [*row[: most - 2], None, row[-1]]


def _number(x: Any, digits: int) -> str:
    if isinstance(x, bool | int):
        return str(int(x))
    return f"{x + 0.0:.{digits}g}"  # −0 is 0


def _latex_number(x: Any, digits: int) -> str:
    text = _number(x, digits)
    if text in ("nan", "inf", "-inf"):
        return text.replace("inf", r"\infty").replace("nan", r"\mathrm{NaN}")
    mantissa, e, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else text
