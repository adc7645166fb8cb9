"""Write a file whole or not at all, and so that it is still there after a power cut.

The order is the one that POSIX asks for: write a temporary beside the target, flush it to the
disk, give it the target's name in one step, flush the folder. Whoever opens the target sees the
old bytes or the new ones, never a mixture.

A symbolic link is refused rather than followed or replaced: one surprises the owner of the file it
points to, the other the owner of the link.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deltarule.errors import OutputError

try:  # A POSIX module; without it temporaries of killed writers are left for the user.
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_writable", "remove_orphans", "write_atomically"]

StrPath = str | os.PathLike[str]

_ALL = ".deltarule-"  # how the names of all temporaries begin


def check_writable(path: StrPath, *, overwrite: bool = False) -> Path:
    """Say early whether `write_atomically` could write to a path.

    Call it before hours of training, not after.

    Parameters
    ----------
    path : str or path-like
        The file to be written.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If the folder is missing or read-only, or the path is taken.
    """
    target = Path(path)
    folder = target.parent
    if os.fspath(path).endswith(("/", os.sep)):
        raise OutputError(f"{os.fspath(path)!r} names a folder; give the name of the file to write")
    if not target.name or target.name == "..":
        raise OutputError(f"{str(path)!r} names no file; give the name of the file to write")
    with _blaming(target):
        if not folder.is_dir():
            raise OutputError(
                f"cannot write {target}: there is no folder {folder}; create it first"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write {target}: the folder {folder} is read-only")
        _check_target(target, overwrite=overwrite)
    return target


def write_atomically(path: StrPath, data: bytes, *, overwrite: bool = False) -> Path:
    """Write bytes to a file, durably, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its folder must exist.
    data : bytes
        The file's whole content.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false. The old file, if
        there was one, is untouched and no temporary is left. If only the folder could not be
        flushed, the new file stands in its place, and the message says so.
    """
    target = check_writable(path, overwrite=overwrite)
    with _blaming(target):
        remove_orphans(target.parent, _prefix(target))
        with _temporary(target) as (descriptor, temporary):
            _write_all(descriptor, data)
            _keep_permissions(descriptor, target)
            os.fsync(descriptor)
            # The folder is opened early: what can fail fails before the name.
            with _folder(target.parent) as sync:
                _publish(temporary, target, overwrite=overwrite)
                _flush(sync, target)
    return target


@contextmanager
def _blaming(target: Path) -> Iterator[None]:
    """Turn what the system says into one line about the target."""
    try:
        yield
    except OutputError:
        raise
    except FileExistsError as error:
        raise OutputError(_taken(target)) from error
    except OSError as error:
        raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    except ValueError as error:  # a NUL or a lone surrogate
        raise OutputError(
            f"{str(target)!r} names no file: {error}; give the name of the file to write"
        ) from error


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _taken(target: Path) -> str:
    return f"{target} already exists; choose another name, or allow overwriting it (--overwrite)"


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
    """Return how the names of this target's temporaries begin."""
    return f"{_ALL}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[int, Path]]:
    """Open a locked temporary beside the target; on leaving it is gone, whatever happened."""
    while True:
        temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(temporary, flags, 0o666)
        try:
            if _is_ours(descriptor):
                yield descriptor, temporary
                return
        finally:
            with suppress(OSError):  # gone by a rename, or left for the next writer to remove
                os.unlink(temporary)
            _close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Lock a new temporary; False if another run took it for an orphan before the lock was ours."""
    if fcntl is None:  # pragma: no cover
        return True
    with suppress(OSError):  # A file system without locks still gets its file.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def remove_orphans(folder: Path, prefix: str = _ALL) -> None:
    """Remove temporaries of writers that were killed: nobody holds their lock.

    Parameters
    ----------
    folder : pathlib.Path
        Where to look.
    prefix : str, optional
        How their names begin; by default those of writers to any target.
    """
    if fcntl is None:  # pragma: no cover
        return
    for orphan in folder.glob(f"{prefix}*.tmp"):
        with suppress(OSError):
            descriptor = os.open(orphan, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(orphan)
            finally:
                os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _keep_permissions(descriptor: int, target: Path) -> None:
    """Give the new file the permissions of the one it replaces."""
    with suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(os.lstat(target).st_mode)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give the temporary its name in one step.

    Without `overwrite` a hard link does it: unlike a rename, it fails if the name is taken, even
    by someone who took it a moment ago.
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
    """Give a function that flushes a folder, so that a new name in it survives a power cut."""
    if os.name != "posix":  # pragma: no cover
        yield lambda: None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield lambda: os.fsync(descriptor)
    finally:
        _close(descriptor)


def _flush(sync: Callable[[], None], target: Path) -> None:
    """Flush the folder of a file that has just been given its name."""
    try:
        sync()
    except OSError as error:
        raise OutputError(
            f"{target} was written, but its folder could not be flushed ({_reason(error)}): it may "
            "not survive a power cut; save again, over it"
        ) from error


def _close(descriptor: int) -> None:
    """Close what was flushed, or is given up: there is nothing left that could be lost."""
    with suppress(OSError):
        os.close(descriptor)
