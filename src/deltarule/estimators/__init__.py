"""scikit-learn's multilayer perceptrons, argument for argument.

The names are imported when they are first used: what predicts from a model file needs no
scikit-learn, whose import takes longer than everything else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltarule.estimators.classifier import MLPClassifier
    from deltarule.estimators.loading import RecordedEstimator, from_blueprint, from_record
    from deltarule.estimators.regressor import MLPRegressor
    from deltarule.estimators.streamed_dataset import StreamedDataset

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "RecordedEstimator",
    "StreamedDataset",
    "from_blueprint",
    "from_record",
]

_HOMES = {
    "MLPClassifier": "classifier",
    "MLPRegressor": "regressor",
    "RecordedEstimator": "loading",
    "StreamedDataset": "streamed_dataset",
    "from_blueprint": "loading",
    "from_record": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a name of the package, the first time that it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
