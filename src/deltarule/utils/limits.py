"""How much memory this process may still take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["free_memory"]


def free_memory() -> int:
    """Return how many bytes this process may still take: by the machine, its group and its limits.

    What the system does not report counts as no limit.
    """
    return min([2**62, *_machine(), *_group(), *_limits()])


def _machine() -> list[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return [1024 * int(line.split()[1])]
    return []


def _group() -> list[int]:
    """Return what is left of the memory of a control group, such as a container's."""
    folder = Path("/sys/fs/cgroup")
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            left = int((folder / most).read_text()) - int((folder / used).read_text())
            return [max(left, 0)]
    return []


def _limits() -> list[int]:
    """Return what is left of the process's own limits (ulimit -v, ulimit -d)."""
    left = []
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        held = [int(pages) * resource.getpagesize() for pages in _statm()]
        for limit, used in ((resource.RLIMIT_AS, held[0]), (resource.RLIMIT_DATA, held[5])):
            soft = resource.getrlimit(limit)[0]
            if soft != resource.RLIM_INFINITY:
                left.append(max(soft - used, 0))
    return left


def _statm() -> list[str]:
    return Path("/proc/self/statm").read_text(encoding="ascii").split()
