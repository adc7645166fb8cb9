"""Where checkpoints are kept, how often, and how many."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from deltarule.checks import check_between, check_positive_integer
from deltarule.errors import SpecError

__all__ = ["Checkpoint", "as_checkpoint"]

_EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """Keep checkpoints of a training, and go on from them after it was cut off.

    A checkpoint holds all that the rest of the training depends on, so that it ends with the same
    bits as one that nothing happened to; see ``docs/checkpoints.md``.

    Parameters
    ----------
    folder : str or path-like
        Where the checkpoints of this one training are kept. It is made if its parent exists.
    every_epochs : int, optional
        Keep one after so many epochs.
    every_seconds : float, optional
        Keep one after so many seconds, also in the middle of an epoch. By default 60, unless
        ``every_epochs`` is given. One is always kept before the first step, at the end, and, if
        signals reach the training (Ctrl-C), where it was interrupted.
    keep_last : int, default=3
        How many of the newest to keep; older ones are what is left if the newest is damaged.
    keep_best : bool, default=True
        Keep beside them, of those at the end of an epoch, the one with the best figure (that
        which early stopping watches, else the cost).
    resume : bool, default=True
        Whether to go on from the newest checkpoint in the folder, if there is one. With False a
        folder that has any is refused.

    Raises
    ------
    SpecError
        For a number that makes no sense.

    Examples
    --------
    >>> from deltarule import Checkpoint
    >>> Checkpoint("runs/first", every_epochs=10).keep_last
    3
    """

    folder: str | os.PathLike[str]
    every_epochs: int | None = None
    every_seconds: float | None = None
    keep_last: int = 3
    keep_best: bool = True
    resume: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | os.PathLike) or not os.fspath(self.folder):
            raise SpecError(f"folder must be the path of a folder; got {self.folder!r}.")
        if self.every_epochs is not None:
            check_positive_integer("every_epochs", self.every_epochs)
        if self.every_seconds is not None:
            check_between("every_seconds", self.every_seconds, 0.0)
        check_positive_integer("keep_last", self.keep_last)
        for name in ("keep_best", "resume"):
            if not isinstance(getattr(self, name), bool):
                raise SpecError(f"{name} must be True or False; got {getattr(self, name)!r}.")

    @property
    def seconds(self) -> float:
        """Seconds between two checkpoints; infinite if epochs alone decide."""
        if self.every_seconds is not None:
            return float(self.every_seconds)
        return _EVERY_SECONDS if self.every_epochs is None else float("inf")


def as_checkpoint(given: Any) -> Checkpoint:
    """Return what ``checkpoint=`` means: a folder's path has the defaults of the rest.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if isinstance(given, Checkpoint):
        return given
    if isinstance(given, str | os.PathLike):
        return Checkpoint(given)
    raise SpecError(
        f"checkpoint must be a folder's path, Checkpoint(folder, …) or None; got {given!r}."
    )
