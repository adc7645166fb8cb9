"""What the estimators use of scikit-learn beyond its documented interface, in one place.

Releases from 1.8 on are supported; ``callback_fallback.py`` stands in for the callbacks of 1.9. If
that young interface changes, this file changes. The parameter validation, which is internal too,
is used in ``parameter_constraints.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from inspect import signature
from typing import Any

from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils.validation import _check_sample_weight

from deltarule.errors import DataError
from deltarule.network.data import check_weight_sum
from deltarule.utils.checks import check_undated
from deltarule.utils.context import naming

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context as torn_down
except ImportError:  # before scikit-learn 1.9
    from deltarule.estimators.callback_fallback import CallbackSupportMixin, torn_down

__all__ = [
    "EpochCallbackMixin",
    "EpochCallbacks",
    "check_sample_weight",
    "is_metric_scorer",
    "resolve_scorer",
    "safe_indexing",
    "takes_weights",
    "torn_down",
    "with_callbacks",
    "with_labels",
]


def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that fits, one at a time, at whose end callbacks are torn down.

    The lock comes first: the end of a fit that is refused, because it was called inside another
    one, would tear down the other's callbacks.
    """

    @wraps(method)
    def alone(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._fit_lock(), torn_down(self):
            return method(self, *args, **kwargs)

    return alone


def check_sample_weight(sample_weight: Any, X: Any, *, name: str = "sample_weight") -> Any:
    """Return the weights as an array of X's type, with a sum that it holds; None stays None.

    Negative weights are refused.
    """
    if sample_weight is None:
        return None
    check_undated(name, sample_weight)
    with naming(name):
        kind = getattr(getattr(sample_weight, "dtype", None), "kind", "")
        if kind == "c" or isinstance(sample_weight, complex):
            raise DataError("its numbers must be real")
        weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
    check_weight_sum(name, weight)
    return weight


def resolve_scorer(scoring: Any) -> Callable[..., float]:
    """Return the scorer of this name; a callable is returned as it is."""
    from sklearn.metrics import get_scorer

    scorer: Callable[..., float] = get_scorer(scoring)
    return scorer


def is_metric_scorer(scorer: Callable[..., float]) -> bool:
    """Whether a scorer is one of scikit-learn's names, or was made by ``make_scorer``."""
    return hasattr(scorer, "_score_func") and hasattr(scorer, "_response_method")


def with_labels(scorer: Callable[..., float], classes: Any) -> Callable[..., float]:
    """Return a scorer of probabilities that knows all classes, if its metric has to be told.

    Otherwise the metric takes the classes from the rows, which may lack some. An area under a
    curve is not defined for a class without rows.
    """
    if not is_metric_scorer(scorer):
        return scorer
    from sklearn.metrics import roc_auc_score, top_k_accuracy_score

    made: Any = copy(scorer)
    names, given = signature(made._score_func).parameters, made._kwargs
    of_probabilities = made._response_method == "predict_proba"
    if made._score_func is roc_auc_score:
        return scorer
    if not (made._score_func is top_k_accuracy_score or (of_probabilities and "labels" in names)):
        return scorer
    if "labels" not in given and len(classes) > 1:
        made._kwargs = {**given, "labels": classes}
        if "pos_label" in names and len(classes) == 2 and "pos_label" not in given:
            made._kwargs["pos_label"] = classes[1]
    return made


def takes_weights(scorer: Callable[..., float]) -> bool:
    """Whether a scorer, or the metric that it is made of, accepts sample weights."""
    metric = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in signature(metric).parameters


class EpochCallbacks:
    """The callbacks that a user set on an estimator: one task per fit, one subtask per epoch."""

    def __init__(self, context: Any, arguments: dict[str, Any]) -> None:
        self._context, self._arguments = context, arguments
        self._context.call_on_fit_task_begin(**arguments)
        self._epoch: Any = None
        self.any_epochs = _has_callbacks(context)
        """Whether epochs are reported at all: contexts that no callback sees are not made."""

    def begin_epoch(self) -> None:
        """Report that an epoch begins."""
        if not self.any_epochs:
            return
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._arguments)

    def end_epoch(self, fitted: Callable[[], dict[str, Any]]) -> bool:
        """Report that an epoch ended; return whether a callback asks to stop.

        ``fitted`` returns the attributes that make an estimator of this moment.
        """
        if not self.any_epochs:
            return False
        return bool(
            self._epoch.call_on_fit_task_end(reconstruction_attributes=fitted, **self._arguments)
        )

    def end_fit(self, fitted: Callable[[], dict[str, Any]]) -> None:
        """Report that the fit ended."""
        self._context.call_on_fit_task_end(reconstruction_attributes=fitted, **self._arguments)


def _has_callbacks(context: Any) -> bool:
    """Whether a context, or one above it, has callbacks."""
    while context is not None:
        if getattr(context, "_callbacks", None) or getattr(context, "callbacks", None):
            return True
        context = getattr(context, "parent", None)
    return False


class EpochCallbackMixin(CallbackSupportMixin):
    """Callback support for an estimator that trains in epochs."""

    def _begin_callbacks(self, max_epochs: int, X: Any, y: Any, weight: Any) -> EpochCallbacks:
        """Report to the callbacks that a fit begins; return what reports its epochs."""
        context = self._init_callback_context(max_subtasks=max_epochs)
        metadata = {} if weight is None else {"sample_weight": weight}
        return EpochCallbacks(context, {"estimator": self, "X": X, "y": y, "metadata": metadata})
