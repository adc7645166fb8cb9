"""How much memory a call takes at its peak beyond what is there when it begins."""

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

    Linux lets a process begin its peak anew; elsewhere the highest peak so far counts as the start.
    """
    if not (_PROC / "clear_refs").exists():
        start = _highest()
        call()
        return _highest() - start
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)  # what was freed before is not memory that the call finds
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
