"""The cache of compiled kernels on disk: object code with a digest, in a private directory.

What is loaded from here is executed. So a file is used only if it belongs to this user, no other
user may write to it or its directory, and its digest is right; otherwise the kernel is compiled
again. Nothing is unpickled. A cache that cannot be written costs time, and changes no result.
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

from deltarule.utils.context import system_reason

__all__ = ["cache_folder", "read", "write"]

_MAGIC = b"deltarule kernel 2\n"
_LARGEST = 64 * 2**20  # bytes; kernels are far smaller


def cache_folder() -> Path | None:
    """Return the directory for compiled kernels, created if necessary; None if it is unusable.

    It is ``$DELTARULE_CACHE_DIR``, or in the platform's cache directory. It must belong to this
    user and be writable by no other.
    """
    return _usable_folder(os.environ.get("DELTARULE_CACHE_DIR", ""), os.environ.get("HOME", ""))


@cache
def _usable_folder(chosen: str, home: str) -> Path | None:
    folder = Path(chosen) if chosen else _default_folder()
    reason = "this user has no home folder" if folder is None else _prepare(folder)
    if reason is None:
        return folder
    warnings.warn(
        f"Compiled kernels are not stored: {reason}. Every process compiles them again, which "
        "takes a few seconds. Set DELTARULE_CACHE_DIR to a folder that only you can write to.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _default_folder() -> Path | None:
    from platformdirs import user_cache_path

    try:
        return user_cache_path("deltarule", appauthor=False) / "kernels"
    except RuntimeError:  # no HOME, and the user is not in the system's list
        return None


def _prepare(folder: Path) -> str | None:
    """Create the directory; return why it must not be used, or None."""
    if not folder.is_absolute():
        return f"the cache folder {folder} is not an absolute path"
    try:
        for path in reversed([folder, *folder.parents]):
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)  # whatever the umask
        found = os.lstat(folder)
    except OSError as error:
        return f"the cache folder {folder} cannot be made ({system_reason(error)})"
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
    """Return what was written under a name; None if it is missing or not trustworthy."""
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
    """Return a file's bytes; none if it is not a regular file of this user's, or too large."""
    # The checks apply to the open file, so it does not matter if the path is replaced meanwhile.
    # Without O_NONBLOCK, opening a pipe of that name would block.
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
    """Return the digest of a name and its payload: a file is not valid under another name."""
    return hashlib.sha256(name.encode() + b"\0" + payload).digest()


def write(name: str, payload: bytes) -> None:
    """Store bytes under a name, atomically: a reader finds all of them, or nothing."""
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
        # For example a full disk: the kernel is in memory, which is enough for this process.
