"""What the two estimators share: scikit-learn's conventions around a network and its training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from deltarule.arrays import is_sparse
from deltarule.errors import SpecError
from deltarule.estimators._held_out import Validation, own_validation_set, split
from deltarule.estimators._kept import Kept
from deltarule.estimators._layers import (
    Hidden,
    begin_state,
    build_network,
    check_rows,
    check_solver,
    draw_seed,
    kind_of,
    read_hidden,
)
from deltarule.estimators._parameters import ParameterList
from deltarule.estimators._sklearn import CONSTRAINTS, CallbackSupportMixin, check_sample_weight
from deltarule.estimators._solvers import fit_lbfgs, fit_stochastic
from deltarule.network import Network
from deltarule.optimizers import Optimizer
from deltarule.program import Block, Interpreter, State
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.training import Stopping

__all__ = ["BaseMLP"]


class BaseMLP(CallbackSupportMixin, BaseEstimator, ABC):
    """A network behind scikit-learn's interface; not to be used directly.

    The random numbers are drawn in scikit-learn's order, so that the same ``random_state`` gives
    the same initial parameters and the same mini-batches as scikit-learn's own estimators.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS
    loss: str

    # --- what a subclass says ------------------------------------------------------------------

    @abstractmethod
    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """Return validated (X, targets (n, k))."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Any:
        """Return validation targets (n, k), by what the fit has learned of them."""

    @abstractmethod
    def _output(self) -> tuple[str, str]:
        """Return the output layer's activation and the network's loss, in our names."""

    @abstractmethod
    def _decode(self, outputs: Any) -> Any:
        """Return predictions from the network's outputs (n, k)."""

    @abstractmethod
    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        """Return the score of outputs against targets, both (n, k)."""

    @abstractmethod
    def _strata(self, targets: Any) -> Any:
        """Return what a held-out part is stratified by, or None."""

    def _loss_scale(self) -> float:
        """Return what the network's loss is multiplied by to be scikit-learn's number."""
        return 1.0

    # --- fitting -------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: Validation = (None, None, None),
        *,
        incremental: bool = False,
    ) -> None:
        kept = self.__dict__.setdefault("_kept", Kept())
        kept.check(self)
        with _unchanged_on_error(self):
            block, held_out = self._prepare(X, y, sample_weight, validation, incremental)
        if self.solver == "lbfgs":
            fit_lbfgs(self, block)
        else:
            fit_stochastic(self, block, held_out, incremental)

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, validation: Validation, incremental: bool
    ) -> tuple[Block, Block | None]:
        """Check everything, begin the network if it is new, and hold the validation set out."""
        hidden = read_hidden(
            self.activation, self.hidden_layer_sizes, self.dropout, self.batch_norm
        )
        check_solver(hidden, str(self.solver))
        stochastic = self.solver != "lbfgs"
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "_state") or not (self.warm_start or incremental)
        X, targets = self._check_targets(X, y, incremental=incremental, reset=first)
        weight = check_sample_weight(sample_weight, X)
        self._random_state = self._kept.stream(self.random_state)
        if first:
            self._begin(hidden, X.shape[1], targets.shape[1], X.dtype)
        else:
            self._go_on(hidden, X.shape[1], targets.shape[1])
        dtype = self._state.theta.dtype
        with np.errstate(over="ignore"):  # the loss will be infinite, and the message says why
            block = Block(
                _in_one_piece(X, dtype),
                _in_one_piece(targets, dtype),
                None if weight is None else _in_one_piece(weight, dtype),
            )
        held_out = own_validation_set(self, validation) if stochastic else None
        if stochastic and self.early_stopping and held_out is None:
            block, held_out = split(self, block)
        check_rows(hidden, block, self.batch_size)
        return block, held_out

    def _begin(self, hidden: Hidden, n_features: int, n_outputs: int, dtype: Any) -> None:
        """Forget everything, and draw a new network."""
        self._hidden = hidden
        self.n_outputs_ = n_outputs
        self.n_layers_ = len(hidden.sizes) + 2
        self._network = self._build(hidden, n_features, str(np.dtype(dtype)))
        self._state = begin_state(self._network, hidden, self._random_state)
        self._rate: float | None = None
        self._watch: Stopping | None = None
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_loss_: float | None = None if self.early_stopping else np.inf
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None

    def _build(self, hidden: Hidden, n_features: int, dtype: str) -> Network:
        output = self._output()
        self.out_activation_ = {"sigmoid": "logistic"}.get(output[0], output[0])
        return build_network(
            hidden,
            output,
            n_inputs=n_features,
            n_outputs=self.n_outputs_,
            alpha=float(self.alpha),
            dtype=dtype,
        )

    def _go_on(self, hidden: Hidden, n_features: int, n_outputs: int) -> None:
        """Refuse to go on with other parameters; take up a changed ``alpha`` or ``dropout``."""
        widths = [layer.units for layer in self._network.dense_layers]
        if widths != [*hidden.sizes, n_outputs]:
            raise ValueError(
                f"the fitted network has layers of {widths} units, but hidden_layer_sizes and y "
                f"now ask for {[*hidden.sizes, n_outputs]}. Set warm_start=False, or fit a new "
                "estimator."
            )
        if hidden.normalizes != self._hidden.normalizes:
            raise SpecError(
                f"the fitted network has batch_norm={not hidden.batch_norm}, but batch_norm is now "
                f"{hidden.batch_norm}. Set it back, set warm_start=False, or fit a new estimator."
            )
        if hidden.drops and not self._hidden.drops:
            self._state.seed = draw_seed(self._random_state)
        self._hidden = hidden
        wanted = self._build(hidden, n_features, self._network.dtype)
        if wanted != self._network:  # else its tape is lowered already, and interpreters are kept
            self._network = wanted

    # --- after fitting -------------------------------------------------------------------------

    def _interpreter(self, optimizer: Optimizer | None = None) -> Interpreter:
        """Return an interpreter of the network, kept from the last call if it still fits."""
        return self._kept.interpreter(
            self._network.tape, optimizer, engine=self.engine, n_threads=self.n_threads
        )

    def _forward(self, X: Any, *, logits: bool = False) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        block = Block(_in_one_piece(X, self._state.theta.dtype))
        return self._interpreter().forward(self._state, block, logits=logits)

    def predict(self, X: Any) -> Any:
        """Predict for the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, label indicators or numbers.
        """
        return self._decode(self._forward(X))

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
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=np.float64, reset=False)
        X = X.tocsr() if is_sparse(X) else X
        targets = np.asarray(self._encode_targets(y), dtype=np.float64)
        if targets.shape[0] != X.shape[0]:
            raise ValueError(
                f"X and y must have the same number of rows; got {X.shape[0]} and "
                f"{targets.shape[0]}."
            )
        return check_tape(
            self._network.tape,
            State(self._state.theta.astype(np.float64), self._state.seed, self._state.step),
            Block(X, targets, check_sample_weight(sample_weight, X)),
            epsilon=epsilon,
            tolerance=tolerance,
            max_parameters=max_parameters,
            seed=seed,
        )

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
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return found

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        return True

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` or ``partial_fit`` has run."""
        return hasattr(self, "_state")

    def __sklearn_tags__(self) -> Any:
        """Say that sparse input is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@contextmanager
def _unchanged_on_error(estimator: BaseMLP) -> Iterator[None]:
    """Put every attribute back if the arguments turn out to be bad: an earlier fit stays."""
    before = dict(vars(estimator))
    try:
        yield
    except Exception:
        estimator.__dict__ = before
        raise


def _in_one_piece(array: Any, dtype: Any) -> Any:
    """Return an array as interpreters read it: of θ's type, CSR or C-contiguous."""
    if is_sparse(array):
        return array.tocsr().astype(dtype, copy=False)
    return np.ascontiguousarray(array, dtype=dtype)
