"""The cost over the folds of a cross-validation, and its interpretation (item E4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.metrics._inputs import Floats, check_estimator, check_rows
from deltarule.metrics.costs import Cost, as_scorer, to_cost
from deltarule.utils.checks import check_between, check_count, shown

__all__ = ["CrossValidation", "check_random_seed", "cross_validated_cost", "make_folds"]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The result of :func:`cross_validated_cost`; ``print`` shows its interpretation.

    Attributes
    ----------
    costs, train_costs : (k,) arrays
        The cost on each held-out fold, and on the k − 1 other folds.
    target : float or None
        ε, a cost that would be good enough.
    """

    costs: Floats
    train_costs: Floats
    target: float | None = None

    @property
    def mean(self) -> float:
        """The mean cost over the held-out folds."""
        return float(self.costs.mean())

    @property
    def variance(self) -> float:
        """The variance of the costs over the folds, with k − 1 in the denominator."""
        return float(self.costs.var(ddof=1))

    @property
    def reading(self) -> str:
        """What the mean and the variance indicate; judged only if there is a target.

        The mean is high from 10ε on and low below ε, as in item E3; the variance is high if the
        standard deviation is at least ε.
        """
        if self.target is None:
            return (
                "a high mean indicates bias, a high variance indicates overfitting; "
                "pass a target to judge"
            )
        goal, deviation = self.target, self.variance**0.5
        mean = "high" if self.mean >= 10 * goal else "low" if self.mean < goal else "borderline"
        bias = f"mean {mean}" + ("" if mean == "low" else ": it indicates bias")
        spread = "high: it indicates overfitting" if deviation >= goal else "low"
        return f"{bias}; variance {spread} (target {goal:.4g})"

    def __str__(self) -> str:
        return (
            f"cost over {len(self.costs)} folds: mean {self.mean:.6g}, variance "
            f"{self.variance:.6g} (standard deviation {self.variance**0.5:.6g}); on the training "
            f"folds {self.train_costs.mean():.6g}\n{self.reading}"
        )


def cross_validated_cost(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cost: Cost = None,
    folds: Any = 5,
    target: float | None = None,
    seed: int = 0,
) -> CrossValidation:
    """Return the costs of an estimator over folds, by scikit-learn's ``cross_validate`` (item E4).

    Parameters
    ----------
    estimator : scikit-learn estimator
        Cloned and fitted once per fold.
    X, y : arrays
        Rows and targets.
    cost : str, callable or None, default=None
        None is the mean log-loss of classifiers and half the squared error of regressors (summed
        over targets). A callable is a function of (fitted model, X, y). A string is the name of a
        scorer: the cost is −score for names that begin with ``neg_``, else 1 − score (for
        "accuracy", the error).
    folds : int or scikit-learn splitter, default=5
        The number of folds, shuffled with ``seed`` and stratified for classifiers; or a splitter.
    target : float, optional
        ε > 0, for the interpretation.
    seed : int, default=0
        The seed of the shuffling; the estimator has its own ``random_state``.

    Raises
    ------
    SpecError
        If an argument is invalid.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> cv = cross_validated_cost(LogisticRegression(max_iter=500), X, y, cost="accuracy")
    >>> len(cv.costs), cv.mean < 0.05
    (5, True)
    """
    from sklearn.model_selection import cross_validate

    if target is not None:
        target = check_between("target", target, 0.0, open_low=True, open_high=True)
    check_estimator("estimator", estimator, "fit", "predict")
    check_rows(X, y)
    check_random_seed(seed)
    results = cross_validate(
        estimator,
        X,
        y,
        scoring=as_scorer(cost),
        cv=make_folds(estimator, y, folds, seed),
        return_train_score=True,
        error_score="raise",
    )
    return CrossValidation(
        costs=to_cost(cost, results["test_score"]),
        train_costs=to_cost(cost, results["train_score"]),
        target=target,
    )


def check_random_seed(seed: Any) -> None:
    """Raise ``SpecError`` unless scikit-learn takes it as a seed."""
    check_count("seed", seed, below=2**32)


def make_folds(estimator: Any, y: Any, folds: Any, seed: int) -> Any:
    """Return ``folds`` if it is a splitter, else that many shuffled (stratified) folds."""
    from numbers import Integral

    from sklearn.base import is_classifier
    from sklearn.model_selection import KFold, StratifiedKFold

    if not isinstance(folds, Integral) or isinstance(folds, bool):
        if hasattr(folds, "split") and hasattr(folds, "get_n_splits"):
            return folds
        listed = isinstance(folds, list | tuple) or hasattr(folds, "__next__")
        pairs = list(folds) if listed else []
        if pairs and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            return pairs
        raise SpecError(
            f"folds must be an integer ≥ 2; got {shown(folds)}. Use 5, for example, a "
            "scikit-learn splitter, or pairs of row numbers."
        )
    n_folds = int(folds)
    if n_folds < 2:
        raise SpecError(f"folds must be an integer ≥ 2; got {folds!r}. Use 5, for example.")
    if n_folds > len(y):
        raise SpecError(
            f"folds must be at most the number of rows, {len(y)}; got {shown(folds)}. Use fewer."
        )
    stratify = is_classifier(estimator) and np.ndim(y) == 1
    splitter = StratifiedKFold if stratify else KFold
    return splitter(n_folds, shuffle=True, random_state=seed)
