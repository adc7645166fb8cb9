"""Standardisation of inputs and targets: what ``standardize=True`` learns, applies and undoes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import DataError
from deltarule.program import Block
from deltarule.utils.arrays import is_sparse
from deltarule.utils.blas import one_blas_thread

__all__ = ["Scales", "learn_scales"]


class Scales(NamedTuple):
    """Means and standard deviations of the training set, float64, by weight."""

    X_mean: Any  # (d,); 0 for sparse X, which is not centred
    X_scale: Any  # (d,); 1 for a constant feature
    y_mean: Any = None  # (k,); None where targets stay as they are
    y_scale: Any = None

    def inputs(self, x: Any) -> Any:
        """Return standardised inputs of x's type; a CSR matrix stays one."""
        if not is_sparse(x):
            return ((x - self.X_mean) / self.X_scale).astype(x.dtype, copy=False)
        if self.X_mean.any():
            raise DataError(
                "X is a sparse matrix, but fit has centred a dense one (standardize=True). Use "
                "X.toarray(), or fit on sparse rows."
            )
        scaled = x.copy()
        scaled.data = (scaled.data / self.X_scale[scaled.indices]).astype(x.dtype, copy=False)
        return scaled

    def targets(self, y: Any) -> Any:
        """Return standardised targets (n, k)."""
        if self.y_mean is None:
            return y
        return ((y - self.y_mean) / self.y_scale).astype(y.dtype, copy=False)

    def outputs(self, outputs: Any) -> Any:
        """Return outputs (n, k) in the targets' units."""
        if self.y_mean is None:
            return outputs
        return (outputs * self.y_scale + self.y_mean).astype(outputs.dtype, copy=False)

    def block(self, block: Block) -> Block:
        """Return a block with its inputs and targets standardised."""
        return block._replace(x=self.inputs(block.x), y=self.targets(block.y))


def learn_scales(block: Block, *, targets: bool) -> Scales:
    """Return the weighted mean and standard deviation of every feature, and of every target."""
    X_mean, X_scale = _moments("X", block.x, block.weight)
    if not targets:
        return Scales(X_mean, X_scale)
    return Scales(X_mean, X_scale, *_moments("y", block.y, block.weight))


def _moments(name: str, values: Any, weight: Any) -> tuple[Any, Any]:
    """Return mean and deviation: weights count as repetitions; a constant's deviation is 1."""
    from sklearn.preprocessing import StandardScaler

    sparse = is_sparse(values)
    scaler = StandardScaler(with_mean=not sparse)
    weight = None if weight is None else np.asarray(weight, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        scaler.fit(values.astype(np.float64), sample_weight=weight)
    scale = np.asarray(scaler.scale_, dtype=np.float64)
    mean = np.zeros_like(scale) if sparse else np.asarray(scaler.mean_, dtype=np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise DataError(
            f"standardize=True found values in {name} whose variance is not finite. Divide "
            f"{name} by a constant first."
        )
    return mean, scale
