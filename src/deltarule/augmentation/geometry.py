"""Affine transformations of images: rotation, translation, scaling, shear, flip, padded crop.

Each class is named after its effect on the image; its ``warp`` is the inverse map, from output to
input. Consecutive ones in a pipeline, including :class:`~deltarule.augmentation.Elastic`, are
composed and interpolated once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.augmentation.transformation import (
    Shape,
    Span,
    Transformation,
    check_span,
    elementwise,
)
from deltarule.augmentation.warps import Warp, resample
from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, check_count, check_flag, check_name, shown

__all__ = ["Crop", "Flip", "Geometric", "Rotation", "Scaling", "Shear", "Translation"]


class Geometric(Transformation):
    """Base class of transformations that move pixels."""

    ranks = (2, 3)

    @abstractmethod
    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return a random map from output to input for each row; ``size`` is (height, width)."""

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the transformed images, with zeros outside them."""
        return resample(x, self.warp(rng, (x.shape[1], x.shape[2])))


@dataclass(frozen=True)
class Rotation(Geometric):
    """Rotation about the centre by θ ~ U[−degrees, degrees], counter-clockwise.

    (x, y) ↦ (x cos θ − y sin θ, x sin θ + y cos θ), with y upwards (15° in Schönhuth).

    Parameters
    ----------
    degrees : float or (low, high), default=15
        The largest angle, or the interval of angles.
    """

    degrees: Span = 15.0

    def __post_init__(self) -> None:
        check_span("degrees", self.degrees)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the rotation by −θ."""
        angle = np.deg2rad(rng.uniform(*check_span("degrees", self.degrees)))
        cos, sin = elementwise(math.cos, angle), elementwise(math.sin, angle)
        return _linear(cos, sin, -sin, cos)


@dataclass(frozen=True)
class Translation(Geometric):
    """Translation by (x, y), x ~ U[−x, x] to the right and y ~ U[−y, y] downwards.

    Parameters
    ----------
    x, y : float or (low, high), default=2
        The largest distance, or the interval of distances.
    unit : {"pixels", "fraction"}, default="pixels"
        The unit of x and y; "fraction" is a fraction of the width (x) or height (y).
    """

    x: Span = 2.0
    y: Span = 2.0
    unit: Literal["pixels", "fraction"] = "pixels"

    def __post_init__(self) -> None:
        check_name("unit", self.unit, ("pixels", "fraction"))
        check_span("x", self.x)
        check_span("y", self.y)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the inverse translation."""
        down, right = rng.uniform(*check_span("y", self.y)), rng.uniform(*check_span("x", self.x))
        height, width = (1, 1) if self.unit == "pixels" else size
        one = np.ones(len(rng))
        return _linear(one, 0 * one, 0 * one, one)._replace(
            offset=np.stack([-down * height, -right * width], axis=1)
        )


@dataclass(frozen=True)
class Scaling(Geometric):
    """Scaling about the centre by s ~ U[low, high]; s > 1 enlarges the image.

    Parameters
    ----------
    factor : (low, high), default=(0.9, 1.1)
        The interval of the factor; positive.
    per_axis : bool, default=False
        Draw separate factors for the height and the width.
    """

    factor: tuple[float, float] = (0.9, 1.1)
    per_axis: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factor, tuple):
            raise SpecError(
                f"factor must be a pair (low, high) such as (0.9, 1.1); got {shown(self.factor)}."
            )
        check_flag("per_axis", self.per_axis)
        if check_span("factor", self.factor)[0] <= 0:
            raise SpecError(f"factor must be positive; got {self.factor!r}. Use Flip to mirror.")

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the scaling by 1/s."""
        y = rng.uniform(*self.factor)
        x = rng.uniform(*self.factor) if self.per_axis else y
        return _linear(1 / y, 0 * y, 0 * x, 1 / x)


@dataclass(frozen=True)
class Shear(Geometric):
    """Shear about the centre: x ↦ x + y tan a (y upwards), then y ↦ y + x tan b.

    Parameters
    ----------
    x : float or (low, high), default=10
        a in degrees, below 90: the angle by which vertical lines lean to the right.
    y : float or (low, high), default=0
        b in degrees, below 90: the angle by which horizontal lines rise to the right.
    """

    x: Span = 10.0
    y: Span = 0.0

    def __post_init__(self) -> None:
        check_span("x", self.x, 90.0)
        check_span("y", self.y, 90.0)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the inverse maps, in reverse order."""
        lean = elementwise(math.tan, np.deg2rad(rng.uniform(*check_span("x", self.x, 90.0))))
        rise = elementwise(math.tan, np.deg2rad(rng.uniform(*check_span("y", self.y, 90.0))))
        # With y downwards: x ↦ x − lean y, y ↦ y − rise x. Inverse: y + rise x, then x + lean y.
        one = np.ones(len(rng))
        return _linear(one, rise, lean, one + lean * rise)


@dataclass(frozen=True)
class Flip(Geometric):
    """Random mirroring: left and right, top and bottom, each with its own probability.

    Parameters
    ----------
    horizontal : float, default=0.5
        The probability of exchanging left and right.
    vertical : float, default=0.0
        The probability of exchanging top and bottom.
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_between("horizontal", self.horizontal, 0.0, 1.0)
        check_between("vertical", self.vertical, 0.0, 1.0)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the map diag(±1, ±1), which is its own inverse."""
        x = np.where(rng.uniform() < self.horizontal, -1.0, 1.0)
        y = np.where(rng.uniform() < self.vertical, -1.0, 1.0)
        return _linear(y, 0 * y, 0 * x, x)


@dataclass(frozen=True)
class Crop(Geometric):
    """Random cropping: a window of the padded image, enlarged to the size of the image.

    Parameters
    ----------
    padding : int, default=2
        The number of pixels added on every side. With ``keep=1``, the window has one of
        (2 padding + 1)² positions with equal probability, and nothing is interpolated.
    keep : float, default=1.0
        In (0, 1]. The sides of the window are those of the image times a factor from U[keep, 1].
        With ``keep < 1``, the position is uniform over all positions at which the window fits.
    """

    padding: int = 2
    keep: float = 1.0

    def __post_init__(self) -> None:
        check_count("padding", self.padding)
        check_between("keep", self.keep, 0.0, 1.0, open_low=True)

    def check_shape(self, shape: Shape | None) -> None:
        """Raise ``SpecError`` if a window could miss the image because of the padding."""
        super().check_shape(shape)
        if shape is not None and self.padding >= min(shape[:2]):
            raise SpecError(
                f"padding must be less than the image's sides {shape[:2]}, or a window may "
                f"miss it; got {self.padding}. Use less padding."
            )

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the map p ↦ s p + t, with the window's relative side s and its centre t."""
        if self.keep == 1.0:
            side = np.ones(len(rng))
            place = rng.integers(-self.padding, self.padding + 1, (2,)).astype(np.float64)
        else:
            side = rng.uniform(self.keep, 1.0)
            room = self.padding + (1 - side[:, np.newaxis]) * np.array(size) / 2
            place = rng.uniform(-1.0, 1.0, (2,)) * room
        return _linear(side, 0 * side, 0 * side, side)._replace(offset=place)


def _linear(
    yy: npt.NDArray[np.float64],
    yx: npt.NDArray[np.float64],
    xy: npt.NDArray[np.float64],
    xx: npt.NDArray[np.float64],
) -> Warp:
    """Return the map (y, x) ↦ (yy y + yx x, xy y + xx x) about the centre."""
    matrix = np.stack([yy, yx, xy, xx], axis=1).reshape(-1, 2, 2)
    return Warp(matrix, np.zeros((len(matrix), 2)))
