"""Lines of an explanation: an equation in symbols, the same with numbers, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Line", "Part", "Quantity"]


class Quantity(NamedTuple):
    """A named array, or a number."""

    text: str  # "Z1"
    latex: str  # "Z_{1}"
    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array; () for a number."""
        return tuple(np.shape(self.value))


@dataclass(frozen=True)
class Line:
    """One equation of an explanation.

    Attributes
    ----------
    item : str
        Codes of ``docs/maths.md``, such as "B1".
    says : str
        What the line does, in words.
    text, latex : str
        The equation, in plain text and in LaTeX.
    result : Quantity or None
        What it gives.
    numbers : str
        The right-hand side as LaTeX with {0}, {1} … for the operands' numbers; "" leaves it out.
    operands : tuple of Quantity
        What it reads.
    """

    item: str
    says: str
    text: str
    latex: str
    result: Quantity | None = None
    numbers: str = ""
    operands: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of an explanation: a title and its lines."""

    title: str
    lines: tuple[Line, ...]
