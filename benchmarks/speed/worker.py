"""One engine in its own process: ``python -m speed.worker``, with JSON lines as messages.

The first message describes the case; each later one requests a repetition. Each is answered by one
line: the measurement, or {"failed": reason}. Between repetitions the process waits for input.

A module of ``speed.workers`` defines ``prepare(spec)``, which returns the function that runs a
repetition: it takes a message and returns an answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO

Repetition = Callable[[dict[str, Any]], dict[str, Any]]


def main() -> None:
    """Answer messages until the input ends."""
    answers = _own_output()
    warnings.simplefilter("ignore")  # ConvergenceWarning
    repetition: Repetition | None = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if repetition is None:
                module = importlib.import_module(f"speed.workers.{message.pop('worker')}")
                repetition, answer = module.prepare(message), {"ready": True}
            else:
                answer = repetition(message)
        except Exception as error:  # an engine that fails is a row in the table
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _own_output() -> TextIO:
    """Return the standard output for answers; redirect what libraries print to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
