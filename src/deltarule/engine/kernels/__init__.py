"""The kernels, by name. Importing this package imports Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.engine.kernels import (
    activations,
    batch_norm,
    driver,
    dropout,
    epochs,
    features,
    forward_backward,
    losses,
    matmul,
    members,
    norms,
    optimizers,
    parameter_updates,
    penalties,
    shards,
    sparse_inputs,
    stage_end,
)
from deltarule.program.opcodes import ActivationCode, LossCode

__all__ = ["KERNELS", "numpy_one"]

KERNELS: dict[str, Callable[..., None]] = {
    "run": driver.run,
    "run_epochs": epochs.run_epochs,
    **optimizers.UPDATES,
    **{f"{ActivationCode(c).name.lower()}_forward": k for c, k in activations.FORWARD.items()},
    **{f"{ActivationCode(c).name.lower()}_backward": k for c, k in activations.BACKWARD.items()},
    **{f"{LossCode(c).name.lower()}_loss": k for c, k in losses.LOSSES.items()},
    **{
        kernel.__name__: kernel
        for kernel in (
            forward_backward.forward_backward,
            matmul.product,
            matmul.product_by_transpose,
            matmul.product_of_shards,
            parameter_updates.gradient_and_step_of_block,
            parameter_updates.gradient_of_block,
            parameter_updates.step_of_block,
            parameter_updates.step_of_last_block,
            parameter_updates.penalty_sums_of_block,
            stage_end.record_loss,
            stage_end.count_step,
            norms.gradient_norm_of_block,
            norms.find_gradient_scale,
            norms.clip_norm,
            norms.clip_entries,
            norms.clip_columns,
            norms.weight_norm_of_block,
            norms.find_weight_scale,
            norms.rescale_block,
            dropout.dropout_forward,
            dropout.dropout_backward,
            batch_norm.normalize_forward,
            batch_norm.normalize_backward,
            batch_norm.normalize_with_population,
            batch_norm.update_population,
            penalties.l1_step,
            *(getattr(members, name) for name in members.__all__),
            *(getattr(features, name) for name in features.__all__),
            *(getattr(shards, name) for name in shards.__all__),
            sparse_inputs.sparse_forward,
            sparse_inputs.sparse_gradient,
        )
    },
}


def numpy_one(dtype: str) -> Any:
    """Return the number 1 of a type, the last argument of every kernel."""
    return np.dtype(dtype).type(1)
