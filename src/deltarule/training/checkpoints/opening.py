"""Opening the checkpoints of a call of ``train``, with the identity of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deltarule.program import Interpreter, State
from deltarule.training.checkpoints.config import as_checkpoint
from deltarule.training.config import TrainingConfig
from deltarule.training.state import Checkpointer

__all__ = ["checkpointer_of"]


@contextmanager
def checkpointer_of(
    given: Any,
    arguments: dict[str, Any],
    config: TrainingConfig,
    state: State,
    blocks: Mapping[str, Any],
    rng: Any,
    kinds: tuple[type[Any], ...],
    interpreter: Interpreter,
) -> Iterator[Checkpointer]:
    """Yield the checkpointer: one that the caller has opened, or one for a folder.

    Parameters
    ----------
    given : str, path-like, Checkpoint or Checkpointer
        The argument ``checkpoint``.
    arguments : dict
        Every argument that the training depends on, by name.
    config : TrainingConfig
        How to train.
    state : State
        The state that the training begins with.
    blocks : mapping
        The data, by the prefix of their names in messages.
    rng : Generator or RandomState
        The generator of the orders of rows.
    kinds : tuple of types
        NamedTuples that the history may hold.
    interpreter : Interpreter
        What takes the steps.
    """
    if isinstance(given, Checkpointer):
        given.compare_code(interpreter.code_identity())
        yield given
        return
    # Imported here: they need pydantic, which only trainings with checkpoints load.
    from deltarule.training.checkpoints.fingerprint import end_argument, fingerprint
    from deltarule.training.checkpoints.writer import open_checkpoints

    own = {"planned_epochs": config.planned_epochs, "masks": [state.seed, state.step]}
    own |= end_argument("epochs", config.epochs, config.schedule)
    prints = {
        f"{begin}{name}": fingerprint(part)
        for begin, rows in blocks.items()
        for name, part in (("X", rows.x), ("y", rows.y), ("sample_weight", rows.weight))
    }
    prints["state"] = fingerprint(state.theta)
    maximize = config.watches_score
    with open_checkpoints(
        as_checkpoint(given), arguments | own, kinds, maximize=maximize
    ) as writer:
        writer.stream("shuffling", rng)
        writer.compare(prints, ("epochs", config.epochs))
        writer.compare_code(interpreter.code_identity())
        yield writer
