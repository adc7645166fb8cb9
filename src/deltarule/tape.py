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
from deltarule.opcodes import ActivationCode, ConstraintCode, LossCode, Op, PenaltyCode
from deltarule.spec import L1, BatchNorm, Dense, Dropout, NetworkSpec, loss_name

__all__ = [
    "Constraint",
    "Instruction",
    "Normalization",
    "Parameter",
    "Penalty",
    "Tape",
    "lower",
    "verify",
]

_FUSED = {
    ("binary_cross_entropy", "sigmoid"): LossCode.SIGMOID_CROSS_ENTROPY,
    ("binary_cross_entropy", "softmax"): LossCode.SOFTMAX_BINARY_CROSS_ENTROPY,
    ("categorical_cross_entropy", "softmax"): LossCode.SOFTMAX_CROSS_ENTROPY,
    ("poisson", "exp"): LossCode.EXP_POISSON,
}
"""Pairs of loss and output activation whose composition is computed from the logits."""


class Instruction(NamedTuple):
    """One line of the tape. Fields that an operation does not use are -1 or 0.0."""

    op: int  # an Op
    code: int  # which activation, loss, normalisation or dropout
    source: int  # slot read
    target: int  # slot written
    n_in: int  # width of the source
    n_out: int  # width of the target
    weights: int  # offset of W (n_in, n_out), or of γ (n_in,), in θ
    bias: int  # offset of b or β (n_out,) in θ; -1 for an affine map without a bias
    constant: float  # the activation's parameter; ε; the probability of keeping


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
        """Whether it is a weight matrix: what penalties and constraints speak of."""
        return len(self.shape) == 2


class Normalization(NamedTuple):
    """What a ``NORMALIZE`` instruction keeps beside θ: statistics of a width, and their law."""

    width: int
    momentum: float  # share of the newest batch in the running averages
    running: bool  # predict with running averages; else with the epoch's mean


class Penalty(NamedTuple):
    """A penalty on θ[start:stop]."""

    code: int  # a PenaltyCode
    start: int
    stop: int
    strength: float
    per_batch: bool  # the strength is divided by the batch's weight


class Constraint(NamedTuple):
    """A projection of weight matrices after every step."""

    code: int  # a ConstraintCode
    limit: float
    matrices: tuple[tuple[int, int, int], ...]  # (start, rows, columns) of each in θ


@dataclass(frozen=True)
class Tape:
    """A verified program: see the module's words. Made by :func:`lower`."""

    instructions: tuple[Instruction, ...]
    parameters: tuple[Parameter, ...]
    normalizations: tuple[Normalization, ...]
    penalties: tuple[Penalty, ...]
    constraints: tuple[Constraint, ...]
    loss_constants: tuple[float, ...]
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

    @property
    def least_rows(self) -> int:
        """Rows of non-zero weight that a mini-batch needs: a variance needs two."""
        return 2 if self.normalizations else 1

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


class _Writer:
    """Write a tape line by line; every method appends and moves the current slot on."""

    def __init__(self, n_inputs: int) -> None:
        self.instructions: list[Instruction] = []
        self.parameters: list[Parameter] = []
        self.normalizations: list[Normalization] = []
        self.slot, self.width, self.offset, self.layer, self.drops = 0, n_inputs, 0, 0, 0

    def dense(self, layer: Dense) -> None:
        """Write a dense layer: affine map, normalisation where it is asked for, activation."""
        self.layer += 1
        norm = layer.batch_norm
        before = norm is not None and norm.position == "pre_activation"
        weights = self._parameter("W", (self.width, layer.units))
        bias = -1 if before else self._parameter("b", (layer.units,))
        self._line(Op.AFFINE, -1, layer.units, weights, bias)
        if norm is not None and before:
            self._normalize(norm)
        code = ActivationCode[layer.activation_name.upper()]
        self._line(Op.ACTIVATE, code, layer.units, constant=layer.activation_constant)
        if norm is not None and not before:
            self._normalize(norm)

    def dropout(self, layer: Dropout) -> None:
        """Write a dropout; its number is part of the key of its masks."""
        self._line(Op.DROPOUT, self.drops, self.width, constant=layer.keep)
        self.drops += 1

    def loss(self, code: int, of_logits: bool) -> None:
        """Write the loss of the outputs, or of what the output activation reads."""
        source = self.slot - 1 if of_logits else self.slot
        self.instructions.append(
            Instruction(Op.LOSS, code, source, -1, self.width, -1, -1, -1, 0.0)
        )

    def _normalize(self, norm: BatchNorm) -> None:
        gamma = self._parameter("gamma", (self.width,))
        beta = self._parameter("beta", (self.width,))
        number = len(self.normalizations)
        running = norm.inference_statistics == "running"
        self.normalizations.append(Normalization(self.width, norm.momentum, running))
        self._line(Op.NORMALIZE, number, self.width, gamma, beta, norm.epsilon)

    def _parameter(self, name: str, shape: tuple[int, ...]) -> int:
        parameter = Parameter(f"{name}{self.layer}", self.offset, shape, self.layer)
        self.parameters.append(parameter)
        self.offset = parameter.stop
        return parameter.start

    def _line(
        self,
        op: Op,
        code: int,
        units: int,
        weights: int = -1,
        bias: int = -1,
        constant: float = 0.0,
    ) -> None:
        source, target = self.slot, self.slot + 1
        self.instructions.append(
            Instruction(op, code, source, target, self.width, units, weights, bias, constant)
        )
        self.slot, self.width = target, units


def lower(spec: NetworkSpec) -> Tape:
    """Lower a specification to its tape, and verify it.

    θ stacks W_1, b_1, (γ_1, β_1), W_2, … ("reshape and stack", Mebsout §4); W_l is (d_{l-1}, d_l),
    row-major. A layer that is normalised before its activation has no bias.
    """
    writer = _Writer(spec.n_inputs)
    for layer in spec.layers:
        if isinstance(layer, Dense):
            writer.dense(layer)
        else:
            writer.dropout(layer)
    name = loss_name(spec.loss)
    fused = _FUSED.get((name, spec.output.activation_name))
    writer.loss(LossCode[name.upper()] if fused is None else fused, fused is not None)
    tape = Tape(
        instructions=tuple(writer.instructions),
        parameters=tuple(writer.parameters),
        normalizations=tuple(writer.normalizations),
        penalties=_penalties(spec, writer.parameters),
        constraints=_constraints(spec, writer.parameters),
        loss_constants=spec.loss_constants,
        n_inputs=spec.n_inputs,
        n_outputs=spec.n_outputs,
        n_parameters=writer.offset,
        n_slots=writer.slot + 1,
        dtype=spec.dtype,
    )
    verify(tape)
    return tape


def _penalties(spec: NetworkSpec, parameters: list[Parameter]) -> tuple[Penalty, ...]:
    def code(penalty: object) -> PenaltyCode:
        if not isinstance(penalty, L1):
            return PenaltyCode.L2
        return PenaltyCode.PROXIMAL_L1 if penalty.proximal else PenaltyCode.L1

    return tuple(
        Penalty(code(penalty), p.start, p.stop, penalty.strength, penalty.normalization == "batch")
        for penalty in spec.penalties
        if penalty.strength > 0
        for p in parameters
        if p.is_weights
    )


def _constraints(spec: NetworkSpec, parameters: list[Parameter]) -> tuple[Constraint, ...]:
    matrices = tuple((p.start, p.shape[0], p.shape[1]) for p in parameters if p.is_weights)
    codes = {"unit": ConstraintCode.UNIT_NORM, "network": ConstraintCode.TOTAL_NORM}
    return tuple(Constraint(codes[c.per], c.limit, matrices) for c in spec.constraints)


def verify(tape: Tape) -> None:
    """Raise ``TapeError`` unless the tape can be run without leaving its arrays.

    Checked: parameters tile θ without gap or overlap; every slot is written once and before it
    is read; widths agree along the way; offsets name parameters of the right shape, each used by
    one instruction; codes exist; one loss, last, behind an output activation; penalties and
    constraints lie inside θ.
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
            break
        _require(line.target == len(widths), where, "slots must be written once and in order")
        _require(line.source == line.target - 1, where, "it must read the slot written last")
        _require(
            line.op == Op.AFFINE or line.n_in == line.n_out, where, "only affine maps change widths"
        )
        _verify_line(tape, line, where, shapes)
        widths[line.target] = line.n_out
    _verify_ends(tape, widths)


def _verify_line(
    tape: Tape, line: Instruction, where: str, shapes: dict[int, tuple[int, ...]]
) -> None:
    width = (line.n_out,)
    if line.op == Op.AFFINE:
        fits = shapes.pop(line.weights, None) == (line.n_in, line.n_out)
        fits = fits and (line.bias == -1 or shapes.pop(line.bias, None) == width)
        rule = "weights and bias must be offsets of parameters of its shape, used nowhere else"
        _require(fits, where, rule)
    elif line.op == Op.ACTIVATE:
        _require(line.code in list(ActivationCode), where, f"no activation has code {line.code}")
    elif line.op == Op.NORMALIZE:
        fits = shapes.pop(line.weights, None) == width and shapes.pop(line.bias, None) == width
        rule = "γ and β must be offsets of parameters of its width, used nowhere else"
        _require(fits, where, rule)
        known = 0 <= line.code < len(tape.normalizations)
        _require(known, where, f"there is no normalisation {line.code}")
        _require(tape.normalizations[line.code].width == line.n_in, where, "of another width")
        _require(line.constant > 0, where, "ε must be above 0")
    elif line.op == Op.DROPOUT:
        _require(0 < line.constant <= 1, where, "the probability of keeping must be in (0, 1]")
    else:
        raise TapeError(f"{where}: no operation has code {line.op}.")


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
    n_constants = {LossCode.HUBER: (1,), LossCode.QUANTILE: (1, tape.n_outputs)}
    expected = n_constants.get(LossCode(tape.loss.code), (0,))
    _require(len(tape.loss_constants) in expected, "loss", "not the constants that it takes")
    for penalty in tape.penalties:
        _require(penalty.code in list(PenaltyCode), "penalty", f"no penalty {penalty.code}")
        inside = 0 <= penalty.start < penalty.stop <= tape.n_parameters
        _require(inside, "penalty", "it leaves θ")
    for constraint in tape.constraints:
        known = constraint.code in list(ConstraintCode)
        _require(known, "constraint", f"no constraint {constraint.code}")
        for start, rows, columns in constraint.matrices:
            inside = start >= 0 and start + rows * columns <= tape.n_parameters
            _require(inside, "constraint", "it leaves θ")


def _require(holds: bool, where: str, rule: str) -> None:
    if not holds:
        raise TapeError(f"{where}: {rule}.")
