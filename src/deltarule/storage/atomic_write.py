"""Atomic, durable writes: a file is written completely or not at all, and survives a power cut.

The steps are the ones that POSIX requires: write a temporary file in the same folder, flush it to
the disk, rename it to the target, flush the folder. A reader of the target sees the old bytes or
the new bytes, never a mixture.

A symbolic link is refused. Following it would surprise the owner of the file that it points to,
and replacing it would surprise the owner of the link.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from deltarule.errors import OutputError
from deltarule.utils.checks import check_flag, check_path
from deltarule.utils.context import error_context, system_reason

try:  # A POSIX module; without it, temporary files of killed writers are not removed.
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_writable", "remove_orphans", "write_atomically", "write_chunks"]

StrPath = str | os.PathLike[str]

_ALL = ".deltarule-"  # the start of every temporary file's name
_NAME = re.compile(r"\.deltarule-[0-9a-f]{16}-[0-9a-f]{16}\.tmp")  # of a temporary file, whole
_NAME_A_FILE = "give the name of the file to write"


def check_writable(path: StrPath, *, overwrite: bool = False) -> Path:
    """Return the path if `write_atomically` could write to it; otherwise raise.

    Call it before a long computation, so that the result is not lost.

    Parameters
    ----------
    path : str or path-like
        The file to be written.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The path, unchanged.

    Raises
    ------
    OutputError
        If the folder is missing or read-only, or the path already exists.
    """
    check_path("path", path)
    overwrite = check_flag("overwrite", overwrite)
    target = Path(path)
    folder = target.parent
    if os.fspath(path).endswith(("/", os.sep)):
        raise OutputError(f"{os.fspath(path)!r} names a folder; {_NAME_A_FILE}")
    if not target.name or target.name == "..":
        raise OutputError(f"{str(path)!r} names no file; {_NAME_A_FILE}")
    with _writing(target):
        if not folder.is_dir():
            raise OutputError(
                f"cannot write {target}: there is no folder {folder}; create it first"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write {target}: the folder {folder} is read-only")
        _check_target(target, overwrite=overwrite)
    return target


def write_atomically(
    path: StrPath, data: bytes | Sequence[memoryview], *, overwrite: bool = False
) -> Path:
    """Write bytes to a file, atomically and durably, and return its path.

    Parameters
    ----------
    path, overwrite
        As for `check_writable`, which is called first.
    data : bytes or sequence of memoryview
        The complete content of the file, or its parts in order.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false. An old file is then
        unchanged, and no temporary file is left. If only the folder could not be flushed, the new
        file is in place, and the message says so.
    """
    target = check_writable(path, overwrite=overwrite)
    with _writing(target):
        remove_orphans(target.parent, _prefix(target))
        with _temporary(target) as (descriptor, temporary):
            for part in [data] if isinstance(data, bytes | mmap.mmap) else data:
                _write_all(descriptor, part)
            os.fsync(descriptor)
            # Open the folder before the rename, so that opening cannot fail after it.
            with _folder(target.parent) as sync:
                _publish(temporary, target, overwrite=overwrite)
                _flush(sync, target)
    return target


def write_chunks(path: Path, chunks: Iterable[bytes], *, overwrite: bool = False) -> Path:
    """Write a file that may be larger than memory, completely or not at all, and return its path.

    The chunks are collected in an unnamed file in the same folder. If making one of them fails, or
    the process is killed, nothing is left of it. In the end they are written as
    `write_atomically` writes bytes.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false.
    """
    check_writable(path, overwrite=overwrite)
    with _writing(path):
        collected = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed below)
    with collected:
        for chunk in chunks:
            with _writing(path):
                collected.write(chunk)
        with _writing(path):
            collected.flush()
            if os.fstat(collected.fileno()).st_size == 0:
                return write_atomically(path, b"", overwrite=overwrite)
            with mmap.mmap(collected.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return write_atomically(path, cast(Any, data), overwrite=overwrite)


def _writing(target: Path) -> AbstractContextManager[None]:
    """Return a context in which errors of the system become an ``OutputError`` on the target."""

    def no_name(error: ValueError) -> OutputError:  # a NUL or a lone surrogate
        return OutputError(f"{str(target)!r} names no file: {error}; {_NAME_A_FILE}")

    return error_context(
        (FileExistsError, lambda _: OutputError(_taken(target))),
        (OSError, lambda error: OutputError(f"cannot write {target}: {system_reason(error)}")),
        (ValueError, no_name),
        unless=OutputError,
    )


def _taken(target: Path) -> str:
    return (
        f"{target} already exists; choose another name, or allow overwriting it (overwrite=True, "
        "on the command line --overwrite)"
    )


def _check_target(target: Path, *, overwrite: bool) -> None:
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OutputError(f"{target} is a symbolic link; name the file it points to instead")
    if not stat.S_ISREG(mode):
        raise OutputError(f"{target} is not a regular file; choose another name")
    if not overwrite:
        raise OutputError(_taken(target))


def _prefix(target: Path) -> str:
    """Return the start of the names of this target's temporary files."""
    return f"{_ALL}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[int, Path]]:
    """Open a locked temporary file in the target's folder, and remove it on exit."""
    while True:
        temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        mode = _mode_of(target)
        # The permissions of the file that it replaces precede the first byte.
        descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)
        try:
            if _is_ours(descriptor):
                if mode is not None and hasattr(os, "fchmod"):
                    with suppress(PermissionError):
                        os.fchmod(descriptor, mode)
                yield descriptor, temporary
                return
        finally:
            with suppress(OSError):  # it was renamed, or the next writer removes it
                os.unlink(temporary)
            _close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Lock a new temporary file; False if another run removed it as an orphan before the lock."""
    if fcntl is None:  # pragma: no cover
        return True
    with suppress(OSError):  # The file system has no locks; write without one.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def remove_orphans(folder: Path, prefix: str = _ALL) -> None:
    """Remove temporary files that killed writers left, which no process holds a lock on.

    Parameters
    ----------
    folder : pathlib.Path
        The folder to clean.
    prefix : str, optional
        The start of the file names; by default, those of all targets.
    """
    if fcntl is None:  # pragma: no cover
        return
    for orphan in folder.glob(f"{prefix}*.tmp"):
        if _NAME.fullmatch(orphan.name) is None:  # a file of the user's
            continue
        with suppress(OSError):
            if not stat.S_ISREG(os.lstat(orphan).st_mode):
                continue
            descriptor = os.open(orphan, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(orphan)
            finally:
                os.close(descriptor)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _mode_of(target: Path) -> int | None:
    """Return the permissions of the file to be replaced; None if there is none."""
    try:
        return stat.S_IMODE(os.lstat(target).st_mode)
    except FileNotFoundError:
        return None


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give the temporary file its final name in one step.

    Without `overwrite`, a hard link is used: unlike a rename, it fails if the name exists, even if
    another process created it a moment ago.
    """
    if not overwrite:
        try:
            os.link(temporary, target)
            return
        except FileExistsError:
            raise
        except OSError:  # A file system without hard links.
            _check_target(target, overwrite=False)
    os.replace(temporary, target)


@contextmanager
def _folder(folder: Path) -> Iterator[Callable[[], None]]:
    """Yield a function that flushes a folder, so that a new name in it survives a power cut."""
    if os.name != "posix":  # pragma: no cover
        yield lambda: None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lambda: os.fsync(descriptor)
    finally:
        _close(descriptor)


def _flush(sync: Callable[[], None], target: Path) -> None:
    """Flush the folder after the file in it was renamed."""
    try:
        sync()
    except OSError as error:
        raise OutputError(
            f"{target} was written, but its folder could not be flushed ({system_reason(error)}): "
            "the file may be lost in a power cut; save it again with overwriting allowed"
        ) from error


def _close(descriptor: int) -> None:
    """Close a descriptor; errors do not matter, because its data was flushed or is discarded."""
    with suppress(OSError):
        os.close(descriptor)
