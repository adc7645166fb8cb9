"""The search for arguments: what it keeps, how it goes on, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from deltarule import TabularClassifier, TabularRegressor, load
from deltarule.errors import (
    DivergenceError,
    MissingDependencyError,
    OutputError,
    SpecError,
)
from deltarule.tables.tuning import default_space
from deltarule.tables.tuning.search import _Watcher
from support.estimators import unconverged

optuna = pytest.importorskip("optuna")

rng = np.random.default_rng(0)
TABLE = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["red", "blue"], 80)})
Y = np.where(TABLE["a"] + (TABLE["b"] == "red") > 0.5, "yes", "no")
NUMBERS = (TABLE["a"] ** 2).to_numpy()


def small(trial: Any) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": (trial.suggest_int("width", 2, 8),),
        "learning_rate_init": trial.suggest_float("rate", 1e-3, 1e-1, log=True),
    }


def tuned(trials: int, **options: Any) -> TabularClassifier:
    return TabularClassifier(max_iter=5).tune(TABLE, Y, trials=trials, space=small, **options)


def test_the_best_trial_is_the_model() -> None:
    model = tuned(6)
    tried = model.tuning_.tried
    assert [one.number for one in tried] == list(range(6))
    best = min((one for one in tried if one.outcome == "complete"), key=lambda one: one.loss)
    assert model.tuning_.arguments == best.arguments
    assert model.get_params()["hidden_layer_sizes"] == best.arguments["hidden_layer_sizes"]
    kept = int(np.argmax(model.validation_scores_))
    assert best.loss == model.validation_loss_curve_[kept]
    with unconverged():
        again = clone(model).fit(TABLE, Y)
    np.testing.assert_array_equal(model.predict_proba(TABLE), again.predict_proba(TABLE))


def test_a_search_that_goes_on_gives_the_same_bits(tmp_path: Path) -> None:
    file = tmp_path / "search.db"
    whole = tuned(6)
    tuned(2, storage=file)
    model = tuned(6, storage=str(file))
    assert model.tuning_.tried == whole.tuning_.tried
    np.testing.assert_array_equal(model.predict_proba(TABLE), whole.predict_proba(TABLE))
    nothing_left = tuned(6, storage=file)  # the best is fitted again
    np.testing.assert_array_equal(nothing_left.predict_proba(TABLE), whole.predict_proba(TABLE))
    assert [path.name for path in tmp_path.iterdir()] == ["search.db"]


def test_a_killed_trial_counts_as_failed(tmp_path: Path) -> None:
    file = tmp_path / "search.db"
    tuned(2, storage=file)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    optuna.load_study(study_name="deltarule", storage=storage).ask()
    storage.remove_session()
    storage.engine.dispose()
    outcomes = [one.outcome for one in tuned(4, storage=file).tuning_.tried]
    assert outcomes == ["complete", "complete", "failed", "complete"]


def test_numbers_and_files(tmp_path: Path) -> None:
    model = TabularRegressor(max_iter=3).tune(TABLE, NUMBERS, trials=2, space=small)
    path = model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(path).predict(TABLE), model.predict(TABLE))
    assert not hasattr(load(path), "tuning_")


def test_the_default_space_begins_near_the_defaults() -> None:
    model = TabularRegressor(max_iter=2).tune(TABLE, NUMBERS, trials=2)
    first = model.tuning_.tried[0].arguments
    assert first["hidden_layer_sizes"] == (128, 128)
    assert {name: first[name] for name in ("alpha", "dropout", "batch_size")} == {
        name: TabularRegressor().get_params()[name] for name in ("alpha", "dropout", "batch_size")
    }
    seen = [default_space(optuna.create_study().ask()) for _ in range(3)]
    for arguments in seen:
        TabularRegressor(**arguments)._validate_params()


def test_fits_that_fall_behind_are_given_up() -> None:
    def space(trial: Any) -> dict[str, Any]:
        return {"learning_rate_init": 0.05 if trial.number < 5 else 1e-7}

    model = TabularRegressor((4,), max_iter=40).tune(TABLE, NUMBERS, trials=6, space=space)
    last = model.tuning_.tried[-1]
    assert last.outcome == "pruned"
    assert 10 <= last.epochs < 40
    assert model.get_params()["learning_rate_init"] == 0.05


def test_time_ends_a_search_after_its_first_trial() -> None:
    model = TabularRegressor((4,), max_iter=10_000).tune(TABLE, NUMBERS, seconds=1e-6)
    assert len(model.tuning_.tried) == 1
    assert model.n_iter_ == 1


def test_ctrl_c_ends_the_search_with_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = _Watcher.on_fit_task_end

    def interrupted(self: Any, estimator: Any, context: Any) -> bool:
        if self.trial.number == 1 and self.epochs == 2:
            raise KeyboardInterrupt
        return ends(self, estimator, context)

    monkeypatch.setattr(_Watcher, "on_fit_task_end", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model = tuned(50)
    assert [one.outcome for one in model.tuning_.tried] == ["complete", "failed"]
    assert model.tuning_.interrupted
    assert model.predict(TABLE).shape == (80,)


def test_trials_that_diverge(tmp_path: Path) -> None:
    def space(trial: Any) -> dict[str, Any]:
        return {"learning_rate_init": 1e300 if trial.number != 1 else 0.01}

    regressor = TabularRegressor((4,), activation="identity", max_iter=5)
    model = clone(regressor).tune(TABLE, NUMBERS, trials=3, space=space)
    assert [one.outcome for one in model.tuning_.tried] == ["failed", "complete", "failed"]
    with pytest.raises(DivergenceError):
        clone(regressor).tune(
            TABLE, NUMBERS, trials=1, space=lambda trial: {"learning_rate_init": 1e300}
        )


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "search.db"
    tuned(1, storage=file)
    with pytest.raises(SpecError, match=r"storage.*another table.*name a new file"):
        TabularClassifier(max_iter=5).tune(TABLE, Y[::-1], trials=2, space=small, storage=file)
    with pytest.raises(SpecError, match="storage"):
        TabularClassifier(max_iter=6, unseen="error").tune(
            TABLE, Y, trials=2, space=small, storage=file
        )
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but the notes of someone\n" * 50)
    for place in (text, tmp_path, tmp_path / "none" / "search.db"):
        with pytest.raises(OutputError, match="storage"):
            tuned(1, storage=place)
    assert text.read_text().startswith("not a database")
    for space, message in (
        (3, "space must be a function"),
        (lambda trial: [1], "space must return a dict"),
        (lambda trial: {"ignore": ["a"]}, "space returned ignore"),
        (lambda trial: {"alpha": -1.0}, "alpha"),
    ):
        with pytest.raises((SpecError, ValueError), match=message):
            TabularClassifier(max_iter=2).tune(TABLE, Y, trials=1, space=space)
    for options, name in (({"seconds": 0}, "seconds"), ({"trials": 0}, "trials")):
        with pytest.raises(SpecError, match=name):
            TabularClassifier().tune(TABLE, Y, space=small, **options)
    with pytest.raises(SpecError, match="checkpoint"):
        TabularClassifier(checkpoint=tmp_path / "c").tune(TABLE, Y, trials=1, space=small)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"deltarule\[tune\]"):
        tuned(1)
