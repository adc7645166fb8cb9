"""Compare the defaults of table learners: deltarule, boosted trees, and networks of pytabkit.

    python benchmarks/defaults.py [--folder TABLES] [--tables a,b] [--rows 3000] [--seeds 1]
                                  [--ablate] [--picture PNG]

A folder of tables holds Parquet files and their ``index.json`` (name, target, task). Without one,
the catalogue of `benchmarks/tables.py` is measured. Every table has a seeded sample of at most so
many rows, split 75/25; every learner has its defaults, one thread, and the table as it comes.
Learners that are not installed are left out and named. Results are kept in a JSON file; a run goes
on where it stopped. With ``--ablate`` the default is compared with itself without one ingredient.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

os.environ.setdefault("DELTARULE_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from tabular.catalogue import CATALOGUE, is_installed

from deltarule.tables.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
FIRST = "HistGradientBoosting"
PACKAGES = {
    FIRST: "sklearn",
    "CatBoost": "catboost",
    "LightGBM": "lightgbm",
    "RealMLP-TD": "pytabkit",
    "TabM-D": "pytabkit",
}
TREES = (FIRST, "CatBoost", "LightGBM")
RANKED = (*TREES, "deltarule", "deltarule, ensemble=1")
Fits = dict[str, dict[str, dict[str, dict[str, float]]]]
"""By table, by seed and rows, by learner."""
VARIANTS: dict[str, dict[str, Any]] = {
    "deltarule": {},
    **{f"deltarule, ensemble={count}": {"ensemble": count} for count in (1, 2, 4)},
}
"""Our own learners: arguments that are not the defaults."""
EVEN = "without lower heights"
ABLATIONS: dict[str, dict[str, Any]] = {
    EVEN: {},
    "without bins": {"bins": 0},
    "without normal scores": {"scaling": "standard"},
    "with four networks": {"ensemble": 4},
    "with one recipe of four": {"recipes": [RECIPES[0].model_dump()]},
    "with 40 epochs of 100": {"ensemble": 8, "max_iter": 40, "n_iter_no_change": 10},
}
"""Ingredients of the default that are taken out, by arguments; `heights` takes out the first."""


CHOSEN_ON = ("Bikeshare", "Wage", "Default")
"""Tables of packages on which the default ensemble was chosen, with those of other packages."""


def tables_of(folder: Path | None) -> dict[str, dict[str, Any]]:
    """Return by name what is known of the tables of a folder, or of the catalogue."""
    if folder is not None:
        known = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        return {one["name"]: one for one in known}
    usable = [table for table in CATALOGUE.values() if is_installed(table)]
    return {
        table.name: {"task": "regression" if table.regression else "classes"}
        for table in usable
        if table.name not in ("linnerud", *CHOSEN_ON)  # linnerud has three targets
    }


def load(name: str, known: dict[str, Any], folder: Path | None) -> tuple[pd.DataFrame, Any, bool]:
    """Return the columns and the target of a table, and whether it is a quantity."""
    regression = known["task"] == "regression"
    if folder is None:
        X, y = CATALOGUE[name].load()
    else:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        frame = frame[frame[known["target"]].notna()]
        X, y = frame.drop(columns=known["target"]), frame[known["target"]].to_numpy()
    y = np.asarray(y, dtype=np.float64) if regression else np.asarray(y).astype(str)
    return X.reset_index(drop=True), y, regression


def split(X: pd.DataFrame, y: Any, regression: bool, most: int, seed: int) -> tuple[Any, ...]:
    """Return training and test rows of a sample; classes in proportion where each has enough."""
    rows = np.random.default_rng(seed).permutation(len(y))[:most]
    X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    if not regression:  # every class in both parts
        often = pd.Series(y).map(pd.Series(y).value_counts()).to_numpy() >= 8
        X, y = X[often].reset_index(drop=True), y[often]
    return tuple(
        train_test_split(
            X, y, test_size=0.25, random_state=seed, stratify=None if regression else y
        )
    )


def plain(X: pd.DataFrame) -> pd.DataFrame:
    """Return a table with numbers as float64 and all else as categories, as boosters take it."""
    found = {}
    for name, column in X.items():
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            found[name] = column.astype("float64")
        elif pd.api.types.is_datetime64_any_dtype(column):
            found[name] = column.astype("int64").astype("float64")
        else:
            found[name] = column.astype(object).where(column.notna(), "missing").astype(str)
    return pd.DataFrame(found)


def few(X: pd.DataFrame, X_test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both with texts as categories of the training rows, at most 254 a column."""
    X, X_test = X.copy(), X_test.copy()
    for name in X.columns:
        if X[name].dtype.kind != "f":
            known = X[name].value_counts().index[:254]
            X[name] = pd.Categorical(X[name], known)
            X_test[name] = pd.Categorical(X_test[name], known)
    return X, X_test


def booster(name: str, regression: bool, seed: int, X: pd.DataFrame) -> Any:
    """Return a booster, or a network of pytabkit, with its defaults."""
    if name == FIRST:
        from sklearn import ensemble

        kind = "Regressor" if regression else "Classifier"
        return getattr(ensemble, f"HistGradientBoosting{kind}")(
            random_state=seed, categorical_features="from_dtype"
        )
    if name == "CatBoost":
        import catboost

        made = catboost.CatBoostRegressor if regression else catboost.CatBoostClassifier
        texts = [column for column in X.columns if X[column].dtype.kind != "f"]
        return made(random_seed=seed, thread_count=1, verbose=False, cat_features=texts,
                    allow_writing_files=False)  # fmt: skip
    if name in ("RealMLP-TD", "TabM-D"):
        import pytabkit

        kind = "Regressor" if regression else "Classifier"
        network = getattr(pytabkit, f"{name.replace('-', '_')}_{kind}")
        return network(device="cpu", random_state=seed, n_threads=1, verbosity=0)
    import lightgbm

    made = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
    return made(random_state=seed, n_jobs=1, verbose=-1)


@contextmanager
def heights(name: str) -> Iterator[None]:
    """Let bins and categories be as high as numbers, for the ablation of their heights."""
    module = importlib.import_module("deltarule.tables.preparation")
    usual = module.usual_encoding  # type: ignore[attr-defined]
    if name == EVEN:
        module.usual_encoding = lambda columns: usual(columns)._replace(even=False)
    try:
        yield
    finally:
        module.usual_encoding = usual


def measure(name: str, parts: tuple[Any, ...], regression: bool, seed: int) -> dict[str, float]:
    """Return the error or RMSE, the log loss, the AUC of two classes, and a fit's seconds."""
    X, X_test, y, y_test = parts
    ours = VARIANTS | ABLATIONS
    if name in ours:
        import deltarule

        made = deltarule.TabularRegressor if regression else deltarule.TabularClassifier
        model = made(**ours[name], random_state=seed)
    else:
        X, X_test = plain(X), plain(X_test)
        if name != "CatBoost":
            X, X_test = few(X, X_test)
        model = booster(name, regression, seed, X)
    with warnings.catch_warnings(), heights(name):
        warnings.simplefilter("ignore")
        begin = process_time()
        model.fit(X, y)
        seconds = process_time() - begin
        if regression:
            error = float(np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2)))
            return {"error": error, "seconds": seconds}
        P = np.asarray(model.predict_proba(X_test), dtype=np.float64)
    P /= P.sum(axis=1, keepdims=True)
    classes = np.asarray(model.classes_).astype(str)
    wrong = float(np.mean(classes[P.argmax(axis=1)] != y_test))
    found = {
        "error": max(wrong, 0.5 / len(y_test)),
        "log_loss": float(log_loss(y_test, P, labels=classes)),
        "seconds": seconds,
    }
    if len(classes) == 2:
        found["auc"] = float(roc_auc_score(y_test == classes[1], P[:, 1]))
    score = getattr(getattr(model, "model_", None), "out_of_fold", None)
    return found | ({} if score is None else {"said": 1 - score.scores["accuracy"]})


class Summary(NamedTuple):
    """A learner over all tables: geometric means, of ratios to the first learner and of seconds."""

    error: float
    log_loss: float
    tables: int
    seconds: float
    ranks: tuple[float, float]  # means, by error and by log loss
    auc: float  # mean over tables of two classes


def summaries(fits: Fits, learners: list[str]) -> dict[str, Summary]:
    """Return what each learner reaches; means over the seeds of a table come first."""
    held: dict[str, dict[str, dict[str, float]]] = {}
    for table, kept in fits.items():
        for learner in learners:
            both = [
                (fit[learner], fit[FIRST]) for fit in kept.values() if {learner, FIRST} <= {*fit}
            ]
            if both:
                held.setdefault(table, {})[learner] = {
                    name: float(np.mean([one[name] for one, _ in both])
                                / (1 if name == "seconds" else np.mean([b[name] for _, b in both])))
                    for name in ("error", "log_loss", "seconds") if name in both[0][0]
                }  # fmt: skip
    found = {}
    for learner in learners:
        own = {table: all_[learner] for table, all_ in held.items() if learner in all_}
        if own:
            values = [_geometric([one[name] for one in own.values() if name in one])
                      for name in ("error", "log_loss", "seconds")]  # fmt: skip
            ranks = [_mean_rank(held, learner, name) for name in ("error", "log_loss")]
            found[learner] = Summary(
                values[0], values[1], len(own), values[2], (ranks[0], ranks[1]),
                _mean_auc(fits, learner),
            )  # fmt: skip
    return found


def _geometric(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")


def _mean_rank(held: dict[str, dict[str, dict[str, float]]], learner: str, name: str) -> float:
    """Return the mean rank of a learner's defaults among those of all; equal ones share ranks."""
    ranks = []
    for all_ in held.values():
        of = {one: kept[name] for one, kept in all_.items() if one in RANKED and name in kept}
        if learner in of:
            ranks.append(float(rankdata(list(of.values()))[list(of).index(learner)]))
    return float(np.mean(ranks)) if ranks else float("nan")


def _mean_auc(fits: Fits, learner: str) -> float:
    """Return the mean area under the ROC curve over the tables of two classes."""
    means = []
    for kept in fits.values():
        of_table = [fit[learner]["auc"] for fit in kept.values() if "auc" in fit.get(learner, {})]
        means += [np.mean(of_table)] if of_table else []
    return float(np.mean(means)) if means else float("nan")


def report(fits: Fits, learners: list[str]) -> dict[str, Summary]:
    """Print the learners, and where ours is behind the best of the trees by more than 8 %."""
    found = summaries(fits, learners)
    print(
        f"\n{'':28}{'error':>7}{'log loss':>10}{'tables':>8}{'CPU seconds':>13}{'mean ranks':>13}"
        f"{'AUC':>8}"
    )
    for learner, one in found.items():
        ranks = "" if np.isnan(one.ranks[0]) else f"{one.ranks[0]:.2f}, {one.ranks[1]:.2f}"
        auc = "" if np.isnan(one.auc) else f"{one.auc:.4f}"
        print(f"{learner:28}{one.error:7.3f}{one.log_loss:10.3f}{one.tables:8}{one.seconds:13.2f}"
              f"{ranks:>13}{auc:>8}")  # fmt: skip
    for table, kept in fits.items():
        trees = [np.mean([fit[tree]["error"] for fit in kept.values() if tree in fit])
                 for tree in TREES if any(tree in fit for fit in kept.values())]  # fmt: skip
        ours = [fit["deltarule"]["error"] for fit in kept.values() if "deltarule" in fit]
        if trees and ours and np.mean(ours) > 1.08 * min(trees):
            print(f"behind the best of the trees: {table}, {np.mean(ours) / min(trees):.3f}")
    said = [one["deltarule"] for kept in fits.values() for one in kept.values()
            if "said" in one.get("deltarule", {})]  # fmt: skip
    if said:
        ratio = np.exp(np.mean([np.log(max(one["said"], 1e-3) / one["error"]) for one in said]))
        print(f"error of classes out of fold / on the test rows: {ratio:.3f} ({len(said)} fits)")
    return found


def draw(found: dict[str, Summary], path: Path) -> None:
    """Draw errors and log losses against the seconds of a fit; networks by number are a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, name, title in zip(axes, ("error", "log_loss"), ("error", "log loss"), strict=True):
        ours = sorted((one.seconds, getattr(one, name), learner) for learner, one in found.items()
                      if learner.startswith("deltarule"))  # fmt: skip
        ax.plot(*list(zip(*ours, strict=True))[:2], "o-", color="#2b6cb0", label="deltarule")
        for seconds, value, learner in ours:
            count = learner.partition("=")[2] or "8"
            ax.annotate(count, (seconds, value), (4, 4), textcoords="offset points", fontsize=8)
        for learner, one in found.items():
            if not learner.startswith("deltarule"):
                ax.plot(one.seconds, getattr(one, name), "s", label=learner)
        ax.set_xscale("log")
        ax.set_xlabel("processor seconds of a fit")
        ax.set_title(f"{title}, relative to {FIRST}", fontsize=10)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def report_ablations(fits: Fits) -> None:
    """Print what each ingredient brings: ratios without it to the default, and standard errors.

    A ratio is the geometric mean over tables and seeds, each fit beside that of the default on the
    same rows; its standard error is that of the mean of logarithms, as if all were independent.
    """
    print(f"\n{'':28}{'error':>8}{'±':>7}{'log loss':>10}{'±':>7}{'seconds':>9}{'fits':>6}")
    for name in ABLATIONS:
        pairs = [(one[name], one["deltarule"]) for kept in fits.values() for one in kept.values()
                 if {name, "deltarule"} <= {*one}]  # fmt: skip
        if not pairs:
            continue
        line = f"{name:28}"
        for measure_ in ("error", "log_loss"):
            logs = np.log([a[measure_] / b[measure_] for a, b in pairs if measure_ in a])
            spread = np.std(logs, ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else np.nan
            value = np.exp(np.mean(logs)) if len(logs) else np.nan
            line += f"{value:{8 if measure_ == 'error' else 10}.3f}{value * spread:7.3f}"
        seconds = np.exp(np.mean([np.log(a["seconds"] / b["seconds"]) for a, b in pairs]))
        print(f"{line}{seconds:9.2f}{len(pairs):6}")


def main() -> None:
    """Measure what is missing, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="Parquet files with an index.json")
    parser.add_argument("--tables", help="names, separated by commas")
    parser.add_argument("--only", help="learners, separated by semicolons")
    parser.add_argument("--rows", type=int, default=10_000, help="at most so many of each table")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "defaults.json")
    parser.add_argument("--ablate", action="store_true", help="take ingredients of ours out")
    parser.add_argument("--picture", type=Path, help="a PNG of errors against seconds")
    chosen = parser.parse_args()
    wanted = [*PACKAGES, *VARIANTS]
    if chosen.ablate:
        wanted = ["deltarule", *ABLATIONS]
    if chosen.only:
        wanted = chosen.only.split(";")
    learners = [one for one in wanted
                if one in {**VARIANTS, **ABLATIONS}
                or importlib.util.find_spec(PACKAGES[one])]  # fmt: skip
    if left := [one for one in wanted if one not in learners]:
        print(f"left out, for they are not installed: {', '.join(left)}")
    fits = json.loads(chosen.json.read_text()) if chosen.json.exists() else {}
    known = tables_of(chosen.folder)
    names = chosen.tables.split(",") if chosen.tables else [*known]
    for name in names:
        X, y, regression = load(name, known[name], chosen.folder)
        for seed in range(chosen.seeds):
            kept = fits.setdefault(name, {}).setdefault(f"{seed}/{chosen.rows}", {})
            for learner in learners:
                if learner not in kept:
                    parts = split(X, y, regression, chosen.rows, seed)
                    try:
                        kept[learner] = measure(learner, parts, regression, seed)
                    except ValueError as error:
                        print(f"{name}: {learner} refuses: {error!s:.200}", flush=True)
                        continue
                    chosen.json.parent.mkdir(parents=True, exist_ok=True)
                    chosen.json.write_text(json.dumps(fits, indent=1))
                    print(name, seed, learner, kept[learner], flush=True)
    fits = {name: fits[name] for name in names}
    if chosen.ablate:
        report_ablations(fits)
    else:
        found = report(fits, learners)
        if chosen.picture:
            draw(found, chosen.picture)


if __name__ == "__main__":
    main()
