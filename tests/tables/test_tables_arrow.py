"""Arrow's arrays without pandas: as pyarrow itself makes and reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.tables.arrow import numbers_of, text_of, texts_of, to_numpy

TEXTS = st.lists(st.none() | st.text(max_size=6), max_size=20)
KINDS = {"int64": st.integers(-(2**40), 2**40), "float64": st.floats(), "bool": st.booleans()}


@given(TEXTS)
def test_texts(texts: list[str | None]) -> None:
    made = texts_of(texts)
    made.validate(full=True)
    assert made.equals(pa.array(texts, pa.string()))
    assert made.null_count == texts.count(None)


def test_a_text() -> None:
    assert text_of("é").as_py() == "é"
    assert text_of("") == pa.scalar("")


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_numbers_there_and_back(kind: str, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(KINDS[kind], max_size=20)), dtype=kind)
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=len(values),
                                          max_size=len(values))), dtype=bool)  # fmt: skip
    made = numbers_of(values, missing)
    made.validate(full=True)
    assert str(made) == str(pa.array(values, mask=missing))
    np.testing.assert_array_equal(to_numpy(numbers_of(values)), values)
    low = data.draw(st.integers(0, len(values)))
    null: Any = {"int64": -1, "float64": 0.0, "bool": True}[kind]
    for whole in (made, pa.chunked_array([made[:low], made[low:]], type=made.type)):
        found = to_numpy(whole, null)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, np.where(missing, null, values))
    expected = np.where(missing[low:], False if kind == "bool" else np.nan, values[low:])
    np.testing.assert_array_equal(to_numpy(made[low:]), expected)


def test_no_chunks_and_no_values() -> None:
    assert to_numpy(pa.chunked_array([], type=pa.int32())).shape == (0,)
    assert to_numpy(numbers_of(np.empty(0))).dtype == np.float64
