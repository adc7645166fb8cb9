"""The choice of the interpreter for a tape: the compiled engine or the readable reference.

Each interpreter is imported when it is first requested, because the engine loads compiled kernels.
"""

from __future__ import annotations

from deltarule.program import Interpreter
from deltarule.program.tape import Tape
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import Optimizer
from deltarule.spec.shards import Shards
from deltarule.training.averaging import Averaged, replica_tape
from deltarule.training.partitions import PartitionLayout
from deltarule.training.shards import Sharded
from deltarule.utils.arrays import Array
from deltarule.utils.checks import check_name, check_positive_integer

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
    shards: Shards | None = None,
) -> Interpreter:
    """Return an interpreter of a tape: an ``Engine`` or a ``Reference``, or one of shards.

    Parameters
    ----------
    tape : Tape
        A verified tape.
    optimizer, clipping
        The optimiser and the gradient clipping, if the interpreter is used for training.
    engine : {"auto", "compiled", "reference"}, default="auto"
        "compiled" uses compiled kernels on NumPy arrays; "reference" follows the equations, on
        arrays of any library; "auto" is "compiled" for NumPy arrays, else "reference". With an
        activation or a loss that is a function of the user, "auto" is "reference".
    n_threads : int or None, default=None
        The largest number of threads of the compiled engine. None means the environment variable
        ``DELTARULE_NUM_THREADS`` or, if it is not set, all cores that the process may use.
    like : array, optional
        θ, whose library decides what "auto" means.
    shards : Shards, optional
        Into what batches are cut, if they are. Partitions are cut by whoever has the rows.

    Raises
    ------
    SpecError
        If ``engine`` is not one of these names, or ``n_threads`` is below 1; if "compiled" meets
        a function of the user.
    """
    import numpy as np

    check_name("engine", engine, ENGINES)
    if n_threads is not None:
        check_positive_integer("n_threads", n_threads)
    foreign = like is not None and not isinstance(like, np.ndarray)
    compiled = engine == "compiled" or not (engine == "reference" or foreign or tape.functions)

    def make(tape: Tape, count: int) -> Interpreter:
        if compiled:
            from deltarule.engine import Engine

            return Engine(tape, optimizer, clipping, n_threads=n_threads, n_shards=count)
        from deltarule.reference import Reference

        return Reference(tape, optimizer, clipping)

    if shards is None:
        return make(tape, 0)
    if shards.every is not None and optimizer is not None:
        return Averaged(make(tape, 0), make(replica_tape(tape, shards.count), 0), shards)
    made = make(tape, shards.count)
    groups = None if shards.partitions is None else PartitionLayout.of(shards).row_cuts
    return Sharded(made, shards.count, groups)
