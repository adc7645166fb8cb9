"""Too little memory: refused before libraries fail in worse ways, or reported in one line."""

from __future__ import annotations

from deltarule.errors import DeltaruleError

__all__ = ["check_limits", "lacks_memory", "what_to_do"]

_LEAST = {"RLIMIT_DATA": (160, "ulimit -d"), "RLIMIT_AS": (400, "ulimit -v")}
"""Megabytes that NumPy and SciPy need to load; with less they loop, crash or end the process."""

_REMEDY = (
    "give the process more, or take fewer columns or a smaller network; of large tables, "
    "deltarule train --stream and predict hold a few rows at a time"
)
_SIGNS = (
    "failed to map segment",  # the dynamic linker's
    "Cannot allocate memory",
    "Failed to launch worker thread",
    "shared object file 'libllvmlite",
    "can't start new thread",
)


def check_limits() -> None:
    """Refuse limits under which the libraries cannot be loaded.

    Raises
    ------
    MemoryError
        If a limit is too low; the message names it and what it must be.
    """
    try:
        import resource
    except ImportError:  # pragma: no cover
        return  # no POSIX system
    for name, (least, command) in _LEAST.items():
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY and limit < least * 2**20:
            raise MemoryError(
                f"the process may take {limit // 2**20} MiB ({command}), and needs at least "
                f"{least} MiB"
            )


def lacks_memory(error: BaseException | None) -> bool:
    """Return whether an error of any type, or one of its causes, means too little memory."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS):
            return not isinstance(error, DeltaruleError)
        error = error.__cause__ or error.__context__
    return False


def what_to_do(error: BaseException) -> str:
    """Return the message for too little memory, on one line."""
    text = " ".join(str(error).split()) or "none is left"
    if len(text) > 120:
        text = f"… {text[-120:]}"
    return f"there is not enough memory ({text}); {_REMEDY}"
