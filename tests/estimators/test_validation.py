"""Early stopping on a loss or a score; own validation sets, random splits and splitters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_squared_error, r2_score
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deltarule.errors import ShapeError, SpecError
from support.estimator_layers import STILL, fitted, new, outputs
from support.estimators import TASKS, data, parameters, unconverged

EARLY = {"early_stopping": True, "max_iter": 30, "learning_rate_init": 0.03, "n_iter_no_change": 5}


def halves(task: str, n: int = 80) -> tuple[Any, Any, Any, Any, Any]:
    """Return training rows, validation rows, and the weights of the validation rows."""
    X, y = data(task, n=n)
    weight = np.random.default_rng(1).integers(0, 4, n // 2).astype(float)
    return X[: n // 2], y[: n // 2], X[n // 2 :], y[n // 2 :], weight


def watched(task: str, monitor: Any, *, weighted: bool = True, **arguments: Any) -> Any:
    X, y, X_val, y_val, weight = halves(task)
    model = new(task, monitor=monitor, **{**EARLY, **arguments})
    with unconverged():
        return model.fit(X, y, X_val=X_val, y_val=y_val,
                         sample_weight_val=weight if weighted else None)  # fmt: skip


# --- what is watched ----------------------------------------------------------------------------

SCORERS = {
    "binary": ["roc_auc", "neg_log_loss", "f1_macro", "balanced_accuracy"],
    "multiclass": ["neg_log_loss", "accuracy"],
    "multilabel": ["f1_micro"],
    "numbers": ["neg_mean_absolute_error", "r2"],
    "several numbers": ["neg_root_mean_squared_error"],
    "counts": ["neg_mean_poisson_deviance"],
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(("task", "name"), [(t, n) for t, names in SCORERS.items() for n in names])
def test_the_final_model_has_the_best_score(task: str, name: str, standardize: bool) -> None:
    model = watched(task, name, standardize=standardize)
    _, _, X_val, y_val, weight = halves(task)
    score = get_scorer(name)(model, X_val, y_val, sample_weight=weight)
    assert score == pytest.approx(max(model.validation_scores_), rel=1e-9)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_


def test_a_callable_scores_the_current_estimator() -> None:
    def widest_miss(estimator: Any, X: Any, y: Any) -> float:
        return -float(np.abs(estimator.predict(X) - y).max())

    model = watched("numbers", widest_miss, weighted=False)
    _, _, X_val, y_val, _ = halves("numbers")
    assert widest_miss(model, X_val, y_val) == pytest.approx(max(model.validation_scores_))
    scorer = make_scorer(mean_squared_error, greater_is_better=False)
    model = watched("numbers", scorer)
    _, _, X_val, y_val, weight = halves("numbers")
    assert scorer(model, X_val, y_val, sample_weight=weight) == pytest.approx(
        max(model.validation_scores_)
    )


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_weighted_loss_is_watched_and_its_best_is_restored(
    task: str, standardize: bool
) -> None:
    model = watched(task, "loss", standardize=standardize)
    _, _, X_val, y_val, weight = halves(task)
    best = min(model.validation_loss_curve_)
    at = model.validation_loss_curve_.index(best)
    assert model.best_validation_score_ == model.validation_scores_[at]
    score = model.score(X_val, y_val, sample_weight=weight)
    assert score == pytest.approx(model.validation_scores_[at], rel=1e-9)
    if task in ("binary", "multiclass"):
        found = log_loss(y_val, model.predict_proba(X_val), sample_weight=weight)
        assert found == pytest.approx(best, rel=1e-9)
    if task == "numbers" and not standardize:
        found = mean_squared_error(y_val, model.predict(X_val), sample_weight=weight) / 2
        assert found == pytest.approx(best, rel=1e-9)


def test_patience_counts_epochs_without_a_lower_loss() -> None:
    """If no step changes the parameters, the first epoch is the best, and patience runs out."""
    model = watched("numbers", "loss", learning_rate_init=STILL, n_iter_no_change=3)
    assert model.n_iter_ == 5
    assert len(set(model.validation_loss_curve_)) == 1


@pytest.mark.parametrize("task", TASKS)
def test_auto_watches_scikit_learns_score(task: str) -> None:
    model, explicit = watched(task, "auto"), watched(task, "loss", n_iter_no_change=np.inf)
    _, _, X_val, y_val, weight = halves(task)
    assert model.score(X_val, y_val, sample_weight=weight) == pytest.approx(
        max(model.validation_scores_), rel=1e-9
    )
    n = model.n_iter_
    assert_allclose(explicit.validation_scores_[:n], model.validation_scores_, rtol=1e-9)
    assert_allclose(explicit.validation_loss_curve_[:n], model.validation_loss_curve_, rtol=1e-9)


def test_rows_of_weight_zero_are_not_watched() -> None:
    X, y, X_val, y_val, _ = halves("numbers")
    weight = (np.arange(40) % 2).astype(float)
    with unconverged():
        by_weight = new(**EARLY).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
        alone = new(**EARLY).fit(X, y, X_val=X_val[1::2], y_val=y_val[1::2])
    assert_allclose(by_weight.validation_scores_, alone.validation_scores_, rtol=1e-9)
    assert_allclose(by_weight.validation_loss_curve_, alone.validation_loss_curve_, rtol=1e-9)


def test_sample_weights_follow_the_held_out_rows() -> None:
    X, y = data("numbers", n=80)
    weight = np.random.default_rng(0).uniform(0, 2, 80)
    splitter = KFold(4)
    with unconverged():
        model = new(validation_fraction=splitter, monitor="r2", **EARLY).fit(X, y, weight)
    _, held = next(splitter.split(X))
    score = r2_score(y[held], model.predict(X[held]), sample_weight=weight[held])
    assert score == pytest.approx(max(model.validation_scores_), rel=1e-9)


def test_a_frame_keeps_its_names_for_the_scorer() -> None:
    X, y = data("binary", n=80)
    frame, labels = pd.DataFrame(X, columns=list("abcd")), pd.Series(y)
    for monitor in ("roc_auc", lambda estimator, X, y: float(X["a"].mean() + (y == "yes").mean())):
        with unconverged():  # and no warning that names are missing
            model = new("binary", monitor=monitor, **EARLY).fit(frame, labels)
        assert len(model.validation_scores_) == model.n_iter_


def test_a_scorer_reads_sparse_rows() -> None:
    X, y = data("binary", n=80)
    model = new("binary", monitor="roc_auc", **EARLY)
    with unconverged():
        dense = new("binary", monitor="roc_auc", **EARLY).fit(X, y)
        model.fit(sp.csc_array(X), y)
    assert_allclose(model.validation_scores_, dense.validation_scores_, rtol=1e-9)


def test_nothing_is_watched_without_early_stopping() -> None:
    model = fitted(monitor="loss")
    assert model.validation_scores_ is None
    assert model.validation_loss_curve_ is None
    assert_array_equal(parameters(model), parameters(fitted()))


# --- which rows are watched ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "splitter",
    [KFold(5, shuffle=True, random_state=3), TimeSeriesSplit(4), ShuffleSplit(1, random_state=0)],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize("standardize", [False, True])
def test_the_first_fold_of_a_splitter_is_held_out(splitter: Any, standardize: bool) -> None:
    X, y = data("numbers", n=80)
    arguments = {**EARLY, "standardize": standardize}
    kept, held = next(splitter.split(X, y))
    with unconverged():
        by_splitter = new(validation_fraction=splitter, **arguments).fit(X, y)
        by_hand = new(**arguments).fit(X[kept], y[kept], X_val=X[held], y_val=y[held])
    assert_array_equal(parameters(by_splitter), parameters(by_hand))
    assert by_splitter.validation_scores_ == by_hand.validation_scores_


def test_groups_stay_together() -> None:
    X, y = data("binary", n=80)
    groups = np.arange(80) % 7
    seen: list[Any] = []

    def remember(estimator: Any, rows: Any, labels: Any) -> float:
        seen.append(rows)
        return float(np.mean(estimator.predict(rows) == labels))

    model = new("binary", validation_fraction=GroupKFold(4), monitor=remember, **EARLY)
    with unconverged():
        model.fit(X, y, groups=groups)
    held = {int(np.flatnonzero((row == X).all(axis=1))[0]) for row in seen[0]}
    assert {int(groups[i]) for i in held} & {int(groups[i]) for i in set(range(80)) - held} == set()


def test_groups_come_by_metadata_routing() -> None:
    X, y = data("binary", n=80)
    groups = np.arange(80) % 8
    with config_context(enable_metadata_routing=True), unconverged():
        model = new("binary", validation_fraction=GroupShuffleSplit(1, random_state=0), **EARLY)
        chain = make_pipeline(StandardScaler(), model.set_fit_request(groups=True))
        chain.fit(X, y, groups=groups)
        scaled = StandardScaler().fit_transform(X)
        alone = new("binary", validation_fraction=GroupShuffleSplit(1, random_state=0), **EARLY)
        alone.fit(scaled, y, groups=groups)
        assert_array_equal(outputs(chain[-1], scaled), outputs(alone, scaled))
        scores = cross_validate(chain, X, y, cv=GroupKFold(4), params={"groups": groups})
    assert scores["test_score"].shape == (4,)


def test_a_validation_set_passes_through_a_pipeline() -> None:
    X, y, X_val, y_val, weight = halves("binary")
    with config_context(enable_metadata_routing=True), unconverged():
        model = new("binary", monitor="loss", **EARLY).set_fit_request(
            X_val=True, y_val=True, sample_weight_val=True
        )
        chain = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        chain.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    scaler = StandardScaler().fit(X)
    with unconverged():
        alone = new("binary", monitor="loss", **EARLY).fit(
            scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val,
            sample_weight_val=weight,
        )  # fmt: skip
    assert_array_equal(chain[-1].validation_loss_curve_, alone.validation_loss_curve_)
    assert_array_equal(parameters(chain[-1]), parameters(alone))


def test_further_training_continues_to_watch() -> None:
    X, y = data("numbers", n=80)
    model = new(warm_start=True, **EARLY)
    with unconverged():
        model.fit(X, y)
        first = model.n_iter_
        model.fit(X, y)
    assert len(model.validation_loss_curve_) == first + model.n_iter_
    plain = fitted(warm_start=True)
    with unconverged():
        plain.set_params(early_stopping=True).fit(X, y)
    assert len(plain.validation_scores_) == plain.n_iter_


# --- what is refused ----------------------------------------------------------------------------


def refused(message: str, *, fit: Any = None, error: type[Exception] = ValueError, **arguments: Any) -> None:  # fmt: skip  # noqa: E501
    X, y = data("numbers", n=20)
    with pytest.raises(error, match=message):
        new(**{"early_stopping": True, **arguments}).fit(X, y, **(fit or {}))


def test_a_refused_scorer_does_not_change_the_earlier_fit() -> None:
    X, y = data("numbers")
    model = fitted()
    before = model.predict(X)
    model.set_params(early_stopping=True, monitor="neg_max_error")
    with pytest.raises(SpecError, match="takes no sample_weight"):
        model.fit(X, y, sample_weight=np.ones(40))
    assert_array_equal(model.predict(X), before)


def test_invalid_validation_arguments_are_refused() -> None:
    groups, weight = np.arange(20) % 3, np.ones(20)
    refused("'monitor' parameter of MLPRegressor", monitor="lowest")
    refused("'validation_fraction' parameter of MLPRegressor", validation_fraction=1.0)
    refused("'validation_fraction' parameter of MLPRegressor", validation_fraction="first")
    refused("'neg_max_error' takes no sample_weight", error=SpecError, monitor="neg_max_error",
            fit={"sample_weight": weight})  # fmt: skip
    refused("groups are for a splitter", fit={"groups": groups})
    refused("groups are for a splitter", fit={"groups": groups}, early_stopping=False,
            validation_fraction=GroupKFold(2))  # fmt: skip
    refused("'groups' parameter should not be None", validation_fraction=GroupKFold(2))
    refused(r"groups must have shape \(20,\)", error=ShapeError, fit={"groups": groups[:5]},
            validation_fraction=GroupKFold(2))  # fmt: skip
    refused("validation set is too small", validation_fraction=KFold(20))
    refused("solver='lbfgs' minimises over the whole set and does not stop early", error=SpecError,
            solver="lbfgs", fit={"X_val": np.ones((3, 4)), "y_val": [0, 1, 2]})  # fmt: skip
    refused("sample_weight_val goes with X_val", fit={"sample_weight_val": weight})
