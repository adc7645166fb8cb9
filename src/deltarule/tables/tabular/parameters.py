"""The arguments of the tabular estimators: their types and ranges, and their record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError
from sklearn.utils._param_validation import Interval, StrOptions

from deltarule.errors import SpecError
from deltarule.estimators.parameter_constraints import COMMON, for_scikit_learn
from deltarule.spec import ACTIVATIONS
from deltarule.storage.model_file import first_fault
from deltarule.tables.columns import number_text
from deltarule.tables.recipes import Recipe
from deltarule.tables.settings import Arguments
from deltarule.utils.checks import check_positive_integer, numeric_array, shown

__all__ = ["TabularParameters"]

_NAMES: list[Any] = ["array-like", str, None]
_SHARED = (*("batch_size", "random_state", "checkpoint", "verbose"),)
"""Arguments that mean what they mean to ``MLPClassifier``."""
_OF_NETWORKS = ("hidden_layer_sizes", "alpha", "learning_rate_init", "max_iter")
"""The same, but None is the default of one network, or what each of an ensemble has for itself."""


class TabularParameters:
    """Mixin: the constructor's arguments, which are the options of ``deltarule train``."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **for_scikit_learn({name: COMMON[name] for name in _SHARED}),
        **{name: [*for_scikit_learn({name: COMMON[name]})[name], None] for name in _OF_NETWORKS},
        "activation": [StrOptions({*ACTIVATIONS, "logistic"}), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "monitor": [StrOptions({"auto", "loss", "score"})],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "ensemble": [Interval(Integral, 1, 1000, closed="both"), StrOptions({"auto"})],
        "scaling": [StrOptions({"auto", "standard", "quantiles"})],
        "bins": [Interval(Integral, 0, 1000, closed="both"), StrOptions({"auto"})],
        "target_transform": [StrOptions({"auto", "none", "sqrt", "log"})],
        "recipes": ["array-like", None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "time": [str, None],
        "categories": _NAMES,
        "numbers": _NAMES,
        "dates": _NAMES,
        "ignore": _NAMES,
        "missing": ["array-like", str, Real, None],
        "decimal": [StrOptions({".", ","}), None],
        "thousands": [StrOptions({",", ".", " ", "'"}), None],
        "day_first": ["boolean", None],
        "no_dates": ["boolean"],
        "unseen": [StrOptions({"other", "error"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = None,
        activation: str | None = None,
        *,
        ensemble: int | str = "auto",
        scaling: str = "auto",
        bins: int | str = "auto",
        target_transform: str = "auto",
        recipes: Any = None,
        alpha: float | None = None,
        batch_size: int | str = "auto",
        learning_rate_init: float | None = None,
        max_iter: int | None = None,
        n_iter_no_change: int | None = None,
        monitor: str = "auto",
        max_seconds: float | None = None,
        dropout: float | None = None,
        validation_fraction: float = 0.1,
        time: str | None = None,
        random_state: Any = 0,
        categories: Any = None,
        numbers: Any = None,
        dates: Any = None,
        ignore: Any = None,
        missing: Any = None,
        decimal: str | None = None,
        thousands: str | None = None,
        day_first: bool | None = None,
        no_dates: bool = False,
        unseen: str = "other",
        checkpoint: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.ensemble = ensemble
        self.scaling = scaling
        self.bins = bins
        self.target_transform = target_transform
        self.recipes = recipes
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.monitor = monitor
        self.max_seconds = max_seconds
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.time = time
        self.random_state = random_state
        self.categories = categories
        self.numbers = numbers
        self.dates = dates
        self.ignore = ignore
        self.missing = missing
        self.decimal = decimal
        self.thousands = thousands
        self.day_first = day_first
        self.no_dates = no_dates
        self.unseen = unseen
        self.checkpoint = checkpoint
        self.verbose = verbose

    def _arguments(self) -> Arguments:
        """Return the arguments as a record; those that make no sense are an error."""
        given = {name: getattr(self, name) for name in Arguments.model_fields}
        for name in ("categories", "numbers", "dates", "ignore", "missing"):
            given[name] = _texts(name, given[name])
        if given["hidden_layer_sizes"] is not None:
            given["hidden_layer_sizes"] = _widths(given["hidden_layer_sizes"])
        given["recipes"] = _recipes(given["recipes"])
        for name, value in given.items():
            given[name] = _plain(value)
        for name in ("max_iter", "n_iter_no_change"):
            if given[name] is not None:
                given[name] = check_positive_integer(name, given[name])
        if not isinstance(given["random_state"], int):
            given["random_state"] = None
        for name in ("no_dates", "verbose"):
            given[name] = bool(given[name])
        if given["decimal"] is not None and given["decimal"] == given["thousands"]:
            raise SpecError(f"decimal and thousands must differ; got {given['decimal']!r} for both")
        try:
            return Arguments.model_validate(given)
        except ValidationError as error:
            raise SpecError(
                f"the arguments of {type(self).__name__} make no sense: {first_fault(error)}"
            ) from None


def _recipes(given: Any) -> list[Recipe] | None:
    """Return the settings of networks."""
    if given is None:
        return None
    wrong = isinstance(given, str | Mapping) or not isinstance(given, Sequence)
    if wrong or not given or not all(isinstance(one, Mapping) for one in given):
        raise SpecError(
            "recipes must be a list of dicts with hidden_layer_sizes, activation, "
            f"learning_rate_init, dropout and weight_decay; got {shown(given)}"
        )
    read = []
    for number, one in enumerate(given):
        plain = {name: _plain(value) for name, value in one.items()}
        if "hidden_layer_sizes" in plain:
            plain["hidden_layer_sizes"] = _widths(plain["hidden_layer_sizes"])
        try:
            read.append(Recipe.model_validate(plain))
        except ValidationError as error:
            raise SpecError(f"recipes[{number}] makes no sense: {first_fault(error)}") from None
        if read[-1].activation not in {*ACTIVATIONS, "logistic"}:
            raise SpecError(
                f"recipes[{number}] has no known activation: {shown(read[-1].activation)}; it must "
                f"be one of {', '.join(sorted(ACTIVATIONS))}"
            )
    return read


def _widths(given: Any) -> list[int]:
    """Return the widths of the hidden layers; one number is one layer."""
    listed = [given]
    if not isinstance(given, Integral):
        listed = np.ravel(numeric_array("hidden_layer_sizes", given)).tolist()
    if not listed or not all(isinstance(width, Integral) and int(width) >= 1 for width in listed):
        raise SpecError(
            f"hidden_layer_sizes must be widths of at least 1, such as (64, 32); got {shown(given)}"
        )
    return [check_positive_integer("hidden_layer_sizes", width) for width in listed]


def _texts(name: str, values: Any) -> list[str]:
    """Return names of columns, or marks, as a list of texts."""
    if values is None:
        return []
    if isinstance(values, str | Real):
        values = [values]
    scalar = getattr(values, "ndim", 1) == 0
    if isinstance(values, Mapping) or not isinstance(values, Iterable) or scalar:
        raise SpecError(f"{name} must be a text or a list of texts; got {shown(values)}")
    return [_text(name, value) for value in values]


def _text(name: str, value: Any) -> str:
    """Return a name or a mark as it stands in a table."""
    if not isinstance(value, Real):
        return str(value)
    try:
        return number_text(float(value))
    except OverflowError:
        raise SpecError(f"{name} holds a number beyond floats: {shown(value)}") from None


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value
