"""Random numbers that belong to a row, not to a batch.

Row i in epoch e of a run with seed s reads words of Philox4x64-10 (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3") under the key (s, e). A request for k words, or k' = ⌈k/4⌉
blocks of four, takes those from the counter (i k', request, stage) on: two rows, epochs, stages or
requests never read the same word, and nothing depends on which other rows are in the batch, on
their order or on threads. Only the raw words of NumPy's generator are used, whose stream NumPy
promises to keep (NEP 19).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

__all__ = ["Floats", "RowStreams"]

Floats = npt.NDArray[np.floating[Any]]

_POOL = 16
"""Small requests are cut from a pool of this many words, since a fetch costs microseconds."""


class RowStreams:
    """One stream of random numbers for each row of a batch.

    A transformation ``f(rng, x)`` draws from it for all rows at once: the first axis of every
    draw is the row. To apply a piece to half of the examples, for instance::

        lambda rng, x: np.where(rng.uniform(size=(1, 1)) < 0.5, piece(rng, x), x)

    Parameters
    ----------
    seed : int
        In [0, 2⁶⁴).
    epoch : int
        In [0, 2⁶⁴).
    rows : (n,) integer array
        The number of each row in the whole data set.
    stage : int, default=0
        The place in the pipeline.

    Notes
    -----
    What a row gets depends on how many draws came before: a function must not let the data decide
    how often it draws. ``generator`` serves one that cannot work on all rows at once.
    """

    def __init__(
        self, seed: int, epoch: int, rows: npt.NDArray[np.integer[Any]], stage: int = 0
    ) -> None:
        self.rows = np.asarray(rows, dtype=np.uint64)
        self._key = np.array([seed, epoch], dtype=np.uint64)
        self._stage = stage
        self._requests = 0
        self._philox = np.random.Philox(key=self._key)
        self._pool = np.empty((len(self.rows), 0), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.rows)

    def raw(self, words: int) -> npt.NDArray[np.uint64]:
        """Return (n, words) random 64-bit words."""
        if words > _POOL:
            return self._fetch(words)
        if self._pool.shape[1] < words:
            self._pool = self._fetch(_POOL)
        taken, self._pool = self._pool[:, :words], self._pool[:, words:]
        return taken

    def _fetch(self, words: int) -> npt.NDArray[np.uint64]:
        """Return the words of a new request; rows that follow each other are read in one go."""
        blocks = -(-words // 4)
        counter = np.array([0, 0, self._requests, self._stage], dtype=np.uint64)
        # A Philox that has not drawn yet: it adds one to the counter, then draws four words.
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
        """Return (n, *size) numbers, uniform on [low, high), of 52 random bits each.

        Where low = high it is that number, exactly.
        """
        return low + (high - low) * self._units(size, 0.0)

    def normal(self, scale: float = 1.0, size: tuple[int, ...] = ()) -> npt.NDArray[np.float64]:
        """Return (n, *size) numbers from N(0, scale²): scale · Φ⁻¹(u), u uniform on (0, 1)."""
        return np.asarray(scale * ndtri(self._units(size, 0.5)))

    def integers(self, low: int, high: int, size: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
        """Return (n, *size) integers, uniform on {low, …, high − 1}, as ⌊(high − low) u⌋ + low."""
        return np.floor((high - low) * self._units(size, 0.0)).astype(np.int64) + low

    def displacements(self, size: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Floats:
        """Return (n, *size) numbers (k + ½)/2¹⁵, uniform over the 2¹⁶ of them in (−1, 1).

        Sixteen bits are enough for a field that will be smoothed. The mean is 0 and the variance
        (1 − 2⁻³²)/3.
        """
        count = math.prod(size)
        words = self.raw(-(-count // 4)).astype("<u8", copy=False)
        steps = np.ascontiguousarray(words).view("<i2")[:, :count]
        field = steps.astype(dtype)
        field += 0.5
        field *= 2.0**-15
        return field.reshape(len(self), *size)

    def generator(self, i: int) -> np.random.Generator:
        """Return a NumPy generator for the i-th row of the batch, at the start of its own stream.

        It shares no word with the other draws; asked for again, it starts again.
        """
        counter = np.array([0, self.rows[i], 1 << 63, self._stage], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def _units(self, size: tuple[int, ...], shift: float) -> npt.NDArray[np.float64]:
        """Return (n, *size) numbers (k + shift)/2⁵², k uniform over 52 bits: exact, and below 1."""
        bits = self.raw(math.prod(size)) >> np.uint64(12)
        return ((bits.astype(np.float64) + shift) * 2.0**-52).reshape(len(self), *size)
