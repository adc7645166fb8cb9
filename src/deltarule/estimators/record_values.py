"""Constructor arguments as strict JSON, and back: a closed list of what a file may hold.

Beside numbers, strings and lists there are our own frozen descriptions, by name and fields, and
dicts of class weights. A string that begins with "=" is doubled there, since "=inf" is a number.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from deltarule import optimizers, parts, schedules
from deltarule.errors import ModelFileError

__all__ = ["from_plain", "to_plain"]

_DESCRIPTIONS: dict[str, type[Any]] = {
    name: getattr(home, name)
    for home, names in (
        (parts, ("LeakyReLU", "ELU", "Normal", "Uniform", "Fixed")),
        (parts, ("Huber", "Quantile", "BinaryCrossEntropy", "CategoricalCrossEntropy")),
        (
            optimizers,
            (
                *("SGD", "MomentumAverage", "RMSprop", "Adam", "AdamW", "Nadam"),
                *("Adagrad", "Adadelta", "Rprop", "LBFGS", "LineSearch"),
            ),
        ),
        (
            schedules,
            (
                *("Adaptive", "Constant", "Cosine", "Exponential", "InverseScaling"),
                *("InverseSquareRoot", "InverseTime", "OneCycle", "ReduceOnPlateau"),
                *("StepDecay", "Table", "WarmUp"),
            ),
        ),
    )
    for name in names
}
_NUMBERS = ("=inf", "=-inf", "=nan")
_KIND = "="  # the entry of an object that says what it is


def to_plain(name: str, value: Any) -> Any:
    """Return an argument as a strict JSON value.

    Raises
    ------
    ModelFileError
        For what a file cannot hold, such as a function; it names the argument and the remedy.
    """
    if isinstance(value, np.random.RandomState):
        return None  # its stream cannot be continued from a file
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        return "=" + value if value.startswith("=") else value
    if isinstance(value, float) and not math.isfinite(value):
        return f"={value}"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [to_plain(name, item) for item in value]
    if isinstance(value, dict):
        items = [[to_plain(name, k), to_plain(name, v)] for k, v in value.items()]
        return {_KIND: "dict", "items": items}
    if is_dataclass(value) and _DESCRIPTIONS.get(type(value).__name__) is type(value):
        held = {f.name: to_plain(name, getattr(value, f.name)) for f in fields(value)}
        return {_KIND: type(value).__name__, **held}
    raise ModelFileError(
        f"{name}={value!r} cannot be kept in a file, which holds no code. Set another {name} "
        f"before saving, such as model.set_params({name}=…) with what __init__ has; predictions "
        "do not change."
    )


def from_plain(value: Any) -> Any:
    """Return the argument that :func:`to_plain` wrote; lists stay lists.

    Raises
    ------
    ModelFileError
        For an object that is none of ours.
    """
    if isinstance(value, str):
        if value in _NUMBERS:
            return float(value[1:])
        return value[1:] if value.startswith("==") else value
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind, held = value.get(_KIND), {k: v for k, v in value.items() if k != _KIND}
    if kind == "dict" and set(held) == {"items"}:
        return {from_plain(k): from_plain(v) for k, v in held["items"]}
    if not isinstance(kind, str) or kind not in _DESCRIPTIONS:
        raise ModelFileError("the model's record holds an argument of no known kind.")
    made = _DESCRIPTIONS[kind]
    if set(held) != {f.name for f in fields(made)}:
        raise ModelFileError(f"the model's record holds no valid {kind}.")
    return made(**{k: from_plain(v) for k, v in held.items()})
