"""A progress bar of the epochs of a fit, with the latest loss and validation score."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console

from deltarule.utils.progress import TerminalBar

if TYPE_CHECKING:
    from deltarule.tables.tuning import Tried

__all__ = ["EpochBar", "SearchBar"]


class EpochBar:
    """A callback in scikit-learn's sense that draws a progress bar on the standard error stream.

    Parameters
    ----------
    epochs : int
        The maximum number of epochs of the fit.
    console : rich.console.Console, optional
        Where to draw.
    """

    def __init__(self, epochs: int, console: Console | None = None) -> None:
        self._epochs = epochs
        self._done = 0
        self._console = console or Console(stderr=True)

    def setup(self, estimator: Any, context: Any) -> None:
        """Draw the empty bar."""
        self._bar = TerminalBar(self._epochs, self._console)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing: an epoch is shown after it has ended."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Show the epoch that has ended, and return False: the fit need not stop."""
        if context.parent is not None:
            self._done += 1
            self._bar.update(self._done, _latest_metrics(estimator))
        return False

    def teardown(self, estimator: Any, context: Any) -> None:
        """Show the bar as full, since the fit has ended."""
        self._bar.stop()


class SearchBar:
    """A bar that shows how much of a search's time is over, and the best loss so far.

    Parameters
    ----------
    seconds : float
        How long the search may take.
    console : rich.console.Console, optional
        Where to draw.
    """

    def __init__(self, seconds: float, console: Console | None = None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._begin = monotonic()
        # No thread of its own draws it, so that a fork is safe and user output is not redirected.
        self._progress = Progress(
            TextColumn("search"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("search", total=seconds, said="fitting the defaults")

    def __enter__(self) -> SearchBar:
        """Draw the bar."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

    def show(self, tried: Tried, best: Tried) -> None:
        """Show that a trial has ended."""
        said = f"{tried.number + 1} tried, best loss {best.loss:.5g} (trial {best.number + 1})"
        self._progress.update(self._task, completed=monotonic() - self._begin, said=said)
        self._progress.refresh()


def _latest_metrics(estimator: Any) -> str:
    metrics = f"loss {estimator.loss_curve_[-1]:#.4g}"
    scores = getattr(estimator, "validation_scores_", None)
    return f"{metrics}  validation score {scores[-1]:#.4g}" if scores else metrics
