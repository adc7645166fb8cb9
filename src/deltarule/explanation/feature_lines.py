"""The lines of Periodic and Embedding layers: waves of columns, and a matrix for each group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from deltarule.explanation.lines import Line, Quantity
from deltarule.network.trace import FEATURE_NAMES
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction

__all__ = ["gradients_of_groups", "line_of_groups", "name_of_groups"]

_Find = Callable[[str], Quantity]
_DIGITS = "0123456789"


def name_of_groups(parameter: str) -> str:
    """Return the trace's name of what an instruction with this parameter gives."""
    kind = parameter.rstrip(_DIGITS)
    return FEATURE_NAMES[kind] + parameter.removeprefix(kind)


def line_of_groups(
    find: _Find, line: Instruction, names: dict[int, str], last: str, to: str
) -> Line:
    """Return the line of an instruction that reads ``last`` and gives ``to``."""
    x, out, first = find(last), find(to), find(names[line.weights])
    if line.op == Op.PERIODIC:
        second = find(names[line.bias])
        return Line(
            "B2", "Periodic: waves of columns x, behind all columns",
            f"{out.text} = ({x.text}, cos 2π({first.text} x + {second.text}))",
            rf"{out.latex} = ({x.latex}, \cos 2\pi({_plain(first)} x + {_plain(second)}))", out,
            operands=(x, first, second),
        )  # fmt: skip
    says = "Embedding: the rows of the categories" if line.bias < 0 else "Periodic: mapped waves"
    text, latex, operands = f"x_g {first.text}", rf"x_g {_plain(first)}", [x, first]
    if line.bias >= 0:
        second = find(names[line.bias])
        text, latex = f"{text} + {second.text}", rf"{latex} + {_plain(second)}"
        operands.append(second)
    return Line(
        "B2", f"{says}, for every group of columns x_g, behind the other columns",
        f"{out.text} = (others of {x.text}, {text})",
        rf"{out.latex} = (\text{{others of }} {x.latex}, {latex})", out, operands=tuple(operands),
    )  # fmt: skip


def gradients_of_groups(find: _Find, line: Instruction, names: dict[int, str]) -> Iterator[Line]:
    """Yield the gradients of an instruction's parameters."""
    to = name_of_groups(names[line.weights])
    formulas = [("Σ_rows x s", r"\sum_i x s"), ("Σ_rows s", r"\sum_i s")]
    says = f"Periodic, s = −2π sin 2π(c x + φ) ⊙ ∂C/∂{to}"
    if line.op == Op.BLOCKS:
        formulas = [("Σ_rows x_gᵀ D_g", r"\sum_i x_g^{\top} D_g"), ("Σ_rows D_g", r"\sum_i D_g")]
        says = f"Groups of columns x_g, D = ∂C/∂{to}"
    for start, (text, latex) in zip((line.weights, line.bias), formulas, strict=True):
        if start >= 0:
            found = find(f"d{names[start]}")
            yield Line("B2", says, f"{found.text} = {text}", f"{found.latex} = {latex}", found)


def _plain(quantity: Quantity) -> str:
    """Return a long name in LaTeX as upright text."""
    letters = quantity.text.rstrip(_DIGITS)
    return rf"\text{{{letters}}}_{{{quantity.text.removeprefix(letters)}}}"
