"""What an estimator keeps between its calls, so that short calls repeat no work."""

from __future__ import annotations

import threading
from numbers import Integral
from operator import is_
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from deltarule.clipping import Clipping
from deltarule.interpreters import interpreter_of
from deltarule.optimizers import Optimizer
from deltarule.program import Interpreter
from deltarule.tape import Tape

__all__ = ["Kept"]


class _Made(NamedTuple):
    tape: Tape
    choices: tuple[Optimizer | None, Clipping | None, str, int | None]
    interpreter: Interpreter


class Kept(threading.local):
    """Interpreters, a stream of random numbers, and arguments that were found valid.

    Every thread has its own: an interpreter may hold work space, and several threads may predict
    with one estimator. Copies and pickles begin empty.
    """

    def __init__(self) -> None:
        self._made: dict[bool, _Made] = {}
        self._stream: np.random.RandomState | None = None
        self._valid: list[Any] = []

    def interpreter(
        self,
        tape: Tape,
        optimizer: Optimizer | None,
        clipping: Clipping | None = None,
        *,
        engine: str,
        n_threads: int | None,
    ) -> Interpreter:
        """Return an interpreter of this very tape: the last one, if it still fits.

        One that takes steps and one that takes none (no optimizer) are kept side by side.
        """
        choices = (optimizer, clipping, engine, n_threads)
        made = self._made.get(optimizer is None)
        if made is None or made.tape is not tape or made.choices != choices:
            fresh = interpreter_of(tape, optimizer, clipping, engine=engine, n_threads=n_threads)
            made = self._made[optimizer is None] = _Made(tape, choices, fresh)
        return made.interpreter

    def stream(self, random_state: Any) -> np.random.RandomState:
        """Return what ``check_random_state`` returns; seeding one anew is faster than making it."""
        if not isinstance(random_state, Integral):
            stream: np.random.RandomState = check_random_state(random_state)
            return stream
        if self._stream is None:
            self._stream = check_random_state(random_state)
        else:
            self._stream.seed(int(random_state))
        return self._stream

    def check(self, estimator: Any) -> None:
        """Check the estimator's arguments, unless they are the very ones of the last check."""
        given = [getattr(estimator, name) for name in estimator._parameter_constraints]
        same = len(given) == len(self._valid) and all(map(is_, given, self._valid))
        if not same:
            estimator._validate_params()
            self._valid = given

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as an empty one."""
        return (Kept, ())
