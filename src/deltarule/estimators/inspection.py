"""What can be seen of a fitted estimator: its parameters, its layers, and its derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from deltarule.analysis.sensitivity import input_gradients, layer_activations
from deltarule.arrays import is_sparse
from deltarule.estimators.initial_state import kind_of
from deltarule.estimators.parameter_views import ParameterList
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.estimators.standardization import Scales
from deltarule.network import Network
from deltarule.program import Block, State
from deltarule.reference.gradient_check import GradientCheck, check_tape

__all__ = ["Inspection"]


class Inspection:
    """The part of an estimator that shows what is inside."""

    if TYPE_CHECKING:
        _network: Network
        _state: State
        scales_: Scales | None

        def _encode_targets(self, y: Any) -> Any: ...

        def _to_network(self, block: Block) -> Block: ...

    def check_gradients(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        epsilon: float = 1e-6,
        tolerance: float = 1e-7,
        max_parameters: int = 2000,
        seed: int = 0,
    ) -> GradientCheck:
        """Check the fitted network's gradients against central differences on your own data.

        Always in float64, with the penalty, at the fitted parameters (item B4).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to check on; a few dozen are enough.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.
        epsilon : float, default=1e-6
            Half the width of the difference quotients, times max(1, abs(θ_i)).
        tolerance : float, default=1e-7
            The error up to which the verdict is "right".
        max_parameters : int, default=2000
            Above this many, a sample from every named array is compared.
        seed : int, default=0
            Of that sample.

        Returns
        -------
        check : GradientCheck
            Its ``verdict`` is "right", "wrong" or "cannot tell"; ``str(check)`` explains.
        """
        check_is_fitted(self)
        X = self._checked_rows(X)
        targets = np.asarray(self._encode_targets(y), dtype=np.float64)
        if targets.shape[0] != X.shape[0]:
            raise ValueError(
                f"X and y must have the same number of rows; got {X.shape[0]} and "
                f"{targets.shape[0]}."
            )
        block = Block(X, targets, check_sample_weight(sample_weight, X))
        return check_tape(
            self._network.tape,
            State(self._state.theta.astype(np.float64), self._state.seed, self._state.step),
            self._to_network(block),
            epsilon=epsilon,
            tolerance=tolerance,
            max_parameters=max_parameters,
            seed=seed,
        )

    def layer_activations(self, X: Any) -> list[Any]:
        """Return the activations of every layer at the rows of X, behind its activation function.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        activations : list of ndarray of shape (n_samples, d_l)
            Of every hidden layer, then the network's outputs as the network has them: on
            standardised targets with ``standardize``.
        """
        check_is_fitted(self)
        return layer_activations(self._network, self._state, self._inputs(X))

    def input_gradients(self, X: Any) -> Any:
        """Return the Jacobian of the outputs in the inputs at every row, in the user's units.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_outputs_, n_features)
            Entry (i, k, j) is the derivative of output k in feature j at row i. The outputs are
            predicted numbers, or probabilities: of every class or label, for two classes that
            of ``classes_[1]`` alone.
        """
        check_is_fitted(self)
        jacobian = input_gradients(self._network, self._state, self._inputs(X))
        if self.scales_ is not None:
            jacobian /= self.scales_.X_scale
            if self.scales_.y_scale is not None:
                jacobian *= self.scales_.y_scale[:, None]
        return self._in_order_of_prediction(jacobian, X)

    def _in_order_of_prediction(self, jacobian: Any, X: Any) -> Any:
        """Return the Jacobian's rows as the outputs are predicted: as they are."""
        return jacobian

    def _checked_rows(self, X: Any) -> Any:
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=np.float64, reset=False)
        return X.tocsr() if is_sparse(X) else X

    def _inputs(self, X: Any) -> Any:
        """Return rows as the network takes them."""
        X = self._checked_rows(X)
        return X if self.scales_ is None else self.scales_.inputs(X)

    @property
    def network_(self) -> Network:
        """The fitted network: layers, loss, penalties, constraints."""
        return self._fitted_part("network_")

    @property
    def state_(self) -> State:
        """The state of ``network_``: θ, batch norm's statistics, the optimiser's memory; live."""
        return self._fitted_part("state_")

    def _fitted_part(self, name: str) -> Any:
        if "_state" not in vars(self):
            raise self._no_attribute(name)
        return vars(self)["_" + name.removesuffix("_")]

    @property
    def coefs_(self) -> ParameterList:
        """Weight matrices (d_{l-1}, d_l), a list of live views into θ."""
        return self._parameter_list("coefs_", "W")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self.coefs_.assign(values)

    @property
    def intercepts_(self) -> ParameterList:
        """Bias vectors (d_l,), or β of a normalised layer: a list of live views into θ."""
        return self._parameter_list("intercepts_", "b", "beta")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self.intercepts_.assign(values)

    @property
    def batch_norm_scale_(self) -> ParameterList:
        """γ (d_l,) of every hidden layer under batch norm: a list of live views into θ."""
        return self._parameter_list("batch_norm_scale_", "gamma")

    @batch_norm_scale_.setter
    def batch_norm_scale_(self, values: Any) -> None:
        self.batch_norm_scale_.assign(values)

    def _parameter_list(self, name: str, *kinds: str) -> ParameterList:
        fitted = "_state" in vars(self)
        views = self._network.tape.views(self._state.theta) if fitted else ()
        found = ParameterList(view for p, view in views if kind_of(p) in kinds)
        if not found:
            raise self._no_attribute(name)
        return found

    def _no_attribute(self, name: str) -> AttributeError:
        return AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
