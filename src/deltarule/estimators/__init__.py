"""scikit-learn's multilayer perceptrons, argument for argument."""

from deltarule.estimators._exporting import exportable
from deltarule.estimators._record import from_blueprint, from_record, to_blueprint, to_record
from deltarule.estimators.classifier import MLPClassifier
from deltarule.estimators.regressor import MLPRegressor

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "exportable",
    "from_blueprint",
    "from_record",
    "to_blueprint",
    "to_record",
]
