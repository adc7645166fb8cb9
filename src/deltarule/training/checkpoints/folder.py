"""A folder of checkpoints: their names, the newest that can be read, and how many stay."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from deltarule.context import error_context, system_reason
from deltarule.errors import CheckpointError, ModelFileError, OutputError, UnreadFileError
from deltarule.storage import (
    ModelRecord,
    check_writable,
    read_model_record,
    remove_orphans,
    write_model_record,
)
from deltarule.training.checkpoints.policy import Checkpoint
from deltarule.training.checkpoints.snapshot import Snapshot, read_snapshot

try:  # A POSIX module; without it two trainings in one folder are not told apart.
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

__all__ = ["Folder", "opened_folder"]

_NAME = re.compile(r"epoch-(\d{6,})-step-(\d{9,})\.safetensors")
_DAMAGED = ".damaged"


def file_name(place: tuple[int, int]) -> str:
    """Return the name of the checkpoint after so many epochs and steps."""
    return f"epoch-{place[0]:06d}-step-{place[1]:09d}.safetensors"


@contextmanager
def opened_folder(checkpoint: Checkpoint) -> Iterator[Folder]:
    """Make a folder ready, for one training at a time.

    Raises
    ------
    OutputError
        If it cannot be made or written to.
    CheckpointError
        If another training is using it.
    """
    path = Path(checkpoint.folder)
    with _using(path):
        if not path.is_dir():
            path.mkdir()
        check_writable(path / file_name((0, 0)), overwrite=True)
    with _locked(path):
        with _using(path):
            remove_orphans(path)
            folder = Folder(path, checkpoint)
        yield folder


def _using(path: Path) -> AbstractContextManager[None]:
    """Return a context in which errors of the system become an ``OutputError`` on the folder."""

    def unusable(folder: object, reason: object) -> OutputError:
        return OutputError(f"cannot keep checkpoints in {folder}: {reason}; name another folder")

    no_parent = OutputError(
        f"cannot keep checkpoints in {path}: there is no folder {path.parent}; create it first"
    )
    return error_context(
        (FileNotFoundError, lambda _: no_parent),
        (OSError, lambda error: unusable(path, system_reason(error))),
        (ValueError, lambda error: unusable(repr(str(path)), error)),  # a NUL or a lone surrogate
        unless=OutputError,
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if fcntl is None:  # pragma: no cover
        yield
        return
    with _using(path):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"another training is keeping its checkpoints in {path}: give each a folder of "
                "its own, or wait until the other has ended."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


class Folder:
    """The checkpoints of one training."""

    def __init__(self, path: Path, checkpoint: Checkpoint) -> None:
        self.path, self._checkpoint = path, checkpoint
        self._names = self._found()  # from old to new
        self._damaged: list[tuple[str, str]] = []  # names, newest first, and what is wrong

    def newest(self, kinds: tuple[type[Any], ...]) -> Snapshot | None:
        """Return the newest checkpoint that is not damaged.

        Raises
        ------
        CheckpointError
            If there are checkpoints and all are damaged, or one cannot be read that may be sound:
            an older one must not take its place unasked.
        """
        for name in reversed(self._names):
            try:
                return self._read(name, kinds)
            except UnreadFileError as error:
                raise CheckpointError(
                    f"a checkpoint cannot be read, and may be sound: {error}. Nothing was changed; "
                    "move the file away to go on from an older one."
                ) from error
            except ModelFileError as error:
                self._damaged.append((name, str(error)))
        if self._damaged:
            raise CheckpointError(
                f"none of the {len(self._damaged)} checkpoints in {self.path} can be used; the "
                f"newest: {self._damaged[0][1]}. Name another folder to begin anew."
            )
        return None

    def set_aside_damaged(self) -> None:
        """Give the damaged files that are newer than the one used another name, and say so.

        To be called once it is sure that the training goes on: one that is refused changes nothing.
        """
        for name, why in self._damaged:
            self._names.remove(name)
            aside = self.path / (name + _DAMAGED)
            try:
                os.replace(self.path / name, aside)
                fate = f"is now called {aside.name}"
            except OSError as error:
                fate = f"could not be renamed ({system_reason(error)})"
            warnings.warn(
                f"the checkpoint {self.path / name} cannot be used, and {fate}: {why}. Going on "
                f"from an older one, {self.last}.",
                stacklevel=2,
            )
        self._damaged = []

    def write(self, contents: ModelRecord, place: tuple[int, int], best: str | None) -> None:
        """Write a checkpoint; then remove those that are neither new enough nor the best."""
        name = file_name(place)
        try:
            write_model_record(contents, self.path / name, overwrite=True)
        finally:  # if no more than the folder's flush failed, the file is there
            if os.path.exists(self.path / name):
                self._names = [*(old for old in self._names if old != name), name]
        keep = {*self._names[-self._checkpoint.keep_last :], best}
        for old in [old for old in self._names if old not in keep]:
            with suppress(OSError):
                os.unlink(self.path / old)
            self._names.remove(old)

    @property
    def last(self) -> str | None:
        """The name of the newest checkpoint."""
        return self._names[-1] if self._names else None

    def _read(self, name: str, kinds: tuple[type[Any], ...]) -> Snapshot:
        """Return a checkpoint.

        Raises
        ------
        ModelFileError
            If the file is damaged, or is not the checkpoint of that name.
        CheckpointError
            If its bytes are as they were written, and no record of ours.
        """
        contents = read_model_record(self.path / name)
        if contents.kind != "checkpoint":
            raise ModelFileError("it is a model, not a checkpoint")
        try:
            snapshot = read_snapshot(contents, kinds)
        except CheckpointError as error:
            raise CheckpointError(
                f"the checkpoint {self.path / name} is none that this deltarule keeps: {error}. "
                "Go on with the release that kept it, or name another folder."
            ) from None
        if file_name(snapshot.place) != name:
            raise ModelFileError("it is another checkpoint, renamed")
        return snapshot

    def _found(self) -> list[str]:
        matches = [m for m in map(_NAME.fullmatch, os.listdir(self.path)) if m is not None]
        return [m[0] for m in sorted(matches, key=lambda m: (int(m[1]), int(m[2])))]
