"""Lowering: the translation of a network specification into a tape."""

from __future__ import annotations

from deltarule.program.opcodes import ActivationCode, ConstraintCode, LossCode, Op, PenaltyCode
from deltarule.program.tape import Constraint, Instruction, Normalization, Parameter, Penalty, Tape
from deltarule.program.verify import verify
from deltarule.spec import L1, BatchNorm, Dense, Dropout, NetworkSpec, loss_name

__all__ = ["lower"]

_FUSED = {
    ("binary_cross_entropy", "sigmoid"): LossCode.SIGMOID_CROSS_ENTROPY,
    ("binary_cross_entropy", "softmax"): LossCode.SOFTMAX_BINARY_CROSS_ENTROPY,
    ("categorical_cross_entropy", "softmax"): LossCode.SOFTMAX_CROSS_ENTROPY,
    ("poisson", "exp"): LossCode.EXP_POISSON,
}
"""Pairs of loss and output activation that are computed together from the logits."""


class _Writer:
    """Builder of a tape: every method appends instructions and advances the current register."""

    def __init__(self, n_inputs: int) -> None:
        self.instructions: list[Instruction] = []
        self.parameters: list[Parameter] = []
        self.normalizations: list[Normalization] = []
        self.register, self.width, self.offset, self.layer, self.drops = 0, n_inputs, 0, 0, 0

    def dense(self, layer: Dense) -> None:
        """Append a dense layer: affine map, activation, and batch normalisation if it has one."""
        self.layer += 1
        norm = layer.batch_norm
        before = norm is not None and norm.position == "pre_activation"
        weights = self._parameter("W", (self.width, layer.units))
        bias = -1 if before else self._parameter("b", (layer.units,))
        self._append(Op.AFFINE, -1, layer.units, weights, bias)
        if norm is not None and before:
            self._normalize(norm)
        code = ActivationCode[layer.activation_name.upper()]
        self._append(Op.ACTIVATE, code, layer.units, constant=layer.activation_constant)
        if norm is not None and not before:
            self._normalize(norm)

    def dropout(self, layer: Dropout) -> None:
        """Append a dropout layer; its number is part of the counter of its masks."""
        self._append(Op.DROPOUT, self.drops, self.width, constant=layer.keep)
        self.drops += 1

    def loss(self, code: int, of_logits: bool) -> None:
        """Append the loss of the outputs, or of the logits that the output activation reads."""
        source = self.register - 1 if of_logits else self.register
        self.instructions.append(
            Instruction(Op.LOSS, code, source, -1, self.width, -1, -1, -1, 0.0)
        )

    def _normalize(self, norm: BatchNorm) -> None:
        gamma = self._parameter("gamma", (self.width,))
        beta = self._parameter("beta", (self.width,))
        number = len(self.normalizations)
        running = norm.inference_statistics == "running"
        self.normalizations.append(Normalization(self.width, norm.momentum, running))
        self._append(Op.NORMALIZE, number, self.width, gamma, beta, norm.epsilon)

    def _parameter(self, name: str, shape: tuple[int, ...]) -> int:
        parameter = Parameter(f"{name}{self.layer}", self.offset, shape, self.layer)
        self.parameters.append(parameter)
        self.offset = parameter.stop
        return parameter.start

    def _append(
        self,
        op: Op,
        code: int,
        units: int,
        weights: int = -1,
        bias: int = -1,
        constant: float = 0.0,
    ) -> None:
        source, target = self.register, self.register + 1
        self.instructions.append(
            Instruction(op, code, source, target, self.width, units, weights, bias, constant)
        )
        self.register, self.width = target, units


def lower(spec: NetworkSpec) -> Tape:
    """Return the verified tape of a specification.

    θ contains W_1, b_1, (γ_1, β_1), W_2, … end to end ("reshape and stack", Mebsout §4); W_l is
    (d_{l-1}, d_l), row-major. A layer with batch normalisation before its activation has no bias.
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
        n_registers=writer.register + 1,
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
