"""A training as a record and tensors, and back, checked against the training that resumes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltarule.errors import CheckpointError, DataError
from deltarule.program import State
from deltarule.program.state_checks import check_counters, check_finite, check_optimizer_state
from deltarule.schedules import Position
from deltarule.storage.model_file import ModelRecord, first_fault
from deltarule.storage.values import Extension, ValueCodec
from deltarule.training.checkpoints.curves import CurveReader, CurveWriter
from deltarule.training.checkpoints.fingerprint import Identity
from deltarule.training.checkpoints.ranges import KINDS, RANGES, is_finite
from deltarule.training.curve import Curve, Records
from deltarule.training.history import History
from deltarule.training.state import Epoch, TrainingState
from deltarule.utils.context import error_context
from deltarule.utils.random_streams import is_stream_state

__all__ = ["Snapshot", "read_snapshot", "restore_snapshot", "write_snapshot"]

_STATES = ("state", "best", "before", "safe")
_FIELDS = (*_STATES, "position", "history", "epoch")  # as written: shared states first


class _Record(BaseModel):
    """The file's record."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    deltarule: str
    epochs: int = Field(ge=0, lt=2**62)
    steps: int = Field(ge=0, lt=2**62)
    best: list[Any] | None
    curves: list[str] = Field(max_length=10**6)  # digests of the finished parts
    arguments: dict[str, Any]
    data: dict[str, str]
    code: list[dict[str, str]] = Field(min_length=1)
    beginnings: Any
    streams: Any
    owner: Any
    progress: dict[str, Any]


@dataclass
class Snapshot:
    """Content of a checkpoint."""

    identity: Identity
    code: list[dict[str, str]] = field(default_factory=list)  # all that took steps, the last last
    beginnings: dict[str, Any] = field(default_factory=dict)  # random streams before the first draw
    streams: dict[str, Any] = field(default_factory=dict)  # random streams now
    owner: Any = None  # attributes of the estimator that trains, if there is one
    best: tuple[str, float] | None = None  # the file with the best metric so far, and that metric
    place: tuple[int, int] = (0, 0)  # epochs finished, steps taken
    version: str = ""  # of deltarule
    progress: dict[str, Any] = field(default_factory=dict)  # as read
    parts: list[str] = field(default_factory=list)  # digests of the curves' finished parts
    stored: dict[str, int] = field(default_factory=dict)  # entries in them, by curve


def write_snapshot(
    snapshot: Snapshot,
    state: State,
    training: TrainingState,
    kinds: tuple[type[Any], ...],
    curves: CurveWriter,
) -> ModelRecord:
    """Return the file's content for a snapshot, with a state and a training state."""
    tensors: dict[str, Any] = {}
    codec = _codec(kinds, tensors, Extension((Curve, Records), curves.encode, _unread))
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
        "code": snapshot.code,
        "beginnings": codec.encode("beginnings", snapshot.beginnings),
        "streams": codec.encode("streams", snapshot.streams),
        "owner": codec.encode("owner", snapshot.owner),
        "progress": {name: codec.encode(name, entries[name]) for name in _FIELDS},
    }
    return ModelRecord("checkpoint", record | {"curves": curves.finish(tensors)}, tensors)


def _unread(_: dict[str, Any]) -> Any:
    raise NotImplementedError  # of a codec that only writes


def _unwritten(_: str, __: Any) -> dict[str, Any]:
    raise NotImplementedError  # of a codec that only reads


def _codec(kinds: tuple[type[Any], ...], tensors: dict[str, Any], curves: Extension) -> ValueCodec:
    """Return the codec of a checkpoint's values; their arrays are among the tensors."""
    return ValueCodec(
        (*KINDS, *kinds),
        error=CheckpointError,
        remedy="Use numbers, texts, lists and arrays, or leave checkpoint out.",
        tensors=tensors,
        shared=(State,),
        extensions={"curve": curves},
        rules=RANGES,
    )


def read_snapshot(
    contents: ModelRecord,
    kinds: tuple[type[Any], ...],
    read_part: Callable[[str], ModelRecord] | None = None,
) -> Snapshot:
    """Return the snapshot in a file, checked as far as it can be without the training.

    ``read_part`` returns the finished part of the curves with a digest.

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
    if record.curves and read_part is None:
        raise CheckpointError("its record names parts of curves that are missing")
    parts = [] if read_part is None else [read_part(digest) for digest in record.curves]
    curves = CurveReader(parts, contents.tensors, kinds)
    extension = Extension((Curve, Records), _unwritten, curves.decode)
    codec = _codec(kinds, contents.tensors, extension)
    progress = {name: codec.decode(record.progress[name]) for name in _FIELDS}
    _check_progress(progress)
    position, epoch = progress["position"], progress["epoch"]
    done = 0 if epoch is None else epoch.done
    if (record.epochs, record.steps) != (position.epochs, position.steps + done):
        raise CheckpointError("its record and its position differ in epochs or steps")
    beginnings, streams = codec.decode(record.beginnings), codec.decode(record.streams)
    for held in (beginnings, streams):
        if not isinstance(held, dict) or not all(map(is_stream_state, held.values())):
            raise CheckpointError("its record holds no valid random streams")
    if set(beginnings) != set(streams):
        raise CheckpointError("its record holds no valid random streams")
    return Snapshot(
        identity=Identity(record.arguments, record.data),
        code=record.code,
        beginnings=beginnings,
        streams=streams,
        owner=codec.decode(record.owner),
        best=_best(record.best),
        place=(record.epochs, record.steps),
        version=record.deltarule,
        progress=progress,
        parts=record.curves,
        stored=curves.stored,
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
    if len(given) != 2 or not isinstance(given[0], str) or not is_finite(given[1]):
        raise CheckpointError("its record holds no valid best metric")
    return given[0], float(given[1])


def _check_progress(entries: dict[str, Any]) -> None:
    """Raise unless every entry is of its kind, and its parts fit each other."""
    like, epoch = entries["state"], entries["epoch"]
    if not isinstance(like, State):
        raise CheckpointError("its state is not valid")
    for name in _STATES:
        # Within an epoch θ may have become infinite, which the next loss or the epoch's end shows.
        _check_state(name, entries[name], like, finite=name != "state" or epoch is None)
    if not isinstance(entries["position"], Position):
        raise CheckpointError("its record holds no valid position")
    _check_history(entries["history"])
    if epoch is not None:
        _check_epoch(epoch, like)


def _check_state(name: str, given: Any, like: State, *, finite: bool = True) -> None:
    shape, dtype = like.theta.shape, like.theta.dtype
    if (
        not isinstance(given, State)
        or given.theta.shape != shape
        or given.theta.dtype != dtype
        or dtype not in (np.float32, np.float64)
    ):
        raise CheckpointError(f"its {name} is not a state of this network")
    with _checking(name):
        check_counters(given)
        if given.optimizer_state is not None:
            check_optimizer_state(given)
        if finite:
            check_finite(given)


def _checking(name: str) -> AbstractContextManager[None]:
    """Return a context in which a ``DataError`` becomes a ``CheckpointError`` on that entry."""

    def unfit(error: DataError) -> CheckpointError:
        fault = str(error).removesuffix(".")
        return CheckpointError(f"its {name} does not fit this training: {fault}")

    return error_context((DataError, unfit))


def _check_history(given: Any) -> None:
    """Raise unless every curve has an entry for each epoch, or none where nothing was measured."""
    if not isinstance(given, History):
        raise CheckpointError("its history is not valid")
    n, diverged = given.n_epochs, given.stopped_by == "divergence"
    finite = given.loss.numbers()[: n - 1] if diverged else given.loss.numbers()
    measured = (given.validation_loss, given.validation_score, given.health)
    if (
        not len(given.penalty) == len(given.learning_rate) == n
        or not np.isfinite(finite).all()
        or any(len(curve) not in (0, n - diverged, n) for curve in measured)
        or (given.best_epoch is not None and given.best_epoch > n)
    ):
        raise CheckpointError("its history is not valid")


def _check_epoch(given: Any, like: State) -> None:
    if not isinstance(given, Epoch):
        raise CheckpointError("its epoch is not valid")
    rows, bounds, rates = given.order
    valid = (
        len(bounds) == len(rates) + 1 > 1
        and bounds[0] == 0
        and len(rows) in (0, bounds[-1])  # a stream has none
        and bool((np.diff(bounds) > 0).all())
        and given.done <= len(rates)
    )
    if not valid:
        raise CheckpointError("its epoch's order is not valid")
    _check_state("epoch", given.entered, like)
    columns = [column for report in given.reports for column in report]
    one_each = len(given.reports) == (1 if given.done else 0)
    if not one_each or any(len(column) != given.done for column in columns):
        raise CheckpointError("its epoch's steps are not valid")
