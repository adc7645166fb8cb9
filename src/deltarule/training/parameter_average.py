"""The exponential average of θ over the epochs of a training (item O8)."""

from __future__ import annotations

from math import expm1, log

from deltarule.errors import SpecError
from deltarule.program import State
from deltarule.utils.arrays import Array
from deltarule.utils.checks import check_between, shown

__all__ = ["ParameterAverage"]


class ParameterAverage:
    """A callback that averages θ over epochs: V_t = β V_{t−1} + (1 − β) θ_t, θ̄ = V_t/(1 − βᵗ).

    θ_t are the parameters after epoch t. Late in a training they move around a minimum, to which
    their average is nearer than the last of them (Polyak & Juditsky 1992; with weights that fall
    as βʲ, the newest count most). β = 0.9 averages about ten epochs.

    Parameters
    ----------
    beta : float, default=0.9
        β in [0, 1).

    Raises
    ------
    SpecError
        For a β outside [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import Dense, Network, train
    >>> from deltarule.training import ParameterAverage
    >>> net, average = Network(1, [Dense(1)]), ParameterAverage(0.5)
    >>> state, x = net.initialize(0), np.array([[1.0], [2.0]])
    >>> history = train(net, state, x, [2.0, 4.0], epochs=3, stopping=None, on_epoch_begin=average)
    >>> average.state(state).theta.shape
    (2,)
    """

    def __init__(self, beta: float = 0.9) -> None:
        self.beta = check_between("beta", beta, 0.0, 1.0, open_high=True)
        self._sum: Array | None = None
        self._count = 0

    def __call__(self, state: State) -> None:
        """Take the state that an epoch begins with: the one after the epoch before it.

        Parameters
        ----------
        state : State
            Of a training; one without a step is left out.
        """
        if not isinstance(state, State):
            raise SpecError(f"state must be the State of a training; got {shown(state)}.")
        if state.step > 0:
            self._sum = self._added(state.theta)
            self._count += 1

    def state(self, last: State) -> State:
        """Return a copy of a state with θ̄ in place of its θ.

        Parameters
        ----------
        last : State
            After the last epoch, whose θ is the newest in the average. The statistics of batch norm
            stay those of this state: `deltarule.recompute_batch_norm` makes those of θ̄.
        """
        if not isinstance(last, State):
            raise SpecError(f"last must be the State after the training; got {shown(last)}.")
        averaged, count = last.copy(optimizer=False), self._count + 1
        weight = -expm1(count * log(self.beta)) if self.beta > 0 else 1.0
        averaged.theta[...] = self._added(last.theta) / weight
        return averaged

    def _added(self, theta: Array) -> Array:
        newest = (1 - self.beta) * theta
        return newest if self._sum is None else self.beta * self._sum + newest
