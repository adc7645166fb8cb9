"""Tuning again when the data has grown: start from the earlier study (item T4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.checks import check_positive_integer
from deltarule.errors import DataError

__all__ = ["Retuning", "retune"]


@dataclass(frozen=True)
class Retuning:
    """Whether an earlier choice of parameters still stands; ``str()`` says it in words.

    Attributes
    ----------
    is_stale : bool
        Another of the earlier study's best candidates is now better than its choice.
    gain : float
        By how much, in the study's score; 0 where the choice stands.
    earlier, chosen : dict
        The earlier choice, and the best candidate now.
    search : GridSearchCV
        The fitted second look, with every candidate's score.
    """

    is_stale: bool
    gain: float
    earlier: dict[str, Any]
    chosen: dict[str, Any]
    search: Any

    def __str__(self) -> str:
        """Return the verdict with its figures."""
        if not self.is_stale:
            return f"The earlier choice stands: {self.earlier}."
        return (
            f"The earlier choice is stale: {self.chosen} is better by {self.gain:.4g} than "
            f"{self.earlier}. Search again around it."
        )


def retune(search: Any, X: Any, y: Any, *, keep: int = 3, cv: Any = None) -> Retuning:
    """Measure an earlier study's best candidates on grown data, and say whether its choice stands.

    Parameters
    ----------
    search : fitted GridSearchCV or RandomizedSearchCV
        The earlier study, with one score.
    X, y : arrays
        The grown data.
    keep : int, default=3
        How many of its best candidates are measured again.
    cv : splitter or int, optional
        How the grown data is split; as in the earlier study by default (a ``PredefinedSplit`` fits
        only the rows it was made for: give a new one).

    Raises
    ------
    DataError
        If the search was not fitted.
    """
    from sklearn.model_selection import GridSearchCV

    check_positive_integer("keep", keep)
    if not hasattr(search, "cv_results_"):
        raise DataError("search must be a fitted GridSearchCV or RandomizedSearchCV: call fit.")
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
