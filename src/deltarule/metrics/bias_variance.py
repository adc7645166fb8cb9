"""Diagnosis of bias and variance, with suggestions for what to try next (item E3)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.metrics._inputs import any_array, finite_array
from deltarule.utils.checks import check_between, check_name, check_seed

__all__ = ["BiasVarianceDiagnosis", "TargetComparison", "compare_targets", "diagnose_bias_variance"]

_FOR_BIAS = ("a bigger network", "longer training", "another architecture")
_FOR_VARIANCE = ("more data", "regularisation", "another architecture")


@dataclass(frozen=True)
class TargetComparison:
    """The result of a test whether two sets of targets come from the same distribution.

    Attributes
    ----------
    test : str
        The name of the test and its statistic.
    p_value : float
        The probability of a difference at least as large if the distributions are equal.
    level : float
        The significance level: ``differ`` is ``p_value < level``.
    """

    test: str
    p_value: float
    level: float

    @property
    def differ(self) -> bool:
        """Whether the distributions differ at the significance level."""
        return self.p_value < self.level

    def __str__(self) -> str:
        result = "differ" if self.differ else "do not differ significantly"
        return f"dev and test targets {result} ({self.test}, p = {self.p_value:.3g})"


@dataclass(frozen=True)
class BiasVarianceDiagnosis:
    """The result of :func:`diagnose_bias_variance`; ``print`` shows it.

    Attributes
    ----------
    bias : {"high", "borderline", "low"}
        High if E_tr ≥ 10ε, low if E_tr < ε.
    variance : {"high", "low"}
        High if E_dev − E_tr ≥ ε.
    train_error, dev_error, target : float
        E_tr, E_dev and ε.
    next_steps : tuple of str
        Suggestions, to be tried in this order.
    comparison : TargetComparison or None
        The comparison of the dev and test targets, if they were given.
    """

    bias: str
    variance: str
    train_error: float
    dev_error: float
    target: float
    next_steps: tuple[str, ...]
    comparison: TargetComparison | None = None

    def __str__(self) -> str:
        gap = self.dev_error - self.train_error
        lines = [
            f"bias {self.bias}: train error {self.train_error:.4g}, target {self.target:.4g}",
            f"variance {self.variance}: dev error {self.dev_error:.4g}, gap {gap:.4g}",
            f"try: {'; '.join(self.next_steps) or 'nothing, the model is good'}",
        ]
        if self.comparison is not None:
            lines.append(str(self.comparison))
        return "\n".join(lines)


def diagnose_bias_variance(
    train_error: float,
    dev_error: float,
    target: float,
    *,
    dev_targets: npt.ArrayLike | None = None,
    test_targets: npt.ArrayLike | None = None,
) -> BiasVarianceDiagnosis:
    """Return whether bias and variance are high, and what to try next (item E3).

    Bias is high if E_tr ≥ 10ε, low if E_tr < ε, else borderline; variance is high if
    E_dev − E_tr ≥ ε (Matt R §4, Mebsout; the sources' four cases overlap and leave gaps, erratum
    E-ag). The rules assume that the dev and test sets come from the same distribution.

    Parameters
    ----------
    train_error, dev_error : float
        Errors above the Bayes error, non-negative: subtract the error that no model can avoid.
    target : float
        ε > 0, the error above the Bayes error that would be good.
    dev_targets, test_targets : array-like, optional
        y of both sets. If their distributions differ, a ``UserWarning`` is issued.

    Returns
    -------
    diagnosis : BiasVarianceDiagnosis

    Raises
    ------
    SpecError
        If an error is negative or not finite, or the target is not positive.
    DataError
        If only one of ``dev_targets`` and ``test_targets`` is given.

    Examples
    --------
    >>> print(diagnose_bias_variance(0.005, 0.08, 0.01))
    bias low: train error 0.005, target 0.01
    variance high: dev error 0.08, gap 0.075
    try: more data; regularisation; another architecture
    """
    train = check_between("train_error", train_error, 0.0, open_high=True)
    dev = check_between("dev_error", dev_error, 0.0, open_high=True)
    goal = check_between("target", target, 0.0, open_low=True, open_high=True)
    bias = "high" if train >= 10 * goal else "low" if train < goal else "borderline"
    variance = "high" if dev - train >= goal else "low"
    steps = [*(_FOR_BIAS if bias != "low" else ()), *(_FOR_VARIANCE if variance == "high" else ())]
    comparison = None
    if (dev_targets is None) != (test_targets is None):
        missing = "dev_targets" if dev_targets is None else "test_targets"
        raise DataError(
            f"dev_targets and test_targets belong together; {missing} is missing. "
            "Pass both or none."
        )
    if dev_targets is not None and test_targets is not None:
        comparison = _compare("dev_targets", dev_targets, "test_targets", test_targets)
        if comparison.differ:
            warnings.warn(
                f"{comparison}, but the diagnosis assumes the same distribution. Shuffle before "
                "splitting, and take dev and test rows from the data that the network will see.",
                stacklevel=2,
            )
    return BiasVarianceDiagnosis(
        bias, variance, train, dev, goal, tuple(dict.fromkeys(steps)), comparison
    )


def compare_targets(
    dev: npt.ArrayLike,
    test: npt.ArrayLike,
    *,
    kind: str = "auto",
    level: float = 0.01,
    seed: int = 0,
) -> TargetComparison:
    """Return a test whether dev and test targets come from the same distribution (item E3).

    Classes are compared by the χ² test of homogeneity, with a Monte Carlo p-value if a cell has an
    expected count below 5; numbers by the two-sample Kolmogorov-Smirnov test. Several columns are
    tested one by one, and the smallest p-value is multiplied by their number (Bonferroni).

    Parameters
    ----------
    dev, test : (n,) or (n, k) array-like
        Targets, one row per example.
    kind : {"auto", "classes", "numbers"}, default="auto"
        "auto" treats a column as numbers if a value is not whole, or if more than half of the
        values are distinct.
    level : float, default=0.01
        The p-value below which the targets are said to differ: the rate of false alarms.
    seed : int, default=0
        The seed of the Monte Carlo tables.

    Raises
    ------
    ShapeError
        If the two sets have different columns.
    DataError
        If a set is empty, or mixes classes of different types.

    Examples
    --------
    >>> compare_targets(["a"] * 60 + ["b"] * 40, ["a"] * 20 + ["b"] * 80).differ
    True
    """
    return _compare("dev", dev, "test", test, kind, level, seed)


def _compare(
    dev_name: str,
    dev: npt.ArrayLike,
    test_name: str,
    test: npt.ArrayLike,
    kind: str = "auto",
    level: float = 0.01,
    seed: int = 0,
) -> TargetComparison:
    check_name("kind", kind, ("auto", "classes", "numbers"))
    bound = check_between("level", level, 0.0, 1.0, open_low=True, open_high=True)
    check_seed("seed", seed)
    columns = list(zip(_columns(dev_name, dev), _columns(test_name, test), strict=False))
    if np.ndim(dev) != np.ndim(test) or np.shape(dev)[1:] != np.shape(test)[1:]:
        raise ShapeError(
            f"{dev_name} and {test_name} must have the same columns; got shapes {np.shape(dev)} "
            f"and {np.shape(test)}. Pass the same targets of both sets."
        )
    results = []
    for a, b in columns:
        numbers = kind == "numbers" or (kind == "auto" and _looks_like_numbers(a, b))
        if numbers:
            results.append(
                _kolmogorov_smirnov(finite_array(dev_name, a), finite_array(test_name, b))
            )
            continue
        try:
            results.append(_chi_square(a, b, seed))
        except TypeError as error:
            raise DataError(
                f"{dev_name} and {test_name} must contain classes of one type; got {a.dtype} and "
                f"{b.dtype}. Convert them to strings."
            ) from error
    name, p = min(results, key=lambda result: result[1])
    if len(columns) > 1:
        name, p = f"{name}, worst of {len(columns)} columns", min(1.0, p * len(columns))
    return TargetComparison(name, p, bound)


def _columns(name: str, values: npt.ArrayLike) -> list[npt.NDArray[Any]]:
    array = any_array(name, values)
    if array.ndim not in (1, 2):
        raise ShapeError(f"{name} must have shape (n,) or (n, k); got {array.shape}.")
    if array.size == 0:
        raise DataError(f"{name} has no targets. Pass at least one row.")
    if array.dtype.kind == "f":
        array = finite_array(name, array)
    return [array] if array.ndim == 1 else list(array.T)


def _looks_like_numbers(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    if a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf":
        return False
    both = np.concatenate([a, b]).astype(np.float64)
    return bool((both % 1 != 0).any()) or len(np.unique(both)) > len(both) / 2


def _kolmogorov_smirnov(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[str, float]:
    from scipy.stats import ks_2samp

    exact = len(a) * len(b) <= 1_000_000  # above, the exact sum is slow and may lose digits
    result = ks_2samp(a, b, method="exact" if exact else "asymp")
    return f"Kolmogorov-Smirnov, D = {result.statistic:.3g}", float(result.pvalue)


def _chi_square(a: npt.NDArray[Any], b: npt.NDArray[Any], seed: int) -> tuple[str, float]:
    from scipy.stats import MonteCarloMethod, chi2_contingency

    classes, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    if len(classes) == 1:
        return "one class in both", 1.0
    sizes = (codes[: len(a)], codes[len(a) :])
    table = np.stack([np.bincount(part, minlength=len(classes)) for part in sizes])
    result = chi2_contingency(table, correction=False)
    name = f"χ² = {result.statistic:.3g}"
    if result.expected_freq.min() < 5:
        method = MonteCarloMethod(n_resamples=9999, rng=np.random.default_rng(seed))
        return f"{name}, Monte Carlo", float(
            chi2_contingency(table, correction=False, method=method).pvalue
        )
    return name, float(result.pvalue)
