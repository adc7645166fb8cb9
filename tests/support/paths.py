"""Where the repository's folders are."""

from __future__ import annotations

from pathlib import Path

__all__ = ["GOLDEN", "ROOT", "TESTS"]

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
