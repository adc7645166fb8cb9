"""Regression: one target or several, means, medians, quantiles and rates."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from deltarule.estimators.base import BaseMLP
from deltarule.estimators.numeric_targets import NumericTargets, mean_d2
from deltarule.estimators.parameter_constraints import REGRESSOR, for_scikit_learn
from deltarule.estimators.sklearn_compat import with_callbacks
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.estimators.validation_split import Validation
from deltarule.utils.checks import check_undated

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron for numbers, in scikit-learn's place.

    A loss of a linear output, or half the Poisson deviance of an exponential one, summed over
    targets, is minimised (item M7).

    Parameters
    ----------
    loss : str, default="squared_error"
        Half the squared error; "absolute_error", of the median; "huber" (see ``huber_delta``);
        "quantile" (see ``quantile``); or "poisson", half the Poisson deviance with a log link, for
        counts y ≥ 0.
    hidden_layer_sizes : array-like of int, default=(100,)
        Widths of the hidden layers; () is a network without any.
    activation : str, LeakyReLU, ELU or a list of them, default="relu"
        Activation of every hidden layer, or a list with one for each: scikit-learn's names, or
        any of ``deltarule.spec.ACTIVATIONS`` ("gelu", "silu", "mish", "selu", …).
    solver : str or an optimiser, default="adam"
        "lbfgs" and "line_search" minimise over the whole set; "sgd", "adam", "adamw", "nadam",
        "rmsprop", "adagrad", "adadelta", "ema_momentum" and "rprop" (full batch) take steps.
        An instance such as ``AdamW(0.01)`` has its own constants and learning rate.
    alpha : float, default=1e-4
        L2 penalty ½ alpha Σ‖W‖² on the sum of losses of a batch: the strength on the mean loss is
        alpha / b (item R1, erratum E-l).
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch; "auto" is min(200, n_samples).
    learning_rate : str or a schedule, default="constant"
        scikit-learn's three names change only the rate of "sgd": "constant"; "invscaling",
        η₀ / (t + 1)^power_t, t the examples seen; "adaptive", divided by 5 whenever progress
        ends. "cosine", "flat_cosine", "cosine_log", "one_cycle", "warm_up", "exponential",
        "step_decay", "inverse_time", "inverse_square_root", "reduce_on_plateau" and instances such
        as ``Cosine(warm_up=2)`` work with every solver that takes steps (item O7). A call of
        ``partial_fit`` is an epoch.
    learning_rate_init : float, default=1e-3
        The learning rate η₀ of a solver given by name.
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        The maximum number of epochs, or of a minimiser's iterations.
    shuffle : bool, default=True
        Visit the rows in a new order every epoch.
    random_state : int, RandomState or None, default=None
        Seed of the initial parameters, dropout masks, validation split and shuffling: with an int
        a fit gives the same bits again.
    tol : float, default=1e-4
        By how much loss or score must improve for an epoch to count; the gradient's largest entry
        at which L-BFGS is done.
    verbose : bool, default=False
        Print a line for every epoch; in a terminal and a notebook, draw one bar instead, with the
        latest loss and score and the time left.
    warm_start : bool, default=False
        Whether ``fit`` continues from the last fit's parameters.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"`` and "ema_momentum", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that momentum looks ahead.
    early_stopping : bool, default=False
        Hold a part of the rows out and measure it after every epoch (see ``monitor``). Training
        stops when that no longer improves, and ends with the best parameters.
    validation_fraction : float or a cross-validation splitter, default=0.1
        Share of the rows, in (0, 1), that is drawn at random to be held out, at least two rows; not
        used if ``fit`` is given ``X_val`` and ``y_val``. Or a splitter such as ``GroupKFold()`` or
        ``TimeSeriesSplit()``, whose first fold is used. Both parts have a row of non-zero weight.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam and its kin, in [0, 1).
    epsilon : float, default=1e-8
        Adam's ε. It is added after the bias correction, as in Kingma & Ba's Algorithm 1 and in
        PyTorch; scikit-learn adds it before.
    n_iter_no_change : int or inf, default=10
        Epochs in a row without improvement that are allowed; one more ends training.
    max_fun : int, default=15000
        The maximum number of evaluations of a minimiser given by name.
    dropout : float or list of float, default=0.0
        Probability in [0, 1) that training drops a unit: a rate for all hidden layers, or a list
        with one for each. It applies after the activation; predictions drop nothing (item R3, with
        keep probability p = 1 - dropout). Not with ``solver="lbfgs"``.
    batch_norm : bool, default=False
        Normalise every hidden layer over the mini-batch before its activation (items N1-N3); β
        takes the bias's place. Predictions use the means over the last epoch's batches;
        ``partial_fit`` is an epoch, so call it with as many rows as a mean needs. Each batch
        needs two rows of non-zero weight. Not with ``solver="lbfgs"``.
    engine : {"compiled", "reference"}, default="compiled"
        What runs the network: compiled kernels, or the readable NumPy code of the mathematics,
        which is many times slower. They agree up to rounding.
    n_threads : int or None, default=None
        The maximum number of threads of the compiled engine, at least 1. None means the environment
        variable ``DELTARULE_NUM_THREADS``, or else every core that the process may use.
    input_dropout : float, default=0.0
        Probability in [0, 1) that training drops an input.
    l1 : float, default=0.0
        L1 penalty l1 Σ|W|, scaled as ``alpha`` (item R2). Steps end at exactly zero (proximal),
        except with "rprop".
    max_norm : float or None, default=None
        The largest norm of the weights into a unit, enforced by projection (item R5).
    gradient_clip : float, ("value", float) or None, default=None
        The largest norm of a gradient, scaled back if longer; or where entries are cut off (H4).
    weight_init : str, Normal, Uniform, ConstantInitializer or callable, default="auto"
        Initial weights: scikit-learn's ("auto"), a name such as "he_normal" or "orthogonal", a
        distribution, or ``f(rng, fan_in, fan_out)``. Except for "auto", biases start at 0 (I1-I5).
    augment : callable or None, default=None
        ``augment(x, rows, epoch) -> x'``, applied in every epoch to X in its own units, such as
        ``deltarule.augmentation.Compose`` (item D4). Dense X only.
    dtype : {"auto", "float32", "float64"}, default="auto"
        The type of every number; "auto" is float32 for float32 data, and float64 otherwise.
    standardize : bool, default=False
        Scale every feature, and every target unless the loss is "poisson", to mean 0 and
        deviation 1, by the weighted training rows; sparse X is not centred. Predictions come back
        in y's units; ``coefs_``, losses and ``huber_delta`` are of the standardised data.
    monitor : str or callable, default="auto"
        What early stopping watches: "auto" is R², "loss" the loss without penalties, else the name
        of a scorer or ``f(estimator, X, y)``, which returns a number that is better when higher. A
        scorer is tried once before the first epoch: if it is not defined on the rows held out,
        ``fit`` says why.
    on_divergence : {"raise", "recover"}, default="raise"
        At a loss that is not finite: raise; or go back to the best finite parameters, multiply
        every learning rate by 0.1, warn and continue, once per fit (minimisers end there).
    record_health : bool, default=False
        Record norms, dead and saturated units of every epoch in ``health_`` (items H1-H3).
    checkpoint : str, path-like, Checkpoint or None, default=None
        A folder for checkpoints of the fit. The same fit resumes from the newest one, to the same
        bits; a fit with other data or arguments is refused. Not for minimisers, ``warm_start``
        and ``partial_fit``; not part of a file. See ``docs/checkpoints.md``.
    shards : int, Shards or None, default=None
        Cut every batch into so many shards, a power of two, and add the sums over them in a
        balanced tree: the same bits as on a cluster (`deltarule.dask`), where ``Shards(8,
        partitions)`` names the lengths of its partitions. Not with ``batch_norm``.
    huber_delta : float, default=1.0
        Where ``loss="huber"`` turns from squared to linear.
    quantile : float or list of float, default=0.5
        In (0, 1), of ``loss="quantile"``. A list predicts a column for each, (n, q), which never
        cross; for a single target.

    Attributes
    ----------
    coefs_ : list of (d_{l-1}, d_l) arrays
        Weights: live, writable views into the network's parameter vector.
    intercepts_ : list of (d_l,) arrays
        Biases, likewise; β of the hidden layers with ``batch_norm``.
    batch_norm_scale_ : list of (d_l,) arrays
        γ of the hidden layers, likewise; only with ``batch_norm``.
    loss_ : float
        The newest entry of ``loss_curve_``; with a minimiser the loss at the end.
    loss_curve_ : list of float
        Training loss with its penalty, epoch by epoch;
        the squared error is averaged over targets there, as scikit-learn reports it.
    best_loss_ : float or None
        The lowest of them; None with ``early_stopping``.
    validation_scores_ : list of float or None
        Score of the held-out part (``monitor``; R² with "auto" and "loss"), epoch by epoch, with
        ``early_stopping``.
    best_validation_score_ : float or None
        The highest of them; with ``monitor="loss"`` that of the lowest loss.
    validation_loss_curve_ : list of float or None
        Loss on the held-out part, without penalties, epoch by epoch, with ``early_stopping``.
    health_ : list of Health
        The records of ``record_health=True``; not part of a file.
    scales_ : Scales or None
        ``X_mean``, ``X_scale``, ``y_mean`` and ``y_scale`` of ``standardize``.
    network_, state_ : Network, State
        The network and its parameters, for ``deltarule.analysis``.
    n_iter_, t_ : int
        Epochs of the last fit; examples seen in all fits.
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

    Beyond scikit-learn's arguments: an interval that holds four fifths of the rows.

    >>> model = MLPRegressor(
    ...     "quantile", (16,), quantile=[0.1, 0.9], standardize=True, solver="adamw",
    ...     learning_rate_init=0.01, max_iter=500, random_state=0,
    ... ).fit(X, y)
    >>> low, high = model.predict(X).T
    >>> bool((low <= high).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = for_scikit_learn(REGRESSOR)
    _kind, _numeric_targets = "regressor", True

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: Any = "constant",
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
        validation_fraction: Any = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        engine: str = "compiled",
        n_threads: int | None = None,
        input_dropout: float = 0.0,
        l1: float = 0.0,
        max_norm: float | None = None,
        gradient_clip: Any = None,
        weight_init: Any = "auto",
        augment: Any = None,
        dtype: str = "auto",
        standardize: bool = False,
        monitor: Any = "auto",
        on_divergence: str = "raise",
        record_health: bool = False,
        checkpoint: Any = None,
        shards: Any = None,
        huber_delta: float = 1.0,
        quantile: Any = 0.5,
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
        self.input_dropout = input_dropout
        self.l1 = l1
        self.max_norm = max_norm
        self.gradient_clip = gradient_clip
        self.weight_init = weight_init
        self.augment = augment
        self.dtype = dtype
        self.standardize = standardize
        self.monitor = monitor
        self.on_divergence = on_divergence
        self.record_health = record_health
        self.checkpoint = checkpoint
        self.shards = shards
        self.huber_delta = huber_delta
        self.quantile = quantile

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
        groups: Any = None,
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
        groups : array-like of shape (n_samples,), optional
            Groups of rows that a splitter given as ``validation_fraction`` must keep together.

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
            For arguments that do not go together, or not with the data; the message names them
            and the remedy (each a ``ValueError``).
        CheckpointError, OutputError
            If the folder of ``checkpoint`` is of another fit, or cannot be written to.
        """
        self._fit(X, y, sample_weight, Validation(X_val, y_val, sample_weight_val, groups))
        return self

    @available_if(lambda est: est._check_solver())
    @with_callbacks
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one pass over the given rows, continuing from where the last call ended.

        With ``standardize=True`` the first call, of at least two rows, learns the scales
        of all calls.

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the predictions; for a list of quantiles the mean D² of pinball losses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float
            At most 1; 0 is what the best constant reaches.
        """
        check_undated("y", y)
        targets = self._model.targets if self.__sklearn_is_fitted__() else None
        levels = targets.levels if isinstance(targets, NumericTargets) else None
        if levels is None:
            return float(super().score(X, y, sample_weight))
        return mean_d2(y, self.predict(X), levels, sample_weight)

    def _check_parameters(self) -> None:
        try:
            super()._check_parameters()
        except ValueError as error:
            if isinstance(self.loss, str):
                raise
            raise type(error)(
                f"{error} The first argument of MLPRegressor is loss, as in scikit-learn: write "
                f"hidden_layer_sizes={self.loss!r}."
            ) from None

    def _readable_targets(self, y: Any) -> Any:
        check_undated("y", y)
        return y

    def _encoder(self, y: Any, known: TargetEncoder | None, *, learn: bool) -> NumericTargets:
        return NumericTargets.read(self.loss, self.huber_delta, self.quantile)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several targets are accepted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        if self.loss == "quantile" and np.ndim(self.quantile):
            # predict returns (n, q) for y (n,): ensembles that average predictions would mix them
            tags.estimator_type = None
        return tags
