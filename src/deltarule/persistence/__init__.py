"""Saving and loading of fitted models of any kind, in one file, without running code."""

from __future__ import annotations

from deltarule.persistence.save_load import load, save

__all__ = ["load", "save"]
