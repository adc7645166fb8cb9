"""One error for all columns that are not understood: their cells, and what to type."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import NamedTuple

import numpy as np

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.evidence import MAX_TEXTS
from deltarule.tables.messages import in_shell, show
from deltarule.tables.record import DateNotation, NumberNotation
from deltarule.tables.table import Source
from deltarule.tables.understanding import Problem, ReadOptions, Understood

__all__ = ["SHOWN", "refuse"]

SHOWN = 10
"""Errors and notes show so many cells and columns, and count the others."""


def refuse(
    source: Source, options: ReadOptions, problems: list[Problem], suspects: list[Understood]
) -> None:
    """Raise one error for all columns that are not understood, with their cells."""
    wrong = {problem.column.name: problem for problem in problems if problem.misfits}
    cells = _misfits(source, options, wrong, suspects) if wrong or suspects else []
    others = [problem for problem in problems if not problem.misfits]
    if not cells and not others:
        return
    said = [cell.words for cell in cells]
    said += [f"column {show(p.column.name)} {p.words}" for p in others]
    place = f"{source.path}, " if cells and cells[0].here else f"{source.path}: "
    prefix = "" if cells and not cells[0].here else place
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    remedies = _remedies(cells, others)
    raise TableError(f"{prefix}{'; '.join(said[:SHOWN])}{more}. {remedies}")


class _Cell(NamedTuple):
    """A text in a column of another kind; `here` says that its place is in the only file."""

    column: str
    text: str
    words: str
    here: bool
    markable: bool


def _misfits(
    source: Source,
    options: ReadOptions,
    wrong: dict[str, Problem],
    suspects: list[Understood],
) -> list[_Cell]:
    """Read the table again, and return the different cells that do not fit."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], partial[TableError]] = {}
    inexact: dict[str, tuple[str, partial[TableError]]] = {}
    kinds = {name: problem.column for name, problem in wrong.items()}
    for table, _ in source.scan():
        for kind in (*kinds.values(), *suspects):
            column = table.column(kind.name, missing=options.missing)
            if isinstance(kind.notation, NumberNotation) and kind.name not in inexact:
                found = column.inexact(kind.notation)
                if found:
                    inexact[kind.name] = column.text(found[0]), partial(column.fault, *found)
            if kind.name in wrong:
                _count_misfits(column, kind, counts, first)
    here, order = f"{source.path}, ", list(wrong)
    found_cells = [
        *((name, text, count) for (name, text), count in counts.items()),
        *((name, text, 0) for name, (text, _) in inexact.items()),
    ]
    said: list[_Cell] = []
    for name, text, count in sorted(
        found_cells, key=lambda c: order.index(c[0]) if c[2] else len(order)
    ):
        if len(said) < SHOWN:  # the line of a cell is looked up only where it is shown
            times = f" ({count} cells)" if count > 1 else ""
            words = f"{first[name, text]()}{show(text)}{times} {wrong[name].words}" if count else ""
            words = words or str(inexact[name][1]())
        said.append(_Cell(name, text, words.removeprefix(here), words.startswith(here), count > 0))
    return said


def _count_misfits(
    column: ParsedColumn,
    kind: Understood,
    counts: Counter[tuple[str, str]],
    first: dict[tuple[str, str], partial[TableError]],
) -> None:
    """Count the texts of a piece that are not what their column holds; note where each is first."""
    if isinstance(kind.notation, DateNotation):
        fits = column.dates(kind.notation).fits
    else:
        assert isinstance(kind.notation, NumberNotation)
        fits = column.numbers(kind.notation).fits
    for row in np.flatnonzero(column.usable & ~fits).tolist():
        key = kind.name, column.text(row)
        if key not in counts and len(counts) < MAX_TEXTS:
            first[key] = partial(column.fault, row, "")
        if key in first:
            counts[key] += 1


def _remedies(cells: list[_Cell], others: list[Problem]) -> str:
    """Return what to type, for all of it."""
    marks = list(dict.fromkeys(cell.text for cell in cells if cell.markable))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    ways = []
    if marks:
        shown = " ".join(f"--missing {in_shell(text)}" for text in marks[:SHOWN])
        more = f" and so on for {len(marks) - SHOWN} more" if len(marks) > SHOWN else ""
        ways.append(
            f"correct the cells or leave them empty; say that they are missing: {shown}{more}"
        )
    if columns:
        names = [in_shell(name) for name in columns]
        ways.append("keep categories: " + " ".join(f"--category {name}" for name in names))
        ways.append("leave columns out: " + " ".join(f"--ignore {name}" for name in names))
    ignored = [way for p in others if len(p.remedies) == 1 for way in p.remedies]
    if ignored:
        ways.append(f"convert to numbers or categories, or leave out: {' '.join(ignored)}")
    choices = dict.fromkeys(p.remedies for p in others if len(p.remedies) > 1)
    ways += [f"say {' or '.join(choice)}" for choice in choices]
    text = "; or ".join(ways) if cells and not choices else "; ".join(ways)
    return text[:1].upper() + text[1:]
