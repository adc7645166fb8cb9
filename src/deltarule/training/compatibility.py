"""What does not go together in training, refused in the same words by ``train`` and estimators.

The two name their arguments differently: a caller says how its user wrote a choice (``given``),
and how to leave it out (``remedy``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.program import Block
from deltarule.schedules import Constant
from deltarule.spec import L1, Dropout, NetworkSpec
from deltarule.spec.optimizers import Minimizer, Rprop
from deltarule.spec.shards import Shards
from deltarule.training.data import EpochData
from deltarule.utils.arrays import is_sparse, to_numpy

__all__ = [
    "Choice",
    "OptimizerName",
    "argument_choices",
    "check_augmented_data",
    "check_batch_norm_rows",
    "check_local_steps",
    "check_minimizer",
    "check_proximal",
    "check_rprop",
    "check_shards",
    "network_choices",
    "refuse_schedule",
]

_REASONS = {
    "dropout": "whose line searches need a cost that random masks do not change",
    "batch_norm": "which has no mini-batches to gather statistics over",
    "l1": "whose line searches need a cost without corners",
    "step": "which takes no steps by mini-batch",
    "checkpoint": "whose line searches remember what a checkpoint does not hold",
    "resume": "whose line searches remember what cannot be resumed",
    "validation": "which minimises over the whole set and does not stop early",
}
"""Why a minimiser over the whole set refuses a choice, by the kind of choice."""


_WHOLE = ("lbfgs", "line_search", "rprop")
"""Names of optimisers that need all rows."""


class OptimizerName(NamedTuple):
    """How a user chose the optimiser."""

    argument: str  # "optimizer" or "solver"
    value: Any

    def __str__(self) -> str:
        """Return ``argument=value``."""
        return f"{self.argument}={self.value!r}"

    @property
    def others(self) -> str:
        """The optimisers that take almost every choice."""
        return f"{self.argument}='adam' or 'sgd'"


class Choice(NamedTuple):
    """A choice that a minimiser over the whole set cannot honour."""

    kind: str  # a key of the reasons
    given: str  # as the user wrote it: "l1=0.1"
    remedy: str  # how to leave it out: "l1=0"


def check_minimizer(name: OptimizerName, choices: Iterable[Choice]) -> None:
    """Raise ``SpecError`` for the first choice that LBFGS or LineSearch cannot honour."""
    for kind, given, remedy in choices:
        raise SpecError(
            f"{given} does not go with {name}, {_REASONS[kind]}. Set {name.others}, or {remedy}."
        )


def network_choices(spec: NetworkSpec) -> Iterator[Choice]:
    """Return what a minimiser over the whole set cannot honour in a network."""
    for layer in spec.layers:
        if isinstance(layer, Dropout) and layer.keep < 1:
            yield Choice("dropout", repr(layer), "leave the Dropout layers out")
    for layer in spec.dense_layers:
        if layer.batch_norm is not None:
            yield Choice("batch_norm", f"batch_norm={layer.batch_norm!r}", "batch_norm=None")
    for penalty in spec.penalties:
        if isinstance(penalty, L1) and penalty.strength > 0:
            yield Choice("l1", repr(penalty), "leave L1 out of the penalties")
    for constraint in spec.constraints:
        yield Choice("step", repr(constraint), "constraints=()")


def argument_choices(given: dict[str, Any]) -> Iterator[Choice]:
    """Return the arguments that LBFGS and LineSearch cannot honour."""
    kinds = {"stopping": "validation", "clipping": "step", "augment": "step"}
    long = {"validation": "(X, y)", "resume": "history"}
    for argument, value in given.items():
        if value is not None:
            shown = f"{argument}={long.get(argument, repr(value))}"
            yield Choice(kinds.get(argument, argument), shown, f"{argument}=None")


def refuse_schedule(name: OptimizerName, argument: str, given: Any, remedy: str) -> None:
    """Raise ``SpecError`` for a schedule with an optimiser that chooses its own step sizes."""
    if isinstance(given, Constant):
        return
    minimizes = isinstance(name.value, Minimizer) or name.value in ("lbfgs", "line_search")
    why = (
        "finds its step lengths by line searches"
        if minimizes
        else "adapts a step size of its own for every weight"
    )
    raise SpecError(
        f"{argument}={given!r} has no effect: {name} {why}. Set {remedy}, or {name.others}."
    )


def check_rprop(name: OptimizerName, batch_size: int, n_rows: int, remedy: str) -> None:
    """Raise ``SpecError`` unless Rprop's batches hold all rows."""
    if batch_size < n_rows:
        raise SpecError(
            f"{name} compares the signs of whole gradients: leave {remedy}, which is all {n_rows} "
            f"rows; got batch_size={batch_size}."
        )


def check_proximal(name: OptimizerName, spec: NetworkSpec) -> None:
    """Raise ``SpecError`` for a proximal penalty with Rprop, which has no learning rate."""
    if any(isinstance(p, L1) and p.proximal for p in spec.penalties):
        raise SpecError(
            f"{name} has no learning rate for a proximal step: use L1(s) without proximal=True, "
            "or another optimiser."
        )


def check_batch_norm_rows(
    block: Block | EpochData, batch_size: int | None, given: str, remedy: str
) -> None:
    """Raise unless there are two rows to take a variance over; ``None`` is a batch of all rows."""
    weight = block.weight
    rows = block.n_rows if weight is None else int(np.count_nonzero(to_numpy(weight)))
    if rows < 2:
        raise DataError(
            f"{given} needs at least 2 samples of non-zero weight, since one sample has no "
            f"variance; got n_samples={rows}. Give more rows, or {remedy}."
        )
    if batch_size == 1:
        raise SpecError(
            f"batch_size must be at least 2 with {given}; got 1: one row has no variance."
        )


def check_shards(shards: Shards | None, normalizes: bool, augments: bool) -> None:
    """Raise ``SpecError`` for what needs a whole batch, or all rows, in one place."""
    if shards is None:
        return
    if normalizes:
        raise SpecError(
            f"shards={shards.count} does not go with batch norm, whose moments need the whole "
            "batch. Set shards=None, or leave batch norm out."
        )
    if augments and shards.partitions is not None:
        raise SpecError(
            "augment does not go with partitions, which are augmented where they lie. Set "
            f"shards={shards.count}, or augment=None."
        )


def check_local_steps(name: OptimizerName, spec: NetworkSpec, shards: Shards | None) -> None:
    """Raise ``SpecError`` for what shards cannot do that take steps by themselves."""
    if shards is None or shards.every is None:
        return
    if isinstance(name.value, Minimizer | Rprop) or name.value in _WHOLE:
        raise SpecError(
            f"{name} needs the gradient over all rows, and shards that take {shards.every!r} steps "
            "by themselves have none. Leave every out of Shards (sync='gradients'), or set "
            f"{name.others}."
        )
    if spec.constraints:
        raise SpecError(
            f"{spec.constraints[0]!r} does not go with shards that take steps by themselves: the "
            "outer step would leave the bound. Leave every out of Shards (sync='gradients'), or "
            "the constraint."
        )


def check_augmented_data(x: Any) -> None:
    """Raise ``DataError`` for inputs that cannot be augmented."""
    if is_sparse(x):
        raise DataError(
            "augment needs a dense X; got a sparse matrix. Use X.toarray(), or augment=None."
        )
