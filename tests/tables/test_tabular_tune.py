"""The search for recipes: what it keeps, how it goes on, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGINT, pthread_kill
from threading import Timer, main_thread
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from deltarule import TabularClassifier, TabularRegressor, load
from deltarule.errors import MissingDependencyError, OutputError, SpecError
from deltarule.tables import default_space
from deltarule.tables.recipes import RECIPES
from deltarule.tables.tuning import Watcher
from deltarule.tables.tuning.search import Deadline
from deltarule.tables.tuning.space import FIRST
from deltarule.tables.tuning.study import Study, Tried

optuna = pytest.importorskip("optuna")

rng = np.random.default_rng(0)
TABLE = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["red", "blue"], 80)})
Y = np.where(TABLE["a"] + (TABLE["b"] == "red") > 0.5, "yes", "no")
NUMBERS = (TABLE["a"] ** 2).to_numpy()
RECIPE: dict[str, Any] = {
    "hidden_layer_sizes": [4],
    "activation": "relu",
    "learning_rate_init": 0.05,
    "dropout": 0.0,
    "weight_decay": 0.01,
}


def space(trial: Any) -> dict[str, Any]:
    return RECIPE | {"learning_rate_init": trial.suggest_float("rate", 1e-3, 1e-1, log=True)}


def tuned(trials: int, /, **options: Any) -> TabularClassifier:
    """Search for one network; small, and fast."""
    model = TabularClassifier(max_iter=5)
    return model.tune(TABLE, Y, **{"trials": trials, "space": space} | options)


def test_the_best_trial_is_the_model() -> None:
    def wide(trial: Any) -> dict[str, Any]:
        return space(trial) | {"hidden_layer_sizes": [128, 64]}

    model = tuned(6, space=wide)
    found = model.tuning_
    assert [one.number for one in found.tried] == list(range(6))
    assert found.loss < found.default_loss
    best = min((one for one in found.tried if one.loss is not None), key=lambda one: one.loss)
    assert found.recipes == [best.recipe] == model.get_params()["recipes"]
    assert found.loss == best.loss
    again = clone(model).fit(TABLE, Y)
    np.testing.assert_array_equal(model.predict_proba(TABLE), again.predict_proba(TABLE))


def test_the_best_recipes_differ_in_their_activation() -> None:
    """One more of a kind comes after the best of every other kind; all in the order of losses."""

    class Told:
        def __init__(self, *losses: tuple[str, float]) -> None:
            self.tried = [
                Tried(i, {"activation": name, "width": i // 2}, loss, "complete")
                for i, (name, loss) in enumerate(losses)
            ]

    losses = [("relu", 0.4), ("relu", 0.4), ("relu", 0.1), ("silu", 0.5), ("relu", 0.2),
              ("selu", 0.3), ("silu", 0.6)]  # fmt: skip
    numbers = {
        count: [one.number for one in Study.best(Told(*losses), count)]  # type: ignore[arg-type]
        for count in (1, 2, 3, 4, 9)
    }
    assert numbers == {1: [2], 2: [2, 5], 3: [2, 5, 3], 4: [2, 4, 5, 3], 9: [2, 4, 5, 0, 3, 6]}


def test_an_ensemble_has_the_best_recipes_in_turn() -> None:
    model = TabularClassifier(ensemble=3, max_iter=4, bins=2)
    model.tune(TABLE, Y, trials=6, space=space)
    found = model.tuning_
    complete = [one for one in found.tried if one.outcome == "complete"]
    order = sorted(complete, key=lambda one: (one.loss, one.number))
    kinds = [one.recipe["activation"] for one in order]
    first = [i for i, kind in enumerate(kinds) if kind not in kinds[:i]]
    chosen = (first + [i for i in range(len(order)) if i not in first])[:4]
    best = [order[i].recipe for i in sorted(chosen)]
    assert found.recipes == (best if found.loss < found.default_loss else [])
    assert len(model.model_.networks) == 3
    kept = model.model_.out_of_fold.scores["log_loss"]
    assert kept == min(found.loss, found.default_loss)
    again = clone(model).fit(TABLE, Y)
    np.testing.assert_array_equal(model.predict_proba(TABLE), again.predict_proba(TABLE))


@pytest.mark.parametrize("options", [{}, {"ensemble": 2, "bins": 2}])
def test_a_search_that_goes_on_gives_the_same_bits(tmp_path: Path, options: Any) -> None:
    file = tmp_path / "search.db"

    def searched(trials: int, **more: Any) -> TabularClassifier:
        model = TabularClassifier(max_iter=3, **options)
        return model.tune(TABLE, Y, trials=trials, space=space, **more)

    whole = searched(7)
    searched(2, storage=file)
    model = searched(7, storage=str(file))
    assert model.tuning_.tried == whole.tuning_.tried
    np.testing.assert_array_equal(model.predict_proba(TABLE), whole.predict_proba(TABLE))
    nothing_left = searched(7, storage=file)
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


@pytest.mark.parametrize("options", [{}, {"ensemble": 2, "bins": 0}])
def test_recipes_survive_a_file(tmp_path: Path, options: Any) -> None:
    model = TabularRegressor(max_iter=3, recipes=[RECIPE], **options).fit(TABLE, NUMBERS)
    for number in range(len(model.model_.networks)):
        assert model.model_.member(number + 1).training_summary().widths[1:-1] == [4]
    again = load(model.save(tmp_path / "m.safetensors"))
    assert again.get_params()["recipes"] == [RECIPE]
    np.testing.assert_array_equal(again.predict(TABLE), model.predict(TABLE))
    refitted = clone(again).fit(TABLE, NUMBERS)
    np.testing.assert_array_equal(refitted.predict(TABLE), model.predict(TABLE))


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ("relu", "recipes.*must be"),
        ([], "recipes must be a list of dicts"),
        ([3], "recipes must be a list of dicts"),
        ([{"activation": "relu"}], r"recipes\[0\]"),
        ([RECIPE, RECIPE | {"learning_rate_init": -1.0}], r"recipes\[1\].*learning_rate_init"),
        ([RECIPE | {"momentum": 0.9}], "momentum"),
        ([RECIPE | {"activation": "reluu"}], r"recipes\[0\].*reluu.*one of"),
    ],
)
def test_recipes_that_are_none(recipes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TabularClassifier(recipes=recipes).fit(TABLE, Y)


def test_the_default_space_begins_with_the_default_recipes() -> None:
    study = optuna.create_study()
    for point, recipe in zip(FIRST, RECIPES, strict=True):
        study.enqueue_trial(point)
        assert default_space(study.ask()) == recipe.model_dump()
    for _ in range(20):
        TabularRegressor(recipes=[default_space(study.ask())])._arguments()


@pytest.mark.parametrize("options", [{"max_iter": 40}, {"max_iter": 8, "ensemble": 4, "bins": 2}])
def test_fits_that_fall_behind_are_given_up(options: Any) -> None:
    def worse(trial: Any) -> dict[str, Any]:
        return space(trial) | {"learning_rate_init": 0.05 if trial.number < 5 else 1e-7}

    model = TabularRegressor(**options).tune(TABLE, NUMBERS, trials=6, space=worse)
    last = model.tuning_.tried[-1]
    assert (last.outcome, last.loss) == ("pruned", None)
    assert all(one["learning_rate_init"] == 0.05 for one in model.tuning_.recipes)


def test_without_time_the_defaults_are_the_model() -> None:
    model = TabularRegressor(max_iter=3).tune(TABLE, NUMBERS, seconds=1e-6)
    assert model.tuning_.tried == []
    assert model.get_params()["recipes"] is None
    with pytest.warns(UserWarning, match="Maximum iterations"):
        usual = TabularRegressor(max_iter=3).fit(TABLE, NUMBERS)
    np.testing.assert_array_equal(model.predict(TABLE), usual.predict(TABLE))


def test_ctrl_c_ends_the_search_with_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Watcher.on_fit_task_end

    def interrupted(self: Any, estimator: Any, context: Any) -> bool:
        if self.trial.number == 1 and self.steps == 2:
            raise KeyboardInterrupt
        return ends(self, estimator, context)

    monkeypatch.setattr(Watcher, "on_fit_task_end", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model = tuned(50)
    assert [one.outcome for one in model.tuning_.tried] == ["complete", "stopped"]
    assert model.tuning_.interrupted
    assert model.predict(TABLE).shape == (80,)


def test_the_trial_that_runs_when_the_time_is_over_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Deadline, "passed", lambda deadline: bool(started))
    started: list[int] = []

    def begun(trial: Any) -> dict[str, Any]:
        started.append(trial.number)
        return space(trial)

    file = tmp_path / "s.db"
    model = tuned(5, space=begun, storage=file)
    assert [(one.outcome, one.loss) for one in model.tuning_.tried] == [("stopped", None)]
    monkeypatch.undo()
    outcomes = [one.outcome for one in tuned(2, storage=file).tuning_.tried]
    assert outcomes == ["stopped", "complete"]  # known from the file, and counted


def test_ctrl_c_within_the_steps_of_a_trial_ends_the_search() -> None:
    """A fit takes it, and returns the best that it has."""

    def alarmed(trial: Any) -> dict[str, Any]:
        if trial.number == 1:
            Timer(0.05, lambda: pthread_kill(main_thread().ident or 0, SIGINT)).start()
        return space(trial)

    begin = monotonic()
    with pytest.warns(UserWarning, match="interrupted"):
        model = TabularClassifier(ensemble=1).tune(TABLE, Y, seconds=300, space=alarmed)
    assert monotonic() - begin < 200
    assert model.tuning_.interrupted


def test_trials_that_diverge_never_win() -> None:
    def wild(trial: Any) -> dict[str, Any]:
        return RECIPE | {"learning_rate_init": 1e300, "activation": "identity"}

    model = TabularRegressor(max_iter=5).tune(TABLE, NUMBERS, trials=2, space=wild)
    assert len(model.tuning_.tried) == 2
    assert model.tuning_.recipes == []
    assert np.isfinite(model.predict(TABLE)).all()


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "search.db"
    tuned(1, storage=file)
    with pytest.raises(SpecError, match=r"storage.*another table.*name a new file"):
        TabularClassifier(max_iter=5).tune(TABLE[1:], Y[1:], trials=2, storage=file)
    with pytest.raises(SpecError, match="storage"):
        TabularClassifier(max_iter=6).tune(TABLE, Y, trials=2, storage=file)
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but the notes of someone\n" * 50)
    for place in (text, tmp_path, tmp_path / "none" / "search.db"):
        with pytest.raises(OutputError, match="storage"):
            tuned(1, storage=place)
    assert text.read_text().startswith("not a database")
    for wrong, message in (
        (3, "space must be a function"),
        (lambda trial: [1], "space must return a dict"),
        (lambda trial: {"alpha": 1.0}, "recipes"),
    ):
        with pytest.raises(SpecError, match=message):
            tuned(1, space=wrong)
    for options, name in (({"seconds": 0}, "seconds"), ({"trials": 0}, "trials")):
        with pytest.raises(SpecError, match=name):
            tuned(1, **options)
    for arguments, name in (
        ({"checkpoint": tmp_path / "c"}, "checkpoint"),
        ({"dropout": 0.1}, "dropout is what a search finds"),
    ):
        with pytest.raises(SpecError, match=name):
            TabularClassifier(**arguments).tune(TABLE, Y, trials=1, space=space)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"deltarule\[tune\]"):
        tuned(1)
