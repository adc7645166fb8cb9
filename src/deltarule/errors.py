"""Every error that deltarule raises on purpose, in one tree.

::

    DeltaruleError
    ├── SpecError (ValueError)            a network that cannot be built
    ├── ShapeError (ValueError)           an array of the wrong shape
    ├── TapeError (ValueError)            a tape that does not pass verification
    ├── DataError (ValueError)            values that a network cannot learn from
    ├── DivergenceError (ValueError)      training met a non-finite loss
    ├── TableError (ValueError)           a table that cannot be read as it stands
    ├── DatasetError (ValueError)         a data set that is not there, or is damaged
    ├── ModelFileError (ValueError)       a model file that is damaged or foreign
    │   └── UnreadFileError (ModelFileError)   one that could not be read, and may be sound
    ├── CheckpointError (ValueError)      checkpoints that a training cannot go on from
    ├── OutputError (OSError)             a file that cannot or must not be written
    └── MissingDependencyError (ImportError)   an optional package is not installed

Each message says the name of the argument, what came, what was expected and what to do.
The built-in bases keep ``except ValueError`` working in code written for scikit-learn.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CheckpointError",
    "DataError",
    "DatasetError",
    "DeltaruleError",
    "DivergenceError",
    "MissingDependencyError",
    "ModelFileError",
    "OutputError",
    "ShapeError",
    "SpecError",
    "TableError",
    "TapeError",
    "UnreadFileError",
]


class DeltaruleError(Exception):
    """Base of every error that deltarule raises on purpose."""


class SpecError(DeltaruleError, ValueError):
    """A network, layer, loss, penalty or optimiser that cannot be built."""


class ShapeError(DeltaruleError, ValueError):
    """An array whose shape does not fit."""


class TapeError(DeltaruleError, ValueError):
    """A tape that does not pass verification."""


class DataError(DeltaruleError, ValueError):
    """Inputs, targets or weights whose values a network cannot learn from."""


class DivergenceError(DeltaruleError, ValueError):
    """Training met a non-finite loss; the best finite state was restored.

    Attributes
    ----------
    history : History or None
        The epochs so far, if ``train`` raised the error.
    """

    history: Any = None


class TableError(DeltaruleError, ValueError):
    """A table on disk that cannot be read, or does not fit the model."""


class DatasetError(DeltaruleError, ValueError):
    """A published data set whose files are absent, damaged or of another."""


class ModelFileError(DeltaruleError, ValueError):
    """A model file that is damaged, truncated or was not written by deltarule."""


class UnreadFileError(ModelFileError):
    """A model file that could not be read here, and may be sound: no right, no memory, too new."""


class CheckpointError(DeltaruleError, ValueError):
    """Checkpoints that a training cannot go on from: damaged, or of another training."""


class OutputError(DeltaruleError, OSError):
    """An output that cannot be written, or would overwrite a file unasked."""


class MissingDependencyError(DeltaruleError, ImportError):
    """An optional package is needed and not installed."""
