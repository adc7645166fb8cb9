"""A network together with the table it was made for: the model of the command line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]

from deltarule import estimators
from deltarule.errors import ModelFileError, TableError
from deltarule.files import Contents, StrPath, blaming, read_contents, write_contents
from deltarule.onnx import columns_model, export
from deltarule.tables.cells import Kind
from deltarule.tables.evaluation import Evaluation, evaluate_classes, evaluate_quantity
from deltarule.tables.exporting import columns_of, exportable_of
from deltarule.tables.preprocessing import Features, Surprises, Unseen, parse_features, transform
from deltarule.tables.record import (
    Classes,
    PreprocessingRecord,
    Quantity,
    TrainingFacts,
    validated,
)
from deltarule.tables.table import Table
from deltarule.tables.targets import encode

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Predictions", "TableModel", "inputs_of", "one_thread"]

CHECKED_ROWS = 32
"""A gradient check takes at most this many rows, evenly spaced over the table."""


@dataclass(frozen=True)
class Predictions:
    """What a model says about rows.

    Attributes
    ----------
    values : (n,) array
        Labels of classes, or numbers in the unit of the target.
    labels : list of str
        The classes; empty in regression.
    probabilities : (n, k) array or None
        The probability of each class, in the order of `labels`.
    notes : list of str
        What was surprising about the rows.
    """

    values: NDArray[Any]
    labels: list[str]
    probabilities: NDArray[np.float64] | None
    notes: list[str]


class Summary(NamedTuple):
    """The shape of a network and how its training ended; epochs count from 1, and 0 is none."""

    widths: list[int]
    parameters: int
    epochs: int
    best_epoch: int


@dataclass(frozen=True)
class TableModel:
    """A fitted network and the preprocessing of its table.

    Attributes
    ----------
    preprocessing : PreprocessingRecord
        What was learned about the columns.
    estimator : MLPClassifier or MLPRegressor
        The network; its inputs are standardised, its classes numbered, its target standardised.
    facts : TrainingFacts
        Seeds and sizes, enough to repeat the training.

    See Also
    --------
    deltarule.tables.training.prepare : The way to make one.
    """

    preprocessing: PreprocessingRecord
    estimator: Any
    facts: TrainingFacts

    @property
    def target(self) -> Classes | Quantity:
        """The record of the column that the model predicts."""
        return self.preprocessing.target

    def predict(self, table: Table, unseen: Unseen = "other") -> Predictions:
        """Predict every row of a table.

        Parameters
        ----------
        table : Table
            Columns are found by name; those that the model does not know are ignored.
        unseen : {"other", "error"}, default="other"
            What to do with a category that was not in training.

        Returns
        -------
        Predictions

        Raises
        ------
        TableError
            If a column is missing, or a cell is not what its column held in training.
        """
        X, surprises = self.inputs(table, np.arange(table.rows), unseen)
        return self.respond(X, surprises.sentences())

    def evaluate(self, table: Table, unseen: Unseen = "other") -> Evaluation:
        """Predict the rows of a table that have a target, and compare.

        Raises
        ------
        TableError
            If a column is missing, or a cell is not what its column held in training.
        """
        y, rows = encode(self.target, table)
        X, surprises = self.inputs(table, rows, unseen)
        notes = surprises.sentences()
        if len(rows) < table.rows:
            notes.insert(0, f"{table.rows - len(rows)} rows without a target were left out")
        return self.compare(X, y, notes)

    def compare(
        self, X: NDArray[np.float64], y: NDArray[Any], notes: list[str] | None = None
    ) -> Evaluation:
        """Compare predictions for transformed inputs with class numbers or quantities."""
        predictions = self.respond(X)
        if predictions.probabilities is not None:
            return evaluate_classes(y, predictions.probabilities, predictions.labels, notes or [])
        return evaluate_quantity(y, predictions.values, notes or [])

    def inputs(
        self, table: Table, rows: NDArray[np.intp], unseen: Unseen = "other"
    ) -> tuple[NDArray[np.float64], Surprises]:
        """Return the network's inputs for some rows, and what was surprising about them.

        Raises
        ------
        TableError
            If a column is missing, or a cell is not what its column held in training.
        """
        return inputs_of(self.preprocessing, table, rows, unseen)

    def respond(self, X: NDArray[np.float64], notes: list[str] | None = None) -> Predictions:
        """Predict from the network's inputs.

        Raises
        ------
        TableError
            If the inputs are so far outside of training that the network overflows.
        """
        told = notes or []
        if isinstance(self.target, Quantity):
            values = self.target.from_network(self.estimator.predict(X))
            _check_finite(values)
            return Predictions(values, [], None, told)
        P = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        _check_finite(P)
        labels = self.target.labels
        return Predictions(np.array(labels)[P.argmax(axis=1)], labels, P, told)

    def check(self, table: Table) -> Any:
        """Check the network's gradient on rows of a table (at most 32, evenly spaced).

        Returns
        -------
        GradientReport
            Its ``verdict`` is "right", "wrong" or "cannot tell"; see ``check_gradients`` of the
            estimators.
        """
        y, rows = encode(self.target, table)
        chosen = np.unique(np.linspace(0, len(rows) - 1, CHECKED_ROWS).astype(np.intp))
        X, _ = self.inputs(table, rows[chosen], "other")
        with one_thread():
            return self.estimator.check_gradients(X, self.target.to_network(y[chosen]))

    def training_summary(self) -> Summary:
        """Return the shape of the network and how its training ended."""
        weights, biases = self.estimator.coefs_, self.estimator.intercepts_
        scores = self.estimator.validation_scores_ or []  # of another's file: it may have none
        best = max(
            range(len(scores)), key=lambda i: (scores[i] == scores[i], scores[i]), default=-1
        )
        return Summary(
            widths=[len(weights[0]), *(len(bias) for bias in biases)],
            parameters=sum(array.size for array in [*weights, *biases]),
            epochs=len(scores),
            best_epoch=best + 1,
        )

    def save(self, path: StrPath, *, overwrite: bool = False) -> Path:
        """Save the model with its preprocessing in one file; see `deltarule.save`."""
        return write_contents(self.to_contents(), path, overwrite=overwrite)

    def to_onnx(
        self,
        path: StrPath | None = None,
        *,
        overwrite: bool = False,
        dtype: str = "float32",
        unseen: Unseen = "other",
    ) -> ModelProto:
        """Return the model in ONNX with its preprocessing, and write it to a file if asked.

        Each column is an input (batch, 1) of its name: numbers and truth values with NaN where
        missing, categories as texts. The outputs are those of the estimators' ``to_onnx``, in the
        labels or the unit of the table.

        Parameters
        ----------
        path : str or path-like, optional
            The file to write.
        overwrite : bool, default=False
            Whether an existing file may be replaced.
        dtype : {"float32", "float64"}, default="float32"
            The type of every number.
        unseen : {"other", "error"}, default="other"
            What the graph does with a category that was not in training: the same as ``predict``,
            or an error of the runtime.

        Raises
        ------
        MissingDependencyError, OutputError, SpecError
            As the estimators' ``to_onnx``.
        """
        columns = columns_of(self.preprocessing, unseen)
        inner = exportable_of(self.preprocessing, self.estimator)
        return export(lambda: columns_model(inner, columns, dtype), path, overwrite=overwrite)

    @classmethod
    def load(cls, path: StrPath) -> TableModel:
        """Load a model saved by `save`.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, or holds no model of a table.
        """
        contents = read_contents(path)
        if contents.kind != "table":
            raise ModelFileError(f"{path} holds no model of a table; load it with deltarule.load")
        with blaming(path):
            return cls.from_contents(contents)

    def to_contents(self) -> Contents:
        """Return what a file of this model holds."""
        record, tensors = self.estimator.to_record()
        whole = {
            "facts": self.facts.model_dump(),
            "network": record,
            "preprocessing": self.preprocessing.model_dump(),
        }
        return Contents("table", whole, tensors)

    @classmethod
    def from_contents(cls, contents: Contents) -> TableModel:
        """Build a model from what a file of it holds."""
        record = contents.record
        if set(record) != {"facts", "network", "preprocessing"}:
            raise ModelFileError("its record lacks entries, or has unknown ones")
        preprocessing = validated(PreprocessingRecord, record["preprocessing"])
        facts = validated(TrainingFacts, record["facts"])
        estimator = estimators.from_record(record["network"], contents.tensors)
        model = cls(preprocessing, estimator, facts)
        model._check_widths()
        return model

    def _check_widths(self) -> None:
        """Refuse a network that does not fit its preprocessing."""
        expected = sum(column.width for column in self.preprocessing.columns)
        if self.estimator.n_features_in_ != expected:
            raise ModelFileError("its network and its preprocessing differ in their features")
        classes = getattr(self.estimator, "classes_", None)
        if isinstance(self.target, Classes):
            wanted = np.arange(len(self.target.labels))
            fits = classes is not None and np.array_equal(classes, wanted)
        else:
            fits = classes is None and self.estimator.n_outputs_ == 1
        if not fits:
            raise ModelFileError("its network and its preprocessing differ in their target")


def inputs_of(
    record: PreprocessingRecord,
    table: Table,
    rows: NDArray[np.intp],
    unseen: Unseen = "other",
) -> tuple[NDArray[np.float64], Surprises]:
    """Return what a network is fed for some rows, as `TableModel.inputs` does."""
    kinds: dict[str, Kind] = {column.name: column.kind for column in record.columns}
    features: Features = parse_features(table, kinds)
    return transform(record.columns, features, rows, unseen)


def one_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread: faster for small networks, and the same bits on any machine."""
    return ThreadpoolController().limit(limits=1, user_api="blas")


def _check_finite(values: NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise TableError(
            "some predictions overflowed: the inputs are far outside of what was trained on; "
            "look for wrong units or mistyped numbers"
        )
