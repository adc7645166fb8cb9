"""How good a model is, and what to do about it: items E1-E8, R4's separation of the losses, T4.

What scikit-learn has is scikit-learn's; ours are the readings around it.
"""

from deltarule.measures.classification import (
    ClassificationReport,
    PrecisionRecallCurve,
    measure_classification,
)
from deltarule.measures.costs import mean_loss, row_losses
from deltarule.measures.curves import (
    LearningCurve,
    epoch_curve,
    plot_learning_curves,
    separation_epoch,
    size_curve,
)
from deltarule.measures.decomposition import Decomposition, decompose_error
from deltarule.measures.information import InformationCriteria, information_criteria
from deltarule.measures.regression import RegressionReport, measure_regression
from deltarule.measures.retuning import Retuning, retune
from deltarule.measures.risk import Risk, estimate_risk
from deltarule.measures.thresholds import ThresholdChoice, choose_threshold, cost_threshold
from deltarule.measures.validation import CrossValidation, cross_validated_cost
from deltarule.measures.verdict import (
    TargetComparison,
    Verdict,
    bias_variance_verdict,
    compare_targets,
)

__all__ = [
    "ClassificationReport",
    "CrossValidation",
    "Decomposition",
    "InformationCriteria",
    "LearningCurve",
    "PrecisionRecallCurve",
    "RegressionReport",
    "Retuning",
    "Risk",
    "TargetComparison",
    "ThresholdChoice",
    "Verdict",
    "bias_variance_verdict",
    "choose_threshold",
    "compare_targets",
    "cost_threshold",
    "cross_validated_cost",
    "decompose_error",
    "epoch_curve",
    "estimate_risk",
    "information_criteria",
    "mean_loss",
    "measure_classification",
    "measure_regression",
    "plot_learning_curves",
    "retune",
    "row_losses",
    "separation_epoch",
    "size_curve",
]
