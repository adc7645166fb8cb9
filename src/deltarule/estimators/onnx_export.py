"""A fitted model as what an ONNX graph is written from."""

from __future__ import annotations

import json

from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.standardization import Scales
from deltarule.onnx import Exportable, Numbers, Scaling
from deltarule.onnx.heads import Head, Labels

__all__ = ["to_exportable"]


def to_exportable(model: FittedModel, kind: str) -> Exportable:
    """Return the description of a model that ONNX graphs are written from.

    Parameters
    ----------
    model : FittedModel
    kind : str
        Name of the estimator's class.
    """
    scales, head = model.scales, _head(model)
    properties = {"estimator": kind}
    if model.feature_names is not None:
        properties["features"] = json.dumps(model.feature_names)
    if isinstance(head, Labels):
        properties["classes"] = json.dumps([str(label) for label in head.values])
    return Exportable(
        network=model.network,
        state=model.state,
        inputs=None if scales is None else Scaling(scales.X_mean, scales.X_scale),
        head=head,
        name=kind,
        description=f"{kind}: a multilayer perceptron, {' → '.join(map(str, model.widths))}.",
        properties=properties,
    )


def _head(model: FittedModel) -> Head:
    """Return the end of the graph, which brings numbers back to the user's units."""
    head, scales = model.targets.head(), model.scales
    if isinstance(head, Numbers) and isinstance(scales, Scales) and scales.y_mean is not None:
        return head._replace(scalings=(Scaling(scales.y_mean, scales.y_scale),))
    return head
