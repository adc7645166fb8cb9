"""Ctrl-C and SIGTERM: the command ends cleanly, and its exit code says why."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from deltarule.utils.interrupts import DeferrableHandler

__all__ = ["INTERRUPTED", "CutOff", "Interrupted", "Signals", "Terminated", "leaving", "watched"]

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class CutOff(BaseException):
    """A signal that ends the command; handlers of errors do not catch it.

    Temporary files are removed as it passes.

    Parameters
    ----------
    left : str
        What the command leaves on the disk.
    """

    code: ClassVar[int]
    word: ClassVar[str]

    def __init__(self, left: str = "") -> None:
        super().__init__(f"{self.word} before the end" + (f"; {left}" if left else ""))


class Interrupted(CutOff):
    """Ctrl-C, with a message about what the command leaves on the disk."""

    code, word = INTERRUPTED, "interrupted"


class Terminated(CutOff):
    """SIGTERM."""

    code, word = TERMINATED, "terminated"


@contextmanager
def leaving(left: str) -> Iterator[None]:
    """Report what the command leaves on the disk if a signal ends it inside this context."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(left) from None
    except Terminated:
        raise Terminated(left) from None


class Signals:
    """The handlers of both signals, and whether Ctrl-C was pressed.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C was pressed, even if the exception was caught: training catches it, and
        returns the best network so far.
    """

    def __init__(self) -> None:
        self.interrupted = False

    def interrupt(self, number: int, frame: Any) -> None:
        """Record Ctrl-C, and raise KeyboardInterrupt, as Python does."""
        self.interrupted = True
        raise KeyboardInterrupt

    def terminate(self, number: int, frame: Any) -> None:
        """Raise `Terminated`, once."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated


@contextmanager
def watched() -> Iterator[Signals]:
    """Handle both signals inside this context; only the main thread receives signals.

    Training may defer them until its state is consistent (``deltarule.utils.interrupts``).
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, DeferrableHandler(signals.interrupt)),
        signal.SIGTERM: signal.signal(signal.SIGTERM, DeferrableHandler(signals.terminate)),
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
