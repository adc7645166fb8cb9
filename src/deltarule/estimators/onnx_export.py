"""A fitted estimator as what an ONNX graph is written from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from deltarule.onnx import Exportable, Scaling, export, matrix_model
from deltarule.onnx.heads import Head, Labels

if TYPE_CHECKING:
    from onnx import ModelProto

    from deltarule.estimators.standardization import Scales
    from deltarule.network import Network
    from deltarule.program import State

__all__ = ["Exporting", "exportable"]


class Exporting:
    """The part of an estimator that writes ONNX."""

    if TYPE_CHECKING:
        _network: Network
        _state: State
        scales_: Scales | None

    def _head(self) -> Head:
        """Return what ``predict`` makes of the network's outputs."""
        raise NotImplementedError

    def to_onnx(
        self,
        path: str | os.PathLike[str] | None = None,
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
        check_is_fitted(self)
        return export(lambda: matrix_model(exportable(self), dtype), path, overwrite=overwrite)


def exportable(estimator: Any) -> Exportable:
    """Return the description of a fitted estimator that ONNX graphs are written from."""
    check_is_fitted(estimator)
    scales, head = estimator.scales_, estimator._head()
    names = getattr(estimator, "feature_names_in_", None)
    kind = type(estimator).__name__
    properties = {"estimator": kind}
    if names is not None:
        properties["features"] = json.dumps([str(name) for name in names])
    if isinstance(head, Labels):
        properties["classes"] = json.dumps([str(label) for label in head.values])
    widths = " → ".join(
        str(n)
        for n in (
            estimator._network.n_inputs,
            *(layer.units for layer in estimator._network.dense_layers),
        )
    )
    return Exportable(
        network=estimator._network,
        state=estimator._state,
        inputs=None if scales is None else Scaling(scales.X_mean, scales.X_scale),
        head=head,
        name=kind,
        description=f"{kind}: a multilayer perceptron, {widths}.",
        properties=properties,
    )
