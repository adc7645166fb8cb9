"""Logarithmic sampling (T3) against SciPy's distributions, and inside scikit-learn's search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV

from deltarule.errors import SpecError
from deltarule.tuning import LogMomentum, LogUniform

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)


def test_log_uniform_agrees_with_scipy() -> None:
    drawn = LogUniform(1e-5, 1e-1).rvs(size=5000, random_state=0)
    assert stats.kstest(drawn, stats.loguniform(1e-5, 1e-1).cdf).pvalue > 1e-3
    decades = np.histogram(np.log10(drawn), bins=[-5, -4, -3, -2, -1])[0]
    low, high = stats.binom.interval(1 - 1e-6, 5000, 0.25)
    assert ((low <= decades) & (decades <= high)).all()


def test_momentum_is_logarithmic_in_one_minus_beta() -> None:
    drawn = LogMomentum(0.9, 0.9999).rvs(size=5000, random_state=0)
    assert stats.kstest(1 - drawn, stats.loguniform(1e-4, 1e-1).cdf).pvalue > 1e-3
    # The log of β itself, as the source has it, would put 90 % of the draws below 0.99 (E-ah).
    low, high = stats.binom.interval(1 - 1e-6, 5000, 1 / 3)
    assert low <= (drawn < 0.99).sum() <= high


@PROPERTY
@given(SEEDS, st.floats(1e-300, 1e300), st.floats(1.0001, 1e6))
def test_draws_stay_inside(seed: int, low: float, ratio: float) -> None:
    drawn = LogUniform(low, low * ratio).rvs(size=20, random_state=seed)
    assert ((low <= drawn) & (drawn <= low * ratio)).all()


@PROPERTY
@given(SEEDS, st.floats(0, 0.999), st.floats(1e-9, 1))
def test_momenta_stay_inside(seed: int, low: float, share: float) -> None:
    high = min(low + share * (1 - low), 1 - 2**-53)
    drawn = LogMomentum(low, high).rvs(size=20, random_state=seed)
    assert ((low <= drawn) & (drawn <= high)).all()


@pytest.mark.parametrize("distribution", [LogUniform(1e-3, 1), LogMomentum(0.5, 0.99)])
def test_seeds_and_shapes(distribution: Any) -> None:
    assert isinstance(distribution.rvs(random_state=0), float)
    assert distribution.rvs(random_state=0) == distribution.rvs(
        random_state=np.random.RandomState(0)
    )
    assert distribution.rvs(size=(2, 3), random_state=1).shape == (2, 3)
    first, second = (distribution.rvs(4, np.random.default_rng(7)).tolist() for _ in range(2))
    assert first == second
    stream = np.random.default_rng(7)
    assert distribution.rvs(random_state=stream) != distribution.rvs(random_state=stream)
    assert isinstance(distribution.rvs(), float)


def test_scikit_learn_searches_accept_them() -> None:
    space = {"learning_rate": LogUniform(1e-4, 1), "momentum": LogMomentum(0.9, 0.999)}
    first, second = (list(ParameterSampler(space, 5, random_state=0)) for _ in range(2))
    assert first == second
    assert len({point["momentum"] for point in first}) == 5
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    search = RandomizedSearchCV(
        Ridge(), {"alpha": LogUniform(1e-3, 1e3)}, n_iter=4, cv=2, random_state=0
    )
    clone(search).fit(X, y)
    assert 1e-3 <= search.fit(X, y).best_params_["alpha"] <= 1e3


@pytest.mark.parametrize(
    ("distribution", "ends", "message"),
    [
        (LogUniform, (0, 1), r"low must be in \(0, inf\); got 0"),
        (LogUniform, (1, np.inf), r"high must be in \(0, inf\); got inf"),
        (LogUniform, (1, 1), "low must be below high; got 1 and 1"),
        (LogUniform, (2, 1), "low must be below high; got 2 and 1"),
        (LogUniform, ("a", 1), "low must be a number"),
        (LogMomentum, (-0.1, 0.9), r"low must be in \[0, 1\); got -0.1"),
        (LogMomentum, (0.9, 1.0), r"high must be in \[0, 1\); got 1.0"),
        (LogMomentum, (0.9, 0.5), "low must be below high"),
    ],
)
def test_ends_are_checked(distribution: Any, ends: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        distribution(*ends)
