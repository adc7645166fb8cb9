"""Accuracy and R² have the bits of scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, r2_score

from deltarule.network.scores import accuracy, r_squared


@given(
    st.integers(1, 300), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans(),
    st.sampled_from([np.float32, np.float64]), st.sampled_from([1e-200, 1e-3, 1.0, 1e30, 1e200]),
)  # fmt: skip
def test_scores_equal_scikit_learns(
    n: int, k: int, seed: int, weighted: bool, dtype: Any, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 3, n).astype(dtype) if weighted else None
    if weight is not None:
        weight[rng.random(n) < 0.3] = 0
        weight[0] = 1.5
    classes = rng.integers(0, k + 1, (2, n))
    assert accuracy(*classes, weight) == accuracy_score(*classes, sample_weight=weight)
    labels = rng.random((2, n, k)) < 0.7
    assert accuracy(*labels, weight) == accuracy_score(*labels, sample_weight=weight)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single row
        y = (scale * rng.normal(size=(n, k))).astype(dtype)
        y[:, 0] = rng.choice([1.0, 2.0], n) if rng.random() < 0.5 else 3.0
        guess = y + (scale * rng.normal(size=(n, k))).astype(dtype) * (rng.random(k) < 0.7)
        guess = guess.astype(dtype)
        if not (np.isfinite(y).all() and np.isfinite(guess).all()):
            return
        ours = r_squared(y, guess, weight)
        np.testing.assert_equal(ours, float(r2_score(y, guess, sample_weight=weight)))


def test_r_squared_of_one_row_is_not_defined() -> None:
    with pytest.warns(UserWarning, match="less than two samples"):
        assert np.isnan(r_squared(np.ones((1, 1)), np.ones((1, 1))))
