"""Tuning again when there is more data, starting from an earlier search (item T4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError
from deltarule.utils.checks import check_count, check_positive_integer, shown

__all__ = ["Retuning", "retune"]


@dataclass(frozen=True)
class Retuning:
    """The result of :func:`retune`: whether an earlier choice is still the best.

    Attributes
    ----------
    is_stale : bool
        Whether another of the earlier search's best candidates is now better than its choice.
    gain : float
        The difference of their scores; 0 if the earlier choice is still the best.
    earlier, chosen : dict
        The earlier choice and the best candidate now.
    search : GridSearchCV
        The new search, with every candidate's score.
    """

    is_stale: bool
    gain: float
    earlier: dict[str, Any]
    chosen: dict[str, Any]
    search: Any

    def __str__(self) -> str:
        """Return the result as a sentence."""
        if not self.is_stale:
            return f"The earlier choice is still the best: {self.earlier}."
        return (
            f"The earlier choice is stale: {self.chosen} is better by {self.gain:.4g} than "
            f"{self.earlier}. Search again around it."
        )


def retune(search: Any, X: Any, y: Any, *, keep: int = 3, cv: Any = None) -> Retuning:
    """Return whether an earlier search's choice is still the best of its candidates on new data.

    Parameters
    ----------
    search : fitted GridSearchCV or RandomizedSearchCV
        The earlier search, with one metric.
    X, y : arrays
        The enlarged data.
    keep : int, default=3
        The number of its best candidates that are scored again.
    cv : splitter or int, optional
        How the data is split; by default as in the earlier search. A ``PredefinedSplit`` is valid
        only for the rows it was made for, so pass a new one.

    Raises
    ------
    DataError
        If the search was not fitted.
    """
    from sklearn.model_selection import GridSearchCV

    check_positive_integer("keep", keep)
    if not hasattr(search, "cv_results_"):
        raise DataError(
            "search must be a fitted GridSearchCV or RandomizedSearchCV. Call its fit first."
        )
    if not (cv is None or hasattr(cv, "get_n_splits") or hasattr(cv, "__next__")):
        check_count("cv", cv, least=2)
    for name, rows in (("X", X), ("y", y)):
        if not hasattr(rows, "shape") and not (isinstance(rows, list) and len(rows)):
            raise DataError(f"{name} must be an array of rows; got {shown(rows)}.")
    n_rows = [len(rows) if isinstance(rows, list) else (*rows.shape, 0)[0] for rows in (X, y)]
    if 0 in n_rows or n_rows[0] != n_rows[1]:
        raise ShapeError(
            "X and y must have the same number of rows, at least one; got "
            f"{n_rows[0]} and {n_rows[1]}."
        )
    order = np.argsort(search.cv_results_["rank_test_score"], kind="stable")[:keep]
    candidates = [search.cv_results_["params"][i] for i in order]
    again = GridSearchCV(
        search.estimator,
        [{name: [value] for name, value in candidate.items()} for candidate in candidates],
        scoring=search.scoring,
        cv=search.cv if cv is None else cv,
        refit=False,
    ).fit(X, y)
    scores = again.cv_results_["mean_test_score"]
    best = int(np.nanargmax(scores))
    return Retuning(
        is_stale=best != 0,
        gain=float(scores[best] - scores[0]),
        earlier=candidates[0],
        chosen=candidates[best],
        search=again,
    )
