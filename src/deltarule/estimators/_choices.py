"""Optimiser, schedule and clipping that an estimator's arguments mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

from deltarule.checks import check_between
from deltarule.clipping import ClipNorm, Clipping, ClipValue
from deltarule.errors import SpecError
from deltarule.optimizers import (
    LBFGS,
    OPTIMIZERS,
    SGD,
    Adam,
    EMAMomentum,
    LineSearch,
    Minimizer,
    Optimizer,
)
from deltarule.schedules import (
    SCHEDULES,
    Constant,
    InverseScaling,
    Position,
    Rates,
    Schedule,
)

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

__all__ = [
    "Slowed",
    "clipping_of",
    "minimizer_of",
    "minimizes",
    "optimizer_of",
    "schedule_of",
]

_SCIKIT_LEARN = ("constant", "invscaling", "adaptive")
"""Schedules of scikit-learn, which it ignores with every solver but ``sgd``."""

_FLAT = 2.2204460492503131e-09
"""The relative fall of the cost below which LBFGS ends, as in scikit-learn."""


def minimizes(solver: Any) -> bool:
    """Return whether a solver minimises the cost of the whole set, not of mini-batches."""
    if isinstance(solver, str):
        return solver in OPTIMIZERS and issubclass(OPTIMIZERS[solver], Minimizer)
    return isinstance(solver, Minimizer)


def minimizer_of(estimator: BaseMLP) -> Minimizer:
    """Return the solver that minimises over the whole set; a name uses ``tol`` and ``max_fun``."""
    given = estimator.solver
    tol, most = float(estimator.tol), int(estimator.max_fun)
    if given == "lbfgs":
        given = LBFGS(tol=tol, max_evaluations=most)
    elif given == "line_search":
        given = LineSearch(tol=tol, max_evaluations=most)
    if isinstance(given, LBFGS) and given.ftol is None:
        given = replace(given, ftol=_FLAT)
    chosen: Minimizer = given
    return chosen


def optimizer_of(estimator: BaseMLP) -> Optimizer:
    """Return the optimiser that takes the steps; a name uses scikit-learn's arguments."""
    given, rate = estimator.solver, float(estimator.learning_rate_init)
    if isinstance(given, Optimizer):
        return given
    if given == "sgd":
        return SGD(rate, float(estimator.momentum), bool(estimator.nesterovs_momentum))
    if given == "momentum_average":
        return EMAMomentum(rate, float(estimator.momentum))
    kind: Any = OPTIMIZERS[given]
    if given == "nadam" or issubclass(kind, Adam):
        betas = float(estimator.beta_1), float(estimator.beta_2)
        kind = partial(kind, beta1=betas[0], beta2=betas[1], epsilon=float(estimator.epsilon))
    chosen: Optimizer = kind(learning_rate=rate)
    return chosen


def schedule_of(estimator: BaseMLP, incremental: bool) -> Schedule:
    """Return the schedule; scikit-learn's three names have an effect with ``sgd`` only."""
    given = estimator.learning_rate
    if not isinstance(given, str):
        return given
    if given not in _SCIKIT_LEARN:
        return SCHEDULES[given]()
    if estimator.solver != "sgd" and not isinstance(estimator.solver, SGD):
        return Constant()
    if given == "invscaling":
        power = float(estimator.power_t)
        return InverseScaling(power) if incremental else _RestartedInverseScaling(power)
    return SCHEDULES[given]()


def clipping_of(given: Any) -> Clipping | None:
    """Return the clipping that ``gradient_clip`` means."""
    if given is None:
        return None
    if isinstance(given, Real):
        return ClipNorm(check_between("gradient_clip", given, 0.0, open_low=True, open_high=True))
    pair = tuple(given)
    if len(pair) != 2 or pair[0] not in ("norm", "value"):
        raise SpecError(
            "gradient_clip must be a largest norm such as 1.0, or ('value', c) to cut every entry "
            f"off at ±c; got {given!r}."
        )
    limit = check_between(
        f"gradient_clip=({pair[0]!r}, c): c", pair[1], 0.0, open_low=True, open_high=True
    )
    return ClipNorm(limit) if pair[0] == "norm" else ClipValue(limit)


@dataclass(frozen=True)
class _RestartedInverseScaling(InverseScaling):
    """``invscaling`` in ``fit``: the first epoch of every fit, also of a warm one, has η₀."""

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ in the first epoch, η₀ / (t + 1)^power in later ones."""
        return initial if position.epochs == 0 else super().rate(initial, position)


@dataclass(frozen=True)
class Slowed:
    """A schedule with every rate multiplied by a factor."""

    schedule: Schedule
    factor: float

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the schedule's rates, times the factor."""
        current = initial if position.learning_rate is None else position.learning_rate
        own = position._replace(learning_rate=current / self.factor)
        return self.factor * self.schedule.rates(initial, own, n_steps)

    def observe(
        self, state: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Return the schedule's state and rate after an epoch, the rate times the factor."""
        state, rate = self.schedule.observe(state, metric, current / self.factor, maximize=maximize)
        return state, self.factor * rate

    def on_plateau(self, current: float) -> float | None:
        """Return the schedule's new rate times the factor, or None to stop."""
        slower = self.schedule.on_plateau(current / self.factor)
        return None if slower is None else self.factor * slower
