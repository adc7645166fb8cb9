"""Checks of a state before optimisers and kernels read it.

A state may come from a user or from a file. Kernels write as many numbers as θ has into every array
of the optimiser, so an array that is missing or too short would let them write outside its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.errors import DataError
from deltarule.program import State
from deltarule.program.optimizer_state import OPTIMIZER_STATES, AveragedState
from deltarule.program.tape import Tape
from deltarule.utils.arrays import is_floating
from deltarule.utils.checks import check_shape, is_count, shown

__all__ = [
    "check_counters",
    "check_finite",
    "check_optimizer_state",
    "check_state",
    "check_theta",
]

_REMEDY = "Use a state from net.initialize(seed), or one that this network was trained with."


def check_theta(state: State, tape: Tape) -> None:
    """Raise unless the state has the parameters of this network, as floating-point numbers.

    Raises
    ------
    ShapeError, DataError
        For another number of parameters, and for another type.
    """
    check_is_state(state)
    if not is_floating(state.theta):
        raise DataError(
            "state.theta must be an array of float32 or float64; got "
            f"{getattr(state.theta, 'dtype', type(state.theta).__name__)}. {_REMEDY}"
        )
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
    if not isinstance(state.buffers, dict):
        raise DataError(
            f"state.buffers must be a dict from names to arrays; got {shown(state.buffers)}. "
            f"{_REMEDY}"
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
        if isinstance(held, AveragedState) and name == "inner":
            nested = isinstance(value, AveragedState)
            if value is not None and not nested:
                check_optimizer_state(State(theta, optimizer_state=value))
            valid = not nested
        elif name == "t":
            valid = is_count(value)
        elif name == "product":
            valid = isinstance(value, float)
        else:
            valid = _is_array(value, shape, dtype)
        if not valid:
            scalars = {"t": "a number of steps", "product": "a float", "inner": "no average itself"}
            wanted = scalars.get(name, f"{shape} of {dtype}, like θ")
            raise DataError(
                f"state.optimizer_state.{name} must be {wanted}; got {_shown(value)}. {_REMEDY}"
            )


def check_finite(state: State) -> None:
    """Raise unless the numbers of a restored state are ones that training can lead to.

    θ and the statistics are finite, and so are running means of gradients. Running means of
    squares may be infinite, which stops their coordinates, but are neither negative nor NaN.

    Raises
    ------
    DataError
        If they are not.
    """
    held = state.optimizer_state
    if isinstance(held, AveragedState):
        check_finite(State(state.theta, optimizer_state=held.inner))
    named: list[tuple[str, Any, Callable[[Any], bool] | None]] = [("theta", state.theta, _FINITE)]
    for name, array in state.buffers.items():
        named.append((f"buffers[{name!r:.40}]", array, _RANGES.get(name.rpartition(".")[2])))
    for name in () if held is None else held._fields:
        rule = _RANGES.get((type(held).__name__, name)) or _RANGES.get(name)
        named.append((f"optimizer_state.{name}", getattr(held, name), rule))
    for name, value, rule in named:
        if rule is not None and not rule(np.asarray(value)):
            raise DataError(f"state.{name} holds numbers that no training leads to. {_REMEDY}")


def _finite(low: float = -np.inf, high: float = np.inf) -> Callable[[Any], bool]:
    return lambda a: bool((np.isfinite(a) & (a >= low) & (a <= high)).all())


def _squares(array: Any) -> bool:
    return bool((array >= 0).all())  # False for NaN


_FINITE = _finite()
_RANGES: dict[Any, Callable[[Any], bool]] = {
    "mean": _FINITE, "variance": _finite(0), "weight": _finite(0),
    "m": _FINITE, "v": _squares, "s": _squares, "u": _squares,
    ("VelocityState", "v"): _FINITE, ("AveragedState", "u"): _FINITE,
    "product": _finite(0, 1), "sign": _finite(-1, 1), "size": _finite(0),
}  # fmt: skip
"""The ranges of statistics and of the optimisers' numbers, by name."""


def _check_buffers(state: State, tape: Tape) -> None:
    """Raise unless the statistics of batch normalisation fit the network, or do not exist yet."""
    held = state.buffers
    known = {
        f"{i}.{name}"
        for i in range(len(tape.normalizations))
        for name in ("mean", "variance", "weight")
    }
    if not set(held) <= known:
        odd = sorted(map(str, set(held) - known))[0]
        raise DataError(f"state.buffers has {odd!r:.40}, which is no statistic of it. {_REMEDY}")
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
