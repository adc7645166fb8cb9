"""A fitted estimator as a plain record and its tensors, and back: what files are made of.

The record holds nothing but JSON values, the tensors nothing but numbers: rebuilding an estimator
from them runs no code of the file's choosing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import LabelBinarizer

from deltarule.arrays import aligned
from deltarule.errors import DeltaruleError, ModelFileError
from deltarule.estimators.base import BaseMLP
from deltarule.estimators.classifier import MLPClassifier
from deltarule.estimators.fitting import Course
from deltarule.estimators.interpreter_cache import Kept
from deltarule.estimators.layer_options import Hidden, read_hidden
from deltarule.estimators.record_values import from_plain, to_plain
from deltarule.estimators.regressor import MLPRegressor
from deltarule.estimators.standardization import Scales
from deltarule.parts import Loss
from deltarule.program import State
from deltarule.tape import Tape

__all__ = ["from_blueprint", "from_record", "to_blueprint", "to_record"]

_KINDS: dict[str, type[BaseMLP]] = {"classifier": MLPClassifier, "regressor": MLPRegressor}
_FITTED = ("n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")
_FIELDS = {"kind", "parameters", "widths", "dtype", "target", "classes", "features", *_FITTED}
_LATER_FIELDS = {"hidden", "masks", "output"}
_LATER_PARAMETERS = {
    *("dropout", "batch_norm", "engine", "n_threads", "input_dropout", "l1", "max_norm"),
    *("gradient_clip", "weight_init", "augment", "dtype", "standardize", "monitor"),
    *(
        "on_divergence",
        "record",
        "label_smoothing",
        "class_weight",
        "huber_delta",
        "quantile",
    ),
}
_OLD_LAYERS = {"dropout": 0.0, "batch_norm": False}
"""What the first records did not hold, and what their layers were."""
_BUFFER = "buffer."
_SCALE = "scale."
_OUTPUTS = ("identity", "exp", "sigmoid", "softmax")
_TARGETS = ("binary", "multiclass", "multilabel-indicator", "multilabel-indicator-sparse")
_MALFORMED = (
    *(DeltaruleError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError),
)
"""What reading a record of the wrong types can end in."""
_NUMBER_KINDS = {"i": int, "u": int, "f": float, "b": bool}


def to_record(estimator: BaseMLP) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (record, tensors) of a fitted estimator; the record is strict JSON.

    The optimiser's running averages are not part of it: a later ``partial_fit`` begins anew.
    """
    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise ModelFileError(f"only deltarule's estimators can be recorded; got {estimator!r}.")
    if not estimator.__sklearn_is_fitted__():
        raise ModelFileError(f"this {type(estimator).__name__} is not fitted yet: call fit first.")
    network, state = estimator._network, estimator._state
    names = getattr(estimator, "feature_names_in_", None)
    record: dict[str, Any] = {
        **to_blueprint(estimator),
        "widths": [network.n_inputs, *(layer.units for layer in network.dense_layers)],
        "dtype": network.dtype,
        "target": "numbers",
        "classes": None,
        "features": None if names is None else [str(name) for name in names],
        "hidden": {
            "activation": to_plain("activation", estimator._hidden.activations),
            "dropout": list(estimator._hidden.dropout),
            "batch_norm": estimator._hidden.normalizes,
            "input_dropout": estimator._hidden.input_dropout,
        },
        "output": {
            "activation": network.output.activation,
            "loss": to_plain("loss", network.loss),
        },
        "masks": [int(state.seed), int(state.step)],
        **{name: to_plain(name, getattr(estimator, name, None)) for name in _FITTED},
    }
    tensors = {p.name: np.ascontiguousarray(v) for p, v in network.tape.views(state.theta)}
    tensors |= {_BUFFER + name: np.asarray(array) for name, array in state.buffers.items()}
    if estimator.scales_ is not None:
        held = estimator.scales_._asdict()
        tensors |= {_SCALE + name: array for name, array in held.items() if array is not None}
    if isinstance(estimator, MLPClassifier):
        binarizer = estimator._label_binarizer
        record["target"] = binarizer.y_type_ + ("-sparse" if binarizer.sparse_input_ else "")
        record["classes"] = [_label(value) for value in estimator.classes_]
    for name in _CURVES:
        curve = getattr(estimator, name, None)
        if curve is not None:
            tensors[name] = np.asarray(curve, dtype=np.float64)
    return record, tensors


def to_blueprint(estimator: BaseMLP) -> dict[str, Any]:
    """Return the record of an estimator's kind and arguments alone, as before a fit.

    Where checkpoints were kept is left out: it is a folder of this machine.
    """
    given = estimator.get_params(deep=False).items()
    return {
        "kind": "classifier" if isinstance(estimator, MLPClassifier) else "regressor",
        "parameters": {k: to_plain(k, v) for k, v in given if k != "checkpoint"},
    }


def from_record(record: dict[str, Any], tensors: dict[str, Any]) -> BaseMLP:
    """Return the estimator that :func:`to_record` recorded.

    Raises
    ------
    ModelFileError
        If the record does not fit the tensors, or is not one of ours.
    """
    with _refusing_malformed():
        return _rebuild(record, tensors)


def from_blueprint(record: dict[str, Any]) -> BaseMLP:
    """Return the estimator, not yet fitted, that :func:`to_blueprint` recorded.

    Raises
    ------
    ModelFileError
        If the record is not one of ours.
    """
    with _refusing_malformed():
        if set(record) != {"kind", "parameters"}:
            raise ModelFileError("the model's record has missing or unknown entries.")
        return _begin(record)


@contextmanager
def _refusing_malformed() -> Iterator[None]:
    try:
        yield
    except ModelFileError:
        raise
    except _MALFORMED as error:
        raise ModelFileError(f"the model's record is not valid: {error}") from error


def _begin(record: dict[str, Any]) -> BaseMLP:
    if record["kind"] not in _KINDS:
        raise ModelFileError(f"the model's record names no known kind: {record['kind']!r}.")
    estimator = _KINDS[record["kind"]]()
    given = record["parameters"]
    if "checkpoint" in given:  # else whoever wrote the file chooses where a later fit writes
        raise ModelFileError(
            "the model's record names a folder for checkpoints; no model file may."
        )
    known = set(estimator.get_params(deep=False)) - {"checkpoint"}
    if not known - _LATER_PARAMETERS <= set(given) <= known:
        raise ModelFileError("the model's record does not hold the estimator's parameters.")
    estimator.set_params(**{k: from_plain(v) for k, v in given.items()})
    estimator._validate_params()
    return estimator


def _rebuild(record: dict[str, Any], tensors: dict[str, Any]) -> BaseMLP:
    odd = sorted((set(record) - _LATER_FIELDS) ^ _FIELDS)
    if odd:
        raise ModelFileError(f"the model's record has missing or unknown entries: {odd}.")
    estimator = _begin(record)
    widths = _check_widths(record["widths"], len(tensors))
    described = _check_layers(record)
    _check_parameters(record, tensors, normalized=described["batch_norm"])
    layers = _read_layers(described, widths[1:-1])
    if isinstance(estimator, MLPClassifier):
        _restore_classes(estimator, record)
    _restore_features(estimator, record)
    estimator.n_outputs_, estimator.n_layers_ = widths[-1], len(widths)
    estimator._hidden = layers
    output = _check_output(record["output"]) if "output" in record else None
    estimator._network = estimator._build(layers, widths[0], record["dtype"], output)
    estimator._state = _restore_state(record, tensors, estimator._network.tape)
    estimator.scales_ = _restore_scales(tensors, widths)
    estimator._kept, estimator._watch, estimator._course = Kept(), None, Course()
    estimator.health_ = []
    for name in _FITTED:
        value = _figure(name, record[name])
        if value is not None or name != "loss_":
            setattr(estimator, name, value)
    for name in _CURVES:
        curve = tensors.get(name)
        if curve is not None and (curve.ndim != 1 or curve.dtype != np.float64):
            raise ModelFileError(f"tensor {name} must hold float64 numbers in one dimension.")
        setattr(estimator, name, None if curve is None else [float(v) for v in curve])
    return estimator


def _figure(name: str, value: Any) -> Any:
    """Return a fitted number: a count, or a float or None that :func:`_plain` wrote."""
    if name in ("n_iter_", "t_"):
        if type(value) is not int or value < 0:
            raise ModelFileError(f"the model's record holds no valid {name}.")
        return value
    value = from_plain(value)
    if value is not None and type(value) not in (int, float):
        raise ModelFileError(f"the model's record holds no valid {name}.")
    return value


def _check_widths(widths: Any, n_tensors: int) -> list[int]:
    if (
        not isinstance(widths, list)
        or len(widths) < 2
        or not all(type(width) is int and width > 0 for width in widths)
        or len(widths) > 2 + n_tensors
    ):
        raise ModelFileError("the model's record holds no valid layer widths.")
    return widths


def _check_layers(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the fitted hidden layers are, beside their widths."""
    if "hidden" in record:
        layers = record["hidden"]
    else:
        layers = _OLD_LAYERS | {"activation": record["parameters"]["activation"]}
    known = {"activation", "dropout", "batch_norm"}
    if (
        not isinstance(layers, dict)
        or set(layers) - {"input_dropout"} != known
        or type(layers["batch_norm"]) is not bool
    ):
        raise ModelFileError("the model's record holds no valid hidden layers.")
    return layers


def _read_layers(layers: dict[str, Any], sizes: list[int]) -> Hidden:
    try:
        activation = from_plain(layers["activation"])
        return read_hidden(hidden_layer_sizes=sizes, **layers | {"activation": activation})
    except _MALFORMED as error:
        raise ModelFileError(f"the model's record holds no valid hidden layers: {error}") from error


def _check_output(output: Any) -> tuple[str, Loss]:
    """Return the output layer's activation and the loss; the network checks that they fit."""
    if not isinstance(output, dict) or set(output) != {"activation", "loss"}:
        raise ModelFileError("the model's record holds no valid output layer.")
    activation, loss = output["activation"], from_plain(output["loss"])
    if activation not in _OUTPUTS or not isinstance(loss, Loss):
        raise ModelFileError("the model's record holds no valid output layer.")
    return activation, loss


def _check_parameters(record: dict[str, Any], tensors: dict[str, Any], normalized: bool) -> None:
    """Raise unless every parameter has the shape and type that the layers ask for."""
    expected: dict[str, tuple[int, ...]] = {}
    last = len(record["widths"]) - 1
    for number, (fan_in, fan_out) in enumerate(pairwise(record["widths"]), start=1):
        vectors = ("gamma", "beta") if normalized and number < last else ("b",)
        expected[f"W{number}"] = (fan_in, fan_out)
        expected |= {f"{name}{number}": (fan_out,) for name in vectors}
    if {name for name in tensors if not _is_beside(name)} != set(expected):
        raise ModelFileError("the model's tensors are not those of its layers.")
    for name, shape in expected.items():
        _check_tensor(name, tensors[name], shape, record["dtype"])


def _is_beside(name: str) -> bool:
    """Whether a tensor is no parameter."""
    return name in _CURVES or name.startswith((_BUFFER, _SCALE))


def _check_tensor(name: str, array: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or str(array.dtype) != dtype:
        raise ModelFileError(
            f"tensor {name} must be {dtype} of shape {shape}; it is {array.dtype} of "
            f"shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ModelFileError(f"tensor {name} holds NaN or infinity.")


def _restore_state(record: dict[str, Any], tensors: dict[str, Any], tape: Tape) -> State:
    """Return θ, the statistics of batch norm, and where the stream of dropout's masks stands."""
    masks = record.get("masks", [0, 0])
    if (
        not isinstance(masks, list)
        or len(masks) != 2
        or not all(type(number) is int and 0 <= number < 2**63 for number in masks)
    ):
        raise ModelFileError("the model's record holds no valid masks.")
    buffers = {n.removeprefix(_BUFFER): t for n, t in tensors.items() if n.startswith(_BUFFER)}
    expected: dict[str, tuple[int, ...]] = {}
    for i, norm in enumerate(tape.normalizations):
        expected |= {f"{i}.mean": (norm.width,), f"{i}.variance": (norm.width,), f"{i}.weight": ()}
    if buffers and set(buffers) != set(expected):  # none before the first step
        raise ModelFileError("the model's statistics are not those of its layers.")
    for name, array in buffers.items():
        dtype = "float64" if name.endswith(".weight") else record["dtype"]
        _check_tensor(_BUFFER + name, array, expected[name], dtype)
        if not name.endswith(".mean") and (array < 0).any():
            raise ModelFileError(f"tensor {_BUFFER + name} holds numbers below 0.")
    theta = aligned(np.concatenate([np.ravel(tensors[p.name]) for p in tape.parameters]))
    return State(theta, seed=masks[0], step=masks[1], buffers=buffers)


def _restore_scales(tensors: dict[str, Any], widths: list[int]) -> Scales | None:
    """Return what inputs and targets were standardised with."""
    held = {n.removeprefix(_SCALE): t for n, t in tensors.items() if n.startswith(_SCALE)}
    if not held:
        return None
    if set(held) not in ({"X_mean", "X_scale"}, set(Scales._fields)):
        raise ModelFileError("the model's scales are not those of its inputs and targets.")
    for name, array in held.items():
        width = widths[0] if name.startswith("X") else widths[-1]
        _check_tensor(_SCALE + name, array, (width,), "float64")
        if name.endswith("scale") and (array <= 0).any():
            raise ModelFileError(f"tensor {_SCALE + name} holds numbers that are not above 0.")
    return Scales(**held)


def _restore_features(estimator: BaseMLP, record: dict[str, Any]) -> None:
    names, n_features = record["features"], record["widths"][0]
    estimator.n_features_in_ = n_features
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError("the model's record holds no valid feature names.")
    if len(names) != n_features:
        raise ModelFileError("the model's record does not name every feature.")
    estimator.feature_names_in_ = np.array(names, dtype=object)


def _restore_classes(estimator: MLPClassifier, record: dict[str, Any]) -> None:
    labels, target = record["classes"], record["target"]
    if not isinstance(labels, list) or target not in _TARGETS:
        raise ModelFileError("the model's record holds no valid classes.")
    classes = np.array(labels)
    if classes.dtype.kind == "f" and not (np.abs(classes) < 2**53).all():
        raise ModelFileError("the model's classes are no whole numbers.")
    outputs = 1 if target == "binary" else len(labels)
    if outputs != record["widths"][-1] or (target == "binary" and len(labels) not in (1, 2)):
        raise ModelFileError("the model's record has another number of classes than outputs.")
    binarizer = LabelBinarizer()
    kind = target.removesuffix("-sparse")
    if kind == "multilabel-indicator":
        indicator = np.eye(len(labels), dtype=int)
        binarizer.fit(indicator if kind == target else csr_array(indicator))
    else:
        binarizer.fit(classes)
    if binarizer.y_type_ != kind or not np.array_equal(binarizer.classes_, classes):
        raise ModelFileError("the model's classes are not in order, or not distinct.")
    estimator._label_binarizer, estimator.classes_ = binarizer, binarizer.classes_


def _label(value: Any) -> Any:
    kind = np.asarray(value).dtype.kind
    return _NUMBER_KINDS[kind](value) if kind in _NUMBER_KINDS else str(value)
