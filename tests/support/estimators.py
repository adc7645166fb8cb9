"""What the tests of the estimators share: scikit-learn's classes and ours, and small data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import sklearn.neural_network as peer
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

import deltarule

OURS = {"classifier": deltarule.MLPClassifier, "regressor": deltarule.MLPRegressor}
THEIRS = {"classifier": peer.MLPClassifier, "regressor": peer.MLPRegressor}
KINDS = tuple(OURS)

TASKS = {
    "binary": "classifier",
    "multiclass": "classifier",
    "multilabel": "classifier",
    "numbers": "regressor",
    "several numbers": "regressor",
    "counts": "regressor",
    "several counts": "regressor",
}
"""Everything that y can be, and which estimator takes it."""

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SCHEDULES = ("constant", "invscaling", "adaptive")


def data(task: str, n: int = 40, d: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """Return X (n, d) and targets with something to learn in them, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    signal = X @ rng.normal(size=(d, 3)) + 0.3 * rng.normal(size=(n, 3))
    y = {
        "binary": np.where(signal[:, 0] > 0, "yes", "no"),
        "multiclass": np.array([3, 5, 8])[np.argmax(signal, axis=1)],
        "multilabel": (signal > 0).astype(int),
        "numbers": signal[:, 0],
        "several numbers": signal[:, :2],
        "counts": rng.poisson(np.exp(np.clip(signal[:, 0], -1, 1))),
        "several counts": rng.poisson(np.exp(np.clip(signal[:, :2], -1, 1))),
    }[task]
    return X, y


def extra(task: str) -> dict[str, Any]:
    """Return the arguments that a task needs in addition to its data."""
    return {"loss": "poisson"} if task.endswith("counts") else {}


def ours(task: str, **arguments: Any) -> Any:
    return OURS[TASKS[task]](**extra(task), **arguments)


def theirs(task: str, **arguments: Any) -> Any:
    return THEIRS[TASKS[task]](**extra(task), **arguments)


@contextmanager
def unconverged() -> Iterator[None]:
    """Let a fit end before it has converged; every other warning is still an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@contextmanager
def noisy() -> Iterator[None]:
    """Let scikit-learn warn as it likes: of overflow, in its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class KingmaBa(AdamOptimizer):
    """scikit-learn's Adam with ε moved behind the bias correction: η m̂/(√v̂ + ε) is
    η √(1 − β₂ᵗ)/(1 − β₁ᵗ) m/(√v + ε √(1 − β₂ᵗ))."""

    def _get_updates(self, grads: Any) -> Any:
        given = self.epsilon
        self.epsilon = given * np.sqrt(1 - self.beta_2 ** (self.t + 1))
        updates = super()._get_updates(grads)
        self.epsilon = given
        return updates


@contextmanager
def adam_as_published() -> Iterator[None]:
    """Let scikit-learn's estimators use the form of Adam that Kingma & Ba print."""
    with patch("sklearn.neural_network._multilayer_perceptron.AdamOptimizer", KingmaBa):
        yield


def parameters(estimator: Any) -> Any:
    """Return every weight and bias in one vector."""
    return np.concatenate([np.ravel(a) for a in [*estimator.coefs_, *estimator.intercepts_]])


def assert_same_fit(mine: Any, peers: Any, X: Any, *, tol: float = 1e-9) -> None:
    """The two estimators went the same way and ended at the same place."""
    assert mine.n_iter_ == peers.n_iter_
    assert mine.n_layers_ == peers.n_layers_
    assert mine.n_outputs_ == peers.n_outputs_
    assert mine.out_activation_ == peers.out_activation_
    close = {"rtol": tol, "atol": tol}
    for a, b in zip(
        [*mine.coefs_, *mine.intercepts_], [*peers.coefs_, *peers.intercepts_], strict=True
    ):
        assert_allclose(a, b, **close)
    if hasattr(peers, "classes_"):
        assert_array_equal(mine.classes_, peers.classes_)
        assert_allclose(mine.predict_proba(X), peers.predict_proba(X), **close)
        assert_array_equal(mine.predict(X), peers.predict(X))
    else:
        assert_allclose(mine.predict(X), peers.predict(X), **close)
        assert mine.predict(X).shape == peers.predict(X).shape


def assert_same_curves(mine: Any, peers: Any, *, tol: float = 1e-9) -> None:
    """The stochastic solvers reported the same numbers on their way."""
    close = {"rtol": tol, "atol": tol}
    assert mine.t_ == peers.t_
    assert_allclose(mine.loss_curve_, peers.loss_curve_, **close)
    assert_allclose(mine.loss_, peers.loss_, **close)
    for name in ("best_loss_", "best_validation_score_", "validation_scores_"):
        expected = getattr(peers, name)
        if expected is None:
            assert getattr(mine, name) is None, name
        else:
            assert_allclose(getattr(mine, name), expected, **close, err_msg=name)
