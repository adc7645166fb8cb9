"""Quotes in the bytes of a CSV file: where records end, and which quote is a mistake.

A quote that begins a cell opens it. Separators and line ends belong to the cell until a quote that
is not doubled closes it, and there the cell must end. Any other quote (5" pipe) is an ordinary
character. pyarrow continues a cell after its closing quote: two cells that are never closed would
join the rows between them without an error.

A line that begins with the user's mark for comments is no record, whatever it holds.

Nearly all files quote as they should, which is seen at once. Else a function is one regular
expression with possessive repetitions, so that any bytes are read in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

__all__ = ["Misplaced", "end_of_records", "first_record", "misplaced_quote", "records"]


class Misplaced(NamedTuple):
    """A cell that a quote opens, and that does not end where a quote closes it."""

    opened: int  # where the first quote is
    column: int  # the number of the cell, from 0
    closed: int  # where the closing quote is; the end of the bytes if there is none


class _Grammar(NamedTuple):
    quoted: re.Pattern[bytes]  # a cell in quotes
    cells: re.Pattern[bytes]  # any cells, separators and line ends
    record: re.Pattern[bytes]  # one record with its line end
    lines: re.Pattern[bytes]  # records that end with \n
    cr_lines: re.Pattern[bytes]  # records that end with \r


_OPENED = r'"[^"]*+(?:""[^"]*+)*+'
"""A cell in quotes, without the quote that closes it."""


@lru_cache
def _grammar(separator: str, comment: str) -> _Grammar:
    between = re.escape(separator)
    letter = f"[^{between}\r\n]"  # no cell begins after it, none ends before it
    quoted = f'(?<!{letter}){_OPENED}"(?!{letter})'
    special = [quoted, f'(?<={letter})"']
    mark = re.escape(comment)
    if comment:  # it begins a comment at the start of a line only
        special = [rf"(?<![^\r\n]){mark}[^\r\n]*+", rf"(?<=[^\r\n]){mark}", *special]

    def cells(ends: str) -> str:
        plain = f'[^"{ends}{mark}]'
        return f"{plain}*+(?:(?:{'|'.join(special)}){plain}*+)*+"

    def ended(end: str) -> str:
        return f"(?:{cells(end)}{end})*+"

    record = cells("\r\n") + "(?:\r?\n|\r|\\Z)"
    patterns = quoted, cells(""), record, ended("\n"), ended("\r")
    return _Grammar(*(re.compile(pattern.encode()) for pattern in patterns))


def end_of_records(data: bytes, separator: str, comment: str = "") -> int:
    """Return where the last record ends that ends in some bytes, or 0; they begin with a record.

    From a misplaced quote on no record ends.
    """
    whole = len(data) - 1  # a last \r may be half of a line end
    if b'"' not in data:
        return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, whole) + 1
    if not comment and (end := _end_by_parity(data, separator)):
        return end
    grammar = _grammar(separator, comment)
    return _reach(grammar.lines, data) or _reach(grammar.cr_lines, data[:whole])


def _end_by_parity(data: bytes, separator: str) -> int:
    """Return the same where it is easy, else 0: every quote opens, closes or is doubled.

    Then a line end that follows an even number of quotes ends a record.
    """
    raw = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(raw == ord('"'))
    opening, closing = quotes[::2], quotes[1::2]
    beside = np.zeros(256, dtype=bool)  # a quote counts: the cell goes on after two
    beside[[*b'"\r\n', ord(separator)]] = True
    before, after = opening[opening > 0] - 1, closing[closing < len(raw) - 1] + 1
    if not (beside[raw[before]].all() and beside[raw[after]].all()):
        return 0
    end = data.rfind(b"\n")
    while end >= 0:
        passed = int(np.searchsorted(quotes, end))
        if passed % 2 == 0:
            return end + 1
        end = data.rfind(b"\n", 0, int(quotes[passed - 1]))
    return 0


def misplaced_quote(data: bytes, separator: str, comment: str = "") -> Misplaced | None:
    """Return the first cell that does not end where it is closed; the bytes begin with a record."""
    grammar = _grammar(separator, comment)
    opened = _reach(grammar.cells, data)
    if opened == len(data):
        return None
    before = grammar.quoted.sub(b"", data[:opened])
    line = before[max(before.rfind(b"\n"), before.rfind(b"\r")) + 1 :]
    closed = opened + _reach(re.compile(_OPENED.encode()), data[opened:])
    return Misplaced(opened, line.count(separator.encode()), closed)


def first_record(data: bytes, separator: str) -> bytes:
    """Return the first record with its line end; none if one of its quotes is misplaced."""
    found = _grammar(separator, "").record.match(data)
    return found[0] if found else b""


def records(data: bytes, separator: str, comment: str = "") -> Iterator[bytes]:
    """Yield records one by one, blank ones and comments too, each with its line end."""
    return (found[0] for found in _grammar(separator, comment).record.finditer(data))


def _reach(pattern: re.Pattern[bytes], data: bytes) -> int:
    """Return how far a pattern that may match nothing matches from the beginning."""
    found = pattern.match(data)
    return found.end() if found else 0
