"""The solver, learning-rate schedule and gradient clipping of an estimator's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from deltarule.checks import check_between
from deltarule.clipping import ClipNorm, Clipping, ClipValue
from deltarule.errors import SpecError
from deltarule.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    LineSearch,
    Minimizer,
    MomentumAverage,
    Nadam,
    Optimizer,
    RMSprop,
    Rprop,
)
from deltarule.schedules import (
    Adaptive,
    Clock,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    InverseSquareRoot,
    InverseTime,
    OneCycle,
    Rates,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)

__all__ = [
    "SCHEDULES",
    "SOLVERS",
    "Slowed",
    "is_minimizer",
    "read_clipping",
    "read_schedule",
    "read_solver",
]

_BY_RATE = {"adadelta": Adadelta, "adagrad": Adagrad, "rmsprop": RMSprop, "rprop": Rprop}
_LIKE_ADAM = {"adam": Adam, "adamw": AdamW, "nadam": Nadam}
_MINIMIZERS = ("lbfgs", "line_search")

SOLVERS = (*_MINIMIZERS, "sgd", "momentum_average", *_LIKE_ADAM, *_BY_RATE)
"""Every solver by name; ``deltarule.optimizers`` describes them."""

SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "exponential": Exponential,
    "inverse_square_root": InverseSquareRoot,
    "inverse_time": InverseTime,
    "one_cycle": OneCycle,
    "reduce_on_plateau": ReduceOnPlateau,
    "step_decay": StepDecay,
    "warm_up": WarmUp,
}
"""Schedules by name, beside scikit-learn's three."""


def is_minimizer(solver: Any) -> bool:
    """Whether ``solver`` minimises the cost of the whole set, instead of stepping by mini-batch."""
    return isinstance(solver, Minimizer) or (isinstance(solver, str) and solver in _MINIMIZERS)


def read_solver(given: Mapping[str, Any]) -> Optimizer | Minimizer:
    """Return the solver; one given by name takes its constants from scikit-learn's arguments."""
    solver = given["solver"]
    if isinstance(solver, Optimizer | Minimizer):
        return solver
    if solver in _MINIMIZERS:
        limits = {"tol": float(given["tol"]), "max_evaluations": int(given["max_fun"])}
        return LBFGS(**limits) if solver == "lbfgs" else LineSearch(**limits)  # type: ignore[arg-type]
    rate = float(given["learning_rate_init"])
    if solver == "sgd":
        return SGD(rate, float(given["momentum"]), bool(given["nesterovs_momentum"]))
    if solver == "momentum_average":
        return MomentumAverage(rate, float(given["momentum"]))
    if solver in _LIKE_ADAM:
        betas = float(given["beta_1"]), float(given["beta_2"])
        return _LIKE_ADAM[solver](rate, *betas, float(given["epsilon"]))
    return _BY_RATE[solver](rate)


def read_schedule(
    given: Mapping[str, Any], solver: Optimizer | Minimizer, *, incremental: bool
) -> Schedule:
    """Return how the learning rate changes; scikit-learn's names change that of SGD alone."""
    schedule = given["learning_rate"]
    if not isinstance(schedule, str):
        return schedule
    if schedule in SCHEDULES:
        return SCHEDULES[schedule]()
    if not isinstance(solver, SGD):
        return Constant()
    if schedule == "invscaling":
        power = float(given["power_t"])
        return InverseScaling(power) if incremental else _RestartedInverseScaling(power)
    return Adaptive() if schedule == "adaptive" else Constant()


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

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return η₀ in a run's first epoch, and η₀ / (t + 1)^power after it."""
        return initial if clock.epoch == 0 else super().rate(initial, current, clock)


@dataclass(frozen=True)
class Slowed:
    """A schedule with every rate multiplied by a factor."""

    schedule: Schedule
    factor: float

    def rates(self, initial: float, current: float, clock: Clock, n_steps: int) -> Rates:
        """Return the schedule's rates, times the factor."""
        return self.factor * self.schedule.rates(initial, current / self.factor, clock, n_steps)

    def observe(
        self, memory: Any, figure: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Pass the figure on, at the rate that the schedule believes to be current."""
        memory, rate = self.schedule.observe(
            memory, figure, current / self.factor, maximize=maximize
        )
        return memory, self.factor * rate

    def on_plateau(self, current: float) -> float | None:
        """Return the schedule's lower rate, times the factor; None if it has none."""
        slower = self.schedule.on_plateau(current / self.factor)
        return None if slower is None else self.factor * slower
