"""What the estimators take from scikit-learn beyond its documented interface, in one place.

The callback interface (1.9) is young: should it move, this file is where to follow. The parameter
validation, which is internal too, is used in ``parameter_constraints.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "CallbackSupportMixin",
    "EpochCallbacks",
    "check_sample_weight",
    "is_first_partial_fit",
    "resolve_scorer",
    "safe_indexing",
    "takes_weights",
    "with_callbacks",
]


def check_sample_weight(sample_weight: Any, X: Any) -> Any:
    """Return the weights as an array of X's type, or None as None; negative ones are refused."""
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)


def is_first_partial_fit(estimator: Any, classes: Any) -> bool:
    """Whether this call of ``partial_fit`` is the first; classes must fit the earlier calls'."""
    return bool(_check_partial_fit_first_call(estimator, classes))


def resolve_scorer(scoring: Any) -> Callable[..., float]:
    """Return the scorer of a name; a callable is one already."""
    scorer: Callable[..., float] = get_scorer(scoring)
    return scorer


def takes_weights(scorer: Callable[..., float]) -> bool:
    """Whether a scorer, or the metric that it is made of, takes sample weights."""
    metric = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in signature(metric).parameters


class EpochCallbacks:
    """The callbacks that a user set on an estimator: one task a fit, one subtask an epoch."""

    def __init__(self, estimator: Any, max_epochs: int, X: Any, y: Any, weight: Any) -> None:
        self._estimator = estimator
        self._data = {
            "X": X,
            "y": y,
            "metadata": {} if weight is None else {"sample_weight": weight},
        }
        self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
        self._fit.call_on_fit_task_begin(estimator=estimator, **self._data)
        self._epoch: Any = None

    def begin_epoch(self) -> None:
        """Tell the callbacks that an epoch begins."""
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_epoch(self, fitted: Callable[[], dict[str, Any]]) -> bool:
        """Tell the callbacks that an epoch ended; return whether one of them says stop."""
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=fitted, **self._data
            )
        )

    def end_fit(self, fitted: Callable[[], dict[str, Any]]) -> None:
        """Tell the callbacks that the fit ended."""
        self._fit.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=fitted, **self._data
        )
