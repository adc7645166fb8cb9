"""The arguments of an estimator for one fit: every one read, typed and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from deltarule.estimators.layer_options import (
    HiddenLayers,
    Regularization,
    read_layers,
    read_regularization,
)
from deltarule.estimators.solver_options import read_clipping, read_schedule, read_solver
from deltarule.schedules import Schedule
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import Minimizer, Optimizer, Rprop
from deltarule.spec.shards import Shards, resolve_shards
from deltarule.training import Checkpoint
from deltarule.training.checkpoints import as_checkpoint

__all__ = ["FitOptions"]


class FitOptions(NamedTuple):
    """What an estimator's arguments ask of one call of ``fit`` or ``partial_fit``.

    The estimator's targets have options of their own, which their encoder holds.

    Attributes
    ----------
    given : mapping of str to object
        The arguments as the user gave them, for messages and for checkpoints.
    incremental : bool
        Whether the call is ``partial_fit``.
    hidden : HiddenLayers
    regularization : Regularization
    solver : Optimizer or Minimizer
        What takes a step for every mini-batch, or what minimises the cost of the whole set.
    schedule : Schedule
    clipping : Clipping or None
    batch_size : int or None
        None means "auto".
    max_epochs : int
        At most as many epochs in ``fit``, or iterations of a minimiser.
    patience : float
        Epochs in a row without improvement after which training ends.
    validation_fraction : float or a splitter
    monitor : str or callable
    recovers : bool
        Whether a fit that diverges continues once at a lower learning rate.
    checkpoint : Checkpoint or None
    shards : Shards or None
    """

    given: Mapping[str, Any]
    incremental: bool
    hidden: HiddenLayers
    regularization: Regularization
    solver: Optimizer | Minimizer
    schedule: Schedule
    clipping: Clipping | None
    batch_size: int | None
    max_epochs: int
    shuffle: bool
    tol: float
    patience: float
    warm_start: bool
    early_stopping: bool
    validation_fraction: Any
    monitor: Any
    weight_init: Any
    augment: Callable[..., Any] | None
    dtype: str
    standardize: bool
    recovers: bool
    record_health: bool
    verbose: bool
    engine: str
    n_threads: int | None
    checkpoint: Checkpoint | None
    shards: Shards | None

    @classmethod
    def read(cls, given: Mapping[str, Any], *, incremental: bool = False) -> FitOptions:
        """Return the options; each argument has the type that the constructor documents."""
        solver = read_solver(given)
        checkpoint = given["checkpoint"]
        return cls(
            given=given,
            incremental=incremental,
            hidden=read_layers(
                given["activation"],
                given["hidden_layer_sizes"],
                given["dropout"],
                given["batch_norm"],
                given["input_dropout"],
            ),
            regularization=read_regularization(given, solver),
            solver=solver,
            schedule=read_schedule(given, solver, incremental=incremental),
            clipping=read_clipping(given["gradient_clip"]),
            batch_size=None if given["batch_size"] == "auto" else int(given["batch_size"]),
            max_epochs=int(given["max_iter"]),
            shuffle=bool(given["shuffle"]),
            tol=float(given["tol"]),
            patience=float(given["n_iter_no_change"]),
            warm_start=bool(given["warm_start"]),
            early_stopping=bool(given["early_stopping"]),
            validation_fraction=_read_fraction(given["validation_fraction"]),
            monitor=given["monitor"],
            weight_init=given["weight_init"],
            augment=given["augment"],
            dtype=given["dtype"],
            standardize=bool(given["standardize"]),
            recovers=given["on_divergence"] == "recover",
            record_health=bool(given["record_health"]),
            verbose=bool(given["verbose"]),
            engine=given["engine"],
            n_threads=given["n_threads"],
            checkpoint=None if checkpoint is None else as_checkpoint(checkpoint),
            shards=resolve_shards(given["shards"]),
        )

    @property
    def minimizes(self) -> bool:
        """Whether the solver minimises the cost of the whole set."""
        return isinstance(self.solver, Minimizer)

    @property
    def resumes(self) -> bool:
        """Whether the call continues from an earlier fit, if there is one."""
        return self.warm_start or self.incremental

    @property
    def epochs(self) -> int:
        """The most epochs of this call."""
        return 1 if self.incremental else self.max_epochs

    @property
    def learning_rate(self) -> float | None:
        """η₀; None for a minimiser, which finds its step lengths."""
        return None if isinstance(self.solver, Minimizer) else float(self.solver.learning_rate)

    @property
    def watches_score(self) -> bool:
        """Whether early stopping watches a score, which is better when higher, not a loss."""
        return self.early_stopping and self.monitor != "loss"

    @property
    def input_types(self) -> Any:
        """Types that X may have; any other becomes the first one."""
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def rows_per_batch(self, n_rows: int) -> int:
        """Return how many rows a mini-batch has."""
        if self.batch_size is None:
            return n_rows if isinstance(self.solver, Rprop) else min(200, n_rows)
        return min(self.batch_size, n_rows)


def _read_fraction(given: Any) -> Any:
    """Return a fraction as a float, of the digits that float32(0.2) shows; or a splitter."""
    if isinstance(given, np.floating):
        return float(str(given))
    return float(given) if isinstance(given, Real) else given
