"""What can be learned about a network: gradients, curvature, health, averages of small nets."""

from deltarule.analysis.curvature import (
    CriticalPoint,
    critical_point,
    hessian_eigenvalues,
    hessian_vector_product,
)
from deltarule.analysis.ensembles import dropout_average, dropout_exact
from deltarule.analysis.folding import fold_batch_norm, refresh_statistics
from deltarule.analysis.gradients import check_gradients
from deltarule.analysis.health import Health, network_health
from deltarule.analysis.shrinkage import Shrinkage, shrinkage_table

__all__ = [
    "CriticalPoint",
    "Health",
    "Shrinkage",
    "check_gradients",
    "critical_point",
    "dropout_average",
    "dropout_exact",
    "fold_batch_norm",
    "hessian_eigenvalues",
    "hessian_vector_product",
    "network_health",
    "refresh_statistics",
    "shrinkage_table",
]
