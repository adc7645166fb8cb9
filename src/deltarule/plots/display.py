"""The base of all displays: numbers that are drawn by ``plot``, as in scikit-learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from deltarule.plots.axes import axes_or_new

__all__ = ["Display"]

D = TypeVar("D", bound="Display")


class Display(ABC):
    """Numbers of a picture. ``plot(ax)`` draws them; ``ax_`` and ``figure_`` are what it drew on.

    The class methods ``from_…`` compute the numbers and draw at once.
    """

    ax_: Any
    figure_: Any

    def plot(self: D, ax: Any = None) -> D:
        """Draw on axes, or on those of a new figure; return the display.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        self._draw(self.ax_)
        return self

    @abstractmethod
    def _draw(self, ax: Any) -> None:
        """Draw on the axes."""
