"""Metrics of classification, and the accuracy of always predicting one class (item E1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.metrics._inputs import (
    Floats,
    any_array,
    check_weight,
    finite_array,
    flat_column,
    same_length,
)

__all__ = ["ClassificationReport", "PrecisionRecallCurve", "measure_classification"]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall of the rule "positive if the score ≥ t", for all thresholds t.

    Attributes
    ----------
    thresholds : (m,) array
        The distinct scores, in ascending order.
    precision, recall : (m + 1,) arrays
        Values at each threshold; the last entry (precision 1, recall 0) has no threshold.
    average_precision : float
        Σ_j (R_j − R_{j−1}) P_j along the curve. It summarises the whole curve, while F describes
        one point of it (erratum E-ad).
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    average_precision: float


@dataclass(frozen=True, eq=False)
class ClassificationReport:
    """The result of :func:`measure_classification`; ``print`` shows a table.

    Attributes
    ----------
    labels : list
        The k classes, sorted: the order of the rows and columns below.
    confusion : (k, k) array
        The number (or weight) of rows of class i that were predicted as class j.
    accuracy, error : float
        The fraction of rows predicted correctly; 1 − accuracy (erratum E-s).
    baseline : float
        The accuracy of always predicting ``majority``, the largest true class.
    majority : label
        The largest true class; the first one in case of a tie.
    precision, recall, f : (k,) arrays
        tp/(tp + fp), tp/(tp + fn) and 2pr/(p + r) = 2tp/(2tp + fp + fn); 0/0 counts as 0.
    undefined : list of str
        A description of each value that is 0/0.
    curves : dict
        A :class:`PrecisionRecallCurve` for each class that has a score and occurs in ``y_true``,
        that class against the rest; with two classes, only for the second one.
    """

    labels: list[Any]
    confusion: npt.NDArray[Any]
    accuracy: float
    baseline: float
    majority: Any
    precision: Floats
    recall: Floats
    f: Floats
    undefined: list[str]
    curves: dict[Any, PrecisionRecallCurve]

    @property
    def error(self) -> float:
        """The fraction of rows that are predicted wrongly."""
        return 1.0 - self.accuracy

    @property
    def macro_f(self) -> float:
        """The mean F of the classes; each class has the same weight, however rare it is."""
        return float(self.f.mean())

    def __str__(self) -> str:
        gain = self.accuracy - self.baseline
        lines = [
            f"accuracy {self.accuracy:.4f}, error {self.error:.4f}",
            f"always {self.majority!r}: {self.baseline:.4f}, so the gain is {gain:+.4f}",
            f"{'class':<16}{'rows':>10}{'precision':>11}{'recall':>9}{'F':>9}{'AP':>9}",
        ]
        for i, label in enumerate(self.labels):
            curve = self.curves.get(label)
            area = "" if curve is None else f"{curve.average_precision:.4f}"
            lines.append(
                f"{label!s:<16}{self.confusion[i].sum():>10g}{self.precision[i]:>11.4f}"
                f"{self.recall[i]:>9.4f}{self.f[i]:>9.4f}{area:>9}"
            )
        lines.append("confusion (true class in rows, predicted in columns):")
        width = max(8, *(len(f"{count:g}") + 2 for count in self.confusion.flat))
        lines += ["".join(f"{count:>{width}g}" for count in row) for row in self.confusion]
        lines += [f"0/0, counted as 0: {text}" for text in self.undefined]
        return "\n".join(line.rstrip() for line in lines)


def measure_classification(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    scores: npt.ArrayLike | None = None,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> ClassificationReport:
    """Return metrics of predicted classes against the true ones (item E1; Khabar §8.1).

    :mod:`sklearn.metrics` computes all values.

    Parameters
    ----------
    y_true, y_pred : (n,) array-like
        One class per row. With several labels per row, measure each column.
    scores : (n,) or (n, k) array-like, optional
        Probabilities or other scores, for the precision-recall curves: those of the second of two
        classes, or one column for each of the k classes in sorted order.
    sample_weight : (n,) array-like, optional
        Weights of the rows.

    Returns
    -------
    report : ClassificationReport

    Raises
    ------
    ShapeError
        If the shapes of the arrays do not match.
    DataError
        If there are no rows, or a score is not finite.

    Examples
    --------
    A classifier that finds none of 5 sick patients among 100 (Khabar's 95/5):

    >>> report = measure_classification([0] * 95 + [1] * 5, [0] * 100)
    >>> report.accuracy, report.baseline, report.recall.tolist()
    (0.95, 0.95, [1.0, 0.0])
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    true, predicted = _classes("y_true", y_true), _classes("y_pred", y_pred)
    same_length("y_true", true, "y_pred", predicted)
    weight = check_weight(sample_weight, len(true))
    labels = _labels(true, predicted)
    how = {"labels": labels, "sample_weight": weight}
    if len(labels) > 1:
        confusion = confusion_matrix(true, predicted, **how)
    else:  # scikit-learn warns about a single class, without need
        confusion = np.array([[len(true) if weight is None else weight.sum()]])
    precision, recall, f, _ = precision_recall_fscore_support(
        true, predicted, zero_division=0.0, **how
    )
    sizes = confusion.sum(axis=1)
    names = labels.tolist()
    return ClassificationReport(
        labels=names,
        confusion=confusion,
        accuracy=float(accuracy_score(true, predicted, sample_weight=weight)),
        baseline=float(sizes.max() / sizes.sum()),
        majority=names[int(np.argmax(sizes))],
        precision=precision,
        recall=recall,
        f=f,
        undefined=_undefined(confusion, names),
        curves={} if scores is None else _curves(true, scores, labels, weight),
    )


def _classes(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = flat_column(any_array(name, values))
    if array.ndim != 1:
        raise ShapeError(
            f"{name} must have shape (n,), one class per row; got {array.shape}. Use "
            "argmax(axis=1) of one-hot rows; with several labels per row, measure each column."
        )
    if len(array) == 0:
        raise DataError(f"{name} has no rows. Pass at least one example.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name} must be finite; it contains NaN or infinity. Remove those rows.")
    return array


def _labels(true: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> npt.NDArray[Any]:
    try:
        from sklearn.utils.multiclass import unique_labels

        return np.asarray(unique_labels(true, predicted))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"y_true and y_pred must contain classes of one type; got {true.dtype} and "
            f"{predicted.dtype}. Use measure_regression for numbers."
        ) from error


def _undefined(confusion: npt.NDArray[Any], names: list[Any]) -> list[str]:
    found = []
    for name, said, there in zip(names, confusion.sum(axis=0), confusion.sum(axis=1), strict=True):
        if said == 0:
            found.append(f"precision of {name!r}, which is never predicted")
        if there == 0:
            found.append(f"recall of {name!r}, which does not occur")
    return found


def _curves(
    true: npt.NDArray[Any], scores: npt.ArrayLike, labels: npt.NDArray[Any], weight: Floats | None
) -> dict[Any, PrecisionRecallCurve]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    given = flat_column(finite_array("scores", scores))
    same_length("scores", given, "y_true", true)
    binary = given.ndim == 1 and len(labels) == 2
    if not binary and given.shape != (len(true), len(labels)):
        raise ShapeError(
            f"scores must have shape {(len(true), len(labels))}, a column for each of the classes "
            f"{labels.tolist()}; got {given.shape}. For two classes, pass (n,) scores of "
            "the second."
        )
    columns = [(labels[1], given)] if binary else list(zip(labels, given.T, strict=True))
    curves = {}
    for label, column in columns:
        positive = true == label
        present = positive if weight is None else positive & (weight > 0)
        if not present.any():
            continue
        precision, recall, thresholds = precision_recall_curve(
            positive, column, sample_weight=weight
        )
        curves[label.item() if hasattr(label, "item") else label] = PrecisionRecallCurve(
            thresholds=thresholds,
            precision=precision,
            recall=recall,
            average_precision=float(
                average_precision_score(positive, column, sample_weight=weight)
            ),
        )
    return curves
