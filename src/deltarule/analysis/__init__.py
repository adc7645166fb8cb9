"""Analysis of a network: gradient check, curvature, health, dropout averages, batch norm."""

from deltarule.analysis.curvature import (
    CriticalPoint,
    critical_point,
    hessian_eigenvalues,
    hessian_vector_product,
)
from deltarule.analysis.ensembles import exact_dropout_mean, monte_carlo_dropout
from deltarule.analysis.folding import fold_batch_norm, recompute_batch_norm
from deltarule.analysis.gradients import check_gradients
from deltarule.analysis.health import Health, network_health
from deltarule.analysis.shrinkage import Shrinkage, shrinkage_table

__all__ = [
    "CriticalPoint",
    "Health",
    "Shrinkage",
    "check_gradients",
    "critical_point",
    "exact_dropout_mean",
    "fold_batch_norm",
    "hessian_eigenvalues",
    "hessian_vector_product",
    "monte_carlo_dropout",
    "network_health",
    "recompute_batch_norm",
    "shrinkage_table",
]
