"""Lowering: the translation of a network specification into a tape."""

from __future__ import annotations

from deltarule.program.opcodes import (
    FIRST_FUNCTION,
    ActivationCode,
    ConstraintCode,
    LossCode,
    Op,
    PenaltyCode,
)
from deltarule.program.tape import (
    Constraint,
    Groups,
    Instruction,
    Normalization,
    Parameter,
    Penalty,
    Tape,
)
from deltarule.program.verify import verify
from deltarule.spec import (
    L1,
    BatchNorm,
    CustomActivation,
    CustomLoss,
    Dense,
    Dropout,
    Embedding,
    NetworkSpec,
    Periodic,
    Scale,
    loss_name,
)

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

    def __init__(self, n_inputs: int, members: int) -> None:
        self.instructions: list[Instruction] = []
        self.parameters: list[Parameter] = []
        self.normalizations: list[Normalization] = []
        self.register, self.width, self.offset, self.layer, self.drops = 0, n_inputs, 0, 0, 0
        self.members, self.scales = members, 0
        self.groups: list[Groups] = []
        self.periodics = self.embeddings = 0
        self.functions: list[CustomActivation | CustomLoss] = []

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
        self._activate(layer)
        if norm is not None and not before:
            self._normalize(norm)

    def members_layer(self, layer: Dense) -> None:
        """Append a hidden layer of k members with one W: y_i = g(((x_i ⊙ r_i) W) ⊙ s_i + b_i)."""
        self.layer += 1
        k, p, q = self.members, self._width_of_member, layer.units
        weights = self._parameter("W", (p, q))
        r = self._parameter("r", (k, p))
        if self.register == 0:
            self._append(Op.EXPAND, -1, k * q, weights, r)
        else:
            self._append(Op.SCALE, -1, k * p, r)
            self._append(Op.AFFINE, -1, k * q, weights)
        s, bias = self._parameter("s", (k, q)), self._parameter("b", (k, q))
        self._append(Op.SCALE, -1, k * q, s, bias)
        self._activate(layer)

    def heads(self, layer: Dense) -> None:
        """Append the output layers of k members, which share nothing."""
        self._repeat_inputs()
        self.layer += 1
        k, p, q = self.members, self._width_of_member, layer.units
        weights, bias = self._parameter("W", (k, p, q)), self._parameter("b", (k, q))
        self._append(Op.HEADS, -1, k * q, weights, bias)
        self._activate(layer)

    def dropout(self, layer: Dropout) -> None:
        """Append a dropout layer; its number is part of the counter of its masks."""
        self._repeat_inputs()
        self._append(Op.DROPOUT, self.drops, self.width, constant=layer.keep)
        self.drops += 1

    def scale(self) -> None:
        """Append a Scale layer; every member has its own factors."""
        self._repeat_inputs()
        self.scales += 1
        k, p = self.members, self._width_of_member
        gamma = self._parameter("scale", (p,) if k == 1 else (k, p), self.scales, layer=0)
        self._append(Op.SCALE, -1, self.width, gamma)

    def periodic(self, layer: Periodic) -> None:
        """Append a Periodic layer: waves of every column, then a map of each column's waves."""
        self.periodics += 1
        number, p, m = self.periodics, self.width, layer.frequencies
        columns = range(p) if layer.columns is None else layer.columns
        shape = (len(columns), m)
        c = self._parameter("frequency", shape, number, layer=0)
        phi = self._parameter("phase", shape, number, layer=0)
        chosen = Groups(tuple((column, column + 1) for column in columns))
        self._append(Op.PERIODIC, self._groups(chosen), p + len(columns) * m, c, phi)
        weights = self._parameter("wave", (len(columns) * m, layer.units), number, layer=0)
        bias = self._parameter("shift", (len(columns), layer.units), number, layer=0)
        waves = Groups(tuple((p + j * m, p + (j + 1) * m) for j in range(len(columns))))
        width = p + len(columns) * layer.units
        self._append(Op.BLOCKS, self._groups(waves), width, weights, bias)

    def embedding(self, layer: Embedding) -> None:
        """Append an Embedding layer: a map of each group of columns."""
        self.embeddings += 1
        groups = Groups(layer.groups)
        inside, width = sum(groups.sizes), len(groups.spans) * layer.units
        weights = self._parameter("embedding", (inside, layer.units), self.embeddings, layer=0)
        self._append(Op.BLOCKS, self._groups(groups), self.width - inside + width, weights)

    def loss(self, code: int, of_logits: bool) -> None:
        """Append the loss of the outputs, or of the logits that the output activation reads."""
        source, width = self.register - 1 if of_logits else self.register, self.width
        if self.members > 1:
            self._append(Op.AVERAGE, -1, width // self.members)
        self.instructions.append(Instruction(Op.LOSS, code, source, -1, width, -1, -1, -1, 0.0))

    def function(self, given: CustomActivation | CustomLoss) -> int:
        """Return the code of a user's function, which the tape holds once."""
        if given not in self.functions:
            self.functions.append(given)
        return FIRST_FUNCTION + self.functions.index(given)

    def _groups(self, groups: Groups) -> int:
        self.groups.append(groups)
        return len(self.groups) - 1

    @property
    def _width_of_member(self) -> int:
        return self.width if self.register == 0 else self.width // self.members

    def _repeat_inputs(self) -> None:
        if self.members > 1 and self.register == 0:
            self._append(Op.REPEAT, -1, self.members * self.width)

    def _activate(self, layer: Dense) -> None:
        if isinstance(layer.activation, CustomActivation):
            code = self.function(layer.activation)
        else:
            code = ActivationCode[layer.activation_name.upper()]
        alpha = self._parameter("alpha", (self.width,)) if layer.is_parametric else -1
        self._append(Op.ACTIVATE, code, self.width, alpha, constant=layer.activation_constant)

    def _normalize(self, norm: BatchNorm) -> None:
        gamma = self._parameter("gamma", (self.width,))
        beta = self._parameter("beta", (self.width,))
        number = len(self.normalizations)
        running = norm.inference_statistics == "running"
        self.normalizations.append(Normalization(self.width, norm.momentum, running))
        self._append(Op.NORMALIZE, number, self.width, gamma, beta, norm.epsilon)

    def _parameter(
        self, name: str, shape: tuple[int, ...], number: int = 0, layer: int | None = None
    ) -> int:
        layer = self.layer if layer is None else layer
        parameter = Parameter(f"{name}{number or self.layer}", self.offset, shape, layer)
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
    A parametric activation has α_l behind them. With k members a hidden layer has (W_l, r_l, s_l,
    b_l), and the output layer k matrices. A Periodic layer has (c, φ, V, v), and an Embedding its
    rows of all groups.
    """
    writer = _Writer(spec.n_inputs, spec.members)
    for number, layer in enumerate(spec.layers, start=1):
        if isinstance(layer, Dropout):
            writer.dropout(layer)
        elif isinstance(layer, Scale):
            writer.scale()
        elif isinstance(layer, Periodic):
            writer.periodic(layer)
        elif isinstance(layer, Embedding):
            writer.embedding(layer)
        elif spec.members == 1:
            writer.dense(layer)
        elif number == len(spec.layers):
            writer.heads(layer)
        else:
            writer.members_layer(layer)
    name = loss_name(spec.loss)
    fused = _FUSED.get((name, spec.output.activation_name))
    if isinstance(spec.loss, CustomLoss):
        writer.loss(writer.function(spec.loss), of_logits=False)
    else:
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
        members=spec.members,
        functions=tuple(writer.functions),
        groups=tuple(writer.groups),
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
    matrices = tuple(m for p in parameters if p.is_weights for m in p.matrices)
    codes = {"unit": ConstraintCode.UNIT_NORM, "network": ConstraintCode.TOTAL_NORM}
    return tuple(Constraint(codes[c.per], c.limit, matrices) for c in spec.constraints)
