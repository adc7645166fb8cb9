"""The plots of a training, in their own folder."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from deltarule.errors import OutputError
from deltarule.storage import check_writable, write_atomically
from deltarule.tables import Evaluation, TableModel
from deltarule.utils.context import error_context, system_reason

__all__ = ["check_plots", "draw_plots"]

_CURVE, _CONFUSION, _SCATTER = "learning-curve.png", "confusion-matrix.png", "predictions.png"


def check_plots(folder: Path, *, overwrite: bool) -> None:
    """Create the folder; refuse plots that cannot be drawn or written, before any work is done."""
    from deltarule.plots.axes import import_matplotlib

    import_matplotlib().use("agg")

    def no_folder(error: OSError) -> OutputError:
        return OutputError(f"cannot create the folder {folder}: {system_reason(error)}")

    with error_context((OSError, no_folder)):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (_CURVE, _CONFUSION, _SCATTER):
        check_writable(folder / name, overwrite=overwrite)


def draw_plots(
    model: TableModel, evaluation: Evaluation, folder: Path, *, overwrite: bool
) -> Iterator[Path]:
    """Draw a training and its last evaluation; yield the path of each picture written."""
    from deltarule import plots

    y_true, y_pred = evaluation.y_true, evaluation.y_pred
    pictures: dict[str, Callable[[], Any]] = {
        _CURVE: lambda: plots.plot_learning_curve(model.estimator)
    }
    if evaluation.task == "classification":
        pictures[_CONFUSION] = lambda: plots.plot_confusion_matrix(y_true, y_pred)
    else:
        pictures[_SCATTER] = lambda: plots.plot_predictions(y_true, y_pred)
    for name, picture in pictures.items():
        path = folder / name
        with error_context((Exception, partial(_undrawn, path)), unless=(MemoryError, OutputError)):
            drawn = _png(picture())
        write_atomically(path, drawn, overwrite=overwrite)
        yield path


def _undrawn(path: Path, error: Exception) -> Exception:
    """Return the error to raise for a plot that the user's settings of matplotlib may spoil."""
    import matplotlib

    settings = Path(matplotlib.matplotlib_fname())
    if settings.is_relative_to(matplotlib.get_data_path()):  # its own: not the user's fault
        return error
    reason = " ".join((str(error) or type(error).__name__).split()).rstrip(".")
    return OutputError(
        f"matplotlib cannot draw {path} with its settings in {settings}: {reason}. Correct that "
        f"file, or set the environment variable MATPLOTLIBRC to {os.devnull}"
    )


def _png(axes: Any) -> bytes:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", dpi=150)
    pyplot.close(axes.figure)
    return buffer.getvalue()
