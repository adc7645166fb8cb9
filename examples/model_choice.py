"""Which of several models is best?
================================

That with the lowest error on rows that it has not seen, or criterion (E2, E4, E5, E8).

Cross-validation estimates the error of polynomials by degree; AIC and BIC add the number of
parameters to the likelihood instead (Mebsout §6; Khabar §8; Akaike 1974; Schwarz 1978). The chosen
model is measured once, on test rows.

Run it by::

    python examples/model_choice.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from deltarule.metrics import (
    CrossValidation,
    InformationCriteria,
    cross_validated_cost,
    estimate_generalization_error,
    information_criteria,
    measure_regression,
    row_losses,
)

DEGREES = range(1, 10)
RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (160, 1))
Y = X[:, 0] ** 3 - X[:, 0] + 5 + 0.5 * RNG.normal(size=160)
TRAIN, TEST = slice(0, 60), slice(60, 160)


def polynomial(degree: int) -> object:
    """Return least squares on the powers up to the degree."""
    return make_pipeline(PolynomialFeatures(degree), LinearRegression())


def judged(degree: int) -> tuple[CrossValidation, InformationCriteria]:
    """Return the cross-validated cost and the criteria of a degree."""
    x, y = X[TRAIN], Y[TRAIN]
    rss = np.sum((polynomial(degree).fit(x, y).predict(x) - y) ** 2)
    likelihood = -len(y) / 2 * (np.log(2 * np.pi * rss / len(y)) + 1)  # Gaussian, at its maximum
    criteria = information_criteria(likelihood, degree + 2, len(y))  # with the variance
    return cross_validated_cost(polynomial(degree), x, y, folds=5), criteria


def main(output: Path = Path("examples-output")) -> None:
    """Print costs and criteria by degree and the test error of the best, and draw them."""
    found = [judged(degree) for degree in DEGREES]
    for degree, (cost, criteria) in zip(DEGREES, found, strict=True):
        print(f"degree {degree}: cost {cost.mean:.3f}, AIC {criteria.aic:.1f}, "
              f"BIC {criteria.bic:.1f}")  # fmt: skip
    best = DEGREES[int(np.argmin([cost.mean for cost, _ in found]))]
    model = polynomial(best).fit(X[TRAIN], Y[TRAIN])
    print(f"degree {best} on the test rows: {measure_regression(Y[TEST], model.predict(X[TEST]))}")
    losses = (row_losses(model, X[part], Y[part]) for part in (TEST, TRAIN))
    print(estimate_generalization_error(*losses))

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(DEGREES, [cost.mean for cost, _ in found], "o-", color="#2b6cb0")
    left.set(xlabel="degree", ylabel="cross-validated squared error")
    right.plot(DEGREES, [c.aic for _, c in found], "o-", color="#c05621", label="AIC")
    right.plot(DEGREES, [c.bic for _, c in found], "s--", color="#2f855a", label="BIC")
    right.set(xlabel="degree", ylabel="criterion")
    right.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "model_choice.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
