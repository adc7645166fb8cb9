"""Two comparisons: scikit-learn's MLP with the same arguments, and mean ranks of the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import rankdata
from speed.report import Table as Page
from speed.report import mark

from tabular.catalogue import CATALOGUE
from tabular.measurements import Results
from tabular.models import OURS, PEER, RECIPE, TREES

__all__ = ["compare_defaults", "is_as_good", "ranks"]

RANKED = (RECIPE, PEER, TREES)


def _column(
    results: Results, table: str, model: str, keys: Iterable[str], place: int
) -> np.ndarray:
    """Return the scores (place 0) or the seconds (place 1) of a model's fits."""
    return np.array([results.fits[table][model][key][place] for key in keys])


def _complete(results: Results, models: Sequence[str]) -> dict[str, list[str]]:
    """Return {table: keys of fits} for tables where all models were fitted on the same folds."""
    found = {}
    for table in CATALOGUE:
        fits = [results.fits.get(table, {}).get(name, {}) for name in models]
        keys = sorted(set(fits[0]).intersection(*fits[1:]))
        if keys:
            found[table] = keys
    return found


def _size(results: Results, table: str) -> str:
    rows, columns = results.sizes[table]
    return f"{rows:,} × {columns}"


def is_as_good(difference: float, error: float) -> bool:
    """Return whether a mean paired difference is at least −2 standard errors."""
    return bool(difference >= -2 * error)


def compare_defaults(results: Results) -> Page:
    """Return the comparison with scikit-learn's MLP: scores, differences, fit times."""
    rows, ratios, means, met = [], [], [], 0
    for table, keys in _complete(results, (OURS, PEER)).items():
        ours, peers = (_column(results, table, name, keys, 0) for name in (OURS, PEER))
        mine, theirs = (_column(results, table, name, keys, 1) for name in (OURS, PEER))
        difference = ours - peers
        error = difference.std(ddof=1) / np.sqrt(len(keys)) if len(keys) > 1 else float("nan")
        good = is_as_good(difference.mean(), error)
        ratios.append(float(np.median(theirs) / np.median(mine)))
        means.append(difference.mean())
        met += good
        rows.append(
            (
                table,
                _size(results, table),
                "R²" if CATALOGUE[table].regression else "accuracy",
                f"{ours.mean():.4f}",
                f"{peers.mean():.4f}",
                f"{difference.mean():+.5f} ± {error:.5f}{mark(good)}",
                f"{ratios[-1]:.2f}×",
            )
        )
    note = "No table has been measured."
    if rows:
        spread = np.std(means, ddof=1) / np.sqrt(len(means))
        note = (
            f"The mean paired difference is ≥ −2 standard errors on {met} of {len(rows)} tables; "
            f"its mean over tables is {np.mean(means):+.5f} ± {spread:.5f}. "
            f"scikit-learn's fits take {np.exp(np.mean(np.log(ratios))):.2f}× the time of "
            "deltarule's (medians over fits, geometric mean over tables)."
        )
    columns = ("table", "rows × columns", "score", OURS, PEER, "difference ± its standard error",
               "fit time ÷ ours")  # fmt: skip
    return Page("Same arguments as scikit-learn's MLP (its defaults)", columns, rows, note)


def ranks(results: Results) -> Page:
    """Return the comparison of the recipe with scikit-learn's MLP and boosted trees."""
    rows, places, development = [], [], []
    ratios: dict[str, list[float]] = {name: [] for name in RANKED}
    for table, keys in _complete(results, RANKED).items():
        scores = [_column(results, table, name, keys, 0).mean() for name in RANKED]
        places.append(rankdata([-score for score in scores]))
        seconds = {n: np.median(_column(results, table, n, keys, 1)) for n in RANKED}
        for name in RANKED:
            ratios[name].append(float(seconds[name] / seconds[PEER]))
        development.append(CATALOGUE[table].development)
        rows.append(
            (
                table,
                "development" if development[-1] else "",
                *(f"{score:.4f}" for score in scores),
                " ".join(f"{place:g}" for place in places[-1]),
            )
        )
    columns = ("table", "", *RANKED, "ranks")
    note = "No table has been measured."
    if rows:
        where = np.array(development)
        note = "Mean ranks: " + "; ".join(
            _means(label, np.array(places)[chosen])
            for label, chosen in [
                ("all tables", np.full(len(rows), True)),
                ("development tables", where),
                ("the other tables", ~where),
            ]
            if chosen.any()
        )
        times = ", ".join(f"{n} {np.exp(np.mean(np.log(ratios[n]))):.2f}×" for n in RANKED)
        note += f". Fit times relative to scikit-learn's MLP, aggregated as above: {times}."
    return Page("The tabular recipe compared with scikit-learn", columns, rows, note)


def _means(label: str, places: np.ndarray) -> str:
    means = ", ".join(
        f"{name} {mean:.2f}" for name, mean in zip(RANKED, places.mean(axis=0), strict=True)
    )
    return f"{label} ({len(places)}): {means}"
