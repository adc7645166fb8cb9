"""A folder of checkpoints: file names, the newest readable file, and removal of old ones."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from deltarule.errors import CheckpointError, ModelFileError, OutputError, UnreadFileError
from deltarule.storage import (
    ModelRecord,
    check_writable,
    read_model_record,
    remove_orphans,
    write_model_record,
)
from deltarule.training.checkpoints.config import Checkpoint
from deltarule.training.checkpoints.curves import check_part
from deltarule.training.checkpoints.serialization import Snapshot, read_snapshot
from deltarule.utils.context import error_context, system_reason

try:  # A POSIX module; without it two trainings in one folder are not detected.
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

__all__ = ["CheckpointDirectory", "open_directory"]

_NAME = re.compile(r"epoch-(\d{6,})-step-(\d{9,})\.safetensors")
_PART = re.compile(r"curves-[0-9a-f]{32}-[12]\.safetensors")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGED = ".damaged"


def file_name(place: tuple[int, int]) -> str:
    """Return the file name of the checkpoint at a place (epochs finished, steps taken)."""
    return f"epoch-{place[0]:06d}-step-{place[1]:09d}.safetensors"


@contextmanager
def open_directory(checkpoint: Checkpoint) -> Iterator[CheckpointDirectory]:
    """Create the folder if needed, and lock it: it serves one training at a time.

    Raises
    ------
    OutputError
        If it cannot be created or written to.
    CheckpointError
        If another training uses it.
    """
    path = Path(checkpoint.folder)
    with _using(path):
        path.mkdir(exist_ok=True)
        check_writable(path / file_name((0, 0)), overwrite=True)
    with _locked(path) as lock:
        with _using(path):
            remove_orphans(path)
            folder = CheckpointDirectory(path, checkpoint, lock)
        yield folder


def _using(path: Path) -> AbstractContextManager[None]:
    """Return a context in which errors of the system become an ``OutputError`` on the folder."""

    def unusable(folder: object, reason: object) -> OutputError:
        return OutputError(f"cannot write checkpoints to {folder}: {reason}; name another folder")

    no_parent = OutputError(
        f"cannot write checkpoints to {path}: there is no folder {path.parent}; create it first"
    )
    return error_context(
        (FileNotFoundError, lambda _: no_parent),
        (OSError, lambda error: unusable(path, system_reason(error))),
        (ValueError, lambda error: unusable(repr(str(path)), error)),  # a NUL or a lone surrogate
        unless=OutputError,
    )


class _Lock:
    """The lock on a folder: it belongs to one process, and to this folder, not to its name."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self.descriptor, self._process = path, descriptor, os.getpid()

    def check(self) -> None:
        """Raise ``CheckpointError`` unless this process still owns the folder of this name."""
        if os.getpid() != self._process:
            raise CheckpointError(
                f"this process is a copy (fork) of the one that writes to {self._path}, and "
                "writes no checkpoints itself"
            )
        try:
            ours = os.path.samestat(os.stat(self._path), os.fstat(self.descriptor))
        except OSError:
            ours = False
        if not ours:
            raise CheckpointError(
                f"the folder {self._path} was removed or replaced since this training began; "
                "another training may be using it"
            )

    def close(self) -> None:
        """Give the folder back; a copy in a forked process has done so already."""
        if os.getpid() == self._process:
            _held.discard(self)
            with suppress(OSError):  # a process forked a moment ago may still hold a copy
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
            os.close(self.descriptor)

    def leave_to_parent(self) -> None:
        """Close a forked process's copy, so that the lock ends with the parent."""
        with suppress(OSError):
            os.close(self.descriptor)


_held: set[_Lock] = set()


def _leave_to_parent() -> None:
    for lock in _held:
        lock.leave_to_parent()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def _locked(path: Path) -> Iterator[_Lock | None]:
    if fcntl is None:  # pragma: no cover
        yield None
        return
    with _using(path):
        lock = _Lock(path, os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))
    _held.add(lock)
    try:
        try:
            fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"another training writes its checkpoints to {path}: give each training its own "
                "folder, or wait until the other one has ended."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield lock
    finally:
        lock.close()


class CheckpointDirectory:
    """The checkpoints of one training."""

    def __init__(self, path: Path, checkpoint: Checkpoint, lock: _Lock | None = None) -> None:
        self.path, self._checkpoint, self._lock = path, checkpoint, lock
        self._names, self._parts = self._list()  # checkpoints from old to new; files of curves
        self._inherited = set(self._names)  # checkpoints that may need any of these parts
        self._repairs: dict[Path, ModelRecord] = {}  # damaged copies of parts, and their content
        # Names, newest first, each with the reason why it cannot be used.
        self._damaged: list[tuple[str, str]] = []
        self._needed: list[str] = []  # the parts of the newest checkpoint written

    def newest(self, kinds: tuple[type[Any], ...]) -> Snapshot | None:
        """Return the newest checkpoint that is not damaged.

        Raises
        ------
        CheckpointError
            If all checkpoints are damaged, or if one cannot be read but may be intact (permissions,
            a disk error, written by a newer version). In the second case training must not silently
            resume from an older one.
        """
        for name in reversed(self._names):
            try:
                return self._read(name, kinds)
            except UnreadFileError as error:
                raise CheckpointError(
                    f"a checkpoint cannot be read but may be intact: {error}. Nothing was changed; "
                    "move the file away to resume from an older one."
                ) from error
            except ModelFileError as error:
                self._damaged.append((name, str(error)))
        if self._damaged:
            raise CheckpointError(
                f"none of the {len(self._damaged)} checkpoints in {self.path} can be used; the "
                f"newest: {self._damaged[0][1]}. Name another folder to start again."
            )
        return None

    def set_aside_damaged(self) -> None:
        """Rename the damaged files that are newer than the one used, with a warning.

        A damaged copy of a part of the curves is written again from the other copy. Call it once
        the training has been accepted: a refused one changes nothing.
        """
        for path, content in self._repairs.items():
            try:
                write_model_record(content, path, overwrite=True)
                self._parts.add(path.name)
                fate = "was written again from its second copy"
            except OutputError as error:
                fate = f"could not be written again ({error})"
            warnings.warn(f"the curves {path} were damaged or missing; the file {fate}.",
                          stacklevel=2)  # fmt: skip
        self._repairs = {}
        for name, why in self._damaged:
            self._names.remove(name)
            aside = self._unused(name + _DAMAGED)
            try:
                os.replace(self.path / name, aside)
                fate = f"is now called {aside.name}"
            except OSError as error:
                fate = f"could not be renamed ({system_reason(error)})"
            warnings.warn(
                f"the checkpoint {self.path / name} cannot be used, and {fate}: {why}. Training "
                f"resumes from an older one, {self.last}.",
                stacklevel=2,
            )
        self._damaged = []

    def write_part(self, digest: str, content: ModelRecord) -> None:
        """Write a finished part of the curves, twice: every later checkpoint needs it."""
        if self._lock is not None:
            self._lock.check()
        for name in _part_names(digest):
            write_model_record(content, self.path / name, overwrite=True)
            self._parts.add(name)

    def write(
        self, contents: ModelRecord, place: tuple[int, int], best: str | None, parts: list[str]
    ) -> None:
        """Write a checkpoint, then remove those that are neither among the newest nor the best.

        ``parts`` are the digests of the curves' finished parts that it needs. Others are removed
        with the last checkpoint that may need them.
        """
        if self._lock is not None:
            self._lock.check()
        name = file_name(place)
        try:
            write_model_record(contents, self.path / name, overwrite=True)
        finally:  # the file exists if only flushing the folder failed
            if os.path.exists(self.path / name):
                self._names = [*(old for old in self._names if old != name), name]
        keep = {*self._names[-self._checkpoint.keep_last :], best}
        for old in [old for old in self._names if old not in keep]:
            with suppress(OSError):
                os.unlink(self.path / old)
            self._names.remove(old)
        self._remove_parts(parts)

    def _remove_parts(self, needed: list[str]) -> None:
        if needed[: len(self._needed)] != self._needed:  # curves of another training
            self._inherited = set(self._names[:-1])
        self._needed = needed
        if len(self._parts) > 2 * len(needed) and self._inherited.isdisjoint(self._names):
            held = {name for digest in needed for name in _part_names(digest)}
            for name in self._parts - held:
                with suppress(OSError):
                    os.unlink(self.path / name)
            self._parts &= held

    def _read_part(self, digest: str) -> ModelRecord:
        """Return a finished part of the curves, from a copy of its file that is sound.

        Raises
        ------
        ModelFileError
            If both copies are damaged or missing.
        UnreadFileError
            If one cannot be read, and the other is of no use, either.
        """
        faults: list[tuple[Path, ModelFileError]] = []
        sound: ModelRecord | None = None
        if _DIGEST.fullmatch(digest) is None:
            raise ModelFileError("its record names no valid parts of curves")
        for path in map(self.path.joinpath, _part_names(digest)):
            try:
                content = read_model_record(path)
                check_part(content, digest)
            except ModelFileError as error:
                faults.append((path, error))
            else:
                sound = content
        if sound is not None:
            self._repairs |= {path: sound for path, why in faults if _is_broken(path, why)}
            return sound
        for path, fault in faults:
            if not _is_broken(path, fault):
                raise fault
        raise ModelFileError(f"a part of its curves is damaged or missing: {faults[0][1]}")

    def _unused(self, name: str) -> Path:
        """Return a path in the folder that no file has: the name, or the name with a number."""
        names = (name, *(f"{name}-{number}" for number in range(2, 10_000)))
        return next(p for p in map(self.path.joinpath, names) if not os.path.lexists(p))

    @property
    def last(self) -> str | None:
        """The name of the newest checkpoint."""
        return self._names[-1] if self._names else None

    def _read(self, name: str, kinds: tuple[type[Any], ...]) -> Snapshot:
        """Return a checkpoint.

        Raises
        ------
        ModelFileError
            If the file is damaged, or has been renamed.
        CheckpointError
            If its bytes are intact, but it holds no checkpoint that this version can read.
        """
        contents = read_model_record(self.path / name)
        if contents.kind != "checkpoint":
            raise ModelFileError("it is a model, not a checkpoint")
        try:
            snapshot = read_snapshot(contents, kinds, self._read_part)
        except CheckpointError as error:
            raise CheckpointError(
                f"this version of deltarule cannot use the checkpoint {self.path / name}: {error}. "
                "Resume with the version that wrote it, or name another folder."
            ) from None
        if file_name(snapshot.place) != name:
            raise ModelFileError("it is another checkpoint, renamed")
        return snapshot

    def _list(self) -> tuple[list[str], set[str]]:
        """Return the checkpoints in the folder from old to new, and the files of curves."""
        found = os.listdir(self.path)
        matches = [m for m in map(_NAME.fullmatch, found) if m is not None]
        names = [m[0] for m in sorted(matches, key=lambda m: (int(m[1]), int(m[2])))]
        return names, {name for name in found if _PART.fullmatch(name) is not None}


def _part_names(digest: str) -> tuple[str, str]:
    """Return the names of the two files of a finished part of the curves."""
    return f"curves-{digest[:32]}-1.safetensors", f"curves-{digest[:32]}-2.safetensors"


def _is_broken(path: Path, error: ModelFileError) -> bool:
    """Whether a file is damaged or missing, and not only unreadable at present."""
    return not isinstance(error, UnreadFileError) or not os.path.lexists(path)
