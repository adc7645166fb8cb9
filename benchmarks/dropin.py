"""Print how the estimators fare in scikit-learn's own tests: its MLP's suite, `check_estimator`.

    SCIPY_ARRAY_API=1 python benchmarks/dropin.py

(Without the variable, scikit-learn skips its check of array API input.)
The suite is that of the installed scikit-learn, with the import of its estimators replaced by ours
(``tests/test_sklearn_suite.py``); what it leaves out is named with the reason.
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

SUITE = Path(__file__).resolve().parent.parent / "tests" / "test_sklearn_suite.py"


class Tally:
    """A plugin of pytest: keep the borrowed tests only, and note how each case ends."""

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
    """Print how many of the suite's functions run, and how many of them pass."""
    tally = Tally()
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--override-ini=addopts="]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pytest.main([*options, str(SUITE)], plugins=[tally])
    if not tally.outcomes:
        sys.exit(printed.getvalue())
    run = {n: ends for n, ends in tally.outcomes.items() if set(ends) != {"skipped"}}
    failed = [name for name, ends in run.items() if "failed" in ends]
    cases = Counter(end for ends in run.values() for end in ends)
    print(
        f"scikit-learn {sklearn.__version__}'s tests of its MLP, the import replaced: "
        f"{len(run) - len(failed)} passed of {len(run)} functions run, of {len(tally.outcomes)} "
        f"({cases['passed']} passed of {cases.total()} cases run)"
    )
    for name in failed:
        print(f"  failed: {name}")
    for name in sorted(set(tally.outcomes) - set(run)):
        print(f"  left out: {name}: {tally.reasons[name]}")


def checks(estimator: Any) -> None:
    """Print how many of scikit-learn's checks an estimator passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    counts = Counter(result["status"] for result in results)
    print(f"check_estimator({estimator!r}): {counts['passed']} passed of {len(results)}")
    for result in results:
        if result["status"] != "passed":
            print(f"  {result['status']}: {result['check_name']}: {result['exception']}")


def main() -> None:
    """Print both figures."""
    suite()
    for estimator in (MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)):
        checks(estimator)


if __name__ == "__main__":
    main()
