"""Who keeps the checkpoints of a run, and brings a new run to where an old one was left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from deltarule.errors import CheckpointError, OutputError
from deltarule.program import State
from deltarule.training.checkpoints.folder import Folder, file_name, opened_folder
from deltarule.training.checkpoints.identity import Identity, describe, differences
from deltarule.training.checkpoints.policy import Checkpoint
from deltarule.training.checkpoints.snapshot import Snapshot, take_over, write_snapshot
from deltarule.training.progress import Progress
from deltarule.version import __version__

__all__ = ["FolderKeeper", "keeping"]


@contextmanager
def keeping(
    checkpoint: Checkpoint, arguments: dict[str, Any], kinds: tuple[type[Any], ...] = ()
) -> Iterator[FolderKeeper]:
    """Open a folder and look for the checkpoint to go on from, for as long as a training lasts.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where, how often, how many.
    arguments : dict
        All that decides the training beside data, by name. They are described here, before the
        training draws random numbers.
    kinds : tuple of types
        NamedTuples that the history or the owner may hold.

    Raises
    ------
    OutputError
        If the folder cannot be used.
    CheckpointError
        If it is in use, holds checkpoints that are not to be gone on from, or none that can be.
    """
    described = {name: describe(value) for name, value in arguments.items()}
    with opened_folder(checkpoint) as folder:
        found = folder.newest(kinds)
        if found is not None and not checkpoint.resume:
            raise CheckpointError(
                f"{folder.path} holds checkpoints of an earlier training, the newest of epoch "
                f"{found.place[0]}: go on from them (resume=True, --resume), or name another "
                "folder."
            )
        yield FolderKeeper(checkpoint, folder, found, described, kinds)


class FolderKeeper:
    """Keeps checkpoints in a folder.

    Attributes
    ----------
    found : Snapshot or None
        What the run goes on from.
    capture : callable or None
        Returns what whoever trains keeps beside the run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        folder: Folder,
        found: Snapshot | None,
        arguments: dict[str, Any],
        kinds: tuple[type[Any], ...],
    ) -> None:
        self.found = found
        self.capture: Callable[[], Any] | None = None
        self._checkpoint, self._folder, self._kinds = checkpoint, folder, kinds
        self._identity = Identity(arguments, {})
        self._streams: dict[str, Any] = {}
        self._beginnings: dict[str, Any] = {} if found is None else found.beginnings
        self._best = None if found is None else found.best
        self._begun = False
        self._last = (0, 0)
        self._since = monotonic()

    # --- before the run -------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def stream(self, name: str, stream: Any) -> None:
        """Keep a random stream, too; one that goes on begins where the first run's began."""
        self._streams[name] = stream
        if self.found is None:
            self._beginnings[name] = _position(stream)
        else:
            _move(stream, self.found.beginnings.get(name), self.path)

    def compare(self, data: dict[str, str], most_epochs: tuple[str, int]) -> None:
        """Refuse to go on with other arguments or other data, and say what differs.

        Parameters
        ----------
        data : dict
            Fingerprints, by the name of what they are of.
        most_epochs : (name, number)
            The argument that says where the training ends, which may have changed.

        Raises
        ------
        CheckpointError
            If anything differs, or the checkpoint is already further.
        """
        self._identity = self._identity._replace(data=data)
        if self.found is None:
            return
        differ = differences(self.found.identity, self._identity)
        if differ:
            raise CheckpointError(
                f"the checkpoints in {self.path} are of another training: {'; '.join(differ)}. "
                "Give what it was begun with, or name another folder."
            )
        name, most = most_epochs
        done = self.found.place[0]
        if done > most:
            raise CheckpointError(
                f"the checkpoint in {self.path} has done {done} epochs, and {name}={most} asks "
                f"for fewer: set {name} to at least {done}, or name another folder."
            )
        if self.found.version != __version__:
            warnings.warn(
                f"the checkpoint in {self.path} was kept by deltarule {self.found.version}, this "
                f"is {__version__}: the result may differ from an undisturbed one.",
                stacklevel=2,
            )

    # --- what the run asks for ------------------------------------------------------------------

    def begin(self, state: State, progress: Progress, check: Callable[[State], None]) -> None:
        """Bring both to where the checkpoint was kept; keep one, to see that it can be done."""
        if not isinstance(state.theta, np.ndarray):
            raise CheckpointError("checkpoint needs a network of NumPy arrays; leave it out.")
        if self.found is not None and not self._begun:
            try:
                take_over(self.found, state, progress, check)
            except CheckpointError as error:
                raise CheckpointError(
                    f"cannot go on from {self.path / file_name(self.found.place)}: {error}. Name "
                    "another folder to begin anew."
                ) from None
            for name, stream in self._streams.items():
                _move(stream, self.found.streams.get(name), self.path)
            self._folder.set_aside_damaged()
        if self._begun or not progress.history.stopped_by:
            self.keep(state, progress)
        self._begun = True

    def offer(self, state: State, progress: Progress) -> None:
        """Keep a checkpoint, if enough epochs or seconds have passed, or the run has ended."""
        every = self._checkpoint.every_epochs
        ended = progress.inside is None and progress.place != self._last
        due = ended and every is not None and progress.place[0] % every == 0
        final = progress.inside is None and bool(progress.history.stopped_by)
        if final or due or monotonic() - self._since >= self._checkpoint.seconds:
            self.keep(state, progress)

    def keep(self, state: State, progress: Progress) -> None:
        """Keep a checkpoint now. Once there is one, a failure is a warning: training goes on."""
        try:
            self._write(state, progress)
        except (OutputError, CheckpointError, MemoryError) as error:
            if not self._begun:
                raise
            why = str(error) or "there is not enough memory"
            warnings.warn(
                f"no checkpoint could be kept: {why}. Training goes on; the last checkpoint, "
                f"{self._folder.last}, stays as it is.",
                stacklevel=2,
            )
        self._last, self._since = progress.place, monotonic()

    def _write(self, state: State, progress: Progress) -> None:
        best = self._best_with(progress)
        snapshot = Snapshot(
            identity=self._identity,
            beginnings=self._beginnings,
            streams={name: _position(stream) for name, stream in self._streams.items()},
            owner=None if self.capture is None else self.capture(),
            best=best,
            version=__version__,
        )
        contents = write_snapshot(snapshot, state, progress, self._kinds)
        self._folder.write(contents, progress.place, None if best is None else best[0])
        self._best = best

    def _best_with(self, progress: Progress) -> tuple[str, float] | None:
        """Return the name and figure of the best checkpoint, with the one of now."""
        history, watch = progress.history, progress.watch
        if not self._checkpoint.keep_best:
            return None
        if progress.inside is not None or history.n_epochs == 0:
            return self._best
        if watch.maximize:
            figure = history.validation_score[-1]
        else:
            figure = (history.validation_loss or history.cost)[-1]
        sign = 1.0 if watch.maximize else -1.0
        better = self._best is None or sign * figure > sign * self._best[1]
        return (
            (file_name(progress.place), float(figure))
            if isfinite(figure) and better
            else self._best
        )


def _position(stream: Any) -> Any:
    """Return where a random stream stands."""
    if isinstance(stream, np.random.RandomState):
        return stream.get_state(legacy=False)
    return stream.bit_generator.state


def _move(stream: Any, position: Any, path: Path) -> None:
    """Bring a random stream to a position."""
    try:
        if isinstance(stream, np.random.RandomState):
            stream.set_state(position)
        else:
            stream.bit_generator.state = position
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"the checkpoint in {path} holds no valid random stream: {error}"
        ) from None
