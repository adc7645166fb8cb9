"""The model that a fit begins with: a new network, or that of an earlier fit with new options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators.fitted_model import FitHistory, FittedModel
from deltarule.estimators.layer_options import Activation, HiddenLayers, build_network
from deltarule.estimators.options import FitOptions
from deltarule.estimators.parameter_views import kind_of
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network import Network
from deltarule.network.initialization import draw_weights
from deltarule.program import State
from deltarule.program.tape import Parameter
from deltarule.spec import Initializer
from deltarule.utils.arrays import aligned_zeros

__all__ = ["new_model", "resume"]


def new_model(
    options: FitOptions,
    targets: TargetEncoder,
    shape: tuple[int, int],
    dtype: Any,
    random_state: np.random.RandomState,
) -> FittedModel:
    """Return a model with freshly drawn parameters; ``shape`` is (inputs, outputs)."""
    network = _network(options, targets, shape, str(np.dtype(dtype)))
    state = initial_state(network, options.hidden, options.weight_init, random_state)
    history = FitHistory.begin(early_stopping=options.early_stopping)
    return FittedModel(network, state, options.hidden, targets, history=history)


def resume(
    model: FittedModel,
    options: FitOptions,
    targets: TargetEncoder,
    shape: tuple[int, int],
    random_state: np.random.RandomState,
) -> FittedModel:
    """Return a model that continues an earlier one, with a changed ``alpha`` or ``dropout``.

    It shares the earlier one's state and history, which training changes.

    Raises
    ------
    ValueError, SpecError
        If the options ask for other parameters than the earlier model has.
    """
    hidden = options.hidden
    _check_unchanged(model, options, shape[1])
    model.own_arrays()
    network = _network(options, targets, shape, model.network.dtype)
    if network == model.network:  # the tape is lowered already, and interpreters are cached for it
        network = model.network
    if hidden.drops and not model.hidden.drops:
        model.state.seed = _draw_seed(random_state)
    history = model.history.with_validation() if options.early_stopping else model.history
    return replace(model, network=network, hidden=hidden, targets=targets, history=history)


def _network(
    options: FitOptions, targets: TargetEncoder, shape: tuple[int, int], dtype: str
) -> Network:
    return build_network(
        options.hidden,
        targets.output(),
        options.regularization,
        n_inputs=shape[0],
        n_outputs=shape[1],
        dtype=dtype,
    )


def _check_unchanged(model: FittedModel, options: FitOptions, n_outputs: int) -> None:
    remedy = "Set it back, set warm_start=False, or fit a new estimator."
    hidden, network = options.hidden, model.network
    widths, wanted = model.widths[1:], [*hidden.sizes, n_outputs]
    if widths != wanted:
        raise ValueError(
            f"the fitted network has layers of {widths} units, but hidden_layer_sizes and y "
            f"now ask for {wanted}. Set warm_start=False, or fit a new estimator."
        )
    if hidden.normalizes != model.hidden.normalizes:
        raise SpecError(
            f"the fitted network has batch_norm={not hidden.batch_norm}, but batch_norm is now "
            f"{hidden.batch_norm}. {remedy}"
        )
    if options.standardize != (model.scales is not None):
        raise SpecError(
            f"the fitted network has standardize={not options.standardize}, but standardize is "
            f"now {options.standardize}. {remedy}"
        )
    if options.dtype not in ("auto", network.dtype):
        raise SpecError(
            f"the fitted network has dtype={network.dtype!r}, but dtype is now "
            f"{options.dtype!r}. {remedy}"
        )


# --- initial parameters ------------------------------------------------------------------------


def initial_state(
    network: Network, hidden: HiddenLayers, weight_init: Any, random_state: np.random.RandomState
) -> State:
    """Return a state with θ drawn as scikit-learn does for "auto", or else by an initialiser.

    γ = 1 and β = 0 take no draw. The seed of the dropout masks is drawn last, and only if there
    are any, so that the parameters are those of the same network without dropout.
    """
    if isinstance(weight_init, str) and weight_init == "auto":
        arrays = _as_scikit_learn(network, hidden, random_state)
    else:
        rng = np.random.default_rng(_draw_seed(random_state))
        arrays = (_drawn(p, weight_init, rng) for p in network.tape.parameters)
    theta = aligned_zeros(network.tape.n_parameters, network.dtype)
    for p, array in zip(network.tape.parameters, arrays, strict=True):  # one at a time: it is large
        theta[p.start : p.stop] = array.ravel()
    return State(theta, seed=_draw_seed(random_state) if hidden.drops else 0)


def _as_scikit_learn(
    network: Network, hidden: HiddenLayers, random_state: np.random.RandomState
) -> Iterator[Any]:
    """Draw layer by layer from Glorot's bounds, biases included, in scikit-learn's order."""
    activations = [*hidden.activations, hidden.last]
    bound = 0.0
    for p in network.tape.parameters:
        kind = kind_of(p)
        if kind == "W":
            factor = _glorot_factor(activations[p.layer - 1])
            bound = np.sqrt(factor / sum(p.shape))  # of the layer's bias, too
        if kind in ("W", "b"):
            yield random_state.uniform(-bound, bound, p.shape)
        else:
            yield _undrawn(p)


def _glorot_factor(activation: Activation) -> float:
    return 2.0 if activation in ("logistic", "sigmoid") else 6.0


def _drawn(p: Parameter, initializer: Initializer, rng: np.random.Generator) -> Any:
    if not p.is_weights:
        return _undrawn(p)
    return draw_weights(initializer, p.shape[0], p.shape[1], rng)


def _undrawn(p: Parameter) -> Any:
    """Return γ = 1, and 0 for every other vector (item I1)."""
    return np.full(p.shape, 1.0 if kind_of(p) == "gamma" else 0.0)


def _draw_seed(random_state: np.random.RandomState) -> int:
    """Return a seed for a generator of its own: of weights, or of dropout masks."""
    return int(random_state.randint(2**31))
