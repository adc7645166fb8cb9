"""Activations as plain functions, with first and second derivative (items A1-A7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltarule.functions.numbers import as_rows, plainly
from deltarule.program.opcodes import ActivationCode
from deltarule.reference.activations import ELEMENTWISE
from deltarule.reference.activations import log_softmax as log_softmax_of_rows
from deltarule.reference.activations import softmax as softmax_of_rows
from deltarule.spec.activations import ELU, LeakyReLU
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["ACTIVATIONS", "Activation", "Softmax", "log_softmax", "softmax"]


class Activation:
    """An elementwise activation: ``g(z)``, ``g.derivative(z)`` and ``g.second_derivative(z)``.

    Each takes a number, a list or an array of any shape and returns a float or an array of that
    shape; float32 stays float32, integers and others become float64. Nothing overflows for any
    finite z, and NaN stays NaN.

    Attributes
    ----------
    name : str
        The name of the activation in ``Dense(units, name)``.
    parameter : str or None
        The keyword of its parameter, if it has one: ``leaky_relu(z, slope=0.01)``,
        ``elu(z, alpha=1.0)``.
    kinks : tuple of float
        Where a derivative jumps. There it has the one-sided value that training uses.

    Raises
    ------
    DataError
        If z is not of real numbers.
    SpecError
        If the parameter is outside its range.

    Examples
    --------
    >>> from deltarule.functions import leaky_relu
    >>> leaky_relu([-2.0, 2.0], slope=0.25)
    array([-0.5,  2. ])
    >>> leaky_relu.derivative(-2.0)
    0.01
    >>> leaky_relu.kinks
    (0.0,)
    """

    def __init__(
        self, name: str, formula: str, parameter: Callable[..., LeakyReLU | ELU] | None = None
    ) -> None:
        self.name = self.__name__ = name
        self.__doc__ = formula
        self._functions = ELEMENTWISE[ActivationCode[name.upper()]]
        self._parameter = parameter
        self.parameter = None if parameter is None else next(iter(vars(parameter())))
        self.kinks = self._functions.kinks

    def __repr__(self) -> str:
        """Return where it is found."""
        return f"<deltarule.functions.{self.name}>"

    def __call__(self, z: Any, **parameter: float) -> Any:
        """Return g(z)."""
        return self._apply(self._functions.value, z, parameter)

    def derivative(self, z: Any, **parameter: float) -> Any:
        """Return g'(z)."""
        return self._apply(self._functions.derivative, z, parameter)

    def second_derivative(self, z: Any, **parameter: float) -> Any:
        """Return g''(z)."""
        return self._apply(self._functions.second, z, parameter)

    def _apply(self, function: Callable[..., Array], z: Any, given: dict[str, float]) -> Any:
        unknown = [key for key in given if key != self.parameter]
        if unknown:
            known = "no parameter" if self.parameter is None else f"only {self.parameter}"
            raise TypeError(f"{self.name} takes {known} beside z; got {', '.join(unknown)}.")
        constant = 0.0
        if self._parameter is not None:
            constant = next(iter(vars(self._parameter(**given)).values()))
        return plainly(lambda rows: function(rows, constant), "z", z)


class Softmax:
    """Softmax of the last axis: S_k = e^{z_k} / Σ_j e^{z_j} (item A6; Matt R §2.2.4).

    Examples
    --------
    >>> from deltarule.functions import softmax
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    >>> softmax.derivative([0.0, 0.0])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """

    name = __name__ = "softmax"
    parameter = None
    kinks: tuple[float, ...] = ()

    def __repr__(self) -> str:
        """Return where it is found."""
        return "<deltarule.functions.softmax>"

    def __call__(self, z: Any) -> Any:
        """Return S (…, k) for z (…, k), each row positive with the sum 1."""
        rows, shape = as_rows("z", z)
        xp = array_namespace(rows)
        return xp.reshape(softmax_of_rows(rows)[0], shape)

    def derivative(self, z: Any) -> Any:
        """Return the Jacobian S_i (δ_ij − S_j) of every row, (…, k, k); it is symmetric."""
        rows, shape = as_rows("z", z)
        xp = array_namespace(rows)
        _, pull = softmax_of_rows(rows)
        k = shape[-1]
        columns = [pull(xp.broadcast_to(unit, rows.shape)) for unit in xp.eye(k, dtype=rows.dtype)]
        return xp.reshape(xp.stack(columns, axis=1), (*shape, k))


def log_softmax(z: Any) -> Any:
    """Return log S of the last axis, as z − m − log Σ e^{z − m}: no logarithm of a rounded S.

    Parameters
    ----------
    z : array-like (…, k)
        Logits.

    Examples
    --------
    >>> log_softmax([0.0, 1000.0])
    array([-1000.,     0.])
    """
    rows, shape = as_rows("z", z)
    return array_namespace(rows).reshape(log_softmax_of_rows(rows), shape)


identity = Activation("identity", "A1. g(z) = z; g' = 1.")
sigmoid = Activation("sigmoid", "A2. σ(z) = 1/(1 + e^{−z}); σ' = σ(1 − σ).")
tanh = Activation("tanh", "A3. The hyperbolic tangent; tanh' = 1 − tanh².")
relu = Activation("relu", "A4. max(z, 0); its derivative is 1 above 0, else 0 (erratum E-a).")
leaky_relu = Activation(
    "leaky_relu",
    "A5. max(βz, z) with slope=β in [0, 1]; its derivative is 1 above 0, else β.",
    LeakyReLU,
)
softmax = Softmax()
selu = Activation("selu", "A7. λ·ELU_α(z) with Klambauer et al.'s λ and α (2017).")
elu = Activation("elu", "z above 0, else α(e^z − 1), with alpha=α > 0 (Clevert et al. 2016).", ELU)
exp = Activation("exp", "e^z, the inverse of the log link; the rate of a Poisson model.")
gelu = Activation("gelu", "z Φ(z), Φ the normal distribution function (Hendrycks & Gimpel 2016).")
silu = Activation("silu", "SiLU or Swish: z σ(z) (Elfwing et al. 2018).")
softplus = Activation("softplus", "log(1 + e^z); its derivative is σ (Dugas et al. 2001).")
mish = Activation("mish", "z tanh(softplus(z)) (Misra 2019).")
softsign = Activation("softsign", "z/(1 + |z|) (Turian et al. 2009).")
hard_sigmoid = Activation("hard_sigmoid", "min(max(z/6 + ½, 0), 1), as in PyTorch.")
hard_tanh = Activation("hard_tanh", "min(max(z, −1), 1).")

ACTIVATIONS: dict[str, Activation | Softmax] = {
    function.name: function
    for function in (
        identity, sigmoid, tanh, relu, leaky_relu, softmax, exp, selu, elu, gelu, silu, softplus,
        mish, softsign, hard_sigmoid, hard_tanh,
    )
}  # fmt: skip
"""Every activation by its name in ``Dense(units, name)``."""
