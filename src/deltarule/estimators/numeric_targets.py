"""Numbers as targets of a network, and its outputs as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import validate_data

from deltarule.errors import DataError, SpecError
from deltarule.estimators.base import BaseMLP
from deltarule.onnx import Numbers, Scaling
from deltarule.parts import Huber, Loss, Quantile

__all__ = ["NumberMLP", "mean_d2"]


class NumberMLP(BaseMLP):
    """A network for numbers: one target or several, one quantile of each or several of one."""

    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=self._types(),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        numbers = y.dtype.kind in "biuf"  # and finite: validated
        return X, self._columns(y) if numbers else self._encode_targets(y)

    def _encode_targets(self, y: Any) -> Any:
        return self._columns(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"))

    def _columns(self, values: Any) -> Any:
        """Return checked numbers as (n, k): a column a target, or one for each of its quantiles."""
        if self.loss == "poisson" and (values < 0).any():
            raise DataError(
                f"y must not be negative with loss='poisson'; got {values.min():g}. Use "
                "loss='squared_error' for targets below zero."
            )
        columns = values[:, None] if values.ndim == 1 else values
        if self.loss != "quantile" or not hasattr(self.quantile, "__len__"):
            return columns
        if columns.shape[1] > 1:
            raise SpecError(
                f"quantile={self.quantile!r} predicts several quantiles of one target; y has "
                f"{columns.shape[1]} columns. Give one quantile, or fit an estimator a target."
            )
        return np.repeat(columns, len(self.quantile), axis=1)

    def _shown_targets(self, y: Any, targets: Any, kept: Any) -> Any:
        one = targets.shape[1] == 1 or self._levels() is not None
        return targets[:, 0] if one else targets

    def _standardizes_targets(self) -> bool:
        return bool(self.loss != "poisson")

    def _output(self) -> tuple[str, Loss]:
        if self.loss == "poisson":
            return "exp", "poisson"
        if self.loss == "huber":
            return "identity", Huber(float(self.huber_delta))
        if self.loss == "quantile":
            return "identity", Quantile(_read_quantile(self.quantile))
        return "identity", self.loss

    def _loss_scale(self) -> float:
        return 1.0 / self.n_outputs_ if self.loss == "squared_error" else 1.0

    def _levels(self) -> tuple[float, ...] | None:
        """Return the quantiles that the fitted network predicts, if they are several of one."""
        loss = self._network.loss if self.__sklearn_is_fitted__() else None
        return loss.levels if isinstance(loss, Quantile) and len(loss.levels) > 1 else None

    def _order(self, outputs: Any) -> Any:
        """Return which output is the prediction of each quantile, so that none cross."""
        return np.argsort(outputs, axis=1, kind="stable")[:, _ranks(self._levels())]

    def _decode(self, outputs: Any) -> Any:
        if self.scales_ is not None:
            outputs = self.scales_.outputs(outputs)
        if self._levels() is not None:
            return np.take_along_axis(outputs, self._order(outputs), axis=1)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _head(self) -> Numbers:
        scales, levels = self.scales_, self._levels()
        scaled = scales is not None and scales.y_mean is not None
        return Numbers(
            (Scaling(scales.y_mean, scales.y_scale),) if scales is not None and scaled else (),
            None if levels is None else tuple(_ranks(levels)),
        )

    def _in_order_of_prediction(self, jacobian: Any, X: Any) -> Any:
        if self._levels() is None:
            return jacobian
        order = self._order(self._forward(X))
        return np.take_along_axis(jacobian, order[:, :, None], axis=1)

    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        levels = self._levels()
        if levels is not None:
            ordered = np.take_along_axis(outputs, self._order(outputs), axis=1)
            return mean_d2(targets[:, 0], ordered, levels, weight)
        return float(r2_score(targets, outputs, sample_weight=weight))

    def _strata(self, targets: Any) -> Any:
        return None


def _ranks(levels: Any) -> list[int]:
    """Return the place of each quantile among all of them in ascending order."""
    ranks: list[int] = np.argsort(np.argsort(levels, kind="stable")).tolist()
    return ranks


def mean_d2(y: Any, predicted: Any, levels: Any, weight: Any) -> float:
    """Return the mean over quantiles of D², the share of the pinball loss explained."""
    scores = [
        d2_pinball_score(y, column, alpha=level, sample_weight=weight)
        for level, column in zip(levels, predicted.T, strict=True)
    ]
    return float(np.mean(scores))


def _read_quantile(given: Any) -> tuple[float, ...]:
    values = given.tolist() if isinstance(given, np.ndarray) else given
    values = tuple(values) if hasattr(values, "__iter__") else (values,)
    try:
        return Quantile(values).levels
    except SpecError as error:
        raise SpecError(f"quantile must be in (0, 1), one or a list of them: {error}") from error
