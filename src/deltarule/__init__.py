"""deltarule: multilayer perceptrons, built from their mathematics.

``MLPClassifier`` and ``MLPRegressor`` take scikit-learn's place; ``Network`` and ``train`` show
every step. See the README for a tour and ``docs/maths.md`` for the equations.

Every name is imported when it is first asked for: importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    __version__: str

    from deltarule import errors
    from deltarule.estimators import MLPClassifier, MLPRegressor
    from deltarule.files import load, save
    from deltarule.network import Network, check_gradients, train
    from deltarule.optimizers import SGD, Adam, MomentumAverage
    from deltarule.plots import plot_confusion_matrix, plot_learning_curve, plot_predictions
    from deltarule.program import State
    from deltarule.reference.gradient_check import GradientCheck, check_function
    from deltarule.schedules import Adaptive, Constant, InverseScaling
    from deltarule.spec import L2, Dense, LeakyReLU, Normal, Uniform
    from deltarule.training import History, Stopping

_HOMES = {
    "deltarule.errors": ("errors",),
    "deltarule.estimators": ("MLPClassifier", "MLPRegressor"),
    "deltarule.files": ("load", "save"),
    "deltarule.network": ("Network", "check_gradients", "train"),
    "deltarule.optimizers": ("SGD", "Adam", "MomentumAverage"),
    "deltarule.plots": ("plot_confusion_matrix", "plot_learning_curve", "plot_predictions"),
    "deltarule.program": ("State",),
    "deltarule.reference.gradient_check": ("GradientCheck", "check_function"),
    "deltarule.schedules": ("Adaptive", "Constant", "InverseScaling"),
    "deltarule.spec": ("L2", "Dense", "LeakyReLU", "Normal", "Uniform"),
    "deltarule.training": ("History", "Stopping"),
}
"""Where each public name lives."""

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
    """Import a public name from where it lives, once."""
    if name == "__version__":
        return _import_module("importlib.metadata").version("deltarule")
    for home, names in _HOMES.items():
        if name in names:
            module = _import_module(home)
            value = module if name == "errors" else getattr(module, name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'deltarule' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names too, imported or not."""
    return sorted({*globals(), *__all__})
