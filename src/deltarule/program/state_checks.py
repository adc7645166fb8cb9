"""Checks of a state before optimisers and kernels read it.

A state may come from a user or from a file. Kernels write as many numbers as θ has into every array
of the optimiser, so an array that is missing or too short would let them write outside its memory.
"""

from __future__ import annotations

from typing import Any

from deltarule.errors import DataError
from deltarule.program import State
from deltarule.program.optimizer_state import OPTIMIZER_STATES
from deltarule.program.tape import Tape
from deltarule.utils.checks import check_shape, is_count

__all__ = ["check_counters", "check_optimizer_state", "check_state", "check_theta"]

_REMEDY = "Use a state from net.initialize(seed), or one that this network was trained with."


def check_theta(state: State, tape: Tape) -> None:
    """Raise ``ShapeError`` unless the state has the parameters of this network."""
    check_is_state(state)
    check_shape(
        "state.theta",
        state.theta,
        (tape.n_parameters,),
        "It is the state of another network: use net.initialize(seed) of this one.",
    )


def check_is_state(state: Any) -> None:
    """Raise ``DataError`` unless it is a state whose θ is an array."""
    if not isinstance(state, State):
        raise DataError(f"state must be a State; got {type(state).__name__}. {_REMEDY}")
    if not (hasattr(state.theta, "shape") and hasattr(state.theta, "dtype")):
        raise DataError(
            f"state.theta must be an array; got {type(state.theta).__name__}. Use "
            "State(numpy.asarray(theta)), or a state from net.initialize(seed)."
        )


def check_state(state: State, tape: Tape, optimizer_state_type: type[Any] | None = None) -> None:
    """Raise unless counters, statistics and optimiser state fit the network.

    Parameters
    ----------
    state : State
        The state; its θ has been checked already.
    tape : Tape
        Tape of the network.
    optimizer_state_type : type, optional
        The NamedTuple that the optimiser needs; without it ``optimizer_state`` is not checked.

    Raises
    ------
    DataError
        If anything has a wrong type, size or range.
    """
    check_counters(state)
    _check_buffers(state, tape)
    if optimizer_state_type is not None and state.optimizer_state is not None:
        if type(state.optimizer_state) is not optimizer_state_type:
            raise DataError(
                f"state.optimizer_state must be {optimizer_state_type.__name__}, the state of this "
                f"optimiser; got {type(state.optimizer_state).__name__}. {_REMEDY}"
            )
        check_optimizer_state(state)


def check_counters(state: State) -> None:
    """Raise unless the seed and the number of steps fit into 64 bits, with room to grow.

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


def check_optimizer_state(state: State) -> None:
    """Raise unless the state of an optimiser is of a known kind and its arrays are like θ.

    Raises
    ------
    DataError
        If it is not.
    """
    held, theta = state.optimizer_state, state.theta
    if type(held) not in OPTIMIZER_STATES:
        raise DataError(
            f"state.optimizer_state must be the state of an optimiser; got {type(held).__name__}. "
            f"{_REMEDY}"
        )
    shape, dtype = tuple(theta.shape), theta.dtype
    for name, value in zip(held._fields, held, strict=True):
        if name == "t":
            valid = is_count(value)
        elif name == "product":
            valid = isinstance(value, float)
        else:
            valid = _is_array(value, shape, dtype)
        if not valid:
            scalars = {"t": "a number of steps", "product": "a float"}
            wanted = scalars.get(name, f"{shape} of {dtype}, like θ")
            raise DataError(
                f"state.optimizer_state.{name} must be {wanted}; got {_shown(value)}. {_REMEDY}"
            )


def _check_buffers(state: State, tape: Tape) -> None:
    """Raise unless the statistics of batch normalisation fit the network, or do not exist yet."""
    held = state.buffers
    for i, norm in enumerate(tape.normalizations):
        mean, variance = held.get(f"{i}.mean"), held.get(f"{i}.variance")
        weight = held.get(f"{i}.weight")
        both = (mean is None) == (variance is None)
        wide = all(_is_array(a, (norm.width,), state.theta.dtype) for a in (mean, variance))
        weighed = weight is None or (getattr(weight, "shape", None) == () and float(weight) >= 0)
        if not (both and (mean is None or wide) and weighed):
            raise DataError(
                f"state.buffers of normalisation {i} must be a mean and a variance, both "
                f"({norm.width},) of {state.theta.dtype}, and a weight of at least 0; got "
                f"{_shown(mean)}, {_shown(variance)} and {_shown(weight)}. {_REMEDY}"
            )


def _is_array(value: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    return getattr(value, "shape", None) == shape and value.dtype == dtype


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{value!r:.40}" if not shape else f"{tuple(shape)} of {value.dtype}"
