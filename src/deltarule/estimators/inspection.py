"""Functions on a fitted model: gradients, traces, activations, likelihood, AIC and BIC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from deltarule.analysis.sensitivity import input_gradients as network_gradients
from deltarule.analysis.sensitivity import layer_activations as network_activations
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.metrics.information import InformationCriteria, information_criteria
from deltarule.network.likelihood import log_likelihood as network_likelihood
from deltarule.network.network import Network, mean_loss
from deltarule.network.targets import Targets
from deltarule.network.trace import Trace, trace_pass
from deltarule.program import Block, State
from deltarule.reference import Reference
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.spec import loss_name
from deltarule.utils.arrays import is_sparse

__all__ = [
    "check_gradients",
    "explained",
    "gradients",
    "information",
    "input_gradients",
    "layer_activations",
    "log_likelihood",
    "trace",
]


def check_gradients(
    model: FittedModel, X: Any, y: Any, sample_weight: Any, **limits: Any
) -> GradientCheck:
    """Return the comparison of the model's gradients with central differences, in float64.

    X are checked float64 rows, y targets as in ``fit``; ``limits`` go to ``check_tape``.
    """
    block, state = _block(model, X, y, sample_weight), model.state
    return check_tape(
        model.network.tape,
        State(state.theta.astype(np.float64), state.seed, state.step),
        model.prepare(block),
        **limits,
    )


def trace(model: FittedModel, X: Any, y: Any, sample_weight: Any, *, training: bool) -> Trace:
    """Return every Z, A, δ and gradient at checked float64 rows, in the units of the network."""
    if y is None:
        block = Block(_inputs(model, X))
    else:
        block = model.prepare(_block(model, X, y, sample_weight))
    tape = replace(model.network, dtype="float64").tape
    return trace_pass(tape, _double(model.state), block, training=training)


def explained(model: FittedModel, X: Any, y: Any) -> tuple[Network, State, Block, tuple[str, ...]]:
    """Return network and state in float64, checked rows as the network takes them, and notes."""
    notes = []
    if model.scales is not None:
        units = "Inputs" if model.scales.y_scale is None else "Inputs and targets"
        notes.append(f"{units} are standardised: (x − mean) / standard deviation of the training.")
    network = replace(model.network, dtype="float64")
    if y is None:
        block = Block(_inputs(model, X))
    else:
        block = model.prepare(_block(model, X, y, None))
    return network, _double(model.state), block, tuple(notes)


def gradients(
    model: FittedModel, X: Any, y: Any, sample_weight: Any, *, penalties: bool
) -> dict[str, Any]:
    """Return the gradients of the mean loss by name, at checked float64 rows."""
    tape = replace(model.network, dtype="float64").tape
    reference, state = Reference(tape), _double(model.state)
    sums = reference.gradient(state, model.prepare(_block(model, X, y, sample_weight)))
    gradient = reference.cost(state, sums)[2] if penalties else sums.gradient / sums.weight
    return {parameter.name: view for parameter, view in tape.views(gradient)}


def log_likelihood(model: FittedModel, X: Any, y: Any, sample_weight: Any) -> float:
    """Return the log-likelihood of checked float64 rows, with the targets in the user's unit.

    A density of standardised targets z = (y − μ)/s is one of y divided by s: the logarithm loses
    log s for every target.
    """
    network, state = replace(model.network, dtype="float64"), _double(model.state)
    block = model.standardized(_block(model, X, y, sample_weight))
    kind: Any = "classes" if network.output.activation == "softmax" else "labels"
    reference = Reference(network.tape)
    found = network_likelihood(
        network,
        mean_loss(network, state, block, reference),
        reference.forward(state, block),
        Targets(block.y, kind),
        block,
    )
    scale = None if model.scales is None else model.scales.y_scale
    if scale is None:
        return found
    total = X.shape[0] if block.weight is None else float(np.sum(block.weight))
    return found - total * float(np.sum(np.log(scale)))


def information(model: FittedModel, X: Any, y: Any, sample_weight: Any) -> InformationCriteria:
    """Return AIC and BIC at checked float64 rows; a Gaussian's variances count as parameters."""
    fit = log_likelihood(model, X, y, sample_weight)
    gaussian = loss_name(model.network.loss) == "squared_error"
    n_parameters = model.network.tape.n_parameters + (model.n_outputs if gaussian else 0)
    return information_criteria(fit, n_parameters, X.shape[0])


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


def _block(model: FittedModel, X: Any, y: Any, sample_weight: Any) -> Block:
    """Return checked float64 rows with their encoded targets and weights."""
    targets = np.asarray(model.targets.encode(y), dtype=np.float64)
    if targets.shape[0] != X.shape[0]:
        raise ValueError(
            f"X and y must have the same number of rows; got {X.shape[0]} and {targets.shape[0]}."
        )
    return Block(_by_row(X), targets, check_sample_weight(sample_weight, X))


def _double(state: State) -> State:
    return replace(state, theta=state.theta.astype(np.float64), optimizer_state=None)


def _by_row(X: Any) -> Any:
    return X.tocsr() if is_sparse(X) else X
