"""Persistence: any fitted model in one file, and back, without running code."""

from __future__ import annotations

from deltarule.persistence.save_load import load, save

__all__ = ["load", "save"]
