"""Dates and times as people write them, compared with Python's datetime."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from deltarule.tables.columns import ParsedColumn
from deltarule.tables.dates import DateTexts, calendar, coded_form, read_coded, values_of
from deltarule.tables.evidence import DAY_FIRST, MONTH, MONTH_FIRST, TIME
from support import networks as support

EPOCH = datetime(1970, 1, 1)
moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(
    lambda t: t.replace(microsecond=0)
)

DATES = {
    "{y}-{m:02}-{d:02}": None,
    "{y}/{m}/{d}": None,
    "{y}.{m:02}.{d:02}": None,
    "{d:02}/{m:02}/{y}": True,
    "{d}.{m}.{y}": True,
    "{d:02}-{m:02}-{y}": True,
    "{m:02}/{d:02}/{y}": False,
    "{m}-{d}-{y}": False,
    "{d:02}-{mon}-{y}": None,
    "{d} {month} {y}": None,
    "{d}. {month} {y}": None,
    "{month} {d}, {y}": None,
    "{mon}. {d}, {y}": None,
    "{month} {d}th, {y}": None,
    "{d}th of {month} {y}": None,
    "{wd}, {mon} {d}, {y}": None,
    "{weekday} {d} {month} {y}": None,
    "{y}-{mon}-{d:02}": None,
    "{y}:{m:02}:{d:02}": None,
    "{d:02}/{mon}/{y}": None,
}
TIMES = {
    "": None,
    " {h:02}:{mi:02}:{s:02}": "s",
    "T{h:02}:{mi:02}:{s:02}Z": "s",
    "T{h:02}:{mi:02}:{s:02}.000000+05:30": "s",
    " {h}:{mi:02}": "min",
    " {h12}:{mi:02} {half}": "min",
    " {h12}:{mi:02}:{s:02}{half}": "s",
    " {h:02}:{mi:02}:{s:02} UTC": "s",
    ", {h:02}:{mi:02}:{s:02}-0800": "s",
}


def texts_of(t: datetime, dates: str, times: str) -> tuple[str, float]:
    """Return a time as somebody writes it, and the seconds that this says."""
    fields: dict[str, Any] = {
        "y": f"{t.year:04}", "m": t.month, "d": t.day, "mon": t.strftime("%b"),
        "month": t.strftime("%B"), "wd": t.strftime("%a"), "weekday": t.strftime("%A"),
        "h": t.hour, "mi": t.minute, "s": t.second, "h12": (t.hour + 11) % 12 + 1,
        "half": "AM" if t.hour < 12 else "pm",
    }  # fmt: skip
    precision = TIMES[times]
    said = t if precision == "s" else t.replace(second=0)
    said = said if precision else t.replace(hour=0, minute=0, second=0)
    return (dates + times).format(**fields), (said - EPOCH).total_seconds()


@support.proves(
    short=130,
    full=20_000,
    t=moments,
    dates=st.sampled_from(sorted(DATES)),
    times=st.sampled_from(sorted(TIMES)),
)
def test_a_date_in_any_dress_is_read_back_exactly(t: datetime, dates: str, times: str) -> None:
    text, seconds = texts_of(t, dates, times)
    read = DateTexts(pa.array([text]))
    day_first = DATES[dates]
    for notation in (DAY_FIRST, MONTH_FIRST):
        values, fits = read.read(notation)
        if day_first in (None, notation.day_first):
            assert (fits[0], values[0]) == (True, seconds), text
        assert not fits[0] or np.isfinite(values[0])
    assert read.fixed[0] == (day_first is None)


@support.proves(short=100, full=20_000, seconds=st.floats(-62_135_596_800, 253_402_300_799))
def test_the_calendar_is_pythons(seconds: float) -> None:
    seconds = round(seconds, 3)
    t = EPOCH + timedelta(seconds=int(np.floor(seconds)))
    at = calendar(np.array([seconds]))
    assert [int(part[0]) for part in at[:3]] == [t.year, t.month, t.day]
    assert at.weekday[0] == t.weekday()
    assert np.floor(at.hour[0]) == t.hour
    parts = values_of(np.array([seconds]))
    for name in ("year", "month", "week", "day"):
        size = np.hypot(parts[f"sin {name}"], parts[f"cos {name}"])
        np.testing.assert_allclose(size, 1, rtol=1e-14)


@pytest.mark.parametrize(
    "text",
    [
        "31.02.2020",
        "2021-13-01",
        "2021-00-10",
        "29.02.2021",
        "2021-1/2",
        "1.2.3",
        "0000-01-01",
        "2021-01-01 25:00",
        "2021-01-01 10:61",
        "13:00 PM",
        "5 Foo 2021",
        "10:00",
        "2021",
        "2021-01",
        "2021-01-01x",
        "01-02-203",
        "12/2021",
        "",
        "Monday",
        "10.0.0.1",
    ],
)
def test_what_is_no_date(text: str) -> None:
    read = DateTexts(pa.array([text, "2020-02-29"]))
    assert read.fits(DAY_FIRST).tolist() == [False, True]


@support.proves(short=20, full=2000, t=moments)
def test_dates_with_the_time_in_the_middle_or_without_marks(t: datetime) -> None:
    year, seconds = f"{t.year:04}", (t - EPOCH).total_seconds()
    texts = [
        t.strftime("%a %b %d %H:%M:%S ") + year,
        t.strftime("%a %b %d %H:%M:%S CET ") + year,
        year + t.strftime("%m%dT%H%M%SZ"),
        year + t.strftime("%m%dT%H:%M:%S"),
    ]
    assert DateTexts(pa.array(texts)).read(DAY_FIRST)[0].tolist() == [seconds] * 4


def test_a_year_of_two_digits_between_hyphens_is_unclear() -> None:
    read = DateTexts(pa.array(["21-03-04", "21/03/04", "21-Mar-04", "21-03-2004"]))
    assert read.unclear.tolist() == [True, False, False, False]
    assert read.fits(DAY_FIRST).tolist() == [False, True, True, True]


def test_years_of_two_digits_are_those_of_posix() -> None:
    texts = [f"01.02.{year:02}" for year in range(100)]
    found = calendar(DateTexts(pa.array(texts)).read(DAY_FIRST)[0]).year
    expected = [datetime.strptime(text, "%d.%m.%y").year for text in texts]
    assert found.tolist() == expected


def test_times_of_day_and_months() -> None:
    read = DateTexts(pa.array(["14:30", "2:30:15.5 pm", "00:00", "24:00", "12:05 am"]))
    assert read.read(TIME)[1].tolist() == [True, True, True, False, True]
    assert read.read(TIME)[0][[0, 1, 2, 4]].tolist() == [52200, 52215.5, 0, 300]
    read = DateTexts(pa.array(["2021-03", "2021/12", "Mar 2021", "September 2021", "2021-13"]))
    months = [date(2021, m, 1) for m in (3, 12, 3, 9)]
    expected = [(m - date(1970, 1, 1)).days * 86400.0 for m in months]
    assert read.read(MONTH)[0][:4].tolist() == expected
    assert read.read(MONTH)[1].tolist() == [True] * 4 + [False]
    quarters = ["2021Q1", "2021-Q4", "q2 2021", "Q3-2021", "2021Q5", "Q1", "2021 q2"]
    months = [date(2021, m, 1) for m in (1, 10, 4, 7)]
    expected = [(m - date(1970, 1, 1)).days * 86400.0 for m in months]
    read = DateTexts(pa.array(quarters))
    assert read.read(MONTH)[0][:4].tolist() == expected
    assert read.read(MONTH)[1].tolist() == [True] * 4 + [False, False, True]


@support.proves(short=35, full=5000, t=moments)
def test_numbers_that_are_dates(t: datetime) -> None:
    if t.year < 1000:
        t = t.replace(year=t.year + 1000)
    seconds = t.replace(tzinfo=UTC).timestamp()
    for form, factor in (("seconds", 1), ("milliseconds", 1000)):
        assert read_coded(np.array([seconds * factor]), form)[0][0] == seconds
    day = float(t.strftime("%Y%m%d"))
    midnight = t.replace(hour=0, minute=0, second=0, tzinfo=UTC).timestamp()
    values, fits = read_coded(np.array([day, day + 0.5, 20210231, np.nan, np.inf]), "YYYYMMDD")
    assert values[0] == midnight
    assert fits.tolist() == [True, False, False, False, False]


def test_the_size_of_numbers_tells_their_unit() -> None:
    now = 1_700_000_000
    forms = [coded_form(False, now * factor) for factor in (1, 1e3, 1e6, 1e9)]
    assert forms == ["seconds", "milliseconds", "microseconds", "nanoseconds"]
    assert coded_form(True, 20210101) == "YYYYMMDD"


def test_a_column_reads_missing_dates_as_nan() -> None:
    cells = pa.array(["2021-01-02", None, "?", "3 Jan 2021", "unknown", "", "2021-01-02"])
    column = ParsedColumn("x", cells, None, None)  # type: ignore[arg-type]
    values, fits = column.dates(DAY_FIRST)
    assert fits.tolist() == [True, False, False, True, False, False, True]
    assert column.usable.tolist() == fits.tolist()
    assert np.isnan(values).tolist() == (~fits).tolist()
