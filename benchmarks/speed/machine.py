"""Description of the machine and the software versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import numpy  # noqa: F401  # loads its BLAS, so that threadpoolctl finds it
import scipy.linalg  # noqa: F401  # the same
from threadpoolctl import threadpool_info

from deltarule.engine.thread_pool import available_cores

__all__ = ["describe"]

_PACKAGES = ("deltarule", "numpy", "scipy", "numba", "scikit-learn", "torch", "jax")
_SIMD = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


def describe() -> dict[str, str]:
    """Return the properties of the machine and the versions, by name."""
    cpu = _cpuinfo()
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    found = {
        "CPU": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": f"{available_cores()} usable of {os.cpu_count()}",
        "SIMD": ", ".join(name for name in _SIMD if name in flags) or "unknown",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "BLAS": "; ".join(_blas()),
        "versions": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }
    return found


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _blas() -> list[str]:
    """Return the BLAS libraries of NumPy and SciPy, with the CPU their kernels are for."""
    found = []
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            owner = next((n for n in ("scipy", "numpy") if f"{n}.libs" in pool["filepath"]), "")
            kernels = f", {pool['architecture']} kernels" if "architecture" in pool else ""
            name = f"{owner}: {pool['internal_api']} {pool['version']}{kernels}"
            found.append(name.removeprefix(": "))
    return sorted(found)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
