"""The integer codes of the tape.

The specification uses names and the tape uses codes, so that compiled kernels never read a string.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["FIRST_FUNCTION", "ActivationCode", "ConstraintCode", "LossCode", "Op", "PenaltyCode"]


FIRST_FUNCTION = 1000
"""Activation and loss codes from here on are functions of the user, by their number."""


class Op(IntEnum):
    """Operation of an instruction."""

    AFFINE = 1  # target = source W + b
    ACTIVATE = 2  # target = g(source), or source + α ⊙ (g(source) − source)
    LOSS = 3  # per-row loss of source against the targets
    NORMALIZE = 4  # target = γ ⊙ N(source) + β over the batch
    DROPOUT = 5  # target = mask ⊙ source / keep
    SCALE = 6  # target = γ ⊙ source, or γ ⊙ source + β
    REPEAT = 7  # target_i = source, for every member i
    EXPAND = 8  # target_i = (source ⊙ r_i) W, for every member i
    HEADS = 9  # target_i = source_i W_i + b_i, for every member i
    AVERAGE = 10  # target = the mean of source_i over the members i
    PERIODIC = 11  # target = (source, cos 2π(c ⊙ x + φ) of some columns x of source)
    BLOCKS = 12  # target = (the other columns, source_g W_g + b_g of every group g of columns)


class ActivationCode(IntEnum):
    """Activation of an ``ACTIVATE`` instruction."""

    IDENTITY = 1
    SIGMOID = 2
    TANH = 3
    RELU = 4
    LEAKY_RELU = 5
    SOFTMAX = 6
    EXP = 7
    SELU = 8
    ELU = 9
    GELU = 10
    SILU = 11
    SOFTPLUS = 12
    MISH = 13
    SOFTSIGN = 14
    HARD_SIGMOID = 15
    HARD_TANH = 16


class LossCode(IntEnum):
    """Loss of a ``LOSS`` instruction, computed from the outputs or from the logits."""

    SQUARED_ERROR = 1  # of the outputs
    SIGMOID_CROSS_ENTROPY = 2  # of the logits, sigmoid fused
    SOFTMAX_CROSS_ENTROPY = 3  # of the logits, softmax fused
    EXP_POISSON = 4  # of the logits, exp fused
    ABSOLUTE_ERROR = 5  # of the outputs
    HUBER = 6  # of the outputs
    QUANTILE = 7  # of the outputs
    POISSON = 8  # of the outputs
    SOFTMAX_BINARY_CROSS_ENTROPY = 9  # of the logits, softmax fused


class PenaltyCode(IntEnum):
    """Penalty that is added to the mean loss."""

    L2 = 1
    L1 = 2
    PROXIMAL_L1 = 3  # part of the cost; its proximal step follows the gradient step


class ConstraintCode(IntEnum):
    """Projection that follows every step."""

    UNIT_NORM = 1  # ‖column of W‖ ≤ limit
    TOTAL_NORM = 2  # ‖(W_1, …, W_L)‖ ≤ limit
