"""Plots of a fitted model's results: learning curves, confusion matrices, predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import DataError
from deltarule.plots.axes import BLUE, GREY, ORANGE, axes_or_new, whole_epoch_ticks
from deltarule.training import History
from deltarule.utils.checks import numeric_array, shown

__all__ = ["plot_confusion_matrix", "plot_learning_curve", "plot_predictions"]


def plot_learning_curve(model: Any, ax: Any = None) -> Any:
    """Plot the training loss, and validation loss and score if there are any, by epoch.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor, or History
        The model or history to plot.
    ax : matplotlib Axes, optional
        The axes to draw on; a new figure by default.

    Returns
    -------
    ax : matplotlib Axes
        The axes of the loss. A score has a scale of its own on the right.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    SpecError
        If the user's settings of matplotlib stop it from starting.

    Notes
    -----
    A file ``matplotlibrc`` in the working directory is not read, unless the program has imported
    matplotlib before, whose settings are then the program's.

    Examples
    --------
    >>> from deltarule import History
    >>> ax = plot_learning_curve(History(loss=[1.0, 0.5], penalty=[0.0, 0.0]))
    >>> ax.get_xlabel()
    'epoch'
    """
    curves = _curves(model)
    ax = axes_or_new(ax)
    epochs = np.arange(1, len(curves["loss"]) + 1)
    lines = ax.plot(epochs, curves["loss"], color=BLUE, label="training loss")
    if curves["validation_loss"]:
        lines += ax.plot(
            epochs[: len(curves["validation_loss"])],
            curves["validation_loss"],
            color=BLUE,
            linestyle="--",
            label="validation loss",
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss", color=BLUE)
    if min(curves["loss"]) > 0:
        ax.set_yscale("log")
    whole_epoch_ticks(ax)
    if curves["validation_score"]:
        lines += _draw_score(ax, curves["validation_score"])
    ax.legend(
        handles=lines, loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=len(lines),
        columnspacing=1.2, handlelength=1.6, frameon=False,
    )  # fmt: skip
    ax.grid(axis="x", alpha=0.25)
    return ax


def plot_confusion_matrix(y_true: Any, y_pred: Any, ax: Any = None) -> Any:
    """Plot a confusion matrix: true classes in rows, predicted classes in columns.

    Parameters
    ----------
    y_true, y_pred : (n,) array-like
        Class labels.
    ax : matplotlib Axes, optional
        The axes to draw on; a new figure by default.

    Returns
    -------
    ax : matplotlib Axes
        The axes. Cells show counts; their shades show fractions of the row.
    """
    from sklearn.metrics import confusion_matrix
    from sklearn.utils.multiclass import unique_labels

    for name, given in (("y_true", y_true), ("y_pred", y_pred)):
        if not hasattr(given, "shape") and not isinstance(given, list | tuple):
            raise DataError(f"{name} must be an array of class labels; got {shown(given)}.")
        kind = getattr(getattr(given, "dtype", None), "kind", "")
        if kind == "f" and not np.isfinite(given).all():
            raise DataError(f"{name} must be class labels; got NaN or infinity.")
    try:
        labels = unique_labels(y_true, y_pred)
        if len(labels) == 0 or np.shape(y_true)[0] != np.shape(y_pred)[0]:
            raise ValueError(f"got {len(y_true)} and {len(y_pred)} labels")
    except (TypeError, ValueError) as error:
        raise DataError(
            "y_true and y_pred must be class labels of one type, as many of each, at least one: "
            f"{error}."
        ) from error
    ax = axes_or_new(ax)
    if len(labels) > 1:
        counts = confusion_matrix(y_true, y_pred, labels=labels)
    else:  # scikit-learn warns about a single class, without need
        counts = np.array([[len(y_true)]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [str(label) for label in labels]
    turned = max(len(name) for name in names) > 4 and len(names) > 4
    ax.set_xticks(range(len(names)), names, rotation=45 if turned else 0)
    ax.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(count), ha="center", va="center", color=ink)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(f"accuracy {np.trace(counts) / counts.sum():.3f}")
    return ax


def plot_predictions(y_true: Any, y_pred: Any, ax: Any = None) -> Any:
    """Plot predicted against true numbers, with the diagonal of perfect predictions.

    Parameters
    ----------
    y_true, y_pred : (n,) array-like
        True and predicted numbers.
    ax : matplotlib Axes, optional
        The axes to draw on; a new figure by default.

    Returns
    -------
    ax : matplotlib Axes
        The axes of a scatter plot with equal scales.
    """
    from sklearn.metrics import r2_score

    true, predicted = (
        numeric_array(name, given).ravel()
        for name, given in (("y_true", y_true), ("y_pred", y_pred))
    )
    if len(true) != len(predicted) or len(true) == 0:
        raise DataError(
            "y_true and y_pred must have the same number of values, at least one; got "
            f"{len(true)} and {len(predicted)}."
        )
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise DataError("y_true and y_pred must be finite; got NaN or infinity.")
    ax = axes_or_new(ax)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    ax.plot(ends, ends, color=GREY, linewidth=1)
    ax.scatter(true, predicted, s=14, alpha=0.6, color=BLUE, edgecolors="none")
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlabel("true")
    ax.set_ylabel("predicted")
    ax.set_title(f"R² {r2_score(true, predicted):.3f}")
    return ax


def _curves(model: Any) -> dict[str, list[float]]:
    if isinstance(model, History):
        curves = {
            "loss": list(model.cost),
            "validation_loss": list(model.validation_loss),
            "validation_score": list(model.validation_score),
        }
    elif hasattr(model, "loss_curve_"):
        scores = getattr(model, "validation_scores_", None)
        losses = getattr(model, "validation_loss_curve_", None)
        curves = {
            "loss": list(model.loss_curve_),
            "validation_loss": [] if losses is None else list(losses),
            "validation_score": [] if scores is None else list(scores),
        }
    else:
        raise TypeError(
            f"model must be a fitted deltarule estimator or a History; got {type(model).__name__}. "
            "Call fit first, or pass what train() returned."
        )
    if not curves["loss"]:
        raise ValueError(
            "model has no epochs to plot: it was not trained. Call fit or train first."
        )
    return curves


def _draw_score(ax: Any, scores: list[float]) -> list[Any]:
    right = ax.twinx()
    epochs = np.arange(1, len(scores) + 1)
    lines: list[Any] = right.plot(epochs, scores, color=ORANGE, label="validation score")
    right.set_ylabel("score", color=ORANGE)
    if np.isfinite(scores).any():
        best = int(np.nanargmax(scores))
        right.axvline(best + 1, color=GREY, linestyle=":", linewidth=1)
        lines += right.plot(
            best + 1, scores[best], "o", color=ORANGE, label=f"best: {scores[best]:.3f}"
        )
    return lines
