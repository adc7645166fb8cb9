"""Axes, colours and the import of matplotlib, which all plots share."""

from __future__ import annotations

import os
from traceback import walk_tb
from typing import Any

from deltarule.errors import DeltaruleError, SpecError
from deltarule.utils.checks import shown
from deltarule.utils.context import error_context, needing
from deltarule.utils.settings_files import without_settings_file

__all__ = ["BLUE", "GREY", "ORANGE", "axes_or_new", "import_matplotlib", "whole_epoch_ticks"]

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#718096"
"""Colours that stay apart for every kind of colour vision, and in print."""


def whole_epoch_ticks(ax: Any) -> None:
    """Place the ticks of the x axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def axes_or_new(ax: Any) -> Any:
    """Return the axes passed, or those of a new figure if None was passed."""
    if ax is not None:
        if not all(callable(getattr(ax, name, None)) for name in ("plot", "imshow", "set_xlabel")):
            raise SpecError(f"ax must be matplotlib Axes, or None; got {shown(ax)}.")
        return ax
    import_matplotlib()
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 4.4), layout="constrained")[1]


def import_matplotlib() -> Any:
    """Return matplotlib, imported without the settings of the working directory.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    SpecError
        If it does not start with the settings of the user's own file or environment.
    """
    with (
        needing("plots", "plots need matplotlib"),
        error_context((Exception, _settings_error), unless=(ImportError, DeltaruleError)),
        without_settings_file("matplotlib", "matplotlibrc"),
    ):
        import matplotlib
    return matplotlib


def _settings_error(error: Exception) -> SpecError:
    reason = " ".join((str(error) or type(error).__name__).split()).rstrip(".")
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    read = [f.f_locals["fname"] for f in frames if f.f_code.co_name == "_rc_params_in_file"]
    if read:
        return SpecError(
            f"matplotlib does not start with its settings in {read[0]}: {reason}. Correct that "
            f"file, or set the environment variable MATPLOTLIBRC to {os.devnull}."
        )
    names = ("MPLBACKEND", "MPLCONFIGDIR", "MATPLOTLIBRC")
    given = ", ".join(f"{name}={os.environ[name]!r}" for name in names if name in os.environ)
    return SpecError(
        f"matplotlib does not start with {given or 'its settings'}: {reason}. Correct or unset it."
    )
