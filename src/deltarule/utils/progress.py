"""One bar of a training's progress, in a terminal by rich and in a notebook by its own display."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["NotebookBar", "ProgressBar", "TerminalBar", "progress_bar", "stopped"]

_BETWEEN = 0.1  # seconds between two drawings


class ProgressBar(Protocol):
    """A bar of the epochs that are done."""

    def update(self, done: int, numbers: str) -> None:
        """Show the epochs done, and the newest numbers."""

    def stop(self) -> None:
        """Draw the bar a last time, and leave it; a second call does nothing."""


def progress_bar(total: int, stream: TextIO) -> ProgressBar | None:
    """Return a bar for a stream that a person watches: a terminal, or a notebook's output.

    None for a pipe or a file.
    """
    if _in_notebook():
        return NotebookBar(total)
    if not getattr(stream, "isatty", bool)():  # a stream of the user may have no such method
        return None
    from rich.console import Console

    return TerminalBar(total, Console(file=stream))


@contextmanager
def stopped(bar: ProgressBar | None) -> Iterator[None]:
    """Stop a bar when this context ends, in whatever way."""
    try:
        yield
    finally:
        if bar is not None:
            bar.stop()


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel; nothing is imported to find out."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return getattr(running, "kernel", None) is not None


class TerminalBar:
    """A bar in a terminal.

    Parameters
    ----------
    total : int
        The epochs at most.
    console : rich.console.Console
        Where to draw.
    """

    def __init__(self, total: int, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        # No thread of its own draws it, so that a fork is safe and user output is not redirected.
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("epoch {task.completed}/{task.total}  {task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("training", total=total, numbers="")
        self._progress.start()
        self._drawn, self._stopped = monotonic(), False

    def update(self, done: int, numbers: str) -> None:
        """Show the epochs done, and the newest numbers."""
        self._progress.update(self._task, completed=done, numbers=numbers)
        if monotonic() - self._drawn >= _BETWEEN:
            self._drawn = monotonic()
            self._progress.refresh()

    def stop(self) -> None:
        """Draw the bar a last time, with the epochs that there were, and leave it."""
        if not self._stopped:
            self._stopped = True
            done = self._progress.tasks[0].completed
            self._progress.update(self._task, total=max(done, 1))
            self._progress.refresh()
            self._progress.stop()


class NotebookBar:
    """A bar in a notebook's output, which every front end shows without an extension.

    Parameters
    ----------
    total : int
        The epochs at most.
    """

    def __init__(self, total: int) -> None:
        self._total, self._begun = total, monotonic()
        self._drawn, self._stopped = self._begun, False
        self._done, self._numbers = 0, ""
        display = import_module("IPython.display").display
        self._handle: Any = display({"text/html": self._html()}, raw=True, display_id=True)

    def update(self, done: int, numbers: str) -> None:
        """Show the epochs done, and the newest numbers."""
        self._done, self._numbers = done, numbers
        if monotonic() - self._drawn >= _BETWEEN:
            self._drawn = monotonic()
            self._draw()

    def stop(self) -> None:
        """Draw the bar a last time, with the epochs that there were, and leave it."""
        if not self._stopped:
            self._stopped, self._total = True, max(self._done, 1)
            self._draw()

    def _draw(self) -> None:
        self._handle.update({"text/html": self._html(), "text/plain": self._says()}, raw=True)

    def _says(self) -> str:
        seconds = monotonic() - self._begun
        said = f"epoch {self._done}/{self._total}  {self._numbers}  {_clock(seconds)}"
        if 0 < self._done < self._total:
            said += f", {_clock(seconds / self._done * (self._total - self._done))} left"
        return said

    def _html(self) -> str:
        return (
            f'<progress max="{self._total}" value="{self._done}" style="width:16em"></progress> '
            f"{escape(self._says())}"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
