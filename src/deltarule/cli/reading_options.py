"""The options that say how a table's files are written, and how its cells are read.

A group is a panel of ``--help`` (`deltarule.cli.groups`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deltarule.tables import CsvFormat, ReadOptions, TableModel

__all__ = ["CellOptions", "FileOptions", "NotationOptions"]


@dataclass(frozen=True)
class FileOptions:
    """Data.

    The options that say how CSV files are written, where they do not tell; the model keeps them.
    """

    separator: Annotated[
        str | None,
        typer.Option(metavar="CHAR", help="What separates the cells of CSV; \\t or tab is a tab."),
    ] = None
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoding of CSV, such as latin-1.")
    ] = None
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether CSV begins with names; else they are column_1, column_2, ...",
        ),
    ] = None
    skip: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Lines of CSV before the header.")
    ] = None
    comment: Annotated[
        str | None,
        typer.Option(metavar="CHAR", help="Lines of CSV that begin with it are left out."),
    ] = None

    def form(self, stored: CsvFormat | None = None) -> CsvFormat:
        """Return how files are written, by these options and those of a model's training."""
        from deltarule.tables import CsvFormat, csv_format

        options = (stored or CsvFormat()).model_dump()
        return csv_format(**options | {k: v for k, v in asdict(self).items() if v is not None})


class _Decimal(StrEnum):
    """The marks between whole numbers and fractions."""

    point = "."
    comma = ","


class _Thousands(StrEnum):
    """The marks between thousands."""

    comma = ","
    point = "."
    blank = " "
    apostrophe = "'"


@dataclass(frozen=True)
class NotationOptions:
    """Data.

    The options that say how cells are written: of the training table, or of another table if it is
    written otherwise.
    """

    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MARK",
            help="A text or number that means a missing cell, beside the usual ones; repeatable.",
        ),
    ] = None
    decimal: Annotated[
        _Decimal | None, typer.Option(help="The decimal mark, where the table does not tell.")
    ] = None
    thousands: Annotated[_Thousands | None, typer.Option(help="The mark between thousands.")] = None
    day_first: Annotated[
        bool | None,
        typer.Option(
            "--day-first/--month-first", help="What 04/06/2022 is, where no other date tells."
        ),
    ] = None

    def reading(self) -> ReadOptions:
        """Return what the user says about the cells."""
        marks = self.decimal and self.decimal.value, self.thousands and self.thousands.value
        if marks[0] is not None and marks[0] == marks[1]:
            raise typer.BadParameter(
                "the decimal mark and the mark between thousands must differ",
                param_hint="--thousands",
            )
        from deltarule.tables import ReadOptions

        return ReadOptions(
            missing=tuple(mark.strip() for mark in self.missing or ()),
            decimal=marks[0],
            thousands=marks[1],
            day_first=self.day_first,
        )

    def applied(self, model: TableModel) -> TableModel:
        """Return a model that reads cells by these options, the others as in training."""
        return model.reading(self.reading())


@dataclass(frozen=True)
class CellOptions(NotationOptions):
    """Data.

    The options that say how cells are read, in the panel of the other options of data.
    """

    category: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A column of categories; repeatable, a pattern too."),
    ] = None
    number: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A column of numbers; repeatable, a pattern too."),
    ] = None
    date: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL",
            help="A column of dates, as YYYYMMDD or seconds since 1970 too; repeatable, a pattern "
            "too.",
        ),
    ] = None
    dates: Annotated[
        bool, typer.Option("--dates/--no-dates", help="Learn from dates, or leave them out.")
    ] = True

    def reading(self) -> ReadOptions:
        """Return what the user says about the cells."""
        return replace(
            super().reading(),
            category=tuple(self.category or ()),
            number=tuple(self.number or ()),
            date=tuple(self.date or ()),
            dates=self.dates,
        )
