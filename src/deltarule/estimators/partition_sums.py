"""What a fit learns from rows in partitions: sums over each partition, added in order.

On a cluster each partition's sums are a task; in memory they are computed one after another. The
functions are the same, and so are the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.estimators.class_targets import ClassTargets
from deltarule.estimators.numeric_targets import NumericTargets
from deltarule.estimators.standardization import Scales
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network.class_weight import class_factors
from deltarule.program import Block, Interpreter, State
from deltarule.training import Metrics
from deltarule.utils.arrays import is_sparse
from deltarule.utils.blas import one_blas_thread

__all__ = [
    "Moments",
    "ScoreSums",
    "block_moments",
    "class_totals",
    "factors_of_classes",
    "metrics_of",
    "scales_of",
    "score_sums",
    "weighted",
]

Parts = Sequence[Any]


class Moments(NamedTuple):
    """Σw, the weighted mean, and Σw (x − mean)² of the columns of a partition, in float64."""

    weight: float
    mean: Any
    squares: Any

    @classmethod
    def of(cls, values: Any, weight: Any) -> Moments:
        """Return the moments of (n, d) values; n may be 0."""
        n, d = values.shape
        w = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
        total = float(np.sum(w))
        if total == 0.0:
            return cls(0.0, np.zeros(d), np.zeros(d))
        with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
            if is_sparse(values):
                from sklearn.utils.sparsefuncs import mean_variance_axis

                mean, variance = mean_variance_axis(values.astype(np.float64), axis=0, weights=w)
                return cls(total, mean, variance * total)
            x = np.asarray(values, dtype=np.float64)
            mean = np.sum(w[:, None] * x, axis=0) / total
            return cls(total, mean, np.sum(w[:, None] * (x - mean) ** 2, axis=0))

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """Return the moments of both (Chan, Golub & LeVeque 1983)."""
        if other.weight == 0.0 or self.weight == 0.0:
            return self if other.weight == 0.0 else other
        total = self.weight + other.weight
        with np.errstate(over="ignore", invalid="ignore"):
            step = other.mean - self.mean
            mean = self.mean + step * (other.weight / total)
            between = step * step * (self.weight * (other.weight / total))
            return Moments(total, mean, self.squares + other.squares + between)

    def scale(self, name: str) -> Any:
        """Return the deviation of every column; 1 for a constant one, as scikit-learn decides."""
        n, eps = self.weight, np.finfo(np.float64).eps
        with np.errstate(over="ignore", invalid="ignore"):
            variance = self.squares / n
            constant = variance <= n * eps * variance + (n * self.mean * eps) ** 2
        scale = np.where(constant, 1.0, np.sqrt(variance))
        if not (np.isfinite(self.mean).all() and np.isfinite(scale).all()):
            raise DataError(
                f"standardize=True found values in {name} whose variance is not finite. Divide "
                f"{name} by a constant first."
            )
        return scale


def block_moments(block: Block) -> tuple[Moments, Moments]:
    """Return the moments of a partition's inputs and targets."""
    return Moments.of(block.x, block.weight), Moments.of(block.y, block.weight)


def scales_of(parts: Sequence[tuple[Moments, Moments]], *, targets: bool, sparse: bool) -> Scales:
    """Return the scales that the moments of all partitions give."""
    x = reduce(Moments.__add__, (part[0] for part in parts))
    y = reduce(Moments.__add__, (part[1] for part in parts))
    mean = np.zeros_like(x.mean) if sparse else x.mean
    if not targets:
        return Scales(mean, x.scale("X"))
    return Scales(mean, x.scale("X"), y.mean, y.scale("y"))


# --- class weights -------------------------------------------------------------------------------


def class_totals(encoder: TargetEncoder, block: Block) -> Any:
    """Return Σw of every class of a partition."""
    assert isinstance(encoder, ClassTargets)
    w = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
    return np.bincount(encoder.class_numbers(block.y), weights=w, minlength=len(encoder.classes))


def factors_of_classes(encoder: TargetEncoder, totals: Callable[[], Parts]) -> Any:
    """Return the weight of every class (n_classes,), or None without ``class_weight``.

    ``totals`` returns the class totals of all partitions; only "balanced" asks for them.
    """
    given = encoder.class_weight if isinstance(encoder, ClassTargets) else None
    if given is None:
        return None
    assert isinstance(encoder, ClassTargets)
    if encoder.kind == "multilabel":
        raise SpecError(
            f"class_weight={given!r:.40} of several labels is not for partitions. Give sample "
            "weights instead, and set class_weight=None."
        )
    n_classes = len(encoder.classes)
    if given != "balanced":
        return class_factors(given, encoder.classes, np.arange(n_classes), None)
    counts = reduce(np.add, totals())
    present = counts > 0
    factors = np.ones(n_classes)
    factors[present] = counts[present].sum() / (np.count_nonzero(present) * counts[present])
    return factors


def weighted(encoder: TargetEncoder, block: Block, factors: Any) -> Block:
    """Return a block with the weights of its rows' classes multiplied in."""
    if factors is None or block.y is None:
        return block
    assert isinstance(encoder, ClassTargets)
    of_rows = factors[encoder.class_numbers(block.y)]
    with np.errstate(over="ignore"):
        weight = of_rows if block.weight is None else of_rows * block.weight
        return block._replace(weight=weight.astype(block.y.dtype))


# --- validation ----------------------------------------------------------------------------------


class ScoreSums(NamedTuple):
    """What loss and score of the rows held out are made of."""

    weight: float
    loss: float  # Σ w L
    right: Any  # Σw of the rows that are right; of numbers Σw (y − ŷ)² of every target
    moments: Moments  # of the targets, of numbers
    is_finite: bool

    def __add__(self, other: ScoreSums) -> ScoreSums:  # type: ignore[override]
        """Return the sums of both."""
        return ScoreSums(
            self.weight + other.weight,
            self.loss + other.loss,
            self.right + other.right,
            self.moments + other.moments,
            self.is_finite and other.is_finite,
        )


def score_sums(
    encoder: TargetEncoder, interpreter: Interpreter, state: State, block: Block
) -> ScoreSums:
    """Return the sums of a partition's rows that are held out, as the network takes them."""
    if isinstance(encoder, NumericTargets) and encoder.levels is not None:
        raise SpecError(
            "early stopping on partitions scores one number for each target, not several "
            "quantiles of one. Fit one quantile, or set early_stopping=False."
        )
    k, numeric = block.y.shape[1], isinstance(encoder, NumericTargets)  # type: ignore[union-attr]
    moments = Moments.of(block.y, block.weight) if numeric else Moments(0.0, 0.0, 0.0)
    if block.n_rows == 0:
        return ScoreSums(0.0, 0.0, np.zeros(k) if numeric else 0.0, moments, True)
    outputs, losses = interpreter.forward(state, block), interpreter.losses(state, block)
    w = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
    total, loss = float(np.sum(w)), float(np.sum(w * losses))
    right: Any
    if not np.isfinite(outputs).all():
        return ScoreSums(total, loss, np.zeros(k) if numeric else 0.0, moments, False)
    if numeric:
        with np.errstate(over="ignore", invalid="ignore"):
            right = np.sum(w[:, None] * (block.y.astype(np.float64) - outputs) ** 2, axis=0)  # type: ignore[union-attr]
    else:
        right = total * encoder.score(block.y, outputs, block.weight) if total else 0.0
        right = float(round(right)) if block.weight is None else right
    return ScoreSums(total, loss, right, moments, True)


def metrics_of(parts: Sequence[ScoreSums], loss_scale: float) -> Metrics:
    """Return mean loss, and accuracy or R², from the sums of all partitions."""
    sums = reduce(ScoreSums.__add__, parts)
    if not sums.is_finite:
        return Metrics(loss=float("nan"), score=float("nan"))
    loss = loss_scale * (sums.loss / sums.weight)
    if np.ndim(sums.right) == 0:
        return Metrics(loss, float(sums.right / sums.weight))
    total = sums.moments.squares
    scores = np.ones(len(total))
    wrong, varies = sums.right != 0, total != 0
    with np.errstate(over="ignore"):
        scores[wrong & varies] = 1 - sums.right[wrong & varies] / total[wrong & varies]
    scores[wrong & ~varies] = 0.0
    return Metrics(loss, float(np.mean(scores)))
