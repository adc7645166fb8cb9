"""A run as a record and tensors, and back, checked against the run that is to go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltarule.checks import is_count, is_number
from deltarule.context import error_context
from deltarule.errors import CheckpointError, DataError
from deltarule.program import Order, State, Steps
from deltarule.states import check_counters, check_slots
from deltarule.storage.model_file import ModelRecord, first_fault
from deltarule.training.checkpoints.identity import Identity
from deltarule.training.checkpoints.values import Values
from deltarule.training.history import History
from deltarule.training.progress import Epoch, Progress

__all__ = ["Snapshot", "read_snapshot", "take_over", "write_snapshot"]

_STATES = ("state", "best", "before", "safe")
_PLAIN = ("rate", "memory", "first", "examples", "n_steps")
_OTHERS = ("history", "rows", "inside")
_FIELDS = (*_STATES, *_PLAIN, *_OTHERS, "watch")  # as written: what is shared comes first


class _Record(BaseModel):
    """What stands in the file's record."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    deltarule: str
    epochs: int = Field(ge=0, lt=2**62)
    steps: int = Field(ge=0, lt=2**62)
    best: list[Any] | None
    arguments: dict[str, Any]
    data: dict[str, str]
    beginnings: Any
    streams: Any
    owner: Any
    progress: dict[str, Any]


@dataclass
class Snapshot:
    """What a checkpoint holds beside the run's own progress."""

    identity: Identity
    beginnings: dict[str, Any] = field(default_factory=dict)  # random streams before the first draw
    streams: dict[str, Any] = field(default_factory=dict)  # random streams now
    owner: Any = None  # what the one who trains keeps beside the run
    best: tuple[str, float] | None = None  # the file with the best figure so far, and that figure
    place: tuple[int, int] = (0, 0)  # epochs finished, steps taken
    version: str = ""  # of deltarule
    progress: dict[str, Any] = field(default_factory=dict)  # as read


def write_snapshot(
    snapshot: Snapshot, state: State, at: Progress, kinds: tuple[type[Any], ...]
) -> ModelRecord:
    """Return a run and what goes with it, as a file holds them."""
    values = Values(kinds)
    held = {"state": state, "watch": [at.watch.best, at.watch.stale]}
    held |= {name: getattr(at, name) for name in _FIELDS if name not in held}
    epochs, steps = at.place
    record = {
        "deltarule": snapshot.version,
        "epochs": epochs,
        "steps": steps,
        "best": None if snapshot.best is None else list(snapshot.best),
        "arguments": snapshot.identity.arguments,
        "data": snapshot.identity.data,
        "beginnings": values.plain("beginnings", snapshot.beginnings),
        "streams": values.plain("streams", snapshot.streams),
        "owner": values.plain("owner", snapshot.owner),
        "progress": {name: values.plain(name, held[name]) for name in _FIELDS},
    }
    return ModelRecord("checkpoint", record, values.tensors)


def read_snapshot(contents: ModelRecord, kinds: tuple[type[Any], ...]) -> Snapshot:
    """Return what a file holds, checked as far as it can be without the run that is to go on.

    Raises
    ------
    CheckpointError
        If the record is not one of ours.
    """
    try:
        record = _Record.model_validate(contents.record)
    except ValidationError as error:
        raise CheckpointError(f"its record is malformed ({first_fault(error)})") from None
    if set(record.progress) != set(_FIELDS):
        raise CheckpointError("its record has missing or unknown entries")
    values = Values(kinds, contents.tensors)
    progress = {name: values.value(record.progress[name]) for name in _FIELDS}
    _check_progress(progress)
    beginnings, streams = values.value(record.beginnings), values.value(record.streams)
    if not isinstance(beginnings, dict) or not isinstance(streams, dict):
        raise CheckpointError("its record holds no valid random streams")
    return Snapshot(
        identity=Identity(record.arguments, record.data),
        beginnings=beginnings,
        streams=streams,
        owner=values.value(record.owner),
        best=_best(record.best),
        place=(record.epochs, record.steps),
        version=record.deltarule,
        progress=progress,
    )


def take_over(
    snapshot: Snapshot, state: State, at: Progress, check: Callable[[State], None]
) -> None:
    """Bring a run's state and progress to where the snapshot was taken.

    Nothing is changed before ``check``, which raises ``DataError`` for a state that does not fit
    the run's network and optimiser, has seen every state that the snapshot holds.

    Raises
    ------
    CheckpointError
        If what the snapshot holds does not fit the run.
    """
    held = snapshot.progress
    states = {name: held[name] for name in _STATES}
    if held["inside"] is not None:
        states["epoch"] = held["inside"].entered
    for name, one in states.items():
        _check_state(name, one, state)
        with _checking(name):
            check(one)
    state.restore(held["state"])
    at.watch.best, at.watch.stale = held["watch"]
    for name in _FIELDS:
        if name not in ("state", "watch"):
            setattr(at, name, held[name])


def _best(given: Any) -> tuple[str, float] | None:
    if given is None:
        return None
    if len(given) != 2 or not isinstance(given[0], str) or not is_number(given[1]):
        raise CheckpointError("its record holds no valid best figure")
    return given[0], float(given[1])


def _check_progress(held: dict[str, Any]) -> None:
    """Raise unless everything in it has the types, shapes and ranges that it must have."""
    like = held["state"]
    if not isinstance(like, State) or not isinstance(like.theta, np.ndarray):
        raise CheckpointError("its state is not valid")
    for name in _STATES:
        _check_state(name, held[name], like)
    _check_history(held["history"])
    if held["inside"] is not None:
        _check_epoch(held["inside"], like)
    watch = held["watch"]
    sound = (
        isinstance(watch, list)
        and len(watch) == 2
        and (watch[0] is None or is_number(watch[0]))
        and is_count(watch[1])
        and is_number(held["rate"])
        and all(is_count(held[name]) for name in ("first", "examples", "n_steps"))
        and (held["rows"] is None or _is_vector(held["rows"], np.int64))
    )
    if not sound:
        raise CheckpointError("its record holds no valid progress")


def _check_state(name: str, given: Any, like: State) -> None:
    shape, dtype = like.theta.shape, like.theta.dtype
    sound = (
        isinstance(given, State)
        and isinstance(given.theta, np.ndarray)
        and given.theta.shape == shape
        and given.theta.dtype == dtype
        and isinstance(given.buffers, dict)
        and all(isinstance(array, np.ndarray) for array in given.buffers.values())
    )
    if not sound:
        raise CheckpointError(f"its {name} is not one of this network")
    with _checking(name):
        check_counters(given)
        if given.slots is not None:
            check_slots(given)


def _checking(name: str) -> AbstractContextManager[None]:
    """Return a context in which a ``DataError`` becomes a ``CheckpointError`` on that entry."""

    def unfit(error: DataError) -> CheckpointError:
        fault = str(error).removesuffix(".")
        return CheckpointError(f"its {name} does not fit this training: {fault}")

    return error_context((DataError, unfit))


def _check_history(given: Any) -> None:
    sound = isinstance(given, History) and isinstance(given.stopped_by, str)
    curves = ("loss", "penalty", "learning_rate", "validation_loss", "validation_score", "health")
    if not sound or not all(isinstance(getattr(given, name), list) for name in curves):
        raise CheckpointError("its history is not valid")
    n = given.n_epochs
    if (
        not len(given.penalty) == len(given.learning_rate) == n
        or max(len(getattr(given, name)) for name in curves) > n
        or not all(is_number(x) for name in curves[:5] for x in getattr(given, name))
        or not (given.best_epoch is None or (is_count(given.best_epoch) and given.best_epoch <= n))
    ):
        raise CheckpointError("its history is not valid")


def _check_epoch(given: Any, like: State) -> None:
    sound = isinstance(given, Epoch) and isinstance(given.order, Order) and is_count(given.done)
    if not sound:
        raise CheckpointError("its epoch is not valid")
    rows, bounds, rates = given.order
    sound = (
        _is_vector(rows, np.int64)
        and _is_vector(bounds, np.int64)
        and _is_vector(rates, np.float64)
        and len(bounds) == len(rates) + 1 > 1
        and bounds[0] == 0
        and len(rows) in (0, bounds[-1])  # none, of a stream
        and bool((np.diff(bounds) > 0).all())
        and bool((rows >= 0).all())
        and given.done <= len(rates)
    )
    if not sound:
        raise CheckpointError("its epoch's order is not valid")
    _check_state("epoch", given.entered, like)
    pieces = given.pieces
    sound = isinstance(pieces, list) and len(pieces) == (1 if given.done else 0)
    if not sound or not all(isinstance(piece, Steps) for piece in pieces):
        raise CheckpointError("its epoch's steps are not valid")
    for column in (column for piece in pieces for column in piece):
        if not isinstance(column, np.ndarray) or column.shape != (given.done,):
            raise CheckpointError("its epoch's steps are not valid")


def _is_vector(value: Any, dtype: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == dtype
