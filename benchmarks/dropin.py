"""Run scikit-learn's tests of its MLP and `check_estimator` on our estimators; print the counts.

    SCIPY_ARRAY_API=1 python benchmarks/dropin.py

Without the variable, scikit-learn skips its check of array API input. The tests are those of the
installed scikit-learn, with the import of its estimators replaced by ours
(``tests/drop_in/test_sklearn_suite.py``); tests that are left out are named with the reason.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sklearn
from sklearn.utils.estimator_checks import check_estimator

from deltarule import MLPClassifier, MLPRegressor

SUITE = Path(__file__).resolve().parent.parent / "tests" / "drop_in" / "test_sklearn_suite.py"


class OutcomeRecorder:
    """pytest plugin that selects scikit-learn's tests and records the outcome of each case."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = {}
        self.reasons: dict[str, str] = {}

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        suite = items[0].module
        self.reasons = suite.PRIVATE
        items[:] = [item for item in items if item.originalname in suite.BORROWED]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        report = (yield).get_result()
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.setdefault(item.originalname, []).append(report.outcome)


def suite() -> None:
    """Print how many of the test functions run, and how many of them pass."""
    recorder = OutcomeRecorder()
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--override-ini=addopts="]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pytest.main([*options, str(SUITE)], plugins=[recorder])
    if not recorder.outcomes:
        sys.exit(printed.getvalue())
    run = {n: ends for n, ends in recorder.outcomes.items() if set(ends) != {"skipped"}}
    failed = [name for name, ends in run.items() if "failed" in ends]
    cases = Counter(end for ends in run.values() for end in ends)
    print(
        f"scikit-learn {sklearn.__version__}'s tests of its MLP with our estimators: "
        f"{len(run) - len(failed)} passed of {len(run)} functions run, of {len(recorder.outcomes)} "
        f"({cases['passed']} passed of {cases.total()} cases run)"
    )
    for name in failed:
        print(f"  failed: {name}")
    for name in sorted(set(recorder.outcomes) - set(run)):
        print(f"  left out: {name}: {recorder.reasons[name]}")


def checks(estimator: Any) -> None:
    """Print how many checks of `check_estimator` an estimator passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    counts = Counter(result["status"] for result in results)
    print(f"check_estimator({estimator!r}): {counts['passed']} passed of {len(results)}")
    for result in results:
        if result["status"] != "passed":
            print(f"  {result['status']}: {result['check_name']}: {result['exception']}")


def main() -> None:
    """Print the counts of both."""
    suite()
    for estimator in (MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)):
        checks(estimator)


if __name__ == "__main__":
    main()
