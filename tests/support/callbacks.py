"""scikit-learn's own callbacks, for tests that are skipped before scikit-learn 1.9."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["progress_bar", "scoring_monitor"]


def scoring_monitor(**arguments: Any) -> Any:
    """Return scikit-learn's ScoringMonitor, or skip the test."""
    return pytest.importorskip("sklearn.callback").ScoringMonitor(**arguments)


def progress_bar(**arguments: Any) -> Any:
    """Return scikit-learn's ProgressBar, or skip the test."""
    return pytest.importorskip("sklearn.callback").ProgressBar(**arguments)
