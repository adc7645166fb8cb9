"""How a CSV file begins: lines to skip, ``sep=;``, the separator, the header

The separator is the candidate that divides all records of the head into the same number of cells,
those of the header too.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from deltarule.errors import TableError
from deltarule.tables.columns import is_number
from deltarule.tables.messages import show
from deltarule.tables.record import CsvFormat
from deltarule.tables.sources.csv_records import first_record
from deltarule.tables.sources.text import check_encoding
from deltarule.tables.table import check_names

__all__ = ["Head", "csv_format", "number_of_cells", "read_head"]

SEPARATORS = "\t;|,"
"""Where several fit equally, the first is taken: the header has it as often as the rows."""
LOOK_ROWS = 1000
_SEP_LINE = re.compile(r"""[ \t]*"?sep=([\t ]|[^\w\s"'.+-])"?[ \t]*""", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_TAB = ("\\t", "tab", "TAB")


def csv_format(
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    skip: int = 0,
    comment: str | None = None,
) -> CsvFormat:
    r"""Return how CSV files are written, for `read_table` and `open_source`.

    Parameters
    ----------
    separator : str, optional
        What separates cells: one ASCII character, ``"\t"`` also as its two characters or as
        ``"tab"``. By default the files tell.
    encoding : str, optional
        The encoding, by Python's name; by default the files tell. A byte order mark wins.
    header : bool, default=True
        Whether the first record names the columns; if not, they are ``column_1`` and so on.
    skip : int, default=0
        Lines before the header.
    comment : str, optional
        The character with which lines begin that are no records.

    Raises
    ------
    TableError
        If a value makes no sense.

    Examples
    --------
    >>> csv_format(separator=";", skip=2).skip
    2
    """
    if separator in _TAB:
        separator = "\t"
    for name, mark in (("separator", separator), ("comment", comment)):
        if mark is not None and (len(mark) != 1 or mark in '"\r\n\0' or not mark.isascii()):
            raise TableError(
                f"{show(mark)} cannot be the {name}: it is one ASCII character, neither a quote "
                f"nor a line end (--{name})"
            )
    if separator is not None and (separator.isalnum() or separator in "._-+"):
        raise TableError(
            f"{show(separator)} belongs to numbers and words, so it cannot be the separator; use "
            "another character (--separator)"
        )
    if comment is not None and (comment == separator or comment.isspace()):
        raise TableError(
            f"{show(comment)} cannot begin comments: it separates cells; use another character "
            "(--comment)"
        )
    if encoding is not None:
        check_encoding(encoding)
    if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
        raise TableError(f"{skip!r} lines cannot be skipped; give 0 or a larger number (--skip)")
    return CsvFormat(
        separator=separator, encoding=encoding, header=bool(header), skip=skip, comment=comment
    )


class Head(NamedTuple):
    """What the head of a file tells.

    `names` are the columns of the table; `places` says which cell of a record each of them is, and
    a record has `width` cells. Columns in `left_out` are no columns of the table; cells beyond all
    of them are empty (separators at the end of every line).
    """

    begin: int  # bytes of the text before the first record of data
    separator: str
    names: list[str]
    places: list[int]
    width: int
    beyond: range
    left_out: dict[str, str]
    notes: list[str]
    hint: str  # what may help if rows have other numbers of cells than the header


def read_head(path: Path, text: str, cut: bool, form: CsvFormat) -> Head:
    """Return what the beginning of a text tells; `cut` says that there is more.

    Raises
    ------
    TableError
        If there is no header, it is longer than the bytes, or its names will not do.
    """
    place, given = _start(path, text, form)
    rest = text[place:]
    separator = form.separator or given or _guess(rest, cut, form)
    line = 1 + _ends(text[:place])
    length = 0
    rows = list(islice(_rows(rest, separator, cut, form.comment), LOOK_ROWS))
    if form.header:
        record = first_record(rest.encode(), separator)
        if not record or (cut and len(record) == len(rest.encode())):
            raise TableError(
                f"{path}, line {line}: the header has a quote that is never closed, or is longer "
                f"than {len(text)} characters; rewrite it"
            )
        length = len(record)
        try:
            header = next(csv.reader([record.decode()], delimiter=separator, strict=True))
        except csv.Error as error:
            raise TableError(
                f"{path}, line {line}: the header cannot be read ({error}); rewrite it"
            ) from None
        rows = rows[1:]
        names = [" ".join(n.split()) if {"\r", "\n"} & set(n) else n.strip() for n in header]
    else:
        names = [f"column_{n}" for n in range(1, 1 + max(map(len, rows[:1]), default=0))]
    begin = len(text[:place].encode()) + length
    found = _columns(path, names, rows)
    hint = _hint(text, place, separator, len(found.names), rows, form)
    return found._replace(begin=begin, separator=separator, hint=hint)


def number_of_cells(record: bytes, separator: str) -> int:
    """Return how many cells a record has."""
    if b'"' not in record:
        return record.count(separator.encode()) + 1
    try:
        text = record.decode(errors="replace")
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator)))
    except (csv.Error, StopIteration):
        return 0


def _start(path: Path, text: str, form: CsvFormat) -> tuple[int, str]:
    """Return where the header begins, and the separator of a line such as ``sep=;`` before it."""
    place = 0
    for _ in range(form.skip):
        if place == len(text):
            raise TableError(f"{path} has no line left after the {form.skip} of --skip; skip fewer")
        place = _line_at(text, place)[1]
    separator = ""
    while place < len(text):
        line, end = _line_at(text, place)
        named = _SEP_LINE.fullmatch(line)
        if named and not separator:
            separator = named[1]
        elif line.strip() and not (form.comment and line.startswith(form.comment)):
            if form.separator is None and separator and not separator.isascii():
                raise TableError(
                    f"{path} names a separator that is not ASCII ({show(separator)}); remove the "
                    "line, or name another with --separator"
                )
            return place, separator if separator != '"' else ""
        place = end
    raise TableError(f"{path} has only blank lines; a table needs a header line and rows")


def _line_at(text: str, place: int) -> tuple[str, int]:
    found = _LINE.match(text, place)
    assert found is not None  # it may match nothing
    return found[0].rstrip("\r\n"), found.end()


def _guess(text: str, cut: bool, form: CsvFormat) -> str:
    """Return the separator that divides all records of the head alike."""
    best, score = "", 0.0
    likely, most = "", 0.5  # by the rows alone: the header may be on another line
    header = _line_at(text, 0)[0]
    for separator in SEPARATORS:
        rows = list(islice(_rows(text, separator, cut, form.comment), LOOK_ROWS))
        if not rows:
            continue
        first, others = rows[0], rows[1:] or rows
        width, times = Counter(map(len, others)).most_common(1)[0]
        named = len(first) - _blanks_at_end(first)
        spare = min((_blanks_at_end(row) for row in others if len(row) == width), default=0)
        if min(width, named) > 1 and width - spare <= len(first) and named <= width:
            fits = times / len(others)
            if fits > score:
                best, score = separator, fits
        elif width > 1 and times / len(others) > most:
            likely, most = separator, times / len(others)
    if best:
        return best
    outside = "".join(header.split('"')[::2])
    if any(separator in outside for separator in SEPARATORS):
        return max(SEPARATORS[::-1], key=outside.count)
    return likely or ","


def _blanks_at_end(row: list[str]) -> int:
    full = [n for n, cell in enumerate(row, start=1) if cell.strip()]
    return len(row) - max(full, default=0)


def _rows(text: str, separator: str, cut: bool, comment: str | None) -> Iterator[list[str]]:
    """Yield the records of the head, as far as they can be read, without blank ones."""
    lines: Iterator[str] = io.StringIO(text, newline="")
    if comment:
        lines = (line for line in lines if not line.startswith(comment))
    reader = csv.reader(lines, delimiter=separator)
    held: list[str] = []
    try:
        for row in reader:
            if held:
                yield held
            held = row
    except csv.Error:
        return
    if held and not cut:
        yield held


def _columns(path: Path, header: list[str], rows: list[list[str]]) -> Head:
    """Return the columns by the names in the header and the first rows."""
    named = len(header) - _blanks_at_end(header)
    if not named:
        raise TableError(f"{path}: no column has a name; name them, or say --no-header")
    names, width = header[:named], Counter(map(len, rows)).most_common(1)[0][0] if rows else named
    if width > named:
        full = max(width - _blanks_at_end(row) for row in rows if len(row) == width)
        if full > len(header):
            width = named  # rows are longer than the header: reading them says where
        else:
            names += [""] * (full - named)
    else:
        width = named
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for n, name in enumerate(names):
        if name:
            continue
        names[n] = f"column_{n + 1}"
        while names.count(names[n]) > 1:
            names[n] += "_"
        if n == 0:
            left_out[names[n]] = "has no name, like an index that pandas or R wrote"
        else:
            notes.append(f"column {n + 1} has no name; it is called {show(names[n])}")
    cells = any(map(is_number, names))
    check_names(path, names, "; if the file has no header, say --no-header" if cells else "")
    places = [n for n, name in enumerate(names) if name not in left_out]
    if not places:
        raise TableError(f"{path}: no column has a name; name them, or say --no-header")
    kept = [names[n] for n in places]
    return Head(0, "", kept, places, width, range(len(names), width), left_out, notes, "")


def _hint(
    text: str, place: int, separator: str, names: int, rows: list[list[str]], form: CsvFormat
) -> str:
    """Return an option that may help if the rows have other numbers of cells than the header."""
    widths = Counter(map(len, rows))
    width, times = widths.most_common(1)[0] if rows else (0, 0)
    if form.comment is None:
        whole = names if widths[names] else width
        odd = Counter(row[0].lstrip()[:1] for row in rows if len(row) != whole and row[0].strip())
        marks = [mark for mark in odd if mark in "#%!*" and 2 * odd[mark] > sum(odd.values())]
        header = _line_at(text, place)[0].lstrip()[:1]
        if form.header and header in ("#", "%") and 1 < width != names:
            marks.append(header)
        if marks:
            return f"say --comment '{marks[0]}' if lines that begin with it are comments"
    if form.header and 1 < width != names and 2 * times > len(rows):
        lines, at, number = 0, place, 0
        while at < len(text) and lines < LOOK_ROWS:
            line, end = _line_at(text, at)
            if line.strip() and number_of_cells(line.encode(), separator) == width:
                if not any(is_number(cell.strip(' "')) for cell in line.split(separator)):
                    number = 1 + _ends(text[:at])
                break
            at, lines = end, lines + 1
        if number > 1:
            return f"say --skip {number - 1} if the header is line {number}"
    return ""


def _ends(text: str) -> int:
    """Return how many lines end in a text."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")
