"""One engine in a process of its own: ``python -m speed.worker MODULE``, JSON lines both ways.

The first line that comes in describes the work; each later one asks for a turn. Each is answered by
one line: what was measured, or {"failed": why}. Between its turns the process sleeps in a read; how
long, and how much processor time its threads used there, is part of every answer.

A module of ``speed.workers`` offers ``prepare(spec)``, which returns the function that takes a
turn: a message in, an answer out.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO

Turn = Callable[[dict[str, Any]], dict[str, Any]]


def main() -> None:
    """Answer until the input ends."""
    answers = _own_output()
    warnings.simplefilter("ignore")  # that a fit has not converged
    turn: Turn | None = None
    ended = _clocks()
    for line in sys.stdin:
        began = _clocks()
        message = json.loads(line)
        try:
            if turn is None:
                module = importlib.import_module(f"speed.workers.{message.pop('worker')}")
                turn, answer = module.prepare(message), {"ready": True}
            else:
                answer = turn(message) | {
                    "idle": [b - e for b, e in zip(began, ended, strict=True)]
                }
        except Exception as error:  # an engine that fails is a line in the table
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
        ended = _clocks()


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _own_output() -> TextIO:
    """Keep the output for answers: what a library prints goes where errors go."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
