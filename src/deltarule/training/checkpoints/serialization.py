"""A training as a record and tensors, and back, checked against the training that resumes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltarule.errors import CheckpointError, DataError
from deltarule.program import BatchSchedule, State, StepLog
from deltarule.program.optimizer_state import OPTIMIZER_STATES
from deltarule.program.state_checks import check_counters, check_optimizer_state
from deltarule.schedules import PlateauMemory, Position
from deltarule.storage.model_file import ModelRecord, first_fault
from deltarule.storage.values import ValueCodec
from deltarule.training.checkpoints.fingerprint import Identity
from deltarule.training.early_stopping import StoppingState
from deltarule.training.history import History
from deltarule.training.state import Epoch, TrainingState
from deltarule.utils.checks import is_count, is_number
from deltarule.utils.context import error_context

__all__ = ["Snapshot", "read_snapshot", "restore_snapshot", "write_snapshot"]

_KINDS: tuple[type[Any], ...] = (
    *OPTIMIZER_STATES,
    *(State, BatchSchedule, StepLog, Epoch, History, PlateauMemory, Position, StoppingState),
)
_STATES = ("state", "best", "before", "safe")
_FIELDS = (*_STATES, "position", "history", "epoch")  # as written: shared states first


class _Record(BaseModel):
    """The file's record."""

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
    """Content of a checkpoint."""

    identity: Identity
    beginnings: dict[str, Any] = field(default_factory=dict)  # random streams before the first draw
    streams: dict[str, Any] = field(default_factory=dict)  # random streams now
    owner: Any = None  # attributes of the estimator that trains, if there is one
    best: tuple[str, float] | None = None  # the file with the best metric so far, and that metric
    place: tuple[int, int] = (0, 0)  # epochs finished, steps taken
    version: str = ""  # of deltarule
    progress: dict[str, Any] = field(default_factory=dict)  # as read


def write_snapshot(
    snapshot: Snapshot, state: State, training: TrainingState, kinds: tuple[type[Any], ...]
) -> ModelRecord:
    """Return the file's content for a snapshot, with a state and a training state."""
    tensors: dict[str, Any] = {}
    codec = _codec(kinds, tensors)
    if training.epoch is not None and training.epoch.reports:
        training.epoch.steps()  # joins its reports
    entries = {"state": state}
    entries |= {name: getattr(training, name) for name in _FIELDS if name not in entries}
    epochs, steps = training.place
    record = {
        "deltarule": snapshot.version,
        "epochs": epochs,
        "steps": steps,
        "best": None if snapshot.best is None else list(snapshot.best),
        "arguments": snapshot.identity.arguments,
        "data": snapshot.identity.data,
        "beginnings": codec.encode("beginnings", snapshot.beginnings),
        "streams": codec.encode("streams", snapshot.streams),
        "owner": codec.encode("owner", snapshot.owner),
        "progress": {name: codec.encode(name, entries[name]) for name in _FIELDS},
    }
    return ModelRecord("checkpoint", record, tensors)


def _codec(kinds: tuple[type[Any], ...], tensors: dict[str, Any]) -> ValueCodec:
    """Return the codec of a checkpoint's values; their arrays are among the tensors."""
    return ValueCodec(
        (*_KINDS, *kinds),
        error=CheckpointError,
        remedy="Use numbers, texts, lists and arrays, or leave checkpoint out.",
        tensors=tensors,
        shared=(State,),
    )


def read_snapshot(contents: ModelRecord, kinds: tuple[type[Any], ...]) -> Snapshot:
    """Return the snapshot in a file, checked as far as it can be without the training.

    Raises
    ------
    CheckpointError
        If the record is not valid.
    """
    try:
        record = _Record.model_validate(contents.record)
    except ValidationError as error:
        raise CheckpointError(f"its record is malformed ({first_fault(error)})") from None
    if set(record.progress) != set(_FIELDS):
        raise CheckpointError("its record has missing or unknown entries")
    codec = _codec(kinds, contents.tensors)
    progress = {name: codec.decode(record.progress[name]) for name in _FIELDS}
    _check_progress(progress)
    beginnings, streams = codec.decode(record.beginnings), codec.decode(record.streams)
    if not isinstance(beginnings, dict) or not isinstance(streams, dict):
        raise CheckpointError("its record holds no valid random streams")
    return Snapshot(
        identity=Identity(record.arguments, record.data),
        beginnings=beginnings,
        streams=streams,
        owner=codec.decode(record.owner),
        best=_best(record.best),
        place=(record.epochs, record.steps),
        version=record.deltarule,
        progress=progress,
    )


def restore_snapshot(
    snapshot: Snapshot, state: State, training: TrainingState, check: Callable[[State], None]
) -> None:
    """Restore a state and a training state from a snapshot.

    Nothing is changed until ``check``, which raises ``DataError`` for a state that does not fit
    the network and optimiser, has accepted every state in the snapshot.

    Raises
    ------
    CheckpointError
        If the snapshot does not fit the training.
    """
    entries = snapshot.progress
    states = {name: entries[name] for name in _STATES}
    if entries["epoch"] is not None:
        states["epoch"] = entries["epoch"].entered
    for name, one in states.items():
        _check_state(name, one, state)
        with _checking(name):
            check(one)
    state.restore(entries["state"])
    for name in _FIELDS:
        if name != "state":
            setattr(training, name, entries[name])


def _best(given: Any) -> tuple[str, float] | None:
    if given is None:
        return None
    if len(given) != 2 or not isinstance(given[0], str) or not is_number(given[1]):
        raise CheckpointError("its record holds no valid best metric")
    return given[0], float(given[1])


def _check_progress(entries: dict[str, Any]) -> None:
    """Raise unless every entry has a valid type, shape and range."""
    like = entries["state"]
    if not isinstance(like, State) or not isinstance(like.theta, np.ndarray):
        raise CheckpointError("its state is not valid")
    for name in _STATES:
        _check_state(name, entries[name], like)
    _check_history(entries["history"])
    if entries["epoch"] is not None:
        _check_epoch(entries["epoch"], like)
    if not _is_position(entries["position"]):
        raise CheckpointError("its record holds no valid position")


def _is_position(given: Any) -> bool:
    if not isinstance(given, Position):
        return False
    counts, rate = given[:4], given.learning_rate
    stopping = StoppingState() if given.stopping_state is None else given.stopping_state
    return (
        all(is_count(count) for count in counts)
        and (rate is None or is_number(rate))
        and isinstance(stopping, StoppingState)
        and (stopping.best is None or is_number(stopping.best))
        and is_count(stopping.stale)
        and (given.order is None or _is_vector(given.order, np.int64))
    )


def _check_state(name: str, given: Any, like: State) -> None:
    shape, dtype = like.theta.shape, like.theta.dtype
    valid = (
        isinstance(given, State)
        and isinstance(given.theta, np.ndarray)
        and given.theta.shape == shape
        and given.theta.dtype == dtype
        and isinstance(given.buffers, dict)
        and all(isinstance(array, np.ndarray) for array in given.buffers.values())
    )
    if not valid:
        raise CheckpointError(f"its {name} is not a state of this network")
    with _checking(name):
        check_counters(given)
        if given.optimizer_state is not None:
            check_optimizer_state(given)


def _checking(name: str) -> AbstractContextManager[None]:
    """Return a context in which a ``DataError`` becomes a ``CheckpointError`` on that entry."""

    def unfit(error: DataError) -> CheckpointError:
        fault = str(error).removesuffix(".")
        return CheckpointError(f"its {name} does not fit this training: {fault}")

    return error_context((DataError, unfit))


def _check_history(given: Any) -> None:
    valid = isinstance(given, History) and isinstance(given.stopped_by, str)
    curves = ("loss", "penalty", "learning_rate", "validation_loss", "validation_score", "health")
    if not valid or not all(isinstance(getattr(given, name), list) for name in curves):
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
    valid = (
        isinstance(given, Epoch) and isinstance(given.order, BatchSchedule) and is_count(given.done)
    )
    if not valid:
        raise CheckpointError("its epoch is not valid")
    rows, bounds, rates = given.order
    valid = (
        _is_vector(rows, np.int64)
        and _is_vector(bounds, np.int64)
        and _is_vector(rates, np.float64)
        and len(bounds) == len(rates) + 1 > 1
        and bounds[0] == 0
        and len(rows) in (0, bounds[-1])  # a stream has none
        and bool((np.diff(bounds) > 0).all())
        and bool((rows >= 0).all())
        and given.done <= len(rates)
    )
    if not valid:
        raise CheckpointError("its epoch's order is not valid")
    _check_state("epoch", given.entered, like)
    reports = given.reports
    valid = isinstance(reports, list) and len(reports) == (1 if given.done else 0)
    if not valid or not all(isinstance(report, StepLog) for report in reports):
        raise CheckpointError("its epoch's steps are not valid")
    for column in (column for report in reports for column in report):
        if not isinstance(column, np.ndarray) or column.shape != (given.done,):
            raise CheckpointError("its epoch's steps are not valid")


def _is_vector(value: Any, dtype: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == dtype
