"""The columns of a table as named inputs, imputed, standardised or one-hot encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from deltarule.onnx.dates import Date, append_date
from deltarule.onnx.graph import ML, Graph, encode
from deltarule.onnx.network import Scaling, standardize

__all__ = ["Categories", "Column", "Number", "append_columns"]


@dataclass(frozen=True)
class Number:
    """A column of numbers: (x − mean)/scale, where ``fill`` replaces a missing x.

    With ``knots``, it is instead the linear interpolation of ``scores`` at them. If ``flag`` is
    true, a second feature is 1 where x is missing and 0 elsewhere. With ``edges``, there is one
    more feature for each interval between them: how much of it lies below x, times ``height``.
    """

    name: str
    description: str
    fill: float
    mean: float
    scale: float
    flag: bool
    knots: Sequence[float] = ()
    scores: Sequence[float] = ()
    edges: Sequence[float] = ()
    height: float = 1.0


@dataclass(frozen=True)
class Categories:
    """A column of strings: one feature for each code from 0 to ``width`` − 1, ``height`` if set.

    Blanks around a string do not count.

    A string that is not in ``codes`` gets the code ``unknown``. The code −1 sets no feature, or
    causes an error in the runtime if ``strict`` is true.
    """

    name: str
    description: str
    codes: dict[str, int]
    unknown: int
    width: int
    strict: bool = False
    height: float = 1.0


Column: TypeAlias = Number | Categories | Date

_BLANKS = (
    r"[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}"
    r"\x{202f}\x{205f}\x{3000}]*"
)
"""What surrounds a cell without being part of it: the blanks of ``str.strip`` and of pyarrow."""

_LONGEST = 1000
"""Characters of an expression: longer ones may need more memory than RE2 allows itself."""


def append_columns(g: Graph, columns: Sequence[Column]) -> str:
    """Declare an input (batch, 1) for each column; return the network's inputs (batch, d).

    The order is numbers, their flags, their bins, categories, dates; each as the columns are.
    """
    inputs = {column.name: _input(g, column) for column in columns}
    numbers = [column for column in columns if isinstance(column, Number)]
    parts = []
    if numbers:
        with g.part("numbers_in"):
            parts += _numbers(g, numbers, [inputs[column.name] for column in numbers])
    for column in columns:
        if isinstance(column, Categories):
            with g.part(f"category_{column.name}"):
                one_hot = _one_hot(g, column, inputs[column.name])
                parts.append(_high(g, one_hot, column.height))
    for column in columns:
        if isinstance(column, Date):
            with g.part(f"date_{column.name}"):
                parts += append_date(g, column, inputs[column.name])
    return _together(g, parts)


def _input(g: Graph, column: Column) -> str:
    kinds = {Number: None, Date: np.float64, Categories: object}
    kind = kinds[type(column)]
    return g.input(column.name, 1, column.description, kind)


def _numbers(g: Graph, columns: list[Number], inputs: list[str]) -> list[str]:
    """Return the scaled columns and, if any has them, flags of missing cells, and bins."""
    x = _together(g, inputs)
    missing = g.node("IsNaN", x)
    filled = g.node("Where", missing, g.numbers("fill", [c.fill for c in columns]), x)
    if any(column.knots for column in columns):
        single = [g.node("Gather", filled, g.integers("column", [i]), axis=1)
                  for i in range(len(columns))]  # fmt: skip
        pairs = list(zip(columns, single, strict=True))
        parts = [_together(g, [_scaled(g, column, value) for column, value in pairs])]
    else:
        scaling = Scaling([c.mean for c in columns], [c.scale for c in columns])
        parts = [standardize(g, filled, scaling)]
    flagged = [i for i, column in enumerate(columns) if column.flag]
    if flagged:
        flags = g.cast(missing, g.dtype)
        parts.append(g.node("Gather", flags, g.integers("flagged", flagged), axis=1))
    for i, column in enumerate(columns):
        if column.edges:
            value = g.node("Gather", filled, g.integers("column", [i]), axis=1)
            parts.append(_high(g, _bins(g, value, column.edges), column.height))
    return parts


def _high(g: Graph, x: str, height: float) -> str:
    return x if height == 1.0 else g.node("Mul", x, g.number(height))


def _scaled(g: Graph, column: Number, x: str) -> str:
    """Return (batch, 1): a column standardised, or its scores, as a sum over the intervals."""
    if not column.knots:
        return standardize(g, x, Scaling([column.mean], [column.scale]))
    rises = g.numbers("rises", np.diff(column.scores)[:, None])
    risen = g.node("MatMul", _bins(g, x, column.knots), rises)
    return g.node("Add", risen, g.numbers("first", column.scores[0]))


def _bins(g: Graph, x: str, edges: Sequence[float]) -> str:
    """Return (batch, intervals): which part of each interval lies below x (batch, 1)."""
    above = g.node("Sub", x, g.numbers("edges", edges[:-1]))
    share = g.node("Div", above, g.divisors("widths", np.diff(edges)))
    return g.node("Clip", share, g.number(0.0), g.number(1.0))


def _one_hot(g: Graph, column: Categories, texts: str) -> str:
    """Return (batch, width): each string's code as a row with at most one 1."""
    code = _codes(g, column, texts)
    hot = g.node(
        "OneHotEncoder",
        code,
        domain=ML,
        cats_int64s=list(range(column.width)),
        zeros=int(not column.strict),
    )
    rows = g.node("Squeeze", hot, g.integers("axis", [1]))
    return rows if g.dtype == np.float32 else g.cast(rows, g.dtype)


def _codes(g: Graph, column: Categories, texts: str) -> str:
    """Return the code (batch, 1) of each string without its surrounding blanks.

    ONNX has no operator that trims a string, but one that compares it with a regular expression.
    The number code + 1 is written in binary: each expression has the categories whose number has
    one bit, so that its value is the sum of the bits that match. No match means unknown.
    """
    patterns: list[str] = []
    bits: list[int] = []
    numbers = {text: code + 1 for text, code in column.codes.items()}
    for bit in range(max(numbers.values(), default=0).bit_length()):
        members = sorted(text for text, number in numbers.items() if number >> bit & 1)
        for pattern in _patterns(column.name, members):
            patterns.append(pattern)
            bits.append(1 << bit)
    if not patterns:  # no category at all
        patterns, bits = [f"{_BLANKS}{_BLANKS}"], [0]
    found = [g.node("RegexFullMatch", texts, pattern=pattern) for pattern in patterns]
    number = g.node(
        "MatMul", g.cast(_together(g, found), np.int64), g.integers("bits", [[b] for b in bits])
    )
    code = g.node("Sub", number, g.integers("one", 1))
    if column.unknown < 0:
        return code
    unknown = g.integers("unknown", column.unknown)
    return g.node("Where", g.node("Less", code, g.integers("zero", 0)), unknown, code)


def _patterns(name: str, texts: Sequence[str]) -> Iterator[str]:
    """Yield regular expressions (RE2) of which one matches if a text with any blanks is given."""
    choices: list[str] = []
    length = 0
    for text in texts:
        encode(f"column {name!r}", text)  # refuses what UTF-8 cannot hold
        escaped = _escaped(text)
        if choices and length + len(escaped) > _LONGEST:
            yield f"{_BLANKS}(?:{'|'.join(choices)}){_BLANKS}"
            choices, length = [], 0
        choices.append(escaped)
        length += len(escaped)
    if choices:
        yield f"{_BLANKS}(?:{'|'.join(choices)}){_BLANKS}"


def _escaped(text: str) -> str:
    """Return a text as a regular expression that matches it alone."""
    return "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{{{ord(c):x}}}" for c in text)


def _together(g: Graph, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else g.node("Concat", *parts, axis=1)
