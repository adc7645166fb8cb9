"""A network together with the table it was made for: the fitted core of the estimators."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import ModelFileError, SpecError, TableError
from deltarule.estimators.loading import RecordedEstimator
from deltarule.storage import (
    ModelRecord,
    StrPath,
    read_model_record,
    reading_model,
    write_model_record,
)
from deltarule.tables.ensemble import Ensemble
from deltarule.tables.evaluation import Evaluation, Predictions, Scores
from deltarule.tables.kinds import Unseen, UnseenValues, kind_of
from deltarule.tables.messages import show
from deltarule.tables.preprocessing import Examples, RowEncoder, encode_examples, transform
from deltarule.tables.record import (
    LARGEST,
    Classes,
    PreprocessingRecord,
    Provenance,
    Quantity,
    validated,
)
from deltarule.tables.settings import Interface
from deltarule.tables.summary import Summary, summary_of
from deltarule.tables.table import Source, Table
from deltarule.tables.target_codes import encode_target
from deltarule.tables.understanding import ReadOptions, rewritten
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import check_name

if TYPE_CHECKING:
    from onnx import ModelProto

    from deltarule.onnx import Exportable

__all__ = ["TableModel", "check_test"]

CHECKED_ROWS = 32
"""A gradient check takes at most this many rows, evenly spaced over the table."""


@dataclass(frozen=True)
class TableModel:
    """A fitted network, or an ensemble of them, and the preprocessing of its table.

    Attributes
    ----------
    preprocessing : PreprocessingRecord
        What was learned about the columns.
    trained : MLPClassifier, MLPRegressor, RecordedEstimator or Ensemble
        The network, as it was trained or as a file has it, or several; its inputs are scaled, its
        classes numbered, its target standardised.
    provenance : Provenance
        Seeds and sizes, enough to repeat the training.
    interface : Interface
        How `TabularClassifier` or `TabularRegressor` shows the model.
    out_of_fold : Evaluation or None
        The scores of an ensemble's networks on the rows that each of them left out; only after
        training, not part of a file.

    See Also
    --------
    deltarule.tables.prepare : Prepares a table, from which `deltarule.tables.fit` trains a model.
    """

    preprocessing: PreprocessingRecord
    trained: Any
    provenance: Provenance
    interface: Interface = field(default_factory=Interface)
    out_of_fold: Evaluation | None = field(default=None, compare=False)

    @property
    def estimator(self) -> Any:
        """The network as an MLPClassifier or MLPRegressor, which needs scikit-learn.

        Raises
        ------
        SpecError
            If there are several networks.
        """
        held = self.trained
        if isinstance(held, Ensemble):
            raise SpecError(
                f"the model is an ensemble of {len(held.members)} networks; take one of them, such "
                "as member(1), or train with --ensemble 1 (ensemble=1)"
            )
        return held.estimator if isinstance(held, RecordedEstimator) else held

    @property
    def networks(self) -> list[Any]:
        """The networks, one or several, as `trained` holds them."""
        held = self.trained
        return [*held.members] if isinstance(held, Ensemble) else [held]

    def member(self, number: int) -> TableModel:
        """Return the model with one of its networks alone, counted from 1.

        Raises
        ------
        SpecError
            If there is no such network.
        """
        networks = self.networks
        if not 1 <= number <= len(networks):
            held = "one network" if len(networks) == 1 else f"the networks 1 to {len(networks)}"
            raise SpecError(f"the model has {held}; got {number} (--member)")
        return replace(self, trained=networks[number - 1], out_of_fold=None)

    @cached_property
    def encoder(self) -> RowEncoder:
        """The way from rows of the table to the inputs of the networks."""
        return RowEncoder(self.preprocessing.columns, self.preprocessing.missing)

    @property
    def target(self) -> Classes | Quantity:
        """The record of the column that the model predicts."""
        return self.preprocessing.target

    @property
    def labels(self) -> list[str]:
        """The classes in their order; empty in regression."""
        return self.target.labels if isinstance(self.target, Classes) else []

    def reading(self, options: ReadOptions) -> TableModel:
        """Return the model for tables whose cells are written otherwise than in training.

        Parameters
        ----------
        options : ReadOptions
            `missing` are further marks for missing cells; `decimal`, `thousands` and `day_first`
            count for all numbers and dates. What they do not say is as in training. The other
            options are those of a training, and do not matter.

        Examples
        --------
        >>> from deltarule.datasets import penguins_path
        >>> from deltarule.tables import Plan, ReadOptions, Settings, fit, prepare, read_table
        >>> prepared = prepare(read_table(penguins_path()), Plan("species"))
        >>> model = fit(prepared, Settings(hidden=(8,), patience=5))
        >>> model.reading(ReadOptions(decimal=",")).preprocessing.columns[1].notation.decimal
        ','
        """
        return replace(self, preprocessing=rewritten(self.preprocessing, options))

    def predict(self, source: Source, unseen: Unseen = "other") -> Predictions:
        """Return predictions for every row of a table; they are all in memory.

        Parameters
        ----------
        source : Source
            Columns are found by name; other columns than the model's are ignored.
        unseen : {"other", "error"}, default="other"
            What to do with a category that was not in training.

        Raises
        ------
        TableError
            If a column is missing, or a cell is not what its column held in training.

        See Also
        --------
        deltarule.tables.PredictionsCsv : Predictions of any number of rows.
        """
        seen = UnseenValues(unseen)
        return replace(self.respond(self.inputs(source, seen)), notes=seen.sentences())

    def inputs(self, source: Source, seen: UnseenValues | None = None) -> NDArray[np.float64]:
        """Return the network's inputs (n, n_features) for every row of a table."""
        X = []
        for table, _ in source.scan():  # an error that is kept would hold a comprehension's reader
            X.append(self.encoder.encode(table, None, seen))
        return np.concatenate(X)

    def evaluate(self, source: Source, unseen: Unseen = "other") -> Evaluation:
        """Return the scores of predictions for the rows that have a target, piece by piece.

        Raises
        ------
        TableError
            If a column is missing, a cell is not what its column held in training, or no row has a
            target.
        """
        seen, record = UnseenValues(unseen), self.preprocessing
        source.check_column(self.target.name, "the model's target")

        def pieces() -> Iterator[Examples]:
            for table, _ in source.scan():
                yield encode_examples(record, table, None, seen)

        scores = self.score(pieces())
        _check_targets(source, self.target.name, scores.rows)
        dropped = source.rows - scores.rows
        notes = [f"{dropped} rows without a target were left out"] if dropped else []
        return scores.evaluation([*source.notes, *notes, *seen.sentences()])

    def score(self, pieces: Iterable[Examples]) -> Scores:
        """Return the sums of scores over examples that come piece by piece."""
        scores = Scores(self.target)
        for X, y in pieces:
            scores.add(self.respond(X), y)
        return scores

    def respond(self, X: NDArray[np.float64]) -> Predictions:
        """Return predictions from the network's inputs (n, n_features); overflow is an error."""
        if not (np.abs(X) < LARGEST).all():
            raise TableError(
                "some cells are too large for the network, in standard deviations of their column; "
                "look for wrong units or mistyped numbers"
            )
        if isinstance(self.target, Quantity):
            # A network refuses to predict no rows, which a piece without targets has.
            z = self.trained.predict(X) if len(X) else np.empty(0)
            said = Predictions(self.target.from_network(z), [], None)
        else:
            P = self.trained.predict_proba(X) if len(X) else np.empty((0, len(self.labels)))
            P = np.asarray(P, dtype=np.float64)
            said = Predictions(np.array(self.labels)[P.argmax(axis=1)], self.labels, P)
        numbers = said.values if said.probabilities is None else said.probabilities
        if not np.isfinite(numbers).all():
            raise TableError(
                "some predictions overflowed: the inputs are far outside of what was trained on; "
                "look for wrong units or mistyped numbers"
            )
        return said

    def check(self, table: Table) -> Any:
        """Return a check of the gradient on at most 32 rows of a table, evenly spaced.

        Of an ensemble it is that of one network: ``member(2).check(table)``.
        Its ``verdict`` is "right", "wrong" or "cannot tell"; see `MLPClassifier.check_gradients`.
        """
        record = self.preprocessing
        y, rows = encode_target(self.target, table, record.missing)
        _check_targets(table, self.target.name, len(rows))
        chosen = np.unique(np.linspace(0, len(rows) - 1, CHECKED_ROWS).astype(np.intp))
        X = transform(record.columns, table, rows[chosen], missing=record.missing)
        with one_blas_thread():
            return self.estimator.check_gradients(X, self.target.to_network(y[chosen]))

    def explained(self, table: Table, rows: list[int] | None = None) -> tuple[Any, ...]:
        """Return what `deltarule.explain` shows of rows of a table; call that instead.

        Of an ensemble, `member` has one of its networks.

        Parameters
        ----------
        table : Table
            With the model's columns; without its target there is only the forward pass.
        rows : list of int, optional
            Which rows, counted from 0; by default the first.

        Raises
        ------
        TableError
            If there is no such row, or a cell is not what its column held in training.
        """
        from deltarule.tables.tabular.feature_names import feature_names

        record, chosen = self.preprocessing, np.array([0] if rows is None else rows, dtype=np.intp)
        if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= table.rows:
            given = ", ".join(str(int(row) + 1) for row in chosen)
            raise TableError(f"{table.path} has rows 1 to {table.rows}; got {given}")
        X, y = transform(record.columns, table, chosen, missing=record.missing), None
        if self.target.name in table.columns:
            targets, known = encode_target(self.target, table, record.missing)
            if np.isin(chosen, known).all():
                y = self.target.to_network(targets[np.searchsorted(known, chosen)])
        _, *parts, notes = self.estimator.explained(X, y)
        said = [f"Inputs in their order, scaled: {', '.join(feature_names(record))}."]
        if isinstance(self.target, Classes):
            said.append(f"Outputs: {', '.join(map(show, self.labels))}.")
        else:
            said.append(
                f"The output is {self.target.learned}, standardised: times "
                f"{self.target.scale:.6g} plus {self.target.mean:.6g}."
            )
        return "The network", *parts, (*said, *notes)

    def _repr_html_(self) -> str:
        """Return target, columns and the training, for a notebook."""
        from deltarule.tables.report import model_report

        return model_report(self)

    def training_summary(self) -> Summary:
        """Return the shape of the only network and how its training ended."""
        (summary,) = self.training_summaries()
        return summary

    def training_summaries(self) -> list[Summary]:
        """Return the same for each network."""
        by_loss = isinstance(self.trained, Ensemble)
        return [summary_of(network, by_loss=by_loss) for network in self.networks]

    def save(self, path: StrPath, *, overwrite: bool = False) -> Path:
        """Save the model with its preprocessing in one file; see `deltarule.save`."""
        return write_model_record(self.to_model_record(), path, overwrite=overwrite)

    def to_onnx(
        self,
        path: StrPath | None = None,
        *,
        overwrite: bool = False,
        dtype: str = "float32",
        unseen: Unseen = "other",
    ) -> ModelProto:
        """Return the model in ONNX with its preprocessing, and write it to a file if asked.

        Each column is an input (batch, 1) of its name: numbers and booleans with NaN where
        missing, categories as texts, dates as float64 seconds since 1970 as the clock shows them
        (times of day: since midnight). With ``unseen="error"`` a category that was not in training
        is an error of the runtime. The rest, errors too, is as of the estimators' ``to_onnx``.
        """
        from deltarule.onnx import columns_model, export

        check_name("unseen", unseen, ("other", "error"))
        record = self.preprocessing
        columns = [kind_of(c).onnx_input(c, unseen, record.missing) for c in record.columns]
        inner = self._to_exportable()
        return export(lambda: columns_model(inner, columns, dtype), path, overwrite=overwrite)

    def _to_exportable(self) -> Exportable:
        """Return the network with the labels or the unit of the target in its outputs."""
        from deltarule.onnx import Labels, Numbers, Scaling, average

        target = self.target
        networks = [self.member(i + 1).estimator for i in range(len(self.networks))]
        inner = networks[0].to_exportable()
        if isinstance(self.trained, Ensemble):
            every = [inner, *(network.to_exportable() for network in networks[1:])]
            inner = average(every, self.trained.temperature)
        properties = inner.properties | {"target": target.name}
        if isinstance(target, Classes):
            assert isinstance(inner.head, Labels)
            labels = inner.head._replace(values=_onnx_labels(target))
            properties |= {"classes": json.dumps(target.labels)}
            return replace(inner, head=labels, properties=properties)
        assert isinstance(inner.head, Numbers)
        unit = Scaling(np.array([target.mean]), np.array([target.scale]))
        bounds = (target.least, target.most)
        numbers = inner.head._replace(
            scalings=(*inner.head.scalings, unit),
            sign=target.sign,
            transform=target.transform,
            offset=target.offset,
            bounds=None if bounds[0] is None or bounds[1] is None else (bounds[0], bounds[1]),
        )
        return replace(inner, head=numbers, properties=properties)

    @classmethod
    def load(cls, path: StrPath) -> TableModel:
        """Return a model that `save` wrote; a missing, damaged or other file is an error."""
        contents = read_model_record(path)
        if contents.kind != "table":
            raise ModelFileError(f"{path} holds no model of a table; load it with deltarule.load")
        with reading_model(path):
            return cls.from_model_record(contents)

    def to_model_record(self) -> ModelRecord:
        """Return what a file of this model holds."""
        several = isinstance(self.trained, Ensemble)
        held = self.trained if several else self.estimator
        record, tensors = held.to_record()
        whole = {
            "provenance": self.provenance.model_dump(),
            "ensemble" if several else "network": record,
            "preprocessing": self.preprocessing.model_dump(),
            "interface": self.interface.model_dump(),
        }
        return ModelRecord("table", whole, tensors)

    @classmethod
    def from_model_record(cls, contents: ModelRecord) -> TableModel:
        """Build a model from what a file of it holds."""
        record = contents.record
        kind = "ensemble" if "ensemble" in record else "network"
        if set(record) != {"provenance", kind, "preprocessing", "interface"}:
            raise ModelFileError("its record lacks entries, or has unknown ones")
        preprocessing = validated(PreprocessingRecord, record["preprocessing"])
        provenance = validated(Provenance, record["provenance"])
        read = Ensemble.from_record if kind == "ensemble" else RecordedEstimator
        trained = read(record[kind], contents.tensors)
        interface = validated(Interface, record["interface"])
        model = cls(preprocessing, trained, provenance, interface)
        model._check_widths()
        return model

    def _check_widths(self) -> None:
        """Refuse a network that does not fit its preprocessing."""
        expected = sum(column.width for column in self.preprocessing.columns)
        for network in self.networks:
            if network.network_.n_inputs != expected:
                raise ModelFileError("its network and its preprocessing differ in their features")
            classes = getattr(network, "classes_", None)
            if isinstance(self.target, Classes):
                wanted = np.arange(len(self.target.labels))
                fits = classes is not None and np.array_equal(classes, wanted)
            else:
                fits = classes is None and network.n_outputs_ == 1
            if not fits:
                raise ModelFileError("its network and its preprocessing differ in their target")


def _onnx_labels(target: Classes) -> NDArray[Any]:
    """Return the classes: texts, or numbers if the target's cells were numbers."""
    if not target.numeric:
        return np.array(target.labels, dtype=object)
    try:
        numbers = [float(label) for label in target.labels]
    except ValueError as error:
        raise SpecError(f"the classes of {target.name!r} must be numbers: {error}") from None
    whole = all(n.is_integer() and abs(n) < 2**53 for n in numbers)
    return np.array(numbers, dtype=np.int64 if whole else np.float64)


def check_test(record: PreprocessingRecord, test: Source) -> None:
    """Refuse a table that a model with this record could not be scored on, before it is trained.

    Every cell of a table in memory is checked; of a table in its files the first piece, which shows
    a column that is missing or of another kind. The errors are those of `TableModel.evaluate`.

    Parameters
    ----------
    record : PreprocessingRecord
        What the model learns of the training table: its columns, its target.
    test : Source
        The table that it is to be scored on.
    """
    piece = next(test.scan()).table
    examples = encode_examples(record, piece)
    if test.in_memory or piece.rows == 0:
        _check_targets(test, record.target.name, len(examples.y))


def _check_targets(source: Source, name: str, count: int) -> None:
    if count == 0:
        if source.rows == 0:
            raise TableError(f"{source.path} has a header but no rows; add data below the header")
        raise TableError(f"{source.path}: the target {show(name)} is empty in every row")
