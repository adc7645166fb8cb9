"""How good predictions are, always beside what one would score without any inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from deltarule.tables.record import Task

__all__ = ["ClassScore", "Evaluation", "evaluate_classes", "evaluate_quantity"]


class ClassScore(NamedTuple):
    """The scores of one class."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


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
        Labels, or numbers in the unit of the target.
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


def evaluate_classes(
    codes: NDArray[np.int64], P: NDArray[np.float64], labels: list[str], notes: list[str]
) -> Evaluation:
    """Score the probabilities P (n, k) of classes against their numbers (n,)."""
    every = np.arange(len(labels))
    guesses = P.argmax(axis=1)
    scores = {
        "accuracy": float((guesses == codes).mean()),
        "baseline accuracy": float(np.bincount(codes).max() / len(codes)),
        "log loss": float(metrics.log_loss(codes, P, labels=every)),
    }
    columns = metrics.precision_recall_fscore_support(codes, guesses, labels=every, zero_division=0)
    names = np.array(labels)
    return Evaluation(
        task="classification",
        rows=len(codes),
        scores=scores,
        classes=[
            ClassScore(label, float(p), float(r), float(f), int(n))
            for label, p, r, f, n in zip(labels, *columns, strict=True)
        ],
        y_true=names[codes],
        y_pred=names[guesses],
        notes=notes,
    )


def evaluate_quantity(
    y: NDArray[np.float64], predicted: NDArray[np.float64], notes: list[str]
) -> Evaluation:
    """Score predicted numbers (n,) against the true ones (n,)."""
    spread = float(np.std(y))
    rmse = float(np.sqrt(np.mean((predicted - y) ** 2)))
    scores = {
        "R²": 1 - (rmse / spread) ** 2 if spread > 0 else float("nan"),
        "RMSE": rmse,
        "baseline RMSE": spread,
        "MAE": float(np.mean(np.abs(predicted - y))),
    }
    return Evaluation("regression", len(y), scores, [], y, predicted, notes)
