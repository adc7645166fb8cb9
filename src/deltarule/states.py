"""What a state must be: asked before rules and kernels, which believe it, come to read it.

A state may be a user's or come out of a file. Kernels write as many numbers as θ has into each
array of the optimiser, so that one too few, or too small, is memory that belongs to others.
"""

from __future__ import annotations

from typing import Any

from deltarule.checks import is_count
from deltarule.errors import DataError
from deltarule.program import State
from deltarule.slots import SLOTS
from deltarule.tape import Tape

__all__ = ["check_counters", "check_slots", "check_state"]

_REMEDY = "Take a state from net.initialize(seed), or one that this network's training left."


def check_state(state: State, tape: Tape, slots: type[Any] | None = None) -> None:
    """Raise unless a state's counters, statistics and averages are those of a network's training.

    Parameters
    ----------
    state : State
        Its θ has the network's size.
    tape : Tape
        The network's.
    slots : type, optional
        The NamedTuple of the optimiser that is to go on; None: nobody will look at ``state.slots``.

    Raises
    ------
    DataError
        If anything has another type, size or range.
    """
    check_counters(state)
    _check_buffers(state, tape)
    if slots is not None and state.slots is not None:
        if type(state.slots) is not slots:
            raise DataError(
                f"state.slots must be {slots.__name__}, which this optimiser keeps; got "
                f"{type(state.slots).__name__}. {_REMEDY}"
            )
        check_slots(state)


def check_counters(state: State) -> None:
    """Raise unless the key of the masks and the steps taken fit into 64 bits, with room for more.

    Raises
    ------
    DataError
        If they do not.
    """
    if not (is_count(state.step) and is_count(state.seed, below=2**63)):
        raise DataError(
            "state.seed and state.step must be integers from 0 to below 2**63 and 2**62; got "
            f"{state.seed!r:.40} and {state.step!r:.40}. {_REMEDY}"
        )


def check_slots(state: State) -> None:
    """Raise unless what an optimiser remembers is of its kind, every array like θ.

    Raises
    ------
    DataError
        If it is not.
    """
    held, theta = state.slots, state.theta
    if type(held) not in SLOTS:
        raise DataError(f"state.slots must be an optimiser's; got {type(held).__name__}. {_REMEDY}")
    shape, dtype = tuple(theta.shape), theta.dtype
    for name, value in zip(held._fields, held, strict=True):
        if name == "t":
            sound = is_count(value)
        elif name == "product":
            sound = isinstance(value, float)
        else:
            sound = _is_array(value, shape, dtype)
        if not sound:
            scalars = {"t": "a count of steps", "product": "a float"}
            wanted = scalars.get(name, f"{shape} of {dtype}, as θ is")
            raise DataError(f"state.slots.{name} must be {wanted}; got {_told(value)}. {_REMEDY}")


def _check_buffers(state: State, tape: Tape) -> None:
    """Raise unless the statistics of batch norm are those of the network, or not begun yet."""
    held = state.buffers
    for i, norm in enumerate(tape.normalizations):
        mean, variance = held.get(f"{i}.mean"), held.get(f"{i}.variance")
        weight = held.get(f"{i}.weight")
        both = (mean is None) == (variance is None)
        wide = all(_is_array(a, (norm.width,), state.theta.dtype) for a in (mean, variance))
        weighed = weight is None or (getattr(weight, "shape", None) == () and float(weight) >= 0)
        if not (both and (mean is None or wide) and weighed):
            raise DataError(
                f"state.buffers of the normalisation {i} must be a mean and a variance "
                f"({norm.width},) of {state.theta.dtype}, and a weight of at least 0; got "
                f"{_told(mean)}, {_told(variance)} and {_told(weight)}. {_REMEDY}"
            )


def _is_array(value: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    return getattr(value, "shape", None) == shape and value.dtype == dtype


def _told(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{value!r:.40}" if not shape else f"{tuple(shape)} of {value.dtype}"
