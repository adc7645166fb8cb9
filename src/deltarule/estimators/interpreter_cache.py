"""What an estimator caches between its calls, so that short calls repeat no work."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from numbers import Integral
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltarule.network.backend import interpreter_of
from deltarule.program import Interpreter
from deltarule.program.tape import Tape
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import Optimizer
from deltarule.spec.shards import Shards

if TYPE_CHECKING:
    from deltarule.estimators.options import FitOptions

__all__ = ["InterpreterCache", "plain_key"]

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of arguments that cannot change in place."""


class _Entry(NamedTuple):
    tape: Tape
    choices: tuple[Optimizer | None, Clipping | None, str, int | None, Shards | None]
    interpreter: Interpreter


class InterpreterCache(threading.local):
    """Interpreters, a stream of random numbers, valid arguments, and the options read from them.

    Each thread has its own, since an interpreter may hold buffers and several threads may predict
    with one estimator. Copies and pickles begin empty.
    """

    def __init__(self) -> None:
        self._entries: dict[bool, _Entry] = {}
        self._stream: np.random.RandomState | None = None
        self._valid: list[Any] = []
        self._options: dict[bool, FitOptions] = {}
        self._fixed: bool | None = None  # whether no valid argument can change in place

    def interpreter(
        self,
        tape: Tape,
        optimizer: Optimizer | None = None,
        clipping: Clipping | None = None,
        *,
        engine: str,
        n_threads: int | None,
        shards: Shards | None = None,
    ) -> Interpreter:
        """Return an interpreter of this very tape: the cached one, if it still fits.

        One with an optimiser and one without are cached side by side.
        """
        choices = (optimizer, clipping, engine, n_threads, shards)
        entry = self._entries.get(optimizer is None)
        if entry is None or entry.tape is not tape or entry.choices != choices:
            fresh = interpreter_of(
                tape, optimizer, clipping, engine=engine, n_threads=n_threads, shards=shards
            )
            entry = self._entries[optimizer is None] = _Entry(tape, choices, fresh)
        return entry.interpreter

    def random_stream(self, random_state: Any) -> np.random.RandomState:
        """Return what ``check_random_state`` returns; seeding is faster than making a stream."""
        from sklearn.utils import check_random_state

        if not isinstance(random_state, Integral):
            stream: np.random.RandomState = check_random_state(random_state)
            return stream
        if self._stream is None:
            self._stream = check_random_state(random_state)
        else:
            self._stream.seed(int(random_state))
        return self._stream

    def knows_valid(self, arguments: Iterable[Any]) -> bool:
        """Whether these very arguments were the last to be found valid."""
        given = list(arguments)
        return len(given) == len(self._valid) and all(map(is_, given, self._valid))

    def remember_valid(self, arguments: Iterable[Any]) -> None:
        """Remember that these arguments are valid."""
        self._valid = list(arguments)
        self._options, self._fixed = {}, None

    def options(self, *, incremental: bool) -> FitOptions | None:
        """Return what was read from the valid arguments, unless one may have changed in place."""
        known = self._options.get(incremental)
        if known is not None and self._fixed is None:
            self._fixed = all(map(_is_plain, self._valid))
        return known if self._fixed else None

    def remember_options(self, options: FitOptions) -> None:
        """Remember what was read from the valid arguments."""
        self._options[options.incremental] = options

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as an empty cache."""
        return (InterpreterCache, ())


def plain_key(kind: type[Any], arguments: Iterable[Any]) -> tuple[Any, ...] | None:
    """Return what says which class and which arguments these are; None unless all are plain."""
    values = list(arguments)
    return (kind, *map(repr, values)) if all(map(_is_plain, values)) else None


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind is tuple and all(map(_is_plain, value)))
