"""Image transformations against SciPy, exact cases, closed forms, and random parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from deltarule.augmentation import (
    ColorJitter,
    Compose,
    Crop,
    Elastic,
    Flip,
    GaussianNoise,
    Rotation,
    RowStreams,
    Scaling,
    Shear,
    Translation,
)
from deltarule.augmentation.elastic import gaussian_kernel, smooth
from deltarule.augmentation.warps import Warp, resample

RNG = np.random.default_rng(20)
MANY = 20_000


def streams(n: int, epoch: int = 0, stage: int = 0) -> RowStreams:
    return RowStreams(7, epoch, np.arange(n), stage)


def scipy_resample(image: Any, warp: Warp, i: int, fill: float) -> Any:
    """Return the same map by ``scipy.ndimage.map_coordinates``."""
    height, width = image.shape
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    points = (grid - middle) @ warp.matrix[i].T + warp.offset[i] + middle
    points = np.moveaxis(points, -1, 0)
    if warp.field is not None:
        points = points + warp.field[i]
    return ndimage.map_coordinates(image, points, order=1, mode="grid-constant", cval=fill)


# --- interpolation -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([None, 1, 3]),
    st.floats(-3, 3),
)
def test_bilinear_interpolation_equals_scipys(
    seed: int, height: int, width: int, channels: int | None, fill: float
) -> None:
    rng = np.random.default_rng(seed)
    n = 3
    x = rng.normal(size=(n, height, width) if channels is None else (n, height, width, channels))
    field = rng.normal(scale=2, size=(n, 2, height, width)) if seed % 2 else None
    warp = Warp(rng.normal(size=(n, 2, 2)), rng.normal(scale=3, size=(n, 2)), field)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 3e-4)):
        found = resample(x.astype(dtype), warp, fill)
        assert found.dtype == dtype
        for i in range(n):
            planes = x[i][..., np.newaxis] if channels is None else x[i]
            for c in range(planes.shape[-1]):
                expected = scipy_resample(planes[..., c], warp, i, fill)
                got = found[i] if channels is None else found[i, ..., c]
                np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_affine_transformations_equal_scipys() -> None:
    x = RNG.normal(size=(4, 9, 11))
    pieces = [Rotation(30), Shear(20, 10), Scaling((0.7, 1.4), per_axis=True), Translation(3, 2)]
    rng = streams(4)
    warp = pieces[0].warp(rng, (9, 11))
    for piece in pieces[1:]:
        warp = warp.then(piece.warp(rng, (9, 11)))
    middle = np.array([4.0, 5.0])
    found = Compose(pieces, shape=(9, 11), seed=7)(x)
    for i in range(4):
        offset = warp.offset[i] + middle - warp.matrix[i] @ middle
        expected = ndimage.affine_transform(
            x[i], warp.matrix[i], offset, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-12)


def test_a_pipeline_equals_its_transformations_in_order() -> None:
    # On an image that is linear in x and y, bilinear interpolation is exact away from the edges.
    y, x = np.mgrid[-20:21, -20:21].astype(float)
    ramp = (2 * y - 3 * x)[np.newaxis]
    pieces = [Rotation((25, 25)), Translation((2.5, 2.5), (-1, -1)), Shear((9, 9), (-4, -4))]
    pieces.append(Scaling((1.2, 1.2)))
    step = ramp
    for piece in pieces:
        step = Compose([piece], shape=(41, 41))(step)
    once = Compose(pieces, shape=(41, 41))(ramp)
    np.testing.assert_allclose(once[0, 12:29, 12:29], step[0, 12:29, 12:29], rtol=0, atol=1e-12)


def test_warps_compose_as_functions_do() -> None:
    # (x ∘ φ₁) ∘ φ₂ reads x at φ₁(φ₂(p)); displacement fields add up on the grid of the output.
    n, height, width = 3, 4, 5
    first, second = (
        Warp(
            RNG.normal(size=(n, 2, 2)),
            RNG.normal(size=(n, 2)),
            RNG.normal(size=(n, 2, height, width)),
        )
        for _ in range(2)
    )
    both = first.then(second)
    p = RNG.normal(size=(n, 2))
    for i in range(n):
        inner = second.matrix[i] @ p[i] + second.offset[i]
        expected = first.matrix[i] @ inner + first.offset[i]
        np.testing.assert_allclose(both.matrix[i] @ p[i] + both.offset[i], expected, rtol=1e-12)
    assert first.field is not None
    assert second.field is not None
    assert both.field is not None
    np.testing.assert_allclose(both.field, np.sum([first.field, second.field], axis=0))
    assert first._replace(field=None).then(second).field is second.field
    assert first.then(second._replace(field=None)).field is first.field


def test_shear_is_the_inverse_of_leaning_then_rising() -> None:
    a, b = math.tan(math.radians(30)), math.tan(math.radians(20))
    lean, rise = np.array([[1, 0], [-a, 1]]), np.array([[1, -b], [0, 1]])  # on (y, x), y down
    warp = Shear((30, 30), (20, 20)).warp(streams(1), (5, 5))
    np.testing.assert_allclose(warp.matrix[0], np.linalg.inv(rise @ lean), rtol=1e-12, atol=1e-15)


# --- exact cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("turns", [-1, 1, 2, 3])
def test_quarter_turns_are_rot90(dtype: str, turns: int) -> None:
    x = (RNG.random((3, 8, 8, 3)) * 200).astype(dtype)
    turned = Compose([Rotation((90.0 * turns, 90.0 * turns))], shape=(8, 8, 3))(x)
    expected = np.rot90(x, turns, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, rtol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, -2), (-1, 4), (20, 0)])
def test_whole_translations_are_rolls_with_fill(dtype: str, right: int, down: int) -> None:
    x = (RNG.random((3, 7, 6)) * 100).astype(dtype)
    pad = 20
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=5)
    expected = np.roll(padded, (down, right), axis=(1, 2))[:, pad:-pad, pad:-pad]
    moved = Compose([Translation((right, right), (down, down))], shape=(7, 6), fill=5)(x)
    np.testing.assert_array_equal(moved, expected)


def test_a_fraction_is_of_the_width_or_the_height() -> None:
    x = RNG.random((2, 8, 10))
    pixels = Compose([Translation((3, 3), (-2, -2))], shape=(8, 10))(x)
    share = Compose([Translation((0.3, 0.3), (-0.25, -0.25), unit="fraction")], shape=(8, 10))(x)
    np.testing.assert_allclose(share, pixels, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 6), (6, 7, 3)])
def test_flips_mirror_exactly(shape: tuple[int, ...]) -> None:
    x = RNG.random((3, *shape), dtype=np.float32)
    np.testing.assert_array_equal(Compose([Flip(1.0)], shape=shape)(x), x[:, :, ::-1])
    np.testing.assert_array_equal(Compose([Flip(0.0, 1.0)], shape=shape)(x), x[:, ::-1])


def test_enlarging_by_two_reads_half_as_far() -> None:
    x = RNG.random((1, 5, 5))
    grown = Compose([Scaling((2, 2))], shape=(5, 5))(x)[0]
    np.testing.assert_allclose(grown[::2, ::2], x[0, 1:4, 1:4], rtol=0, atol=1e-15)


def test_shear_leans_to_the_right_and_rises_to_the_right() -> None:
    column = np.zeros((1, 9, 9))
    column[0, :, 4] = 1
    leaning = Compose([Shear((45, 45))], shape=(9, 9))(column)[0]
    np.testing.assert_allclose(leaning, np.eye(9)[::-1], rtol=0, atol=1e-12)
    row = column.transpose(0, 2, 1)
    rising = Compose([Shear((0, 0), (45, 45))], shape=(9, 9))(row)[0]
    np.testing.assert_allclose(rising, np.eye(9)[::-1], rtol=0, atol=1e-12)


def test_crops_are_windows_of_the_padded_image_all_equally_likely() -> None:
    x = RNG.random((8, 6))
    padded = np.pad(x, 2)
    windows = {padded[i : i + 8, j : j + 6].tobytes(): (i, j) for i in range(5) for j in range(5)}
    n = 5_000
    cropped = Compose([Crop(2)], shape=(8, 6), seed=3)(np.tile(x, (n, 1, 1)))
    places = [windows[picture.tobytes()] for picture in cropped]
    counts = np.unique(places, axis=0, return_counts=True)[1]
    assert len(counts) == 25
    assert stats.chisquare(counts).pvalue > 1e-4


def test_smaller_crops_stay_inside() -> None:
    x = np.ones((2_000, 10, 12))
    cropped = Compose([Crop(0, keep=0.5)], shape=(10, 12), fill=-1.0)(x)
    # p ↦ s p + t keeps pixel centres in the window; half a pixel of blend with the border remains.
    assert np.all(cropped[:, 1:-1, 1:-1] == 1)
    sides = Crop(0, keep=0.5).warp(streams(MANY), (10, 12)).matrix[:, 0, 0]
    assert stats.kstest(sides, stats.uniform(0.5, 0.5).cdf).pvalue > 1e-4


# --- drawn parameters: Kolmogorov-Smirnov at level 1e-4, fixed seed -------------------------------


def drawn_parameters() -> dict[str, tuple[Any, Any]]:
    """Return name -> (drawn values, expected distribution)."""
    size = (10, 20)

    def uniform(low: float, high: float) -> Any:
        return stats.uniform(low, high - low).cdf

    rotation = Rotation((-10, 30)).warp(streams(MANY), size).matrix
    moved = Translation(3, (0, 2)).warp(streams(MANY, 1), size).offset
    share = Translation(0.1, 0.2, "fraction").warp(streams(MANY, 2), size).offset
    scaled = Scaling((0.8, 1.4), per_axis=True).warp(streams(MANY, 3), size).matrix
    lean = Shear(20, (5, 15)).warp(streams(MANY, 4), size).matrix
    degrees = np.rad2deg(np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0]))
    return {
        "rotation": (degrees, uniform(-10, 30)),
        "right": (-moved[:, 1], uniform(-3, 3)),
        "down": (-moved[:, 0], uniform(0, 2)),
        "right, share": (-share[:, 1], uniform(-2, 2)),
        "down, share": (-share[:, 0], uniform(-2, 2)),
        "scale y": (1 / scaled[:, 0, 0], uniform(0.8, 1.4)),
        "scale x": (1 / scaled[:, 1, 1], uniform(0.8, 1.4)),
        "lean": (np.rad2deg(np.arctan(lean[:, 1, 0])), uniform(-20, 20)),
        "rise": (np.rad2deg(np.arctan(lean[:, 0, 1])), uniform(5, 15)),
    }


@pytest.mark.parametrize("name", list(drawn_parameters()))
def test_parameters_follow_their_distribution(name: str) -> None:
    values, cdf = drawn_parameters()[name]
    assert stats.kstest(values, cdf).pvalue > 1e-4


def test_parameters_are_drawn_independently() -> None:
    values = np.stack([values for values, _ in drawn_parameters().values()])
    off = np.corrcoef(values)[np.triu_indices(len(values), 1)]
    assert np.max(np.abs(off)) < 4.5 / math.sqrt(MANY)  # 36 pairs: P(false alarm) < 3e-4


def test_flips_happen_with_their_probability() -> None:
    signs = Flip(0.3, 0.8).warp(streams(MANY), (5, 5)).matrix
    for axis, probability in ((1, 0.3), (0, 0.8)):
        flips = int(np.sum(signs[:, axis, axis] < 0))
        assert stats.binomtest(flips, MANY, probability).pvalue > 1e-4


def test_noise_is_normal_and_scale_0_leaves_a_column_unchanged() -> None:
    x = np.full((MANY, 3), 5.0)
    noise = Compose([GaussianNoise([0.5, 0.0, 2.0])])(x) - x
    assert np.all(noise[:, 1] == 0)
    for column, scale in ((0, 0.5), (2, 2.0)):
        assert stats.kstest(noise[:, column], stats.norm(0, scale).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(noise[:, 0], noise[:, 2])[0, 1]) < 4.5 / math.sqrt(MANY)


# --- elastic -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.1, 1.0, 4.0, 9.0])
@pytest.mark.parametrize("size", [(28, 28), (11, 40)])
def test_smoothing_equals_scipys_gaussian_filter(sigma: float, size: tuple[int, int]) -> None:
    fields = RNG.uniform(-1, 1, size=(3, 2, *size))
    expected = ndimage.gaussian_filter(fields, sigma, mode="constant", axes=(2, 3))
    np.testing.assert_allclose(smooth(fields, sigma, 34.0), 34 * expected, rtol=0, atol=1e-12)
    single = smooth(fields.astype(np.float32), sigma, 34.0)
    np.testing.assert_allclose(single, 34 * expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("alpha", "sigma"), [(34.0, 4.0), (8.0, 2.0)])
def test_displacements_have_the_variance_of_smoothed_uniform_noise(
    alpha: float, sigma: float
) -> None:
    # var D(p) = (α²/3) Σ_i g²_{y−i} Σ_j g²_{x−j}, sums over the pixels of the image.
    n, size = 4_000, (28, 28)
    field = Elastic(alpha, sigma).warp(streams(n), size).field
    assert field is not None
    kernel = gaussian_kernel(sigma) ** 2
    reach = len(kernel) // 2
    kept = np.array([kernel[max(0, reach - i) : reach + 28 - i].sum() for i in range(28)])
    deviation = alpha / math.sqrt(3) * np.sqrt(np.outer(kept, kept))
    # 4000 values a pixel, close to normal: the deviation's standard error is 1/√8000 of it, 1.1 %.
    np.testing.assert_allclose(field.std(axis=0), np.stack([deviation] * 2), rtol=0.06)
    middle = alpha / (2 * math.sqrt(3 * math.pi) * sigma)
    assert deviation[14, 14] == pytest.approx(middle, rel=2e-3)
    centre = field[:, :, 14, 14]
    # The mean of 4000: 4.5 standard errors. The axes are independent.
    assert np.all(np.abs(centre.mean(axis=0)) < 4.5 * middle / math.sqrt(n))
    assert abs(np.corrcoef(centre.T)[0, 1]) < 4.5 / math.sqrt(n)
    # Neighbours at distance d are correlated as exp(−d²/4σ²), the Gaussian with itself.
    for d in (1, int(sigma)):
        found = np.corrcoef(field[:, 0, 14, 12], field[:, 0, 14, 12 + d])[0, 1]
        assert found == pytest.approx(math.exp(-(d**2) / (4 * sigma**2)), abs=0.04)


def test_simards_displacements_are_a_pixel_or_two() -> None:
    field = Elastic().warp(streams(500), (28, 28)).field
    assert field is not None
    assert field[:, :, 10:18, 10:18].std() == pytest.approx(
        34 / (2 * math.sqrt(3 * math.pi) * 4), rel=0.05
    )


def test_elastic_fields_and_affine_maps_are_interpolated_once() -> None:
    x = RNG.random((3, 12, 12))
    pieces = [Rotation(20), Elastic(20, 3), Translation(2, 2), Elastic(5, 2)]
    rng = streams(3)
    warp = pieces[0].warp(rng, (12, 12))
    for piece in pieces[1:]:
        warp = warp.then(piece.warp(rng, (12, 12)))
    found = Compose(pieces, shape=(12, 12), seed=7, fill=0.5)(x)
    for i in range(3):
        expected = scipy_resample(x[i], warp, i, 0.5)
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6)


# --- colour --------------------------------------------------------------------------------------


def test_colour_jitter_equals_pils() -> None:
    enhance = pytest.importorskip("PIL.ImageEnhance")
    image = pytest.importorskip("PIL.Image")
    x = (RNG.random((9, 8, 3)) * 255).astype(np.uint8)
    picture = image.fromarray(x)
    for name, tool in (
        ("brightness", enhance.Brightness),
        ("contrast", enhance.Contrast),
        ("saturation", enhance.Color),
    ):
        for factor in (0.0, 0.4, 1.3):
            piece = ColorJitter(**{name: (factor, factor)}, limits=(0, 255))
            found = Compose([piece], shape=(9, 8, 3))(x[np.newaxis])[0]
            expected = np.asarray(tool(picture).enhance(factor))
            # PIL cuts off and rounds grey values to integers.
            assert np.max(np.abs(found.astype(int) - expected)) <= 2, (name, factor)


def test_colour_jitter_draws_its_factors_uniformly() -> None:
    x = np.tile(np.array([[0.2, 0.6]]), (MANY, 1, 1))
    bright = Compose([ColorJitter(brightness=0.4)], shape=(1, 2))(x)
    assert stats.kstest(bright[:, 0, 0] / 0.2, stats.uniform(0.6, 0.8).cdf).pvalue > 1e-4
    contrast = Compose([ColorJitter(contrast=(0.5, 1.5))], shape=(1, 2))(x)
    np.testing.assert_allclose(contrast.mean(axis=(1, 2)), 0.4, rtol=1e-12)
    spread = (contrast[:, 0, 1] - contrast[:, 0, 0]) / 0.4
    assert stats.kstest(spread, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-4


def test_values_are_clipped_to_limits_unless_none() -> None:
    x = np.tile(np.array([[0.1, 0.9]]), (100, 1, 1))
    held = Compose([ColorJitter(brightness=1.0)], shape=(1, 2))(x)
    free = Compose([ColorJitter(brightness=1.0, limits=None)], shape=(1, 2))(x)
    assert held.max() == 1.0
    assert free.max() > 1.0
    np.testing.assert_array_equal(held, free.clip(0, 1))


def test_saturation_of_one_is_allowed_for_grey_images() -> None:
    x = RNG.random((2, 5, 5))
    same = Compose([ColorJitter(saturation=(1.0, 1.0))], shape=(5, 5))(x)
    np.testing.assert_array_equal(same, x)


def test_two_channels_keep_their_ratio_under_contrast() -> None:
    x = RNG.random((4, 5, 5, 2))
    found = Compose([ColorJitter(contrast=(0.0, 0.0))], shape=(5, 5, 2))(x)
    np.testing.assert_allclose(
        found, np.broadcast_to(x.mean(axis=(1, 2, 3), keepdims=True), x.shape)
    )


def test_a_transformation_can_be_called_directly() -> None:
    x = RNG.random((3, 6, 6))
    direct = Rotation(30)(streams(3), x)
    np.testing.assert_array_equal(direct, Compose([Rotation(30)], shape=(6, 6), seed=7)(x))
