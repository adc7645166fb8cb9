"""Maps from output to input pixels of geometric transformations, and their interpolation.

A transformation is a map φ from an output pixel p to a point of the input: (T x)(p) = x(φ(p)). T₁
followed by T₂ is x(φ₁(φ₂(p))), so a sequence of transformations needs a single interpolation.
Points are (y, x) in pixels, relative to the centre of the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.streams import Floats

__all__ = ["Warp", "resample"]


class Warp(NamedTuple):
    """The map φ(p) = M p + t + D(p) of each of n images."""

    matrix: npt.NDArray[np.float64]  # M (n, 2, 2)
    offset: npt.NDArray[np.float64]  # t (n, 2), pixels
    field: Floats | None = None  # D (n, 2, height, width), pixels

    def then(self, other: Warp) -> Warp:
        """Return the map of this transformation followed by another.

        M = M₁ M₂ and t = M₁ t₂ + t₁. Displacement fields are added on the grid of the output, as
        in Simard, Steinkraus & Platt (2003).
        """
        field = self.field if other.field is None else other.field
        if self.field is not None and other.field is not None:
            field = self.field + other.field
        moved = np.matmul(self.matrix, other.offset[:, :, np.newaxis])[:, :, 0]
        return Warp(np.matmul(self.matrix, other.matrix), moved + self.offset, field)


def resample(x: Floats, warp: Warp, fill: float = 0.0) -> Floats:
    """Return x(φ(p)) at every pixel p, by bilinear interpolation.

    Outside the image, x is ``fill``. At whole points, the result is exactly the pixel.

    Parameters
    ----------
    x : (n, height, width) or (n, height, width, channels) floating array
        The images.
    warp : Warp of n images
        The map from output to input.
    fill : float, default=0.0
        The value outside an image.

    Returns
    -------
    x' : array of the shape and type of ``x``
        The transformed images.
    """
    n, height, width = x.shape[:3]
    y, x_ = _positions(warp, (height, width), x.dtype)
    row, column = (
        y.astype(np.intp),
        x_.astype(np.intp),
    )  # equal to the floor, because positions are non-negative
    y -= row
    x_ -= column
    row *= width + 3
    row += column
    row += ((height + 3) * (width + 3) * np.arange(n, dtype=np.intp))[:, np.newaxis, np.newaxis]
    if x.ndim == 3:
        return _interpolated(x, row, (y, x_), fill)
    moved = np.empty(x.shape, dtype=x.dtype)
    for channel in range(x.shape[3]):
        moved[..., channel] = _interpolated(x[..., channel], row, (y, x_), fill)
    return moved


def _interpolated(
    x: Floats, index: npt.NDArray[np.intp], share: tuple[Floats, Floats], fill: float
) -> Floats:
    """Return weighted means of four pixels, the first at ``index`` of the padded, flat images."""
    n, height, width = x.shape
    padded = np.full((n, height + 3, width + 3), fill, dtype=x.dtype)
    padded[:, 1:-2, 1:-2] = x
    pixels = padded.ravel()
    top = _between(pixels, index, share[1])
    bottom = _between(pixels[width + 3 :], index, share[1])
    bottom -= top
    bottom *= share[0]
    top += bottom
    return top


def _between(pixels: Floats, left: npt.NDArray[np.intp], share: Floats) -> Floats:
    """Return pixels[left] + share (pixels[left + 1] − pixels[left])."""
    start = pixels.take(left, mode="clip")
    step = pixels[1:].take(left, mode="clip")
    step -= start
    step *= share
    start += step
    return start


def _positions(warp: Warp, size: tuple[int, int], dtype: npt.DTypeLike) -> tuple[Floats, Floats]:
    """Return φ(p) as rows and columns (n, height, width) of the image padded by one pixel.

    Points outside the padding are clipped to it, because all of them get ``fill``.
    """
    middle = [(length - 1) / 2 for length in size]
    down, right = (np.arange(length) - centre for length, centre in zip(size, middle, strict=True))
    found = []
    for axis in (0, 1):
        along_y, along_x = warp.matrix[:, axis, :1] * down, warp.matrix[:, axis, 1:] * right
        along_y += warp.offset[:, axis, np.newaxis] + (middle[axis] + 1)
        position = along_y.astype(dtype)[:, :, np.newaxis] + along_x.astype(dtype)[:, np.newaxis, :]
        if warp.field is not None:
            position += warp.field[:, axis]
        np.clip(position, 0, size[axis] + 1, out=position)
        found.append(position)
    return found[0], found[1]
