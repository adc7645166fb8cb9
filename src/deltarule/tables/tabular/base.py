"""What both estimators of tables share: a fit of whatever holds the table, files, names."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from deltarule.errors import ModelFileError, SpecError, TableError
from deltarule.estimators.sklearn_compat import EpochCallbackMixin
from deltarule.storage import ModelRecord, StrPath, write_model_record
from deltarule.tables.ensemble import Ensemble
from deltarule.tables.kinds import UnseenValues
from deltarule.tables.messages import listing
from deltarule.tables.model import TableModel
from deltarule.tables.preparation import Prepared, prepare
from deltarule.tables.record import Classes, Task
from deltarule.tables.settings import Interface
from deltarule.tables.sources.frames import Frame, read_frame
from deltarule.tables.sources.targets import HeldTarget
from deltarule.tables.table import Source
from deltarule.tables.tabular.classes import label_places, stored_classes, without_marks
from deltarule.tables.tabular.feature_names import feature_names
from deltarule.tables.tabular.fit_table import FitTable
from deltarule.tables.tabular.held_kinds import check_held
from deltarule.tables.tabular.inspection import InspectionMixin
from deltarule.tables.tabular.parameters import TabularParameters
from deltarule.tables.tabular.python_words import in_python, speaking_python
from deltarule.tables.tabular.tuning import TuningMixin
from deltarule.tables.train import fit as fit_prepared
from deltarule.utils.checks import numeric_array

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["BaseTabular"]

_NAMES = {"classification": "TabularClassifier", "regression": "TabularRegressor"}


class BaseTabular(
    EpochCallbackMixin,
    TuningMixin,
    InspectionMixin,
    TabularParameters,
    TransformerMixin,
    BaseEstimator,
    ABC,
):
    """A network for tables behind scikit-learn's interface; not to be used directly."""

    _task: ClassVar[Task]

    # --- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network to a table and its target.

        Parameters
        ----------
        X : DataFrame, Arrow table, mapping of columns, array or Source
            The columns to learn from. pandas, Polars, and whatever gives its columns to Arrow; an
            array of shape (n_samples, n_features) has the columns ``x0``, ``x1`` and so on. From a
            ``deltarule.tables.Source``, such as a folder of files, rows are read as training needs
            them.
        y : array-like of shape (n_samples,), or str
            The target: an array, a list, a Series, or a table of one column; of a Source the name
            of its column.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss and in the dev score. A row of weight 0 is left out.
            Medians, means and categories do not depend on weights otherwise.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TableError
            If the table cannot be learned from (a ``ValueError``). The message says what to change,
            for all columns at once.
        SpecError, DivergenceError, CheckpointError, OutputError
            As ``MLPClassifier.fit``.
        """
        self._validate_params()
        with speaking_python():
            return self._learn(self._fit_table(X, y, sample_weight))

    def _fit_table(self, X: Any, y: Any, sample_weight: Any) -> FitTable:
        """Return a table that is prepared for this estimator."""
        arguments = self._arguments()
        seed = arguments.random_state
        if seed is None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if isinstance(X, Source):
            if not isinstance(y, str) or sample_weight is not None:
                raise TableError(
                    "of a Source, y must be the name of the target's column, and there is no "
                    f"sample_weight; got y={y!r:.60}"
                )
            return FitTable(
                prepare(X, arguments.plan(y, self._task, seed, checkpoint=self.checkpoint))
            )
        frame, target = read_frame(X, rows_needed=True), self._target(y)
        rows, weight = self._rows(frame, target, sample_weight)
        name = _target_name(frame, target)
        table = frame.table((name, target.column), rows)
        as_category = self._task == "classification" and target.has_texts
        plan = arguments.plan(
            name, self._task, seed, checkpoint=self.checkpoint, as_category=as_category
        )
        values = target.values if rows is None else target.values[rows]
        return FitTable(prepare(table, plan), weight, frame, self._classes(values))

    def fit_prepared(self, prepared: Prepared) -> Self:
        """Fit the network to a table that is prepared; ``fit`` and ``deltarule train`` end here.

        Parameters
        ----------
        prepared : Prepared
            From `deltarule.tables.prepare`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._validate_params()
        return self._learn(FitTable(prepared))

    def _learn(
        self,
        held: FitTable,
        *,
        callbacks: tuple[Any, ...] = (),
        is_hopeless: Callable[[int, float], bool] | None = None,
    ) -> Self:
        """Train, and become the fitted estimator; a fit that is refused leaves the earlier one."""
        prepared, frame, classes = held.prepared, held.frame, held.classes
        arguments = self._arguments()
        target = prepared.preprocessing.target
        if target.task != self._task:
            raise SpecError(
                f"{type(self).__name__} is for {self._task}, but the table is prepared for "
                f"{target.task}; use {_NAMES[target.task]}"
            )
        if frame is None:
            columns = [name for name in prepared.reader.source.names if name != target.name]
        else:
            columns = frame.names
        if classes is not None and isinstance(target, Classes):
            classes = without_marks(classes, arguments.missing)
            label_places(classes, target)  # refuses classes that are not those of the target
        interface = Interface(
            arguments=arguments,
            columns=columns,
            named=frame is None or bool(frame.given),
            **stored_classes(classes, target),
        )
        model = fit_prepared(
            prepared,
            arguments.settings(self.checkpoint),
            (*vars(self).get("_skl_callbacks", ()), *callbacks),
            sample_weight=held.weight,
            interface=interface,
            is_hopeless=is_hopeless,
        )
        return self._become(held, model)

    def _become(self, held: FitTable, model: TableModel) -> Self:
        """Become the estimator of a model that was fitted to a table."""
        self.restore(model)
        self.understanding_ = held.prepared.understanding
        self.notes_ = [in_python(note) for note in held.prepared.notes]
        return self

    def _check_fitted(self) -> None:
        if "model_" not in vars(self):
            check_is_fitted(self)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` has run, or a file was loaded."""
        return "model_" in vars(self)

    def _html_repr(self) -> str:
        """Return scikit-learn's drawing, and below it the fitted model."""
        drawn: str = super()._html_repr()
        model: TableModel | None = vars(self).get("model_")
        return drawn if model is None else f"<div>{drawn}{model._repr_html_()}</div>"

    def restore(self, model: TableModel) -> None:
        """Become an estimator with this fitted model."""
        interface = model.interface
        columns = interface.columns or [column.name for column in model.preprocessing.columns]
        for name in ("feature_names_in_", "understanding_", "notes_", "tuning_"):
            self.__dict__.pop(name, None)
        self.model_ = model
        self.n_features_in_ = len(columns)
        if interface.named:
            self.feature_names_in_ = np.array(columns, dtype=object)

    def _rows(
        self, frame: Frame, target: HeldTarget, sample_weight: Any
    ) -> tuple[NDArray[np.intp] | None, NDArray[np.float64] | None]:
        """Return the rows that have a weight, None for all, and their weights."""
        count = len(target.values)
        if frame.rows == 1:
            raise TableError("X has n_samples=1: one row holds nothing to learn; give more rows")
        if count != frame.rows:
            raise TableError(
                f"X and y must have the same number of rows; got {frame.rows} and {count}"
            )
        if sample_weight is None:
            return None, None
        weight = numeric_array("sample_weight", sample_weight)
        if weight.ndim == 0:
            weight = np.full(count, weight)
        if weight.shape != (count,):
            raise TableError(
                f"sample_weight must have shape ({count},), one for each row; got {weight.shape}"
            )
        weight = weight.astype(np.float64)
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise TableError("sample_weight must be finite and not negative in every row")
        if not weight.any():
            raise TableError("sample_weight is zero in every row; give some rows a weight")
        if weight.all():
            return None, weight
        rows = np.flatnonzero(weight)
        return rows, weight[rows]

    @abstractmethod
    def _target(self, y: Any) -> HeldTarget:
        """Return the target, as this estimator reads it."""

    def _classes(self, values: NDArray[Any]) -> NDArray[Any] | None:
        """Return the classes of a target, None of a regression."""
        return None

    # --- predicting ----------------------------------------------------------------------------

    def _frame(self, X: Any) -> Frame:
        """Return the rows to predict, with the columns that fit has seen."""
        frame, interface = read_frame(X), self.model_.interface
        names = interface.columns or [c.name for c in self.model_.preprocessing.columns]
        if frame.given and interface.named:
            return frame
        if len(frame.names) != len(names):
            raise TableError(
                f"X has {len(frame.names)} features, but {type(self).__name__} is expecting "
                f"{len(names)} features as input: {listing(names)}"
            )
        if frame.given:
            warnings.warn(
                f"X has feature names, but {type(self).__name__} was fitted without feature names",
                stacklevel=4,
            )
        elif interface.named:
            warnings.warn(
                f"X does not have valid feature names, but {type(self).__name__} was fitted with "
                "feature names",
                stacklevel=4,
            )
        return frame.renamed(names)

    def _inputs(self, X: Any) -> NDArray[np.float64]:
        """Return the network's inputs."""
        seen = UnseenValues("error" if self.unseen == "error" else "other")
        self._check_fitted()
        model = self.model_
        with speaking_python():
            if isinstance(X, Source):
                return model.inputs(X, seen)
            frame = self._frame(X)
            read = model.encoder.read(frame.cells(), seen)
            rest = [c.name for c in model.preprocessing.columns if c.name not in read]
            if not rest:
                return model.encoder.encode_read(read, seen)
            table = frame.table(only=rest if read else None)
            check_held(model, table.held)
            return model.encoder.encode(table, seen=seen, read=read)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return what the network takes for the rows of X; see ``get_feature_names_out``.

        Parameters
        ----------
        X : table or array, as in ``fit``
            Columns are found by name; others than those of the model are ignored.

        Returns
        -------
        inputs : ndarray of shape (n_samples, n_inputs), or as ``set_output`` says
            Standardised numbers, flags of missing ones, indicators of categories, parts of dates.
        """
        self._check_fitted()
        return self._inputs(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the inputs that ``transform`` returns.

        Parameters
        ----------
        input_features : array-like of str, optional
            Not used but for a check: the columns of ``fit`` by themselves say the names.

        Returns
        -------
        names : ndarray of str
            The column, and what of it: ``age``, ``age_missing``, ``city_Paris``, ``city_other``,
            ``day_elapsed``.
        """
        self._check_fitted()
        known = getattr(self, "feature_names_in_", None)
        if input_features is not None and known is not None and list(input_features) != list(known):
            raise ValueError("input_features is not equal to feature_names_in_")
        return np.array(feature_names(self.model_.preprocessing), dtype=object)

    # --- what was learned ----------------------------------------------------------------------

    def _of_network(self, name: str) -> Any:
        model = vars(self).get("model_")
        if model is None:
            raise AttributeError(f"this {type(self).__name__} has no {name} before it is fitted")
        if len(model.networks) > 1:
            raise AttributeError(
                f"{name} is of one network, and there are {len(model.networks)}: read it in "
                "model_.networks, or fit with ensemble=1"
            )
        return getattr(model.estimator, name)

    @property
    def n_iter_(self) -> int:
        """Epochs of the fit; of an ensemble, the most of any network."""
        model = vars(self).get("model_")
        if model is None:
            return int(self._of_network("n_iter_"))
        return max(int(network.n_iter_) for network in model.networks)

    @property
    def oof_score_(self) -> float:
        """Accuracy or R² of an ensemble's networks on the rows that each of them left out."""
        trained = vars(self)["model_"].trained if self.__sklearn_is_fitted__() else None
        if not isinstance(trained, Ensemble):
            raise AttributeError(
                f"this {type(self).__name__} has no oof_score_: only an ensemble has one; fit with "
                "ensemble=8"
            )
        return float("nan") if trained.out_of_fold is None else trained.out_of_fold

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss with its penalty, epoch by epoch."""
        return list(self._of_network("loss_curve_"))

    @property
    def validation_scores_(self) -> list[float]:
        """Scores on the dev rows, epoch by epoch: R², or the accuracy less 10⁻⁶ of the log loss."""
        return list(self._of_network("validation_scores_"))

    @property
    def validation_loss_curve_(self) -> list[float]:
        """Loss on the dev rows, without the penalty, epoch by epoch."""
        return list(self._of_network("validation_loss_curve_"))

    @property
    def best_validation_score_(self) -> float:
        """The highest score on the dev rows; the parameters are those of its epoch."""
        return float(self._of_network("best_validation_score_"))

    # --- files ---------------------------------------------------------------------------------

    def to_model_record(self) -> ModelRecord:
        """Return what a file of the fitted estimator holds."""
        if not self.__sklearn_is_fitted__():
            raise ModelFileError(f"this {type(self).__name__} is not fitted yet: call fit first.")
        return self.model_.to_model_record()

    def to_record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a pipeline's file holds of the fitted estimator: a record, and arrays."""
        contents = self.to_model_record()
        return {"table": contents.record}, dict(contents.tensors)

    def to_blueprint(self) -> dict[str, Any]:
        """Return the record of the estimator's kind and arguments, without the fit."""
        return {"tabular": self._task, "arguments": self._arguments().model_dump()}

    def save(self, path: StrPath, *, overwrite: bool = False) -> Path:
        """Save the fitted estimator in one file, which ``deltarule predict`` reads, too.

        Parameters
        ----------
        path : str or path-like
            The file to write; ``.safetensors`` is the usual ending.
        overwrite : bool, default=False
            Whether an existing file may be replaced.

        Returns
        -------
        pathlib.Path
            The path written.

        See Also
        --------
        deltarule.load : Read the file back.
        """
        return write_model_record(self.to_model_record(), path, overwrite=overwrite)

    def to_onnx(
        self,
        path: str | PathLike[str] | None = None,
        *,
        overwrite: bool = False,
        dtype: str = "float32",
    ) -> ModelProto:
        """Return the model in ONNX with its preprocessing, and write it to a file if asked.

        Parameters
        ----------
        path : str or path-like, optional
            The file to write.
        overwrite : bool, default=False
            Whether an existing file may be replaced.
        dtype : {"float32", "float64"}, default="float32"
            The type of every number in the graph.

        Returns
        -------
        model : onnx.ModelProto
            Each column is an input (batch, 1) of its name; see ``docs/onnx.md``.
        """
        self._check_fitted()
        unseen: Any = self.unseen
        return self.model_.to_onnx(path, overwrite=overwrite, dtype=dtype, unseen=unseen)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: missing values, texts and categories are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def _target_name(frame: Frame, target: HeldTarget) -> str:
    """Return the name of the target's column, which is none of X."""
    if target.name is not None:
        if target.name in frame.names:
            raise TableError(
                f"X has the column {target.name!r}, which is the name of y, too: a network would "
                f"read the answer. Drop it, X.drop(columns={target.name!r}), or rename y"
            )
        return target.name
    name = "y"
    while name in frame.names:
        name += "_"
    return name
