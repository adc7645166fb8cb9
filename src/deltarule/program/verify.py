"""Verification of a tape: a tape that passes can be run without leaving its arrays."""

from __future__ import annotations

from collections.abc import Callable

from deltarule.errors import TapeError
from deltarule.program.opcodes import (
    FIRST_FUNCTION,
    ActivationCode,
    ConstraintCode,
    LossCode,
    Op,
    PenaltyCode,
)
from deltarule.program.tape import Instruction, Tape
from deltarule.spec.custom import CustomActivation, CustomLoss

__all__ = ["verify"]

_PASSED = "_passed"  # an attribute of a tape, which its copies have, and no changed one
_OF_GROUPS = (Op.PERIODIC, Op.BLOCKS)
_CHANGES_WIDTH = (Op.AFFINE, Op.REPEAT, Op.EXPAND, Op.HEADS, Op.AVERAGE, *_OF_GROUPS)

_SHAPES: dict[int, Callable[[int, int, int], tuple[tuple[int, ...], tuple[int, ...] | None, bool]]]
_SHAPES = {
    Op.AFFINE: lambda k, p, q: ((p, q), (q,), True) if k == 1 else ((p // k, q // k), None, True),
    Op.SCALE: lambda k, p, q: ((q,), (q,), True) if k == 1 else ((k, q // k), (k, q // k), True),
    Op.EXPAND: lambda k, p, q: ((p, q // k), (k, p), False),
    Op.HEADS: lambda k, p, q: ((k, p // k, q // k), (k, q // k), False),
}
"""(members, n_in, n_out) -> the shapes of weights and bias, and whether the bias may be absent."""


def verify(tape: Tape) -> None:
    """Raise ``TapeError`` unless the tape can be run without leaving its arrays.

    The rules: parameters tile θ without gaps or overlaps; every register is written once, before it
    is read; widths agree from instruction to instruction; offsets point to parameters of the right
    shape, each used by one instruction, and only affine maps, scalings and normalisations have any;
    codes exist; the last instruction is the only loss and follows an output activation; penalties
    and constraints lie inside θ. With k > 1 members the first instruction makes members of a row,
    the last before the loss averages them, and no other does either. A tape that has passed is not
    verified again: it does not change.
    """
    if _PASSED in vars(tape):
        return
    _require(tape.members >= 1, "members", f"there must be at least one; there are {tape.members}")
    _verify_parameters(tape)
    shapes = {p.start: p.shape for p in tape.parameters}
    widths = {0: tape.n_inputs}
    for number, instruction in enumerate(tape.instructions):
        where = f"instruction {number}"
        op, code, source, target, n_in, n_out = instruction[:6]
        last = number == len(tape.instructions) - 1
        _require((op == Op.LOSS) == last, where, "the loss must be the last and the only one")
        _require(source in widths, where, f"register {source} is read before it is written")
        _require(widths[source] == n_in, where, "n_in is not the width of its source")
        if last:
            known = code in list(LossCode) or _holds(tape, code, CustomLoss)
            _require(known, where, f"no loss has code {code}")
            break
        _require(target == len(widths), where, "registers must be written once and in order")
        _require(source == target - 1, where, "it must read the register written last")
        keeps_width = op in _CHANGES_WIDTH or n_in == n_out
        _require(keeps_width, where, "only affine maps may change widths")
        _verify_members(tape, instruction, where, number)
        trained = op in _SHAPES or op in _OF_GROUPS or op in (Op.NORMALIZE, Op.ACTIVATE)
        may = trained or instruction.weights == instruction.bias == -1
        _require(may, where, "only affine maps and normalisations have parameters")
        _verify_instruction(tape, instruction, where, shapes)
        widths[target] = n_out
    _verify_ends(tape, widths)
    vars(tape)[_PASSED] = True


def _verify_members(tape: Tape, instruction: Instruction, where: str, number: int) -> None:
    op, k = instruction.op, tape.members
    makes, averages = op in (Op.REPEAT, Op.EXPAND), op == Op.AVERAGE
    if k == 1:
        alone = not makes and not averages and op != Op.HEADS
        _require(alone, where, "a tape of one member has no instruction for members")
        return
    _require(makes == (number == 0), where, "only the first instruction makes members")
    ends = number == len(tape.instructions) - 2
    _require(averages == ends, where, "members are averaged once, before the loss")
    _require(op != Op.NORMALIZE, where, "members have no batch norm")
    _require(op not in _OF_GROUPS, where, "members have no groups of columns")
    sides = (instruction.n_in if not makes else k), (instruction.n_out if not averages else k)
    _require(all(n % k == 0 for n in sides), where, f"its width must be a multiple of {k} members")


def _verify_instruction(
    tape: Tape, instruction: Instruction, where: str, shapes: dict[int, tuple[int, ...]]
) -> None:
    op, code, _, _, n_in, n_out, weights, bias, constant = instruction
    k = tape.members
    if op in _SHAPES:
        of_weights, of_bias, may_lack_bias = _SHAPES[op](k, n_in, n_out)
        fits = shapes.pop(weights, None) == of_weights
        has_bias = of_bias is not None and shapes.pop(bias, None) == of_bias
        fits = fits and (has_bias or (may_lack_bias and bias == -1))
        rule = "weights and bias must be offsets of parameters of its shape that no other uses"
        _require(fits, where, rule)
    elif op in _OF_GROUPS:
        _verify_groups(tape, instruction, where, shapes)
    elif op == Op.REPEAT:
        _require(n_out == k * n_in, where, "its target must hold its source once for each member")
    elif op == Op.AVERAGE:
        _require(n_in == k * n_out, where, "its target must be as wide as one member")
    elif op == Op.ACTIVATE:
        known = code in list(ActivationCode) or _holds(tape, code, CustomActivation)
        _require(known, where, f"no activation has code {code}")
        has_alpha = (
            k == 1 and code != ActivationCode.SOFTMAX and shapes.pop(weights, None) == (n_out,)
        )
        plain = weights == -1 or has_alpha
        rule = "α must be the offset of a parameter of its width that no other uses"
        _require(plain and bias == -1, where, rule)
    elif op == Op.NORMALIZE:
        fits = shapes.pop(weights, None) == (n_out,) and shapes.pop(bias, None) == (n_out,)
        rule = "γ and β must be offsets of parameters of its width that no other uses"
        _require(fits, where, rule)
        known = 0 <= code < len(tape.normalizations)
        _require(known, where, f"there is no normalisation {code}")
        same_width = tape.normalizations[code].width == n_in
        _require(same_width, where, "its normalisation has another width")
        _require(constant > 0, where, "ε must be above 0")
    elif op == Op.DROPOUT:
        _require(0 < constant <= 1, where, "the probability of keeping must be in (0, 1]")
    else:
        raise TapeError(f"{where}: no operation has code {op}.")


def _verify_groups(
    tape: Tape, instruction: Instruction, where: str, shapes: dict[int, tuple[int, ...]]
) -> None:
    op, code, _, _, n_in, n_out, weights, bias, _ = instruction
    _require(0 <= code < len(tape.groups), where, f"there are no groups {code}")
    groups, end = tape.groups[code], 0
    for start, stop in groups.spans:
        _require(end <= start < stop <= n_in, where, "its groups must be columns, in order")
        end = stop
    count, inside = len(groups.spans), sum(groups.sizes)
    _require(count > 0, where, "it has no group")
    rows = inside if op == Op.PERIODIC else count
    each, rest = divmod(n_out - (n_in if op == Op.PERIODIC else n_in - inside), rows)
    _require(each > 0 and rest == 0, where, "its groups must give equally many columns")
    fits = shapes.pop(weights, None) == (inside, each)
    has_bias = shapes.pop(bias, None) == (rows, each)
    fits = fits and (has_bias or (op == Op.BLOCKS and bias == -1))
    rule = "weights and bias must be offsets of parameters of its shape that no other uses"
    _require(fits, where, rule)


def _holds(tape: Tape, code: int, kind: type) -> bool:
    """Return whether the tape has a function of this kind under this code."""
    number = code - FIRST_FUNCTION
    return 0 <= number < len(tape.functions) and isinstance(tape.functions[number], kind)


def _verify_parameters(tape: Tape) -> None:
    end = 0
    for p in tape.parameters:
        _require(p.start == end and all(n > 0 for n in p.shape), p.name, "parameters must tile θ")
        end = p.stop
    _require(end == tape.n_parameters, "n_parameters", f"parameters end at {end}")


def _verify_ends(tape: Tape, widths: dict[int, int]) -> None:
    _require(len(tape.instructions) >= 3, "tape", "a tape needs at least a layer and a loss")
    _require(len(widths) == tape.n_registers, "n_registers", f"{len(widths)} registers are written")
    output = tape.output_activation
    ends = output.op == Op.ACTIVATE and output.weights < 0
    _require(ends, "tape", "the output layer must end with its activation, without α")
    _require(widths[tape.output] == tape.n_outputs, "n_outputs", "it must be the output's width")
    _require(
        tape.loss.source in (output.target, output.source), "loss", "it must read outputs or logits"
    )
    n_constants = {int(LossCode.HUBER): (1,), int(LossCode.QUANTILE): (1, tape.n_outputs)}
    expected = n_constants.get(tape.loss.code, (0,))
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
