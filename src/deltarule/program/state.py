"""State of a training: parameters, optimiser state, statistics and counters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, TypeVar

import numpy as np

from deltarule.errors import BusyError
from deltarule.utils.arrays import Array, array_namespace, to_numpy
from deltarule.utils.charts import facts_html, report_html
from deltarule.utils.locks import ForkSafeLock

__all__ = ["State"]

T = TypeVar("T")


class _Guarded:
    """A slot for what belongs to one object, and not to its copies."""

    __slots__ = ("_guard",)
    _guard: _Guard


@dataclass
class State(_Guarded):
    """Everything that training changes; checkpoints, rollback and "restore the best" copy it."""

    theta: Array  # (p,) every parameter of the network
    seed: int = 0  # key of the dropout masks
    step: int = 0  # number of steps taken, over all epochs
    optimizer_state: Any = None  # state of the optimiser (a NamedTuple); None before its first step
    buffers: dict[str, Array] = field(default_factory=dict)  # statistics of batch normalisation

    def copy(self, *, optimizer: bool = True) -> State:
        """Return a copy that shares no memory with this one.

        With ``optimizer=False`` it is a copy without the optimiser's state.
        """
        return self.read(lambda state: state._copy(optimizer))

    def finite_copy(self, *, optimizer: bool = True) -> State:
        """Return a copy; of the epoch's begin, if a training has just diverged and not ended."""
        with self._guard.lock.here():
            copied, safe = self.copy(optimizer=optimizer), self._guard.safe
            if safe is None or np.isfinite(np.asarray(copied.theta)).all():
                return copied
            return safe._copy(optimizer)

    def _copy(self, optimizer: bool) -> State:
        return State(
            _copied(self.theta),
            self.seed,
            self.step,
            _copied(self.optimizer_state) if optimizer else None,
            {name: _copied(array) for name, array in self.buffers.items()},
        )

    def _repr_html_(self) -> str:
        """Return sizes, counters and the range of θ, for a notebook."""
        held = self.copy(optimizer=False)
        theta, name = to_numpy(held.theta), type(self.optimizer_state).__name__
        facts = [
            ("θ", f"{theta.size:,} parameters, {theta.dtype}"),
            ("steps taken", f"{held.step:,}"),
            ("seed of the dropout masks", str(held.seed)),
            ("optimiser's memory", "none" if self.optimizer_state is None else name),
        ]
        if theta.size:
            facts.insert(1, ("values of θ", f"{theta.min():.4g} to {theta.max():.4g}"))
        facts += [
            (f"statistic {key}", f"shape {tuple(value.shape)}")
            for key, value in held.buffers.items()
        ]
        finite = bool(np.isfinite(theta).all())
        verdict = "" if finite else "<p>θ holds NaN or infinity: the training diverged.</p>"
        return report_html("State", facts_html(facts), verdict)

    def read_only(self) -> State:
        """Return a view for a user's function: an attempt to change θ or statistics raises."""
        return State(
            _view(self.theta),
            self.seed,
            self.step,
            _view(self.optimizer_state),
            {name: _view(array) for name, array in self.buffers.items()},
        )

    # --- other threads, and code that runs inside a step ----------------------------------------

    def __post_init__(self) -> None:
        self._guard = _Guard()

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold."""
        return vars(self.finite_copy())

    def __setstate__(self, held: dict[str, Any]) -> None:
        """Become the state that a copy or a pickle holds."""
        vars(self).update(held)
        self._guard = _Guard()

    def read(self, compute: Callable[[State], T]) -> T:
        """Return ``compute(state)`` for a state between two steps, whatever other threads train.

        If this thread itself is inside a step (a signal handler or a finaliser calls us), it is
        the state that the epoch began with.
        """
        guard = self._guard
        version = guard.version
        if version % 2 == 0:
            try:
                result = compute(self)
            except Exception:
                if guard.version == version:
                    raise
            else:
                if guard.version == version:
                    return result
        return guard.read_alone(self, compute)

    def change(self, work: Callable[[], T], before: State | None = None) -> T:
        """Return ``work()``, which changes this state while no other thread reads or changes it.

        Code that ``work`` is interrupted by, in the same thread, reads ``before`` instead; by
        default what ``set_safe`` was given.
        """
        return self._guard.change(work, before)

    def unchanged(self) -> AbstractContextManager[Any]:
        """Return a context in which no other thread changes the state."""
        held: AbstractContextManager[Any] = self._guard.lock.here()
        return held

    def set_safe(self, safe: State | None) -> None:
        """Name the whole, finite state that stands in for this one inside steps; None: none."""
        self._guard.safe = safe

    def training_lock(self) -> AbstractContextManager[Any]:
        """Return a lock for a training of this state; another thread's training waits for it.

        Raises
        ------
        BusyError
            If this thread is training the state already.
        """
        lock = self._guard.training
        if lock.is_mine:
            raise BusyError(
                "state is being trained by the call of train that runs this code (a callback, a "
                "signal handler or a finaliser). Train state.copy(), or wait until that call has "
                "ended."
            )
        held: AbstractContextManager[Any] = lock.here()
        return held

    def overwrite(self, other: State) -> None:
        """Copy another state into this one, into the existing arrays if they fit.

        No other thread may use this state meanwhile; the other one may be in use.
        """
        other.read(self._overwrite)

    def _overwrite(self, other: State) -> None:
        self.theta = _moved(self.theta, other.theta)
        self.seed, self.step = other.seed, other.step
        self.optimizer_state = _moved(self.optimizer_state, other.optimizer_state)
        if self.buffers or other.buffers:
            self.buffers = {n: _moved(self.buffers.get(n), a) for n, a in other.buffers.items()}

    def restart_population_statistics(self) -> None:
        """Start a new mean of batch statistics; the old one is kept until the first batch."""
        for name in self.buffers:
            if name.endswith(".weight"):
                self.buffers[name] = 0 * self.buffers[name]

    def move_to(self, theta: Array) -> None:
        """Set θ in place."""

        def move() -> None:
            self.theta[...] = theta

        self.change(move)

    def restore(self, other: State) -> None:
        """Copy another state into this one, θ in place, so that views of θ stay valid."""
        self.change(lambda: self._restore(other), other)

    def _restore(self, other: State) -> None:
        self.theta[...] = other.theta
        self.seed, self.step = other.seed, other.step
        self.optimizer_state = _copied(other.optimizer_state)
        self.buffers = {name: _copied(array) for name, array in other.buffers.items()}


class _Guard:
    """What keeps the readers of a state from half a step.

    Readers take no lock: they compute, and compute again if ``version`` shows that the state was
    changed meanwhile. It is odd during a change.
    """

    __slots__ = ("before", "lock", "safe", "training", "version", "writer")

    def __init__(self) -> None:
        self.version = 0
        self.lock, self.training = ForkSafeLock(), ForkSafeLock()
        self.writer: int | None = None  # the thread that changes the state
        self.before: State | None = None  # what that thread reads meanwhile
        self.safe: State | None = None

    def change(self, work: Callable[[], T], before: State | None) -> T:
        with self.lock.here():
            if self.writer is not None:  # by a signal handler inside a change
                return work()
            try:
                self.before = self.safe if before is None else before
                self.writer = get_ident()
                _changing[id(self)] = self
                self.version |= 1
                return work()
            finally:
                self.version += self.version & 1
                self.writer = self.before = None
                _changing.pop(id(self), None)

    def read_alone(self, state: State, compute: Callable[[State], T]) -> T:
        """Compute while no other thread changes the state."""
        me = get_ident()
        if self.writer == me:
            return compute(state if self.before is None else self.before)
        if any(guard.writer == me for guard in list(_changing.values())):
            # Inside a step of another state, whose readers wait for this thread: do not wait, too.
            for _ in range(100):
                version, before = self.version, self.before
                result = compute(state if before is None else before)
                if version == self.version:
                    return result
        with self.lock.here():
            while True:
                if self.version % 2 == 1:
                    self._recover(state)
                version = self.version
                result = compute(state)
                if version == self.version:  # else a signal handler has trained it
                    return result

    def _recover(self, state: State) -> None:
        """End a change that was under way in another thread when this process was forked."""
        before, self.before = self.before, None
        self.writer, self.version = None, self.version + 1
        _changing.pop(id(self), None)
        if before is not None:
            state.restore(before)


_changing: dict[int, _Guard] = {}
"""The guards of states that are being changed."""


def _view(value: Any) -> Any:
    """Return a read-only view of a NumPy array, and a copy of another library's."""
    if type(value) is np.ndarray:
        view = value.view()
        view.flags.writeable = False
        return view
    if isinstance(value, tuple):
        return type(value)(*(_view(item) for item in value))
    return _copied(value)


def _copied(value: Any) -> Any:
    if type(value) is np.ndarray:  # the usual case, without the search for a namespace
        return value.copy("K")
    if isinstance(value, tuple):
        return type(value)(*(_copied(item) for item in value))
    if hasattr(value, "shape"):
        return array_namespace(value).asarray(value, copy=True)
    return value


def _moved(mine: Any, theirs: Any) -> Any:
    """Return a copy of ``theirs``, written into ``mine`` if shape and dtype agree."""
    kind = type(theirs)
    if kind is np.ndarray:
        if type(mine) is not kind or mine.dtype is not theirs.dtype:
            return theirs.copy("K")
        shape = theirs.shape
        if mine.shape != shape or not shape:
            return theirs.copy("K")
        mine[...] = theirs
        return mine
    if kind is int:
        return theirs
    if isinstance(theirs, tuple) and type(mine) is kind:
        return kind(*map(_moved, mine, theirs))
    return _copied(theirs)
