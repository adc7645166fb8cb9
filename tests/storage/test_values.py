"""The codec of values: they come back as they were, or are refused with a remedy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import Adam, Huber
from deltarule.errors import CheckpointError, ModelFileError
from deltarule.storage import strict_json
from deltarule.storage.values import ValueCodec
from support.checkpoints import digest
from support.networks import proves


class Pair(NamedTuple):
    first: Any
    second: Any


def codec(tensors: dict[str, Any] | None = None) -> ValueCodec:
    return ValueCodec(
        (Adam, Huber, Pair), error=ModelFileError, remedy="Set {name}.", tensors=tensors,
        shared=(Pair,),
    )  # fmt: skip


def there_and_back(value: Any) -> Any:
    tensors: dict[str, Any] = {}
    text = strict_json.dumps(codec(tensors).encode("value", value))
    return codec(tensors).decode(strict_json.loads(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner, max_size=3)
    ),
    max_leaves=8,
)


@proves(short=35, full=3000, value=VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    back = there_and_back(value)
    assert repr(back) == repr(value)
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [Adam(0.5, beta1=0.25), Huber(2.0), np.float32(0.5), np.int8(3)])
def test_listed_types_and_scalars_come_back(value: Any) -> None:
    assert there_and_back(value) == value


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "int64", "int32", "uint32", "uint8", "bool"]
)
def test_arrays_come_back_with_their_type(dtype: str) -> None:
    array = np.array([[0, 1, 1]]).astype(dtype)
    back = there_and_back({"a": array, "b": (array,)})
    assert digest([back["a"], back["b"][0]]) == digest([array, array])


def test_arrays_of_equal_names_are_told_apart() -> None:
    back = there_and_back({"0": np.zeros(1), 0: np.ones(1)})
    assert (back["0"][0], back[0][0]) == (0.0, 1.0)


def test_a_shared_object_comes_back_as_one_object() -> None:
    pair = Pair(1, np.zeros(2))
    first, second, other = there_and_back([pair, pair, Pair(1, 2)])
    assert first is second
    assert other == (1, 2)


@pytest.mark.parametrize("value", [len, object(), {1, 2}, slice(3), np.array(["a"])])
def test_other_types_are_refused_with_a_remedy(value: Any) -> None:
    with pytest.raises(ModelFileError, match=r"^rate.*cannot be stored in a file.* Set rate\.$"):
        codec({}).encode("rate", [value])


def test_without_tensors_arrays_are_refused() -> None:
    with pytest.raises(ModelFileError, match="cannot be stored"):
        codec().encode("rate", np.zeros(2))


@pytest.mark.parametrize(
    "plain",
    [
        {}, {"=": "os.system"}, {"=": ["dict"]}, {"=": "dict"}, {"=": "dict", "items": [[1]]},
        {"=": "dict", "items": [[[], 1]]}, {"=": "float", "value": "1"}, {"=": "tuple"},
        {"=": "array", "name": "none", "dtype": "float64"}, {"=": "same", "name": "none"},
        {"=": "Huber"}, {"=": "Huber", "fields": {}}, {"=": "Huber", "fields": []},
        {"=": "Huber", "name": "x", "fields": {"delta": 1.0}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_written_is_not_read(plain: Any) -> None:
    reader = ValueCodec((Huber,), error=CheckpointError)
    with pytest.raises(CheckpointError, match="its record"):
        reader.decode([plain])
