"""Elastic distortion of images by a smooth random displacement field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.geometry import Geometric
from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.augmentation.transformation import check_finite
from deltarule.augmentation.warps import Warp
from deltarule.errors import SpecError
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import shown

__all__ = ["Elastic", "gaussian_kernel", "smooth"]

_MOST_PIXELS = 1e6

_TRUNCATE = 4.0
"""The Gaussian is truncated at this many standard deviations, as in ``scipy.ndimage``."""


@dataclass(frozen=True)
class Elastic(Geometric):
    """Elastic distortion of Simard, Steinkraus & Platt (2003, section 2).

    The pixel p gets the value at the point p + α (G_σ ∗ U)(p). U has two independent fields, one
    for each axis, with values uniform on (−1, 1); G_σ is a Gaussian with standard deviation σ and
    sum 1.

    Parameters
    ----------
    alpha : float, default=34
        α in [0, 10⁶), in pixels.
    sigma : float, default=4
        σ in (0, 10⁶), in pixels. A small σ moves the pixels independently; a large one moves the
        image as a whole.

    Notes
    -----
    Along each axis a displacement has mean 0 and standard deviation (α/√3) Σ_k g_k², with g the
    Gaussian's one-dimensional weights. This is close to α/(2√(3π) σ): 1.38 pixels for the paper's
    σ = 4 and α = 34. Outside the image U is taken as 0, so the variance decreases to one half at
    an edge and one quarter at a corner; the paper does not specify this. Best practices for
    convolutional neural networks applied to visual document analysis, ICDAR 2003, 958–962.
    """

    alpha: float = 34.0
    sigma: float = 4.0

    def __post_init__(self) -> None:
        check_finite("alpha", self.alpha, 0.0, _MOST_PIXELS)
        if check_finite("sigma", self.sigma, most=_MOST_PIXELS) <= 0:
            raise SpecError(
                f"sigma must be positive, in pixels; got {shown(self.sigma)}. Use 4, as Simard et "
                "al."
            )

    def warp(self, rng: RowStreams, size: tuple[int, int]) -> Warp:
        """Return the map p ↦ p + α (G_σ ∗ U)(p)."""
        n = len(rng)
        field = smooth(rng.displacements((2, *size)), self.sigma, self.alpha)
        return Warp(np.tile(np.eye(2), (n, 1, 1)), np.zeros((n, 2)), field)


def smooth(fields: Floats, sigma: float, scale: float = 1.0) -> Floats:
    """Return scale · G_σ ∗ f for fields f (..., height, width), which are 0 outside.

    The Gaussian is separable, so the convolution is K_y f K_xᵀ: two products with banded matrices
    for each image. Each image has its own products, so its bits do not depend on the batch.
    """
    height, width = fields.shape[-2:]
    across = _smoothing_matrix(width, sigma, 1.0, fields.dtype.name).T
    down = _smoothing_matrix(height, sigma, scale, fields.dtype.name)
    with one_blas_thread():
        return np.asarray(np.matmul(down, np.matmul(fields, across)))


def gaussian_kernel(sigma: float) -> npt.NDArray[np.float64]:
    """Return g_k ∝ exp(−k²/2σ²) for |k| ≤ ⌊4σ + ½⌋, with Σ g_k = 1."""
    reach = int(_TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=16)
def _smoothing_matrix(length: int, sigma: float, scale: float, dtype: str) -> Floats:
    """Return K (length, length), K_ij = scale · g_{i−j}."""
    kernel = gaussian_kernel(sigma)
    reach = len(kernel) // 2
    distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    matrix = np.where(distance <= reach, kernel[np.minimum(reach + distance, 2 * reach)], 0.0)
    matrix = (scale * matrix).astype(dtype)
    matrix.flags.writeable = False
    return matrix
