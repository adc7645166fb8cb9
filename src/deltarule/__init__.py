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
    from deltarule.analysis import (
        check_gradients,
        critical_point,
        dropout_average,
        dropout_exact,
        fold_batch_norm,
        hessian_eigenvalues,
        hessian_vector_product,
        network_health,
        refresh_statistics,
        shrinkage_table,
    )
    from deltarule.clipping import ClipNorm, ClipValue
    from deltarule.estimators import MLPClassifier, MLPRegressor
    from deltarule.network import Network
    from deltarule.optimizers import (
        LBFGS,
        SGD,
        Adadelta,
        Adagrad,
        Adam,
        AdamW,
        LineSearch,
        MomentumAverage,
        Nadam,
        RMSprop,
        Rprop,
    )
    from deltarule.parts import (
        ELU,
        L1,
        L2,
        BatchNorm,
        BinaryCrossEntropy,
        CategoricalCrossEntropy,
        Dense,
        Dropout,
        Fixed,
        Huber,
        LeakyReLU,
        MaxNorm,
        Normal,
        Quantile,
        Uniform,
    )
    from deltarule.persistence import load, save
    from deltarule.plots import plot_confusion_matrix, plot_learning_curve, plot_predictions
    from deltarule.program import State
    from deltarule.reference.gradient_check import GradientCheck, check_function
    from deltarule.schedules import (
        Adaptive,
        Constant,
        Cosine,
        Exponential,
        InverseScaling,
        InverseSquareRoot,
        InverseTime,
        OneCycle,
        ReduceOnPlateau,
        StepDecay,
        Table,
        WarmUp,
    )
    from deltarule.trainer import train
    from deltarule.training import Checkpoint, EarlyStopping, History

_HOMES = {
    "deltarule.errors": ("errors",),
    "deltarule.analysis": (
        "check_gradients",
        "critical_point",
        "dropout_average",
        "dropout_exact",
        "fold_batch_norm",
        "hessian_eigenvalues",
        "hessian_vector_product",
        "network_health",
        "refresh_statistics",
        "shrinkage_table",
    ),
    "deltarule.clipping": ("ClipNorm", "ClipValue"),
    "deltarule.estimators": ("MLPClassifier", "MLPRegressor"),
    "deltarule.network": ("Network",),
    "deltarule.optimizers": (
        "LBFGS",
        "SGD",
        "Adadelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "LineSearch",
        "MomentumAverage",
        "Nadam",
        "RMSprop",
        "Rprop",
    ),
    "deltarule.parts": (
        "ELU",
        "L1",
        "L2",
        "BatchNorm",
        "BinaryCrossEntropy",
        "CategoricalCrossEntropy",
        "Dense",
        "Dropout",
        "Fixed",
        "Huber",
        "LeakyReLU",
        "MaxNorm",
        "Normal",
        "Quantile",
        "Uniform",
    ),
    "deltarule.persistence": ("load", "save"),
    "deltarule.plots": ("plot_confusion_matrix", "plot_learning_curve", "plot_predictions"),
    "deltarule.program": ("State",),
    "deltarule.reference.gradient_check": ("GradientCheck", "check_function"),
    "deltarule.schedules": (
        "Adaptive",
        "Constant",
        "Cosine",
        "Exponential",
        "InverseScaling",
        "InverseSquareRoot",
        "InverseTime",
        "OneCycle",
        "ReduceOnPlateau",
        "StepDecay",
        "Table",
        "WarmUp",
    ),
    "deltarule.trainer": ("train",),
    "deltarule.training": ("Checkpoint", "EarlyStopping", "History"),
}
"""Where each public name lives."""

__all__ = [
    "ELU",
    "L1",
    "L2",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adaptive",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Checkpoint",
    "ClipNorm",
    "ClipValue",
    "Constant",
    "Cosine",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Exponential",
    "Fixed",
    "GradientCheck",
    "History",
    "Huber",
    "InverseScaling",
    "InverseSquareRoot",
    "InverseTime",
    "LeakyReLU",
    "LineSearch",
    "MLPClassifier",
    "MLPRegressor",
    "MaxNorm",
    "MomentumAverage",
    "Nadam",
    "Network",
    "Normal",
    "OneCycle",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "Rprop",
    "State",
    "StepDecay",
    "Table",
    "Uniform",
    "WarmUp",
    "check_function",
    "check_gradients",
    "critical_point",
    "dropout_average",
    "dropout_exact",
    "errors",
    "fold_batch_norm",
    "hessian_eigenvalues",
    "hessian_vector_product",
    "load",
    "network_health",
    "plot_confusion_matrix",
    "plot_learning_curve",
    "plot_predictions",
    "refresh_statistics",
    "save",
    "shrinkage_table",
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
