"""Peak memory of a call beyond what the process used before."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["extra_memory"]

_PROC = Path("/proc/self")


def extra_memory(call: Callable[[], object]) -> int:
    """Return the peak of the resident memory during the call, in bytes beyond its start.

    Linux can reset the recorded peak; on other systems the highest peak so far counts as the start.
    """
    if not (_PROC / "clear_refs").exists():
        start = _highest()
        call()
        return _highest() - start
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)  # return freed memory, so that the call must allocate its own
    (_PROC / "clear_refs").write_text("5")
    start = _status("VmRSS")
    call()
    return _status("VmHWM") - start


def _status(name: str) -> int:
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no {name}")


def _highest() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
