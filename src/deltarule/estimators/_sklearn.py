"""What the estimators take from scikit-learn beyond its documented interface, in one place.

The callback interface (1.9) is young and the parameter constraints are internal: should either
move, this file is where to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import _check_sample_weight

from deltarule.schedules import Clock, InverseScaling

__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "CallbackSupportMixin",
    "EpochCallbacks",
    "RestartedInverseScaling",
    "StrOptions",
    "check_sample_weight",
    "is_first_partial_fit",
    "with_callbacks",
]

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "batch_norm": ["boolean"],
    "engine": [StrOptions({"compiled", "reference"})],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
}
"""scikit-learn's own bounds, so that a bad value is refused in scikit-learn's words; then ours."""


def check_sample_weight(sample_weight: Any, X: Any) -> Any:
    """Return the weights as an array of X's type, or None as None; negative ones are refused."""
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)


def is_first_partial_fit(estimator: Any, classes: Any) -> bool:
    """Whether this call of ``partial_fit`` is the first; classes must fit the earlier calls'."""
    return bool(_check_partial_fit_first_call(estimator, classes))


@dataclass(frozen=True)
class RestartedInverseScaling(InverseScaling):
    """``invscaling`` as ``fit`` has it: also a warm one takes its first epoch at η₀."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return η₀ in a run's first epoch, η₀ / (t + 1)^power from then on."""
        return initial if clock.epoch == 0 else super().rate(initial, current, clock)


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
