"""What a network of a tabular estimator computes for rows: its numbers by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from deltarule.errors import TableError

if TYPE_CHECKING:
    from deltarule.network.trace import Trace
    from deltarule.tables.model import TableModel

__all__ = ["InspectionMixin"]


class InspectionMixin:
    """The methods ``trace`` and ``gradients``."""

    if TYPE_CHECKING:  # what the estimators have
        model_: TableModel
        _inputs: Callable[[Any], NDArray[np.float64]]

    @abstractmethod
    def _codes(self, y: Any) -> NDArray[Any]:
        """Return a target as the model of the table holds it: numbers, or places of labels."""

    def trace(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        member: int = 1,
        training: bool = False,
    ) -> Trace:
        """Return every Z, A, δ and gradient of one pass of rows through a network, by name.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows. Its inputs ``A0`` are those of ``transform``.
        y : array-like of shape (n_samples,), optional
            Their targets; without them there is no loss and no way back. The network learns
            numbers that are standardised: (y − mean) / scale, as its outputs are.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights in the loss.
        member : int, default=1
            Which network of an ensemble, counted from 1.
        training : bool, default=False
            Whether this is a pass of training, with dropout, as ``gradients`` is, or the pass that
            predicts.

        Returns
        -------
        trace : Trace
            A mapping from names such as "Z1", "A1", "delta1", "dW1", "loss" to arrays in float64.

        Examples
        --------
        >>> from deltarule import TabularRegressor
        >>> X, y = [[0.0], [1.0], [2.0]] * 9, [1.0, 2.0, 3.0] * 9
        >>> model = TabularRegressor(ensemble=2, bins=0, max_iter=2).fit(X, y)
        >>> model.trace([[1.5]], member=2)["A0"].shape
        (1, 1)
        """
        inputs, targets = self._for_network(X, y)
        network = self._network(member)
        found: Trace = network.trace(inputs, targets, sample_weight, training=training)
        return found

    def gradients(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        member: int = 1,
        penalties: bool = False,
    ) -> dict[str, Any]:
        """Return the gradients ∂C/∂W1, ∂C/∂b1, … of a network's mean loss on rows, by name.

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows of one batch.
        y : array-like of shape (n_samples,)
            Their targets.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.
        member : int, default=1
            Which network of an ensemble, counted from 1.
        penalties : bool, default=False
            Whether C includes the penalties.

        Returns
        -------
        gradients : dict of str to ndarray
            Each with the shape of its parameter, in float64.
        """
        inputs, targets = self._for_network(X, y)
        found: dict[str, Any] = self._network(member).gradients(
            inputs, targets, sample_weight, penalties=penalties
        )
        return found

    def _network(self, member: int) -> Any:
        return self.model_.member(member).estimator

    def _for_network(self, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
        """Return inputs, and targets as the networks take them."""
        check_is_fitted(self)
        inputs = self._inputs(X)
        if y is None:
            return inputs, None
        codes = self._codes(y)
        if len(codes) != len(inputs):
            raise TableError(
                f"X and y must have the same number of rows; got {len(inputs)} and {len(codes)}"
            )
        return inputs, self.model_.target.to_network(codes)
