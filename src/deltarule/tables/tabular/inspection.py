"""What a network of a tabular estimator computes for rows: its numbers by name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from deltarule.errors import TableError
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.tables.ensemble import Ensemble
from deltarule.tables.record import Classes

if TYPE_CHECKING:
    from deltarule.metrics.information import InformationCriteria
    from deltarule.network.trace import Trace
    from deltarule.tables.model import TableModel

__all__ = ["InspectionMixin"]


class InspectionMixin:
    """The methods ``trace``, ``gradients``, ``log_likelihood``, ``aic`` and ``bic``."""

    if TYPE_CHECKING:  # what the estimators have
        model_: TableModel
        _inputs: Callable[[Any], NDArray[np.float64]]
        predict: Callable[[Any], NDArray[Any]]

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

    def log_likelihood(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the log-likelihood of rows under the predictions (item L5).

        Of classes Σ w log p, with the probabilities that are predicted: those of an ensemble at its
        temperature. Of numbers, in the unit of y, that of a normal distribution around the
        predictions, with the variance that maximises it: σ̂² = Σ w (y − ŷ)²/Σ w gives
        −(Σ w/2)(log 2πσ̂² + 1).

        Parameters
        ----------
        X : table or array, as in ``fit``
            The rows.
        y : array-like of shape (n_samples,)
            Their targets, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, which count as repetitions.

        Returns
        -------
        log_likelihood : float
            In natural logarithms; infinite if every number is predicted exactly.

        Raises
        ------
        TableError
            If X and y differ in their rows, or y has a class that the model does not know.

        Examples
        --------
        >>> import numpy as np
        >>> from deltarule import TabularClassifier
        >>> X, y = [[0.0], [1.0], [2.0]] * 9, ["low", "high", "high"] * 9
        >>> model = TabularClassifier(ensemble=2, bins=0, max_iter=2).fit(X, y)
        >>> p = model.predict_proba(X)[np.arange(27), np.searchsorted(model.classes_, y)]
        >>> bool(np.isclose(model.log_likelihood(X, y), np.log(p).sum(), rtol=1e-5))
        True
        """
        inputs, codes = self._checked_rows(X, y)
        weight = check_sample_weight(sample_weight, inputs)
        weight = np.ones(len(codes)) if weight is None else weight
        if isinstance(self.model_.target, Classes):
            logs = _log_probabilities(self.model_.trained, inputs)
            return float(weight @ logs[np.arange(len(codes)), codes])
        total, squares = weight.sum(), (codes - self.predict(X)) ** 2
        variance = weight @ squares / total
        if variance == 0:
            return float("inf")
        return float(-total / 2 * (np.log(2 * np.pi * variance) + 1))

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion 2k − 2 ln L̂ on rows; lower is better (item E5).

        Parameters
        ----------
        X, y, sample_weight
            As in ``log_likelihood``. k counts the parameters of all networks, the variance of a
            target of numbers, and the temperature of an ensemble of classifiers.
        """
        return self._information(X, y, sample_weight).aic

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian criterion k ln n − 2 ln L̂ on n rows; lower is better (item E5).

        Parameters
        ----------
        X, y, sample_weight
            As in ``log_likelihood``; k as in ``aic``.
        """
        return self._information(X, y, sample_weight).bic

    def _information(self, X: Any, y: Any, sample_weight: Any) -> InformationCriteria:
        from deltarule.metrics.information import information_criteria

        fit, networks = self.log_likelihood(X, y, sample_weight), self.model_.networks
        count = sum(network.network_.tape.n_parameters for network in networks)
        count += len(networks) > 1 or not isinstance(self.model_.target, Classes)
        return information_criteria(fit, count, len(self._inputs(X)))

    def _network(self, member: int) -> Any:
        return self.model_.member(member).estimator

    def _for_network(self, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
        """Return inputs, and targets as the networks take them."""
        if y is None:
            check_is_fitted(self)
            return self._inputs(X), None
        inputs, codes = self._checked_rows(X, y)
        return inputs, self.model_.target.to_network(codes)

    def _checked_rows(self, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return inputs, and targets as the model of the table holds them."""
        check_is_fitted(self)
        inputs, codes = self._inputs(X), self._codes(y)
        if len(codes) != len(inputs):
            raise TableError(
                f"X and y must have the same number of rows; got {len(inputs)} and {len(codes)}"
            )
        return inputs, codes


def _log_probabilities(trained: Any, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log p (n, k) of a network or an ensemble, also where p is too small for a float."""
    from scipy.special import logsumexp

    if not isinstance(trained, Ensemble):
        return np.asarray(trained.predict_log_proba(inputs), dtype=np.float64)
    logs = [member.estimator.predict_log_proba(inputs) for member in trained.members]
    mean = logsumexp(np.asarray(logs, dtype=np.float64), axis=0) - np.log(len(logs))
    scaled = mean / trained.temperature
    return np.asarray(scaled - logsumexp(scaled, axis=1, keepdims=True))
