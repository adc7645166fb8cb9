"""Where checkpoints are written, how often, and how many of them are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, check_flag, check_positive_integer

__all__ = ["Checkpoint", "as_checkpoint"]

_EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a training writes checkpoints, from which it resumes after a stop.

    A checkpoint holds everything that the rest of the training depends on. A resumed training
    ends with the same bits as one that was never stopped, on the same kind of processor and with
    the same libraries; see ``docs/checkpoints.md``.

    Parameters
    ----------
    folder : str or path-like
        The folder for the checkpoints of this training, and of no other. It is created if its
        parent exists.
    every_epochs : int, optional
        Write one after this number of epochs.
    every_seconds : float, optional
        Write one after this number of seconds, also in the middle of an epoch. By default 60,
        unless ``every_epochs`` is given. One is always written before the first step, at the end,
        and where a signal (Ctrl-C) interrupted the training.
    keep_last : int, default=3
        Number of the newest checkpoints to keep. The older ones are used if the newest is damaged.
    keep_best : bool, default=True
        Whether to keep the checkpoint of the best finished epoch, too. The best epoch is the one
        with the best metric that early stopping watches, or else with the lowest cost.
    resume : bool, default=True
        Whether to resume from the newest checkpoint in the folder, if there is one. With False a
        folder with checkpoints is refused.
    exact : bool, default=False
        Whether to refuse to resume where the bits may differ: with another engine, kind of
        processor, compiler, or release of deltarule, NumPy or scikit-learn than those of the
        training so far. With False such a training resumes with an ``InexactResumeWarning``.

    Raises
    ------
    SpecError
        For an argument outside its range.

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
    exact: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | os.PathLike) or not os.fspath(self.folder):
            raise SpecError(f"folder must be the path of a folder; got {self.folder!r}.")
        if self.every_epochs is not None:
            check_positive_integer("every_epochs", self.every_epochs)
        if self.every_seconds is not None:
            check_between("every_seconds", self.every_seconds, 0.0)
        check_positive_integer("keep_last", self.keep_last)
        check_flag("keep_best", self.keep_best)
        check_flag("resume", self.resume)
        check_flag("exact", self.exact)

    @property
    def seconds(self) -> float:
        """Seconds between two checkpoints; infinite if only epochs decide."""
        if self.every_seconds is not None:
            return float(self.every_seconds)
        return _EVERY_SECONDS if self.every_epochs is None else float("inf")


def as_checkpoint(given: Any) -> Checkpoint:
    """Return the ``Checkpoint`` that an argument ``checkpoint`` means: it, or a folder's path.

    Raises
    ------
    SpecError
        If it is neither of them.
    """
    if isinstance(given, Checkpoint):
        return given
    if isinstance(given, str | os.PathLike):
        return Checkpoint(given)
    raise SpecError(
        f"checkpoint must be a folder's path, Checkpoint(folder, …) or None; got {given!r}."
    )
