"""The tape, interpreted by compiled kernels: the same verbs as the reference, many times faster."""

from __future__ import annotations

from deltarule.engine.engine import Engine

__all__ = ["Engine"]
