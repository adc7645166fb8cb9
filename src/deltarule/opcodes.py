"""The integer codes of the tape, in one place.

Names live in the specification, numbers on the tape: strings stop at the boundary, so that a
compiled interpreter never sees one. A code is never reused for something else.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ActivationCode", "LossCode", "Op", "PenaltyCode"]


class Op(IntEnum):
    """What an instruction does."""

    AFFINE = 1  # target = source W + b
    ACTIVATE = 2  # target = g(source)
    LOSS = 3  # per-row loss of source against the targets


class ActivationCode(IntEnum):
    """Which activation an ``ACTIVATE`` instruction applies."""

    IDENTITY = 1
    SIGMOID = 2
    TANH = 3
    RELU = 4
    LEAKY_RELU = 5
    SOFTMAX = 6
    EXP = 7


class LossCode(IntEnum):
    """Which loss a ``LOSS`` instruction takes, and of what: outputs or logits."""

    SQUARED_ERROR = 1  # of the outputs
    SIGMOID_CROSS_ENTROPY = 2  # of the logits, sigmoid fused
    SOFTMAX_CROSS_ENTROPY = 3  # of the logits, softmax fused
    EXP_POISSON = 4  # of the logits, exp fused


class PenaltyCode(IntEnum):
    """Which penalty is added to the mean loss."""

    L2 = 1
