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

__all__ = ["SHOWN", "Refusal", "refusal"]

SHOWN = 10
"""Errors and notes show so many cells and columns, and count the others."""


class Refusal(NamedTuple):
    """Why a table cannot be learned from.

    Attributes
    ----------
    message : str
        All columns that are not understood, with their cells, and what to do.
    columns : dict of str to str
        The first thing that is wrong with each of them.
    """

    message: str
    columns: dict[str, str]


def refusal(
    source: Source,
    options: ReadOptions,
    problems: list[Problem],
    suspects: list[Understood],
    target: str = "",
) -> Refusal | None:
    """Return why columns are not understood, in one message for all; None if all are.

    The target cannot be left out, nor are its numbers categories.
    """
    wrong = {problem.column.name: problem for problem in problems if problem.misfits}
    cells = _misfits(source, options, wrong, suspects) if wrong or suspects else []
    others = [problem for problem in problems if not problem.misfits]
    if not cells and not others:
        return None
    here = f"{source.path}, "
    said = [f"{cell.place.removeprefix(here)}{cell.problem}" for cell in cells]
    said += [f"column {show(p.column.name)} {p.words}" for p in others]
    in_one_file = cells and cells[0].place.startswith(here)
    prefix = here if in_one_file else "" if cells else f"{source.path}: "
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    remedies = _remedies(cells, others, target)
    message = ". ".join(filter(None, [f"{prefix}{'; '.join(said[:SHOWN])}{more}", remedies]))
    each = {p.column.name: p.words for p in others}
    for cell in cells:
        each.setdefault(cell.column, cell.problem)
    return Refusal(message, each)


class _Cell(NamedTuple):
    """A text in a column of another kind."""

    column: str
    text: str
    problem: str
    place: str  # looked up only for those that are shown
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
    inexact: dict[str, tuple[str, str, partial[TableError]]] = {}
    kinds = {name: problem.column for name, problem in wrong.items()}
    for table, _ in source.scan():
        for kind in (*kinds.values(), *suspects):
            column = table.column(kind.name, missing=options.missing)
            if isinstance(kind.notation, NumberNotation) and kind.name not in inexact:
                found = column.inexact(kind.notation)
                if found:
                    row, problem = found
                    inexact[kind.name] = column.text(row), problem, partial(column.fault, row, "")
            if kind.name in wrong:
                _count_misfits(column, kind, counts, first)
    order = list(wrong)
    said: list[_Cell] = []
    for (name, text), count in sorted(counts.items(), key=lambda item: order.index(item[0][0])):
        times = f" ({count} cells)" if count > 1 else ""
        place = str(first[name, text]()) if len(said) < SHOWN else ""
        problem = f"{show(text)}{times} {wrong[name].words}"
        said.append(_Cell(name, text, problem, place, True))
    for name, (text, problem, where) in inexact.items():
        said.append(_Cell(name, text, problem, str(where()) if len(said) < SHOWN else "", False))
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


def _remedies(cells: list[_Cell], others: list[Problem], target: str) -> str:
    """Return what to type, for all of it; nothing if the words have said it."""
    marks = list(dict.fromkeys(cell.text for cell in cells if cell.markable))
    columns = dict.fromkeys(cell.column for cell in cells)
    kept = [cell.column for cell in cells if cell.markable or cell.column != target]
    categories = [in_shell(name) for name in dict.fromkeys(kept)]
    ignorable = [in_shell(name) for name in columns if name != target]
    texts = [in_shell(p.column.name) for p in others if p.repeats]
    ways = []
    if marks:
        shown = " ".join(f"--missing {in_shell(text)}" for text in marks[:SHOWN])
        more = f" and so on for {len(marks) - SHOWN} more" if len(marks) > SHOWN else ""
        ways.append(
            f"correct the cells or leave them empty; say that they are missing: {shown}{more}"
        )
    if categories:
        ways.append("keep categories: " + " ".join(f"--category {name}" for name in categories))
    if ignorable:
        ways.append("leave columns out: " + " ".join(f"--ignore {name}" for name in ignorable))
    ignored = [way for p in others if len(p.remedies) == 1 for way in p.remedies]
    if ignored:
        ways.append(f"convert to numbers or categories, or leave out: {' '.join(ignored)}")
    if texts:
        ways.append("take texts for categories: " + " ".join(f"--category {n}" for n in texts))
    choices = dict.fromkeys(p.remedies for p in others if len(p.remedies) > 1)
    ways += [f"say {' or '.join(choice)}" for choice in choices]
    either = (cells or texts) and not choices
    text = "; or ".join(ways) if either else "; ".join(ways)
    return text[:1].upper() + text[1:]
