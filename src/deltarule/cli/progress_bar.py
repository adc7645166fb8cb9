"""A progress bar of the epochs of a fit, with the latest loss and validation score."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from deltarule.utils.progress import TerminalBar

__all__ = ["EpochBar"]


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


def _latest_metrics(estimator: Any) -> str:
    metrics = f"loss {estimator.loss_curve_[-1]:#.4g}"
    scores = getattr(estimator, "validation_scores_", None)
    return f"{metrics}  validation score {scores[-1]:#.4g}" if scores else metrics
