"""The specification lowered to a flat table of instructions over one flat vector θ.

A tape is what interpreters run. Its instructions read and write numbered *slots* (slot 0 is
the input block, every other slot is written once, in order) and find their parameters by
offsets into θ. Nothing on a tape is a string or an object: :meth:`Tape.table` gives it as two
plain arrays. A tape is verified before it runs: :func:`verify`.

The output activation and the loss are two instructions. Where they are a canonical pair the
loss reads the logits and the fused formula is used; elsewhere it reads the outputs and the
backward pass goes through the activation's Jacobian. The slot that the loss reads says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.arrays import Array, array_namespace
from deltarule.errors import TapeError
from deltarule.opcodes import ActivationCode, LossCode, Op, PenaltyCode
from deltarule.spec import LeakyReLU, NetworkSpec

__all__ = ["Instruction", "Parameter", "Penalty", "Tape", "lower", "verify"]

_CANONICAL = {
    ("binary_cross_entropy", "sigmoid"): LossCode.SIGMOID_CROSS_ENTROPY,
    ("categorical_cross_entropy", "softmax"): LossCode.SOFTMAX_CROSS_ENTROPY,
    ("poisson", "exp"): LossCode.EXP_POISSON,
}
"""Pairs of loss and output activation whose composition is computed from the logits."""


class Instruction(NamedTuple):
    """One line of the tape. Fields that an operation does not use are -1 or 0.0."""

    op: int  # an Op
    code: int  # which activation or loss
    source: int  # slot read
    target: int  # slot written
    n_in: int  # width of the source
    n_out: int  # width of the target
    weights: int  # offset of W (n_in, n_out) in θ
    bias: int  # offset of b (n_out,) in θ
    constant: float  # the activation's parameter


class Parameter(NamedTuple):
    """A named array inside θ."""

    name: str  # "W1", "b1", "W2", …
    start: int
    shape: tuple[int, ...]
    layer: int  # counted from 1

    @property
    def stop(self) -> int:
        """One past the last index in θ."""
        return self.start + int(np.prod(self.shape))


class Penalty(NamedTuple):
    """A penalty on θ[start:stop]."""

    code: int  # a PenaltyCode
    start: int
    stop: int
    strength: float
    per_batch: bool  # the strength is divided by the batch's weight


@dataclass(frozen=True)
class Tape:
    """A verified program: see the module's words. Made by :func:`lower`."""

    instructions: tuple[Instruction, ...]
    parameters: tuple[Parameter, ...]
    penalties: tuple[Penalty, ...]
    n_inputs: int
    n_outputs: int
    n_parameters: int
    n_slots: int
    dtype: str

    @property
    def loss(self) -> Instruction:
        """The loss instruction; it is the last."""
        return self.instructions[-1]

    @property
    def output(self) -> int:
        """The slot that holds the network's outputs."""
        return self.instructions[-2].target

    @property
    def logits(self) -> int:
        """The slot that holds the output layer's Z_L, before its activation."""
        return self.instructions[-2].source

    def views(self, theta: Array) -> Iterator[tuple[Parameter, Array]]:
        """Yield every parameter with its view into θ (a view wherever the library has them)."""
        xp = array_namespace(theta)
        for parameter in self.parameters:
            flat = theta[parameter.start : parameter.stop]
            yield parameter, xp.reshape(flat, parameter.shape)

    def table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the instructions as (integers (n, 8), constants (n,)), for compiled kernels."""
        integers = np.array([row[:-1] for row in self.instructions], dtype=np.int64)
        return integers, np.array([row.constant for row in self.instructions])


def lower(spec: NetworkSpec) -> Tape:
    """Lower a specification to its tape, and verify it.

    θ stacks W_1, b_1, W_2, b_2, … ("reshape and stack", Mebsout §4); W_l is (d_{l-1}, d_l),
    row-major.
    """
    instructions: list[Instruction] = []
    parameters: list[Parameter] = []
    slot, width, offset = 0, spec.n_inputs, 0
    for number, layer in enumerate(spec.layers, start=1):
        weights = Parameter(f"W{number}", offset, (width, layer.units), number)
        bias = Parameter(f"b{number}", weights.stop, (layer.units,), number)
        parameters += [weights, bias]
        instructions.append(
            Instruction(
                Op.AFFINE, -1, slot, slot + 1, width, layer.units, weights.start, bias.start, 0.0
            )
        )
        code = ActivationCode[layer.activation_name.upper()]
        constant = 0.0
        if code is ActivationCode.LEAKY_RELU:
            given = layer.activation
            constant = (given if isinstance(given, LeakyReLU) else LeakyReLU()).slope
        width, offset, slot = layer.units, bias.stop, slot + 2
        instructions.append(
            Instruction(Op.ACTIVATE, code, slot - 1, slot, width, width, -1, -1, constant)
        )
    fused = _CANONICAL.get((spec.loss, spec.layers[-1].activation_name))
    loss = LossCode.SQUARED_ERROR if fused is None else fused
    source = slot if fused is None else slot - 1
    instructions.append(Instruction(Op.LOSS, loss, source, -1, width, -1, -1, -1, 0.0))
    penalties = tuple(
        Penalty(PenaltyCode.L2, p.start, p.stop, penalty.strength, penalty.per == "batch")
        for penalty in spec.penalties
        if penalty.strength > 0
        for p in parameters
        if len(p.shape) == 2
    )
    tape = Tape(
        instructions=tuple(instructions),
        parameters=tuple(parameters),
        penalties=penalties,
        n_inputs=spec.n_inputs,
        n_outputs=spec.n_outputs,
        n_parameters=offset,
        n_slots=slot + 1,
        dtype=spec.dtype,
    )
    verify(tape)
    return tape


def verify(tape: Tape) -> None:
    """Raise ``TapeError`` unless the tape can be run without leaving its arrays.

    Checked: parameters tile θ without gap or overlap; every slot is written once and before it
    is read; widths agree along the way; offsets name parameters of the right shape, each used by
    one instruction; codes exist; one loss, last, behind an output activation; penalties lie
    inside θ.
    """
    _verify_parameters(tape)
    shapes = {p.start: p.shape for p in tape.parameters}
    widths = {0: tape.n_inputs}
    for number, line in enumerate(tape.instructions):
        where = f"instruction {number}"
        last = number == len(tape.instructions) - 1
        _require((line.op == Op.LOSS) == last, where, "the loss must be the last and the only one")
        _require(line.source in widths, where, f"slot {line.source} is read before it is written")
        _require(widths[line.source] == line.n_in, where, "n_in is not the width of its source")
        if last:
            _require(line.code in list(LossCode), where, f"no loss has code {line.code}")
            continue
        _require(line.target == len(widths), where, "slots must be written once and in order")
        if line.op == Op.AFFINE:
            _require(
                shapes.pop(line.weights, None) == (line.n_in, line.n_out)
                and shapes.pop(line.bias, None) == (line.n_out,),
                where,
                "weights and bias must be offsets of parameters of its shape, used nowhere else",
            )
        elif line.op == Op.ACTIVATE:
            _require(line.code in list(ActivationCode), where, f"no activation {line.code}")
            _require(line.n_in == line.n_out, where, "an activation keeps the width")
        else:
            raise TapeError(f"{where}: no operation has code {line.op}.")
        widths[line.target] = line.n_out
    _verify_ends(tape, widths)


def _verify_parameters(tape: Tape) -> None:
    end = 0
    for p in tape.parameters:
        _require(p.start == end and all(n > 0 for n in p.shape), p.name, "parameters must tile θ")
        end = p.stop
    _require(end == tape.n_parameters, "n_parameters", f"parameters end at {end}")


def _verify_ends(tape: Tape, widths: dict[int, int]) -> None:
    _require(len(tape.instructions) >= 3, "tape", "a layer and a loss are the least")
    _require(len(widths) == tape.n_slots, "n_slots", f"{len(widths)} slots are written")
    output = tape.instructions[-2]
    _require(output.op == Op.ACTIVATE, "tape", "the output layer ends with its activation")
    _require(widths[tape.output] == tape.n_outputs, "n_outputs", "not the output's width")
    _require(tape.loss.source in (tape.output, tape.logits), "loss", "it reads outputs or logits")
    for penalty in tape.penalties:
        _require(penalty.code in list(PenaltyCode), "penalty", f"no penalty {penalty.code}")
        _require(0 <= penalty.start < penalty.stop <= tape.n_parameters, "penalty", "it leaves θ")


def _require(holds: bool, where: str, rule: str) -> None:
    if not holds:
        raise TapeError(f"{where}: {rule}.")
