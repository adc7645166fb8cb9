"""Analysis: gradient check, curvature, health, shrinkage, dropout averages, capacity, averages."""

from deltarule.analysis.batch_norm import fold_batch_norm, recompute_batch_norm
from deltarule.analysis.capacity import (
    CapacityTable,
    capacity_table,
    least_squares,
    polynomial_features,
    ridge,
)
from deltarule.analysis.curvature import (
    CriticalPoint,
    critical_point,
    hessian_eigenvalues,
    hessian_vector_product,
)
from deltarule.analysis.ensembles import exact_dropout_mean, monte_carlo_dropout
from deltarule.analysis.gradients import check_gradients
from deltarule.analysis.health import Health, network_health
from deltarule.analysis.moving_averages import (
    bias_corrected,
    effective_window,
    exponential_average,
    moving_average,
)
from deltarule.analysis.shrinkage import Shrinkage, shrinkage_table

__all__ = [
    "CapacityTable",
    "CriticalPoint",
    "Health",
    "Shrinkage",
    "bias_corrected",
    "capacity_table",
    "check_gradients",
    "critical_point",
    "effective_window",
    "exact_dropout_mean",
    "exponential_average",
    "fold_batch_norm",
    "hessian_eigenvalues",
    "hessian_vector_product",
    "least_squares",
    "monte_carlo_dropout",
    "moving_average",
    "network_health",
    "polynomial_features",
    "recompute_batch_norm",
    "ridge",
    "shrinkage_table",
]
