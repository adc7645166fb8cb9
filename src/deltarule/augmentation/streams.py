"""Random numbers that depend on the row, not on the batch.

Row i in epoch e of a run with seed s reads words of Philox4x64-10 (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3") with the key (s, e). A request for k words, or k' = ⌈k/4⌉
blocks of four, reads the words from the counter (i k', request, stage) on. Different rows, epochs,
stages and requests never read the same word, and nothing depends on the other rows of the batch,
on their order or on threads. Only the raw words of NumPy's generator are used, because NumPy
guarantees that this stream does not change (NEP 19).
"""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, SpecError
from deltarule.utils.checks import check_between, check_count, numeric_array, shown

__all__ = ["Floats", "RowStreams"]

Floats = npt.NDArray[np.floating[Any]]

_MOST = 1e300  # so that differences are finite
_MOST_WORDS = 2**40

_POOL = 16
"""Small requests share a pool of this many words, because each fetch takes microseconds."""


class RowStreams:
    """One stream of random numbers for each row of a batch.

    A transformation ``f(rng, x)`` draws numbers for all rows at once: the first axis of every draw
    is the row. For example, to transform half of the examples::

        lambda rng, x: np.where(rng.uniform(size=(1, 1)) < 0.5, transform(rng, x), x)

    Parameters
    ----------
    seed : int
        The seed, in [0, 2⁶⁴).
    epoch : int
        The number of the epoch, in [0, 2⁶⁴).
    rows : (n,) integer array
        The number of each row in the data set.
    stage : int, default=0
        The position of the transformation in the pipeline.

    Notes
    -----
    The numbers depend on how many draws came before, so the number of draws must not depend on the
    data. Functions that cannot process all rows at once can use ``generator``.
    """

    def __init__(
        self, seed: int, epoch: int, rows: npt.NDArray[np.integer[Any]], stage: int = 0
    ) -> None:
        for name, word in (("seed", seed), ("epoch", epoch), ("stage", stage)):
            check_count(name, word, below=1 << 64)
        self.rows = _row_numbers(rows)
        self._key = np.array([seed, epoch], dtype=np.uint64)
        self._stage = stage
        self._requests = 0
        self._philox = np.random.Philox(key=self._key)
        self._pool = np.empty((len(self.rows), 0), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.rows)

    def raw(self, words: int) -> npt.NDArray[np.uint64]:
        """Return (n, words) random 64-bit words."""
        check_count("words", words, below=_MOST_WORDS)
        if words > _POOL:
            return self._fetch(words)
        if self._pool.shape[1] < words:
            self._pool = self._fetch(_POOL)
        taken, self._pool = self._pool[:, :words], self._pool[:, words:]
        return taken

    def _fetch(self, words: int) -> npt.NDArray[np.uint64]:
        """Return the words of a new request; consecutive rows are read together."""
        blocks = -(-words // 4)
        counter = np.array([0, 0, self._requests, self._stage], dtype=np.uint64)
        # The state of a new Philox: it increments the counter, then generates four words.
        fresh: Any = {
            "bit_generator": "Philox",
            "state": {"counter": counter, "key": self._key},
            "buffer": np.zeros(4, dtype=np.uint64),
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }
        drawn = np.empty((len(self.rows), 4 * blocks), dtype=np.uint64)
        cuts = np.flatnonzero(np.diff(self.rows) != 1) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(self.rows)]):
            if start < stop:
                counter[1], counter[0] = divmod(int(self.rows[start]) * blocks, 1 << 64)
                self._philox.state = fresh
                found = self._philox.random_raw((stop - start) * 4 * blocks)
                drawn[start:stop] = found.reshape(stop - start, -1)
        self._requests += 1
        return drawn[:, :words]

    def uniform(
        self, low: float = 0.0, high: float = 1.0, size: tuple[int, ...] = ()
    ) -> npt.NDArray[np.float64]:
        """Return (n, *size) numbers, uniform on [low, high), with 52 random bits each.

        If low = high, the result is exactly this number.
        """
        _check_finite("low", low)
        _check_finite("high", high)
        return low + (high - low) * self._units(size, 0.0)

    def normal(self, scale: float = 1.0, size: tuple[int, ...] = ()) -> npt.NDArray[np.float64]:
        """Return (n, *size) numbers from N(0, scale²): scale · Φ⁻¹(u), u uniform on (0, 1)."""
        from scipy.special import ndtri

        _check_finite("scale", scale)
        return np.asarray(scale * ndtri(self._units(size, 0.5)))

    def integers(self, low: int, high: int, size: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
        """Return (n, *size) integers, uniform on {low, …, high − 1}, as ⌊(high − low) u⌋ + low."""
        for name, end in (("low", low), ("high", high)):
            check_between(name, end, -(2.0**52), 2.0**52)
            if end != int(end):
                raise SpecError(f"{name} must be an integer; got {shown(end)}.")
        if high <= low:
            raise SpecError(f"low must be below high; got {low!r} and {high!r}.")
        return np.floor((high - low) * self._units(size, 0.0)).astype(np.int64) + int(low)

    def displacements(self, size: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Floats:
        """Return (n, *size) numbers (k + ½)/2¹⁵, uniform over the 2¹⁶ of them in (−1, 1).

        Sixteen bits are enough, because the field is smoothed afterwards. The mean is 0, and the
        variance is (1 − 2⁻³²)/3.
        """
        count = math.prod(_checked_size(size))
        try:
            real = dtype is not None and np.dtype(dtype).kind == "f"
        except (TypeError, ValueError, AttributeError):  # no type at all
            real = False
        if not real:
            raise SpecError(f"dtype must be a floating-point type; got {shown(dtype)}.")
        words = self.raw(-(-count // 4)).astype("<u8", copy=False)
        steps = np.ascontiguousarray(words).view("<i2")[:, :count]
        field = steps.astype(dtype)
        field += 0.5
        field *= 2.0**-15
        return field.reshape(len(self), *size)

    def generator(self, i: int) -> np.random.Generator:
        """Return a NumPy generator for the i-th row of the batch, at the start of its own stream.

        Its words are not used by other draws. Every call returns a generator at the start.
        """
        if not isinstance(i, Integral) or isinstance(i, bool) or not -len(self) <= i < len(self):
            raise SpecError(
                f"i must be the place of a row, an integer below {len(self)}; got {shown(i)}."
            )
        counter = np.array([0, self.rows[i], 1 << 63, self._stage], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def _units(self, size: tuple[int, ...], shift: float) -> npt.NDArray[np.float64]:
        """Return (n, *size) numbers (k + shift)/2⁵², k uniform over 52 bits: exact, and below 1."""
        bits = self.raw(math.prod(_checked_size(size))) >> np.uint64(12)
        return ((bits.astype(np.float64) + shift) * 2.0**-52).reshape(len(self), *size)


def _row_numbers(rows: Any) -> npt.NDArray[np.uint64]:
    numbers = numeric_array("rows", rows)
    if numbers.ndim != 1 or (
        numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 0)
    ):
        raise DataError(
            f"rows must be the rows' numbers in the data set, (n,) integers of at least 0; got "
            f"{shown(rows)}."
        )
    words: npt.NDArray[np.uint64] = numbers.astype(np.uint64)
    return words


def _checked_size(size: Any) -> tuple[int, ...]:
    if not isinstance(size, tuple | list):
        raise SpecError(f"size must be a tuple such as (2, 3); got {shown(size)}.")
    for i, length in enumerate(size):
        check_count(f"size[{i}]", length, below=_MOST_WORDS)
    return tuple(size)


def _check_finite(name: str, value: Any) -> None:
    check_between(name, value, -_MOST, _MOST)
