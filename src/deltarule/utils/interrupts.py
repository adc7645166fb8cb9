"""Deferral of SIGINT and SIGTERM until training is in a consistent state.

Training defers these signals while it changes its state, for some hundredths of a second at most,
and then passes them to the handler that was installed before. It defers only in the main thread,
and only for two kinds of handlers: Python's own, which raises ``KeyboardInterrupt``, and those that
are marked with ``DeferrableHandler``. A second signal is passed on at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

__all__ = ["DeferrableHandler", "DeferredSignals", "deferred_signals"]

Handler: TypeAlias = Callable[[int, Any], Any]

_NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


class DeferrableHandler:
    """Mark a signal handler as one that may be called a moment after its signal arrived."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> Any:
        """Call the handler."""
        return self.handler(number, frame)


class DeferredSignals:
    """The pending signal, and the handlers that were installed before."""

    def __init__(self) -> None:
        self.came: int | None = None
        self.waiting = True
        self.handlers: dict[int, Handler] = {}

    def note(self, number: int, frame: Any) -> None:
        """Defer a signal. A second one, or one outside a deferral, goes to its handler at once."""
        if self.waiting and self.came is None:
            self.came = number
        else:
            self.came = None
            self.handlers[number](number, frame)

    def deliver(self) -> None:
        """Pass a pending signal to its handler, which usually raises."""
        if self.came is not None:
            number, self.came = self.came, None
            self.handlers[number](number, None)

    def passed_on(self) -> AbstractContextManager[None]:
        """Pass signals on at once inside this context, in which a user's code runs."""
        return _PassedOn(self)


class _PassedOn:
    """The context of ``passed_on``: a class, because a generator takes five times as long."""

    __slots__ = ("_signals",)

    def __init__(self, signals: DeferredSignals) -> None:
        self._signals = signals

    def __enter__(self) -> None:
        self._signals.deliver()
        self._signals.waiting = False

    def __exit__(self, *error: object) -> None:
        self._signals.waiting = True


@contextmanager
def deferred_signals(*, wanted: bool = True) -> Iterator[DeferredSignals]:
    """Defer SIGINT and SIGTERM inside this context, if ``wanted``.

    A signal that is still pending on exit is passed to its original handler.
    """
    held = DeferredSignals()
    before: dict[int, Any] = {}
    if wanted and threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            found = handler = signal.getsignal(number)
            inner = getattr(handler, "__self__", None)
            if isinstance(inner, DeferredSignals):  # this training runs inside another one
                handler = inner.handlers[number]
            if handler is signal.default_int_handler or isinstance(handler, DeferrableHandler):
                held.handlers[number] = handler
                before[number] = found
                signal.signal(number, held.note)
    try:
        yield held
    finally:
        for number, handler in before.items():
            found = signal.signal(number, handler)
            if found != held.note:  # a handler has installed another one
                signal.signal(number, found)
        held.deliver()
