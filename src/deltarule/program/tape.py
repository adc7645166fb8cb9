"""The tape: a network as a flat table of instructions over one flat parameter vector θ.

A tape is what interpreters run. Its instructions read and write numbered *registers*: register 0
holds the input block, and every other register is written once, in order. Instructions find their
parameters by offsets into θ. They hold numbers only: :meth:`Tape.table` returns them as two plain
arrays for kernels. ``lowering.py`` makes tapes, and ``verify.py`` checks them before they run.

In the tape of k members, the first instruction (``REPEAT`` or ``EXPAND``) makes k members of a row,
and every register after it holds them side by side: row-major, (n, k w) numbers are also (n k, w).
So an affine map with one W for all members is one product, and the maps of single numbers do not
change. ``AVERAGE``, the last instruction before the loss, makes the prediction of the members'
outputs. The loss reads the members, and is the mean of their losses.

The output activation and the loss are two instructions. If they form a canonical pair, the loss
reads the logits and uses the fused formula. Otherwise it reads the outputs, and the backward pass
goes through the activation's Jacobian. The register that the loss reads tells the two cases apart.

Activations and losses that are functions of the user are the only part that is no number: they are
in ``functions``, and their code says which one. The reference runs such tapes; kernels cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.program.opcodes import Op
from deltarule.spec.custom import CustomActivation, CustomLoss
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["Constraint", "Groups", "Instruction", "Normalization", "Parameter", "Penalty", "Tape"]


_TRAINED = (Op.AFFINE, Op.SCALE, Op.EXPAND, Op.HEADS, Op.PERIODIC, Op.BLOCKS)


class Instruction(NamedTuple):
    """One instruction of the tape. Fields that an operation does not use are -1 or 0.0."""

    op: int  # an Op
    code: int  # activation or loss code, or number of the normalisation, dropout or groups
    source: int  # register read
    target: int  # register written
    n_in: int  # width of the source
    n_out: int  # width of the target
    weights: int  # offset of W, of γ, of the c of PERIODIC, or of an activation's α, in θ; or -1
    bias: int  # offset of b, β, φ, or the r of EXPAND, in θ; -1 for a map without it
    constant: float  # parameter of the activation; ε; probability of keeping a unit


class Parameter(NamedTuple):
    """A named array inside θ."""

    name: str  # "W1", "b1", "gamma1", …; "r1", "s1" of members; "scale1", "frequency1", …
    start: int
    shape: tuple[int, ...]
    layer: int  # the dense layer, counted from 1; 0 for other layers

    @property
    def stop(self) -> int:
        """One past the last index in θ."""
        return self.start + int(np.prod(self.shape))

    @property
    def is_weights(self) -> bool:
        """Whether it is W, or the W_i of heads; only weights have penalties and constraints."""
        return self.name.startswith("W")

    @property
    def matrices(self) -> tuple[tuple[int, int, int], ...]:
        """The weight matrices in it: (start, rows, columns) of each in θ."""
        *heads, rows, columns = self.shape
        starts = range(self.start, self.stop, rows * columns) if heads else (self.start,)
        return tuple((start, rows, columns) for start in starts)


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


class Groups(NamedTuple):
    """Groups of columns [start, stop) of a register, in order and apart from each other.

    ``PERIODIC`` makes waves of every column in them. ``BLOCKS`` maps each group by a matrix of its
    own, and the columns in none stay.
    """

    spans: tuple[tuple[int, int], ...]

    @property
    def columns(self) -> list[int]:
        """The columns in the groups."""
        return [column for start, stop in self.spans for column in range(start, stop)]

    @property
    def sizes(self) -> list[int]:
        """The number of columns of each group."""
        return [stop - start for start, stop in self.spans]

    def others(self, width: int) -> list[int]:
        """Return the columns of a register of this width that are in no group."""
        inside = {*self.columns}
        return [column for column in range(width) if column not in inside]


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
    members: int = 1  # k
    functions: tuple[CustomActivation | CustomLoss, ...] = ()  # by code − FIRST_FUNCTION
    groups: tuple[Groups, ...] = ()  # of PERIODIC and BLOCKS, by code

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
        """The register that holds Z_L of the output layer (of every member), not yet activated."""
        return self.output_activation.source

    @property
    def output_activation(self) -> Instruction:
        """The activation of the output layer; with members their average follows it."""
        return self.instructions[-2 if self.members == 1 else -3]

    @property
    def first_trained(self) -> Instruction:
        """The first instruction with parameters; what it reads does not depend on θ."""
        return next(line for line in self.instructions if line.op in _TRAINED)

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
