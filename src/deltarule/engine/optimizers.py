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
from deltarule.utils.arrays import aligned

__all__ = ["OptimizerArrays", "Update", "update_of"]


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


class OptimizerArrays:
    """The optimiser's averages during a call, which kernels change in place.

    They are the arrays of ``state.optimizer_state`` if the engine made those, and copies otherwise:
    an array that belongs to the caller is never changed.
    """

    def __init__(self) -> None:
        self.first = self.second = np.empty(0)

    def load(
        self, update: Update, optimizer_state: Any, theta: npt.NDArray[Any]
    ) -> tuple[int, float]:
        """Load the state, or zeros; return the steps taken and Nadam's product of momenta."""
        if optimizer_state is None:
            nothing = np.zeros_like(theta)
            self.first = aligned(nothing, place=1)
            self.second = aligned(nothing if self._needs_second(update) else nothing[:0], place=2)
            return 0, 1.0
        values = optimizer_state._asdict()
        taken, product = int(values.pop("t", 0)), float(values.pop("product", 1.0))
        arrays = list(values.values())
        self.first = self._own(arrays[0], self.first, theta, 1)
        if len(arrays) > 1:
            self.second = self._own(arrays[1], self.second, theta, 2)
        return taken, product

    def save(self, update: Update, taken: int, product: float) -> Any:
        """Return the optimiser state as the state stores them."""
        arrays = (self.first, self.second) if self._needs_second(update) else (self.first,)
        scalars = {"t": (taken,), "product": (product,)}
        begin = [scalars[name][0] for name in update.state_type._fields if name in scalars]
        return update.state_type(*begin, *arrays)

    @staticmethod
    def _needs_second(update: Update) -> bool:
        return len([name for name in update.state_type._fields if name not in ("t", "product")]) > 1

    @staticmethod
    def _own(
        array: Any, mine: npt.NDArray[Any], theta: npt.NDArray[Any], place: int
    ) -> npt.NDArray[Any]:
        return mine if array is mine else aligned(array, theta.dtype, place=place)
