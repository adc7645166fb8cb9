"""What does accuracy hide when classes are imbalanced?
====================================================

Precision, recall, costs (E1).

If 95 of 100 patients are healthy, predicting "healthy" for all of them has an accuracy of 95 %.
Precision and recall reveal this (Khabar §8.1). If a missed patient costs 19 times as much as a
false alarm, the best threshold changes.

Run it by::

    python examples/imbalance.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from deltarule import MLPClassifier
from deltarule.metrics import choose_threshold, cost_threshold, measure_classification

FALSE_ALARM, MISSED = 1.0, 19.0


def mean_cost(sick: np.ndarray, alarm: np.ndarray) -> float:
    """Return the mean cost of the mistakes per row."""
    return float(np.mean(FALSE_ALARM * (alarm & ~sick) + MISSED * (~alarm & sick)))


def main(output: Path = Path("examples-output")) -> None:
    """Print reports at three thresholds, and draw the precision-recall curve and the costs."""
    print(measure_classification([0] * 95 + [1] * 5, [0] * 100))

    X, y = make_classification(
        8000, 10, n_informative=4, weights=[0.95], flip_y=0, class_sep=0.8, random_state=0
    )
    X, X_rest, y, y_rest = train_test_split(X, y, test_size=0.75, stratify=y, random_state=0)
    X_dev, X_test, y_dev, y_test = train_test_split(
        X_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    model = MLPClassifier((16,), alpha=1.0, solver="lbfgs", max_iter=5000, random_state=0)
    model.fit(X, y)
    dev, test = model.predict_proba(X_dev)[:, 1], model.predict_proba(X_test)[:, 1]
    closed = cost_threshold(FALSE_ALARM, MISSED)
    chosen = choose_threshold(y_dev, dev, FALSE_ALARM, MISSED)
    print(f"\nclosed form: {closed:g}; on dev rows: {chosen}")
    for name, threshold in (("one half", 0.5), ("closed form", closed), ("dev", chosen.threshold)):
        alarm = test >= threshold
        report = measure_classification(y_test, alarm.astype(int), test)
        print(f"\n{name}, {threshold:.4f}: mean cost {mean_cost(y_test == 1, alarm):.4f}")
        print(report)

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    curve = report.curves[1]
    left.step(curve.recall, curve.precision, where="post", color="#2b6cb0")
    left.axhline(y_test.mean(), color="#718096", linestyle=":")
    left.set(xlabel="recall", ylabel="precision", ylim=(0, 1.03))
    left.set_title(f"average precision {curve.average_precision:.3f} (by chance: dotted)")
    cuts = np.linspace(0.001, 0.999, 999)
    right.plot(cuts, [mean_cost(y_test == 1, test >= t) for t in cuts], color="#c05621")
    right.axvline(closed, color="#718096", linestyle=":", label="closed form")
    right.axvline(chosen.threshold, color="#2f855a", linestyle="--", label="chosen on dev rows")
    right.set(xlabel="threshold", ylabel="mean cost of a test row")
    right.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "imbalance.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
