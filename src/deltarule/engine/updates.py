"""Optimisers as the kernels see them: a kernel, its constants, and two arrays to remember."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.arrays import aligned
from deltarule.errors import SpecError
from deltarule.optimizers import (
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
from deltarule.slots import (
    AdadeltaSlots,
    AdamSlots,
    NadamSlots,
    RpropSlots,
    SquareSlots,
    VelocitySlots,
)

__all__ = ["Memory", "Update", "update_of"]


class Update(NamedTuple):
    """An optimiser's kernel, and what it takes."""

    kernel: str
    constants: tuple[float, ...]
    slots: type[Any]  # what the state keeps
    weight_decay: float = 0.0
    momentum_decay: float = -1.0  # Nadam's ψ


def update_of(optimizer: Optimizer) -> Update:
    """Return the kernel and the constants of an optimiser."""
    match optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            return Update("sgd", (momentum, float(nesterov)), VelocitySlots)
        case EMAMomentum(beta=beta):
            return Update("momentum_average", (beta,), VelocitySlots)
        case RMSprop(beta=beta, epsilon=epsilon):
            return Update("rmsprop", (beta, epsilon), SquareSlots)
        case AdamW(beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay):
            return Update("adam", (beta1, beta2, epsilon), AdamSlots, weight_decay)
        case Adam(beta1=beta1, beta2=beta2, epsilon=epsilon):
            return Update("adam", (beta1, beta2, epsilon), AdamSlots)
        case Nadam(beta1=beta1, beta2=beta2, epsilon=epsilon, momentum_decay=psi):
            return Update("nadam", (beta1, beta2, epsilon), NadamSlots, momentum_decay=psi)
        case Adagrad(epsilon=epsilon):
            return Update("adagrad", (epsilon,), SquareSlots)
        case Adadelta(rho=rho, epsilon=epsilon):
            return Update("adadelta", (rho, epsilon), AdadeltaSlots)
        case Rprop(eta_minus=minus, eta_plus=plus, min_step=low, max_step=high):
            return Update("rprop", (minus, plus, low, high), RpropSlots)
    raise SpecError(f"optimizer must take a step a mini-batch, such as SGD; got {optimizer!r}.")


class Memory:
    """What the optimiser remembers during a call: arrays that kernels change in place.

    They are the arrays of ``state.slots`` where the engine made those, and copies otherwise: an
    array that somebody else holds is never changed.
    """

    def __init__(self) -> None:
        self.first = self.second = np.empty(0)

    def load(self, update: Update, slots: Any, theta: npt.NDArray[Any]) -> tuple[int, float]:
        """Take over a state's slots, or begin; return the steps taken and Nadam's product."""
        if slots is None:
            nothing = np.zeros_like(theta)
            self.first = aligned(nothing, place=1)
            self.second = aligned(nothing if self._needs_second(update) else nothing[:0], place=2)
            return 0, 1.0
        values = slots._asdict()
        taken, product = int(values.pop("t", 0)), float(values.pop("product", 1.0))
        arrays = list(values.values())
        self.first = self._own(arrays[0], self.first, theta, 1)
        if len(arrays) > 1:
            self.second = self._own(arrays[1], self.second, theta, 2)
        return taken, product

    def save(self, update: Update, taken: int, product: float) -> Any:
        """Return the slots as the state keeps them."""
        arrays = (self.first, self.second) if self._needs_second(update) else (self.first,)
        scalars = {"t": (taken,), "product": (product,)}
        begin = [scalars[name][0] for name in update.slots._fields if name in scalars]
        return update.slots(*begin, *arrays)

    @staticmethod
    def _needs_second(update: Update) -> bool:
        return len([name for name in update.slots._fields if name not in ("t", "product")]) > 1

    @staticmethod
    def _own(
        array: Any, mine: npt.NDArray[Any], theta: npt.NDArray[Any], place: int
    ) -> npt.NDArray[Any]:
        return mine if array is mine else aligned(array, theta.dtype, place=place)
