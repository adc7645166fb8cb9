"""Losses as plain functions of outputs and targets, with their derivatives (items L1-L4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError
from deltarule.functions.numbers import as_array, as_rows, plainly
from deltarule.program.opcodes import LossCode
from deltarule.reference.losses import LOSSES as OF_ROWS
from deltarule.spec.losses import Huber, Quantile
from deltarule.utils.arrays import Array, array_namespace

__all__ = [
    "LOSSES",
    "LossFunction",
    "absolute_error",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "huber",
    "poisson",
    "quantile",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]


class LossFunction:
    """A loss L(a, y) of outputs a and targets y, and ``derivative(a, y)`` = ∂L/∂a.

    Both take numbers, lists or arrays whose shapes broadcast, and return a float or an array, one
    loss an entry; those of classes take rows (…, k) and return one loss a row. A network's loss of
    an example is the sum over its output units, and its cost the mean over the examples.

    Attributes
    ----------
    name : str
        Its name in ``Network(..., loss=name)``, or what it is computed from.
    parameter : str or None
        The keyword of its parameter: ``huber(a, y, delta=1.0)``, ``quantile(a, y, level=0.5)``.

    Raises
    ------
    DataError
        If a or y are not of real numbers, or outside the domain of the loss.
    ShapeError
        If their shapes do not fit each other.

    Examples
    --------
    >>> from deltarule.functions import huber, quantile
    >>> huber([0.5, 4.0], 0.0, delta=1.0)
    array([0.125, 3.5  ])
    >>> quantile.derivative([1.0, 3.0], 2.0, level=0.9)
    array([-0.9,  0.1])
    """

    parameter: str | None = None

    def __init__(
        self,
        name: str,
        formula: str,
        value: Callable[..., Any],
        derivative: Callable[..., Any],
        parameter: str | None = None,
    ) -> None:
        self.name = self.__name__ = name
        self.__doc__ = formula
        self._value, self._derivative, self.parameter = value, derivative, parameter

    def __repr__(self) -> str:
        """Return where it is found."""
        return f"<deltarule.functions.{self.name}>"

    def __call__(self, a: Any, y: Any, **parameter: float) -> Any:
        """Return the losses."""
        return self._value(a, y, **self._checked(parameter))

    def derivative(self, a: Any, y: Any, **parameter: float) -> Any:
        """Return ∂L/∂a, of the shape of a and y together."""
        return self._derivative(a, y, **self._checked(parameter))

    def _checked(self, given: dict[str, float]) -> dict[str, float]:
        unknown = [key for key in given if key != self.parameter]
        if unknown:
            known = "no parameter" if self.parameter is None else f"only {self.parameter}"
            raise TypeError(f"{self.name} takes {known} beside a and y; got {', '.join(unknown)}.")
        return given


def _elementwise(
    name: str,
    formula: str,
    code: LossCode,
    constants: Callable[..., tuple[float, ...]] = tuple,
    parameter: str | None = None,
    check: Callable[[Array, Array], None] = lambda a, y: None,
) -> LossFunction:
    """Return a loss of the reference that is a sum over units, for each entry alone."""

    def value(a: Any, y: Any, **given: float) -> Any:
        c = constants(**given)

        def of_rows(a: Array, y: Array) -> Array:
            check(a, y)
            return OF_ROWS[code].value(a, y, c)[0]

        return plainly(of_rows, "a y", a, y)

    def derivative(a: Any, y: Any, **given: float) -> Any:
        c = constants(**given)

        def of_rows(a: Array, y: Array) -> Array:
            check(a, y)
            losses, pull = OF_ROWS[code].value(a, y, c)
            return pull(array_namespace(a).ones_like(losses))

        return plainly(of_rows, "a y", a, y)

    return LossFunction(name, formula, value, derivative, parameter)


# --- probabilities ------------------------------------------------------------------------------


def _check_probability(a: Array, y: Array) -> None:
    xp = array_namespace(a, y)
    for name, array in (("a", a), ("y", y)):
        if bool(xp.any((array < 0) | (array > 1))):
            raise DataError(
                f"{name} must be probabilities in [0, 1]; got values from {float(xp.min(array)):g} "
                f"to {float(xp.max(array)):g}. For logits use sigmoid_cross_entropy or "
                "softmax_cross_entropy."
            )


def _check_rate(a: Array, y: Array) -> None:
    xp = array_namespace(a, y)
    if bool(xp.any(a <= 0)) or bool(xp.any(y < 0)):
        raise DataError(
            f"a must be rates above 0, and y counts of at least 0; got a from {float(xp.min(a)):g} "
            f"and y from {float(xp.min(y)):g}."
        )


def _times(factor: Array, value: Callable[[], Array]) -> Array:
    """Return factor · value, which is 0 where the factor is 0, whatever the value."""
    xp = array_namespace(factor)
    return xp.where(factor == 0, xp.zeros_like(factor), factor * value())


def _binary(a: Any, y: Any) -> Any:
    def of_rows(a: Array, y: Array) -> Array:
        _check_probability(a, y)
        xp = array_namespace(a)
        return -_times(y, lambda: xp.log(a)) - _times(1 - y, lambda: xp.log1p(-a))

    return plainly(of_rows, "a y", a, y)


def _binary_derivative(a: Any, y: Any) -> Any:
    def of_rows(a: Array, y: Array) -> Array:
        _check_probability(a, y)
        return _times(1 - y, lambda: 1 / (1 - a)) - _times(y, lambda: 1 / a)

    return plainly(of_rows, "a y", a, y)


def _classes(a: Any, y: Any) -> tuple[Array, Array, tuple[int, ...]]:
    """Return rows of outputs and of targets; class numbers become rows of 0 and 1."""
    rows, shape = as_rows("a", a)
    xp = array_namespace(rows)
    given = as_array("y", y)
    if tuple(given.shape) == shape[:-1]:
        numbers = np.asarray(given).reshape(-1)
        if (numbers != np.round(numbers)).any() or not (
            (numbers >= 0) & (numbers < shape[-1])
        ).all():
            raise DataError(
                f"y must be class numbers from 0 to {shape[-1] - 1}, or rows of shape {shape}; got "
                f"{numbers[:5].tolist()}."
            )
        return (
            rows,
            xp.eye(shape[-1], dtype=rows.dtype)[xp.asarray(numbers.astype(np.int64))],
            shape,
        )
    if tuple(given.shape) != shape:
        raise ShapeError(
            f"y must have the shape of a, {shape}, or class numbers of shape {shape[:-1]}; got "
            f"{tuple(given.shape)}."
        )
    return rows, xp.astype(xp.reshape(given, rows.shape), rows.dtype), shape


def _one_a_row(losses: Array, shape: tuple[int, ...]) -> Any:
    if shape[:-1] == ():
        return float(losses[0])
    return array_namespace(losses).reshape(losses, shape[:-1])


def _categorical(a: Any, y: Any) -> Any:
    rows, targets, shape = _classes(a, y)
    _check_probability(rows, targets)
    xp = array_namespace(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = -xp.sum(_times(targets, lambda: xp.log(rows)), axis=1)
    return _one_a_row(losses, shape)


def _categorical_derivative(a: Any, y: Any) -> Any:
    rows, targets, shape = _classes(a, y)
    _check_probability(rows, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = -_times(targets, lambda: 1 / rows)
    return array_namespace(rows).reshape(slope, shape)


def _of_logits(a: Any, y: Any) -> Any:
    rows, targets, shape = _classes(a, y)
    return _one_a_row(OF_ROWS[LossCode.SOFTMAX_CROSS_ENTROPY].value(rows, targets, ())[0], shape)


def _of_logits_derivative(a: Any, y: Any) -> Any:
    rows, targets, shape = _classes(a, y)
    xp = array_namespace(rows)
    losses, pull = OF_ROWS[LossCode.SOFTMAX_CROSS_ENTROPY].value(rows, targets, ())
    return xp.reshape(pull(xp.ones_like(losses)), shape)


squared_error = _elementwise(
    "squared_error",
    "L3. ½ (a − y)², with the half, so that its derivative is a − y (Khabar §4.3).",
    LossCode.SQUARED_ERROR,
)
absolute_error = _elementwise(
    "absolute_error", "|a − y|; its derivative is 0 at a = y.", LossCode.ABSOLUTE_ERROR
)
huber = _elementwise(
    "huber",
    "½r² for residuals |r| ≤ delta, delta (|r| − ½ delta) beyond (Huber 1964).",
    LossCode.HUBER,
    lambda delta=1.0: (Huber(delta).delta,),
    "delta",
)
quantile = _elementwise(
    "quantile",
    "q max(y − a, 0) + (1 − q) max(a − y, 0) with level=q (Koenker & Bassett 1978).",
    LossCode.QUANTILE,
    lambda level=0.5: Quantile(level).levels,
    "level",
)
poisson = _elementwise(
    "poisson",
    "Half the Poisson deviance of a rate a > 0: a − y − y log(a/y) (McCullagh & Nelder 1989).",
    LossCode.POISSON,
    check=_check_rate,
)
binary_cross_entropy = LossFunction(
    "binary_cross_entropy",
    "L1, L4. −y log a − (1 − y) log(1 − a) of a probability a (Khabar §4.1).",
    _binary,
    _binary_derivative,
)
categorical_cross_entropy = LossFunction(
    "categorical_cross_entropy",
    "L2. −Σ_k y_k log a_k of rows of probabilities; y may be class numbers (Khabar §4.2).",
    _categorical,
    _categorical_derivative,
)
sigmoid_cross_entropy = _elementwise(
    "sigmoid_cross_entropy",
    "L1 of the logit z: binary_cross_entropy(σ(z), y); its derivative is σ(z) − y.",
    LossCode.SIGMOID_CROSS_ENTROPY,
)
softmax_cross_entropy = LossFunction(
    "softmax_cross_entropy",
    "L2 of logits z: categorical_cross_entropy(softmax(z), y); its derivative is softmax(z) − y.",
    _of_logits,
    _of_logits_derivative,
)

LOSSES: dict[str, LossFunction] = {
    loss.name: loss
    for loss in (
        squared_error, absolute_error, huber, quantile, poisson, binary_cross_entropy,
        categorical_cross_entropy, sigmoid_cross_entropy, softmax_cross_entropy,
    )
}  # fmt: skip
"""Every loss by its name."""
