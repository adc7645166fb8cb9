"""Transformations that change values but do not move them: noise and colour jitter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.augmentation.transformation import Shape, Transformation, check_finite, check_span
from deltarule.errors import ShapeError, SpecError
from deltarule.utils.checks import check_sequence

__all__ = ["ColorJitter", "GaussianNoise"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), as in PIL and torchvision."""


@dataclass(frozen=True)
class GaussianNoise(Transformation):
    """Noise: x + N(0, scale²), independent for every number; for images, signals and tables.

    For the inputs of a linear model with squared error it is equivalent, in expectation, to the
    penalty ½ scale² ‖w‖² (Bishop 1995, "Training with noise is equivalent to Tikhonov
    regularization").

    Parameters
    ----------
    scale : float or sequence of floats, default=0.1
        The standard deviation, in the units of the data. A sequence has one for each column; 0
        leaves a column unchanged, such as the code of a category.
    """

    scale: float | Sequence[float] = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.scale, Real):
            check_finite("scale", self.scale, 0.0, 1e300)
            return
        scales = check_sequence("scale", self.scale, "a number or one for each column")
        columns = tuple(
            check_finite(f"scale[{i}]", each, 0.0, 1e300) for i, each in enumerate(scales)
        )
        object.__setattr__(self, "scale", columns)

    def check_shape(self, shape: Shape | None) -> None:
        """Raise ``SpecError`` unless there is one scale, or one for each column."""
        if isinstance(self.scale, tuple) and shape is not None and shape != (len(self.scale),):
            raise SpecError(
                f"scale must be one number, or one for each column of a table; got "
                f"{len(self.scale)} of them for examples of shape {shape}."
            )

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return x with new noise."""
        if isinstance(self.scale, tuple) and x.shape[1:] != (len(self.scale),):
            raise ShapeError(
                f"x must have {len(self.scale)} columns, one for each entry of scale; got "
                f"{x.shape[1:]}."
            )
        noise = rng.normal(size=x.shape[1:])
        with np.errstate(over="ignore"):  # training reports numbers that are not finite
            noise *= self.scale
            noise += x
            return noise.astype(x.dtype)


@dataclass(frozen=True)
class ColorJitter(Transformation):
    """Random brightness, contrast and saturation, in this order, by factors from U[1 − r, 1 + r].

    With factors b, c, s, the mean grey value m of the image and the grey value g = 0.299 R +
    0.587 G + 0.114 B of a pixel (its value, if there is one channel): x ← b x; x ← m + c (x − m);
    x ← g + s (x − g). These are the definitions of torchvision and PIL.

    Parameters
    ----------
    brightness, contrast, saturation : float or (low, high), default=0
        r in [0, 1], or the interval of the factor, non-negative. Saturation needs the channels
        red, green, blue, in this order.
    limits : (low, high) or None, default=(0, 1)
        Values are clipped to these limits. Use (0, 255) for integers, and None for standardised
        images.
    """

    ranks = (2, 3)

    brightness: float | tuple[float, float] = 0.0
    contrast: float | tuple[float, float] = 0.0
    saturation: float | tuple[float, float] = 0.0
    limits: tuple[float, float] | None = (0.0, 1.0)

    def __post_init__(self) -> None:
        self._spans()
        if self.limits is None:
            return
        low, high = check_span("limits", self.limits)
        if isinstance(self.limits, Real) or low == high:
            raise SpecError(
                f"limits must be (low, high) with low < high, or None; got {self.limits!r}."
            )

    def _spans(self) -> list[tuple[float, float]]:
        found = []
        for name in ("brightness", "contrast", "saturation"):
            reach = getattr(self, name)
            low, high = check_span(name, reach)
            if isinstance(reach, Real):
                low, high = 1 + low, 1 + high
            if low < 0:
                raise SpecError(
                    f"{name} must leave factors of at least 0: a number in [0, 1] for "
                    f"[1 − r, 1 + r], or the ends (low, high); got {reach!r}."
                )
            found.append((low, high))
        return found

    def check_shape(self, shape: Shape | None) -> None:
        """Raise ``SpecError`` if saturation is changed without three channels."""
        super().check_shape(shape)
        if self._spans()[2] != (1.0, 1.0) and (shape is None or shape[2:] != (3,)):
            raise SpecError(
                f"saturation needs images of shape (height, width, 3); got shape={shape}. "
                "Leave it at 0 for grey images."
            )

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the images with changed colours."""
        spans = self._spans()
        bright, contrast, saturation = (
            rng.uniform(*span).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1)) for span in spans
        )
        x = x * bright
        if spans[1] != (1.0, 1.0):
            mean = _grey(x).reshape(len(x), -1).mean(axis=1).reshape(bright.shape)
            x = mean + contrast * (x - mean)
        if spans[2] != (1.0, 1.0):
            grey = _grey(x)
            for channel in range(3):  # faster than broadcasting over an axis of length 3
                x[..., channel] = grey + saturation[..., 0] * (x[..., channel] - grey)
        return x if self.limits is None else x.clip(*self.limits)


def _grey(x: Floats) -> Floats:
    """Return the grey value of each pixel (n, height, width)."""
    if x.ndim == 3:
        return x
    if x.shape[3] != 3:
        return np.asarray(x.mean(axis=3))
    red, green, blue = (x.dtype.type(weight) for weight in LUMA)
    return np.asarray(red * x[..., 0] + green * x[..., 1] + blue * x[..., 2])
