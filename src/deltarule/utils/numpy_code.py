"""What decides the bits that NumPy computes in this process: its release, its loops, its BLAS."""

from __future__ import annotations

from typing import Any

__all__ = ["numpy_code"]


def numpy_code() -> dict[str, str]:
    """Return NumPy's release, the processor features of its loops, and its BLAS, by name."""
    import numpy as np
    from threadpoolctl import threadpool_info

    configuration: Any = np.show_config(mode="dicts")
    simd = configuration.get("SIMD Extensions", {})
    libraries = sorted(
        " ".join(str(one.get(key) or "") for key in ("internal_api", "version", "architecture"))
        for one in threadpool_info()
        if one["user_api"] == "blas" and "numpy" in one["filepath"]
    )
    return {
        "NumPy": np.__version__,
        "features of NumPy": ",".join((*simd.get("baseline", ()), *simd.get("found", ()))),
        "BLAS of NumPy": ", ".join(libraries),
    }
