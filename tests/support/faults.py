"""Where the tests of faults leave the figures that `make faults` puts into docs/reliability.md."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["report"]


def report(fault: str, **figures: Any) -> None:
    """Append figures of one test to the file that DELTARULE_FIGURES names, if it names one."""
    path = os.environ.get("DELTARULE_FIGURES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"fault": fault, **figures}) + "\n")
