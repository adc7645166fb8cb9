"""Writing the checkpoints of a training, and resuming from the newest one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from deltarule.errors import CheckpointError, InexactResumeWarning, OutputError
from deltarule.program import State
from deltarule.training.checkpoints.config import Checkpoint
from deltarule.training.checkpoints.curves import CurveWriter
from deltarule.training.checkpoints.directory import CheckpointDirectory, file_name, open_directory
from deltarule.training.checkpoints.fingerprint import (
    Identity,
    code_differences,
    describe,
    differences,
)
from deltarule.training.checkpoints.serialization import (
    Snapshot,
    restore_snapshot,
    write_snapshot,
)
from deltarule.training.state import TrainingState
from deltarule.version import __version__

__all__ = ["CheckpointWriter", "open_checkpoints"]


@contextmanager
def open_checkpoints(
    checkpoint: Checkpoint,
    arguments: dict[str, Any],
    kinds: tuple[type[Any], ...] = (),
    *,
    maximize: bool = False,
    libraries: Mapping[str, str] | None = None,
) -> Iterator[CheckpointWriter]:
    """Open a folder for one training, and find the checkpoint to resume from.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where, how often and how many checkpoints are written.
    arguments : dict
        Every argument that the training depends on, by name. They are described here, before the
        training draws random numbers.
    kinds : tuple of types
        NamedTuples that the history or the owner's attributes may hold.
    maximize : bool, default=False
        Whether a high metric is good: it decides which checkpoint is the best.
    libraries : mapping, optional
        Versions of libraries that may change the bits, by name; NumPy's and ours are added.

    Raises
    ------
    OutputError
        If the folder cannot be used.
    CheckpointError
        If the folder is in use, holds checkpoints with ``resume=False``, or only unusable ones.
    """
    described = {name: describe(value) for name, value in arguments.items()}
    with open_directory(checkpoint) as folder:
        found = folder.newest(kinds)
        if found is not None and not checkpoint.resume:
            raise CheckpointError(
                f"{folder.path} holds checkpoints of an earlier training, the newest of epoch "
                f"{found.place[0]}: resume it (resume=True, --resume), or name another folder."
            )
        yield CheckpointWriter(
            checkpoint, folder, found, described, kinds, maximize, dict(libraries or {})
        )


class CheckpointWriter:
    """Writes the checkpoints of one training to a folder.

    Attributes
    ----------
    found : Snapshot or None
        The checkpoint to resume from.
    capture : callable or None
        Returns the owner's attributes: what an estimator adds to a checkpoint.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        folder: CheckpointDirectory,
        found: Snapshot | None,
        arguments: dict[str, Any],
        kinds: tuple[type[Any], ...],
        maximize: bool,
        libraries: dict[str, str],
    ) -> None:
        self.found = found
        self._libraries = {"deltarule": __version__, "NumPy": np.__version__} | libraries
        self._code: list[dict[str, str]] = []
        self._maximize = maximize
        self.capture: Callable[[], Any] | None = None
        self._checkpoint, self._folder, self._kinds = checkpoint, folder, kinds
        self._identity = Identity(arguments, {})
        self._streams: dict[str, Any] = {}
        self._beginnings: dict[str, Any] = {} if found is None else found.beginnings
        self._best = None if found is None else found.best
        parts, stored = ([], {}) if found is None else (found.parts, found.stored)
        self._curves = CurveWriter(folder.write_part, parts, stored)
        self._begun = False
        self._last = (0, 0)
        self._since = monotonic()

    # --- before training ------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def stream(self, name: str, stream: Any) -> None:
        """Save a random stream, too, so that a resumed training draws the same numbers."""
        self._streams[name] = stream
        if self.found is None:
            self._beginnings[name] = _stream_state(stream)
        else:
            _set_stream(stream, self.found.beginnings.get(name), self.path)

    def compare(self, data: dict[str, str], most_epochs: tuple[str, int]) -> None:
        """Refuse to resume with other arguments or other data, and say what differs.

        Parameters
        ----------
        data : dict
            Fingerprints, by the name of the data.
        most_epochs : (name, number)
            The argument that limits the number of epochs, which may have changed.

        Raises
        ------
        CheckpointError
            If anything differs, or more epochs are done already.
        """
        self._identity = self._identity._replace(data=data)
        if self.found is None:
            return
        differ = differences(self.found.identity, self._identity)
        if differ:
            raise CheckpointError(
                f"the checkpoints in {self.path} are of another training: {'; '.join(differ)}. "
                "Use the first training's arguments and data, or name another folder."
            )
        name, most = most_epochs
        done = self.found.place[0]
        if done > most:
            raise CheckpointError(
                f"the checkpoint in {self.path} has done {done} epochs, and {name}={most} asks "
                f"for fewer: set {name} to at least {done}, or name another folder."
            )

    def compare_code(self, code: dict[str, str]) -> None:
        """Warn if other code took steps of this training, or refuse it if it must be exact.

        Parameters
        ----------
        code : dict
            What decides the bits of a step, from the interpreter.

        Raises
        ------
        CheckpointError
            If it differs, and the ``Checkpoint`` has ``exact=True``.
        """
        if self._code:  # a second call of ``train`` in one fit
            return
        code = self._libraries | code
        before = [] if self.found is None else self.found.code
        others = [other for other in before if other != code]
        self._code = [*others, code]
        if self.found is None or not others:
            return
        what = (
            f"the checkpoint in {self.path} was written by deltarule {self.found.version} after "
            f"steps of other code: {'; '.join(code_differences(others[-1], code))}"
        )
        if self._checkpoint.exact:
            raise CheckpointError(
                f"{what}. The bits may differ, and exact=True (--exact) refuses that: resume where "
                "the training began, allow it with exact=False, or name another folder."
            )
        warnings.warn(
            f"{what}. The result may differ in its last bits from a training without a stop; "
            "Checkpoint(exact=True) refuses to resume.",
            InexactResumeWarning,
            stacklevel=2,
        )

    # --- in the training loop -------------------------------------------------------------------

    def begin(self, state: State, training: TrainingState, check: Callable[[State], None]) -> None:
        """Restore both from the checkpoint found, then write one, to test that it is possible."""
        if not isinstance(state.theta, np.ndarray):
            raise CheckpointError("checkpoint needs a network of NumPy arrays; leave it out.")
        if self.found is not None and not self._begun:
            try:
                restore_snapshot(self.found, state, training, check)
            except CheckpointError as error:
                raise CheckpointError(
                    f"cannot resume from {self.path / file_name(self.found.place)}: {error}. Name "
                    "another folder to start again."
                ) from None
            for name, stream in self._streams.items():
                _set_stream(stream, self.found.streams.get(name), self.path)
            self._folder.set_aside_damaged()
        if self._begun:  # a second training, with curves of its own
            self._curves = CurveWriter(self._folder.write_part)
        if self._begun or not training.history.stopped_by:
            self.write(state, training)
        self._begun = True

    def offer(self, state: State, training: TrainingState) -> None:
        """Write a checkpoint if enough epochs or seconds have passed, or training has ended."""
        every = self._checkpoint.every_epochs
        ended = training.epoch is None and training.place != self._last
        due = ended and every is not None and training.place[0] % every == 0
        final = training.epoch is None and bool(training.history.stopped_by)
        if final or due or monotonic() - self._since >= self._checkpoint.seconds:
            self.write(state, training)

    def write(self, state: State, training: TrainingState) -> None:
        """Write a checkpoint now. If there is one already, a failure is a warning, not an error."""
        try:
            self._write(state, training)
        except (OutputError, CheckpointError, MemoryError) as error:
            if not self._begun:
                raise
            why = str(error) or "there is not enough memory"
            warnings.warn(
                f"no checkpoint could be written: {why}. Training continues; the last checkpoint, "
                f"{self._folder.last}, stays as it is.",
                stacklevel=2,
            )
        self._last, self._since = training.place, monotonic()

    def _write(self, state: State, training: TrainingState) -> None:
        best = self._best_with(training)
        snapshot = Snapshot(
            identity=self._identity,
            code=self._code,
            beginnings=self._beginnings,
            streams={name: _stream_state(stream) for name, stream in self._streams.items()},
            owner=None if self.capture is None else self.capture(),
            best=best,
            version=__version__,
        )
        contents = write_snapshot(snapshot, state, training, self._kinds, self._curves)
        name = None if best is None else best[0]
        self._folder.write(contents, training.place, name, self._curves.parts)
        self._best = best

    def _best_with(self, training: TrainingState) -> tuple[str, float] | None:
        """Return the name and metric of the best checkpoint, the present one included."""
        history = training.history
        if not self._checkpoint.keep_best:
            return None
        if training.epoch is not None or history.n_epochs == 0:
            return self._best
        if self._maximize and not history.validation_score:
            return self._best
        if self._maximize:
            metric = history.validation_score[-1]
        else:
            metric = (history.validation_loss or history.cost)[-1]
        sign = 1.0 if self._maximize else -1.0
        better = self._best is None or sign * metric > sign * self._best[1]
        return (
            (file_name(training.place), float(metric))
            if isfinite(metric) and better
            else self._best
        )


def _stream_state(stream: Any) -> Any:
    """Return the state of a random stream."""
    if isinstance(stream, np.random.RandomState):
        return stream.get_state(legacy=False)
    return stream.bit_generator.state


def _set_stream(stream: Any, position: Any, path: Path) -> None:
    """Set the state of a random stream."""
    try:
        if isinstance(stream, np.random.RandomState):
            stream.set_state(position)
        else:
            stream.bit_generator.state = position
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"the checkpoint in {path} holds no valid random stream: {error}"
        ) from None
