"""Dates and times as people write them, read to seconds since 1970 and to calendar features.

The time is the one that is written: a zone beside it is recognised and changes nothing, so that a
noon is a noon in every zone. Days are counted by the proleptic Gregorian calendar, with Hinnant's
algorithms (2013), which are exact in float64 for the years 1 to 9999.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.arrow import numbers_of, text_of, texts_of, to_numpy
from deltarule.tables.record import DateNotation, DatePart

__all__ = [
    "CODED",
    "CYCLES",
    "NUMBERS",
    "DateTexts",
    "calendar",
    "coded_form",
    "read_coded",
    "values_of",
]

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

DAY = 86_400.0
CODED = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
"""Numbers that count from 1970 on, by how many of them are a second."""
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_MONTH_NUMBERS = {
    short: number
    for number, name in enumerate(MONTHS, start=1)
    for short in {name, name[:3], name[:4] if name == "september" else name[:3]}
}

_CLOCK = (
    r"(?P<h>[0-9]{1,2}):(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = (
    r"(?: ?(?:Z|UTC|GMT|B?[CEW]E?S?T|[ECMP][SD]T|[+\-−][0-9]{2}(?::?[0-9]{2})?)"
    r"(?: ?\[[A-Za-z_/]+\])?)"
)
_TIME = rf"(?:(?:[T :]|, ?) ?{_CLOCK}{_ZONE}?)?$"
_WEEKDAY = r"^(?:(?i:mon|tues?|wed(?:nes)?|thu(?:rs)?|thur|fri|sat(?:ur)?|sun)(?i:day)?[.,]* +)?"
_MONTH = r"(?P<mon>[A-Za-z]{3,9})"
_DAY = r"(?P<d>[0-9]{1,2})(?i:st|nd|rd|th)?"
_YEAR = r"(?P<y>[0-9]{4}|[0-9]{2})"
_BASIC = (
    r"^(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})T"
    r"(?P<h>[0-9]{2}):?(?P<min>[0-9]{2})(?::?(?P<s>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    rf"(?P<half>){_ZONE}?$"
)
_FIXED = (
    rf"^(?P<y>[0-9]{{4}})(?P<p>[-/.:])(?P<m>[0-9]{{1,2}})(?P<q>[-/.:])(?P<d>[0-9]{{1,2}}){_TIME}",
    rf"{_WEEKDAY}{_DAY}(?:[-/. ]|\. | of ){_MONTH}(?:[-/. ,]|, |\. ){_YEAR}{_TIME}",
    rf"{_WEEKDAY}{_MONTH}(?:[-/. ]|\. ){_DAY}(?:[-/, ]|, )(?P<y>[0-9]{{4}}){_TIME}",
    rf"^(?P<y>[0-9]{{4}})[-/. ]{_MONTH}[-/. ](?P<d>[0-9]{{1,2}}){_TIME}",
    rf"{_WEEKDAY}{_MONTH} +{_DAY} +{_CLOCK}{_ZONE}? +(?P<y>[0-9]{{4}})$",
    _BASIC,
)
_ORDERED = (
    rf"{_WEEKDAY}(?P<a>[0-9]{{1,2}})(?P<p>[-/.])(?P<b>[0-9]{{1,2}})(?P<q>[-/.])"
    rf"{_YEAR}{_TIME}"
)
_CLOCKS = rf"^{_CLOCK}$"
_MONTHLY = (
    r"^(?P<y>[0-9]{4})[-/](?P<m>[0-9]{1,2})$",
    rf"^{_MONTH}(?:[-/. ]|, |\. )(?P<y>[0-9]{{4}})$",
    r"^(?P<y>[0-9]{4})[-/ ]?[Qq](?P<quarter>[1-4])$",
    r"^[Qq](?P<quarter>[1-4])[-/ ]?(?P<y>[0-9]{4})$",
)
_NONE, _FIXED_FORM, _NEEDS_ORDER, _CLOCK_FORM, _MONTH_FORM = range(5)


class DateTexts:
    """Texts that may be dates, taken apart once."""

    def __init__(self, texts: Any) -> None:
        n = len(texts)
        self._form = np.zeros(n, dtype=np.int8)
        self._fields = {name: np.zeros(n) for name in ("y", "m", "d", "a", "b", "time")}
        self.dotted, self.four_digits = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.unclear = np.zeros(n, dtype=bool)
        """Such as 21-03-04, where the year may come first or last; they are not read."""
        for form, patterns in (
            (_FIXED_FORM, _FIXED),
            (_NEEDS_ORDER, (_ORDERED,)),
            (_CLOCK_FORM, (_CLOCKS,)),
            (_MONTH_FORM, _MONTHLY),
        ):
            for pattern in patterns:
                self._take(texts, form, pattern)

    def fits(self, notation: DateNotation) -> Mask:
        """Return the mask of the texts that are dates in a notation."""
        return self.read(notation)[1]

    @property
    def fixed(self) -> Mask:
        """(n,) mask of the dates whose day and month need no decision."""
        return self.read(DateNotation(form="calendar", day_first=True))[1] & (
            self._form == _FIXED_FORM
        )

    def read(self, notation: DateNotation) -> tuple[Numbers, Mask]:
        """Return the seconds since 1970, and which texts are dates in a notation."""
        f, form = self._fields, self._form
        if notation.form == "time":
            fits = form == _CLOCK_FORM
            return np.where(fits, f["time"], np.nan), fits
        if notation.form == "month":
            fits = (form == _MONTH_FORM) & _valid(f["y"], f["m"], np.ones_like(f["m"]))
            seconds = DAY * days(f["y"], np.clip(f["m"], 1, 12), 1.0)
            return np.where(fits, seconds, np.nan), fits
        ordered = form == _NEEDS_ORDER
        first, second = ("d", "m") if notation.day_first else ("m", "d")
        part = {"d": f["d"], "m": f["m"]}
        part[first] = np.where(ordered, f["a"], part[first])
        part[second] = np.where(ordered, f["b"], part[second])
        fits = ((form == _FIXED_FORM) | ordered) & _valid(f["y"], part["m"], part["d"])
        seconds = DAY * days(f["y"], np.clip(part["m"], 1, 12), part["d"]) + f["time"]
        return np.where(fits, seconds, np.nan), fits

    def _take(self, texts: Any, form: int, pattern: str) -> None:
        """Note the fields of the texts that match a pattern and were not taken before."""
        pending = np.flatnonzero(self._form == _NONE)
        if len(pending) == 0:
            return
        rest = texts if len(pending) == len(texts) else texts.take(numbers_of(pending))
        parts = pc.extract_regex(rest, pattern)
        valid = pc.is_valid(parts)
        found = pending[np.asarray(to_numpy(valid))]
        if len(found) == 0:
            return
        kept = parts.filter(valid)
        part = {kept.type.field(i).name: kept.field(i) for i in range(kept.type.num_fields)}
        good = np.ones(len(kept), dtype=bool)
        if "mon" in part:
            keys = list(_MONTH_NUMBERS)
            place = pc.index_in(pc.utf8_lower(part.pop("mon")), texts_of(keys))
            place = np.asarray(to_numpy(place, -1))
            good &= place >= 0
            self._fields["m"][found] = np.array([*_MONTH_NUMBERS.values(), 0])[place]
        if "quarter" in part:
            self._fields["m"][found] = 3 * _numbers(part.pop("quarter")) - 2
        if "p" in part:
            good &= np.asarray(to_numpy(pc.equal(part["p"], part["q"])))
            dotted = to_numpy(pc.equal(part["p"], text_of(".")))
            self.dotted[found] = dotted if form == _NEEDS_ORDER else False
        for name in ("m", "d", "a", "b"):
            if name in part:
                self._fields[name][found] = _numbers(part[name])
        if "y" in part:
            year = _numbers(part["y"])
            four = np.asarray(to_numpy(pc.utf8_length(part["y"]))) == 4
            century = np.where(year < 69, 2000, 1900)  # as POSIX
            self._fields["y"][found] = np.where(four, year, year + century)
            self.four_digits[found] = four
            if form == _NEEDS_ORDER:
                hyphens = to_numpy(pc.equal(part["p"], text_of("-")))
                self.unclear[found] = good & hyphens & ~four
                good &= ~(hyphens & ~four)
        if "h" in part:
            time, sound = _seconds(part)
            good &= sound
            self._fields["time"][found] = time
        self._form[found[good]] = form


def _numbers(texts: Any) -> Numbers:
    """Return digits as numbers, 0 for none."""
    filled = pc.replace_substring_regex(texts, "^$", "0")
    return np.asarray(to_numpy(pc.cast(filled, pa.float64())))


def _seconds(part: dict[str, Any]) -> tuple[Numbers, Mask]:
    """Return the seconds since midnight, and whether there is such a time."""
    hour, minute, second = (_numbers(part[name]) for name in ("h", "min", "s"))
    digits = np.asarray(to_numpy(pc.utf8_length(part["f"])))
    fraction = _numbers(part["f"]) / 10.0**digits
    half = pc.utf8_lower(part["half"])
    am, pm = (to_numpy(pc.equal(half, text_of(letter))) for letter in "ap")
    sound = (minute < 60) & (second < 60) & (hour < 24)
    sound &= ~(am | pm) | ((hour >= 1) & (hour <= 12))
    hour = np.where(am | pm, hour % 12 + 12 * pm, hour)
    return hour * 3600 + minute * 60 + second + fraction, sound


def days(year: Any, month: Any, day: Any) -> Numbers:
    """Return the days since 1970-01-01."""
    y = year - (month <= 2)
    era = np.floor(y / 400)
    of_era = y - 400 * era
    of_year = np.floor((153 * (month + np.where(month > 2, -3, 9)) + 2) / 5) + day - 1
    return np.asarray(
        era * 146_097
        + (of_era * 365 + np.floor(of_era / 4) - np.floor(of_era / 100) + of_year)
        - 719_468
    )


def _valid(year: Numbers, month: Numbers, day: Numbers) -> Mask:
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    whole = (month >= 1) & (month <= 12) & (year >= 1)
    most = lengths[np.where(whole, month, 0).astype(int)] + (leap & (month == 2))
    return np.asarray(whole & (day >= 1) & (day <= most))


# --- dates that are written as numbers -----------------------------------------------------------


def read_coded(values: Numbers, form: str) -> tuple[Numbers, Mask]:
    """Return the seconds of numbers such as 20240131 or 1706659200, and which are dates."""
    if form == "YYYYMMDD":
        whole = np.where(np.isfinite(values) & (np.abs(values) < 1e8), np.floor(values), 0.0)
        year, month, day = np.floor(whole / 1e4), np.floor(whole / 100) % 100, whole % 100
        fits = (values == whole) & (year >= 1000) & _valid(year, month, day)
        seconds = DAY * days(year, np.clip(month, 1, 12), day)
        return np.where(fits, seconds, np.nan), fits
    seconds = values / CODED[form]
    fits = np.isfinite(seconds) & (seconds >= -62_135_596_800) & (seconds < 253_402_300_800)
    return np.where(fits, seconds, np.nan), fits


def coded_form(valid: bool, largest: float) -> str:
    """Return what numbers count: digits of dates if all are `valid` ones, else by their size."""
    if valid:
        return "YYYYMMDD"
    limits = (1e11, "seconds"), (1e14, "milliseconds"), (1e17, "microseconds")
    return next((form for limit, form in limits if largest < limit), "nanoseconds")


# --- features ------------------------------------------------------------------------------------

NUMBERS: dict[DatePart, tuple[float, float]] = {
    "month": (6.5, 3.5),
    "day": (15.5, 8.8),
    "weekday": (3.0, 2.0),
    "hour": (11.5, 6.9),
}
"""Centre and unit of the numbers that come again: about those of all days and hours."""
CYCLES = {"month": "year", "day": "month", "weekday": "week", "hour": "day"}
"""What each of them goes round in: it also gives a sine and a cosine."""


class Calendar(NamedTuple):
    """What a calendar says about times."""

    year: Numbers
    month: Numbers  # 1 to 12
    day: Numbers  # 1 to 31
    weekday: Numbers  # 0 is Monday
    hour: Numbers  # with its minutes and seconds, 0 to 24


def calendar(seconds: Numbers) -> Calendar:
    """Return year, month, day, weekday and hour of times; `deltarule.onnx.dates` does the same."""
    date = np.floor(seconds / DAY)
    hour = (seconds - DAY * date) / 3600
    z = date + 719_468
    era = np.floor(z / 146_097)
    of_era = z - era * 146_097
    leaps = np.floor(of_era / 1460) - np.floor(of_era / 36_524) + np.floor(of_era / 146_096)
    year = np.floor((of_era - leaps) / 365)
    of_year = of_era - (365 * year + np.floor(year / 4) - np.floor(year / 100))
    place = np.floor((5 * of_year + 2) / 153)  # of the month, from March on
    day = of_year - np.floor((153 * place + 2) / 5) + 1
    month = np.where(place < 10, place + 3, place - 9)
    weekday = (date + 3) - 7 * np.floor((date + 3) / 7)
    return Calendar(year + 400 * era + (month <= 2), month, day, weekday, hour)


def values_of(seconds: Numbers) -> dict[str, Numbers]:
    """Return what a date's features are made of, before centres and units; see `DateColumn`."""
    at = calendar(seconds)
    turns = {
        "year": (at.month - 1 + (at.day - 1) / 31) / 12,
        "month": (at.day - 1) / 31,
        "week": at.weekday / 7,
        "day": at.hour / 24,
    }
    values = {"month": at.month, "day": at.day, "weekday": at.weekday, "hour": at.hour}
    for name, turn in turns.items():
        angle = 2 * np.pi * turn
        values |= {f"sin {name}": np.sin(angle), f"cos {name}": np.sin(angle + np.pi / 2)}
    return values
