"""What every column of a table is taken for, from all of its rows, and what was odd about it.

Nothing is refused one by one: what cannot be understood is one error for all columns, with options
that lead on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from deltarule.errors import TableError
from deltarule.tables.evidence import ColumnEvidence
from deltarule.tables.judge import FEW, Judge
from deltarule.tables.messages import in_shell, listing, show
from deltarule.tables.notation import described
from deltarule.tables.passes import Passes
from deltarule.tables.problems import SHOWN, refusal
from deltarule.tables.record import NumberNotation
from deltarule.tables.table import Source
from deltarule.tables.understanding import (
    KindName,
    Problem,
    ReadOptions,
    Understanding,
    Understood,
)

__all__ = ["feature_columns", "understand"]


def _chosen(source: Source, patterns: Iterable[str], option: str, target: str) -> list[str]:
    """Return the columns that names or patterns mean; one that means none is an error.

    A pattern does not mean the target.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        names = [pattern] if pattern in source.names else []
        if not names and set("*?[") & set(pattern):
            names = [n for n in source.names if n != target and fnmatchcase(n, pattern)]
        if not names and pattern not in source.left_out:
            source.check_column(pattern, f"given with {option}")
        found |= dict.fromkeys(names)
    return list(found)


def understand(
    source: Source,
    options: ReadOptions,
    *,
    ignore: Iterable[str] = (),
    target: str = "",
    refuse: bool = True,
    passes: Passes | None = None,
) -> Understanding:
    """Return what each column is taken for, by all rows: one pass, whose memory is bounded.

    Parameters
    ----------
    source : Source
        The table.
    options : ReadOptions
        How it is read, and what columns are taken for on the user's word.
    ignore : iterable of str, default=()
        Columns to leave out.
    target : str, default=""
        The column to be predicted, if there is one.
    refuse : bool, default=True
        Whether columns that cannot be understood are an error; if not, they are of the kind
        "unclear".
    passes : Passes, optional
        Who reads the rows; by default this process.

    Raises
    ------
    TableError
        If columns cannot be understood: one error for all, which says what to do.
    """
    ignored = set(_chosen(source, ignore, "--ignore", target))
    if target in ignored:
        raise TableError(
            f"{source.path}: the target {show(target)} is given with --ignore; ignore other columns"
        )
    forced: dict[str, KindName] = {}
    for kind, patterns in (
        ("category", options.category),
        ("number", options.number),
        ("date", options.date),
    ):
        for name in _chosen(source, patterns, f"--{kind}", target):
            if forced.get(name, kind) != kind:
                raise TableError(
                    f"{source.path}: column {show(name)} is given with --{forced[name]} and with "
                    f"--{kind}; decide for one"
                )
            forced[name] = kind  # type: ignore[assignment]
    names = [name for name in source.names if name not in ignored]
    every = [
        ColumnEvidence(
            name, as_category=forced.get(name) == "category", as_date=forced.get(name) == "date"
        )
        for name in names
    ]
    (passes or Passes()).understand(source, every, options)
    judge = Judge(source.separator, options, every, forced, target)
    found = [judge.decide(evidence) for evidence in every]
    problems = [found for found in found if isinstance(found, Problem)]
    suspects = [
        column
        for column, evidence in zip(found, every, strict=True)
        if isinstance(column, Understood) and column.kind == "number" and evidence.suspect
    ]
    refused = refusal(source, options, problems, suspects, target)
    if refused is not None and refuse:
        raise TableError(refused.message)
    columns = {column.name: column for column in found if isinstance(column, Understood)}
    for problem in problems:
        columns[problem.column.name] = problem.column
    for name, why in refused.columns.items() if refused else ():
        columns[name] = replace(columns[name], kind="unclear", notation=None, reason=why)
    for name, why in source.left_out.items():
        columns[name] = Understood(name, "left out", reason=why)
    counters = [
        e.name
        for e in every
        if e.name != target and e.name not in forced and e.rows >= FEW and e.numbers_rows
    ]
    counters = [name for name in counters if columns[name].kind == "number"]
    unused = ("left out", "unclear")
    others = [c for c in columns.values() if c.kind not in unused and c.name != target]
    if len(others) > len(counters):
        for name in counters:
            why = f"only numbers the rows; --number {in_shell(name)} takes it for a number"
            columns[name] = replace(columns[name], kind="left out", notation=None, reason=why)
    elif counters:
        judge.notes.append(f"{listing(counters)} only numbers the rows, but there is nothing else")
    order = {name: columns[name] for name in (*names, *source.left_out)}
    message = "" if refused is None else refused.message
    return Understanding(order, _notes(order, judge.notes), message)


def feature_columns(source: Source, target: str, understood: Understanding) -> list[str]:
    """Return the columns to learn a target from; it is an error if there are none."""
    others = [column for name, column in understood.columns.items() if name != target]
    found = [column.name for column in others if column.kind != "left out"]
    if not found:
        reasons = "".join(f"; {show(column.name)} {column.reason}" for column in others[:8])
        raise TableError(
            f"{source.path} has no column left to learn {show(target)} from{reasons}; ignore fewer "
            "columns, or add some"
        )
    return found


def _notes(columns: dict[str, Understood], found: list[str]) -> list[str]:
    """Return a line for everything that is not as it looks."""
    notes = []
    special: dict[str, list[str]] = {}
    for column in columns.values():
        if isinstance(column.notation, NumberNotation) and described(column.notation):
            special.setdefault(described(column.notation), []).append(column.name)
    for how, names in special.items():
        notes.append(f"numbers with another notation ({how}): {listing(names)}")
    notes += found
    marked = [column for column in columns.values() if column.marks and column.kind != "left out"]
    if marked:
        each = [
            f"{show(mark)} in {show(column.name)} ({count} cells)"
            for column in marked
            for mark, count in column.marks.items()
        ]
        more = f" and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
        notes.append(f"taken as missing: {', '.join(each[:SHOWN])}{more}")
    codes = [column.name for column in columns.values() if column.reason == "has leading zeros"]
    if codes:
        notes.append(f"leading zeros make {listing(codes)} categories; else say --number COL")
    left = [column for column in columns.values() if column.kind == "left out"]
    for column in left[:SHOWN]:
        notes.append(f"left out: {show(column.name)} {column.reason}")
    if len(left) > SHOWN:
        notes.append(f"left out: {len(left) - SHOWN} more columns")
    return notes
