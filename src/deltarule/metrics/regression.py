"""Metrics of regression: errors of predicted numbers (item E2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.metrics._inputs import check_weight, finite_array
from deltarule.utils.checks import check_name

__all__ = ["RegressionReport", "measure_regression"]


@dataclass(frozen=True)
class RegressionReport:
    """The result of :func:`measure_regression`; several targets are averaged.

    Attributes
    ----------
    n : int
        The number of rows.
    mse, rmse, mae : float
        Mean squared error, its root (of each target, then averaged) and mean absolute error.
    mape : float
        The mean of |ŷ − y| / |y|: a fraction, not a percentage (erratum E-v).
    r2 : float
        1 − Σ(y − ŷ)²/Σ(y − ȳ)²; NaN for fewer than two rows.
    zero_targets : int
        The number of targets that are 0. MAPE then divides by 2.2e-16, as scikit-learn does, and
        has no meaning.
    """

    n: int
    mse: float
    rmse: float
    mae: float
    mape: float
    r2: float
    zero_targets: int

    def __str__(self) -> str:
        text = (
            f"MSE {self.mse:.6g}, RMSE {self.rmse:.6g}, MAE {self.mae:.6g}, "
            f"MAPE {self.mape:.6g} (a fraction), R² {self.r2:.6g} on {self.n} rows"
        )
        if self.zero_targets:
            text += f"; MAPE has no meaning: {self.zero_targets} targets are 0"
        return text


def measure_regression(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    zero_targets: str = "refuse",
) -> RegressionReport:
    """Return metrics of predicted numbers against the true ones (item E2; Khabar §8.2-8.5).

    :mod:`sklearn.metrics` computes all values.

    Parameters
    ----------
    y_true, y_pred : (n,) or (n, k) array-like
        True and predicted numbers.
    sample_weight : (n,) array-like, optional
        Weights of the rows.
    zero_targets : {"refuse", "scikit-learn"}, default="refuse"
        What happens if a target is 0: "refuse" raises an error; "scikit-learn" divides by 2.2e-16,
        which gives a huge but finite MAPE.

    Returns
    -------
    report : RegressionReport

    Raises
    ------
    ShapeError
        If the shapes of the arrays do not match.
    DataError
        If a number is not finite, or a target is 0 and ``zero_targets="refuse"``.

    Examples
    --------
    >>> print(measure_regression([1.0, 2.0, 4.0], [1.0, 1.0, 5.0]))
    MSE 0.666667, RMSE 0.816497, MAE 0.666667, MAPE 0.25 (a fraction), R² 0.571429 on 3 rows
    """
    from sklearn import metrics

    check_name("zero_targets", zero_targets, ("scikit-learn", "refuse"))
    true, predicted = finite_array("y_true", y_true), finite_array("y_pred", y_pred)
    true, predicted = (a[:, None] if a.ndim == 1 else a for a in (true, predicted))
    if true.ndim != 2 or true.shape != predicted.shape:
        raise ShapeError(
            "y_true and y_pred must both have shape (n,), or both (n, k); got "
            f"{np.shape(y_true)} and {np.shape(y_pred)}. Pass arrays of the same shape."
        )
    if true.size == 0:
        raise DataError("y_true has no rows. Pass at least one example.")
    weight = check_weight(sample_weight, len(true))
    zeros = int((true == 0).sum())
    if zeros and zero_targets == "refuse":
        raise DataError(
            f"y_true must not contain 0 for MAPE; {zeros} of {true.size} targets are 0. Remove "
            "those rows, use another metric, or allow it with zero_targets='scikit-learn'."
        )
    args = (true, predicted)
    return RegressionReport(
        n=len(true),
        mse=float(metrics.mean_squared_error(*args, sample_weight=weight)),
        rmse=float(metrics.root_mean_squared_error(*args, sample_weight=weight)),
        mae=float(metrics.mean_absolute_error(*args, sample_weight=weight)),
        mape=float(metrics.mean_absolute_percentage_error(*args, sample_weight=weight)),
        r2=float(metrics.r2_score(*args, sample_weight=weight)) if len(true) > 1 else float("nan"),
        zero_targets=zeros,
    )
