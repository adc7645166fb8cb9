"""Compare searches of the same length: `deltarule tune` and CatBoost with Optuna.

    python benchmarks/tuned.py --folder TABLES --tables a,b [--seconds 600] [--rows 10000]

Samples and splits are those of `benchmarks/defaults.py`. Both searches of a table run at the same
time, in processes of one thread each, and end after so many seconds of the clock. CatBoost's is by
Optuna's usual sampler over the usual space: a fifth of the training rows stops each fit early and
says which is best, and the best is fitted again on all training rows. Results are kept in a JSON
file; a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ["DELTARULE_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from defaults import ROOT, load, plain, split, tables_of
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

LEARNERS = ("deltarule", "CatBoost")
_MOST_TREES, _PATIENCE = 2000, 50


def tuned(learner: str, parts: tuple[Any, ...], regression: bool, seconds: float) -> Any:
    """Return a model after a search of so many seconds, and what it tried."""
    X, _, y, _ = parts
    if learner == "CatBoost":
        return _tuned_catboost(plain(X), y, regression, seconds)
    import deltarule

    kind = deltarule.TabularRegressor if regression else deltarule.TabularClassifier
    model = kind(random_state=0).tune(X, y, seconds=seconds)
    return model, len(model.tuning_.tried)


def _tuned_catboost(X: Any, y: Any, regression: bool, seconds: float) -> Any:
    import catboost
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    texts = [column for column in X.columns if X[column].dtype.kind != "f"]
    kind = catboost.CatBoostRegressor if regression else catboost.CatBoostClassifier
    rows, dev = train_test_split(
        np.arange(len(y)), test_size=0.2, random_state=0, stratify=None if regression else y
    )
    end = time.monotonic() + seconds

    def made(**given: Any) -> Any:
        return kind(
            **given, random_seed=0, thread_count=1, verbose=False, cat_features=texts,
            allow_writing_files=False,
        )  # fmt: skip

    def loss_of(trial: Any) -> float:
        model = made(
            iterations=_MOST_TREES,
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            depth=trial.suggest_int("depth", 3, 10),
            l2_leaf_reg=trial.suggest_float("l2_leaf_reg", 0.1, 30.0, log=True),
            random_strength=trial.suggest_float("random_strength", 0.1, 10.0, log=True),
            bagging_temperature=trial.suggest_float("bagging_temperature", 0.0, 1.0),
        )
        late = _Clock(end)
        model.fit(X.iloc[rows], y[rows], eval_set=(X.iloc[dev], y[dev]), callbacks=[late],
                  early_stopping_rounds=_PATIENCE)  # fmt: skip
        trial.set_user_attr("trees", model.get_best_iteration() + 1)
        return float(next(iter(model.get_best_score()["validation"].values())))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    # The defaults first, as `tune` does.
    study.enqueue_trial({"learning_rate": 0.05, "depth": 6, "l2_leaf_reg": 3.0,
                         "random_strength": 1.0, "bagging_temperature": 1.0})  # fmt: skip
    study.optimize(loss_of, timeout=seconds)
    best = study.best_trial
    return made(iterations=best.user_attrs["trees"], **best.params).fit(X, y), len(study.trials)


class _Clock:
    """A callback of CatBoost that ends a fit when the time is over."""

    def __init__(self, end: float) -> None:
        self._end = end

    def after_iteration(self, info: Any) -> bool:
        """Return whether the fit goes on."""
        return time.monotonic() < self._end


def measure(name: str, learner: str, folder: Path, most: int, seconds: float) -> dict[str, float]:
    """Return the error or RMSE and the log loss on the test rows."""
    X, y, regression = load(name, tables_of(folder)[name], folder)
    parts = split(X, y, regression, most, 0)
    begin = time.monotonic()
    model, trials = tuned(learner, parts, regression, seconds)
    found: dict[str, float] = {"seconds": time.monotonic() - begin, "trials": trials}
    _, X_test, _, y_test = parts
    X_test = plain(X_test) if learner == "CatBoost" else X_test
    if regression:
        wrong = model.predict(X_test) - y_test
        return found | {"error": float(np.sqrt(np.mean(wrong**2)))}
    P = np.asarray(model.predict_proba(X_test), dtype=np.float64)
    P /= P.sum(axis=1, keepdims=True)
    classes = np.asarray(model.classes_).astype(str)
    return found | {
        "error": float(np.mean(classes[P.argmax(axis=1)] != y_test)),
        "log_loss": float(log_loss(y_test, P, labels=classes)),
    }


def main() -> None:
    """Search where a result is missing, both learners at the same time; print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tables", required=True, help="names, separated by commas")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "tuned.json")
    parser.add_argument("--learner", choices=LEARNERS, help="only this one, as a JSON line")
    chosen = parser.parse_args()
    if chosen.learner:
        found = measure(chosen.tables, chosen.learner, chosen.folder, chosen.rows, chosen.seconds)
        print(json.dumps(found))
        return
    kept = json.loads(chosen.json.read_text()) if chosen.json.exists() else {}
    for name in chosen.tables.split(","):
        held = kept.setdefault(name, {})
        line = [sys.executable, __file__, "--folder", str(chosen.folder), "--tables", name,
                "--seconds", str(chosen.seconds), "--rows", str(chosen.rows)]  # fmt: skip
        running = {
            learner: subprocess.Popen([*line, "--learner", learner], stdout=subprocess.PIPE)
            for learner in LEARNERS if learner not in held
        }  # fmt: skip
        for learner, process in running.items():
            said = process.communicate()[0].decode().splitlines()
            if process.returncode == 0:
                held[learner] = json.loads(said[-1])
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(kept, indent=1))
        print(name, held, flush=True)
    for what in ("error", "log_loss"):
        ratios = [held["deltarule"][what] / held["CatBoost"][what] for held in kept.values()
                  if all(what in held.get(learner, {}) for learner in LEARNERS)]  # fmt: skip
        if ratios:
            mean = np.exp(np.mean(np.log(ratios)))
            print(f"{what}: {mean:.3f} of CatBoost's ({len(ratios)} tables)")


if __name__ == "__main__":
    main()
