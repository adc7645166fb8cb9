"""A column of dates in ONNX operators: the calendar by Hinnant's algorithms, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import pi

import numpy as np

from deltarule.onnx.graph import Graph

__all__ = ["Date", "append_date"]

Pair = tuple[float, float]

_TURNS = ("year", "month", "week", "day")
"""What comes again, in the names of parts: "sin year", "cos day" and so on."""


@dataclass(frozen=True)
class Date:
    """A column of float64 seconds since 1970: one feature for each of ``parts``.

    ``fill`` replaces missing seconds. ``elapsed`` and ``calendar year`` are kept between ``first``
    and ``last``; like all ``numbers`` they become (x − centre)/unit. If ``flag`` is true, a last
    feature is 1 where the date is missing and 0 elsewhere.
    """

    name: str
    description: str
    fill: float
    first: float
    last: float
    elapsed: Pair
    year: Pair
    numbers: dict[str, Pair]
    parts: tuple[str, ...]
    flag: bool


def append_date(g: Graph, column: Date, seconds: str) -> list[str]:
    """Append the features of a column, each (batch, 1), in the type of the graph."""
    c = _Float64(g)
    missing = g.node("IsNaN", seconds)
    t = g.node("Where", missing, c.constant(column.fill), seconds)
    kept = g.node("Min", g.node("Max", t, c.constant(column.first)), c.constant(column.last))
    values = _calendar(c, t)
    values["elapsed"] = c.scaled(kept, column.elapsed)
    if "calendar year" in column.parts:
        values["calendar year"] = c.scaled(_calendar(c, kept)["calendar year"], column.year)
    day = c.minus(values["day"], 1.0)
    turns = {
        "year": c.over(c.plus(c.minus(values["month"], 1.0), c.over(day, 31.0)), 12.0),
        "month": c.over(day, 31.0),
        "week": c.over(values["weekday"], 7.0),
        "day": c.over(values["hour"], 24.0),
    }
    for name, scaling in column.numbers.items():
        values[name] = c.scaled(values[name], scaling)
    for name in _TURNS:
        angle = c.times(turns[name], 2 * pi)
        values[f"sin {name}"] = g.node("Sin", angle)
        values[f"cos {name}"] = g.node("Sin", c.plus(angle, pi / 2))
    features = [g.cast(values[part], g.dtype) for part in column.parts]
    return [*features, g.cast(missing, g.dtype)] if column.flag else features


class _Float64:
    """Arithmetic of values with values and numbers, in float64 for every type of graph."""

    def __init__(self, g: Graph) -> None:
        self._g = g
        self.plus, self.minus = partial(self._two, "Add"), partial(self._two, "Sub")
        self.times, self.over = partial(self._two, "Mul"), partial(self._two, "Div")

    def constant(self, value: float) -> str:
        return self._g.table("number", np.array(value, dtype=np.float64))

    def floor(self, value: str) -> str:
        return self._g.node("Floor", value)

    def whole(self, value: str, divisor: float) -> str:
        """Return the floor of a quotient."""
        return self.floor(self.over(value, divisor))

    def scaled(self, value: str, scaling: Pair) -> str:
        return self.over(self.minus(value, scaling[0]), scaling[1])

    def _two(self, operator: str, a: str, b: str | float) -> str:
        return self._g.node(operator, a, b if isinstance(b, str) else self.constant(b))


def _calendar(c: _Float64, seconds: str) -> dict[str, str]:
    """Append what `deltarule.tables.dates.calendar` computes, step by step."""
    g = c._g
    date = c.whole(seconds, 86_400.0)
    hour = c.over(c.minus(seconds, c.times(date, 86_400.0)), 3600.0)
    z = c.plus(date, 719_468.0)
    era = c.whole(z, 146_097.0)
    of_era = c.minus(z, c.times(era, 146_097.0))
    leaps = c.minus(c.whole(of_era, 1460.0), c.whole(of_era, 36_524.0))
    leaps = c.plus(leaps, c.whole(of_era, 146_096.0))
    year = c.whole(c.minus(of_era, leaps), 365.0)
    before = c.plus(c.times(year, 365.0), c.whole(year, 4.0))
    of_year = c.minus(of_era, c.minus(before, c.whole(year, 100.0)))
    place = c.whole(c.plus(c.times(of_year, 5.0), 2.0), 153.0)
    first = c.whole(c.plus(c.times(place, 153.0), 2.0), 5.0)
    day = c.plus(c.minus(of_year, first), 1.0)
    spring = g.node("Less", place, c.constant(10.0))
    month = g.node("Where", spring, c.plus(place, 3.0), c.minus(place, 9.0))
    later = g.node("Where", spring, c.constant(0.0), c.constant(1.0))
    year = c.plus(c.plus(year, c.times(era, 400.0)), later)
    monday = c.plus(date, 3.0)
    weekday = c.minus(monday, c.times(c.whole(monday, 7.0), 7.0))
    return {"calendar year": year, "month": month, "day": day, "weekday": weekday, "hour": hour}
