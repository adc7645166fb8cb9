"""Regression: one target or several, squared error or Poisson."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from deltarule.errors import DataError
from deltarule.estimators._base import BaseMLP
from deltarule.estimators._sklearn import CONSTRAINTS, StrOptions, with_callbacks

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron for numbers, in scikit-learn's place.

    Half the squared error of a linear output, or half the Poisson deviance of an exponential one,
    summed over targets, is minimised (item M7).

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        Half the squared error; or half the Poisson deviance with a log link, for counts y ≥ 0.
    hidden_layer_sizes : array-like of int, default=(100,)
        Widths of the hidden layers; () is a network without any.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Of every hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        L-BFGS over the whole set, (Nesterov) gradient descent, or Adam over mini-batches.
    alpha : float, default=1e-4
        L2 penalty ½ alpha Σ‖W‖² on the sum of losses of a batch: the strength on the mean loss is
        alpha / b (item R1, erratum E-l).
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        How the rate changes, with ``solver="sgd"``: stays; η₀ / (t + 1)^power_t, t the examples
        seen; or divided by 5 whenever progress ends.
    learning_rate_init : float, default=1e-3
        η₀.
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        The most epochs (iterations of L-BFGS).
    shuffle : bool, default=True
        Visit the rows in a new order every epoch.
    random_state : int, RandomState or None, default=None
        Of the initial parameters, dropout's masks, the held-out part and the shuffling: an int
        repeats a fit to the bit.
    tol : float, default=1e-4
        By how much loss or score must improve for an epoch to count; the gradient's largest entry
        at which L-BFGS is done.
    verbose : bool, default=False
        Print a line an epoch.
    warm_start : bool, default=False
        ``fit`` goes on from the last fit's parameters.
    momentum : float, default=0.9
        Of ``solver="sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that momentum looks ahead.
    early_stopping : bool, default=False
        Watch the score of a held-out part, stop when it no longer improves, and end with the best
        parameters. The part is stratified by class (not for several labels).
    validation_fraction : float, default=0.1
        Size of that part, unless ``fit`` is given ``X_val`` and ``y_val``.
    beta_1, beta_2 : float, default=0.9, 0.999
        Adam's decay rates, in [0, 1).
    epsilon : float, default=1e-8
        Adam's ε. It is added after the bias correction, as in Kingma & Ba's Algorithm 1 and in
        PyTorch; scikit-learn adds it before.
    n_iter_no_change : int or inf, default=10
        Epochs in a row without improvement that are borne.
    max_fun : int, default=15000
        The most evaluations of L-BFGS.
    dropout : float or list of float, default=0.0
        Probability in [0, 1) that training drops a unit: a rate for all hidden layers, or a list
        with one for each. It applies behind the activation, and predictions drop nothing (item
        R3: keep p = 1 - dropout). Not with ``solver="lbfgs"``.
    batch_norm : bool, default=False
        Normalise every hidden layer over the mini-batch before its activation (items N1-N3); β
        takes the bias's place. Predictions use the means over the last epoch's batches;
        ``partial_fit`` is an epoch, so call it with as many rows as a mean needs. Each batch
        needs two rows of non-zero weight. Not with ``solver="lbfgs"``.
    engine : {"compiled", "reference"}, default="compiled"
        What runs the network: compiled kernels, or the readable NumPy code of the mathematics,
        many times slower. They agree up to rounding.
    n_threads : int or None, default=None
        The most threads that the compiled engine may use, at least 1. None means the environment
        variable ``DELTARULE_NUM_THREADS``, or else every core that the process may use.

    Attributes
    ----------
    coefs_ : list of (d_{l-1}, d_l) arrays
        Weights: live, writable views into the network's parameter vector.
    intercepts_ : list of (d_l,) arrays
        Biases, likewise; β of the hidden layers with ``batch_norm``.
    batch_norm_scale_ : list of (d_l,) arrays
        γ of the hidden layers, likewise; only with ``batch_norm``.
    loss_ : float
        The newest entry of ``loss_curve_``; with L-BFGS the loss at the end.
    loss_curve_ : list of float
        Training loss with its penalty, epoch by epoch;
        the squared error is averaged over targets there, as scikit-learn reports it.
    best_loss_ : float or None
        The lowest of them; None with ``early_stopping``.
    validation_scores_ : list of float or None
        R² on the held-out part, epoch by epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        The highest of them.
    n_iter_, t_ : int
        Epochs of the last fit; examples seen in all.
    n_layers_, n_outputs_ : int
        Layers, with input and output; output units.
    out_activation_ : str
        "identity", or "exp" with ``loss="poisson"``.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Features seen in ``fit``, and their names if X had any.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from deltarule import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> MLPRegressor(solver="lbfgs", random_state=1, tol=0.1).fit(X, y).score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        engine: str = "compiled",
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.engine = engine
        self.n_threads = n_threads

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Fit the network to X and the numbers y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss.
        X_val, y_val, sample_weight_val : optional
            Your own validation set for ``early_stopping=True``, instead of a part of X.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        DivergenceError
            At the first non-finite loss (a ``ValueError``); the estimator then holds the best
            finite parameters. With ``early_stopping`` it is a ``ConvergenceWarning`` instead.
        SpecError, DataError
            For a ``dropout`` that is no rate or not one a hidden layer, for either with
            ``solver="lbfgs"``, or for fewer than two rows a batch under ``batch_norm`` (each a
            ``ValueError``).
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))
        return self

    @available_if(lambda est: est._check_solver())
    @with_callbacks
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one pass over the given rows, going on from where the last call ended.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        numbers = y.dtype.kind in "biuf"  # and finite: validated
        return X, self._columns(y) if numbers else self._encode_targets(y)

    def _encode_targets(self, y: Any) -> Any:
        return self._columns(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"))

    def _columns(self, values: Any) -> Any:
        """Return checked numbers as (n, k)."""
        if self.loss == "poisson" and (values < 0).any():
            raise DataError(
                f"y must not be negative with loss='poisson'; got {values.min():g}. Use "
                "loss='squared_error' for targets below zero."
            )
        return values[:, None] if values.ndim == 1 else values

    def _output(self) -> tuple[str, str]:
        if self.loss == "poisson":
            return "exp", "poisson"
        return "identity", "squared_error"

    def _loss_scale(self) -> float:
        return 1.0 / self.n_outputs_ if self.loss == "squared_error" else 1.0

    def _decode(self, outputs: Any) -> Any:
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        return float(r2_score(targets, outputs, sample_weight=weight))

    def _strata(self, targets: Any) -> Any:
        return None

    def __sklearn_tags__(self) -> Any:
        """Say that several targets are taken."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
