"""The kernels, by name; importing this package imports Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.engine.kernels import (
    activations,
    chunks,
    driver,
    dropout,
    epilogues,
    losses,
    normalization,
    norms,
    passes,
    penalties,
    products,
    sparse,
    updates,
)
from deltarule.opcodes import ActivationCode, LossCode

__all__ = ["KERNELS", "numpy_one"]

KERNELS: dict[str, Callable[..., None]] = {
    "run": driver.run,
    **updates.UPDATES,
    **{f"{ActivationCode(c).name.lower()}_forward": k for c, k in activations.FORWARD.items()},
    **{f"{ActivationCode(c).name.lower()}_backward": k for c, k in activations.BACKWARD.items()},
    **{f"{LossCode(c).name.lower()}_loss": k for c, k in losses.LOSSES.items()},
    **{
        kernel.__name__: kernel
        for kernel in (
            passes.run_pass,
            products.product,
            products.product_by_transpose,
            chunks.step_of_chunk,
            chunks.gradient_of_chunk,
            chunks.update_of_chunk,
            chunks.measure_chunk,
            epilogues.look_at_loss,
            epilogues.end_step,
            norms.entries_of_chunk,
            norms.gradient_scale,
            norms.clip_norm,
            norms.clip_entries,
            norms.clip_columns,
            norms.weights_of_chunk,
            norms.weights_scale,
            norms.rescale_chunk,
            norms.keep_statistics,
            dropout.dropout_forward,
            dropout.dropout_backward,
            normalization.normalize_forward,
            normalization.normalize_backward,
            normalization.normalize_with_population,
            penalties.l1_step,
            sparse.sparse_forward,
            sparse.sparse_gradient,
        )
    },
}


def numpy_one(dtype: str) -> Any:
    """Return the number 1 of a type, as kernels take it last."""
    return np.dtype(dtype).type(1)
