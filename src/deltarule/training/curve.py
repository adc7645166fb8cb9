"""Curves of a training: one entry for each epoch, appended at the end and never changed."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, Self, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Curve", "Records", "SumOfCurves"]

T = TypeVar("T")

_CHUNK = 1024
"""Entries in a part of a column that never changes again, and that copies share."""


class Column(Sequence[T], Generic[T]):
    """A sequence that reads like a list: indices, slices, ``==`` and ``+`` with lists, ``repr``."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def tolist(self) -> list[T]:
        """Return the entries as a list of their own."""

    @abstractmethod
    def at(self, index: int) -> T:
        """Return an entry; the index lies in 0 … len − 1."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: Any) -> Any:
        """Return an entry, or a list for a slice."""
        n = len(self)
        if isinstance(index, slice):
            return [self.at(i) for i in range(*index.indices(n))]
        place = index.__index__()
        if place < 0:
            place += n
        if not 0 <= place < n:
            raise IndexError("index out of range")
        return self.at(place)

    def __iter__(self) -> Iterator[T]:
        """Return an iterator over the entries of this moment."""
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        """Return whether a list or another column has the same entries."""
        if isinstance(other, Column):
            return len(self) == len(other) and bool(self.tolist() == other.tolist())
        if isinstance(other, list):
            return len(self) == len(other) and self.tolist() == other
        return NotImplemented

    def __add__(self, other: Any) -> list[T]:
        """Return both one after the other, as a list."""
        return self.tolist() + list(other) if isinstance(other, list | Column) else NotImplemented

    def __radd__(self, other: Any) -> list[T]:
        """Return both one after the other, as a list."""
        return list(other) + self.tolist() if isinstance(other, list) else NotImplemented

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the entries as a new array."""
        return np.array(self.tolist(), dtype=dtype)

    def __repr__(self) -> str:
        """Return what a list of the entries shows."""
        return repr(self.tolist())


class _Chunked(Column[T]):
    """A column that grows at the end. Appending, reading an entry and copying take no longer later.

    Full chunks never change, so that copies share them. Other threads may read meanwhile: they see
    the entries of one moment.
    """

    __slots__ = ("_listed", "_parts")
    _pack: Callable[[list[Any]], Sequence[Any]]

    def __init__(self, values: Iterable[Any] = ()) -> None:
        # The full chunks, in a list that is replaced and not changed, and the entries after them.
        self._parts: tuple[list[Sequence[Any]], list[Any]] = ([], [])
        self._listed: list[T] | None = None
        self.extend(values)

    def append(self, value: Any) -> None:
        """Append an entry."""
        full, tail = self._parts
        tail.append(value)
        if len(tail) >= _CHUNK:
            self._parts = ([*full, self._pack(tail)], [])

    def extend(self, values: Iterable[Any]) -> None:
        """Append several entries."""
        for value in values:
            self.append(value)

    def copy(self) -> Self:
        """Return a copy, to which and from which appended entries do not pass."""
        twin = type(self).__new__(type(self))
        full, tail = self._parts
        twin._parts, twin._listed = (full, list(tail)), None
        return twin

    def tolist(self) -> list[T]:
        """Return the entries as a list of their own."""
        full, tail = self._parts
        return [*chain.from_iterable(full), *tail]

    def as_list(self) -> list[T]:
        """Return a list that is kept: a later call appends what is new and returns it again."""
        listed, n = self._listed, len(self)
        if listed is None or len(listed) > n:
            listed = self._listed = self.tolist()
        elif len(listed) < n:
            listed.extend(self[len(listed) :])
        return listed

    def __len__(self) -> int:
        """Return the number of entries."""
        full, tail = self._parts
        return _CHUNK * len(full) + len(tail)

    def at(self, index: int) -> T:
        """Return an entry; the index lies in 0 … len − 1."""
        full, tail = self._parts
        chunk, place = divmod(index, _CHUNK)
        entry: T = full[chunk][place] if chunk < len(full) else tail[place]
        return entry

    @property
    def last(self) -> T:
        """The newest entry."""
        full, tail = self._parts
        entry: T = tail[-1] if tail else full[-1][-1]
        return entry

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as a list of the entries."""
        return (type(self), (self.tolist(),))


def _as_doubles(values: list[float]) -> Sequence[float]:
    return array("d", values)


class Curve(_Chunked[float]):
    """Numbers, one for each epoch; it reads like a list.

    Parameters
    ----------
    values : iterable of float, default=()
        The first entries.

    Examples
    --------
    >>> curve = Curve([0.5, 0.25])
    >>> curve.append(0.125)
    >>> curve[-1], curve[:2], len(curve), curve
    (0.125, [0.5, 0.25], 3, [0.5, 0.25, 0.125])
    """

    __slots__ = ()
    _pack = staticmethod(_as_doubles)

    def append(self, value: float) -> None:
        """Append a number."""
        full, tail = self._parts
        tail.append(float(value))
        if len(tail) >= _CHUNK:
            self._parts = ([*full, array("d", tail)], [])

    def extend(self, values: Iterable[float]) -> None:
        """Append several numbers."""
        tail, given = self._parts[1], list(map(float, values))
        if len(tail) + len(given) < _CHUNK:
            tail.extend(given)
            return
        for value in given:
            self.append(value)

    def numbers(self, start: int = 0) -> npt.NDArray[np.float64]:
        """Return the entries from ``start`` on as a new array of float64."""
        full, tail = self._parts
        first = min(start // _CHUNK, len(full))
        parts = [np.frombuffer(chunk) for chunk in full[first:]]  # type: ignore[call-overload]
        return np.concatenate([*parts, np.array(tail)])[max(start - first * _CHUNK, 0) :]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the entries as a new array."""
        return self.numbers().astype(np.float64 if dtype is None else dtype, copy=False)


class Records(_Chunked[Any]):
    """Records, such as the health of a network, one for each epoch; it reads like a list."""

    __slots__ = ()
    _pack = tuple


class SumOfCurves(Column[float]):
    """The sum of two curves, entry by entry: a view, which grows with them."""

    __slots__ = ("_a", "_b")

    def __init__(self, a: Curve, b: Curve) -> None:
        self._a, self._b = a, b

    def __len__(self) -> int:
        """Return the number of entries that both have."""
        return min(len(self._a), len(self._b))

    def at(self, index: int) -> float:
        """Return an entry; the index lies in 0 … len − 1."""
        return self._a.at(index) + self._b.at(index)

    def tolist(self) -> list[float]:
        """Return the sums as a list of their own."""
        return [a + b for a, b in zip(self._a.tolist(), self._b.tolist(), strict=False)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as both curves."""
        return (SumOfCurves, (self._a, self._b))
