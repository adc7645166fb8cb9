"""The plots of a table and of a training, in their own folder."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltarule.errors import OutputError
from deltarule.storage import check_writable, write_atomically
from deltarule.utils.context import error_context, system_reason

if TYPE_CHECKING:
    from deltarule.tables import DataValues, Evaluation, TableModel

__all__ = ["DATA_PICTURE", "TRAINING_PICTURES", "check_plots", "draw_data_plot", "draw_plots"]

DATA_PICTURE = "data.png"
_CURVE, _CONFUSION, _SCATTER = "learning-curve.png", "confusion-matrix.png", "predictions.png"
TRAINING_PICTURES = (DATA_PICTURE, _CURVE, _CONFUSION, _SCATTER)
"""The pictures that may be drawn of a training."""


def check_plots(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Create the folder; refuse plots that cannot be drawn or written, before any work is done."""
    from deltarule.plots.axes import import_matplotlib

    import_matplotlib().use("agg")

    def no_folder(error: OSError) -> OutputError:
        return OutputError(f"cannot create the folder {folder}: {system_reason(error)}")

    with error_context((OSError, no_folder)):
        folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        check_writable(folder / name, overwrite=overwrite)


def draw_data_plot(values: DataValues, folder: Path, *, overwrite: bool) -> Path:
    """Draw the values of a table; return the path of the picture."""
    from matplotlib import style

    from deltarule.cli.data_picture import draw_data

    path = folder / DATA_PICTURE
    with style.context("default"):  # whatever the user's settings are
        picture = _png(draw_data(values))
    write_atomically(path, picture, overwrite=overwrite)
    return path


def draw_plots(
    model: TableModel, evaluation: Evaluation, folder: Path, *, overwrite: bool
) -> Iterator[Path]:
    """Draw a training and its last evaluation; yield the path of each picture written."""
    from deltarule import plots

    y_true, y_pred = evaluation.y_true, evaluation.y_pred
    pictures: dict[str, Callable[[], Any]] = {
        _CURVE: lambda: plots.plot_learning_curve(model.member(1).estimator)
    }
    if evaluation.task == "classification":
        pictures[_CONFUSION] = lambda: plots.plot_confusion_matrix(y_true, y_pred)
    else:
        pictures[_SCATTER] = lambda: plots.plot_predictions(y_true, y_pred)
    for name, picture in pictures.items():
        path = folder / name
        with error_context((Exception, partial(_undrawn, path)), unless=(MemoryError, OutputError)):
            drawn = _png(picture().figure)
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


def _png(figure: Any) -> bytes:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names in letters that the font lacks
        figure.savefig(buffer, format="png", dpi=150)
    pyplot.close(figure)
    return buffer.getvalue()
