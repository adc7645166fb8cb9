"""The solver, learning-rate schedule and gradient clipping of an estimator's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from deltarule.errors import SpecError
from deltarule.schedules import (
    SCHEDULES,
    Constant,
    InverseScaling,
    Position,
    Rates,
    Schedule,
)
from deltarule.spec.gradient_clipping import ClipNorm, Clipping, ClipValue
from deltarule.spec.optimizers import (
    LBFGS,
    OPTIMIZERS,
    SGD,
    Adam,
    EMAMomentum,
    LineSearch,
    Minimizer,
    Nadam,
    Optimizer,
)
from deltarule.utils.checks import check_between

__all__ = [
    "SCIKIT_LEARN_SCHEDULES",
    "Slowed",
    "is_minimizer",
    "read_clipping",
    "read_schedule",
    "read_solver",
]

SCIKIT_LEARN_SCHEDULES = ("constant", "invscaling", "adaptive")
"""Schedules of scikit-learn, which it ignores with every solver but ``sgd``."""

_FTOL = 2.2204460492503131e-09
"""The relative decrease of the cost below which L-BFGS ends, as in scikit-learn."""


def is_minimizer(solver: Any) -> bool:
    """Return whether ``solver`` minimises the cost of the whole set, not of mini-batches."""
    if isinstance(solver, str):
        return solver in OPTIMIZERS and issubclass(OPTIMIZERS[solver], Minimizer)
    return isinstance(solver, Minimizer)


def read_solver(given: Mapping[str, Any]) -> Optimizer | Minimizer:
    """Return the solver; one given by name takes its constants from scikit-learn's arguments."""
    solver = given["solver"]
    if is_minimizer(solver):
        return _read_minimizer(solver, float(given["tol"]), int(given["max_fun"]))
    if isinstance(solver, Optimizer):
        return solver
    rate, kind = float(given["learning_rate_init"]), OPTIMIZERS[solver]
    if kind is SGD:
        return SGD(rate, float(given["momentum"]), bool(given["nesterovs_momentum"]))
    if kind is EMAMomentum:
        return EMAMomentum(rate, float(given["momentum"]))
    if issubclass(kind, Adam | Nadam):
        betas = float(given["beta_1"]), float(given["beta_2"])
        return kind(rate, *betas, float(given["epsilon"]))
    made: Optimizer = kind(learning_rate=rate)  # type: ignore[call-arg,assignment]
    return made


def _read_minimizer(solver: Any, tol: float, max_fun: int) -> Minimizer:
    if solver == "line_search":
        return LineSearch(tol=tol, max_evaluations=max_fun)
    made: Minimizer = LBFGS(tol=tol, max_evaluations=max_fun) if solver == "lbfgs" else solver
    if isinstance(made, LBFGS) and made.ftol is None:
        return replace(made, ftol=_FTOL)
    return made


def read_schedule(
    given: Mapping[str, Any], solver: Optimizer | Minimizer, *, incremental: bool
) -> Schedule:
    """Return how the learning rate changes; scikit-learn's names change only that of SGD."""
    schedule = given["learning_rate"]
    if not isinstance(schedule, str):
        return schedule
    if schedule in SCIKIT_LEARN_SCHEDULES and not isinstance(solver, SGD):
        return Constant()
    if schedule == "invscaling":
        power = float(given["power_t"])
        return InverseScaling(power) if incremental else _RestartedInverseScaling(power)
    return SCHEDULES[schedule]()


def read_clipping(given: Any) -> Clipping | None:
    """Return what ``gradient_clip`` asks for."""
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
    """``invscaling`` as in ``fit``: a warm start, too, takes its first epoch at η₀."""

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ in a fit's first epoch, and η₀ / (t + 1)^power after it."""
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
        """Return the schedule's lower rate, times the factor; None if it has none."""
        slower = self.schedule.on_plateau(current / self.factor)
        return None if slower is None else self.factor * slower
