"""deltarule: multilayer perceptrons, built from their mathematics.

``MLPClassifier`` and ``MLPRegressor`` take scikit-learn's place; ``Network`` and ``train`` show
every step. See the README for a tour and ``docs/maths.md`` for the equations.
"""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import Any as _Any

from deltarule import errors
from deltarule.estimators import MLPClassifier, MLPRegressor
from deltarule.network import Network, check_gradients, train
from deltarule.optimizers import SGD, Adam, MomentumAverage
from deltarule.plots import plot_confusion_matrix, plot_learning_curve, plot_predictions
from deltarule.program import State
from deltarule.reference.gradient_check import GradientCheck, check_function
from deltarule.schedules import Adaptive, Constant, InverseScaling
from deltarule.spec import L2, Dense, LeakyReLU, Normal, Uniform
from deltarule.training import History, Stopping

__version__ = _version("deltarule")

__all__ = [
    "L2",
    "SGD",
    "Adam",
    "Adaptive",
    "Constant",
    "Dense",
    "GradientCheck",
    "History",
    "InverseScaling",
    "LeakyReLU",
    "MLPClassifier",
    "MLPRegressor",
    "MomentumAverage",
    "Network",
    "Normal",
    "State",
    "Stopping",
    "Uniform",
    "check_function",
    "check_gradients",
    "errors",
    "load",
    "plot_confusion_matrix",
    "plot_learning_curve",
    "plot_predictions",
    "save",
    "train",
]


def __getattr__(name: str) -> _Any:
    """Import ``save`` and ``load``, and what reads files, when they are first asked for."""
    if name in ("save", "load"):
        from deltarule import files

        return getattr(files, name)
    raise AttributeError(f"module 'deltarule' has no attribute {name!r}")
