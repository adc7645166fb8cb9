"""The command line in a process that may not take much memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "limited"]

LIMITED = """
import resource, sys
from deltarule.cli.run import run
from deltarule.tables import batches
most, warm, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
if warm:  # import and compile all, and count the limit from there; a smaller buffer
    batches.BUFFER_CELLS, batches.LANES = 2**17, 2
    first = ["train", warm, "--target", "y", "--stream", "--epochs", "1", "-qfo", warm + ".m"]
    assert run(first) == 0
    held = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
else:
    held = 0
resource.setrlimit(resource.RLIMIT_DATA, (held + most, held + most))
sys.exit(run(words))
"""


def environment() -> dict[str, str]:
    """Return surroundings in which memory is counted as it is used, and threads take none."""
    return {
        **os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore", "ARROW_DEFAULT_MEMORY_POOL": "system",
        "DELTARULE_NUM_THREADS": "1",
    }  # fmt: skip


def limited(most: int, warm: Path | str, *words: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command under a limit in bytes on the process's data (RLIMIT_DATA).

    With a table to warm up on, what is held after a training on it does not count.
    """
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(most), str(warm), *map(str, words)],
        capture_output=True, check=False, env=environment(), timeout=1500,
    )  # fmt: skip
