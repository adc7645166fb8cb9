"""Ctrl-C and SIGTERM: the command ends soon, in order, and its exit code says why."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deltarule.signals import Patient

__all__ = ["INTERRUPTED", "TERMINATED", "Signals", "Terminated", "watched"]

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM came. No handler of errors catches it; temporaries are removed on its way out."""


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
