"""The pipeline that training calls: transformations in order, with a random stream per row."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.geometry import Geometric
from deltarule.augmentation.streams import RowStreams
from deltarule.augmentation.transformation import Shape, Transformation, check_finite
from deltarule.augmentation.warps import resample
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.utils.arrays import is_sparse
from deltarule.utils.checks import check_positive_integer, check_sequence, is_count, shown

__all__ = ["Augmenter", "Compose", "Transform"]

Transform: TypeAlias = Callable[[RowStreams, Any], Any]
"""A built-in transformation, or any f(rng, x) -> x' that keeps the shape of x (n, *shape)."""

_CHUNK = 128 * 28 * 28
"""How many numbers are processed at a time: they fit into the cache of a core."""


class Augmenter(Protocol):
    """Protocol of what training calls: it returns new inputs for given rows and a given epoch."""

    def __call__(self, x: Any, rows: Any, epoch: int) -> Any:
        """Return x' with the shape and type of x (n, ...); ``rows`` (n,) are global row numbers."""
        ...


@dataclass(frozen=True)
class Compose:
    """A pipeline of transformations, T = T_k ∘ … ∘ T₁, drawn again for every row and epoch.

    The result of a row depends, to the bit, only on the seed, the epoch, the row number, the
    pipeline and the row's values; it depends neither on the batch nor on the number of threads
    (see :mod:`.streams`). Consecutive geometric transformations are combined, so that the image
    is interpolated (bilinearly) only once.

    Parameters
    ----------
    transforms : sequence of transformations
        Built-in transformations, other pipelines (their transformations are included), or
        functions ``f(rng, x) -> x'`` of a :class:`RowStreams` and a batch (n, *shape).
    shape : tuple of int, optional
        The shape of one example: (height, width) or (height, width, channels) for images,
        (length,) for signals and tables. None uses the shape of the examples passed.
    seed : int, default=0
        The seed, in [0, 2⁶⁴).
    fill : float, default=0.0
        The value of pixels outside an image.
    n_threads : int, optional
        The number of threads; by default, the number of cores that the process may use.

    Raises
    ------
    SpecError
        If a transformation does not fit the shape, or a parameter is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule.augmentation import Elastic, Rotation, Translation
    >>> augmenter = Compose([Rotation(15), Translation(2, 2), Elastic()], shape=(28, 28), seed=1)
    >>> x = np.zeros((100, 784), dtype=np.float32)
    >>> augmenter(x, rows=np.arange(100), epoch=0).shape
    (100, 784)
    """

    transforms: Sequence[Transform]
    shape: Shape | None = None
    seed: int = 0
    fill: float = 0.0
    n_threads: int | None = None

    def __post_init__(self) -> None:
        flat: list[Transform] = []
        for i, transform in enumerate(
            check_sequence("transforms", self.transforms, "a list such as [Rotation(15)]")
        ):
            if isinstance(transform, Compose):
                flat.extend(transform.transforms)
            elif callable(transform) and not isinstance(transform, type):
                flat.append(transform)
            else:
                raise SpecError(
                    f"transforms[{i}] must be a transformation such as Rotation(15), or a function "
                    f"f(rng, x) -> x'; got {shown(transform)}."
                )
        object.__setattr__(self, "transforms", tuple(flat))
        if self.shape is not None:
            object.__setattr__(self, "shape", _checked_shape(self.shape))
        _check_word("seed", self.seed)
        check_finite("fill", self.fill)
        if self.n_threads is not None:
            check_positive_integer("n_threads", self.n_threads)
        for transform in flat:
            if isinstance(transform, Transformation):
                transform.check_shape(self.shape)

    def __call__(self, x: Any, rows: Any = None, epoch: int = 0) -> Any:
        """Return T(x), a new array with the shape and type of x.

        Parameters
        ----------
        x : (n, size) or (n, *shape) array
            Flat rows, or images. Integers are rounded and clipped to the range of their type.
        rows : (n,) integers, optional
            The number of each row in the data set; 0, 1, … by default.
        epoch : int, default=0
            The number of the epoch.

        Raises
        ------
        ShapeError
            If x does not have the pipeline's shape, or rows does not have one number per row.
        DataError
            If x does not contain real numbers, unless all transformations are functions.
        """
        if is_sparse(x):
            raise DataError("x must be a dense array; got a sparse one. Pass x.toarray().")
        x = _array("x", x)
        examples = self._examples(x)
        numbers = _checked_rows(rows, len(x))
        _check_word("epoch", epoch)
        result = np.empty_like(examples, order="C")
        size = max(1, _CHUNK // max(1, math.prod(examples.shape[1:])))
        chunks = [slice(start, start + size) for start in range(0, len(x), size)]

        def work(chunk: slice) -> None:
            result[chunk] = self._chunk(examples[chunk], numbers[chunk], epoch)

        threads = min(len(chunks), self.n_threads or _cores())
        if threads <= 1:
            for chunk in chunks:
                work(chunk)
        else:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(work, chunks):
                    pass
        return result.reshape(x.shape)

    def preview(self, x: Any, copies: int = 7, epoch: int = 0) -> Any:
        """Return (n, 1 + copies, *shape): each example, and its versions in ``copies`` epochs."""
        check_positive_integer("copies", copies)
        _check_word("epoch", epoch)
        x = self._examples(_array("x", x))
        return np.stack([x, *(self(x, None, epoch + i) for i in range(copies))], axis=1)

    def _examples(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of x with shape (n, *shape)."""
        if self.shape is None:
            shape = x.shape[1:]
            if x.ndim == 0:
                raise ShapeError("x must have a first axis of examples; got a single number.")
        else:
            shape = self.shape
            if x.ndim == 0 or x.shape[1:] not in (shape, (math.prod(shape),)):
                raise ShapeError(
                    f"x must have shape (n, {math.prod(shape)}) or (n, "
                    f"{', '.join(map(str, shape))}) for examples of shape {shape}; got {x.shape}."
                )
        if x.dtype.kind in "US":
            raise DataError(
                f"x must contain strings as objects, so that they can grow; got dtype {x.dtype}. "
                "Convert it with x.astype(object)."
            )
        transforms = [
            transform for transform in self.transforms if isinstance(transform, Transformation)
        ]
        for transform in transforms:
            if len(shape) not in transform.ranks:
                n_axes = " or ".join(str(rank + 1) for rank in transform.ranks)
                raise ShapeError(
                    f"x must have {n_axes} axes for {type(transform).__name__}, the first for the "
                    f"examples; got shape {x.shape}."
                )
        if transforms and x.dtype.kind not in "fiu":
            raise DataError(
                f"x must contain real numbers; got dtype {x.dtype}. Convert it, for example with "
                "x.astype('float32')."
            )
        return x.reshape(len(x), *shape)

    def _chunk(
        self, x: npt.NDArray[Any], rows: npt.NDArray[np.uint64], epoch: int
    ) -> npt.NDArray[Any]:
        """Return T(x) for some rows, with the type of x."""
        kind = x.dtype
        x = x.astype(np.result_type(kind, np.float32) if kind.kind in "fiu" else kind)
        stage = 0
        for geometric, group in groupby(self.transforms, lambda t: isinstance(t, Geometric)):
            if geometric:
                x = self._move(list(group), RowStreams(self.seed, epoch, rows, stage), x)
                stage += 1
                continue
            for transform in group:
                x = _applied(transform, RowStreams(self.seed, epoch, rows, stage), x)
                stage += 1
        return _rounded(x, kind) if kind.kind in "iu" else x.astype(kind, copy=False)

    def _move(self, transforms: list[Any], rng: RowStreams, x: Any) -> Any:
        """Return x transformed by all the geometric transformations, interpolated once."""
        size = (x.shape[1], x.shape[2])
        warp = transforms[0].warp(rng, size)
        for transform in transforms[1:]:
            warp = warp.then(transform.warp(rng, size))
        return resample(x, warp, self.fill)


def _applied(transform: Transform, rng: RowStreams, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the transformed x; raise ``ShapeError`` unless it has the shape of x."""
    moved = np.asarray(transform(rng, x), dtype=x.dtype)
    if moved.shape != x.shape:
        raise ShapeError(
            f"{transform!r} must return a batch of the shape {x.shape} that it was given; got "
            f"{moved.shape}."
        )
    return moved


def _rounded(x: npt.NDArray[Any], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return x rounded to the nearest integers of the type (64 bits: those that a float64 has)."""
    limits = np.iinfo(kind)
    most = x.dtype.type(limits.max)
    if int(most) > limits.max:
        most = np.nextafter(most, x.dtype.type(0))
    return np.asarray(np.rint(x).clip(limits.min, most).astype(kind))


def _checked_shape(shape: Any) -> Shape:
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not 1 <= len(shape) <= 3:
        raise SpecError(
            "shape must be (length,), (height, width) or (height, width, channels); got "
            f"{shown(shape)}."
        )
    return tuple(check_positive_integer(f"shape[{i}]", each) for i, each in enumerate(shape))


def _checked_rows(rows: Any, n: int) -> npt.NDArray[np.uint64]:
    if rows is None:
        return np.arange(n, dtype=np.uint64)
    numbers = _array("rows", rows)
    if numbers.shape != (n,):
        raise ShapeError(
            f"rows must have shape ({n},), one number per row of x; got {numbers.shape}."
        )
    if n > 0 and (numbers.dtype.kind not in "iu" or np.any(numbers < 0)):
        raise DataError("rows must be integers of at least 0: the rows' numbers in the data set.")
    return numbers.astype(np.uint64)


def _check_word(name: str, value: Any) -> None:
    if not is_count(value, below=1 << 64):
        raise SpecError(f"{name} must be an integer in [0, 2**64); got {shown(value)}.")


def _array(name: str, given: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} must be rectangular; got rows of unequal length.") from error


def _cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
