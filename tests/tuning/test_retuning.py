"""T4: retuning against cross-validation by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score

from deltarule.errors import DataError
from deltarule.tuning import retune

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 30))
Y = X @ RNG.normal(size=30) + 0.5 * RNG.normal(size=400)
GRID = {"alpha": [1e-3, 1.0, 30.0, 1e3]}


def test_few_noisy_rows_need_a_penalty_that_many_rows_do_not() -> None:
    few = slice(0, 24)
    study = GridSearchCV(Ridge(), GRID, cv=4).fit(X[few], Y[few])
    verdict = retune(study, X, Y, keep=4)
    assert verdict.earlier == study.best_params_
    scores = {a: cross_val_score(Ridge(alpha=a), X, Y, cv=4).mean() for a in GRID["alpha"]}
    kept = [c["alpha"] for c in verdict.search.cv_results_["params"]]
    assert len(kept) == 4
    assert verdict.chosen["alpha"] == max(kept, key=scores.__getitem__)
    assert verdict.is_stale is (verdict.chosen != verdict.earlier)
    gain = scores[verdict.chosen["alpha"]] - scores[verdict.earlier["alpha"]]
    assert verdict.gain == pytest.approx(gain, abs=1e-12)
    assert verdict.is_stale
    assert "is stale" in str(verdict)


def test_the_same_rows_give_the_same_choice() -> None:
    study = RandomizedSearchCV(Ridge(), GRID, n_iter=3, random_state=0, cv=4).fit(X, Y)
    verdict = retune(study, X, Y, keep=2)
    assert (verdict.is_stale, verdict.gain) == (False, 0.0)
    assert "still the best" in str(verdict)


@pytest.mark.parametrize("search", [GridSearchCV(Ridge(), GRID), None])
def test_an_unfitted_search_is_refused(search: Any) -> None:
    with pytest.raises(DataError, match="search must be a fitted"):
        retune(search, X, Y)
