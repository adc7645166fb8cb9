"""Activations and losses that are functions of the user, with derivatives by the complex step.

f(z + ih) = f(z) + ih f'(z) − h²f''(z)/2 − … for a real analytic f, so Im f(z + ih)/h is f'(z) up to
h²: with h = 1e-20 to the last digit, because nothing is subtracted (Squire & Trapp 1998).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltarule.errors import ShapeError, SpecError
from deltarule.program.opcodes import FIRST_FUNCTION
from deltarule.program.tape import Tape
from deltarule.reference.activations import ELEMENTWISE, Elementwise
from deltarule.reference.losses import LOSSES, Constants, Loss
from deltarule.spec.custom import CustomActivation, CustomLoss
from deltarule.utils.arrays import Array, Pullback, array_namespace, is_array

__all__ = ["elementwise", "loss"]

_STEP = 1e-20


def complex_step(function: Callable[[Array], Any], z: Array, direction: Array, what: str) -> Array:
    """Return the differential of a function along a direction, Im f(z + ih d)/h.

    Raises
    ------
    SpecError
        If the function does not compute with complex numbers.
    """
    xp = array_namespace(z)
    kind = xp.complex64 if z.dtype == xp.float32 else xp.complex128
    moved = xp.astype(z, kind) + xp.astype(direction, kind) * (1j * _STEP)
    remedy = (
        f"The derivative of {what} is computed by a complex step, for which it must compute with "
        "complex numbers, as arithmetic, exp or tanh do and abs or maximum do not. "
    )
    try:
        found = function(moved)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{remedy}Give derivative=... instead ({error}).") from error
    if not (is_array(found) and xp.isdtype(found.dtype, "complex floating")):
        raise SpecError(f"{remedy}It returned real numbers; give derivative=... instead.")
    return xp.astype(xp.imag(found) / _STEP, z.dtype)


def _entries(found: Any, like: Array, what: str) -> Array:
    """Return what the user's function gave, checked to be one number for every entry."""
    if not is_array(found) or tuple(found.shape) != tuple(like.shape):
        got = f"shape {tuple(found.shape)}" if is_array(found) else type(found).__name__
        raise ShapeError(
            f"{what} must return an array of shape {tuple(like.shape)}, one number for each entry "
            f"of what it is given; got {got}. Compute with array functions such as numpy.where; "
            "softmax, which is of whole rows, is Dense(k, 'softmax')."
        )
    return array_namespace(like).astype(found, like.dtype)


def elementwise(tape: Tape, code: int) -> Elementwise | None:
    """Return the scalar function of an activation on a tape; None for softmax, which has none."""
    if code < FIRST_FUNCTION:
        return ELEMENTWISE.get(code)
    custom = tape.functions[code - FIRST_FUNCTION]
    assert isinstance(custom, CustomActivation)
    return _elementwise_of(custom)


def loss(tape: Tape) -> Loss:
    """Return the loss of a tape."""
    code = tape.loss.code
    if code < FIRST_FUNCTION:
        return LOSSES[code]
    custom = tape.functions[code - FIRST_FUNCTION]
    assert isinstance(custom, CustomLoss)
    return _loss_of(custom)


def _elementwise_of(custom: CustomActivation) -> Elementwise:
    """Return a user's activation as the scalar function that the reference's maps are made of."""
    name = custom.name

    def value(z: Array, c: float) -> Array:
        return _entries(custom.value(z), z, f"activation {name}")

    def derivative(z: Array, c: float) -> Array:
        if custom.derivative is not None:
            return _entries(custom.derivative(z), z, f"derivative of {name}")
        found = complex_step(custom.value, z, array_namespace(z).ones_like(z), name)
        return _entries(found, z, f"activation {name}")

    def second(z: Array, c: float) -> Array:
        if custom.second_derivative is not None:
            return _entries(custom.second_derivative(z), z, f"second derivative of {name}")
        if custom.derivative is None:
            raise SpecError(
                f"second derivatives of the activation {name} need its first: "
                "CustomActivation(f, derivative=...), or second_derivative=... beside it."
            )
        what = f"the derivative of {name}"
        found = complex_step(custom.derivative, z, array_namespace(z).ones_like(z), what)
        return _entries(found, z, what)

    return Elementwise(value, derivative, second, custom.kinks)


def _loss_of(custom: CustomLoss) -> Loss:
    """Return a user's loss as one of the reference's: the losses of rows, pullback, curvature."""
    name = custom.name

    def of_rows(a: Array, y: Array) -> Array:
        found = custom.value(a, y)
        xp = array_namespace(a)
        if is_array(found) and tuple(found.shape) == tuple(a.shape):
            return xp.sum(found, axis=1)
        if not is_array(found) or tuple(found.shape) != tuple(a.shape)[:1]:
            got = f"shape {tuple(found.shape)}" if is_array(found) else type(found).__name__
            raise ShapeError(
                f"loss {name} must return one number for each row, shape {tuple(a.shape)[:1]}, or "
                f"for each unit, shape {tuple(a.shape)}; got {got}. Sum over the last axis, and do "
                "not average over rows."
            )
        return found

    def slope(a: Array, y: Array) -> Array:
        if custom.derivative is not None:
            return _entries(custom.derivative(a, y), a, f"derivative of {name}")
        xp = array_namespace(a)
        units = xp.eye(a.shape[1], dtype=a.dtype)
        columns = [
            complex_step(lambda z: of_rows(z, y), a, xp.broadcast_to(units[k, :], a.shape), name)
            for k in range(a.shape[1])
        ]
        return xp.stack(columns, axis=1)

    def value(a: Array, y: Array, c: Constants) -> tuple[Array, Pullback]:
        losses = array_namespace(a).astype(of_rows(a, y), a.dtype)
        return losses, lambda dloss: dloss[:, None] * slope(a, y)

    def curvature(a: Array, y: Array, c: Constants, da: Array) -> Array:
        derivative = custom.derivative
        if derivative is None:
            raise SpecError(
                f"second derivatives of the loss {name} need its first: "
                "CustomLoss(f, derivative=...)."
            )
        return complex_step(lambda z: derivative(z, y), a, da, f"the derivative of {name}")

    return Loss(value, curvature)
