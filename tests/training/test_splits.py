"""Train, dev and test (D1), and mini-batches (D3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.program import BatchSchedule, Block, State, StepLog
from deltarule.training import TrainingConfig, run_epochs, split_rows
from deltarule.training.batches import batch_bounds
from support.networks import SEEDS, proves


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (10, (6, 2, 2)),
        (100, (60, 20, 20)),
        (10_000, (6000, 2000, 2000)),
        (10_100, (9898, 101, 101)),
        (50_000, (49_000, 500, 500)),
    ],
)
def test_the_default_sizes(n: int, sizes: tuple[int, int, int]) -> None:
    """60/20/20 up to 10⁴ examples, 98/1/1 above (Matt R §4)."""
    assert tuple(map(len, split_rows(n))) == sizes


FRACTIONS = st.sampled_from(
    [None, (0.6, 0.2, 0.2), (0.8, 0.2, 0.0), (0.8, 0.0, 0.2), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)]
)


@proves(short=20, full=3000, n=st.integers(5, 400), fractions=FRACTIONS, seed=SEEDS)
def test_the_parts_are_disjoint_and_exhaust_the_rows(n: int, fractions: Any, seed: int) -> None:
    parts = split_rows(n, fractions, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    shares = fractions or (0.6, 0.2, 0.2)
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * n) <= 1
        assert part.dtype == np.int64


@proves(short=20, full=2000, n=st.integers(50, 400), classes=st.integers(2, 4), seed=SEEDS)
def test_every_part_has_the_classes_in_the_same_proportions(
    n: int, classes: int, seed: int
) -> None:
    labels = np.sort(np.random.default_rng(seed).integers(0, classes, n))
    parts = split_rows(n, labels=labels, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    whole = np.bincount(labels, minlength=classes)
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        counts = np.bincount(labels[part], minlength=classes)
        assert np.abs(counts - share * whole).max() <= 2


def test_a_seed_is_a_split_and_the_rows_are_shuffled() -> None:
    first, again, other = (split_rows(200, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert set(a) != set(c)
        assert not (np.diff(a) > 0).all()


@pytest.mark.parametrize(
    ("n", "given", "words"),
    [
        (10, {"fractions": (0.5, 0.2, 0.2)}, r"must be non-negative, .* sum to 1; got \(0\.5"),
        (10, {"fractions": (0.0, 0.5, 0.5)}, "with a train part"),
        (10, {"fractions": (1.2, -0.1, -0.1)}, "non-negative"),
        (10, {"fractions": (0.01, 0.5, 0.49)}, "leave a row to train on"),
        (10, {"labels": [0] * 9}, r"labels must have shape \(10,\).*got \(9,\)"),
        (10, {"seed": -1}, "seed must be an integer of at least 0; got -1"),
        (2.5, {}, "n_rows must be an integer of at least 1; got 2.5"),
    ],
)
def test_splits_that_cannot_be(n: int, given: Any, words: str) -> None:
    with pytest.raises((DataError, ShapeError, SpecError), match=words):
        split_rows(n, **given)


@proves(short=20, full=3000, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), seed=SEEDS)
def test_tiny_classes_are_for_training_first(sizes: list[int], seed: int) -> None:
    """Sizes are exact, no row is lost, and every class is trained on if that can be."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    n = len(labels)
    parts = split_rows(n, labels=labels, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert [len(part) for part in parts[1:]] == [round(0.2 * n)] * 2
    if n - len(sizes) >= 2 * round(0.2 * n):
        assert set(labels[parts[0]]) == set(range(len(sizes)))
    else:
        held = np.bincount(labels[np.concatenate(parts[1:])], minlength=len(sizes))
        assert (held <= sizes).all()


@pytest.mark.parametrize("n", range(1, 6))
def test_a_few_rows_are_split_too(n: int) -> None:
    """No row is lost, and the train part is never empty."""
    parts = split_rows(n)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert len(parts[0]) > 0


# --- D3 -------------------------------------------------------------------------------------------


@proves(short=35, full=5000, n=st.integers(1, 300), b=st.integers(1, 320))
def test_batches_are_full_but_the_last(n: int, b: int) -> None:
    sizes = np.diff(batch_bounds(n, b))
    assert len(sizes) == -(-n // b)  # ⌈n/b⌉
    assert sizes.sum() == n
    assert (sizes[:-1] == b).all()
    assert 1 <= sizes[-1] <= b


class Recorder:
    """An interpreter that takes no steps, and notes every epoch's order."""

    def __init__(self) -> None:
        self.orders: list[BatchSchedule] = []

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        self.orders.append(order)
        rows = np.diff(order.bounds)
        zeros = np.zeros(len(rows))
        return StepLog(rows, rows.astype(float), zeros, zeros)


def epochs_of(n: int, epochs: int, shuffle: Any, batch_size: int = 7) -> list[BatchSchedule]:
    recorder = Recorder()
    config = TrainingConfig(epochs, batch_size, 0.1, shuffle)
    run_epochs(recorder, State(np.zeros(1)), Block(np.zeros((n, 1))), config)  # type: ignore[arg-type]
    return recorder.orders


@proves(short=20, full=1000, n=st.integers(1, 100), b=st.integers(1, 40), seed=SEEDS)
def test_an_epoch_visits_every_row_once(n: int, b: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for order in epochs_of(n, 3, rng.permutation, b):
        np.testing.assert_array_equal(order.bounds, batch_bounds(n, b))
        visited = [order.batch(k) for k in range(order.n_batches)]
        assert order.n_batches == -(-n // b)
        np.testing.assert_array_equal(np.sort(np.concatenate(visited)), np.arange(n))


def test_epochs_are_shuffled_anew_unless_they_shall_not_be() -> None:
    rng = np.random.default_rng(0)
    shuffled = [tuple(order.rows) for order in epochs_of(50, 5, rng.permutation)]
    assert len(set(shuffled)) == 5
    plain = [tuple(order.rows) for order in epochs_of(50, 3, None)]
    assert plain == [tuple(range(50))] * 3
