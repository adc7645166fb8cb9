"""A folder of checkpoints: their names, the newest that can be read, and how many stay."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deltarule.errors import CheckpointError, ModelFileError, OutputError
from deltarule.files import (
    Contents,
    check_writable,
    read_contents,
    remove_orphans,
    write_contents,
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
    try:
        if not path.is_dir():
            path.mkdir()
    except FileNotFoundError:
        raise OutputError(
            f"cannot keep checkpoints in {path}: there is no folder {path.parent}; create it first"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"cannot keep checkpoints in {path}: {reason}; name another folder"
        ) from None
    check_writable(path / file_name((0, 0)), overwrite=True)
    with _locked(path):
        remove_orphans(path)
        yield Folder(path, checkpoint)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if fcntl is None:  # pragma: no cover
        yield
        return
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

    def newest(self, kinds: tuple[type[Any], ...]) -> Snapshot | None:
        """Return the newest checkpoint that can be read; damaged ones are set aside.

        Raises
        ------
        CheckpointError
            If there are checkpoints, and none can be read.
        """
        damaged: list[tuple[str, str]] = []
        for name in reversed(self._names):
            try:
                snapshot = read_snapshot(read_contents(self.path / name), kinds)
                if file_name(snapshot.place) != name:
                    raise CheckpointError("it is another checkpoint, renamed")
            except (ModelFileError, CheckpointError) as error:
                damaged.append((name, str(error)))
                continue
            self._set_aside(damaged, name)
            return snapshot
        if damaged:
            raise CheckpointError(
                f"none of the {len(damaged)} checkpoints in {self.path} can be used; the newest: "
                f"{damaged[0][1]}. Name another folder to begin anew."
            )
        return None

    def write(self, contents: Contents, place: tuple[int, int], best: str | None) -> None:
        """Write a checkpoint; then remove those that are neither new enough nor the best."""
        name = file_name(place)
        write_contents(contents, self.path / name, overwrite=True)
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

    def _found(self) -> list[str]:
        matches = [m for m in map(_NAME.fullmatch, os.listdir(self.path)) if m is not None]
        return [m[0] for m in sorted(matches, key=lambda m: (int(m[1]), int(m[2])))]

    def _set_aside(self, damaged: list[tuple[str, str]], used: str) -> None:
        """Give files that are newer than the one used, and unreadable, another name."""
        for name, why in damaged:
            self._names.remove(name)
            with suppress(OSError):
                os.replace(self.path / name, self.path / (name + _DAMAGED))
            warnings.warn(
                f"the checkpoint {self.path / name} cannot be used, and is now called "
                f"{name}{_DAMAGED}: {why}. Going on from an older one, {used}.",
                stacklevel=2,
            )
