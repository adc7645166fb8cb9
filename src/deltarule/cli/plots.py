"""The plots of a table and of a training, in their own folder."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import OutputError
from deltarule.storage import check_writable, write_atomically
from deltarule.utils.context import error_context, system_reason

if TYPE_CHECKING:
    from deltarule.tables import DataValues, Evaluation, Table, TableModel

__all__ = [
    "DATA_PICTURE",
    "MODEL_PICTURES",
    "TRAINING_PICTURES",
    "check_plots",
    "draw_data_plot",
    "draw_model_plots",
    "draw_plots",
]

DATA_PICTURE = "data.png"
_CURVE, _CONFUSION, _SCATTER = "learning-curve.png", "confusion-matrix.png", "predictions.png"
_WEIGHTS, _THRESHOLDS = "weights.png", "thresholds.png"
_ACTIVATIONS, _GRADIENTS = "activations.png", "gradients.png"
TRAINING_PICTURES = (DATA_PICTURE, _CURVE, _CONFUSION, _SCATTER, _WEIGHTS)
"""The pictures that may be drawn of a training."""
MODEL_PICTURES = (*TRAINING_PICTURES[1:], _THRESHOLDS, _ACTIVATIONS, _GRADIENTS)
"""The pictures that may be drawn of a model and a table."""

_ROWS = 500  # through the network, for its activations and gradients


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
    yield from _drawn(_of_results(model.member(1), evaluation), folder, overwrite=overwrite)


def draw_model_plots(
    model: TableModel, table: Table, member: int, folder: Path, *, overwrite: bool
) -> Iterator[Path]:
    """Draw a model's results on a table, and the inside of one of its networks, by its number.

    The path of each picture written is yielded.
    """
    from deltarule import plots
    from deltarule.network.trace import trace_pass
    from deltarule.tables.target_codes import encode_target

    one = model.member(member)
    predicted, target = model.predict(table), model.target
    pictures = _of_results(one, model.evaluate(table))
    known, rows = encode_target(target, table, model.preprocessing.missing)
    chosen = np.unique(np.linspace(0, len(rows) - 1, _ROWS).astype(np.intp))
    _, network, state, block, *_ = one.explained(table, [int(row) for row in rows[chosen]])
    trained = block.n_rows >= network.tape.min_rows  # batch norm needs two rows
    trace = trace_pass(network.tape, state, block, training=trained)
    if predicted.probabilities is not None and len(model.labels) == 2:
        score = predicted.probabilities[rows, 1]
        if 0 < np.sum(known) < len(known):
            pictures[_THRESHOLDS] = lambda: plots.ThresholdDisplay.from_predictions(known, score)
    pictures[_ACTIVATIONS] = lambda: plots.ActivationHistogramDisplay.from_trace(trace)
    pictures[_GRADIENTS] = lambda: plots.GradientNormDisplay.from_trace(trace)
    yield from _drawn(pictures, folder, overwrite=overwrite)


def _of_results(one: TableModel, evaluation: Evaluation) -> dict[str, Callable[[], Any]]:
    """Return what draws a network's training and a model's evaluation, by the picture's name."""
    from deltarule import plots

    y_true, y_pred = evaluation.y_true, evaluation.y_pred
    pictures: dict[str, Callable[[], Any]] = {
        _CURVE: lambda: plots.plot_learning_curve(one.estimator)
    }
    if evaluation.task == "classification":
        pictures[_CONFUSION] = lambda: plots.plot_confusion_matrix(y_true, y_pred)
    else:
        pictures[_SCATTER] = lambda: plots.plot_predictions(y_true, y_pred)
    pictures[_WEIGHTS] = lambda: plots.WeightsDisplay.from_estimator(one.estimator)
    return pictures


def _drawn(
    pictures: dict[str, Callable[[], Any]], folder: Path, *, overwrite: bool
) -> Iterator[Path]:
    for name, picture in pictures.items():
        path = folder / name
        with error_context((Exception, partial(_undrawn, path)), unless=(MemoryError, OutputError)):
            made = picture()
            drawn = _png(getattr(made, "figure_", None) or made.figure)
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
