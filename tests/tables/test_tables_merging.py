"""What is learned of parts of a table, added up, is what is learned of the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deltarule.tables.statistics import CappedCounter, Moments, Sample

NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=30)
PIECES = st.lists(st.lists(NUMBERS, max_size=4), max_size=4)


@given(PIECES)
def test_moments_of_parts_are_those_of_all_pieces(parts: list[list[list[float]]]) -> None:
    whole, merged = Moments(), Moments()
    for pieces in parts:
        part = Moments()
        part.keep_pieces()
        for piece in pieces:
            whole.add(np.array(piece))
            part.add(np.array(piece))
        merged.follow(part)
    assert vars(merged) == vars(whole)


@given(PIECES, st.integers(1, 40), st.integers(0, 2**32))
def test_samples_of_parts_are_those_of_all_rows(
    parts: list[list[list[float]]], size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    whole, merged = Sample(size), Sample(size)
    for pieces in parts:
        part = Sample(size)
        for piece in pieces:
            hashes = rng.random(len(piece))
            whole.add(np.array(piece), hashes)
            part.add(np.array(piece), hashes)
        merged.merge(part)
    assert merged.limit == whole.limit
    assert sorted(zip(merged._hashes, merged.values, strict=True)) == sorted(
        zip(whole._hashes, whole.values, strict=True)
    )


@given(
    st.lists(st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=4), max_size=4),
    st.integers(1, 10),
)
def test_counters_of_parts_are_those_of_all_pieces(parts: list[list[list[int]]], most: int) -> None:
    whole, merged = CappedCounter(most), CappedCounter(most)
    for pieces in parts:
        part = CappedCounter(most)
        for piece in pieces:
            counted = np.unique(np.array(piece, dtype=np.int64), return_counts=True)
            whole.add(*counted)
            part.add(*counted)
        merged.merge(part)
    assert vars(merged) == vars(whole)
    assert list(merged.counts) == list(whole.counts)
