"""Ctrl-C and SIGTERM: the command ends soon, in order, and its exit code says why."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from deltarule.signals import Patient

__all__ = ["INTERRUPTED", "CutOff", "Interrupted", "Signals", "Terminated", "leaving", "watched"]

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class CutOff(BaseException):
    """A signal ends the command. No handler of errors catches it; temporaries go on its way out.

    Parameters
    ----------
    left : str
        What there is now, for the user.
    """

    code: ClassVar[int]
    word: ClassVar[str]

    def __init__(self, left: str = "") -> None:
        super().__init__(f"{self.word} before the end" + (f"; {left}" if left else ""))


class Interrupted(CutOff):
    """Ctrl-C came, and there is something to say about it; else it is a KeyboardInterrupt."""

    code, word = INTERRUPTED, "interrupted"


class Terminated(CutOff):
    """SIGTERM came."""

    code, word = TERMINATED, "terminated"


@contextmanager
def leaving(left: str) -> Iterator[None]:
    """Say what there is if a signal ends the command here."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(left) from None
    except Terminated:
        raise Terminated(left) from None


class Signals:
    """What has come so far.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C came, even if somebody took the exception: training does, and gives the best
        network so far.
    """

    def __init__(self) -> None:
        self.interrupted = False

    def interrupt(self, number: int, frame: Any) -> None:
        """Note Ctrl-C, and raise what Python raises."""
        self.interrupted = True
        raise KeyboardInterrupt

    def terminate(self, number: int, frame: Any) -> None:
        """Leave, once."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated


@contextmanager
def watched() -> Iterator[Signals]:
    """Handle both signals while a command runs; signals reach the main thread alone.

    Training may let them wait until what it does can be left as it is (``deltarule.signals``).
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, Patient(signals.interrupt)),
        signal.SIGTERM: signal.signal(signal.SIGTERM, Patient(signals.terminate)),
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
