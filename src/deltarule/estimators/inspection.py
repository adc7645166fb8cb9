"""Functions on a fitted model: gradient check, activations of layers, gradients in the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.analysis.sensitivity import input_gradients as network_gradients
from deltarule.analysis.sensitivity import layer_activations as network_activations
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.program import Block, State
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.utils.arrays import is_sparse

__all__ = ["check_gradients", "input_gradients", "layer_activations"]


def check_gradients(
    model: FittedModel, X: Any, y: Any, sample_weight: Any, **limits: Any
) -> GradientCheck:
    """Return the comparison of the model's gradients with central differences, in float64.

    X are checked float64 rows, y targets as in ``fit``; ``limits`` go to ``check_tape``.
    """
    targets = np.asarray(model.targets.encode(y), dtype=np.float64)
    if targets.shape[0] != X.shape[0]:
        raise ValueError(
            f"X and y must have the same number of rows; got {X.shape[0]} and {targets.shape[0]}."
        )
    block = Block(_by_row(X), targets, check_sample_weight(sample_weight, X))
    state = model.state
    return check_tape(
        model.network.tape,
        State(state.theta.astype(np.float64), state.seed, state.step),
        model.prepare(block),
        **limits,
    )


def layer_activations(model: FittedModel, X: Any) -> list[Any]:
    """Return the activations of every layer at checked float64 rows, outputs last."""
    return network_activations(model.network, model.state, _inputs(model, X))


def input_gradients(model: FittedModel, X: Any) -> Any:
    """Return the Jacobian (n, k, d) of the outputs at checked float64 rows, in the user's units."""
    jacobian = network_gradients(model.network, model.state, _inputs(model, X))
    if model.scales is not None:
        jacobian /= model.scales.X_scale
        if model.scales.y_scale is not None:
            jacobian *= model.scales.y_scale[:, None]
    return jacobian


def _inputs(model: FittedModel, X: Any) -> Any:
    x = _by_row(X)
    return x if model.scales is None else model.scales.inputs(x)


def _by_row(X: Any) -> Any:
    return X.tocsr() if is_sparse(X) else X
