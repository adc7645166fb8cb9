"""Numbers as a network's targets: one or several, or several quantiles of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network.scores import r_squared
from deltarule.spec import Huber, Loss, Quantile
from deltarule.utils.checks import check_undated

if TYPE_CHECKING:
    from deltarule.onnx import Numbers

__all__ = ["NumericTargets", "mean_d2"]


@dataclass(frozen=True)
class NumericTargets(TargetEncoder):
    """Numbers, and the loss that they are fitted with.

    Attributes
    ----------
    loss : str, Huber or Quantile
        The network's loss.
    listed : tuple of float or None
        The quantiles that the user gave as a list, each of which has a column.
    """

    loss: Loss
    listed: tuple[float, ...] | None = None

    @classmethod
    def read(cls, loss: str, huber_delta: float, quantile: Any) -> NumericTargets:
        """Return the encoder that the regressor's arguments ask for."""
        if loss == "huber":
            return cls(Huber(float(huber_delta)))
        if loss == "quantile":
            levels = _read_quantile(quantile)
            return cls(Quantile(levels), levels if hasattr(quantile, "__len__") else None)
        return cls(loss)

    @classmethod
    def of_loss(cls, loss: Loss) -> NumericTargets:
        """Return the encoder of a network with this loss."""
        several = isinstance(loss, Quantile) and len(loss.levels) > 1
        return cls(loss, loss.levels if isinstance(loss, Quantile) and several else None)

    @property
    def levels(self) -> tuple[float, ...] | None:
        """The quantiles, if the network predicts several of one target."""
        loss = self.loss
        return loss.levels if isinstance(loss, Quantile) and len(loss.levels) > 1 else None

    @property
    def can_standardize(self) -> bool:
        """Whether ``standardize=True`` scales the targets, too: not those of a Poisson loss."""
        return self.loss != "poisson"

    def output(self) -> tuple[str, Loss]:
        """Return an exponential output for a Poisson loss, and else a linear one."""
        return "exp" if self.loss == "poisson" else "identity", self.loss

    def loss_scale(self, n_outputs: int) -> float:
        """Return 1/k for squared errors, which scikit-learn averages over k targets."""
        return 1.0 / n_outputs if self.loss == "squared_error" else 1.0

    def encode(self, y: Any, *, validated: bool = False, name: str = "y") -> Any:
        """Return numbers (n, k): a column for each target, or for each quantile of one."""
        if not validated or y.dtype.kind not in "biuf":
            from sklearn.utils import check_array

            check_undated(name, y)
            y = check_array(y, ensure_2d=False, dtype="numeric", input_name=name)
        if self.loss == "poisson" and (y < 0).any():
            raise DataError(
                f"{name} must not be negative with loss='poisson'; got {y.min():g}. Use "
                "loss='squared_error' for targets below zero."
            )
        columns = y[:, None] if y.ndim == 1 else y
        if self.listed is None:
            return columns
        if columns.shape[1] > 1:
            raise SpecError(
                f"quantile={list(self.listed)} predicts several quantiles of one target; y has "
                f"{columns.shape[1]} columns. Give one quantile, or fit an estimator a target."
            )
        return np.repeat(columns, len(self.listed), axis=1)

    def decode(self, outputs: Any) -> Any:
        """Return numbers (n,) or (n, k); quantiles are sorted, so that none cross."""
        if self.levels is not None:
            return np.take_along_axis(outputs, self._order(outputs), axis=1)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def score(self, targets: Any, outputs: Any, weight: Any) -> float:
        """Return R²; for several quantiles the mean D² of their pinball losses."""
        if self.levels is not None:
            return mean_d2(targets[:, 0], self.decode(outputs), self.levels, weight)
        return r_squared(targets, outputs, weight)

    def head(self) -> Numbers:
        """Return the end of an ONNX graph that returns numbers, without scalings."""
        from deltarule.onnx import Numbers

        return Numbers((), None if self.levels is None else tuple(_ranks(self.levels)))

    def callback_targets(self, y: Any, targets: Any, rows: Any) -> Any:
        """Return the training rows' numbers, (n,) for one target."""
        single = targets.shape[1] == 1 or self.levels is not None
        return targets[:, 0] if single else targets

    def in_prediction_order(self, jacobian: Any, outputs: Callable[[], Any]) -> Any:
        """Return a Jacobian (n, k, d) with its quantiles sorted as the predictions are."""
        if self.levels is None:
            return jacobian
        return np.take_along_axis(jacobian, self._order(outputs())[:, :, None], axis=1)

    def _order(self, outputs: Any) -> Any:
        """Return which output is the prediction of each quantile (n, k)."""
        return np.argsort(outputs, axis=1, kind="stable")[:, _ranks(self.levels)]


def mean_d2(y: Any, predicted: Any, levels: Any, weight: Any) -> float:
    """Return the mean over quantiles of D², the share of the pinball loss that is explained."""
    from sklearn.metrics import d2_pinball_score

    scores = [
        d2_pinball_score(y, column, alpha=level, sample_weight=weight)
        for level, column in zip(levels, predicted.T, strict=True)
    ]
    return float(np.mean(scores))


def _ranks(levels: Any) -> list[int]:
    """Return the place of each quantile among all of them in ascending order."""
    ranks: list[int] = np.argsort(np.argsort(levels, kind="stable")).tolist()
    return ranks


def _read_quantile(given: Any) -> tuple[float, ...]:
    values = given.tolist() if isinstance(given, np.ndarray) else given
    values = tuple(values) if hasattr(values, "__iter__") else (values,)
    try:
        return Quantile(values).levels
    except SpecError as error:
        raise SpecError(f"quantile must be in (0, 1), one or a list of them: {error}") from error
