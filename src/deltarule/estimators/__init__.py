"""scikit-learn's multilayer perceptrons, argument for argument.

The names are imported when they are first used: what predicts from a model file needs no
scikit-learn, whose import takes longer than everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltarule.utils.lazy_names import importer

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

__getattr__ = importer(
    __name__,
    {
        "classifier": ["MLPClassifier"],
        "loading": ["RecordedEstimator", "from_blueprint", "from_record"],
        "regressor": ["MLPRegressor"],
        "streamed_dataset": ["StreamedDataset"],
    },
)
