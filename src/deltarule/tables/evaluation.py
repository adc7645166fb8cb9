"""Predictions, and how good they are beside a guess that uses no inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.record import Classes, Quantity, Task
from deltarule.tables.statistics import Moments

__all__ = ["ClassScore", "Evaluation", "Predictions", "Scores"]

SHOWN_ROWS = 10_000
"""Pieces are kept for pictures until they have at least so many rows."""


class ClassScore(NamedTuple):
    """The scores of one class."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Predictions:
    """What a model says about rows.

    Attributes
    ----------
    values : (n,) array
        Labels of classes, or numbers in the unit of the target.
    labels : list of str
        The classes; empty in regression.
    probabilities : (n, k) array or None
        The probability of each class, in the order of `labels`.
    notes : list of str
        What was unexpected about the rows.
    """

    values: NDArray[Any]
    labels: list[str]
    probabilities: NDArray[np.float64] | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """The scores of predictions on some rows.

    Attributes
    ----------
    task : {"classification", "regression"}
        The task.
    rows : int
        The rows that were predicted and compared.
    scores : dict of str to float
        ``accuracy``, ``baseline accuracy`` (always the commonest class of these rows) and ``log
        loss``, in nats; or ``R²``, ``RMSE``, ``baseline RMSE`` (always the mean of these rows) and
        ``MAE``, in the unit of the target.
    classes : list of ClassScore
        One for each class; empty in regression.
    y_true, y_pred : array
        Labels, or numbers in the unit of the target: of all rows of a table in memory, of at least
        the first 10 000 rows of a larger one.
    notes : list of str
        What the user should know about the rows.
    """

    task: Task
    rows: int
    scores: dict[str, float]
    classes: list[ClassScore]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    notes: list[str]

    @property
    def beats_baseline(self) -> bool:
        """Whether the inputs helped at all."""
        if self.task == "classification":
            return self.scores["accuracy"] > self.scores["baseline accuracy"]
        return self.scores["RMSE"] < self.scores["baseline RMSE"]


class Scores:
    """Sums over predictions beside the true values, piece by piece; `target` is predicted."""

    def __init__(self, target: Classes | Quantity) -> None:
        self._target = target
        k = len(target.labels) if isinstance(target, Classes) else 0
        self._confusion = np.zeros((k, k), dtype=np.int64)  # true classes by predicted ones
        self._nats = self._squares = self._distances = 0.0
        self._moments = Moments()  # of the true numbers
        self._true: list[NDArray[Any]] = []
        self._predicted: list[NDArray[Any]] = []
        self.rows = 0

    def add(self, predictions: Predictions, y: NDArray[Any]) -> None:
        """Add rows: what a model said, and class numbers or quantities."""
        true = y
        if predictions.probabilities is not None:
            P = predictions.probabilities
            np.add.at(self._confusion, (y, P.argmax(axis=1)), 1)
            eps = np.finfo(P.dtype).eps  # as scikit-learn's log_loss
            self._nats -= float(np.log(np.clip(P[np.arange(len(y)), y], eps, 1 - eps)).sum())
            true = np.array(predictions.labels)[y]
        elif len(y):
            errors = predictions.values - y
            self._squares += float((errors**2).sum())
            self._distances += float(np.abs(errors).sum())
            self._moments.add(np.asarray(y, dtype=np.float64))
        if self.rows < SHOWN_ROWS:
            self._true.append(true)
            self._predicted.append(predictions.values)
        self.rows += len(y)

    def evaluation(self, notes: list[str] | None = None) -> Evaluation:
        """Return the scores of all rows so far; there must be some."""
        classes: list[ClassScore] = []
        if isinstance(self._target, Classes):
            scores, classes = self._of_classes(self._target.labels)
        else:
            scores = self._of_quantity()
        return Evaluation(
            task=self._target.task,
            rows=self.rows,
            scores=scores,
            classes=classes,
            y_true=np.concatenate(self._true),
            y_pred=np.concatenate(self._predicted),
            notes=notes or [],
        )

    def _of_classes(self, labels: list[str]) -> tuple[dict[str, float], list[ClassScore]]:
        C, n = self._confusion, self.rows
        right, true, predicted = np.diag(C), C.sum(axis=1), C.sum(axis=0)
        scores = {
            "accuracy": float(right.sum() / n),
            "baseline accuracy": float(true.max() / n),
            "log loss": self._nats / n,
        }
        precision, recall = _ratio(right, predicted), _ratio(right, true)
        f1 = _ratio(2 * right, true + predicted)
        columns = zip(labels, precision, recall, f1, true, strict=True)
        return scores, [
            ClassScore(c, float(p), float(r), float(f), int(t)) for c, p, r, f, t in columns
        ]

    def _of_quantity(self) -> dict[str, float]:
        spread = float(np.sqrt(self._moments.variance))
        rmse = float(np.sqrt(self._squares / self.rows))
        return {
            "R²": 1 - (rmse / spread) ** 2 if spread > 0 else float("nan"),
            "RMSE": rmse,
            "baseline RMSE": spread,
            "MAE": self._distances / self.rows,
        }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
