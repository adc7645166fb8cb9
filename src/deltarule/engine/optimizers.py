"""What kernels need of an optimiser: which kernel, its constants, and its arrays of averages."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.errors import SpecError
from deltarule.program.optimizer_state import (
    AdadeltaState,
    AdamState,
    NadamState,
    RpropState,
    SquareState,
    VelocityState,
)
from deltarule.spec.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    EMAMomentum,
    Nadam,
    Optimizer,
    RMSprop,
    Rprop,
)
from deltarule.utils.arrays import aligned, aligned_zeros

__all__ = ["Averages", "OptimizerArrays", "Update", "update_of"]


class Update(NamedTuple):
    """An optimiser's kernel, its constants, and what it stores in the state."""

    kernel: str
    constants: dict[str, float]  # fields of the record OPTIMIZER
    state_type: type[Any]


def update_of(optimizer: Optimizer) -> Update:
    """Return the kernel and the constants of an optimiser."""
    match optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            return Update("sgd", {"momentum": momentum, "nesterov": int(nesterov)}, VelocityState)
        case EMAMomentum(beta=beta):
            return Update("ema_momentum", {"beta1": beta}, VelocityState)
        case RMSprop(beta=beta, epsilon=epsilon):
            return Update("rmsprop", {"beta2": beta, "epsilon": epsilon}, SquareState)
        case Adam(beta1=beta1, beta2=beta2, epsilon=epsilon):
            constants = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
            if isinstance(optimizer, AdamW):
                constants["weight_decay"] = optimizer.weight_decay
            return Update("adam", constants, AdamState)
        case Nadam(beta1=beta1, beta2=beta2, epsilon=epsilon, momentum_decay=psi):
            constants = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
            return Update("nadam", {**constants, "momentum_decay": psi}, NadamState)
        case Adagrad(epsilon=epsilon):
            return Update("adagrad", {"epsilon": epsilon}, SquareState)
        case Adadelta(rho=rho, epsilon=epsilon):
            return Update("adadelta", {"beta2": rho, "epsilon": epsilon}, AdadeltaState)
        case Rprop(eta_minus=minus, eta_plus=plus, min_step=low, max_step=high):
            steps = {"eta_minus": minus, "eta_plus": plus}
            return Update("rprop", {**steps, "min_step": low, "max_step": high}, RpropState)
    raise SpecError(f"optimizer must take a step a mini-batch, such as SGD; got {optimizer!r}.")


class Averages(NamedTuple):
    """An optimiser's averages during a call, which kernels change in place."""

    first: npt.NDArray[Any]
    second: npt.NDArray[Any]

    def arrays(self, update: Update) -> tuple[npt.NDArray[Any], ...]:
        """Return those that the optimiser has."""
        return self if _needs_second(update) else self[:1]

    def as_state(self, update: Update, taken: int, product: float) -> Any:
        """Return them as the state stores them."""
        kind = update.state_type
        names, arrays = kind._fields, self.arrays(update)
        if names[0] != "t":
            return kind(*arrays)
        return kind(taken, product, *arrays) if names[1] == "product" else kind(taken, *arrays)


class OptimizerArrays:
    """The arrays of averages that the engine made, which it may change in place.

    An array that belongs to the caller is copied. A call holds its arrays itself, because another
    call may begin in the middle of it, with another state.
    """

    def __init__(self) -> None:
        self._made = Averages(np.empty(0), np.empty(0))

    def load(
        self, update: Update, optimizer_state: Any, theta: npt.NDArray[Any]
    ) -> tuple[Averages, int, float]:
        """Return the averages, or zeros; the steps taken; and Nadam's product of momenta."""
        if optimizer_state is None:
            sizes = (theta.size, theta.size if _needs_second(update) else 0)
            zeros = (aligned_zeros(n, theta.dtype, place=i) for i, n in enumerate(sizes, 1))
            fresh = Averages(*zeros)
            self._made = fresh
            return fresh, 0, 1.0
        values = optimizer_state._asdict()
        taken, product = int(values.pop("t", 0)), float(values.pop("product", 1.0))
        arrays, made = list(values.values()), self._made
        first = _own(arrays[0], made.first, theta, 1)
        second = _own(arrays[1], made.second, theta, 2) if len(arrays) > 1 else made.second
        held = self._made = Averages(first, second)
        return held, taken, product


def _needs_second(update: Update) -> bool:
    return update.state_type not in (VelocityState, SquareState)


def _own(
    array: Any, mine: npt.NDArray[Any], theta: npt.NDArray[Any], place: int
) -> npt.NDArray[Any]:
    return mine if array is mine else aligned(array, theta.dtype, place=place)
