"""Signals that can wait for a moment: while steps are taken, and numbers belong together.

Training holds SIGINT and SIGTERM back until what it does can be left as it is, some hundredths of
a second at most, and then lets the handler that was there have them. It touches no handler but
Python's own, which raises ``KeyboardInterrupt``, and those that say that they can wait
(``Patient``), and only in the main thread. A second signal is not held back.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["Held", "Patient", "held_signals"]

Handler: TypeAlias = Callable[[int, Any], Any]

_NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


class Patient:
    """A handler of signals that may be called a moment later than its signal came."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> Any:
        """Call the handler."""
        return self.handler(number, frame)


class Held:
    """What came while signals were held back, and the handlers that wait for it."""

    def __init__(self) -> None:
        self.came: int | None = None
        self.waiting = True
        self.handlers: dict[int, Handler] = {}

    def note(self, number: int, frame: Any) -> None:
        """Hold a signal back; a second one, or one that need not wait, goes to its handler."""
        if self.waiting and self.came is None:
            self.came = number
        else:
            self.came = None
            self.handlers[number](number, frame)

    def deliver(self) -> None:
        """Hand on what came; the handler usually raises."""
        if self.came is not None:
            number, self.came = self.came, None
            self.handlers[number](number, None)

    @contextmanager
    def passed_on(self) -> Iterator[None]:
        """Hand signals on at once for a while: somebody else's code is running."""
        self.deliver()
        self.waiting = False
        try:
            yield
        finally:
            self.waiting = True


@contextmanager
def held_signals(*, wanted: bool = True) -> Iterator[Held]:
    """Hold signals back, if that is wanted; one that nobody asked for is handed on at the end."""
    held = Held()
    before: dict[int, Any] = {}
    if wanted and threading.current_thread() is threading.main_thread():
        for number in _NUMBERS:
            found = handler = signal.getsignal(number)
            inner = getattr(handler, "__self__", None)
            if isinstance(inner, Held):  # of a training in whose course this one runs
                handler = inner.handlers[number]
            if handler is signal.default_int_handler or isinstance(handler, Patient):
                held.handlers[number] = handler
                before[number] = found
                signal.signal(number, held.note)
    try:
        yield held
    finally:
        for number, handler in before.items():
            found = signal.signal(number, handler)
            if found != held.note:  # the handler has set another
                signal.signal(number, found)
        held.deliver()
