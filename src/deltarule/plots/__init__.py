"""Plots: results, and displays of what a network holds and does. Needs matplotlib (extra "plots").

scikit-learn's own displays work with the estimators: ``ConfusionMatrixDisplay``,
``PrecisionRecallDisplay``, ``RocCurveDisplay``, ``CalibrationDisplay``, ``LearningCurveDisplay``,
``PartialDependenceDisplay``.
"""

from deltarule.plots.function_displays import (
    ActivationDisplay,
    LossDisplay,
    ScheduleDisplay,
)
from deltarule.plots.landscape_displays import (
    BoundaryDisplay,
    CostContourDisplay,
    HessianDisplay,
    ShrinkageDisplay,
    ThresholdDisplay,
)
from deltarule.plots.network_displays import (
    ActivationHistogramDisplay,
    DropoutMaskDisplay,
    GradientNormDisplay,
    HealthDisplay,
    WeightsDisplay,
)
from deltarule.plots.results import plot_confusion_matrix, plot_learning_curve, plot_predictions

__all__ = [
    "ActivationDisplay",
    "ActivationHistogramDisplay",
    "BoundaryDisplay",
    "CostContourDisplay",
    "DropoutMaskDisplay",
    "GradientNormDisplay",
    "HealthDisplay",
    "HessianDisplay",
    "LossDisplay",
    "ScheduleDisplay",
    "ShrinkageDisplay",
    "ThresholdDisplay",
    "WeightsDisplay",
    "plot_confusion_matrix",
    "plot_learning_curve",
    "plot_predictions",
]
