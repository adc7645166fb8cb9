"""Verification of a tape: a tape that passes can be run without leaving its arrays."""

from __future__ import annotations

from deltarule.errors import TapeError
from deltarule.opcodes import ActivationCode, ConstraintCode, LossCode, Op, PenaltyCode
from deltarule.tape import Instruction, Tape

__all__ = ["verify"]


def verify(tape: Tape) -> None:
    """Raise ``TapeError`` unless the tape can be run without leaving its arrays.

    The rules: parameters tile θ without gaps or overlaps; every register is written once, before it
    is read; widths agree from instruction to instruction; offsets point to parameters of the right
    shape, each used by one instruction; codes exist; the last instruction is the only loss and
    follows an output activation; penalties and constraints lie inside θ.
    """
    _verify_parameters(tape)
    shapes = {p.start: p.shape for p in tape.parameters}
    widths = {0: tape.n_inputs}
    for number, instruction in enumerate(tape.instructions):
        where = f"instruction {number}"
        last = number == len(tape.instructions) - 1
        _require(
            (instruction.op == Op.LOSS) == last, where, "the loss must be the last and the only one"
        )
        _require(
            instruction.source in widths,
            where,
            f"register {instruction.source} is read before it is written",
        )
        _require(
            widths[instruction.source] == instruction.n_in,
            where,
            "n_in is not the width of its source",
        )
        if last:
            _require(
                instruction.code in list(LossCode), where, f"no loss has code {instruction.code}"
            )
            break
        _require(
            instruction.target == len(widths), where, "registers must be written once and in order"
        )
        _require(
            instruction.source == instruction.target - 1,
            where,
            "it must read the register written last",
        )
        _require(
            instruction.op == Op.AFFINE or instruction.n_in == instruction.n_out,
            where,
            "only affine maps may change widths",
        )
        _verify_instruction(tape, instruction, where, shapes)
        widths[instruction.target] = instruction.n_out
    _verify_ends(tape, widths)


def _verify_instruction(
    tape: Tape, instruction: Instruction, where: str, shapes: dict[int, tuple[int, ...]]
) -> None:
    width = (instruction.n_out,)
    if instruction.op == Op.AFFINE:
        fits = shapes.pop(instruction.weights, None) == (instruction.n_in, instruction.n_out)
        fits = fits and (instruction.bias == -1 or shapes.pop(instruction.bias, None) == width)
        rule = "weights and bias must be offsets of parameters of its shape that no other uses"
        _require(fits, where, rule)
    elif instruction.op == Op.ACTIVATE:
        _require(
            instruction.code in list(ActivationCode),
            where,
            f"no activation has code {instruction.code}",
        )
    elif instruction.op == Op.NORMALIZE:
        fits = (
            shapes.pop(instruction.weights, None) == width
            and shapes.pop(instruction.bias, None) == width
        )
        rule = "γ and β must be offsets of parameters of its width that no other uses"
        _require(fits, where, rule)
        known = 0 <= instruction.code < len(tape.normalizations)
        _require(known, where, f"there is no normalisation {instruction.code}")
        same_width = tape.normalizations[instruction.code].width == instruction.n_in
        _require(same_width, where, "its normalisation has another width")
        _require(instruction.constant > 0, where, "ε must be above 0")
    elif instruction.op == Op.DROPOUT:
        _require(
            0 < instruction.constant <= 1, where, "the probability of keeping must be in (0, 1]"
        )
    else:
        raise TapeError(f"{where}: no operation has code {instruction.op}.")


def _verify_parameters(tape: Tape) -> None:
    end = 0
    for p in tape.parameters:
        _require(p.start == end and all(n > 0 for n in p.shape), p.name, "parameters must tile θ")
        end = p.stop
    _require(end == tape.n_parameters, "n_parameters", f"parameters end at {end}")


def _verify_ends(tape: Tape, widths: dict[int, int]) -> None:
    _require(len(tape.instructions) >= 3, "tape", "a tape needs at least a layer and a loss")
    _require(len(widths) == tape.n_registers, "n_registers", f"{len(widths)} registers are written")
    output = tape.instructions[-2]
    _require(output.op == Op.ACTIVATE, "tape", "the output layer must end with its activation")
    _require(widths[tape.output] == tape.n_outputs, "n_outputs", "it must be the output's width")
    _require(
        tape.loss.source in (tape.output, tape.logits), "loss", "it must read outputs or logits"
    )
    n_constants = {LossCode.HUBER: (1,), LossCode.QUANTILE: (1, tape.n_outputs)}
    expected = n_constants.get(LossCode(tape.loss.code), (0,))
    _require(len(tape.loss_constants) in expected, "loss", "it has too many or too few constants")
    for penalty in tape.penalties:
        _require(penalty.code in list(PenaltyCode), "penalty", f"no penalty {penalty.code}")
        inside = 0 <= penalty.start < penalty.stop <= tape.n_parameters
        _require(inside, "penalty", "it must lie inside θ")
    for constraint in tape.constraints:
        known = constraint.code in list(ConstraintCode)
        _require(known, "constraint", f"no constraint {constraint.code}")
        for start, rows, columns in constraint.matrices:
            inside = start >= 0 and start + rows * columns <= tape.n_parameters
            _require(inside, "constraint", "it must lie inside θ")


def _require(holds: bool, where: str, rule: str) -> None:
    if not holds:
        raise TapeError(f"{where}: {rule}.")
