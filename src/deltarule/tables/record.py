"""Records of what was learned from a table, as strict JSON.

The schema is closed: unknown keys, wrong types, NaN and infinities are refused. Floats are written
with the fewest digits that read back as the same float, so that a record that was read back gives
the same matrices to the bit.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deltarule.errors import ModelFileError
from deltarule.storage.model_file import first_fault
from deltarule.tables.messages import show
from deltarule.tables.target_transform import TargetTransform, back_from, onto

__all__ = [
    "CategoryColumn",
    "Classes",
    "ColumnRecord",
    "CsvFormat",
    "DateColumn",
    "DateNotation",
    "DatePart",
    "NumberColumn",
    "NumberNotation",
    "PreprocessingRecord",
    "Provenance",
    "Quantity",
    "Strict",
    "Task",
    "TimeSplit",
    "validated",
]

LARGEST = 1e38
"""The most standard deviations from the mean that a network of float32 takes."""

Task = Literal["classification", "regression"]
Count = Annotated[int, Field(ge=0)]
Scale = Annotated[float, Field(gt=0)]
Points = Annotated[list[float], Field(max_length=10_000)]
Categories = Annotated[list[str | None], Field(max_length=1_000_000)]
DateForm = Literal[
    "calendar", "month", "time",
    "YYYYMMDD", "seconds", "milliseconds", "microseconds", "nanoseconds",
]  # fmt: skip


class Strict(BaseModel):
    """A frozen record that converts no types and allows no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class CsvFormat(Strict):
    """How CSV files are written; None for what their content tells.

    `header` says whether the first record names the columns, `skip` how many lines come before it,
    and `comment` with which character lines begin that are no records.
    """

    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    header: bool = True
    skip: Count = 0
    comment: Annotated[str, Field(min_length=1, max_length=1)] | None = None


class NumberNotation(Strict):
    """How the numbers of a column are written.

    `unit` is "%" or a unit such as "kg" that all of them bear, or a currency that they may bear. A
    value stays as it is written: 42 % is 42.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    unit: Annotated[str, Field(max_length=8)] = ""


class DateNotation(Strict):
    """How the dates of a column are written.

    ``calendar`` are dates with or without a time of day, ``month`` months of a year, ``time`` times
    of day; the others are numbers. `day_first` says what 04/06/2022 is.
    """

    form: DateForm
    day_first: bool


DatePart = Literal[
    "elapsed", "calendar year", "month", "day", "weekday", "hour", "sin year", "cos year",
    "sin month", "cos month", "sin week", "cos week", "sin day", "cos day",
]  # fmt: skip
"""What of a date is a feature."""


class NumberColumn(Strict):
    """A column of numbers, or of booleans taken as 0 and 1.

    It gives (x - mean) / scale, with `fill` in place of a missing x; or, with `knots`, the linear
    interpolation of `scores` at the knots, constant beyond them. If `flag`, a second feature is 1
    where x was missing. With `edges`, there is one more feature for each interval between them
    (`deltarule.tables.encoding.fill_bins`), from 0 to `height`.
    """

    kind: Literal["number", "boolean"]
    name: str
    fill: float
    mean: float
    scale: Scale
    flag: bool
    notation: NumberNotation = NumberNotation()
    knots: Points = []
    scores: Points = []
    edges: Points = []
    height: Scale = 1.0

    def __eq__(self, other: object) -> bool:
        """Whether the fields are the same: what is kept beside them does not count."""
        return isinstance(other, NumberColumn) and self.model_dump() == other.model_dump()

    @cached_property
    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """The knots, scores and edges as arrays."""
        return np.array(self.knots), np.array(self.scores), np.array(self.edges)

    @property
    def bins(self) -> int:
        """The number of intervals between the edges."""
        return max(len(self.edges) - 1, 0)

    @property
    def width(self) -> int:
        """The number of features that the column gives."""
        return 1 + self.flag + self.bins

    @model_validator(mode="after")
    def _check(self) -> NumberColumn:
        if len(self.knots) != len(self.scores) or len(self.knots) == 1 or len(self.edges) in (1, 2):
            raise ValueError("its knots, scores or edges are not as many as they must be")
        for points in (self.knots, self.edges):
            with np.errstate(over="ignore"):
                if not (np.isfinite(steps := np.diff(points)) & (steps > 0)).all():
                    raise ValueError("its knots or edges do not ascend")
        if self.scores and not np.abs(self.scores).max() < LARGEST:
            raise ValueError("its scores are too far from 0")
        if not abs((self.fill - self.mean) / self.scale) < LARGEST:
            raise ValueError("its fill value is too far from its mean")
        return self


class DateColumn(Strict):
    """A column of dates or times, as seconds since 1970.

    It gives one feature for each of `parts`; and, if `flag`, one more that is 1 where the date was
    missing, in whose place `fill` is taken. ``elapsed`` is (t - mean) / scale and ``calendar
    year`` is (year - year_mean) / year_scale, for t and its year kept between `first` and `last`,
    so that dates beyond those of training do not lead to inputs beyond them. The other parts come
    again and again.
    """

    kind: Literal["date"]
    name: str
    notation: DateNotation
    fill: float
    first: float
    last: float
    mean: float
    scale: Scale
    year_mean: float
    year_scale: Scale
    flag: bool
    parts: Annotated[list[DatePart], Field(min_length=1, max_length=14)]

    @property
    def width(self) -> int:
        """The number of features that the column gives."""
        return len(self.parts) + self.flag

    @model_validator(mode="after")
    def _check(self) -> DateColumn:
        _check_no_name_twice("part", list(self.parts))
        return self


class CategoryColumn(Strict):
    """A column of categories: one feature for each of `kept`, `height` where it is that.

    None stands for missing cells, a category like the others. If some categories were too rare to
    be kept, one more feature stands for them and for categories that training did not see.
    """

    kind: Literal["category"]
    name: str
    kept: Categories
    rare: Categories
    height: Scale = 1.0

    @property
    def width(self) -> int:
        """The number of features that the column gives."""
        return len(self.kept) + bool(self.rare)

    @model_validator(mode="after")
    def _check(self) -> CategoryColumn:
        _check_no_name_twice("category", [*self.kept, *self.rare])
        return self


ColumnRecord = Annotated[NumberColumn | DateColumn | CategoryColumn, Field(discriminator="kind")]


class Classes(Strict):
    """A target of classes: their labels, in the order of the network's outputs."""

    task: Literal["classification"]
    name: str
    numeric: bool
    notation: NumberNotation = NumberNotation()
    labels: Annotated[list[str], Field(min_length=2, max_length=1_000_000)]

    def to_network(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return what the network learns for class numbers: the same."""
        return codes

    @model_validator(mode="after")
    def _check(self) -> Classes:
        _check_no_name_twice("class", self.labels)
        if self.numeric:
            for label in self.labels:
                if not _is_finite(label):
                    raise ValueError(f"the class {label!r} is no number")
        return self


class Quantity(Strict):
    """A target that is a number; the network learns (t(y) - mean) / scale.

    t is a `transform`: y itself, √y or log(y + offset). Predictions are at least `least` and at
    most `most`, if these are known. `sign` is 1 if no training row's number was below 0, -1 if none
    was above 0, else 0. Predictions keep to it: where they would not, they are 0.
    """

    task: Literal["regression"]
    name: str
    mean: float
    scale: Scale
    sign: Literal[-1, 0, 1] = 0
    transform: TargetTransform = "none"
    offset: Annotated[float, Field(ge=0)] = 0.0
    least: float | None = None
    most: float | None = None
    notation: NumberNotation = NumberNotation()

    @model_validator(mode="after")
    def _check(self) -> Quantity:
        if self.least is None or self.most is None:
            if self.transform != "none" or self.least is not self.most:
                raise ValueError("the target's range is not known")
            return self
        first = self.least + self.offset
        if self.least > self.most or (self.transform, first >= 0) == ("sqrt", False):
            raise ValueError("the target's range is not one of its transform")
        if self.transform == "log" and first <= 0:
            raise ValueError("the target's range is not one of its transform")
        return self

    @property
    def learned(self) -> str:
        """What the network learns, but for the scale, as a text: ``log(price + 1)``."""
        name = show(self.name)
        if self.transform == "log":
            return f"log({name} + {self.offset:g})" if self.offset else f"log({name})"
        return f"√{name}" if self.transform == "sqrt" else name

    def to_network(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return what the network learns for numbers in their own unit.

        Numbers below those of the training rows, which may have no logarithm, count as the least.
        """
        if self.transform != "none" and self.least is not None:
            y = onto(self.transform, np.maximum(y, self.least), self.offset)
        return (y - self.mean) / self.scale

    def from_network(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return numbers in their own unit, range and sign for the network's outputs.

        Infinities are left, for they say that the network overflowed.
        """
        inner = z * self.scale + self.mean
        y = back_from(self.transform, inner, self.offset)
        if self.least is not None:
            y = np.where(np.isfinite(inner), np.clip(y, self.least, self.most), inner)
        if self.sign == 0:
            return y
        return np.where(np.isfinite(y) & (self.sign * y <= 0), 0.0, y)


class PreprocessingRecord(Strict):
    """Everything between the cells of a table and the inputs and outputs of a network."""

    fill_with: Literal["median"]
    file: CsvFormat = CsvFormat()
    missing: Annotated[list[str], Field(max_length=1000)] = []
    rare_below: Count
    columns: Annotated[list[ColumnRecord], Field(min_length=1, max_length=10_000)]
    target: Annotated[Classes | Quantity, Field(discriminator="task")]

    @model_validator(mode="after")
    def _check(self) -> PreprocessingRecord:
        _check_no_name_twice("column", [self.target.name, *(c.name for c in self.columns)])
        return self


class TimeSplit(Strict):
    """A split by the times in a column: dates as seconds since 1970, or numbers.

    Rows from `test_from` on are for test, those before from `dev_from` on for dev, the others for
    training; without `test_from` there are no test rows.
    """

    column: str
    notation: NumberNotation | DateNotation
    dev_from: float
    test_from: float | None


class Provenance(Strict):
    """Where a model came from: enough to train it again from the same table.

    `time` says how the rows were split by time; without it they were drawn.
    """

    deltarule: str
    seed: Count
    split_seed: Count
    network_seed: Count
    training_rows: Count
    dev_rows: Count
    test_rows: Count
    time: TimeSplit | None = None


def _is_finite(label: str) -> bool:
    try:
        return bool(np.isfinite(float(label)))
    except ValueError:
        return False


def _check_no_name_twice(what: str, names: list[Any]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"a {what} appears twice")


def validated(schema: type[Any], value: Any) -> Any:
    """Return a record built from a JSON value; one that does not follow the schema is an error."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise ModelFileError(f"its record is malformed ({first_fault(error)})") from None
