"""scikit-learn's multilayer perceptrons, argument for argument."""

from deltarule.estimators.classifier import MLPClassifier
from deltarule.estimators.loading import from_blueprint, from_record
from deltarule.estimators.regressor import MLPRegressor
from deltarule.estimators.streamed_dataset import StreamedDataset

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "StreamedDataset",
    "from_blueprint",
    "from_record",
]
