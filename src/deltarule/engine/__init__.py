"""The compiled interpreter of tapes: the reference's methods, many times faster. See README.md."""

from __future__ import annotations

from deltarule.engine.engine import Engine

__all__ = ["Engine"]
