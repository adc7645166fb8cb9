"""The settings of a training, and the arguments by which Python and a model's file know them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from deltarule.tables.encoding import Scaling
from deltarule.tables.kinds import Unseen
from deltarule.tables.plan import DEV_SHARE, Plan
from deltarule.tables.recipes import Positive, Recipe, Some
from deltarule.tables.record import Strict, Task
from deltarule.tables.split import Shares
from deltarule.tables.target_transform import TargetTransform
from deltarule.tables.understanding import ReadOptions

__all__ = ["Arguments", "Interface", "Settings"]


@dataclass(frozen=True)
class Settings:
    """The network and how it is trained; the defaults suit tables of a hundred rows and more.

    The names are those of the command line; see ``deltarule train --help``. None is the default of
    one network (`for_one`), or what the networks of an ensemble have each for itself
    (`deltarule.tables.recipes`).
    """

    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    alpha: float | None = None
    patience: int | None = None
    checkpoint: Any = None  # a Checkpoint, or a folder as for an estimator
    dropout: float | None = None
    verbose: bool = False
    recipes: tuple[Recipe, ...] | None = None  # of an ensemble's networks, in turn
    max_seconds: float | None = None
    monitor: Monitor | None = None  # what training watches on the rows that it does not learn from

    @property
    def describe_one(self) -> bool:
        """Whether something is said that a user says of one network."""
        return any(getattr(self, name) is not None for name in (*_ONE, "checkpoint"))

    def for_one(self) -> Settings:
        """Return the settings of one network, with its defaults where nothing is said."""
        defaults = {name: one for name, one in _ONE.items() if getattr(self, name) is None}
        return replace(self, **defaults)


_ONE: dict[str, Any] = {
    "hidden": (128, 64),
    "activation": "relu",
    "epochs": 500,
    "learning_rate": 0.001,
    "alpha": 0.3,
    "patience": 50,
    "dropout": 0.0,
}

Monitor = Literal["loss", "score"]
Names = Annotated[list[str], Field(max_length=10_000)]


class Arguments(Strict):
    """The arguments of `TabularClassifier` and `TabularRegressor` that a file holds.

    Those are all but `checkpoint`, which would let a file decide where a later fit writes. They are
    the options of ``deltarule train``, under the names of scikit-learn where it has one.
    """

    hidden_layer_sizes: Annotated[list[Some], Field(min_length=1, max_length=1000)] | None = None
    activation: Annotated[str, Field(max_length=100)] | None = None
    ensemble: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = "auto"
    scaling: Scaling | Literal["auto"] = "auto"
    bins: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = "auto"
    target_transform: TargetTransform | Literal["auto"] = "auto"
    recipes: Annotated[list[Recipe], Field(min_length=1, max_length=1000)] | None = None
    alpha: Annotated[float, Field(ge=0)] | None = None
    batch_size: Some | Literal["auto"] = "auto"
    learning_rate_init: Positive | None = None
    max_iter: Some | None = None
    n_iter_no_change: Some | None = None
    monitor: Monitor | Literal["auto"] = "auto"
    max_seconds: Positive | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = DEV_SHARE
    time: str | None = None
    random_state: Annotated[int, Field(ge=0)] | None = 0
    categories: Names = Field(default_factory=list)
    numbers: Names = Field(default_factory=list)
    dates: Names = Field(default_factory=list)
    ignore: Names = Field(default_factory=list)
    missing: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    day_first: bool | None = None
    no_dates: bool = False
    unseen: Unseen = "other"
    verbose: bool = False

    @classmethod
    def of(cls, plan: Plan, settings: Settings, drawn: Shares) -> Arguments:
        """Return the arguments of a training on the command line; `drawn` are its shares."""
        reading = plan.reading
        return cls(
            hidden_layer_sizes=None if settings.hidden is None else list(settings.hidden),
            activation=settings.activation,
            ensemble="auto" if plan.ensemble is None else plan.ensemble,
            scaling=plan.scaling or "auto",
            bins="auto" if plan.bins is None else plan.bins,
            target_transform=plan.target_transform or "auto",
            recipes=None if settings.recipes is None else list(settings.recipes),
            alpha=settings.alpha,
            batch_size="auto" if settings.batch_size is None else settings.batch_size,
            learning_rate_init=settings.learning_rate,
            max_iter=settings.epochs,
            n_iter_no_change=settings.patience,
            monitor=settings.monitor or "auto",
            max_seconds=settings.max_seconds,
            dropout=settings.dropout,
            validation_fraction=(plan.shares or drawn).dev,
            time=plan.time,
            random_state=plan.seed,
            categories=list(reading.category),
            numbers=list(reading.number),
            dates=list(reading.date),
            ignore=list(plan.ignore),
            missing=list(reading.missing),
            decimal=cast("Any", reading.decimal),
            thousands=cast("Any", reading.thousands),
            day_first=reading.day_first,
            no_dates=not reading.dates,
            verbose=settings.verbose,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the arguments for a constructor: tuples, and None for a list of nothing."""
        given = self.model_dump()
        for name in ("categories", "numbers", "dates", "ignore", "missing"):
            given[name] = tuple(given[name]) or None
        widths = self.hidden_layer_sizes
        return given | {"hidden_layer_sizes": None if widths is None else tuple(widths)}

    def settings(self, checkpoint: Any = None) -> Settings:
        """Return the network and how it is trained."""
        return Settings(
            hidden=None if self.hidden_layer_sizes is None else tuple(self.hidden_layer_sizes),
            activation=self.activation,
            epochs=self.max_iter,
            learning_rate=self.learning_rate_init,
            batch_size=None if self.batch_size == "auto" else self.batch_size,
            alpha=self.alpha,
            patience=self.n_iter_no_change,
            checkpoint=checkpoint,
            dropout=self.dropout,
            verbose=self.verbose,
            recipes=None if self.recipes is None else tuple(self.recipes),
            max_seconds=self.max_seconds,
            monitor=None if self.monitor == "auto" else self.monitor,
        )

    def plan(
        self, target: str, task: Task, seed: int, *, checkpoint: Any, as_category: bool = False
    ) -> Plan:
        """Return what to learn; `as_category` says that the target's texts are classes."""
        reading = ReadOptions(
            missing=tuple(mark.strip() for mark in self.missing),
            category=tuple(self.categories),
            number=tuple(self.numbers),
            date=tuple(self.dates),
            decimal=self.decimal,
            thousands=self.thousands,
            dates=not self.no_dates,
            day_first=self.day_first,
        )
        if as_category:
            reading = replace(reading, category=(*reading.category, target))
        return Plan(
            target,
            task,
            tuple(self.ignore),
            Shares(self.validation_fraction, 0.0),
            seed,
            reading,
            self.time,
            ensemble=None if self.ensemble == "auto" else self.ensemble,
            one_network=self.settings(checkpoint).describe_one,
            scaling=None if self.scaling == "auto" else self.scaling,
            bins=None if self.bins == "auto" else self.bins,
            target_transform=None if self.target_transform == "auto" else self.target_transform,
        )


class Interface(Strict):
    """How Python's estimators show a model: arguments, columns of X, and classes.

    `named` says that X had names for its columns, and not only numbers. `classes` are the labels as
    the user gave them, in ascending order, and `class_dtype` is their type; without them they
    follow from the target.
    """

    arguments: Arguments = Arguments()
    columns: Names = Field(default_factory=list)
    named: bool = True
    classes: Annotated[list[bool | int | float | str], Field(max_length=1_000_000)] | None = None
    class_dtype: Annotated[str, Field(max_length=40)] | None = None
