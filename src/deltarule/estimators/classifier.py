"""Classification: binary, multiclass and multilabel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from deltarule.estimators.base import BaseMLP
from deltarule.estimators.class_labels import plain_labels
from deltarule.estimators.class_targets import ClassTargets
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.parameter_constraints import CLASSIFIER, for_scikit_learn
from deltarule.estimators.sklearn_compat import with_callbacks
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.estimators.validation_split import Validation

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron for classes, in scikit-learn's place.

    The log-loss of a sigmoid output (two classes, or one output for each of several labels) or of
    a softmax output (more classes) is minimised (items M1, M3-M6).

    Parameters
    ----------
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
        stops when that no longer improves, and ends with the best parameters. A part drawn by
        ``validation_fraction`` is stratified by class, as nearly as whole rows allow, except with
        several labels; two classes need two rows each, as in scikit-learn.
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
        Scale every feature to mean 0 and deviation 1, by the weighted training rows; sparse X is
        not centred. ``coefs_`` are those of the network, on standardised inputs.
    monitor : str or callable, default="auto"
        What early stopping watches: "auto" is the accuracy, "loss" the loss without penalties and
        label smoothing, else the name of a scorer or ``f(estimator, X, y)``, which returns a number
        that is better when higher. A scorer is told all classes of the training rows, and is tried
        once before the first epoch: if it is not defined on the rows held out, ``fit`` says why.
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
    label_smoothing : float, default=0.0
        s in [0, 1): a target y becomes (1 - s) y + s/K over K classes, s/2 for labels.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, which multiply the sample weights; "balanced" is inverse to their
        frequency, by sample weight. For several labels a list, with a dict of 0 and 1 for each.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    coefs_ : list of (d_{l-1}, d_l) arrays
        Weights: live, writable views into the network's parameter vector.
    intercepts_ : list of (d_l,) arrays
        Biases, likewise; β of the hidden layers with ``batch_norm``.
    batch_norm_scale_ : list of (d_l,) arrays
        γ of the hidden layers, likewise; only with ``batch_norm``.
    loss_ : float
        The newest entry of ``loss_curve_``; with a minimiser the loss at the end.
    loss_curve_ : list of float
        Training loss with its penalty, epoch by epoch.
    best_loss_ : float or None
        The lowest of them; None with ``early_stopping``.
    validation_scores_ : list of float or None
        Score of the held-out part (``monitor``; accuracy with "auto" and "loss"), epoch by epoch,
        with ``early_stopping``.
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
        "logistic" or "softmax".
    n_features_in_, feature_names_in_ : int, ndarray of str
        Features seen in ``fit``, and their names if X had any.

    Notes
    -----
    At a probability of exactly 0.5 the first of two classes is predicted, as by scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from deltarule import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", alpha=1.0, tol=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True

    Beyond scikit-learn's arguments, with the loss of a part held out to stop by:

    >>> model = MLPClassifier(
    ...     (16, 8), activation=["gelu", "tanh"], solver="adamw", learning_rate_init=0.01,
    ...     standardize=True, early_stopping=True, monitor="loss", random_state=0,
    ... ).fit(X, y)
    >>> model.input_gradients(X[:2]).shape  # of three probabilities in four features
    (2, 3, 4)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = for_scikit_learn(CLASSIFIER)
    _kind, _numeric_targets = "classifier", False

    def __init__(
        self,
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
        label_smoothing: float = 0.0,
        class_weight: Any = None,
    ) -> None:
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

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
    ) -> MLPClassifier:
        """Fit the network to X and the class labels y.

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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
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
        classes : array-like of shape (n_classes,), optional
            All classes that will occur; needed in the first call.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        known = None
        y, classes = plain_labels(y), plain_labels(classes)
        if not self.__sklearn_is_fitted__():
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            known = ClassTargets.of_classes(classes, y)
        elif classes is not None:
            self._class_targets("classes_").check_same(classes)
        self._fit(X, y, sample_weight, incremental=True, known=known)
        return self

    def _readable_targets(self, y: Any) -> Any:
        return plain_labels(y)

    def _encoder(self, y: Any, known: TargetEncoder | None, *, learn: bool) -> ClassTargets:
        if learn:
            known = ClassTargets.learn(y)
        else:
            assert isinstance(known, ClassTargets)
            known.check_known(y, same=self.warm_start)
        return replace(
            known, label_smoothing=float(self.label_smoothing), class_weight=self.class_weight
        )

    @property
    def classes_(self) -> Any:
        """The class labels (n_classes,), in ascending order."""
        return self._class_targets("classes_").classes

    @classes_.setter
    def classes_(self, values: Any) -> None:
        self._model.targets = replace(self._class_targets("classes_"), classes=values)

    def _class_targets(self, name: str) -> ClassTargets:
        targets = self._fitted(name).targets
        assert isinstance(targets, ClassTargets)
        return targets

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of every class (or label), in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            Rows sum to 1, except with several labels.
        """
        model, outputs = self._outputs(X, logits=_is_binary)
        return model.probabilities(outputs) if _is_binary(model) else outputs

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of ``predict_proba``, from the logits: tiny ones keep their digits.

        Of several labels, one that is likelier than not has the logarithm of its rounded
        probability: labels tie here where they tie in ``predict_proba``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Natural logarithms.
        """
        model, z = self._outputs(X, logits=lambda model: True)
        assert isinstance(model.targets, ClassTargets)
        return model.targets.log_probabilities(z)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several labels are accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _is_binary(model: FittedModel) -> bool:
    return model.is_binary
