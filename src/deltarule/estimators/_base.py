"""What the two estimators share: scikit-learn's conventions around a network and its training."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from deltarule.arrays import is_sparse
from deltarule.estimators._parameters import ParameterList
from deltarule.estimators._sklearn import (
    CONSTRAINTS,
    CallbackSupportMixin,
    EpochCallbacks,
    RestartedInverseScaling,
    check_sample_weight,
)
from deltarule.network import Network
from deltarule.optimizers import SGD, Adam, Optimizer
from deltarule.parts import L2, Dense
from deltarule.program import Block, State
from deltarule.reference import Reference
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.schedules import Adaptive, Constant, InverseScaling, Schedule
from deltarule.training import History, Run, Stopping, epoch_orders, minimize_cost, run_epochs
from deltarule.training.divergence import divergence_error
from deltarule.training.loop import Figures

__all__ = ["BaseMLP"]

_OURS = {"logistic": "sigmoid"}
"""scikit-learn's names of activations, where they differ from the field's."""


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
        validation: tuple[Any, Any, Any] = (None, None, None),
        *,
        incremental: bool = False,
    ) -> None:
        self._validate_params()
        with _unchanged_on_error(self):
            block, held_out = self._prepare(X, y, sample_weight, validation, incremental)
        if self.solver == "lbfgs":
            self._fit_lbfgs(block)
        else:
            self._fit_stochastic(block, held_out, incremental)

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool,
    ) -> tuple[Block, Block | None]:
        """Check everything, begin the network if it is new, and hold the validation set out."""
        sizes = self._hidden_sizes()
        stochastic = self.solver != "lbfgs"
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "_state") or not (self.warm_start or incremental)
        X, targets = self._check_targets(X, y, incremental=incremental, reset=first)
        weight = check_sample_weight(sample_weight, X)
        self._random_state = check_random_state(self.random_state)
        if first:
            self._begin(sizes, X.shape[1], targets.shape[1], X.dtype)
        else:
            self._check_continues(sizes, X, targets)
        X = X.tocsr() if is_sparse(X) else np.ascontiguousarray(X)
        with np.errstate(over="ignore"):  # the loss will be infinite, and the message says why
            block = Block(X, targets.astype(self._state.theta.dtype), weight)
        held_out = self._held_out_set(validation) if stochastic else None
        if stochastic and self.early_stopping and held_out is None:
            return self._split(block)
        return block, held_out

    def _hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        sizes = list(given) if hasattr(given, "__iter__") else [given]
        if not all(isinstance(size, Integral) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must hold integers; got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _begin(self, sizes: list[int], n_features: int, n_outputs: int, dtype: Any) -> None:
        """Forget everything; draw θ as scikit-learn does (Glorot's bounds, biases included)."""
        self.n_outputs_ = n_outputs
        self.n_layers_ = len(sizes) + 2
        self._network = self._build(sizes, n_features, str(np.dtype(dtype)))
        factor = 2.0 if self.activation == "logistic" else 6.0
        pieces = []
        for fan_in, fan_out in zip([n_features, *sizes], [*sizes, n_outputs], strict=True):
            bound = np.sqrt(factor / (fan_in + fan_out))
            pieces.append(self._random_state.uniform(-bound, bound, (fan_in, fan_out)).ravel())
            pieces.append(self._random_state.uniform(-bound, bound, fan_out))
        self._state = State(np.concatenate(pieces).astype(dtype))
        self._rate: float | None = None
        self._watch: Stopping | None = None
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_loss_: float | None = None if self.early_stopping else np.inf
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None

    def _build(self, sizes: list[int], n_features: int, dtype: str) -> Network:
        out_activation, loss = self._output()
        hidden = _OURS.get(str(self.activation), str(self.activation))
        names = {"sigmoid": "logistic"}
        self.out_activation_ = names.get(out_activation, out_activation)
        return Network(
            n_features,
            [*(Dense(size, hidden) for size in sizes), Dense(self.n_outputs_, out_activation)],
            loss=loss,
            penalties=[L2(float(self.alpha), per="batch")],
            dtype=dtype,
        )

    def _check_continues(self, sizes: list[int], X: Any, targets: Any) -> None:
        """Refuse to go on with a network of another shape; take up a changed ``alpha``."""
        widths = [layer.units for layer in self._network.dense_layers]
        if widths != [*sizes, targets.shape[1]]:
            raise ValueError(
                f"the fitted network has layers of {widths} units, but hidden_layer_sizes and y "
                f"now ask for {[*sizes, targets.shape[1]]}. Set warm_start=False, or fit a new "
                "estimator."
            )
        self._network = self._build(sizes, X.shape[1], self._network.dtype)

    def _optimizer(self) -> Optimizer:
        if self.solver == "sgd":
            nesterov = bool(self.nesterovs_momentum)
            return SGD(float(self.learning_rate_init), float(self.momentum), nesterov)
        return Adam(
            float(self.learning_rate_init),
            float(self.beta_1),
            float(self.beta_2),
            float(self.epsilon),
        )

    def _schedule(self, incremental: bool) -> Schedule:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            power = float(self.power_t)
            return InverseScaling(power) if incremental else RestartedInverseScaling(power)
        if self.solver == "sgd" and self.learning_rate == "adaptive":
            return Adaptive()
        return Constant()

    def _held_out_set(self, validation: tuple[Any, Any, Any]) -> Block | None:
        """Return the user's own validation set, checked like the training set."""
        X_val, y_val, weight = validation
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val go together: give both, or neither.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are what early stopping watches: set early_stopping=True, or "
                "leave them out."
            )
        X_val = validate_data(
            self, X_val, accept_sparse="csr", dtype=self._state.theta.dtype, reset=False
        )
        targets = self._encode_targets(y_val)
        if targets.shape[0] != X_val.shape[0]:
            raise ValueError(
                f"X_val and y_val must have the same number of rows; got {X_val.shape[0]} and "
                f"{targets.shape[0]}."
            )
        return Block(X_val, targets, check_sample_weight(weight, X_val))

    def _split(self, block: Block) -> tuple[Block, Block]:
        """Hold out ``validation_fraction`` of the rows, stratified by class."""
        rows = np.arange(block.n_rows)
        strata = self._strata(block.y)
        if strata is not None:
            names, counts = np.unique(strata, return_counts=True)
            if counts.min() < 2:
                few = [str(name) for name in names[counts < 2]]
                raise ValueError(
                    "The least populated classes in y have only 1 member, which is too few. The "
                    "minimum number of groups for any class cannot be less than 2. Classes with "
                    f"too few members are: {few}. Give each class at least 2 rows, pass X_val and "
                    "y_val, or set early_stopping=False."
                )
        kept, held = train_test_split(
            rows,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=strata,
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        return block.take(kept), block.take(held)

    def _batch_size(self, n_rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, n_rows)
        if self.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=6,
            )
        return min(int(self.batch_size), n_rows)

    def _fit_stochastic(self, block: Block, held_out: Block | None, incremental: bool) -> None:
        if self._watch is None or self._watch.maximize != bool(self.early_stopping):
            self._watch = Stopping(maximize=bool(self.early_stopping))
        self._watch.tol, self._watch.patience = float(self.tol), float(self.n_iter_no_change)
        if not incremental:
            self._state.slots, self._rate = None, None
        epochs = 1 if incremental else int(self.max_iter)
        report = _Report(self, block, epochs)
        run = Run(
            epochs=epochs,
            batch_size=self._batch_size(block.n_rows),
            learning_rate=float(self.learning_rate_init),
            orders=epoch_orders(block.n_rows, self._shuffled if self.shuffle else None),
            schedule=self._schedule(incremental),
            stopping=self._watch,
            validation=None if held_out is None else self._validation(held_out),
            restore_best=bool(self.early_stopping),
            on_begin=report.begin,
            on_epoch=report.epoch,
            current_rate=self._rate,
            examples_seen=self.t_,
            loss_scale=self._loss_scale(),
        )
        interpreter = Reference(self._network.tape, self._optimizer())
        history = run_epochs(interpreter, self._state, block, run)
        self._rate = run.current_rate
        self._conclude(history, block, epochs=None if incremental else epochs)
        report.end()

    def _shuffled(self, rows: Any) -> Any:
        """Return the next epoch's order: scikit-learn's draw."""
        places = np.arange(len(rows))
        self._random_state.shuffle(places)
        return rows[places]

    def _validation(self, held_out: Block) -> Callable[[State], Figures]:
        interpreter = Reference(self._network.tape)

        def measure(state: State) -> Figures:
            outputs = interpreter.forward(state, held_out)
            if not np.isfinite(outputs).all():
                return Figures(score=float("nan"))
            with np.errstate(over="ignore"):  # R² of numbers whose squares are infinite: -inf
                score = self._score_targets(held_out.y, outputs, held_out.weight)
            return Figures(score=score)

        return measure

    def _conclude(self, history: History, block: Block, epochs: int | None) -> None:
        """Say how the training ended, in scikit-learn's words where it has them."""
        if history.stopped_by == "divergence":
            self._take_over(history, block.n_rows)
            error = divergence_error(
                block.x,
                block.y,
                epochs=history.n_epochs,
                learning_rate=float(self.learning_rate_init),
            )
            if not self.early_stopping:
                raise error
            assert self.validation_scores_ is not None
            self.validation_scores_.append(float("nan"))
            warnings.warn(str(error), ConvergenceWarning, stacklevel=6)
        elif history.stopped_by == "interrupt":
            warnings.warn("Training interrupted by user.", stacklevel=6)
        elif history.stopped_by == "epochs" and epochs is not None:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _take_over(self, history: History, n_rows: int) -> None:
        """Add the history's newest epoch to the fitted attributes."""
        self.n_iter_ = history.n_epochs
        self.t_ += n_rows
        self.loss_ = history.cost[-1]
        self.loss_curve_.append(self.loss_)
        if self.best_loss_ is not None and self.loss_ < self.best_loss_:
            self.best_loss_ = self.loss_
        if history.validation_score and self.validation_scores_ is not None:
            if len(history.validation_score) == history.n_epochs:
                self.validation_scores_.append(history.validation_score[-1])
            best = self._watch.best if self._watch is not None else None
            self.best_validation_score_ = -np.inf if best is None else best

    def _fit_lbfgs(self, block: Block) -> None:
        report = _Report(self, block, int(self.max_iter))
        scale = self._loss_scale()

        def on_iteration(history: History) -> bool:
            self.loss_ = scale * history.loss[-1] + history.penalty[-1]
            self.loss_curve_.append(self.loss_)
            report.begin()
            return report.iteration(history)

        ended = minimize_cost(
            Reference(self._network.tape),
            self._state,
            block,
            max_iterations=int(self.max_iter),
            max_evaluations=int(self.max_fun),
            tol=float(self.tol),
            on_iteration=on_iteration,
        )
        self.n_iter_ = min(ended.n_iterations, int(self.max_iter))
        self.t_ += self.n_iter_ * block.n_rows
        self.best_loss_ = min(self.loss_curve_, default=None)
        interpreter = Reference(self._network.tape)
        sums = interpreter.gradient(self._state, block)
        loss, penalty, _ = interpreter.cost(self._state, sums)
        self.loss_ = scale * loss + penalty
        if ended.history.stopped_by == "divergence":
            raise divergence_error(block.x, block.y, epochs=self.n_iter_)
        if ended.history.stopped_by == "interrupt":
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif not ended.converged and ended.history.stopped_by != "callback":
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): {ended.message}. "
                "Increase max_iter or max_fun, raise tol, or scale the data.",
                ConvergenceWarning,
                stacklevel=5,
            )
        report.end()

    # --- after fitting -------------------------------------------------------------------------

    def _forward(self, X: Any, *, logits: bool = False) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if is_sparse(X):
            X = X.tocsr()
        X = X.astype(self._state.theta.dtype, copy=False)
        return Reference(self._network.tape).forward(self._state, Block(X), logits=logits)

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
            State(self._state.theta.astype(np.float64)),
            Block(X, targets, check_sample_weight(sample_weight, X)),
            epsilon=epsilon,
            tolerance=tolerance,
            max_parameters=max_parameters,
            seed=seed,
        )

    @property
    def coefs_(self) -> ParameterList:
        """Weight matrices (d_{l-1}, d_l), a list of live views into θ."""
        return self._parameter_list(2)

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._parameter_list(2).assign(values)

    @property
    def intercepts_(self) -> ParameterList:
        """Bias vectors (d_l,), a list of live views into θ."""
        return self._parameter_list(1)

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._parameter_list(1).assign(values)

    def _parameter_list(self, n_axes: int) -> ParameterList:
        if "_state" not in vars(self):
            name = "coefs_" if n_axes == 2 else "intercepts_"
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        views = self._network.tape.views(self._state.theta)
        return ParameterList(view for p, view in views if len(p.shape) == n_axes)

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


class _Report:
    """After every epoch: fitted attributes, verbose lines, the user's callbacks."""

    def __init__(self, estimator: BaseMLP, block: Block, epochs: int) -> None:
        self._estimator, self._n_rows = estimator, block.n_rows
        self._callbacks = EpochCallbacks(estimator, epochs, block.x, block.y, block.weight)

    def begin(self) -> None:
        """Tell the callbacks that an epoch begins."""
        self._callbacks.begin_epoch()

    def epoch(self, history: History) -> bool:
        """Take a stochastic solver's epoch over; return whether a callback says stop."""
        estimator = self._estimator
        estimator._take_over(history, self._n_rows)
        return self.iteration(history)

    def iteration(self, history: History) -> bool:
        """Print, and tell the callbacks; return whether one says stop."""
        estimator = self._estimator
        if estimator.verbose:
            print(f"Iteration {history.n_epochs}, loss = {estimator.loss_:.8f}")  # noqa: T201
            if history.validation_score:
                print(f"Validation score: {history.validation_score[-1]:f}")  # noqa: T201
        return self._callbacks.end_epoch(self._fitted)

    def end(self) -> None:
        """Tell the callbacks that the fit is over."""
        self._callbacks.end_fit(self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return the attributes from which a ready estimator of this moment is made."""
        attributes = {
            name: value
            for name, value in vars(self._estimator).items()
            if name.endswith("_") or name in ("_network", "_label_binarizer")
        }
        return attributes | {"_state": self._estimator._state.copy()}
