"""What runs: the tape that a network is lowered to, its state, and the interpreters' protocol."""

from deltarule.program.interface import Block, Interpreter, Order, Steps, Sums
from deltarule.program.state import State

__all__ = ["Block", "Interpreter", "Order", "State", "Steps", "Sums"]
