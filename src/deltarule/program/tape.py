"""The tape: a network as a flat table of instructions over one flat parameter vector θ.

A tape is what interpreters run. Its instructions read and write numbered *registers*: register 0
holds the input block, and every other register is written once, in order. Instructions find their
parameters by offsets into θ. They hold numbers only: :meth:`Tape.table` returns them as two plain
arrays for kernels. ``lowering.py`` makes tapes, and ``verify.py`` checks them before they run.

The output activation and the loss are two instructions. If they form a canonical pair, the loss
reads the logits and uses the fused formula. Otherwise it reads the outputs, and the backward pass
goes through the activation's Jacobian. The register that the loss reads tells the two cases apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.utils.arrays import Array, array_namespace

__all__ = ["Constraint", "Instruction", "Normalization", "Parameter", "Penalty", "Tape"]


class Instruction(NamedTuple):
    """One instruction of the tape. Fields that an operation does not use are -1 or 0.0."""

    op: int  # an Op
    code: int  # activation or loss code, or number of the normalisation or dropout
    source: int  # register read
    target: int  # register written
    n_in: int  # width of the source
    n_out: int  # width of the target
    weights: int  # offset of W (n_in, n_out), or of γ (n_in,), in θ
    bias: int  # offset of b or β (n_out,) in θ; -1 for an affine map without a bias
    constant: float  # parameter of the activation; ε; probability of keeping a unit


class Parameter(NamedTuple):
    """A named array inside θ."""

    name: str  # "W1", "b1", "gamma1", "beta1", "W2", …
    start: int
    shape: tuple[int, ...]
    layer: int  # counted from 1

    @property
    def stop(self) -> int:
        """One past the last index in θ."""
        return self.start + int(np.prod(self.shape))

    @property
    def is_weights(self) -> bool:
        """Whether it is a weight matrix; only weights have penalties and constraints."""
        return len(self.shape) == 2


class Normalization(NamedTuple):
    """How a ``NORMALIZE`` instruction collects the statistics that prediction uses."""

    width: int
    momentum: float  # weight of the newest batch in the running averages
    running: bool  # predict with running averages, not with the mean over the last epoch


class Penalty(NamedTuple):
    """A penalty on θ[start:stop]."""

    code: int  # a PenaltyCode
    start: int
    stop: int
    strength: float
    per_batch: bool  # whether the strength is divided by the weight of the batch


class Constraint(NamedTuple):
    """A projection of weight matrices after every step."""

    code: int  # a ConstraintCode
    limit: float
    matrices: tuple[tuple[int, int, int], ...]  # (start, rows, columns) of each in θ


@dataclass(frozen=True)
class Tape:
    """A verified program, made from a specification by :func:`deltarule.program.lowering.lower`."""

    instructions: tuple[Instruction, ...]
    parameters: tuple[Parameter, ...]
    normalizations: tuple[Normalization, ...]
    penalties: tuple[Penalty, ...]
    constraints: tuple[Constraint, ...]
    loss_constants: tuple[float, ...]
    n_inputs: int
    n_outputs: int
    n_parameters: int
    n_registers: int
    dtype: str

    @property
    def loss(self) -> Instruction:
        """The loss instruction, which is the last one."""
        return self.instructions[-1]

    @property
    def output(self) -> int:
        """The register that holds the outputs of the network."""
        return self.instructions[-2].target

    @property
    def logits(self) -> int:
        """The register that holds Z_L of the output layer, before its activation."""
        return self.instructions[-2].source

    @property
    def min_rows(self) -> int:
        """Fewest rows of non-zero weight in a mini-batch; batch normalisation needs two."""
        return 2 if self.normalizations else 1

    def views(self, theta: Array) -> Iterator[tuple[Parameter, Array]]:
        """Yield every parameter with its part of θ, a view if the array library has views."""
        xp = array_namespace(theta)
        for parameter in self.parameters:
            flat = theta[parameter.start : parameter.stop]
            yield parameter, xp.reshape(flat, parameter.shape)

    def table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the instructions as (integers (n, 8), constants (n,)), for compiled kernels."""
        integers = np.array([instruction[:-1] for instruction in self.instructions], dtype=np.int64)
        return integers, np.array([instruction.constant for instruction in self.instructions])
