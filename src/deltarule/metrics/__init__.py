"""Metrics of a model and what to do about them: items E1-E8, and R4's separation of the losses.

Where scikit-learn has a metric, it is used; this package adds the interpretation.
"""

from deltarule.metrics.bias_variance import (
    BiasVarianceDiagnosis,
    TargetComparison,
    compare_targets,
    diagnose_bias_variance,
)
from deltarule.metrics.classification import (
    ClassificationReport,
    PrecisionRecallCurve,
    measure_classification,
)
from deltarule.metrics.costs import mean_loss, row_losses
from deltarule.metrics.curves import (
    LearningCurve,
    epoch_curve,
    plot_learning_curves,
    separation_epoch,
    size_curve,
)
from deltarule.metrics.decomposition import Decomposition, decompose_error
from deltarule.metrics.generalization import GeneralizationError, estimate_generalization_error
from deltarule.metrics.information import InformationCriteria, information_criteria
from deltarule.metrics.regression import RegressionReport, measure_regression
from deltarule.metrics.thresholds import ThresholdChoice, choose_threshold, cost_threshold
from deltarule.metrics.validation import CrossValidation, cross_validated_cost

__all__ = [
    "BiasVarianceDiagnosis",
    "ClassificationReport",
    "CrossValidation",
    "Decomposition",
    "GeneralizationError",
    "InformationCriteria",
    "LearningCurve",
    "PrecisionRecallCurve",
    "RegressionReport",
    "TargetComparison",
    "ThresholdChoice",
    "choose_threshold",
    "compare_targets",
    "cost_threshold",
    "cross_validated_cost",
    "decompose_error",
    "diagnose_bias_variance",
    "epoch_curve",
    "estimate_generalization_error",
    "information_criteria",
    "mean_loss",
    "measure_classification",
    "measure_regression",
    "plot_learning_curves",
    "row_losses",
    "separation_epoch",
    "size_curve",
]
