"""Activations and losses as plain functions of scalars, lists and arrays, with their derivatives.

They are the functions of the reference mathematics (``deltarule.reference``), which networks are
trained with. Every one has a ``derivative``:

>>> from deltarule.functions import sigmoid, softmax, squared_error
>>> sigmoid(0)
0.5
>>> sigmoid.derivative([0, 2])
array([0.25      , 0.10499359])
>>> softmax([1.0, 1.0, 1.0, 1.0])
array([0.25, 0.25, 0.25, 0.25])
>>> squared_error(3, 1), squared_error.derivative(3, 1)
(2.0, 2.0)
"""

from deltarule.functions.activations import (
    ACTIVATIONS,
    Activation,
    Softmax,
    elu,
    exp,
    gelu,
    hard_sigmoid,
    hard_tanh,
    identity,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from deltarule.functions.losses import (
    LOSSES,
    LossFunction,
    absolute_error,
    binary_cross_entropy,
    categorical_cross_entropy,
    huber,
    poisson,
    quantile,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "LossFunction",
    "Softmax",
    "absolute_error",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "elu",
    "exp",
    "gelu",
    "hard_sigmoid",
    "hard_tanh",
    "huber",
    "identity",
    "leaky_relu",
    "log_softmax",
    "mish",
    "poisson",
    "quantile",
    "relu",
    "selu",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "softsign",
    "squared_error",
    "tanh",
]
