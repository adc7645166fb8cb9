"""A fitted model as a plain record and its tensors, and back: what model files are made of.

The record holds nothing but JSON values, the tensors nothing but numbers: rebuilding a model from
them runs no code from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from deltarule import schedules, spec
from deltarule.errors import DeltaruleError, ModelFileError
from deltarule.estimators.class_labels import read_classes, write_classes
from deltarule.estimators.class_targets import ClassTargets
from deltarule.estimators.fitted_model import FitHistory, FittedModel
from deltarule.estimators.layer_options import HiddenLayers, Regularization, build_network
from deltarule.estimators.layer_options import read_layers as layers_of
from deltarule.estimators.numeric_targets import NumericTargets
from deltarule.estimators.standardization import Scales
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.program import State
from deltarule.program.tape import Tape
from deltarule.spec import Loss, optimizers
from deltarule.storage.values import ValueCodec
from deltarule.training.curve import Curve
from deltarule.utils.arrays import aligned
from deltarule.utils.context import ErrorRule, error_context

__all__ = [
    "check_entries",
    "read_blueprint",
    "read_model",
    "reading_record",
    "to_blueprint",
    "to_record",
]

_NUMBERS = ("n_iter", "t", "loss", "best_loss", "best_validation_score")
_CURVES = ("loss_curve", "validation_scores", "validation_loss_curve")
_FIELDS = {
    *("kind", "parameters", "widths", "dtype", "target", "classes", "class_dtype", "features"),
    *("hidden", "output", "masks", *(f"{name}_" for name in _NUMBERS)),
}
_BUFFER = "buffer."
_SCALE = "scale."
_OUTPUTS = ("identity", "exp", "sigmoid", "softmax")
_TARGETS = ("binary", "multiclass", "multilabel-indicator", "multilabel-indicator-sparse")
_MALFORMED = (
    *(DeltaruleError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError),
)
"""What reading a record of the wrong types may raise."""
_DESCRIPTIONS = tuple(
    getattr(module, name)
    for module, names in (
        (spec, ("LeakyReLU", "ELU", "Normal", "Uniform", "ConstantInitializer")),
        (spec, ("Huber", "Quantile", "BinaryCrossEntropy", "CategoricalCrossEntropy", "Shards")),
        (optimizers, ("SGD", "EMAMomentum", "RMSprop", "Adam", "AdamW", "Nadam")),
        (optimizers, ("Adagrad", "Adadelta", "Rprop", "LBFGS", "LineSearch")),
        (schedules, ("Adaptive", "Constant", "Cosine", "Exponential", "InverseScaling")),
        (schedules, ("InverseSquareRoot", "InverseTime", "OneCycle", "ReduceOnPlateau")),
        (schedules, ("StepDecay", "PiecewiseConstant", "WarmUp", "FlatCosine", "CosineLog")),
    )
    for name in names
)
"""Our own frozen descriptions, which arguments may be."""
_CODEC = ValueCodec(
    _DESCRIPTIONS,
    error=ModelFileError,
    remedy="Set another {name} before saving, such as model.set_params({name}=…) with what "
    "__init__ has; predictions do not change.",
)


class Blueprint(NamedTuple):
    """An estimator that is not fitted: "classifier" or "regressor", and its arguments."""

    kind: str
    parameters: dict[str, Any]


# --- writing -----------------------------------------------------------------------------------


def to_blueprint(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of an estimator's kind and arguments.

    The folder of checkpoints is left out, because it belongs to this machine.
    """
    held = {k: _argument(k, v) for k, v in parameters.items() if k != "checkpoint"}
    if held["shards"] is None:  # so that earlier versions read the file
        del held["shards"]
    return {"kind": kind, "parameters": held}


def _argument(name: str, value: Any) -> Any:
    """Return an argument as strict JSON: arrays as lists, and no random stream."""
    if isinstance(value, np.random.RandomState):
        return None  # a file cannot continue it
    return _CODEC.encode(name, value.tolist() if isinstance(value, np.ndarray) else value)


def to_record(
    kind: str, parameters: Mapping[str, Any], model: FittedModel
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (record, tensors) of a fitted estimator; the record is strict JSON.

    The optimiser's running averages are left out: a later ``partial_fit`` begins new ones.
    """
    network, state, hidden = model.network, model.state, model.hidden
    record: dict[str, Any] = {
        **to_blueprint(kind, parameters),
        "widths": model.widths,
        "dtype": network.dtype,
        "target": "numbers",
        "classes": None,
        "class_dtype": None,
        "features": model.feature_names,
        "hidden": {
            "activation": _CODEC.encode("activation", hidden.activations),
            "dropout": list(hidden.dropout),
            "batch_norm": hidden.normalizes,
            "input_dropout": hidden.input_dropout,
        },
        "output": {
            "activation": network.output.activation,
            "loss": _CODEC.encode("loss", network.loss),
        },
        "masks": [int(state.seed), int(state.step)],
        **{f"{name}_": _CODEC.encode(name, getattr(model.history, name)) for name in _NUMBERS},
    }
    tensors = {p.name: np.ascontiguousarray(v) for p, v in network.tape.views(state.theta)}
    tensors |= {_BUFFER + name: np.asarray(array) for name, array in state.buffers.items()}
    if model.scales is not None:
        held = model.scales._asdict()
        tensors |= {_SCALE + name: array for name, array in held.items() if array is not None}
    if isinstance(model.targets, ClassTargets):
        targets = model.targets
        record["target"] = targets.target_type + ("-sparse" if targets.sparse else "")
        record |= write_classes(model.targets.classes)
    for name in _CURVES:
        curve = getattr(model.history, name)
        if curve is not None:
            tensors[f"{name}_"] = np.asarray(curve, dtype=np.float64)
    return record, tensors


# --- reading -----------------------------------------------------------------------------------


def _malformed(fault: str) -> ErrorRule:
    """Return the rule that turns an error of a malformed record into a ``ModelFileError``."""
    return _MALFORMED, lambda error: ModelFileError(f"the model's record {fault}: {error}")


def reading_record() -> AbstractContextManager[None]:
    """Return a context in which any error of a malformed record becomes a ``ModelFileError``."""
    return error_context(_malformed("is not valid"), unless=ModelFileError)


def check_entries(record: dict[str, Any]) -> None:
    """Refuse the record of a fitted estimator that has not all its entries, or others."""
    odd = sorted(set(record) ^ _FIELDS)
    if odd:
        raise ModelFileError(f"the model's record has missing or unknown entries: {odd}.")


def read_blueprint(record: dict[str, Any]) -> Blueprint:
    """Return the kind and the arguments in a record; which arguments there are is not checked."""
    kind, given = record["kind"], record["parameters"]
    if kind not in ("classifier", "regressor"):
        raise ModelFileError(f"the model's record names no known kind: {kind!r}.")
    if "checkpoint" in given:  # or the author of a file would choose where a later fit writes
        raise ModelFileError(
            "the model's record names a folder for checkpoints; no model file may."
        )
    return Blueprint(kind, {"shards": None} | {k: _CODEC.decode(v) for k, v in given.items()})


def read_model(
    record: dict[str, Any], tensors: dict[str, Any], regularization: Regularization
) -> FittedModel:
    """Return the fitted model in a record and its tensors.

    Raises
    ------
    ModelFileError
        If the entries do not fit each other or the tensors.
    """
    widths = _read_widths(record["widths"], len(tensors))
    layers = _check_layers(record["hidden"])
    _check_parameters(record, tensors, normalized=layers["batch_norm"])
    hidden = _read_layers(layers, widths[1:-1])
    output = _read_output(record["output"])
    classifies = record["kind"] == "classifier"
    targets: TargetEncoder = (
        _read_classes(record) if classifies else NumericTargets.of_loss(output[1])
    )
    network = build_network(
        hidden,
        output,
        regularization,
        n_inputs=widths[0],
        n_outputs=widths[-1],
        dtype=record["dtype"],
    )
    return FittedModel(
        network,
        _read_state(record, tensors, network.tape),
        hidden,
        targets,
        scales=_read_scales(tensors, widths),
        feature_names=_read_features(record["features"], widths[0]),
        history=_read_history(record, tensors),
    )


def _read_history(record: dict[str, Any], tensors: dict[str, Any]) -> FitHistory:
    history = FitHistory()
    for name in _NUMBERS:
        setattr(history, name, _read_number(f"{name}_", record[f"{name}_"]))
    for name in _CURVES:
        curve = tensors.get(f"{name}_")
        if curve is not None and (curve.ndim != 1 or curve.dtype != np.float64):
            raise ModelFileError(f"tensor {name}_ must hold float64 numbers in one dimension.")
        setattr(history, name, None if curve is None else Curve(curve.tolist()))
    return history


def _read_number(name: str, plain: Any) -> Any:
    """Return a count, or a float or None."""
    if name in ("n_iter_", "t_"):
        if type(plain) is not int or plain < 0:
            raise ModelFileError(f"the model's record holds no valid {name}.")
        return plain
    value = _CODEC.decode(plain)
    if value is not None and type(value) not in (int, float):
        raise ModelFileError(f"the model's record holds no valid {name}.")
    return value


def _read_widths(widths: Any, n_tensors: int) -> list[int]:
    if (
        not isinstance(widths, list)
        or len(widths) < 2
        or not all(type(width) is int and width > 0 for width in widths)
        or len(widths) > 2 + n_tensors
    ):
        raise ModelFileError("the model's record holds no valid layer widths.")
    return widths


def _check_layers(layers: Any) -> dict[str, Any]:
    known = {"activation", "dropout", "batch_norm", "input_dropout"}
    if (
        not isinstance(layers, dict)
        or set(layers) != known
        or type(layers["batch_norm"]) is not bool
    ):
        raise ModelFileError("the model's record holds no valid hidden layers.")
    return layers


def _read_layers(layers: dict[str, Any], sizes: list[int]) -> HiddenLayers:
    """Return the hidden layers as they were fitted."""
    with error_context(_malformed("holds no valid hidden layers")):
        activation = _CODEC.decode(layers["activation"])
        return layers_of(hidden_layer_sizes=sizes, **layers | {"activation": activation})


def _read_output(output: Any) -> tuple[str, Loss]:
    """Return the output layer's activation and the loss; the network checks that they fit."""
    if not isinstance(output, dict) or set(output) != {"activation", "loss"}:
        raise ModelFileError("the model's record holds no valid output layer.")
    activation, loss = output["activation"], _CODEC.decode(output["loss"])
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
    if {name for name in tensors if not _is_no_parameter(name)} != set(expected):
        raise ModelFileError("the model's tensors are not those of its layers.")
    for name, shape in expected.items():
        _check_tensor(name, tensors[name], shape, record["dtype"])


def _is_no_parameter(name: str) -> bool:
    return name.removesuffix("_") in _CURVES or name.startswith((_BUFFER, _SCALE))


def _check_tensor(name: str, array: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or str(array.dtype) != dtype:
        raise ModelFileError(
            f"tensor {name} must be {dtype} of shape {shape}; it is {array.dtype} of "
            f"shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ModelFileError(f"tensor {name} holds NaN or infinity.")


def _read_state(record: dict[str, Any], tensors: dict[str, Any], tape: Tape) -> State:
    """Return θ, batch norm's statistics, and the position of the stream of dropout masks."""
    masks = record["masks"]
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
    if buffers and set(buffers) != set(expected):  # there are none before the first step
        raise ModelFileError("the model's statistics are not those of its layers.")
    for name, array in buffers.items():
        dtype = "float64" if name.endswith(".weight") else record["dtype"]
        _check_tensor(_BUFFER + name, array, expected[name], dtype)
        if not name.endswith(".mean") and (array < 0).any():
            raise ModelFileError(f"tensor {_BUFFER + name} holds numbers below 0.")
    theta = aligned(np.concatenate([np.ravel(tensors[p.name]) for p in tape.parameters]))
    return State(theta, seed=masks[0], step=masks[1], buffers=buffers)


def _read_scales(tensors: dict[str, Any], widths: list[int]) -> Scales | None:
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


def _read_features(names: Any, n_features: int) -> list[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError("the model's record holds no valid feature names.")
    if len(names) != n_features:
        raise ModelFileError("the model's record does not name every feature.")
    return names


def _read_classes(record: dict[str, Any]) -> ClassTargets:
    labels, target = record["classes"], record["target"]
    if not isinstance(labels, list) or target not in _TARGETS:
        raise ModelFileError("the model's record holds no valid classes.")
    classes = read_classes(labels, record["class_dtype"])
    outputs = 1 if target == "binary" else len(labels)
    if outputs != record["widths"][-1] or (target == "binary" and len(labels) not in (1, 2)):
        raise ModelFileError("the model's record has another number of classes than outputs.")
    kind = target.removesuffix("-sparse")
    if kind == "multilabel-indicator":
        fits = len(labels) > 1 and np.array_equal(classes, np.arange(len(labels)))
    else:
        whole = classes.dtype.kind != "f" or bool((classes == np.trunc(classes)).all())
        ascending = bool((classes[1:] > classes[:-1]).all())
        fits = whole and ascending and kind == ("binary" if len(labels) < 3 else "multiclass")
    if not fits:
        raise ModelFileError("the model's classes are not in order, or not distinct.")
    return ClassTargets(classes, kind, target != kind)
