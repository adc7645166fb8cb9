"""The exceptions that deltarule raises, in one tree.

::

    DeltaruleError
    ├── SpecError (ValueError)            a network that cannot be built
    ├── ShapeError (ValueError)           an array has the wrong shape
    ├── TapeError (ValueError)            a tape does not pass verification
    ├── DataError (ValueError)            values that a network cannot learn from
    ├── DivergenceError (ValueError)      the loss became infinite or NaN during training
    ├── TableError (ValueError)           a table cannot be read, or does not fit the model
    ├── DatasetError (ValueError)         a data set is missing or damaged
    ├── ModelFileError (ValueError)       a model file is damaged or not ours
    │   └── UnreadFileError (ModelFileError)   a file that could not be read but may be intact
    ├── BusyError (RuntimeError)          a model that is being trained is trained again from inside
    ├── ClusterError (RuntimeError)       a cluster cannot compute, or no longer
    ├── CheckpointError (ValueError)      training cannot resume from a checkpoint
    ├── OutputError (OSError)             a file cannot be written, or already exists
    └── MissingDependencyError (ImportError)   an optional package is not installed

    FrozenTrainingWarning (UserWarning)   an optimiser's memory overflowed, and steps became zero
    InexactResumeWarning (UserWarning)    a training resumes where its bits may differ
    SlowClusterWarning (UserWarning)      a cluster's steps take longer than one worker would

Each message names the argument, what was given, what is expected and what to do.
The built-in base classes make ``except ValueError`` work as in code written for scikit-learn.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BusyError",
    "CheckpointError",
    "ClusterError",
    "DataError",
    "DatasetError",
    "DeltaruleError",
    "DivergenceError",
    "FrozenTrainingWarning",
    "InexactResumeWarning",
    "MissingDependencyError",
    "ModelFileError",
    "OutputError",
    "ShapeError",
    "SlowClusterWarning",
    "SpecError",
    "TableError",
    "TapeError",
    "UnreadFileError",
]


class DeltaruleError(Exception):
    """Base class of all exceptions that deltarule raises."""


class SpecError(DeltaruleError, ValueError):
    """A network, layer, loss, penalty or optimiser that cannot be built."""


class ShapeError(DeltaruleError, ValueError):
    """An array with the wrong shape."""


class TapeError(DeltaruleError, ValueError):
    """A tape that does not pass verification."""


class DataError(DeltaruleError, ValueError):
    """Inputs, targets or weights whose values a network cannot learn from."""


class BusyError(DeltaruleError, RuntimeError):
    """A model that a callback or a signal handler wants to train while it is being trained."""


class DivergenceError(DeltaruleError, ValueError):
    """Training met a non-finite loss; the best finite state was restored.

    Attributes
    ----------
    history : History or None
        The epochs so far, if ``train`` raised the error.
    """

    history: Any = None


class FrozenTrainingWarning(UserWarning):
    """The squares of gradients overflowed, so the optimiser no longer moves these parameters."""


class InexactResumeWarning(UserWarning):
    """A training resumes with another engine, processor or release, whose bits may differ."""


class SlowClusterWarning(UserWarning):
    """Steps on a cluster take longer than on one of its workers, by what a fit has measured."""


class TableError(DeltaruleError, ValueError):
    """A table that cannot be read, or does not fit the model."""


class DatasetError(DeltaruleError, ValueError):
    """A published data set whose files are missing, damaged, or those of another data set."""


class ModelFileError(DeltaruleError, ValueError):
    """A model file that is damaged, truncated, or was not written by deltarule."""


class UnreadFileError(ModelFileError):
    """A model file that could not be read but may be intact.

    For example without the permission to read it, without enough memory, or if a newer version of
    deltarule wrote it.
    """


class CheckpointError(DeltaruleError, ValueError):
    """Checkpoints that training cannot resume from: damaged, or written by another training."""


class ClusterError(DeltaruleError, RuntimeError):
    """A Dask cluster that cannot train: closed, without workers, or with workers that differ."""


class OutputError(DeltaruleError, OSError):
    """A file that cannot be written, or that exists and was not meant to be overwritten."""


class MissingDependencyError(DeltaruleError, ImportError):
    """An optional package that is needed but not installed."""
