"""Arrow's arrays from NumPy's arrays and Python's texts, and back.

``pyarrow.array``, ``pyarrow.scalar`` and ``to_numpy`` import pandas wherever it is installed, and
that takes longer than to read a table and to predict its rows. These do without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["numbers_of", "text_of", "texts_of", "to_numpy"]

_MOST_BYTES = 2**31 - 1  # of the texts in one array


def texts_of(texts: Sequence[str | None]) -> Any:
    """Return texts as an array, None as null."""
    coded = [b"" if text is None else text.encode() for text in texts]
    ends = list(accumulate(map(len, coded), initial=0))
    if ends[-1] > _MOST_BYTES:  # then it comes in chunks
        return pa.array(texts, pa.string())
    validity = None
    if None in texts:
        validity = _bits(np.array([text is not None for text in texts]))
    buffers = [validity, pa.py_buffer(np.array(ends, np.int32)), pa.py_buffer(b"".join(coded))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def numbers_of(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> Any:
    """Return integers, floats or booleans as an array, null where ``missing``."""
    validity = None if missing is None else _bits(~missing)
    if values.dtype == bool:
        kind, data = pa.bool_(), _bits(values)
    else:
        kind, data = pa.from_numpy_dtype(values.dtype), pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [validity, data])


@cache
def text_of(text: str) -> Any:
    """Return a text as a scalar."""
    return texts_of([text])[0]


def to_numpy(values: Any, null: Any = None) -> NDArray[Any]:
    """Return numbers or booleans as NumPy's array.

    Nulls become ``null``; by default NaN, in an array of floats then, and among booleans False.
    """
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else values.combine_chunks()
    is_boolean = pa.types.is_boolean(values.type)
    missing = None
    if values.null_count:
        missing = _numbers(pc.is_null(values).cast(pa.uint8())).astype(bool)
        null = (False if is_boolean else np.nan) if null is None else null
    found = _numbers(values.cast(pa.uint8()) if is_boolean else values)
    found = found.astype(bool) if is_boolean else found
    return found if missing is None else np.where(missing, null, found)


def _numbers(values: Any) -> NDArray[Any]:
    dtype = np.dtype(values.type.to_pandas_dtype())
    if len(values) == 0:
        return np.empty(0, dtype)
    start = values.offset
    return np.frombuffer(values.buffers()[1], dtype)[start : start + len(values)]


def _bits(truths: NDArray[np.bool_]) -> Any:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
