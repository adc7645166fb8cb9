"""Predictions, and how good they are beside a guess that uses no inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.messages import show
from deltarule.tables.ranking import Ranking
from deltarule.tables.record import Classes, Quantity, Task
from deltarule.tables.statistics import Moments

__all__ = ["ClassScore", "Evaluation", "Predictions", "Scores"]

SHOWN_ROWS = 10_000
"""Pieces are kept for pictures until they have at least so many rows."""


class ClassScore(NamedTuple):
    """The scores of one class; the average precision is that of the class among two."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int
    average_precision: float | None = None


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
        Of two classes ``accuracy``, ``roc_auc``, ``average_precision`` (of `positive`) and
        ``log_loss`` (in nats); of several ``accuracy``, ``macro_f1`` and ``log_loss``; of numbers
        ``r2``, and ``rmse`` and ``mae`` in the unit of the target. Each is followed by its
        baseline, such as ``baseline_accuracy``: the score of the best guess that is the same for
        all of these rows. What these rows do not define is NaN.
    classes : list of ClassScore
        One for each class; empty in regression.
    y_true, y_pred : array
        Labels, or numbers in the unit of the target: of all rows of a table in memory, of at least
        the first 10 000 rows of a larger one.
    notes : list of str
        What the user should know about the rows.
    ranks : bool
        Whether the probabilities of two classes order the rows better than chance.
    """

    task: Task
    rows: int
    scores: dict[str, float]
    classes: list[ClassScore]
    y_true: NDArray[Any]
    y_pred: NDArray[Any]
    notes: list[str]
    ranks: bool = False

    @property
    def positive(self) -> str | None:
        """The second of two classes, as in scikit-learn; None if there are more, or none."""
        return self.classes[1].label if len(self.classes) == 2 else None

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the inputs helped at all; None if these rows cannot tell.

        Of numbers the RMSE decides. Of classes the accuracy does, or else the probabilities: of two
        classes the average precision of the rarer one, with a ROC AUC that chance would reach in
        fewer than one of twenty cases; of several the log loss.
        """
        scores = self.scores
        if self.task == "regression":
            return scores["rmse"] < scores["baseline_rmse"] if scores["baseline_rmse"] > 0 else None
        if max(score.rows for score in self.classes) == self.rows:  # all of one class
            return None
        return scores["accuracy"] > scores["baseline_accuracy"] or self._probabilities_help

    @property
    def verdict(self) -> str:
        """What a user should know about the scores beside their baselines; empty if all is well."""
        scores, better = self.scores, self.beats_baseline
        if better and (
            self.task == "regression" or scores["accuracy"] > scores["baseline_accuracy"]
        ):
            return ""
        if self.task == "regression":
            if better is None:
                return (
                    "the target is the same everywhere, so that they tell nothing about the model"
                )
            return f"this is no better than the baseline; {_ADVICE}"
        commonest = max(self.classes, key=lambda score: score.rows)
        if better is None:
            return (
                f"every target is {show(commonest.label)}, so that they tell nothing about the "
                "model; hold out more rows, or others"
            )
        what, value, guess = self._of_probabilities()
        if not better:
            return (
                f"this is no better than the baseline ({what} {value}, a guess: {guess}); {_ADVICE}"
            )
        use = "use the probabilities"
        if self.positive is not None:
            use = f"order rows by {show(f'probability_{self._rarer.label}')}"
        return (
            f"accuracy is no better than that of always {show(commonest.label)}, but the "
            f"probabilities are better than a guess: {what} {value}, a guess: {guess}; {use} "
            "instead of the prediction"
        )

    @property
    def _rarer(self) -> ClassScore:
        """The rarer of two classes; of equal ones the second."""
        first, second = self.classes
        return first if first.rows < second.rows else second

    @property
    def _probabilities_help(self) -> bool:
        if self.positive is None:
            return self.scores["log_loss"] < self.scores["baseline_log_loss"]
        rarer = self._rarer
        return self.ranks and (rarer.average_precision or 0.0) > rarer.rows / self.rows

    def _of_probabilities(self) -> tuple[str, str, str]:
        """Return the name of what judges the probabilities, its value, and that of a guess."""
        if self.positive is None:
            values = self.scores["log_loss"], self.scores["baseline_log_loss"]
            return "log loss", f"{values[0]:.4g}", f"{values[1]:.4g}"
        rarer = self._rarer
        value, guess = rarer.average_precision, rarer.rows / self.rows
        return f"average precision of {show(rarer.label)}", f"{value:.4g}", f"{guess:.4g}"


_ADVICE = "look at the columns, or train with a lower --learning-rate or another --seed"


class Scores:
    """Sums over predictions beside the true values, piece by piece; `target` is predicted.

    For scores that need all rows at once, 8 bytes of each row are kept: the probability of the
    second of two classes, or the true number.
    """

    def __init__(self, target: Classes | Quantity) -> None:
        self._target = target
        k = len(target.labels) if isinstance(target, Classes) else 0
        self._confusion = np.zeros((k, k), dtype=np.int64)  # true classes by predicted ones
        self._ranking = Ranking() if k == 2 else None
        self._nats = self._squares = self._distances = 0.0
        self._moments = Moments()  # of the true numbers
        self._numbers: list[NDArray[np.float64]] = []
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
            if self._ranking is not None:
                self._ranking.add(P[:, 1], y)
            true = np.array(predictions.labels)[y]
        elif len(y):
            errors = predictions.values - y
            self._squares += float((errors**2).sum())
            self._distances += float(np.abs(errors).sum())
            self._numbers.append(np.array(y, dtype=np.float64))
            self._moments.add(self._numbers[-1])
        if self.rows < SHOWN_ROWS:
            self._true.append(true)
            self._predicted.append(predictions.values)
        self.rows += len(y)

    def evaluation(self, notes: list[str] | None = None) -> Evaluation:
        """Return the scores of all rows so far; there must be some."""
        classes: list[ClassScore] = []
        ranks = False
        if isinstance(self._target, Classes):
            scores, classes, ranks = self._of_classes(self._target.labels)
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
            ranks=ranks,
        )

    def _of_classes(self, labels: list[str]) -> tuple[dict[str, float], list[ClassScore], bool]:
        C, n = self._confusion, self.rows
        right, true, predicted = np.diag(C), C.sum(axis=1), C.sum(axis=0)
        shares = true / n
        entropy = -float(np.log(shares[true > 0]) @ shares[true > 0])
        precision, recall = _ratio(right, predicted), _ratio(right, true)
        f1 = _ratio(2 * right, true + predicted)
        scores = {"accuracy": float(right.sum() / n), "baseline_accuracy": float(shares.max())}
        averages: tuple[float | None, ...] = (None,) * len(labels)
        ranks = False
        if self._ranking is not None:
            found = self._ranking.scores()
            averages, ranks = found.average_precision, found.beyond_chance
            scores |= {
                "roc_auc": found.roc_auc,
                "baseline_roc_auc": 0.5,
                "average_precision": found.average_precision[1],
                "baseline_average_precision": float(shares[1]),
            }
        else:  # the mean over the classes that occur, as scikit-learn's
            commonest = 2 * shares.max() / (1 + shares.max())
            scores |= {
                "macro_f1": float(f1[true + predicted > 0].mean()),
                "baseline_macro_f1": float(commonest / np.count_nonzero(true)),
            }
        scores |= {"log_loss": self._nats / n, "baseline_log_loss": entropy}
        columns = zip(labels, precision, recall, f1, true, averages, strict=True)
        classes = [
            ClassScore(c, float(p), float(r), float(f), int(t), a) for c, p, r, f, t, a in columns
        ]
        return scores, classes, ranks

    def _of_quantity(self) -> dict[str, float]:
        spread = float(np.sqrt(self._moments.variance))
        rmse = float(np.sqrt(self._squares / self.rows))
        numbers = np.concatenate(self._numbers)
        self._numbers = [numbers]  # each row once
        guess = float(np.median(numbers))  # no other number has a smaller mean distance
        return {
            "r2": 1 - (rmse / spread) ** 2 if spread > 0 else float("nan"),
            "baseline_r2": 0.0,
            "rmse": rmse,
            "baseline_rmse": spread,
            "mae": self._distances / self.rows,
            "baseline_mae": float(np.abs(numbers - guess).mean()),
        }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
