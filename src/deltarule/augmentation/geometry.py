"""Distortions of images by an affine map: rotation, translation, scaling, shear, flips, crops.

Each piece says what happens to the picture; its ``warp`` is the inverse of that, output to input.
Neighbours in a pipeline, :class:`~deltarule.augmentation.Elastic` among them, are composed
and interpolated once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.pieces import Piece, Shape, Span, check_span, elementwise
from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.augmentation.warps import Warp, resample
from deltarule.checks import check_between, check_name
from deltarule.errors import SpecError

__all__ = ["Crop", "Flip", "Geometric", "Rotation", "Scaling", "Shear", "Translation"]


class Geometric(Piece):
    """A piece that moves pixels."""

    ranks = (2, 3)

    @abstractmethod
    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Draw the map from output to input for each row; ``size`` is (height, width)."""

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the distorted images, with zeros around them."""
        return resample(x, self.warp(rng, (x.shape[1], x.shape[2])))


@dataclass(frozen=True)
class Rotation(Geometric):
    """Rotation about the middle by θ ~ U[−degrees, degrees], positive counter-clockwise.

    (x, y) ↦ (x cos θ − y sin θ, x sin θ + y cos θ) with y upwards (15° in Schönhuth).

    Parameters
    ----------
    degrees : float or (low, high), default=15
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
    unit : {"pixels", "fraction"}, default="pixels"
        A fraction is one of the width (x) or the height (y).
    """

    x: Span = 2.0
    y: Span = 2.0
    unit: Literal["pixels", "fraction"] = "pixels"

    def __post_init__(self) -> None:
        check_name("unit", self.unit, ("pixels", "fraction"))
        check_span("x", self.x)
        check_span("y", self.y)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the translation back."""
        down, right = rng.uniform(*check_span("y", self.y)), rng.uniform(*check_span("x", self.x))
        height, width = (1, 1) if self.unit == "pixels" else size
        one = np.ones(len(rng))
        return _linear(one, 0 * one, 0 * one, one)._replace(
            offset=np.stack([-down * height, -right * width], axis=1)
        )


@dataclass(frozen=True)
class Scaling(Geometric):
    """Scaling about the middle by s ~ U[low, high]; above 1 the picture grows.

    Parameters
    ----------
    factor : (low, high), default=(0.9, 1.1)
        Positive.
    per_axis : bool, default=False
        Draw a factor each for the height and the width.
    """

    factor: tuple[float, float] = (0.9, 1.1)
    per_axis: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factor, tuple):
            raise SpecError(
                f"factor must be a pair (low, high) such as (0.9, 1.1); got {self.factor!r}."
            )
        if check_span("factor", self.factor)[0] <= 0:
            raise SpecError(f"factor must be positive; got {self.factor!r}. To mirror, use Flip.")

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the scaling by 1/s."""
        y = rng.uniform(*self.factor)
        x = rng.uniform(*self.factor) if self.per_axis else y
        return _linear(1 / y, 0 * y, 0 * x, 1 / x)


@dataclass(frozen=True)
class Shear(Geometric):
    """Skew: x ↦ x + y tan a (y upwards), then y ↦ y + x tan b, about the middle.

    Parameters
    ----------
    x : float or (low, high), default=10
        a in degrees, below 90: verticals lean to the right by it.
    y : float or (low, high), default=0
        b in degrees, below 90: horizontals rise to the right by it.
    """

    x: Span = 10.0
    y: Span = 0.0

    def __post_init__(self) -> None:
        check_span("x", self.x, 90.0)
        check_span("y", self.y, 90.0)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the inverses, in reverse."""
        lean = elementwise(math.tan, np.deg2rad(rng.uniform(*check_span("x", self.x, 90.0))))
        rise = elementwise(math.tan, np.deg2rad(rng.uniform(*check_span("y", self.y, 90.0))))
        # Downwards: x ↦ x − lean y, y ↦ y − rise x. Back: y + rise x, then x + lean y.
        one = np.ones(len(rng))
        return _linear(one, rise, lean, one + lean * rise)


@dataclass(frozen=True)
class Flip(Geometric):
    """Mirror images: left and right, top and bottom, each with its probability.

    Parameters
    ----------
    horizontal : float, default=0.5
        How often left and right change places.
    vertical : float, default=0.0
        How often top and bottom change places.
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_between("horizontal", self.horizontal, 0.0, 1.0)
        check_between("vertical", self.vertical, 0.0, 1.0)

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return diag(±1, ±1), its own inverse."""
        x = np.where(rng.uniform() < self.horizontal, -1.0, 1.0)
        y = np.where(rng.uniform() < self.vertical, -1.0, 1.0)
        return _linear(y, 0 * y, 0 * x, x)


@dataclass(frozen=True)
class Crop(Geometric):
    """A random window of the padded image, of the image's own size or enlarged to it.

    Parameters
    ----------
    padding : int, default=2
        Pixels added on every side. With ``keep=1`` the window lies at one of the
        (2 padding + 1)² whole places, all equally likely, and nothing is interpolated.
    keep : float, default=1.0
        In (0, 1]. The sides of the window are the image's times a number from U[keep, 1]; below
        1 the place is uniform over all the points where the window fits.
    """

    padding: int = 2
    keep: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.padding, Integral) or isinstance(self.padding, bool):
            raise SpecError(f"padding must be an integer of at least 0; got {self.padding!r}.")
        check_between("padding", self.padding, 0)
        check_between("keep", self.keep, 0.0, 1.0, open_low=True)

    def check_shape(self, shape: Shape | None) -> None:
        """Refuse more padding than image: the window could miss it."""
        super().check_shape(shape)
        if shape is not None and self.padding >= min(shape[:2]):
            raise SpecError(
                f"padding must be below the image's sides {shape[:2]}, or a window may miss it; "
                f"got {self.padding}."
            )

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return p ↦ s p + t: s the window's side, t its middle."""
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
    """Return (y, x) ↦ (yy y + yx x, xy y + xx x), about the middle."""
    matrix = np.stack([yy, yx, xy, xx], axis=1).reshape(-1, 2, 2)
    return Warp(matrix, np.zeros((len(matrix), 2)))
