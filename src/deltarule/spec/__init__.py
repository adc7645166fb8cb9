"""Descriptions of a network: frozen dataclasses without any learned number.

``NetworkSpec`` holds layers, a loss, penalties and constraints, and checks that they fit together.
``deltarule.program.lowering`` translates it into a tape, which the interpreters run.
"""

from deltarule.spec.activations import ACTIVATIONS, ELU, LeakyReLU, Parametric
from deltarule.spec.custom import CustomActivation, CustomLoss
from deltarule.spec.feature_layers import Embedding, Periodic
from deltarule.spec.initializers import (
    INITIALIZERS,
    ConstantInitializer,
    Initializer,
    Normal,
    Uniform,
)
from deltarule.spec.layers import BatchNorm, Dense, Dropout, Scale
from deltarule.spec.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    Quantile,
    loss_name,
)
from deltarule.spec.network import NetworkSpec, check_network
from deltarule.spec.regularization import L1, L2, MaxNorm
from deltarule.spec.shards import Shards

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "INITIALIZERS",
    "L1",
    "L2",
    "LOSSES",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "ConstantInitializer",
    "CustomActivation",
    "CustomLoss",
    "Dense",
    "Dropout",
    "Embedding",
    "Huber",
    "Initializer",
    "LeakyReLU",
    "Loss",
    "MaxNorm",
    "NetworkSpec",
    "Normal",
    "Parametric",
    "Periodic",
    "Quantile",
    "Scale",
    "Shards",
    "Uniform",
    "check_network",
    "loss_name",
]
