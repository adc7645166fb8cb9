"""Classification: binary, multiclass and multilabel."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from deltarule.estimators._base import BaseMLP
from deltarule.estimators._sklearn import is_first_partial_fit, with_callbacks
from deltarule.reference.activations import log_softmax
from deltarule.reference.scalar_functions import sigmoid, softplus

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron for classes, in scikit-learn's place.

    The log-loss of a sigmoid output (two classes, or one output for each of several labels) or of
    a softmax output (more classes) is minimised (items M1, M3-M6).

    Parameters
    ----------
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
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    coefs_ : list of (d_{l-1}, d_l) arrays
        Weights: live, writable views into the network's parameter vector.
    intercepts_ : list of (d_l,) arrays
        Biases, likewise; β of the hidden layers with ``batch_norm``.
    batch_norm_scale_ : list of (d_l,) arrays
        γ of the hidden layers, likewise; only with ``batch_norm``.
    loss_ : float
        The newest entry of ``loss_curve_``; with L-BFGS the loss at the end.
    loss_curve_ : list of float
        Training loss with its penalty, epoch by epoch.
    best_loss_ : float or None
        The lowest of them; None with ``early_stopping``.
    validation_scores_ : list of float or None
        Accuracy on the held-out part, epoch by epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        The highest of them.
    n_iter_, t_ : int
        Epochs of the last fit; examples seen in all.
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
    """

    classes_: Any

    def __init__(
        self,
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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one pass over the given rows, going on from where the last call ended.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss.
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        if is_first_partial_fit(self, classes):
            labels = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if labels else self.classes_)
            if not labels and len(self.classes_) < 2:
                classes = self.classes_
                del self.classes_  # an error leaves nothing half-fitted
                raise _one_class_error(classes, "Name all in classes.")
        self._fit(X, y, sample_weight, incremental=True)
        return self

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
        if self._is_binary():
            z = self._forward(X, logits=True)
            return sigmoid(np.concatenate([-z, z], axis=1))
        return self._forward(X)

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of ``predict_proba``, from the logits: tiny ones keep their digits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Natural logarithms.
        """
        z = self._forward(X, logits=True)
        if self.out_activation_ == "softmax":
            return log_softmax(z)
        return -softplus(np.concatenate([z, -z], axis=1) if self._is_binary() else -z)

    def _is_binary(self) -> bool:
        return bool(self.__sklearn_is_fitted__() and self._label_binarizer.y_type_ == "binary")

    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not incremental and (reset or not hasattr(self, "classes_")):
            self._learn_classes(y)
        elif self.warm_start or self._codes(y) is None:
            self._check_known_classes(y)
        return X, self._encode_targets(y)

    def _learn_classes(self, y: Any) -> None:
        binarizer = LabelBinarizer().fit(y)
        if len(binarizer.classes_) < 2 and not binarizer.y_type_.startswith("multilabel"):
            raise _one_class_error(binarizer.classes_, "Add rows of another class.")
        self._label_binarizer = binarizer
        self.classes_ = binarizer.classes_

    def _check_known_classes(self, y: Any) -> None:
        classes = unique_labels(y)
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {classes}."
            )

    def _encode_targets(self, y: Any) -> Any:
        if not issparse(y):
            y = np.asarray(y)
        dtype = self._state.theta.dtype if hasattr(self, "_state") else np.float64
        codes = self._codes(y)
        if codes is not None:
            columns = np.arange(len(self.classes_)) if len(self.classes_) > 2 else 1
            return (codes[:, None] == columns).astype(dtype)
        if not issparse(y):
            self._check_known_labels(y)
        encoded = self._label_binarizer.transform(y)
        encoded = encoded.toarray() if issparse(encoded) else encoded
        return np.asarray(encoded, dtype=dtype)

    def _codes(self, y: Any) -> Any:
        """Return the place of each label in ``classes_``; None if y needs a closer look."""
        kinds = self.classes_.dtype.kind + y.dtype.kind
        several = self._label_binarizer.y_type_.startswith("multilabel")
        if several or y.ndim != 1 or not (kinds == "UU" or set(kinds) <= set("biuf")):
            return None
        codes = np.searchsorted(self.classes_, y)
        codes[codes == len(self.classes_)] = 0
        return codes if (self.classes_[codes] == y).all() else None

    def _check_known_labels(self, y: Any) -> None:
        """Refuse labels that would silently be encoded as no class at all."""
        if y.ndim != 1 or self._label_binarizer.y_type_.startswith("multilabel"):
            return
        unknown = np.setdiff1d(np.unique(y), self.classes_)
        if len(unknown):
            raise ValueError(
                f"y contains classes that fit has not seen: {unknown[:5]}; known are "
                f"{self.classes_}."
            )

    def _output(self) -> tuple[str, str]:
        if self._label_binarizer.y_type_ == "multiclass":
            return "softmax", "categorical_cross_entropy"
        return "sigmoid", "binary_cross_entropy"

    def _decode(self, outputs: Any) -> Any:
        if self._label_binarizer.y_type_ == "binary":
            return self.classes_[(outputs[:, 0] > 0.5).astype(int)]
        if self._label_binarizer.y_type_ == "multiclass":
            return self.classes_[np.argmax(outputs, axis=1)]
        return self._label_binarizer.inverse_transform(outputs)

    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        if self.out_activation_ == "softmax":
            pair = np.argmax(targets, axis=1), np.argmax(outputs, axis=1)
        else:
            pair = targets > 0.5, outputs > 0.5
        return float(accuracy_score(*pair, sample_weight=weight))

    def _strata(self, targets: Any) -> Any:
        kind = self._label_binarizer.y_type_
        if kind.startswith("multilabel"):
            return None
        number = np.argmax(targets, axis=1) if kind == "multiclass" else targets[:, 0].astype(int)
        return self.classes_[number]

    def __sklearn_tags__(self) -> Any:
        """Say that several labels are taken."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _one_class_error(classes: Any, remedy: str) -> ValueError:
    """Return the error of a single class, which it names; the first words are scikit-learn's."""
    return ValueError(
        "This solver needs samples of at least 2 classes in the data, but the data contains only "
        f"one class: {classes.tolist()[0]!r}. {remedy}"
    )
