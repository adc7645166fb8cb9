"""Thresholds for two classes whose errors have different costs (item E1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, SpecError
from deltarule.metrics._inputs import (
    Floats,
    any_array,
    check_weight,
    flat_column,
    number_column,
    same_length,
)
from deltarule.utils.checks import check_between

__all__ = ["ThresholdChoice", "choose_threshold", "cost_threshold"]


def cost_threshold(false_positive_cost: float, false_negative_cost: float) -> float:
    """Return the lowest probability at which predicting "positive" is cheaper.

    t = c_FP/(c_FP + c_FN): at probability p, "positive" costs (1 − p) c_FP on average and
    "negative" p c_FN (Khabar §8.1). This assumes calibrated probabilities; for other scores use
    :func:`choose_threshold`.

    Parameters
    ----------
    false_positive_cost, false_negative_cost : float
        Non-negative costs, not both zero.

    Raises
    ------
    SpecError
        If a cost is negative or not finite, or both are zero.

    Examples
    --------
    >>> cost_threshold(1, 1), cost_threshold(1, 9)
    (0.5, 0.1)
    """
    false_positive, false_negative = _costs(false_positive_cost, false_negative_cost)
    total = false_positive + false_negative
    if total == float("inf"):
        return false_positive / 2 / (false_positive / 2 + false_negative / 2)
    return false_positive / total


@dataclass(frozen=True)
class ThresholdChoice:
    """The result of :func:`choose_threshold`.

    Attributes
    ----------
    threshold : float
        Predict "positive" if the score is at least this; ±inf if one class for all is cheapest.
    cost : float
        The mean cost per row at the threshold.
    cost_all_negative, cost_all_positive : float
        The mean cost per row if all rows get the same class.
    """

    threshold: float
    cost: float
    cost_all_negative: float
    cost_all_positive: float

    def __str__(self) -> str:
        return (
            f"positive where score ≥ {self.threshold:.6g}: mean cost {self.cost:.6g} "
            f"(all negative {self.cost_all_negative:.6g}, "
            f"all positive {self.cost_all_positive:.6g})"
        )


def choose_threshold(
    y_true: npt.ArrayLike,
    scores: npt.ArrayLike,
    false_positive_cost: float = 1.0,
    false_negative_cost: float = 1.0,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> ThresholdChoice:
    """Return the threshold with the lowest mean cost on these rows; use the dev set.

    cost(t) = (c_FP FP(t) + c_FN FN(t))/Σw, positive if the score ≥ t. Every cut between two
    distinct scores is tried (:func:`sklearn.metrics.confusion_matrix_at_thresholds`); the result
    lies halfway between them, so that > and ≥ agree. Of thresholds with equal costs, the highest
    is returned: the fewest positives. To choose the threshold by cross-validation, see
    scikit-learn's ``TunedThresholdClassifierCV``.

    Parameters
    ----------
    y_true : (n,) array-like
        Two classes; the second in sorted order is the positive one.
    scores : (n,) array-like
        Scores of the positive class, on any scale.
    false_positive_cost, false_negative_cost : float, default=1.0
        Non-negative costs, not both zero.
    sample_weight : (n,) array-like, optional
        Weights of the rows.

    Raises
    ------
    DataError
        If ``y_true`` does not contain two classes, or a score is not finite.

    Examples
    --------
    >>> choose_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.6, 0.8], 1, 9).threshold
    0.25
    """
    from sklearn.metrics import confusion_matrix_at_thresholds

    costs = _costs(false_positive_cost, false_negative_cost)
    positive, given = _positive(y_true), number_column("scores", scores)
    same_length("scores", given, "y_true", positive)
    weight = check_weight(sample_weight, len(given))
    if weight is not None:  # ignore rows of weight zero
        positive, given, weight = positive[weight > 0], given[weight > 0], weight[weight > 0]
    tn, fp, fn, tp, cuts = confusion_matrix_at_thresholds(positive, given, sample_weight=weight)
    total = tn[0] + fp[0] + fn[0] + tp[0]
    share = costs[0] * (fp / total) + costs[1] * (fn / total)
    all_negative = float(costs[1] * ((fn[0] + tp[0]) / total))
    all_positive = float(costs[0] * ((tn[0] + fp[0]) / total))
    mean_costs = np.concatenate([[all_negative], share])
    at = int(np.argmin(mean_costs))
    return ThresholdChoice(_halfway(cuts, at), float(mean_costs[at]), all_negative, all_positive)


def _halfway(cuts: Floats, at: int) -> float:
    """Return a threshold that the ``at`` highest of the descending scores ``cuts`` exceed."""
    if at == 0:
        return float("inf")
    if at == len(cuts):
        return float("-inf")
    low, high = float(cuts[at]), float(cuts[at - 1])
    middle = low / 2 + high / 2
    return middle if low < middle <= high else high


def _positive(y_true: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    array = flat_column(any_array("y_true", y_true))
    classes = np.unique(array)
    if array.ndim != 1 or len(classes) != 2:
        raise DataError(
            f"y_true must contain two classes, one per row; got shape {array.shape} with "
            f"{len(classes)} different values. For more classes, treat each against the rest."
        )
    return np.asarray(array == classes[1])


def _costs(false_positive: Any, false_negative: Any) -> tuple[float, float]:
    a = check_between("false_positive_cost", false_positive, 0.0, open_high=True)
    b = check_between("false_negative_cost", false_negative, 0.0, open_high=True)
    if a == b == 0:
        raise SpecError(
            "false_positive_cost and false_negative_cost must not both be 0; "
            "set at least one of them."
        )
    return a, b
