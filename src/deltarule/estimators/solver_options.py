"""How an estimator's arguments choose what takes the steps, and how long the steps are."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP

__all__ = [
    "SCHEDULES",
    "SOLVERS",
    "Slowed",
    "clipping_of",
    "minimizer_of",
    "minimizes",
    "optimizer_of",
    "rate_of",
    "schedule_of",
]

_BY_RATE = {"adadelta": Adadelta, "adagrad": Adagrad, "rmsprop": RMSprop, "rprop": Rprop}
_LIKE_ADAM = {"adam": Adam, "adamw": AdamW, "nadam": Nadam}
_MINIMIZERS = ("lbfgs", "line_search")

SOLVERS = (*_MINIMIZERS, "sgd", "momentum_average", *_LIKE_ADAM, *_BY_RATE)
"""Every solver by name; their descriptions stand in ``deltarule.optimizers``."""

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
"""Our schedules by name, beside scikit-learn's three."""


def minimizes(solver: Any) -> bool:
    """Whether a solver minimises the cost of the whole set, instead of a step a mini-batch."""
    return isinstance(solver, Minimizer) or (isinstance(solver, str) and solver in _MINIMIZERS)


def minimizer_of(estimator: BaseMLP) -> Minimizer:
    """Return what minimises over the whole set; a name takes ``tol`` and ``max_fun`` along."""
    given = estimator.solver
    if isinstance(given, Minimizer):
        return given
    limits = {"tol": float(estimator.tol), "max_evaluations": int(estimator.max_fun)}
    return LBFGS(**limits) if given == "lbfgs" else LineSearch(**limits)  # type: ignore[arg-type]


def optimizer_of(estimator: BaseMLP) -> Optimizer:
    """Return what takes the steps; a name takes the arguments that scikit-learn has along."""
    given, rate = estimator.solver, float(estimator.learning_rate_init)
    if isinstance(given, Optimizer):
        return given
    if given == "sgd":
        return SGD(rate, float(estimator.momentum), bool(estimator.nesterovs_momentum))
    if given == "momentum_average":
        return MomentumAverage(rate, float(estimator.momentum))
    if given in _LIKE_ADAM:
        betas = float(estimator.beta_1), float(estimator.beta_2)
        return _LIKE_ADAM[given](rate, *betas, float(estimator.epsilon))
    return _BY_RATE[given](rate)


def rate_of(estimator: BaseMLP) -> float:
    """Return η₀: the solver's own, or ``learning_rate_init`` for one given by name."""
    given = estimator.solver
    own = given.learning_rate if isinstance(given, Optimizer) else estimator.learning_rate_init
    return float(own)


def schedule_of(estimator: BaseMLP, incremental: bool) -> Schedule:
    """Return how the rate changes; scikit-learn's three names speak of gradient descent only."""
    given = estimator.learning_rate
    if not isinstance(given, str):
        return given
    if given in SCHEDULES:
        return SCHEDULES[given]()
    if estimator.solver != "sgd" and not isinstance(estimator.solver, SGD):
        return Constant()
    if given == "invscaling":
        power = float(estimator.power_t)
        return InverseScaling(power) if incremental else _RestartedInverseScaling(power)
    return Adaptive() if given == "adaptive" else Constant()


def clipping_of(given: Any) -> Clipping | None:
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
    """``invscaling`` as ``fit`` has it: also a warm one takes its first epoch at η₀."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return η₀ in a run's first epoch, η₀ / (t + 1)^power from then on."""
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
        """Let the schedule hear the figure, at the rate that it takes for the current one."""
        memory, rate = self.schedule.observe(
            memory, figure, current / self.factor, maximize=maximize
        )
        return memory, self.factor * rate

    def on_plateau(self, current: float) -> float | None:
        """Ask the schedule."""
        slower = self.schedule.on_plateau(current / self.factor)
        return None if slower is None else self.factor * slower
