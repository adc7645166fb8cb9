"""Compiled kernels kept on disk: object code behind a digest, in a folder that is ours alone.

What is loaded from here is run, so a file counts only if it belongs to this user, nobody else may
write to it or its folder, and its digest is right. Anything else is compiled anew. Nothing is
unpickled, and a cache that cannot be written costs time, never a result.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["cache_folder", "read", "write"]

_MAGIC = b"deltarule kernel 2\n"
_LARGEST = 64 * 2**20  # no kernel comes near


def cache_folder() -> Path | None:
    """Return the folder for compiled kernels, made if need be; None if none may be used.

    It is ``$DELTARULE_CACHE_DIR``, or the platform's folder for caches. It must belong to this
    user, and be writable by nobody else.
    """
    return _usable_folder(os.environ.get("DELTARULE_CACHE_DIR", ""), os.environ.get("HOME", ""))


@cache
def _usable_folder(chosen: str, home: str) -> Path | None:
    folder = Path(chosen) if chosen else _default_folder()
    reason = "this user has no home folder" if folder is None else _prepare(folder)
    if reason is None:
        return folder
    warnings.warn(
        f"Compiled kernels are not kept: {reason}. They are compiled anew in every process, which "
        "takes a few seconds. Set DELTARULE_CACHE_DIR to a folder that only you can write to.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _default_folder() -> Path | None:
    from platformdirs import user_cache_path

    try:
        return user_cache_path("deltarule", appauthor=False) / "kernels"
    except RuntimeError:  # no HOME, and nobody of that number in the system's list of users
        return None


def _prepare(folder: Path) -> str | None:
    """Make the folder; return why it must not be used, or None."""
    if not folder.is_absolute():
        return f"the cache folder {folder} is not an absolute path"
    try:
        for path in reversed([folder, *folder.parents]):
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)  # whatever the umask
        found = os.lstat(folder)
    except OSError as error:
        return f"the cache folder {folder} cannot be made ({error.strerror})"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is not a folder"
    if not _is_ours(found):
        return f"the cache folder {folder} belongs to another user, or others can write to it"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f"the cache folder {folder} cannot be written to"
    return None


def _is_ours(found: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def read(name: str) -> bytes | None:
    """Return what was written under a name, or None if it is not there or not to be trusted."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        content = _content(folder / name)
    except OSError:
        return None
    start = len(_MAGIC) + 32
    digest, payload = content[len(_MAGIC) : start], content[start:]
    if content[: len(_MAGIC)] != _MAGIC or _digest(name, payload) != digest:
        return None
    return payload


def _content(path: Path) -> bytes:
    """Return what a file of ours holds; nothing if it may not be one."""
    # What is looked at is what is read: the open file, whatever the path leads to by then. Without
    # O_NONBLOCK a pipe of that name would be waited for.
    handle = os.open(
        path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or not _is_ours(found) or found.st_size > _LARGEST:
            return b""
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _digest(name: str, payload: bytes) -> bytes:
    """Return the digest of a kernel under its name: under another one it is not valid."""
    return hashlib.sha256(name.encode() + b"\0" + payload).digest()


def write(name: str, payload: bytes) -> None:
    """Keep bytes under a name: a reader finds all of them, or nothing."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + _digest(name, payload) + payload)
        os.replace(temporary, folder / name)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        # A full disk, say: the kernel is in memory, and that is enough.
