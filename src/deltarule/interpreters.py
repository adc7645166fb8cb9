"""Which interpreter runs a tape: the compiled engine or the readable reference.

The one place where a name becomes an interpreter. Neither is imported before it is asked for:
the engine brings compiled kernels with it.
"""

from __future__ import annotations

from deltarule.arrays import Array
from deltarule.checks import check_positive_integer
from deltarule.clipping import Clipping
from deltarule.errors import SpecError
from deltarule.optimizers import Optimizer
from deltarule.program import Interpreter
from deltarule.tape import Tape

__all__ = ["ENGINES", "interpreter_of"]

ENGINES = ("auto", "compiled", "reference")


def interpreter_of(
    tape: Tape,
    optimizer: Optimizer | None = None,
    clipping: Clipping | None = None,
    *,
    engine: str = "auto",
    n_threads: int | None = None,
    like: Array | None = None,
) -> Interpreter:
    """Return an interpreter of the tape.

    Parameters
    ----------
    tape : Tape
        A verified tape.
    optimizer, clipping
        As the interpreters take them.
    engine : {"auto", "compiled", "reference"}, default="auto"
        "compiled" runs NumPy arrays through compiled kernels; "reference" is the mathematics as
        written, on arrays of any library; "auto" is "compiled" for NumPy arrays.
    n_threads : int or None, default=None
        The most threads that the compiled engine may use; None means the environment variable
        ``DELTARULE_NUM_THREADS``, or else every core that the process may use.
    like : array, optional
        θ, whose library "auto" looks at.

    Raises
    ------
    SpecError
        For another name, or ``n_threads`` below 1.
    """
    import numpy as np

    if engine not in ENGINES:
        raise SpecError(f"engine must be one of {', '.join(map(repr, ENGINES))}; got {engine!r}.")
    if n_threads is not None:
        check_positive_integer("n_threads", n_threads)
    if engine == "reference" or (
        engine == "auto" and like is not None and not isinstance(like, np.ndarray)
    ):
        from deltarule.reference import Reference

        return Reference(tape, optimizer, clipping)
    from deltarule.engine import Engine

    return Engine(tape, optimizer, clipping, n_threads=n_threads)
