"""Initial parameters: random weights that preserve the scale of signals, and zero biases (I1-I5).

The second argument of N is the **variance**; U(±a) has the variance a²/3. fan_in and fan_out are
the widths of the layer's inputs and outputs (Ayrapetyan §6; Mebsout §3; Matt R §6; errata E-b to
E-d).

============== ============================== =======================================
name           normal                         uniform
============== ============================== =======================================
LeCun (I3)     N(0, 1/fan_in)                 U(±√(3/fan_in))
Glorot (I4)    N(0, 2/(fan_in + fan_out))     U(±√(6/(fan_in + fan_out)))
He (I5)        N(0, 2/fan_in)                 U(±√(6/fan_in))
============== ============================== =======================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.errors import SpecError
from deltarule.program.tape import Parameter
from deltarule.spec import (
    ConstantInitializer,
    Dense,
    Initializer,
    NetworkSpec,
    Normal,
    Periodic,
    Uniform,
)
from deltarule.utils.arrays import aligned
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import check_call

__all__ = ["default_initializer", "draw_parameters", "draw_weights"]

Matrix: TypeAlias = npt.NDArray[np.float64]

_DIGITS = "0123456789"
_OF_FEATURES = ("frequency", "phase", "wave", "embedding")
_DEFAULTS = {
    **dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu", "mish"), "he_uniform"),
    **dict.fromkeys(
        ("sigmoid", "tanh", "softmax", "softsign", "hard_sigmoid", "hard_tanh"), "glorot_uniform"
    ),
    "selu": "lecun_normal",
}


def default_initializer(activation: str) -> str:
    """Return the default initialiser: He for ReLU kinds, Glorot for sigmoid kinds, else LeCun."""
    return _DEFAULTS.get(activation, "lecun_uniform")


def draw_weights(
    initializer: Initializer, fan_in: int, fan_out: int, rng: np.random.Generator
) -> Matrix:
    """Return a weight matrix (fan_in, fan_out), drawn by the initialiser."""
    shape = (fan_in, fan_out)
    if isinstance(initializer, Normal):
        return rng.normal(0.0, initializer.scale, shape)
    if isinstance(initializer, Uniform):
        return rng.uniform(-initializer.scale, initializer.scale, shape)
    if isinstance(initializer, ConstantInitializer):
        return np.full(shape, initializer.value)
    if not isinstance(initializer, str):
        check_call("initializer", initializer, "f(rng, fan_in, fan_out)", 3)
        drawn = np.asarray(initializer(rng, fan_in, fan_out), dtype=np.float64)
        if drawn.shape != shape or not np.isfinite(drawn).all():
            raise SpecError(
                f"initializer must return finite numbers of shape {shape}, which is (fan_in, "
                f"fan_out); got an array of shape {drawn.shape}."
            )
        return drawn
    if initializer == "zeros":
        return np.zeros(shape)
    if initializer == "orthogonal":
        return _orthogonal(fan_in, fan_out, rng)
    family, distribution = initializer.split("_")
    variance = {
        "lecun": 1.0 / fan_in,
        "glorot": 2.0 / (fan_in + fan_out),
        "he": 2.0 / fan_in,
    }[family]
    if distribution == "normal":
        return rng.normal(0.0, np.sqrt(variance), shape)
    bound = np.sqrt(3.0 * variance)
    return rng.uniform(-bound, bound, shape)


def _orthogonal(fan_in: int, fan_out: int, rng: np.random.Generator) -> Matrix:
    """Return a random matrix with orthonormal columns, or rows if fan_in < fan_out.

    (Saxe et al. 2014.) It is the Q of a matrix of normal numbers, with the signs that make the
    diagonal of R positive, so that its distribution is uniform (Mezzadri 2007).
    """
    tall = rng.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    with one_blas_thread():
        q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if fan_in >= fan_out else np.ascontiguousarray(q.T)


def draw_parameters(spec: NetworkSpec, parameters: Iterable[Parameter], seed: int) -> Matrix:
    """Return the initial θ (p,): random weights, zero for biases and β, and 1 for factors.

    The factors r_1 of the first layer's members are random signs, by which the members differ.
    Frequencies are N(0, σ²), phases U(±½), the maps of waves LeCun's, and embeddings N(0, 1).
    """
    rng = np.random.default_rng(seed)
    layers = spec.dense_layers
    periodics = [layer for layer in spec.layers if isinstance(layer, Periodic)]
    values: list[Matrix] = []
    for p in parameters:
        if p.is_weights:
            initializer = _initializer_of(layers[p.layer - 1])
            for _, fan_in, fan_out in p.matrices:
                values.append(draw_weights(initializer, fan_in, fan_out, rng).ravel())
        elif p.name.rstrip(_DIGITS) in _OF_FEATURES:
            values.append(_of_features(p, periodics, rng).ravel())
        elif p.name == "r1":
            values.append(rng.choice([-1.0, 1.0], p.shape).ravel())
        else:
            is_factor = p.name.rstrip(_DIGITS) in ("gamma", "scale", "r", "s", "alpha")
            values.append(np.full(p.shape, float(is_factor)).ravel())
    return aligned(np.concatenate(values), spec.dtype)


def _of_features(p: Parameter, periodics: list[Periodic], rng: np.random.Generator) -> Matrix:
    """Return an initial array of a Periodic or Embedding layer."""
    kind = p.name.rstrip(_DIGITS)
    if kind == "embedding":
        return rng.normal(size=p.shape)
    layer = periodics[int(p.name.removeprefix(kind)) - 1]
    if kind == "frequency":
        return rng.normal(0.0, layer.deviation, p.shape)
    if kind == "phase":
        return rng.uniform(-0.5, 0.5, p.shape)
    bound = np.sqrt(3.0 / layer.frequencies)
    return rng.uniform(-bound, bound, p.shape)


def _initializer_of(layer: Dense) -> Initializer:
    if layer.initializer is not None:
        return layer.initializer
    return default_initializer(layer.activation_name)
