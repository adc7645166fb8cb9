"""The types and ranges of every constructor argument, for scikit-learn's parameter validation.

Bounds that scikit-learn has are repeated here, so that a bad value is refused in its words.
``compatibility.py`` says which arguments go together.

The rules are plain data, and :func:`fits` compares a value with them as scikit-learn does: the
arguments in a model file are checked without scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from deltarule.schedules import SCHEDULES
from deltarule.spec import (
    ACTIVATIONS,
    ELU,
    INITIALIZERS,
    ConstantInitializer,
    LeakyReLU,
    Normal,
    Uniform,
)
from deltarule.spec.optimizers import LBFGS, OPTIMIZERS, LineSearch, Optimizer
from deltarule.spec.shards import Shards

__all__ = ["CLASSIFIER", "COMMON", "REGRESSOR", "fits", "for_scikit_learn"]


class Interval(NamedTuple):
    """Numbers of a kind between two bounds, one of which may be None."""

    kind: type[Any]
    low: float
    high: float | None
    closed: str  # "left", "both" or "neither"

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the interval."""
        if not isinstance(value, self.kind) or value != value:
            return False
        high = np.inf if self.high is None else self.high
        above = value >= self.low if self.closed in ("left", "both") else value > self.low
        return bool(above and (value <= high if self.closed == "both" else value < high))


class Names(NamedTuple):
    """One of some texts; ``scorers`` adds the names of scikit-learn's scorers."""

    names: frozenset[str]
    scorers: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the names."""
        return isinstance(value, str) and (value in self.names or value in self.all_names())

    def all_names(self) -> set[str]:
        """Return all of the names."""
        if not self.scorers:
            return set(self.names)
        from sklearn.metrics import get_scorer_names

        return {*self.names, *get_scorer_names()}


class Methods(NamedTuple):
    """Objects that have some methods."""

    names: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value has them."""
        return all(callable(getattr(value, name, None)) for name in self.names)


class Infinity(NamedTuple):
    """The number infinity."""

    def holds(self, value: Any) -> bool:
        """Whether a value is infinity."""
        return isinstance(value, Real) and float(value) == np.inf


def _names(*names: str) -> Names:
    return Names(frozenset(names))


_SHARE = Interval(Real, 0, 1, "left")
_STRENGTH = Interval(Real, 0, None, "left")
_LIMIT = Interval(Real, 0, None, "neither")
_COUNT = Interval(Integral, 1, None, "left")

COMMON: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "activation": [_names(*ACTIVATIONS, "logistic"), LeakyReLU, ELU, "array-like"],
    "solver": [_names(*OPTIMIZERS), *Optimizer.__args__, LBFGS, LineSearch],
    "alpha": [_STRENGTH],
    "batch_size": [_names("auto"), _COUNT],
    "learning_rate": [
        _names(*SCHEDULES),
        Methods(("rates", "observe", "on_plateau")),
    ],
    "learning_rate_init": [_LIMIT],
    "power_t": [_STRENGTH],
    "max_iter": [_COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_STRENGTH],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, "both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_SHARE, Methods(("split", "get_n_splits"))],
    "beta_1": [_SHARE],
    "beta_2": [_SHARE],
    "epsilon": [_LIMIT],
    "n_iter_no_change": [_COUNT, Infinity()],
    "max_fun": [_COUNT],
    "dropout": [_SHARE, "array-like"],
    "batch_norm": ["boolean"],
    "engine": [_names("compiled", "reference")],
    "n_threads": [_COUNT, None],
    "input_dropout": [_SHARE],
    "l1": [_STRENGTH],
    "max_norm": [_LIMIT, None],
    "gradient_clip": [_LIMIT, tuple, list, None],
    "weight_init": [
        _names("auto", *INITIALIZERS),
        Normal,
        Uniform,
        ConstantInitializer,
        callable,
    ],
    "augment": [callable, None],
    "dtype": [_names("auto", "float32", "float64")],
    "standardize": ["boolean"],
    "monitor": [Names(frozenset({"auto", "loss"}), scorers=True), callable],
    "on_divergence": [_names("raise", "recover")],
    "record_health": ["boolean"],
    "checkpoint": [str, PathLike, "checkpoint", None],
    "shards": [_COUNT, Shards, None],
}
"""Arguments that both estimators have."""

CLASSIFIER = COMMON | {
    "label_smoothing": [_SHARE],
    "class_weight": [_names("balanced"), dict, list, None],
}

REGRESSOR = COMMON | {
    "loss": [
        _names("squared_error", "absolute_error", "huber", "quantile", "poisson"),
    ],
    "huber_delta": [_LIMIT],
    "quantile": [Interval(Real, 0, 1, "neither"), "array-like"],
}


_SEED = Interval(Integral, 0, 2**32 - 1, "both")
_LEVEL = Interval(Integral, 0, None, "left")


def fits(value: Any, rules: Iterable[Any]) -> bool:
    """Return whether a value follows one of the rules of an argument."""
    return any(_follows(value, rule) for rule in rules)


def _follows(value: Any, rule: Any) -> bool:
    if rule is None:
        return value is None
    if isinstance(rule, type):
        return isinstance(value, rule)
    if rule is callable:
        return callable(value)
    if rule == "checkpoint":
        return False  # no model file holds one
    if rule == "boolean":
        return isinstance(value, bool | np.bool_)
    if rule == "verbose":
        return isinstance(value, bool | np.bool_) or _LEVEL.holds(value)
    if rule == "random_state":
        return value is None or isinstance(value, np.random.RandomState) or _SEED.holds(value)
    if rule == "array-like":
        several = any(hasattr(value, name) for name in ("__len__", "shape", "__array__"))
        return several and not np.isscalar(value)
    held: bool = rule.holds(value)
    return held


def for_scikit_learn(rules: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the rules in the classes of scikit-learn's parameter validation."""
    from sklearn.utils import _param_validation as theirs

    class ScorerNames(theirs.StrOptions):
        """Names of scorers, which are looked up when a value is compared with them."""

        def __init__(self, rule: Names) -> None:
            super().__init__(set(rule.names))
            self._rule = rule

        @property
        def options(self) -> set[str]:
            rule: Names | None = vars(self).get("_rule")
            return set() if rule is None else rule.all_names()

        @options.setter
        def options(self, names: set[str]) -> None:
            pass  # those of the rule

    from deltarule.training import Checkpoint

    def converted(rule: Any) -> Any:
        if rule == "checkpoint":
            return Checkpoint
        if isinstance(rule, Interval):
            return theirs.Interval(rule.kind, rule.low, rule.high, closed=rule.closed)
        if isinstance(rule, Names):
            return ScorerNames(rule) if rule.scorers else theirs.StrOptions(set(rule.names))
        if isinstance(rule, Methods):
            return theirs.HasMethods(list(rule.names))
        return theirs.Options(Real, {np.inf}) if isinstance(rule, Infinity) else rule

    return {name: [converted(rule) for rule in given] for name, given in rules.items()}
