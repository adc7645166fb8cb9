"""scikit-learn's multilayer perceptrons, argument for argument."""

from deltarule.estimators.classifier import MLPClassifier
from deltarule.estimators.onnx_export import exportable
from deltarule.estimators.regressor import MLPRegressor
from deltarule.estimators.serialization import from_blueprint, from_record, to_blueprint, to_record

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "exportable",
    "from_blueprint",
    "from_record",
    "to_blueprint",
    "to_record",
]
