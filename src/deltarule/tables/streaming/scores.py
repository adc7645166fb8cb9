"""Scores of predictions that come piece by piece; those of `Evaluation`, to the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.evaluation import ClassScore, Evaluation
from deltarule.tables.model import Predictions
from deltarule.tables.record import Classes, Quantity
from deltarule.tables.streaming.sketches import Moments

__all__ = ["Scores"]

SHOWN = 10_000
"""The most rows that an evaluation keeps for pictures: the first ones."""


class Scores:
    """Adds predictions up beside the truth.

    Parameters
    ----------
    target : Classes or Quantity
        What is predicted.
    """

    def __init__(self, target: Classes | Quantity) -> None:
        self._target = target
        k = len(target.labels) if isinstance(target, Classes) else 0
        self._confusion = np.zeros((k, k), dtype=np.int64)  # true classes by guesses
        self._nats = self._squares = self._distances = 0.0
        self._truth = Moments()
        self._true: list[NDArray[Any]] = []
        self._guessed: list[NDArray[Any]] = []
        self._kept = self._rows = 0

    def add(self, predictions: Predictions, y: NDArray[Any]) -> None:
        """Take rows in: class numbers or quantities."""
        self._rows += len(y)
        true, guessed = y, predictions.values
        if predictions.probabilities is not None:
            P = predictions.probabilities
            guesses = P.argmax(axis=1)
            np.add.at(self._confusion, (y, guesses), 1)
            # as scikit-learn's log_loss: rows sum to 1, nothing is below the least float
            eps = np.finfo(P.dtype).eps
            P = np.clip(P, eps, 1 - eps)
            P = P / P.sum(axis=1, keepdims=True)
            self._nats -= float(np.log(P[np.arange(len(y)), y]).sum())
            true = np.array(predictions.labels)[y]
        else:
            apart = predictions.values - y
            self._squares += float((apart**2).sum())
            self._distances += float(np.abs(apart).sum())
            self._truth.add(np.asarray(y, dtype=np.float64))
        room = SHOWN - self._kept
        if room > 0:
            self._true.append(true[:room])
            self._guessed.append(guessed[:room])
            self._kept += len(true[:room])

    def evaluation(self, notes: list[str]) -> Evaluation:
        """Return the scores of all rows so far; there must be some."""
        classes: list[ClassScore] = []
        if isinstance(self._target, Classes):
            scores, classes = self._of_classes(self._target.labels)
        else:
            scores = self._of_quantity()
        return Evaluation(
            task=self._target.task,
            rows=self._rows,
            scores=scores,
            classes=classes,
            y_true=np.concatenate(self._true),
            y_pred=np.concatenate(self._guessed),
            notes=notes,
        )

    def _of_classes(self, labels: list[str]) -> tuple[dict[str, float], list[ClassScore]]:
        C, n = self._confusion, self._rows
        right, true, guessed = np.diag(C), C.sum(axis=1), C.sum(axis=0)
        scores = {
            "accuracy": float(right.sum() / n),
            "baseline accuracy": float(true.max() / n),
            "log loss": self._nats / n,
        }
        precision, recall = _ratio(right, guessed), _ratio(right, true)
        f1 = _ratio(2 * right, true + guessed)
        columns = zip(labels, precision, recall, f1, true, strict=True)
        return scores, [
            ClassScore(c, float(p), float(r), float(f), int(t)) for c, p, r, f, t in columns
        ]

    def _of_quantity(self) -> dict[str, float]:
        spread = float(np.sqrt(self._truth.variance))
        rmse = float(np.sqrt(self._squares / self._rows))
        return {
            "R²": 1 - (rmse / spread) ** 2 if spread > 0 else float("nan"),
            "RMSE": rmse,
            "baseline RMSE": spread,
            "MAE": self._distances / self._rows,
        }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
