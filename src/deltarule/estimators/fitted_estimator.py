"""Methods of a fitted estimator: network outputs, predict, inspect, save, export."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from deltarule.errors import ModelFileError
from deltarule.estimators.fitted_attributes import FittedAttributes
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.interpreter_cache import InterpreterCache
from deltarule.estimators.skl2onnx_hooks import Skl2onnxHooks
from deltarule.estimators.solver_options import read_clipping, read_solver
from deltarule.program import Interpreter
from deltarule.utils.checks import check_flag, check_undated

if TYPE_CHECKING:
    from onnx import ModelProto

    from deltarule.network.trace import Trace
    from deltarule.onnx import Exportable
    from deltarule.reference.gradient_check import GradientCheck

__all__ = ["SPARSE_FORMATS", "FittedEstimator"]

SPARSE_FORMATS = ["csr", "csc"]
"""Formats of a sparse X that are taken as they are."""

_Choice: TypeAlias = Callable[[FittedModel], bool]


def _never(model: FittedModel) -> bool:
    return False


class FittedEstimator(FittedAttributes, Skl2onnxHooks, BaseEstimator):
    """The methods of an estimator that need nothing but its fitted model."""

    _kind: ClassVar[str]  # in files: "classifier" or "regressor"
    _interpreters: InterpreterCache
    engine: str
    n_threads: int | None

    def _html_repr(self) -> str:
        """Return scikit-learn's drawing, and below it the report of the fit, for a notebook."""
        drawn: str = super()._html_repr()
        model: FittedModel | None = vars(self).get("_model")
        if model is None or model.history.n_iter == 0:
            return drawn
        from deltarule.estimators.fit_report import fit_report

        return f"<div>{drawn}{fit_report(type(self).__name__, model)}</div>"

    def _checked_rows(self, X: Any, dtype: Any = np.float64) -> Any:
        """Return rows that scikit-learn has compared with those of the fit."""
        check_undated("X", X)
        return validate_data(self, X, accept_sparse=SPARSE_FORMATS, dtype=dtype, reset=False)

    def _outputs(self, X: Any, *, logits: _Choice = _never) -> tuple[FittedModel, Any]:
        """Return the model, and its network's outputs (n, k), or its logits if ``logits(model)``.

        Another thread may replace ``self._model`` by a new fit at any time.
        """
        model: FittedModel | None = vars(self).get("_model")
        if model is not None and model.takes_as_it_is(X):
            outputs = model.forward(
                self._interpreter(model), X, logits=logits(model), if_finite=True
            )
            if outputs is not None:
                return model, outputs
        check_is_fitted(self)
        check_undated("X", X)
        X = validate_data(self, X, accept_sparse=SPARSE_FORMATS, reset=False)
        model = self._model
        return model, model.forward(self._interpreter(model), X, logits=logits(model))

    def _interpreter(self, model: FittedModel) -> Interpreter:
        return self._interpreters.interpreter(
            model.network.tape, engine=self.engine, n_threads=self.n_threads
        )

    def predict(self, X: Any) -> Any:
        """Predict for the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, label indicators or numbers.
        """
        model, outputs = self._outputs(X)
        return model.decode(outputs)

    def check_gradients(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        epsilon: float = 1e-6,
        tolerance: float = 1e-7,
        max_parameters: int = 2000,
        seed: int = 0,
    ) -> GradientCheck:
        """Check the fitted network's gradients against central differences on your own data.

        Always in float64, with the penalty, at the fitted parameters (item B4).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to check on; a few dozen are enough.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.
        epsilon : float, default=1e-6
            Half the width of the difference quotients, times max(1, abs(θ_i)).
        tolerance : float, default=1e-7
            The error up to which the verdict is "right".
        max_parameters : int, default=2000
            Above this many, a sample from every named array is compared.
        seed : int, default=0
            Of that sample.

        Returns
        -------
        check : GradientCheck
            Its ``verdict`` is "right", "wrong" or "cannot tell"; ``str(check)`` explains.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        return inspection.check_gradients(
            self._model.copy(optimizer=False),
            self._checked_rows(X),
            y,
            sample_weight,
            epsilon=epsilon,
            tolerance=tolerance,
            max_parameters=max_parameters,
            seed=seed,
        )

    def trace(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, training: bool = False
    ) -> Trace:
        """Return every Z, A, δ and gradient of one pass by name, in float64 (items B1-B4).

        The numbers are those of the network: of standardised rows and targets with
        ``standardize``. See `deltarule.Network.trace` for the names.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, a few are enough.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their targets, as in ``fit``; without them there is no loss and no way back.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.
        training : bool, default=False
            Whether this is a pass of training, with dropout and batch statistics, as ``gradients``
            is, or the pass that predicts.

        Returns
        -------
        trace : Trace
            A mapping from names such as "Z1", "A1", "delta1", "dW1", "loss" to arrays.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        check_flag("training", training)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        return inspection.trace(model, rows, y, sample_weight, training=training)

    def gradients(
        self, X: Any, y: Any, sample_weight: Any = None, *, penalties: bool = False
    ) -> dict[str, Any]:
        """Return the gradients ∂C/∂W1, ∂C/∂b1, … of the mean loss on rows, by name, in float64.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of one batch.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.
        penalties : bool, default=False
            Whether C includes the penalties, as in ``check_gradients``.

        Returns
        -------
        gradients : dict of str to ndarray
            Each with the shape of its parameter.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        check_flag("penalties", penalties)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        return inspection.gradients(model, rows, y, sample_weight, penalties=penalties)

    def explained(self, X: Any, y: Any = None) -> tuple[Any, ...]:
        """Return what `deltarule.explain` shows of the rows of X; call that instead.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their targets, as in ``fit``.

        Returns
        -------
        explained : tuple
            Title, network, state, block, solver, learning rate, clipping and notes.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        network, state, block, notes = inspection.explained(model, rows, y)
        given = {name: getattr(self, name) for name in self._parameter_constraints}
        clipping = read_clipping(given["gradient_clip"])
        title = type(self).__name__
        return title, network, state, block, read_solver(given), None, clipping, notes

    def log_likelihood(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the log-likelihood of rows, with the targets in their own unit (item L5).

        Bernoulli or categorical for classes, Gaussian for squared error with the variance that
        maximises it, Poisson for rates. Label smoothing is no part of it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as in ``fit``.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, which count as repetitions.

        Raises
        ------
        SpecError
            If the loss has no likelihood: absolute error, Huber, quantiles.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        return inspection.log_likelihood(model, rows, y, sample_weight)

    def aic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion 2k − 2 ln L̂ on rows; lower is better (item E5).

        Parameters
        ----------
        X, y, sample_weight
            As in ``log_likelihood``. k counts weights, biases, γ and β, and for squared error
            one variance for each target.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        return inspection.information(model, rows, y, sample_weight).aic

    def bic(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian criterion k ln n − 2 ln L̂ on n rows; lower is better (item E5).

        Parameters
        ----------
        X, y, sample_weight
            As in ``log_likelihood``; k as in ``aic``.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        rows, model = self._checked_rows(X), self._model.copy(optimizer=False)
        return inspection.information(model, rows, y, sample_weight).bic

    def layer_activations(self, X: Any) -> list[Any]:
        """Return the activations of every layer at the rows of X, after its activation function.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        activations : list of ndarray of shape (n_samples, d_l)
            Of every hidden layer, then the network's outputs as the network has them: on
            standardised targets with ``standardize``.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        return inspection.layer_activations(
            self._model.copy(optimizer=False), self._checked_rows(X)
        )

    def input_gradients(self, X: Any) -> Any:
        """Return the Jacobian of the outputs in the inputs at every row, in the user's units.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_outputs_, n_features)
            Entry (i, k, j) is the derivative of output k in feature j at row i. The outputs are
            predicted numbers, or probabilities of every class or label; for two classes only
            the probability of ``classes_[1]``.
        """
        from deltarule.estimators import inspection

        check_is_fitted(self)
        model, rows = self._model.copy(optimizer=False), self._checked_rows(X)
        jacobian = inspection.input_gradients(model, rows)
        interpreter = self._interpreter(model)
        return model.targets.in_prediction_order(jacobian, lambda: model.forward(interpreter, rows))

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the fitted estimator in one file that holds no code; see ``deltarule.save``.

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

        Raises
        ------
        ModelFileError
            If the estimator is not fitted, or an argument of it is code.
        OutputError
            If the file cannot be written, or exists and ``overwrite`` is false.

        See Also
        --------
        deltarule.load : Read the file back.
        """
        from deltarule.storage import ModelRecord, write_model_record  # pydantic: only for files

        return write_model_record(
            ModelRecord("estimator", *self.to_record()), path, overwrite=overwrite
        )

    def to_record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a file of the fitted estimator holds: a record, and arrays by name.

        Raises
        ------
        ModelFileError
            If the estimator is not fitted, or an argument of it is code.
        """
        from deltarule.estimators.serialization import to_record  # pydantic: only for files

        if not self.__sklearn_is_fitted__():
            raise ModelFileError(f"this {type(self).__name__} is not fitted yet: call fit first.")
        # A copy: another thread may train the estimator while the file is written.
        model = self._model.copy(optimizer=False)
        return to_record(self._kind, self.get_params(deep=False), model)

    def to_blueprint(self) -> dict[str, Any]:
        """Return the record of the estimator's kind and arguments, without the fit."""
        from deltarule.estimators.serialization import to_blueprint  # pydantic: only for files

        return to_blueprint(self._kind, self.get_params(deep=False))

    def to_exportable(self) -> Exportable:
        """Return the description of the fitted estimator that ONNX graphs are written from."""
        from deltarule.estimators.onnx_export import to_exportable

        check_is_fitted(self)
        return to_exportable(self._model.copy(optimizer=False), type(self).__name__)

    def to_onnx(
        self,
        path: str | PathLike[str] | None = None,
        *,
        overwrite: bool = False,
        dtype: str = "float32",
    ) -> ModelProto:
        """Return the fitted model in ONNX, scaling included, and write it to a file if asked.

        Needs the optional package onnx: ``pip install "deltarule[onnx]"``.

        Parameters
        ----------
        path : str or path-like, optional
            The file to write; ``.onnx`` is the usual ending.
        overwrite : bool, default=False
            Whether an existing file may be replaced.
        dtype : {"float32", "float64"}, default="float32"
            The type of ``X``, of every number within and of the outputs. Every runtime has
            float32; ONNX Runtime's CPU has both.

        Returns
        -------
        model : onnx.ModelProto
            A checked model with the input ``X`` (batch, n_features). Classifiers have the outputs
            ``label`` and ``probabilities`` (batch, n_classes), regressors ``variable``
            (batch, n_outputs). See ``docs/onnx.md``.

        Raises
        ------
        MissingDependencyError
            If onnx is not installed.
        OutputError
            If the file cannot be written, or exists and ``overwrite`` is false.
        SpecError
            For what ONNX cannot hold: classes of odd types, numbers beyond ``dtype``, more than
            2 GiB.
        """
        from deltarule.onnx import export, matrix_model

        exportable = self.to_exportable()
        return export(lambda: matrix_model(exportable, dtype), path, overwrite=overwrite)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` or ``partial_fit`` has run."""
        return "_model" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold: one whole model, whatever other threads train."""
        held = dict(super().__getstate__())
        held.pop("_lock_of_fits", None)
        held.pop("_callback_fit_ctx", None)  # of a fit that is under way
        model: FittedModel | None = held.get("_model")
        if model is not None:
            held["_model"] = model.copy()
            held |= model.features()
            if model.feature_names is None:
                held.pop("feature_names_in_", None)
        return held

    def _snapshot(self) -> dict[str, Any]:
        """Return the attributes that make an estimator which is fitted as far as this one."""
        by_sklearn = {name: value for name, value in vars(self).items() if name.endswith("_")}
        return {**by_sklearn, "_model": self._model.copy(), "_interpreters": InterpreterCache()}

    def _restore(self, model: FittedModel) -> None:
        """Become an estimator with this fitted model."""
        self._model, self._interpreters = model, InterpreterCache()
        self._set_features(model)
