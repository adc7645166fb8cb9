"""Functions of the user as activations and losses: which function, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deltarule.errors import SpecError
from deltarule.utils.checks import check_call, check_name, check_sequence, is_number, shown

__all__ = ["CustomActivation", "CustomLoss", "Function"]

Function: TypeAlias = Callable[..., Any]

_RANGES = ("real", "positive", "unit")


@dataclass(frozen=True)
class CustomActivation:
    """A function of your own as activation: a = f(z) of every entry.

    ``Dense(8, f)`` is short for ``Dense(8, CustomActivation(f))``. Networks with such functions run
    in the reference engine alone.

    Parameters
    ----------
    value : callable
        f, from an array of any shape to one of the same shape, each entry by itself. Two equal
        networks have the same f, so it must be hashable, as functions are.
    derivative : callable, optional
        f'. By default ``value.derivative`` if f has one, as `deltarule.functions` do, and else the
        complex step f'(z) = Im f(z + ih)/h, h = 1e-20, which is exact for a formula of arithmetic,
        powers, exp, log, sin, tanh and such (Squire & Trapp 1998). It is wrong for ``abs``, and for
        all that does not compute with complex numbers. `check_gradients` tells.
    second_derivative : callable, optional
        f'', for Hessians. By default ``value.second_derivative``, or the complex step of f'.
    range : {"real", "positive", "unit"}, default="real"
        The numbers that f returns, which decides the losses that it may be the output of.
    kinks : sequence of float, default=()
        Where f' jumps; the gradient check leaves them out.

    Raises
    ------
    SpecError
        If these are no functions of one argument, or f is not hashable.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import CustomActivation, Dense, Network, check_gradients
    >>> wave = CustomActivation(lambda z: z + np.sin(z) ** 2)
    >>> net = Network(2, [Dense(3, wave), Dense(1)])
    >>> X = np.random.default_rng(0).normal(size=(5, 2))
    >>> check_gradients(net, net.initialize(0), X, X.sum(axis=1)).verdict
    'right'
    """

    value: Function
    derivative: Function | None = None
    second_derivative: Function | None = None
    range: Literal["real", "positive", "unit"] = "real"
    kinks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_function("value", self.value, "f(z)", 1)
        for name in ("derivative", "second_derivative"):
            _take_over(self, name)
            if getattr(self, name) is not None:
                _check_function(name, getattr(self, name), f"{name}(z)", 1)
        check_name("range", self.range, _RANGES)
        own = getattr(self.value, "kinks", ())
        kinks = own if isinstance(self.kinks, tuple) and not self.kinks else self.kinks
        found = check_sequence("kinks", kinks, "a list of numbers such as (0.0,)")
        if not all(is_number(kink) for kink in found):
            raise SpecError(f"kinks must be a list of numbers such as (0.0,); got {shown(kinks)}.")
        object.__setattr__(self, "kinks", tuple(float(kink) for kink in found))

    @property
    def name(self) -> str:
        """The name of f, for tables and messages."""
        return _name_of(self.value)


@dataclass(frozen=True)
class CustomLoss:
    """A function of your own as loss: L = f(a, y) of outputs and targets.

    ``Network(..., loss=f)`` is short for ``loss=CustomLoss(f)``. Networks with such functions run
    in the reference engine alone.

    Parameters
    ----------
    value : callable
        f, from outputs a (n, k) and targets y (n, k) to the losses of the rows (n,), or of every
        unit (n, k), which are summed over the units. It must be hashable, as functions are.
    derivative : callable, optional
        ∂L/∂a (n, k). By default ``value.derivative`` if f has one, as `deltarule.functions` do, and
        else the complex step of f, unit by unit (see `CustomActivation`).

    Raises
    ------
    SpecError
        If these are no functions of two arguments, or f is not hashable.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import CustomLoss, Dense, Network
    >>> log_cosh = CustomLoss(lambda a, y: np.log(np.cosh(a - y)))
    >>> net = Network(1, [Dense(1)], loss=log_cosh)
    >>> state = net.initialize(0)
    >>> state.theta[:] = [2.0, 0.0]
    >>> net.gradients(state, [[1.0]], [1.5])["W1"]       # tanh(2 − 1.5)
    array([[0.46211716]])
    """

    value: Function
    derivative: Function | None = None

    def __post_init__(self) -> None:
        _check_function("value", self.value, "f(a, y)", 2)
        _take_over(self, "derivative")
        if self.derivative is not None:
            _check_function("derivative", self.derivative, "derivative(a, y)", 2)

    @property
    def name(self) -> str:
        """The name of f, for messages."""
        return _name_of(self.value)


def _take_over(description: CustomActivation | CustomLoss, name: str) -> None:
    """Read a derivative that the function itself has, unless one is given."""
    own = getattr(description.value, name, None)
    if getattr(description, name) is None and callable(own):
        object.__setattr__(description, name, own)


def _check_function(name: str, function: Any, form: str, n_arguments: int) -> None:
    if isinstance(function, type):
        raise SpecError(
            f"{name} must be a function or an object, not a class; got {function.__name__}. Create "
            f"one: {function.__name__}()."
        )
    check_call(name, function, form, n_arguments)
    try:
        hash(function)
    except TypeError as error:
        raise SpecError(
            f"{name} must be hashable, so that networks can be compared; got {shown(function)}. "
            "Give a function, or a class that does not define __eq__ without __hash__."
        ) from error


def _name_of(function: Function) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "function" if name == "<lambda>" else str(name)
