"""Learning curves by epoch and by training-set size, for any estimators (item E7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics._inputs import Floats, check_estimator, check_rows
from deltarule.metrics.costs import Cost, as_scorer, to_cost
from deltarule.metrics.validation import check_random_seed, make_folds
from deltarule.utils.checks import check_between, numeric_array, shown

__all__ = [
    "LearningCurve",
    "epoch_curve",
    "plot_learning_curves",
    "separation_epoch",
    "size_curve",
]

_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b7791f", "#718096")


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The cost on training and validation rows, by epoch or by training-set size.

    Attributes
    ----------
    unit : {"epoch", "rows"}
        The unit of ``at``.
    at : (m,) array of int
        Epochs, counted from 1, or numbers of rows.
    training, validation : (m,) arrays
        Mean costs; ``validation`` is empty if there were no validation rows.
    training_std, validation_std : (m,) arrays
        Standard deviations over the folds; empty for curves by epoch.
    """

    unit: str
    at: npt.NDArray[np.int64]
    training: Floats
    validation: Floats
    training_std: Floats
    validation_std: Floats

    def __str__(self) -> str:
        lines = [f"{self.unit:>8}{'training':>14}{'validation':>14}"]
        for i, count in enumerate(self.at):
            held = f"{self.validation[i]:>14.6g}" if len(self.validation) else f"{'':>14}"
            lines.append(f"{count:>8}{self.training[i]:>14.6g}{held}".rstrip())
        return "\n".join(lines)


def epoch_curve(model: Any) -> LearningCurve:
    """Return the loss of a trained model by epoch (item E7).

    Parameters
    ----------
    model : History, or fitted estimator with ``loss_curve_``
        The result of ``train``, or an MLP of deltarule or scikit-learn; deltarule's has a
        validation loss if ``early_stopping`` was on.

    Raises
    ------
    SpecError
        If the model has no history of epochs.
    DataError
        If the history is empty.

    Examples
    --------
    >>> from deltarule import History
    >>> print(epoch_curve(History(loss=[1.0, 0.5], validation_loss=[1.1, 0.7])))
       epoch      training    validation
           1             1           1.1
           2           0.5           0.7
    """
    training, validation = _losses(model)
    none = np.empty(0)
    at = np.arange(1, len(training) + 1, dtype=np.int64)
    return LearningCurve("epoch", at, training, validation, none, none)


def size_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sizes: npt.ArrayLike = (0.1, 0.325, 0.55, 0.775, 1.0),
    cost: Cost = None,
    folds: Any = 5,
    seed: int = 0,
) -> LearningCurve:
    """Return the cost by training-set size, by :func:`sklearn.model_selection.learning_curve`.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Cloned and fitted for each size and fold. With the same ``seed``, other estimators get the
        same rows.
    X, y : arrays
        Rows and targets.
    sizes : array-like, default=(0.1, 0.325, 0.55, 0.775, 1.0)
        Fractions of the training folds, or numbers of rows.
    cost, folds, seed
        As for :func:`cross_validated_cost`.

    Raises
    ------
    SpecError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> curve = size_curve(Ridge(), *load_diabetes(return_X_y=True), sizes=[50, 350])
    >>> curve.at.tolist(), bool(curve.validation[1] < curve.validation[0])
    ([50, 350], True)
    """
    from sklearn.model_selection import learning_curve

    check_estimator("estimator", estimator, "fit", "predict")
    check_rows(X, y)
    check_random_seed(seed)
    counts = numeric_array("sizes", sizes)
    if counts.ndim != 1 or len(counts) == 0 or not (np.isfinite(counts) & (counts > 0)).all():
        raise SpecError(
            "sizes must be a list of fractions in (0, 1] or of numbers of rows; got "
            f"{shown(sizes)}."
        )
    at, training, validation = learning_curve(
        estimator,
        X,
        y,
        train_sizes=counts,
        scoring=as_scorer(cost),
        cv=make_folds(estimator, y, folds, seed),
        shuffle=True,
        random_state=seed,
        error_score="raise",
    )
    seen, unseen = to_cost(cost, training), to_cost(cost, validation)
    return LearningCurve(
        "rows",
        np.asarray(at, dtype=np.int64),
        seen.mean(axis=1),
        unseen.mean(axis=1),
        seen.std(axis=1),
        unseen.std(axis=1),
    )


def separation_epoch(model: Any, tolerance: float = 0.0) -> int | None:
    """Return the epoch at which training and validation loss separate, or None (item R4).

    It is t* = argmin L_val (the first minimum), if the training loss is lower at the last finite
    epoch than at t*, and the gap L_val − L_train is larger by more than ``tolerance``: what the
    model learned after t* did not generalise (Ayrapetyan §4.3). Each loss is compared with the
    best one so far, not with that of k epochs ago (erratum E-z).

    Parameters
    ----------
    model : History
        A history with a validation loss, or a fitted estimator that has one.
    tolerance : float, default=0.0
        The least increase of the gap, ≥ 0.

    Raises
    ------
    SpecError
        If ``tolerance`` is negative.
    DataError
        If there is no validation loss, or no finite epoch.

    Examples
    --------
    >>> from deltarule import History
    >>> seen, unseen = [1.0, 0.6, 0.4, 0.2], [1.1, 0.8, 0.9, 1.0]
    >>> separation_epoch(History(loss=seen, validation_loss=unseen))
    2
    """
    bound = check_between("tolerance", tolerance, 0.0, open_high=True)
    training, validation = _losses(model)
    if len(validation) == 0:
        raise DataError(
            "model has no validation loss to compare the training loss with. "
            "Train with validation=(X, y)."
        )
    n = min(len(training), len(validation))
    finite = np.flatnonzero(np.isfinite(training[:n]) & np.isfinite(validation[:n]))
    if len(finite) == 0:
        raise DataError("model has no epoch with finite losses. Lower the learning rate.")
    seen, unseen = training[finite], validation[finite]
    best = int(np.argmin(unseen))
    widened = (unseen[-1] - seen[-1]) - (unseen[best] - seen[best])
    parted = seen[-1] < seen[best] and widened > bound
    return int(finite[best]) + 1 if parted else None


def plot_learning_curves(
    curves: Mapping[str, LearningCurve] | LearningCurve, ax: Any = None
) -> Any:
    """Plot learning curves in one figure (training solid, validation dashed); return its axes.

    Parameters
    ----------
    curves : dict of name to LearningCurve, or one LearningCurve
        All curves by epoch, or all by size.
    ax : matplotlib Axes, optional
        The axes to draw on; a new figure by default.

    Returns
    -------
    ax : matplotlib Axes
        The axes; bands show one standard deviation over the folds.

    Raises
    ------
    SpecError
        If there is no curve, or their units differ.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> from deltarule import History
    >>> ours = epoch_curve(History(loss=[1.0, 0.5]))
    >>> plot_learning_curves({"ours": ours}).get_xlabel()
    'epoch'
    """
    from deltarule.plots.axes import axes_or_new, whole_epoch_ticks

    if not isinstance(curves, LearningCurve | Mapping) or not all(
        isinstance(curve, LearningCurve)
        for curve in (curves.values() if isinstance(curves, Mapping) else ())
    ):
        raise SpecError(
            f"curves must be a LearningCurve, or a dict of names to them; got {shown(curves)}."
        )
    named = {"": curves} if isinstance(curves, LearningCurve) else dict(curves)
    units = sorted({curve.unit for curve in named.values()})
    if len(units) != 1:
        got = f"units {units}" if units else "no curve"
        raise SpecError(
            f"curves must have one unit, epochs or rows; got {got}. Make one plot for each unit."
        )
    ax = axes_or_new(ax)
    for i, (name, curve) in enumerate(named.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        parts = [("training", curve.training, curve.training_std, "-")]
        if len(curve.validation):
            parts.append(("validation", curve.validation, curve.validation_std, "--"))
        for part, mean, deviation, style in parts:
            label = f"{name} {part}".strip()
            marker = "o" if curve.unit == "rows" else None
            ax.plot(curve.at, mean, style, color=colour, label=label, marker=marker, markersize=4)
            if len(deviation):
                ax.fill_between(
                    curve.at, mean - deviation, mean + deviation, color=colour, alpha=0.12
                )
    ax.set_xlabel("epoch" if units == ["epoch"] else "training rows")
    ax.set_ylabel("cost")
    whole_epoch_ticks(ax)
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    return ax


def _losses(model: Any) -> tuple[Floats, Floats]:
    """Return the training and validation losses by epoch; the latter may be empty."""
    if hasattr(model, "loss_curve_"):
        training, validation = model.loss_curve_, getattr(model, "validation_loss_curve_", None)
        validation = [] if validation is None else validation
    elif hasattr(model, "validation_loss") and hasattr(model, "loss"):
        training, validation = model.loss, model.validation_loss
    else:
        raise SpecError(
            f"model must be a History or an estimator with loss_curve_; got "
            f"{type(model).__name__}. Call fit first, or pass what train() returned."
        )
    if len(training) == 0:
        raise DataError("model has no epochs: it was not trained. Call fit or train first.")
    if len(validation) > len(training):
        raise ShapeError(
            f"validation_loss must not be longer than loss; got {len(validation)} and "
            f"{len(training)} epochs."
        )
    return np.asarray(training, dtype=np.float64), np.asarray(validation, dtype=np.float64)
