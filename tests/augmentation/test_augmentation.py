"""Augmentation pipelines: reproducible, new in every epoch, keeping shape and type (item D4)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deltarule.augmentation.compose as compose
from deltarule.augmentation import (
    ColorJitter,
    Compose,
    Crop,
    Elastic,
    Flip,
    GaussianNoise,
    PitchShift,
    Rotation,
    RowStreams,
    Scaling,
    Shear,
    TimeShift,
    Translation,
)
from deltarule.errors import DataError, ShapeError, SpecError


def wobble(rng: RowStreams, x: Any) -> Any:
    """A user's function: each row times its own number, plus its own noise."""
    extra = np.stack([rng.generator(i).normal(size=x.shape[1:]) for i in range(len(rng))])
    return x * rng.uniform(0.5, 1.5, (1,) * (x.ndim - 1)) + 0.1 * extra


IMAGE_PIECES = [
    Rotation(20),
    Rotation((-5, 40)),
    Translation(2, 3),
    Translation(0.1, 0.2, unit="fraction"),
    Scaling((0.8, 1.3)),
    Scaling((0.8, 1.3), per_axis=True),
    Shear(15, 5),
    Flip(0.5, 0.5),
    Crop(2),
    Crop(1, keep=0.7),
    Elastic(10, 2),
    Elastic(),
    GaussianNoise(0.1),
    ColorJitter(0.3, 0.4),
    wobble,
]
SIGNAL_PIECES = [
    TimeShift(3),
    TimeShift(4, outside="wrap"),
    PitchShift(2, outside="edge"),
    PitchShift(1),
    GaussianNoise(0.2),
    wobble,
]


@st.composite
def pipelines(draw: st.DrawFn) -> Compose:
    seed = draw(st.integers(0, 2**64 - 1))
    if draw(st.booleans()):
        shape: tuple[int, ...] = (draw(st.integers(5, 12)),)
        pieces = draw(st.lists(st.sampled_from(SIGNAL_PIECES), max_size=4))
    else:
        shape = (draw(st.integers(4, 9)), draw(st.integers(4, 9)))
        pieces = draw(st.lists(st.sampled_from(IMAGE_PIECES), max_size=5))
        channels = draw(st.sampled_from([None, 1, 3]))
        if channels is not None:
            shape = (*shape, channels)
        if channels == 3:
            pieces.append(ColorJitter(0.2, 0.2, 0.5))
    return Compose(pieces, shape=shape, seed=seed)


@settings(max_examples=60, deadline=None)
@given(pipelines(), st.data())
def test_results_do_not_depend_on_batches_or_threads(
    pipeline: Compose, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, 30))
    epoch = data.draw(st.integers(0, 2**40))
    dtype = data.draw(st.sampled_from(["float16", "float32", "float64", "uint8", "int16"]))
    assert pipeline.shape is not None
    x = np.random.default_rng(n).random((n, *pipeline.shape))
    x = (x * 100).astype(dtype) if dtype[0] in "ui" else x.astype(dtype)
    rows = data.draw(
        st.lists(st.integers(0, 2**62), min_size=n, max_size=n, unique=True).map(np.array)
    )
    kept = x.copy()
    whole = replace(pipeline, n_threads=1)(x, rows, epoch)
    assert whole.shape == x.shape
    assert whole.dtype == x.dtype
    np.testing.assert_array_equal(x, kept)
    flat = pipeline(x.reshape(n, -1), rows, epoch)
    assert flat.tobytes() == whole.tobytes()
    order = data.draw(st.permutations(range(n)).map(np.array))
    cut = data.draw(st.integers(0, n))
    for batch in (order[:cut], order[cut:]):
        assert pipeline(x[batch], rows[batch], epoch).tobytes() == whole[batch].tobytes()
    with pytest.MonkeyPatch.context() as patch:  # a chunk for each row or so: threads get work
        patch.setattr(compose, "_CHUNK", 2 * x[0].size)
        assert replace(pipeline, n_threads=3)(x, rows, epoch).tobytes() == whole.tobytes()


ALL = Compose(
    [Rotation(), Translation(), Scaling(), Shear(), Flip(), Crop(), Elastic(), GaussianNoise()],
    shape=(28, 28),
)


def test_results_of_the_benchmarked_size_do_not_depend_on_batches() -> None:
    x = np.random.default_rng(0).random((300, 784), dtype=np.float32)
    whole = ALL(x)
    for start, stop in [(0, 1), (1, 130), (130, 300)]:
        part = ALL(x[start:stop], np.arange(start, stop))
        assert part.tobytes() == whole[start:stop].tobytes()
    assert replace(ALL, n_threads=2)(x).tobytes() == whole.tobytes()


def test_each_seed_epoch_and_row_has_its_own_result() -> None:
    x = np.tile(np.random.default_rng(0).random((1, 28, 28)), (3, 1, 1))
    pictures = [
        picture.tobytes()
        for seed in (0, 1, 2**64 - 1)
        for epoch in (0, 1)
        for picture in replace(ALL, seed=seed)(x, np.array([0, 1, 2**33]), epoch)
    ]
    assert len(set(pictures)) == len(pictures)
    assert ALL(x, epoch=5).tobytes() == ALL(x, epoch=5).tobytes()


def test_equal_transformations_of_one_pipeline_draw_different_numbers() -> None:
    x = np.zeros((4, 6))
    once = Compose([GaussianNoise(1.0)])(x)
    twice = Compose([GaussianNoise(1.0), GaussianNoise(1.0)])(x)
    second = twice - once
    assert np.all(np.abs(second - once) > 1e-6)
    assert (
        Compose([Compose([GaussianNoise(1.0)]), Compose([GaussianNoise(1.0)])])(x).tobytes()
        == twice.tobytes()
    )


@pytest.mark.parametrize(
    "piece",
    [
        Rotation(0),
        Translation(0, 0),
        Scaling((1.0, 1.0)),
        Shear(0, 0),
        Flip(0, 0),
        Crop(0),
        Elastic(alpha=0),
        GaussianNoise(0),
        ColorJitter(),
    ],
)
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_zero_strength_changes_nothing(piece: Any, shape: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(0).random((5, *shape))
    if dtype == "uint8":
        x *= 255
        piece = replace(piece, limits=(0, 255)) if isinstance(piece, ColorJitter) else piece
    x = x.astype(dtype)
    result = Compose([piece], shape=shape, fill=3.0)(x)
    np.testing.assert_array_equal(result, x)


@pytest.mark.parametrize("piece", [TimeShift(0), PitchShift(0), GaussianNoise([0] * 8)])
def test_zero_strength_changes_no_signal(piece: Any) -> None:
    x = np.random.default_rng(0).random((5, 8))
    np.testing.assert_array_equal(Compose([piece])(x), x)


def test_a_function_may_replace_words() -> None:
    def synonyms(rng: RowStreams, x: Any) -> Any:
        for i, swap in enumerate(rng.uniform() < 0.5):
            x[i, 0] = x[i, 0].replace("good", "excellent") if swap else x[i, 0]
        return x

    texts = np.array([["one good day"]] * 40, dtype=object)
    changed = Compose([synonyms])(texts)
    assert set(changed[:, 0]) == {"one good day", "one excellent day"}
    assert set(texts[:, 0]) == {"one good day"}
    with pytest.raises(DataError, match="astype\\(object\\)"):
        Compose([synonyms])(texts.astype(str))


def test_functions_get_floats_and_integers_are_rounded_afterwards() -> None:
    seen = []

    def brighter(rng: RowStreams, x: Any) -> Any:
        seen.append(x.dtype)
        return x * 1.5

    x = np.array([[0, 3, 200]], dtype=np.uint8)
    np.testing.assert_array_equal(Compose([brighter])(x), [[0, 4, 255]])
    assert seen == [np.float32]
    most = np.array([[2**63 - 1, -(2**63)]])
    np.testing.assert_array_equal(Compose([brighter])(most), [[2**63 - 1024, -(2**63)]])


def test_preview_returns_the_original_and_the_epochs() -> None:
    x = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    shown = ALL.preview(x, copies=4, epoch=2)
    assert shown.shape == (3, 5, 28, 28)
    np.testing.assert_array_equal(shown[:, 0].reshape(3, -1), x)
    np.testing.assert_array_equal(shown[:, 2].reshape(3, -1), ALL(x, epoch=3))


def test_no_rows_and_no_transformations() -> None:
    x = np.zeros((0, 784))
    assert ALL(x).shape == (0, 784)
    y = np.ones((3, 4))
    copied = Compose([])(y)
    np.testing.assert_array_equal(copied, y)
    assert not np.shares_memory(copied, y)


def test_transformations_and_pipelines_are_frozen_values() -> None:
    assert Rotation(15) == Rotation(15.0)
    assert hash(GaussianNoise([1, 2])) == hash(GaussianNoise((1.0, 2.0)))
    assert Compose([Rotation(3)], shape=[8, 8]) == Compose((Rotation(3),), shape=(8, 8))
    with pytest.raises(FrozenInstanceError):
        Rotation(15).degrees = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rotation(-3), r"degrees must be in \[0, inf\); got -3"),
        (lambda: Rotation(float("nan")), "degrees"),
        (lambda: Rotation("15"), "degrees must be a number"),
        (lambda: Rotation((10, -10)), r"degrees must be \(low, high\).*Swap"),
        (lambda: Rotation((1, 2, 3)), "degrees must be a number or a pair"),
        (lambda: Translation(1, 1, unit="pixel"), "unit.*Did you mean 'pixels'"),
        (lambda: Translation(x=float("inf")), "x must be in"),
        (lambda: Scaling(0.1), r"factor must be a pair \(low, high\)"),
        (lambda: Scaling((0, 1)), "factor must be positive.*Flip"),
        (lambda: Shear(90), r"x must be in \[0, 90\)"),
        (lambda: Shear(0, (-90, 0)), r"y must be in \(-90, 90\)"),
        (lambda: Flip(1.5), "horizontal must be in"),
        (lambda: Flip(0.5, -1), "vertical must be in"),
        (lambda: Crop(-1), "padding must be an integer of at least 0"),
        (lambda: Crop(1.5), "padding must be an integer"),
        (lambda: Crop(0, keep=0), "keep must be in"),
        (lambda: Elastic(alpha=-1), "alpha must be in"),
        (lambda: Elastic(sigma=0), "sigma must be positive.*got 0"),
        (lambda: GaussianNoise(-0.1), "scale must be in"),
        (lambda: GaussianNoise([0.1, -1]), r"scale\[1\] must be in"),
        (lambda: GaussianNoise("much"), "scale must be a number or one for each column"),
        (lambda: ColorJitter(brightness=1.5), "brightness must leave factors of at least 0"),
        (lambda: ColorJitter(contrast=(-1, 1)), "contrast must leave factors"),
        (lambda: ColorJitter(limits=(1, 1)), r"limits must be \(low, high\)"),
        (lambda: ColorJitter(limits=1.0), r"limits must be \(low, high\)"),
        (lambda: TimeShift(-1), "samples"),
        (lambda: TimeShift(1, outside="wrp"), "outside.*Did you mean 'wrap'"),
        (lambda: PitchShift(1, outside=float("nan")), "outside"),
        (lambda: PitchShift(120), "semitones must be in"),
        (lambda: Compose(Rotation(3)), "transforms must be a list"),
        (lambda: Compose([Rotation], shape=(8, 8)), r"transforms\[0\] must be a transformation"),
        (lambda: Compose([Rotation(3)]), r"Rotation needs examples of shape \(height, width\)"),
        (lambda: Compose([TimeShift(3)], shape=(8, 8)), r"TimeShift needs .* \(length,\)"),
        (lambda: Compose([Crop(8)], shape=(8, 9)), "padding must be less than"),
        (lambda: Compose([ColorJitter(saturation=0.2)], shape=(8, 8)), "saturation needs images"),
        (lambda: Compose([GaussianNoise([1, 2])], shape=(3,)), "scale must be one number, or one"),
        (lambda: Compose([], shape=(8, 0)), r"shape\[1\] must be an integer of at least 1"),
        (lambda: Compose([], shape=(1, 2, 3, 4)), r"shape must be \(length,\)"),
        (lambda: Compose([], shape=28), r"shape must be \(length,\)"),
        (lambda: Compose([], seed=-1), r"seed must be an integer in \[0, 2\*\*64\)"),
        (lambda: Compose([], seed=2**64), "seed"),
        (lambda: Compose([], fill=float("nan")), "fill"),
        (lambda: Compose([], n_threads=0), "n_threads"),
        (lambda: ALL(np.zeros((2, 784)), epoch=-1), "epoch must be an integer"),
        (lambda: ALL.preview(np.zeros((2, 784)), copies=0), "copies"),
    ],
)
def test_invalid_parameters_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ALL(np.zeros((2, 783))), r"x must have shape \(n, 784\) or \(n, 28, 28\)"),
        (lambda: ALL(np.zeros(784)), "x must have shape"),
        (lambda: Compose([])(np.float64(3)), "a first axis of examples"),
        (lambda: Compose([TimeShift(1)])(np.zeros((2, 3, 4))), "x must have 2 axes for TimeShift"),
        (lambda: Compose([GaussianNoise([1, 2])])(np.zeros((4, 3))), "x must have 2 columns"),
        (lambda: ALL(np.zeros((2, 784)), rows=np.arange(3)), r"rows must have shape \(2,\)"),
        (lambda: Compose([lambda rng, x: x[:, :2]])(np.zeros((4, 3))), r"shape \(4, 3\).*\(4, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ALL(np.zeros((2, 784)), rows=[0.0, 1.0]), "rows must be integers"),
        (lambda: ALL(np.zeros((2, 784)), rows=[0, -1]), "rows must be integers of at least 0"),
        (lambda: ALL(np.zeros((2, 784), dtype=complex)), "x must contain real numbers"),
        (
            lambda: ALL(np.zeros((2, 784), dtype=bool)),
            "x must contain real numbers; got dtype bool",
        ),
    ],
)
def test_wrong_values_are_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


def test_sparse_rows_are_refused() -> None:
    from scipy.sparse import csr_array

    with pytest.raises(DataError, match="toarray"):
        ALL(csr_array(np.eye(784)))
